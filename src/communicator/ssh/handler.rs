//! What the server says and asks on its own account during a connection.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use russh::Channel;
use russh::client::{ChannelOpenHandle, DisconnectReason, Handler, Msg, Session};
use russh::keys::{PublicKey, PublicKeyOrCertificate};
use russh::{ChannelOpenFailure, Names};
use tokio::net::{TcpStream, UnixStream};

use super::algorithm;
use super::host_key::{HostKeys, Mismatch};
use super::tunnel::Tunnel;
use super::words::Words;

/// Why a connection failed, before or after it stood.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// Not our machine.
    #[error(transparent)]
    HostKey(#[from] Mismatch),
    /// Everything else.
    #[error(transparent)]
    Protocol(#[from] russh::Error),
}

/// Answers the server of one connection.
#[derive(Debug)]
pub(super) struct ClientHandler {
    pub(super) host_keys: Arc<HostKeys>,
    /// The key that the server proved to have.
    pub(super) seen: Arc<OnceLock<PublicKey>>,
    /// Where the server's ports lead to.
    pub(super) remote_tunnels: Arc<[Tunnel]>,
    /// The agent that the server's commands may use.
    pub(super) agent: Option<PathBuf>,
    /// What it says to people.
    pub(super) words: Arc<Words>,
}

impl Handler for ClientHandler {
    type Error = Error;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, Error> {
        // No certificate algorithm is offered, so none is presented.
        let PublicKeyOrCertificate::PublicKey { key, .. } = key else { return Ok(false) };
        self.host_keys.check(key)?;
        let _ = self.seen.set(key.clone());
        Ok(true)
    }

    async fn auth_banner(&mut self, banner: &str, _session: &mut Session) -> Result<(), Error> {
        self.words.banner(banner);
        Ok(())
    }

    async fn kex_done(
        &mut self,
        _shared_secret: Option<&[u8]>,
        names: &Names,
        _session: &mut Session,
    ) -> Result<(), Error> {
        let old = algorithm::old_ones(names);
        if !old.is_empty() {
            self.words.once(format!(
                "The SSH server knows only old algorithms, which may be broken: {}. They were \
                 used; a newer server would be safer.",
                old.join(", ")
            ));
        }
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Error>) -> Result<(), Error> {
        match reason {
            DisconnectReason::ReceivedDisconnect(said) => {
                self.words.goodbye(&said.message);
                Ok(())
            }
            DisconnectReason::Error(error) => Err(error),
        }
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        channel: Channel<Msg>,
        _connected_address: &str,
        connected_port: u32,
        _originator_address: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Error> {
        let wanted = |tunnel: &&Tunnel| u32::from(tunnel.from_port) == connected_port;
        let Some(tunnel) = self.remote_tunnels.iter().find(wanted).cloned() else {
            reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
            return Ok(());
        };
        // The session cannot go on until this returns: the dialling happens elsewhere.
        tokio::spawn(async move {
            match TcpStream::connect((tunnel.to_host.as_str(), tunnel.to_port)).await {
                Ok(mut local) => {
                    reply.accept().await;
                    let mut remote = channel.into_stream();
                    let _ = tokio::io::copy_bidirectional(&mut local, &mut remote).await;
                }
                Err(error) => {
                    tracing::warn!("remote tunnel {tunnel}: {error}");
                    reply.reject(ChannelOpenFailure::ConnectFailed).await;
                }
            }
        });
        Ok(())
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Error> {
        let Some(agent) = self.agent.clone() else {
            reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
            return Ok(());
        };
        tokio::spawn(async move {
            match UnixStream::connect(&agent).await {
                Ok(mut local) => {
                    reply.accept().await;
                    let mut remote = channel.into_stream();
                    let _ = tokio::io::copy_bidirectional(&mut local, &mut remote).await;
                }
                Err(_) => reply.reject(ChannelOpenFailure::ConnectFailed).await,
            }
        });
        Ok(())
    }
}
