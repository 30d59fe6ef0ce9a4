//! One SSH server and how to get into it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Duration;

use futures::future::BoxFuture;
use russh::Preferred;
use russh::client::{Config, GexParams, Handle};

use super::auth::{self, AuthError, Method, Refused};
use super::dial::{Route, until_greeted};
use super::handler::{ClientHandler, Error};
use super::host_key::{HostKeys, Mismatch};
use super::tunnel::Tunnel;
use super::words::Words;
use super::{algorithm, session};
use crate::communicator::Transport;
use crate::event::Ui;
use crate::fault::{Fault, Kind};
use crate::retry::Backoff;

/// Where a server is, and everything needed to log in there.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) route: Route,
    pub(super) user: String,
    pub(super) methods: Vec<Method>,
    pub(super) host_keys: Arc<HostKeys>,
    pub(super) protocol: Protocol,
    /// Ports there that lead here.
    pub(super) remote_tunnels: Arc<[Tunnel]>,
    /// The agent that commands there may use.
    pub(super) forwarded_agent: Option<PathBuf>,
    /// Whether it is starting now: what it refuses at first, it may accept later.
    pub(super) boots: bool,
    /// Whether it is Windows' OpenSSH, by what it said when it greeted last.
    pub(super) is_windows: AtomicBool,
    pub(super) words: Arc<Words>,
    pub(super) ui: Ui,
}

/// How SSH is spoken.
#[derive(Clone, Debug)]
pub(super) struct Protocol {
    pub(super) preferred: Preferred,
    /// After how much silence of the server it is asked for a sign of life.
    pub(super) keepalive: Option<Duration>,
    /// After how many of these without an answer the connection is given up.
    pub(super) keepalive_max: usize,
    /// After how much silence it is given up, even if nothing was asked.
    pub(super) silence: Option<Duration>,
}

/// A connection that let us in.
pub(super) struct Connection {
    pub(super) handle: Handle<ClientHandler>,
    /// Whether its sessions ask for agent forwarding.
    pub(super) forwards_agent: bool,
    /// The ways to log in that the server took.
    pub(super) taken: Vec<Method>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

/// How long to wait for a server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Give up after this time; `None`: never.
    pub(super) timeout: Option<Duration>,
    /// Give up after this many refusals to let us in; `None`: never.
    pub(super) refusals: Option<u32>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoginError {
    #[error(transparent)]
    HostKey(#[from] Mismatch),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("the bastion {server}: {error}")]
    Bastion { server: String, error: Box<LoginError> },
    #[error("{0}")]
    NoWay(String),
    #[error("{0}")]
    NoCommonAlgorithm(String),
    #[error("handshake failed: {0}")]
    Handshake(String),
    #[error("timeout waiting for SSH after {waited:?}{}", last(.error))]
    Timeout { waited: Duration, error: Option<String> },
}

impl LoginError {
    /// Whose fault it is: where the machine has said no, it says so the next time, too.
    pub(super) fn fault(&self) -> Fault {
        match self {
            Self::Bastion { error, .. } => error.fault(),
            Self::Handshake(_) | Self::Timeout { .. } => Fault::passing(Kind::Guest),
            Self::HostKey(_) | Self::Refused(_) | Self::NoWay(_) | Self::NoCommonAlgorithm(_) => {
                Fault::lasting(Kind::Guest)
            }
        }
    }
}

fn last(error: &Option<String>) -> String {
    error.as_ref().map(|error| format!("; the last attempt: {error}")).unwrap_or_default()
}

/// The groups that are asked for where a server lets us choose: as strong as AES with 128 bits, and
/// twenty times as fast as the largest. Those of 2048 bits are what old servers have.
static GROUPS: LazyLock<GexParams> =
    LazyLock::new(|| GexParams::new(2048, 3072, 8192).unwrap_or_default());

/// How long an SSH handshake, with logging in, may take.
const HANDSHAKE: Duration = Duration::from_secs(60);
/// The waits after a handshake that failed: the server was there, but not ready.
const AFTER_FAILURE: Backoff =
    Backoff { first: Duration::from_millis(100), factor: 1.5, longest: Duration::from_secs(2) };
/// The waits after a refusal: the key may come with cloud-init, and servers punish haste.
const AFTER_REFUSAL: Backoff =
    Backoff { first: Duration::from_secs(1), factor: 2.0, longest: Duration::from_secs(8) };

impl Server {
    /// Waits until the server lets us in.
    pub(super) async fn wait(&self, patience: Patience) -> Result<Connection, LoginError> {
        let mut last_error = None;
        let trying = self.keep_trying(patience.refusals, &mut last_error);
        let Some(timeout) = patience.timeout else { return trying.await };
        match tokio::time::timeout(timeout, trying).await {
            Ok(result) => result,
            Err(_) => {
                let error = last_error.or_else(|| self.route.trouble());
                Err(LoginError::Timeout { waited: timeout, error })
            }
        }
    }

    /// [`wait`](Self::wait), boxed: waiting for a server may wait for its bastion, and an async fn
    /// cannot contain itself.
    fn wait_boxed(&self, patience: Patience) -> BoxFuture<'_, Result<Connection, LoginError>> {
        Box::pin(self.wait(patience))
    }

    async fn keep_trying(
        &self,
        most_refusals: Option<u32>,
        last_error: &mut Option<String>,
    ) -> Result<Connection, LoginError> {
        let mut after_failure = AFTER_FAILURE.waits();
        let mut after_refusal = AFTER_REFUSAL.waits();
        let mut refusals = 0;
        loop {
            let error = match self.try_once(last_error).await {
                Ok(connection) => return Ok(connection),
                Err(error) => error,
            };
            tracing::debug!("{}: {error}", self.address());
            *last_error = Some(error.to_string());
            let wait = match &error {
                LoginError::Refused(refused) if refused.is_final && !self.boots => {
                    return Err(error);
                }
                LoginError::Refused(_) => {
                    refusals += 1;
                    if most_refusals.is_some_and(|most| refusals >= most) {
                        return Err(error);
                    }
                    after_refusal.next()
                }
                LoginError::Handshake(_) => after_failure.next(),
                _ => return Err(error),
            };
            tokio::time::sleep(wait.unwrap_or_default()).await;
        }
    }

    /// Waits for an answer, and logs in once.
    async fn try_once(&self, last_error: &mut Option<String>) -> Result<Connection, LoginError> {
        self.prepare_route().await?;
        let greeted = until_greeted(&self.route, &self.host, self.port, |error| {
            *last_error = Some(error.to_string());
        })
        .await
        .map_err(|error| LoginError::Handshake(error.to_string()))?;
        self.is_windows.store(greeted.is_windows, Ordering::Relaxed);
        match tokio::time::timeout(HANDSHAKE, self.log_in(greeted.transport)).await {
            Ok(result) => result,
            Err(_) => Err(LoginError::Handshake(format!("no answer within {HANDSHAKE:?}"))),
        }
    }

    /// Sees to it that there is a connection to the bastion, or another way. A bastion that refuses
    /// us is not waited for: unlike the machine, it was there before.
    pub(super) async fn prepare_route(&self) -> Result<(), LoginError> {
        let bastion = match &self.route {
            Route::Direct | Route::Socks5(_) => return Ok(()),
            Route::Way(way) => {
                let opened = way.open().await;
                return opened.map_err(|error| LoginError::NoWay(format!("{error:#}")));
            }
            Route::Bastion(bastion) => bastion,
        };
        let mut connection = bastion.connection.lock().await;
        if connection.as_ref().is_some_and(|connection| !connection.handle.is_closed()) {
            return Ok(());
        }
        let once = Patience { timeout: None, refusals: Some(1) };
        let made = bastion.server.wait_boxed(once).await.map_err(|error| LoginError::Bastion {
            server: bastion.server.address(),
            error: Box::new(error),
        })?;
        *connection = Some(Arc::new(made));
        Ok(())
    }

    /// `user@host:port`.
    pub(super) fn address(&self) -> String {
        format!("{}@{}:{}", self.user, self.host, self.port)
    }

    async fn log_in(&self, transport: Transport) -> Result<Connection, LoginError> {
        let seen = Arc::new(OnceLock::new());
        let answers = ClientHandler {
            host_keys: self.host_keys.clone(),
            seen: seen.clone(),
            remote_tunnels: self.remote_tunnels.clone(),
            agent: self.forwarded_agent.clone(),
            words: self.words.clone(),
        };
        // Forget the goodbye of an earlier connection.
        let _ = self.words.last_goodbye();
        let began = session::begin(self.config(), transport, answers).await;
        let mut handle = began.map_err(|error| self.with_goodbye(error.into()))?;
        let logged_in = auth::log_in(&mut handle, &self.user, &self.methods).await;
        let taken = logged_in.map_err(|error| match error {
            AuthError::Refused(refused) => self.with_goodbye(LoginError::Refused(refused)),
            AuthError::Lost(error) => self.with_goodbye(LoginError::Handshake(error.to_string())),
        })?;
        if let Some(news) = seen.get().and_then(|key| self.host_keys.trust(key)) {
            self.ui.say(format!("{}: {news}", self.host));
        }
        for tunnel in self.remote_tunnels.iter() {
            let opened = handle.tcpip_forward("localhost", tunnel.from_port.into()).await;
            opened.map_err(|error| {
                LoginError::Handshake(format!("cannot open the remote tunnel {tunnel}: {error}"))
            })?;
        }
        Ok(Connection { handle, forwards_agent: self.forwarded_agent.is_some(), taken })
    }

    /// `error`, and what the server said as it ended the connection.
    fn with_goodbye(&self, error: LoginError) -> LoginError {
        let Some(said) = self.words.last_goodbye() else { return error };
        let said = format!("the server says: {said}");
        match error {
            LoginError::Refused(refused) => LoginError::Refused(refused.because(said)),
            LoginError::Handshake(cause) => LoginError::Handshake(format!("{cause}; {said}")),
            other => other,
        }
    }

    /// The server is asked for a key that we know, if we know any.
    fn config(&self) -> Config {
        let mut preferred = self.protocol.preferred.clone();
        let known = algorithm::for_host_keys(&self.host_keys.known());
        if !known.is_empty() {
            preferred.key = known.into();
        }
        Config {
            preferred,
            keepalive_interval: self.protocol.keepalive,
            keepalive_max: self.protocol.keepalive_max,
            inactivity_timeout: self.protocol.silence,
            nodelay: true,
            gex: GROUPS.clone(),
            ..Config::default()
        }
    }
}

impl From<Error> for LoginError {
    fn from(error: Error) -> Self {
        match error {
            Error::HostKey(mismatch) => Self::HostKey(mismatch),
            Error::Protocol(russh::Error::NoCommonAlgo { kind, ours, theirs }) => {
                let (ours, theirs) = (ours.join(","), theirs.join(","));
                Self::NoCommonAlgorithm(format!(
                    "no {kind:?} algorithm in common: the server knows {theirs}; we offer {ours}"
                ))
            }
            Error::Protocol(error) => Self::Handshake(error.to_string()),
        }
    }
}
