//! Identity tokens: the runner's word on which repository, branch and workflow a job belongs to.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use async_trait::async_trait;
use reqwest::StatusCode;
use serde::Deserialize;

use super::{Context, payload};
use crate::env::Environment;
use crate::identity::{IdentityToken, IdentityTokens};
use crate::peer::Allowance;
use crate::retry::{Backoff, Try, retry};
use crate::secret::{Redactor, Secret};
use crate::web;

/// A token has some kilobytes.
const ANSWER: Allowance = Allowance::new("the answer", 1 << 20, Duration::from_secs(10));

/// Asks the runner for tokens.
#[derive(Debug)]
pub struct Runner {
    /// Has a query already.
    url: String,
    bearer: Secret,
    audience: String,
    redactor: Redactor,
}

/// What the runner answers.
#[derive(Deserialize)]
struct Answer {
    value: Secret,
}

/// The claims that roles are usually bound to.
const CLAIMS: [&str; 3] = ["sub", "aud", "iss"];

const BACKOFF: Backoff =
    Backoff { first: Duration::from_millis(250), factor: 2.0, longest: Duration::from_secs(5) };
const TRIES: usize = 6;

impl Runner {
    /// The runner of this job, whose tokens shall be for `audience`.
    ///
    /// # Errors
    /// Where the job may not have any: why, and what to do.
    pub fn of(
        environment: &Environment,
        context: &Context,
        audience: impl Into<String>,
        redactor: &Redactor,
    ) -> anyhow::Result<Self> {
        let url = environment.get("ACTIONS_ID_TOKEN_REQUEST_URL");
        let bearer = environment.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN");
        match (url, bearer, context.fork()) {
            (Some(url), Some(bearer), _) => {
                redactor.register(bearer);
                Ok(Self {
                    url: url.to_owned(),
                    bearer: Secret::new(bearer),
                    audience: audience.into(),
                    redactor: redactor.clone(),
                })
            }
            (_, _, Some(fork)) => bail!(
                "a run for a pull request from the fork {fork} gets no identity token, so it has no AWS credentials; `command: validate` needs none"
            ),
            _ => bail!(
                "the job may not ask for an identity token: give it `permissions:` with `id-token: write` (and `contents: read`, for the other permissions are gone then)"
            ),
        }
    }

    async fn ask(&self, client: &reqwest::Client) -> Try<Secret, anyhow::Error> {
        let separator = if self.url.contains('?') { '&' } else { '?' };
        let audience: String =
            url::form_urlencoded::byte_serialize(self.audience.as_bytes()).collect();
        let url = format!("{}{separator}audience={audience}", self.url);
        let answer = client.get(url).bearer_auth(self.bearer.expose()).send().await;
        let answer = match answer {
            Ok(answer) => answer,
            // Its own message repeats the URL, and that is nobody's business.
            Err(error) => return Try::Again(web::cause(error)),
        };
        match answer.status() {
            StatusCode::OK => match web::body(answer, ANSWER).await {
                Ok(bytes) => match serde_json::from_slice::<Answer>(&bytes) {
                    Ok(Answer { value }) => Try::Done(value),
                    // The error's own words may hold a part of the answer.
                    Err(_) => Try::Failed(anyhow!("it answered something else")),
                },
                Err(error) => Try::Again(error),
            },
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Try::Failed(anyhow!(
                "it answered {}: the job's right to ask for tokens has ended",
                answer.status()
            )),
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                Try::Again(anyhow!("it answered {status}"))
            }
            status => Try::Failed(anyhow!("it answered {status}")),
        }
    }
}

#[async_trait]
impl IdentityTokens for Runner {
    async fn token(&self) -> anyhow::Result<IdentityToken> {
        let client = web::client().timeout(ANSWER.time).build()?;
        let token = retry(BACKOFF, TRIES, || self.ask(&client)).await;
        let token = token.context("GitHub's runner gives no identity token")?;
        self.redactor.register(token.expose());
        let claims = claims(token.expose());
        Ok(IdentityToken { token, claims })
    }
}

/// What `token` says of whom it is for.
fn claims(token: &str) -> Vec<(String, String)> {
    let payload = payload(token);
    let claim = |name: &&str| Some(((*name).to_owned(), payload[*name].as_str()?.to_owned()));
    CLAIMS.iter().filter_map(claim).collect()
}
