//! How another program of this machine logs in where we did.

use std::ops::RangeInclusive;
use std::sync::Weak;

use anyhow::Context as _;
use russh::keys::PrivateKey;
use russh::keys::ssh_key::LineEnding;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use super::Ssh;
use super::auth::Method;
use super::dial::Route;
use crate::component::Access;
use crate::secret::Secret;

/// What `ssh` must know; `None` where a key alone does not let it in: a password is told to no other
/// program.
pub(super) async fn own(ssh: &Ssh) -> anyhow::Result<Option<Access>> {
    let connection = ssh.connection().await?;
    let (key, certificate) = match connection.taken.as_slice() {
        [Method::Key(_, key)] => (Some(private_text(key)?), None),
        [Method::Certificate(_, key, certificate)] => {
            (Some(private_text(key)?), Some(certificate.to_openssh()?))
        }
        [Method::Agent(_)] => (None, None),
        _ => return Ok(None),
    };
    to_machine(ssh, key, certificate).await.map(Some)
}

/// The same for an `ssh` whose user gives it what lets it in.
pub(super) async fn unaided(ssh: &Ssh) -> anyhow::Result<Access> {
    // Which keys the machine shows is known once it was connected to.
    ssh.connection().await?;
    to_machine(ssh, None, None).await
}

async fn to_machine(
    ssh: &Ssh,
    key: Option<Secret>,
    certificate: Option<String>,
) -> anyhow::Result<Access> {
    let server = &ssh.server;
    let known = server.host_keys.known();
    let host_keys = known.iter().map(|key| key.to_openssh()).collect::<Result<_, _>>()?;
    let (host, port, leads) = match server.route {
        Route::Direct => (server.host.clone(), server.port, None),
        _ => {
            let (port, leads) = listen(ssh.me.clone(), 0, lead).await?;
            (LOOPBACK.to_owned(), port, Some(leads))
        }
    };
    Ok(Access { host, port, user: server.user.clone(), key, certificate, host_keys, leads })
}

/// Where only programs of this machine connect to.
pub(super) const LOOPBACK: &str = "127.0.0.1";
/// How many ports are tried, from the wanted one on.
const PORTS: u16 = 10;

/// A private key as a file of OpenSSH.
pub(super) fn private_text(key: &PrivateKey) -> anyhow::Result<Secret> {
    Ok(Secret::new(key.to_openssh(LineEnding::LF)?.as_str()))
}

/// Has every connection to a port of loopback served, for as long as the handle lives.
pub(super) async fn listen<S: Clone + Send + 'static, F>(
    state: S,
    wanted: u16,
    serve: impl Fn(S, TcpStream) -> F + Send + 'static,
) -> anyhow::Result<(u16, AbortOnDropHandle<()>)>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let ports = wanted..=if wanted == 0 { 0 } else { wanted.saturating_add(PORTS - 1) };
    let listener = bind(ports).await.context("no port is free on this machine to listen on")?;
    let port = listener.local_addr()?.port();
    let accept = async move {
        let mut open = JoinSet::new();
        while let Ok((local, _)) = listener.accept().await {
            let serving = serve(state.clone(), local);
            open.spawn(async move {
                if let Err(error) = serving.await {
                    tracing::warn!("a connection to port {port}: {error:#}");
                }
            });
            while open.try_join_next().is_some() {}
        }
    };
    Ok((port, AbortOnDropHandle::new(tokio::spawn(accept))))
}

/// The first of `ports` that is free.
async fn bind(ports: RangeInclusive<u16>) -> std::io::Result<TcpListener> {
    let mut refused = std::io::ErrorKind::AddrInUse.into();
    for port in ports {
        match TcpListener::bind((LOOPBACK, port)).await {
            Ok(listener) => return Ok(listener),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// Leads `local` to the machine's SSH server, the way that we go ourselves.
async fn lead(ssh: Weak<Ssh>, mut local: TcpStream) -> anyhow::Result<()> {
    let Some(ssh) = ssh.upgrade() else { return Ok(()) };
    local.set_nodelay(true)?;
    let server = &ssh.server;
    server.prepare_route().await?;
    let mut remote = server.route.dial(&server.host, server.port).await?;
    copy_bidirectional(&mut local, &mut remote).await?;
    Ok(())
}
