//! Amazon's container registries: what to log in to them with.

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::aws::account::Account;
use crate::aws::json::{JsonClient, Service};
use crate::secret::Secret;

/// The registry that all of Amazon's public images are in.
const PUBLIC: Service =
    Service { api: "api.ecr-public", signed_as: "ecr-public", target: "SpencerFrontendService" };

/// Who logs in to the registry of `account`, and the password, which is good for some hours.
///
/// # Errors
/// When the account gives out none.
pub async fn login(
    account: &Account,
    cancel: &CancellationToken,
) -> anyhow::Result<(String, Secret)> {
    let api = account.ecr(cancel);
    let request = api.get_authorization_token();
    let answer = api.call("GetAuthorizationToken", |_| request.clone().send()).await;
    let answer = answer.context("Amazon's registry gives out no token")?;
    let token = answer.authorization_data().iter().find_map(|data| data.authorization_token());
    read(token)
}

/// The same for the public registry, which gives out its tokens in one region only.
///
/// # Errors
/// When it gives out none.
pub async fn login_to_public(
    account: &Account,
    cancel: &CancellationToken,
) -> anyhow::Result<(String, Secret)> {
    let api = JsonClient::of(account, &PUBLIC, None, cancel)?;
    let answer = api.ask("GetAuthorizationToken", json!({})).await;
    let answer = answer.context("Amazon's public registry gives out no token")?;
    read(answer["authorizationData"]["authorizationToken"].as_str())
}

/// Who logs in with `token`, and the password.
fn read(token: Option<&str>) -> anyhow::Result<(String, Secret)> {
    let decoded = token.and_then(|token| STANDARD.decode(token).ok());
    let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    let decoded = decoded.context("Amazon's registry gives out what is no token")?;
    let (user, password) = decoded.split_once(':').context("the token names no user")?;
    Ok((user.to_owned(), Secret::new(password)))
}
