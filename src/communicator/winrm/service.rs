//! Connections that are logged in, and what is said on them.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use jiff::Timestamp;

use super::http::{Connection, Endpoint, HttpAnswer};
use super::ntlm::{self, Account, Moment, Session};
use super::soap::{Request, refused};
use crate::retry::Permanent;
use crate::secret::{Secret, random};

const SOAP: &str = "application/soap+xml;charset=UTF-8";
const SEALED: &str = "multipart/encrypted;protocol=\"application/HTTP-SPNEGO-session-encrypted\";boundary=\"Encrypted Boundary\"";
const BOUNDARY: &str = "--Encrypted Boundary";
const SEALED_PART: &[u8] = b"Content-Type: application/octet-stream\r\n";
/// How long the service may think beyond the time that it was given.
const GRACE: Duration = Duration::from_secs(30);

/// How to log in.
#[derive(Clone, Debug)]
pub(super) enum Login {
    /// With the password in every request.
    Basic {
        /// Whose it is.
        user: String,
        /// The password.
        password: Secret,
    },
    /// With a proof that we know the password, and a key that seals what follows.
    Ntlm(Account),
}

/// The service, and the connections to it that nobody uses at the moment.
pub(super) struct Service {
    endpoint: Endpoint,
    login: Login,
    idle: Mutex<Vec<Line>>,
}

/// One connection, logged in.
struct Line {
    connection: Connection,
    /// What seals the messages, where TLS does not.
    session: Option<Session>,
}

impl Service {
    pub(super) fn new(endpoint: Endpoint, login: Login) -> Self {
        Self { endpoint, login, idle: Mutex::default() }
    }

    /// Its address.
    pub(super) fn url(&self) -> String {
        self.endpoint.url()
    }

    /// Ends all connections that are not in use.
    pub(super) fn hang_up(&self) {
        self.idle().clear();
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Line>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the service answers to `request`, for which it may take as long as `within`.
    ///
    /// A request that got no answer on a connection that was idle is sent again on a new one: the
    /// service may have closed the old one, or forgotten that it let us in. It is not where it may
    /// have been heard, and would do its work twice.
    pub(super) async fn ask(
        &self,
        request: Request<'_>,
        within: Duration,
    ) -> anyhow::Result<String> {
        let envelope = request.envelope(&self.url(), within);
        let time = within + GRACE;
        let idle = self.idle().pop();
        if let Some(mut line) = idle {
            match self.exchange(&mut line, &envelope, time).await {
                Ok(answer) => return self.keep(line, answer),
                Err(error)
                    if !is_unheard(&error)
                        && !error.is::<Permanent>()
                        && !request.may_be_repeated() =>
                {
                    return Err(error);
                }
                Err(error) => tracing::debug!("a WinRM connection is of no use: {error:#}"),
            }
        }
        let mut line = self.log_in().await?;
        let answer = self.exchange(&mut line, &envelope, time).await?;
        self.keep(line, answer)
    }

    fn keep(&self, line: Line, (status, text): (StatusCode, String)) -> anyhow::Result<String> {
        self.idle().push(line);
        // A fault has an envelope, too, which says more.
        match status.is_success() || text.contains("Fault") {
            true => Ok(text),
            false => bail!("the WinRM service answers {status}"),
        }
    }

    /// A new connection, logged in.
    async fn log_in(&self) -> anyhow::Result<Line> {
        let url = self.url();
        let connection = self.endpoint.connect().await;
        let mut connection = connection.with_context(|| format!("cannot connect to {url}"))?;
        let Login::Ntlm(account) = &self.login else {
            return Ok(Line { connection, session: None });
        };
        let first = ntlm::negotiate();
        let answer = greet(&mut connection, &first).await?;
        let challenge = challenge(&answer.headers);
        let challenge = challenge.ok_or_else(|| refused(no_way_in(&offers(&answer.headers))))?;
        let moment = Moment { now: Timestamp::now().as_second(), nonce: random()?, key: random()? };
        let certificate = connection.certificate.as_deref();
        let (last, session) = ntlm::authenticate(account, &challenge, certificate, &moment)?;
        let answer = greet(&mut connection, &last).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            return Err(self.refused(&answer.headers));
        }
        let session = (!self.endpoint.is_private()).then_some(session);
        Ok(Line { connection, session })
    }

    /// Sends `envelope` and reads the answer.
    async fn exchange(
        &self,
        line: &mut Line,
        envelope: &str,
        time: Duration,
    ) -> anyhow::Result<(StatusCode, String)> {
        let connection = &mut line.connection;
        let answer = match (&mut line.session, &self.login) {
            (Some(session), _) => {
                let sealed = seal(session, envelope);
                connection.post(SEALED, None, sealed, time).await?
            }
            (None, Login::Basic { user, password }) => {
                let text = BASE64.encode(format!("{user}:{}", password.expose()));
                let mut value = HeaderValue::from_str(&format!("Basic {text}"))?;
                value.set_sensitive(true);
                let header = Some((AUTHORIZATION, value));
                connection.post(SOAP, header, envelope.into(), time).await?
            }
            (None, Login::Ntlm(_)) => connection.post(SOAP, None, envelope.into(), time).await?,
        };
        if answer.status == StatusCode::UNAUTHORIZED {
            return Err(self.refused(&answer.headers));
        }
        let body = match &mut line.session {
            Some(session) if !answer.body.is_empty() => open(session, &answer.body)?,
            _ => answer.body.to_vec(),
        };
        let text = String::from_utf8(body).context("the WinRM service answers with no text")?;
        Ok((answer.status, text))
    }

    /// Why the service does not let us in.
    fn refused(&self, headers: &HeaderMap) -> anyhow::Error {
        let offers = offers(headers);
        match &self.login {
            Login::Basic { .. } if offers.contains("Negotiate") && !offers.contains("Basic") => {
                refused(format!(
                    "the WinRM service does not take Basic, but {offers}: set `winrm_use_ntlm = true`"
                ))
            }
            Login::Basic { .. } if !offers.contains("Basic") && !offers.is_empty() => {
                refused(no_way_in(&offers))
            }
            _ => refused(
                "the WinRM service refuses the login: check `winrm_username` and `winrm_password`"
                    .to_owned(),
            ),
        }
    }
}

/// The ways to log in that the service offers.
fn offers(headers: &HeaderMap) -> String {
    let all = headers.get_all(WWW_AUTHENTICATE).iter();
    let names = all.filter_map(|value| value.to_str().ok()?.split(' ').next());
    names.collect::<Vec<_>>().join(", ")
}

/// Why none of what is offered is of use.
fn no_way_in(offers: &str) -> String {
    let offers = if offers.is_empty() { "nothing" } else { offers };
    format!(
        "the WinRM service offers {offers}, and neither NTLM nor Basic: imgbake does not speak \
         Kerberos. Allow one of them on the machine (`winrm set winrm/config/service/auth \
         '@{{Negotiate=\"true\"}}'`; Basic over HTTPS only)"
    )
}

impl Request<'_> {
    /// Whether the service may hear it twice.
    fn may_be_repeated(self) -> bool {
        matches!(self, Self::Create | Self::Delete { .. })
    }
}

/// Whether the service cannot have heard the request.
fn is_unheard(error: &anyhow::Error) -> bool {
    let hyper = error.chain().find_map(|cause| cause.downcast_ref::<hyper::Error>());
    hyper.is_some_and(|error| error.is_canceled() || error.is_closed())
}

/// Sends a message of the login, without a body.
async fn greet(connection: &mut Connection, message: &[u8]) -> anyhow::Result<HttpAnswer> {
    let mut value = HeaderValue::from_str(&format!("Negotiate {}", BASE64.encode(message)))?;
    value.set_sensitive(true);
    connection.post(SOAP, Some((AUTHORIZATION, value)), Vec::new(), GRACE).await
}

/// The server's message of the login.
fn challenge(headers: &HeaderMap) -> Option<Vec<u8>> {
    headers.get_all(WWW_AUTHENTICATE).iter().find_map(|value| {
        let text = value.to_str().ok()?;
        let text = text.strip_prefix("Negotiate ").or_else(|| text.strip_prefix("NTLM "))?;
        BASE64.decode(text.trim()).ok()
    })
}

/// `envelope` sealed, in the two parts that MS-WSMV (2.2.9.1) has.
fn seal(session: &mut Session, envelope: &str) -> Vec<u8> {
    let (signature, sealed) = session.seal(envelope.as_bytes());
    let length = envelope.len();
    let mut body = format!(
        "{BOUNDARY}\r\n\tContent-Type: application/HTTP-SPNEGO-session-encrypted\r\n\tOriginalContent: type={SOAP};Length={length}\r\n{BOUNDARY}\r\n\tContent-Type: application/octet-stream\r\n"
    )
    .into_bytes();
    body.extend(16_u32.to_le_bytes());
    body.extend(signature);
    body.extend(sealed);
    body.extend(format!("{BOUNDARY}--\r\n").into_bytes());
    body
}

/// What the two parts of `body` hold.
fn open(session: &mut Session, body: &[u8]) -> anyhow::Result<Vec<u8>> {
    let broken = "the WinRM service does not seal its answer";
    let start = body.windows(SEALED_PART.len()).position(|part| part == SEALED_PART);
    let part = &body[start.context(broken)? + SEALED_PART.len()..];
    let end = part.windows(BOUNDARY.len()).rposition(|part| part == BOUNDARY.as_bytes());
    let (length, part) = part[..end.context(broken)?].split_at_checked(4).context(broken)?;
    let length = length.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    let (signature, sealed) = part.split_at_checked(length).context(broken)?;
    Ok(session.open(signature, sealed)?)
}
