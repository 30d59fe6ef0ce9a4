//! How the bytes get to a server: directly, through a SOCKS5 proxy, or through a bastion.

use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::server::{Connection, Server};
use super::words::{self, it_says};
use crate::communicator::way::tcp;
use crate::communicator::{Transport, Way};
use crate::retry::Backoff;
use crate::secret::Secret;

/// The way to a server.
#[derive(Debug)]
pub(super) enum Route {
    Direct,
    Socks5(Proxy),
    Bastion(Box<Bastion>),
    Way(Arc<dyn Way>),
}

/// A SOCKS5 proxy.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) password: Option<Secret>,
}

/// A server to go through, and the connection to it once there is one.
#[derive(Debug)]
pub(super) struct Bastion {
    pub(super) server: Server,
    pub(super) connection: tokio::sync::Mutex<Option<Arc<Connection>>>,
}

/// Why one attempt did not reach a server.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("the proxy {0}")]
    Proxy(String),
    #[error("through the bastion: {0}")]
    Bastion(#[from] russh::Error),
    #[error("no answer within {0:?}")]
    Silent(Duration),
    #[error("the connection was closed before the server greeted{}", it_says(.0))]
    NoGreeting(String),
}

/// The pause between two attempts. It stays short, so that we notice quickly when the server answers.
const BETWEEN_ATTEMPTS: Backoff =
    Backoff { first: Duration::from_millis(25), factor: 1.5, longest: Duration::from_millis(200) };
/// The same while somebody takes connections without a greeting: a forwarder before a machine that
/// starts, or a server that is so slow that more attempts would keep it from answering any.
const BETWEEN_GREETINGS: Backoff = Backoff {
    first: Duration::from_millis(200),
    factor: 1.2,
    longest: Duration::from_millis(1500),
};
/// How long a server may take to accept. A machine that starts drops what it is sent: what helps is
/// a new attempt, not patience.
const IMPATIENT: Duration = Duration::from_secs(1);
/// How long a server may take to greet, and every sixteenth attempt to reach one that is far away.
const PATIENT: Duration = Duration::from_secs(15);

/// How much a server may say before it greets.
const LONGEST_GREETING: usize = 16 * 1024;

/// A connection to a server that has greeted.
pub(super) struct Greeted {
    /// What the server says is read from its greeting on.
    pub(super) transport: Transport,
    /// Whether it is Windows' OpenSSH.
    pub(super) is_windows: bool,
}

/// What Windows' OpenSSH calls itself in its greeting.
const WINDOWS: &str = "OpenSSH_for_Windows";

/// Attempts until a server greets; each begins while those before it may still be pending.
/// `failed` hears why each attempt failed.
///
/// # Errors
/// When the route itself is gone.
pub(super) async fn until_greeted(
    route: &Route,
    host: &str,
    port: u16,
    mut failed: impl FnMut(&DialError),
) -> Result<Greeted, DialError> {
    let accepted = AtomicUsize::new(0);
    let mut pending = FuturesUnordered::new();
    let (mut attempts, mut greetings) = (BETWEEN_ATTEMPTS.waits(), BETWEEN_GREETINGS.waits());
    for number in 1_u64.. {
        let patience = if number.is_multiple_of(16) { PATIENT } else { IMPATIENT };
        pending.push(attempt(route, host, port, patience, &accepted));
        let wait = tokio::time::sleep(attempts.next().unwrap_or_default());
        tokio::pin!(wait);
        let mut has_waited_longer = false;
        loop {
            tokio::select! {
                Some(result) = pending.next() => match result {
                    Ok(greeted) => return Ok(greeted),
                    Err(error) => {
                        failed(&error);
                        if pending.is_empty() && route.is_gone().await {
                            return Err(error);
                        }
                    }
                },
                () = &mut wait => {
                    // Nobody has accepted: try again now. Somebody has: wait once more, longer, for
                    // a greeting.
                    if has_waited_longer || accepted.load(Ordering::Relaxed) == 0 {
                        break;
                    }
                    has_waited_longer = true;
                    let longer = greetings.next().unwrap_or_default();
                    wait.as_mut().reset(tokio::time::Instant::now() + longer);
                }
            }
        }
    }
    std::future::pending().await
}

/// One attempt. While it waits for a greeting, it counts among those `accepted`.
async fn attempt(
    route: &Route,
    host: &str,
    port: u16,
    patience: Duration,
    accepted: &AtomicUsize,
) -> Result<Greeted, DialError> {
    let dialled = tokio::time::timeout(patience, route.dial(host, port)).await;
    let transport = dialled.unwrap_or(Err(DialError::Silent(patience)))?;
    accepted.fetch_add(1, Ordering::Relaxed);
    let greeted = tokio::time::timeout(PATIENT, greeted(transport)).await;
    accepted.fetch_sub(1, Ordering::Relaxed);
    greeted.unwrap_or(Err(DialError::Silent(PATIENT)))
}

/// Waits for the first bytes of the server, which tell it from a forwarder that accepts everything.
/// They are read again by whoever gets the transport.
async fn greeted(mut transport: Transport) -> Result<Greeted, DialError> {
    let mut greeting = Vec::new();
    // A server that is too busy says so, instead, and hangs up.
    while !is_greeting(&greeting) {
        if greeting.len() >= LONGEST_GREETING || transport.read_buf(&mut greeting).await? == 0 {
            let said = words::harmless(&String::from_utf8_lossy(&greeting));
            return Err(DialError::NoGreeting(said));
        }
    }
    let is_windows = String::from_utf8_lossy(&greeting).contains(WINDOWS);
    let (reader, writer) = tokio::io::split(transport);
    let transport = Box::new(tokio::io::join(Cursor::new(greeting).chain(reader), writer));
    Ok(Greeted { transport, is_windows })
}

/// Whether `text` has the whole line in which a server begins to speak SSH.
fn is_greeting(text: &[u8]) -> bool {
    let is_it = |line: &[u8]| line.starts_with(b"SSH-") && line.ends_with(b"\n");
    text.split_inclusive(|&byte| byte == b'\n').any(is_it)
}

impl Route {
    /// One attempt, as long as it takes.
    pub(super) async fn dial(&self, host: &str, port: u16) -> Result<Transport, DialError> {
        match self {
            Self::Direct => Ok(Box::new(tcp(host, port).await?)),
            Self::Socks5(proxy) => Ok(Box::new(proxy.dial(host, port).await?)),
            Self::Bastion(bastion) => {
                let connection = bastion.connection.lock().await.clone();
                let connection = connection.ok_or(russh::Error::Disconnect)?;
                let channel = connection
                    .handle
                    .channel_open_direct_tcpip(host, port.into(), "127.0.0.1", 0)
                    .await?;
                Ok(Box::new(channel.into_stream()))
            }
            Self::Way(way) => Ok(way.dial().await?),
        }
    }

    /// Whether no attempt can succeed until the route is prepared anew.
    async fn is_gone(&self) -> bool {
        match self {
            Self::Direct | Self::Socks5(_) => false,
            Self::Bastion(bastion) => {
                let connection = bastion.connection.lock().await;
                connection.as_ref().is_none_or(|connection| connection.handle.is_closed())
            }
            Self::Way(way) => !way.is_open(),
        }
    }

    /// What stands in the way of preparing it.
    pub(super) fn trouble(&self) -> Option<String> {
        match self {
            Self::Way(way) => way.trouble(),
            _ => None,
        }
    }
}

impl Proxy {
    /// Asks for a connection as RFC 1928 (and 1929 for the password) has it.
    async fn dial(&self, host: &str, port: u16) -> Result<TcpStream, DialError> {
        let mut stream = tcp(&self.host, self.port).await?;
        let methods: &[u8] = if self.user.is_empty() { &[5, 1, 0] } else { &[5, 2, 0, 2] };
        stream.write_all(methods).await?;
        let mut chosen = [0; 2];
        stream.read_exact(&mut chosen).await?;
        match chosen {
            [5, 0] => {}
            [5, 2] => self.log_in(&mut stream).await?,
            [5, _] => return Err(DialError::Proxy("refuses every way to log in".into())),
            _ => return Err(DialError::Proxy("does not speak SOCKS5".into())),
        }
        stream.write_all(&connect_request(host, port)?).await?;
        read_reply(&mut stream).await?;
        Ok(stream)
    }

    async fn log_in(&self, stream: &mut TcpStream) -> Result<(), DialError> {
        let password = self.password.as_ref().map_or("", Secret::expose);
        let mut request = vec![1];
        for text in [self.user.as_str(), password] {
            request.push(short_length(text)?);
            request.extend_from_slice(text.as_bytes());
        }
        stream.write_all(&request).await?;
        let mut answer = [0; 2];
        stream.read_exact(&mut answer).await?;
        match answer {
            [_, 0] => Ok(()),
            _ => Err(DialError::Proxy(format!("refuses the password of `{}`", self.user))),
        }
    }
}

fn short_length(text: &str) -> Result<u8, DialError> {
    u8::try_from(text.len())
        .map_err(|_| DialError::Proxy("takes no name or password of more than 255 bytes".into()))
}

fn connect_request(host: &str, port: u16) -> Result<Vec<u8>, DialError> {
    let mut request = vec![5, 1, 0];
    match host.parse() {
        Ok(std::net::IpAddr::V4(address)) => {
            request.push(1);
            request.extend(address.octets());
        }
        Ok(std::net::IpAddr::V6(address)) => {
            request.push(4);
            request.extend(address.octets());
        }
        Err(_) => {
            request.extend([3, short_length(host)?]);
            request.extend(host.as_bytes());
        }
    }
    request.extend(port.to_be_bytes());
    Ok(request)
}

async fn read_reply(stream: &mut TcpStream) -> Result<(), DialError> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let failure = match head[1] {
        0 => None,
        1 => Some("had a failure of its own"),
        2 => Some("does not allow this connection"),
        3 => Some("says that the network is unreachable"),
        4 => Some("says that the host is unreachable"),
        5 => Some("says that the connection was refused"),
        6 => Some("says that the connection timed out"),
        _ => Some("does not support this kind of connection"),
    };
    if let Some(failure) = failure {
        return Err(DialError::Proxy(failure.into()));
    }
    let length = match head[3] {
        1 => 4,
        4 => 16,
        _ => usize::from(stream.read_u8().await?),
    };
    let mut bound = vec![0; length + 2];
    stream.read_exact(&mut bound).await?;
    Ok(())
}
