//! Amazon's container registries: what to log in to them with.

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio_util::sync::CancellationToken;

use crate::aws::account::Account;
use crate::secret::Secret;

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
    let decoded = token.and_then(|token| STANDARD.decode(token).ok());
    let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    let decoded = decoded.context("Amazon's registry gives out what is no token")?;
    let (user, password) = decoded.split_once(':').context("the token names no user")?;
    Ok((user.to_owned(), Secret::new(password)))
}
