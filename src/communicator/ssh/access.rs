//! How another program of this machine logs in where we did.

use std::sync::Weak;

use russh::keys::PrivateKey;
use russh::keys::ssh_key::LineEnding;
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;

use super::Ssh;
use super::auth::Method;
use super::dial::Route;
use crate::communicator::listening::{LOOPBACK, listen};
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

/// A private key as a file of OpenSSH.
pub(super) fn private_text(key: &PrivateKey) -> anyhow::Result<Secret> {
    Ok(Secret::new(key.to_openssh(LineEnding::LF)?.as_str()))
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
