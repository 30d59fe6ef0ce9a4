//! Ports of one side that lead to the other.

use std::fmt;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

use super::Ssh;

/// `FROM_PORT:TO_HOST:TO_PORT`. The listening side is always `localhost`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::communicator) struct Tunnel {
    pub(in crate::communicator) from_port: u16,
    pub(in crate::communicator) to_host: String,
    pub(in crate::communicator) to_port: u16,
}

impl Tunnel {
    /// Reads the notation of `ssh_local_tunnels` and `ssh_remote_tunnels`.
    pub(in crate::communicator) fn parse(text: &str) -> Result<Self, String> {
        let refused = || format!("`{text}` is no tunnel: write PORT:HOST:PORT");
        let (from_port, rest) = text.split_once(':').ok_or_else(refused)?;
        let (to_host, to_port) = rest.rsplit_once(':').ok_or_else(refused)?;
        let bare = to_host.trim_start_matches('[').trim_end_matches(']');
        if bare.is_empty() || (bare.contains(':') && !to_host.starts_with('[')) {
            return Err(refused());
        }
        Ok(Self {
            from_port: from_port.parse().map_err(|_| refused())?,
            to_host: bare.to_owned(),
            to_port: to_port.parse().map_err(|_| refused())?,
        })
    }
}

impl fmt::Display for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.from_port, self.to_host, self.to_port)
    }
}

/// Listens on a local port, as long as the returned handle lives, and leads each connection to the
/// machine's side.
pub(super) async fn open_local(
    ssh: &Arc<Ssh>,
    tunnel: Tunnel,
) -> anyhow::Result<AbortOnDropHandle<()>> {
    let listener = TcpListener::bind(("127.0.0.1", tunnel.from_port))
        .await
        .with_context(|| format!("cannot open the local tunnel {tunnel}"))?;
    // A strong reference would keep the connection alive for ever.
    let ssh = Arc::downgrade(ssh);
    let accept = async move {
        while let Ok((local, _)) = listener.accept().await {
            let Some(ssh) = ssh.upgrade() else { return };
            let tunnel = tunnel.clone();
            tokio::spawn(async move {
                if let Err(error) = lead(&ssh, &tunnel, local).await {
                    tracing::warn!("local tunnel {tunnel}: {error:#}");
                }
            });
        }
    };
    Ok(AbortOnDropHandle::new(tokio::spawn(accept)))
}

async fn lead(ssh: &Ssh, tunnel: &Tunnel, mut local: TcpStream) -> anyhow::Result<()> {
    let from = local.peer_addr()?;
    let connection = ssh.connection().await?;
    let mut remote = connection
        .handle
        .channel_open_direct_tcpip(
            tunnel.to_host.clone(),
            tunnel.to_port.into(),
            from.ip().to_string(),
            from.port().into(),
        )
        .await?
        .into_stream();
    tokio::io::copy_bidirectional(&mut local, &mut remote).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tunnel_is_two_ports_and_a_host() {
        let tunnel = Tunnel::parse("8080:db.internal:5432").unwrap();
        assert_eq!(
            (tunnel.from_port, tunnel.to_host.as_str(), tunnel.to_port),
            (8080, "db.internal", 5432)
        );
        assert_eq!(Tunnel::parse("1:[::1]:2").unwrap().to_host, "::1");
        for wrong in ["", "80", "80:host", "a:host:1", "1:host:b", "1::2", "127.0.0.1:1:host:2"] {
            assert!(Tunnel::parse(wrong).is_err(), "{wrong}");
        }
    }
}
