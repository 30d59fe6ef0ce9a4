//! Logging in to HCP as a service principal.

use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;
use url::form_urlencoded::Serializer;

use crate::peer::Allowance;
use crate::secret::Secret;
use crate::web;

/// The server that lets in to HCP.
pub(super) const HCP: &str = "https://auth.idp.hashicorp.com";

/// What the token is for.
const AUDIENCE: &str = "https://api.hashicorp.cloud";

const ANSWER: Allowance = Allowance::new("the answer", 1 << 20, Duration::from_secs(60));

/// Who logs in, and where.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) url: String,
    pub(super) id: String,
    pub(super) secret: Secret,
}

#[derive(Deserialize)]
struct Answer {
    access_token: Secret,
}

impl Login {
    /// A token that lets in for an hour.
    pub(super) async fn token(&self, insecure: bool) -> anyhow::Result<Secret> {
        let token = ANSWER.in_time(self.ask(insecure)).await.map_err(Into::into).flatten();
        token.with_context(|| format!("cannot log in at {}", self.url))
    }

    async fn ask(&self, insecure: bool) -> anyhow::Result<Secret> {
        // The option is about another server only.
        let insecure = insecure && self.url.trim_end_matches('/') != HCP;
        let client = web::client().tls_danger_accept_invalid_certs(insecure).build()?;
        let body = Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", &self.id)
            .append_pair("client_secret", self.secret.expose())
            .append_pair("audience", AUDIENCE)
            .finish();
        let request = client
            .post(format!("{}/oauth2/token", self.url.trim_end_matches('/')))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(body);
        let response = web::success(request.send().await.map_err(web::cause)?)?;
        let body = web::body(response, ANSWER).await?;
        // The error's own words may hold a part of the token.
        let answer = serde_json::from_slice::<Answer>(&body).ok();
        let token = answer.map(|answer| answer.access_token).filter(|token| !token.is_empty());
        token.context("the server answers something else than a token")
    }
}
