//! GitHub's REST interface, about the repository of the run.

use std::time::Duration;

use anyhow::Context as _;
use octocrab::service::middleware::retry::{NoOpRateLimitMetrics, RetryConfig};
use octocrab::{Octocrab, Page};
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::context::Context;
use crate::secret::Secret;
use crate::web;

/// How long all calls for one purpose may take; nobody waits longer for a remark.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) type Result<T> = std::result::Result<T, octocrab::Error>;

/// A client and the repository that it asks about.
pub(super) struct RestClient {
    pub client: Octocrab,
    pub owner: String,
    pub name: String,
}

impl RestClient {
    /// For the repository of the run.
    pub fn of(context: &Context, token: &Secret) -> anyhow::Result<Self> {
        Self::at(&context.api_url, context, token).context("GITHUB_API_URL")
    }

    /// The same on another server of GitHub's.
    pub fn at(url: &str, context: &Context, token: &Secret) -> anyhow::Result<Self> {
        let (owner, name) =
            context.repository.split_once('/').context("the runner names no repository")?;
        let url = web::safe(url)?;
        let retries = RetryConfig::HandleRateLimits {
            metrics: std::sync::Arc::new(NoOpRateLimitMetrics),
            max_retries: 3,
            min_wait_seconds: 5,
            retry_on_forbidden: false,
        };
        let client = Octocrab::builder()
            .personal_token(token.expose())
            .base_uri(url.as_str())?
            .add_retry_config(retries)
            .set_connect_timeout(Some(Duration::from_secs(10)))
            .set_read_timeout(Some(Duration::from_secs(30)));
        Ok(Self { client: client.build()?, owner: owner.to_owned(), name: name.to_owned() })
    }

    /// The path of something of the repository.
    pub fn route(&self, rest: &str) -> String {
        format!("/repos/{}/{}/{rest}", self.owner, self.name)
    }

    /// All of a list that comes in pages.
    pub async fn all<T: DeserializeOwned>(&self, rest: &str) -> Result<Vec<T>> {
        let mut page: Page<T> =
            self.client.get(self.route(rest), Some(&[("per_page", "100")])).await?;
        let mut all = Vec::new();
        loop {
            let next = page.next.take();
            all.extend(page);
            match self.client.get_page(&next).await? {
                Some(more) => page = more,
                None => return Ok(all),
            }
        }
    }
}

/// What came of `calls`; `None` where the token may not do that.
pub(super) async fn if_allowed<T>(
    calls: impl Future<Output = Result<T>>,
) -> anyhow::Result<Option<T>> {
    let ended = tokio::time::timeout(PATIENCE, calls).await;
    match ended.context("GitHub did not do it within a minute")? {
        Err(error) if is_forbidden(&error) => Ok(None),
        ended => Ok(Some(ended?)),
    }
}

/// Whether the token lacks a permission: it is a fork's, or the job gave it too few.
pub(super) fn is_forbidden(error: &octocrab::Error) -> bool {
    match error {
        octocrab::Error::GitHub { source, .. } => {
            matches!(source.status_code.as_u16(), 401 | 403 | 404)
        }
        _ => false,
    }
}

/// A short name for what is too long for one.
pub(super) fn digest(text: &str) -> String {
    hex::encode(&Sha256::digest(text.as_bytes())[..12])
}
