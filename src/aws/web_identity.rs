//! A role for tokens of an identity provider: no key is stored anywhere. Each time, a new token is
//! asked for, so that a build may last longer than a session.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use aws_credential_types::Credentials;
use tokio::sync::Mutex;

use crate::aws::call::Api;
use crate::aws::credentials::of_session;
use crate::aws::error::ApiError;
use crate::identity::{IdentityToken, IdentityTokens, Role};
use crate::retry::{Backoff, Try, retry};

/// A role that was just made or changed is not known everywhere at once, and STS may fail to reach
/// the identity provider.
const BACKOFF: Backoff =
    Backoff { first: Duration::from_millis(500), factor: 3.0, longest: Duration::from_secs(5) };
const TRIES: usize = 3;

/// How long a refusal stands: the calls of a build come together, and none would hear anything else.
const REFUSAL_STANDS: Duration = Duration::from_secs(10);

/// Takes on a role.
#[derive(Debug)]
pub(super) struct WebIdentity {
    /// Nobody signs the call: the token speaks for us.
    sts: Api<aws_sdk_sts::Client>,
    role: Role,
    tokens: Arc<dyn IdentityTokens>,
    /// When it was refused last, and why.
    refused: Mutex<Option<(Instant, String)>>,
}

impl WebIdentity {
    pub fn new(sts: Api<aws_sdk_sts::Client>, role: Role, tokens: Arc<dyn IdentityTokens>) -> Self {
        Self { sts, role, tokens, refused: Mutex::default() }
    }

    /// New credentials of the role.
    pub async fn assume(&self) -> anyhow::Result<Credentials> {
        let mut refused = self.refused.lock().await;
        match &*refused {
            Some((when, why)) if when.elapsed() < REFUSAL_STANDS => bail!("{why}"),
            _ => {}
        }
        let answer = retry(BACKOFF, TRIES, || self.ask()).await;
        *refused = answer.as_ref().err().map(|error| (Instant::now(), format!("{error:#}")));
        answer
    }

    async fn ask(&self) -> Try<Credentials, anyhow::Error> {
        let token = match self.tokens.token().await {
            Ok(token) => token,
            Err(error) => return Try::Failed(error),
        };
        let seconds = self.role.duration.and_then(|length| length.as_secs().try_into().ok());
        let request = self
            .sts
            .assume_role_with_web_identity()
            .role_arn(&self.role.arn)
            .role_session_name(&self.role.session_name)
            .set_duration_seconds(seconds)
            .web_identity_token(token.token.expose());
        match self.sts.call("AssumeRoleWithWebIdentity", |_| request.clone().send()).await {
            Ok(answer) => {
                let granted = answer.credentials().map(of_session);
                match granted.context("AssumeRoleWithWebIdentity answered no credentials") {
                    Ok(granted) => Try::Done(granted),
                    Err(error) => Try::Failed(error),
                }
            }
            Err(error) => {
                let passes = error.is(&PASSING);
                let explained = self.explain(&error, &token);
                let error = anyhow::Error::from(error).context(explained);
                if passes { Try::Again(error) } else { Try::Failed(error) }
            }
        }
    }

    /// What the failure means, and what to do.
    fn explain(&self, error: &ApiError, token: &IdentityToken) -> String {
        let arn = &self.role.arn;
        let claim = |name: &str| {
            let found = token.claims.iter().find(|(claim, _)| claim == name);
            found.map_or("nothing", |(_, value)| value.as_str())
        };
        let (sub, aud, iss) = (claim("sub"), claim("aud"), claim("iss"));
        let issuer = iss.trim_start_matches("https://");
        match error.code.as_deref() {
            Some("AccessDenied") => format!(
                "the role {arn} cannot be taken on: its trust policy must allow sts:AssumeRoleWithWebIdentity where `{issuer}:sub` is `{sub}` and `{issuer}:aud` is `{aud}`, which is what this run's token says"
            ),
            Some("InvalidIdentityToken") => format!(
                "the account of {arn} does not accept this run's token: it needs an IAM identity provider for `{iss}` with the audience `{aud}`"
            ),
            Some("ExpiredTokenException" | "ExpiredToken") => {
                "this run's identity token came too late: check this machine's clock".to_owned()
            }
            Some("ValidationError") if error.to_string().contains("DurationSeconds") => {
                let seconds = self.role.duration.unwrap_or_default().as_secs();
                format!(
                    "the role {arn} gives no sessions of {seconds} s: ask for shorter ones (they are renewed for as long as builds run), or raise the role's MaxSessionDuration"
                )
            }
            _ => format!("the role {arn} cannot be taken on"),
        }
    }
}

/// Codes of failures that may pass: a change of a role is not known everywhere at once.
const PASSING: [&str; 4] = [
    "AccessDenied",
    "IDPCommunicationError",
    "IDPCommunicationErrorException",
    "InvalidIdentityToken",
];
