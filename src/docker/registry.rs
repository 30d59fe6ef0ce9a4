//! Logging in to registries: as the template says, with a token of Amazon's, or as Docker's own
//! configuration does.

use std::sync::Arc;

use super::credentials::Credentials;
use super::login::{Login, host_of};
use crate::env::Environment;
use crate::secret::Redactor;

/// Who logs in to `registry`; `None`: nobody. A token of Amazon's is a new one each time.
///
/// # Errors
/// When it cannot be found out.
pub async fn login(
    registry: &str,
    login: &Login,
    environment: &Arc<Environment>,
    redactor: &Redactor,
) -> anyhow::Result<Option<Credentials>> {
    if login.ecr_login && host_of(&login.login_server) == registry {
        return ecr(registry, login, environment, redactor).await.map(Some);
    }
    Credentials::find(registry, login, environment, redactor).await
}

#[cfg(feature = "aws")]
async fn ecr(
    registry: &str,
    login: &Login,
    environment: &Arc<Environment>,
    redactor: &Redactor,
) -> anyhow::Result<Credentials> {
    use anyhow::Context as _;
    use tokio_util::sync::CancellationToken;

    use super::login::{PUBLIC_REGION, ecr_region};
    use crate::aws::access::Access;
    use crate::aws::account::{Account, Patience};
    use crate::aws::ecr;

    let region = match login.is_public() {
        true => PUBLIC_REGION,
        false => ecr_region(registry)
            .with_context(|| format!("{registry} is no registry of Amazon's"))?,
    };
    let access = Access {
        access_key: login.aws_access_key.clone(),
        secret_key: login.aws_secret_key.clone(),
        token: login.aws_token.clone(),
        profile: login.aws_profile.clone(),
        region: region.to_owned(),
        ..Access::default()
    };
    let account = Account::open(&access, environment, redactor, Patience::Long).await?;
    // Whoever logs in is cancelled as a whole.
    let cancel = CancellationToken::new();
    let (user, password) = match login.is_public() {
        true => ecr::login_to_public(&account, &cancel).await?,
        false => ecr::login(&account, &cancel).await?,
    };
    redactor.register(password.expose());
    Ok(Credentials::of_user(registry, &user, password))
}

/// Such a template is refused before.
#[cfg(not(feature = "aws"))]
async fn ecr(
    registry: &str,
    _: &Login,
    _: &Arc<Environment>,
    _: &Redactor,
) -> anyhow::Result<Credentials> {
    anyhow::bail!("this imgbake knows no token for {registry}")
}
