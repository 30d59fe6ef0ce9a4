//! An SSH server of ours on loopback: whoever logs in there works on the machine over our connection,
//! which needs neither our key nor our way.
//!
//! Each channel of theirs becomes a channel of ours, and everything that is said on one is said on
//! the other: commands, SFTP, terminals and signals pass as they are.

use std::net::Shutdown;
use std::sync::{Arc, Weak};
use std::time::Duration;

use anyhow::Context as _;
use russh::client;
use russh::keys::{PrivateKey, PublicKey};
use russh::server::{
    Auth, ChannelOpenHandle, Config, Handle, Handler, Msg, PublicKeyOffer, Session,
    VerifiedPublicKey, run_stream,
};
use russh::{
    Channel, ChannelId, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, MethodKind, MethodSet,
};
use tokio::net::TcpStream;

use super::Ssh;
use super::access::{LOOPBACK, listen, private_text};
use crate::communicator::key::{self, KeyType, TemporaryKey};
use crate::component::{Access, Sharing};

/// How long a program must wait after a login that is refused.
const AFTER_REFUSAL: Duration = Duration::from_millis(100);

/// Starts the server.
pub(super) async fn open(ssh: &Ssh, sharing: &Sharing) -> anyhow::Result<Access> {
    let host_key = match &sharing.host_key {
        Some(given) => key::parse(given.expose()).context("the proxy's host key cannot be used")?,
        None => new_key(sharing)?,
    };
    let (authorized, own) = match &sharing.authorized_key {
        Some(line) => {
            let context = "the public key that may log in to the proxy cannot be read";
            (PublicKey::from_openssh(line.trim()).context(context)?, None)
        }
        None => {
            let own = new_key(sharing)?;
            (own.public_key().clone(), Some(private_text(&own)?))
        }
    };
    let host_keys = vec![host_key.public_key().to_openssh()?];
    let user = sharing.user.clone().unwrap_or_else(|| ssh.server.user.clone());
    let door = Door {
        ssh: ssh.me.clone(),
        config: Arc::new(config(host_key)),
        user: user.clone(),
        authorized,
        sftp_command: sharing.sftp_command.clone(),
    };
    let (port, leads) = listen(Arc::new(door), sharing.port, serve).await?;
    Ok(Access {
        host: LOOPBACK.to_owned(),
        port,
        user,
        key: own,
        certificate: None,
        host_keys,
        leads: Some(leads),
    })
}

fn new_key(sharing: &Sharing) -> anyhow::Result<PrivateKey> {
    let (kind, bits) = if sharing.rsa { (KeyType::Rsa, 2048) } else { (KeyType::Ecdsa, 384) };
    Ok(TemporaryKey::generate(kind, Some(bits), "imgbake")?.key().clone())
}

fn config(host_key: PrivateKey) -> Config {
    Config {
        keys: vec![host_key],
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        auth_rejection_time: AFTER_REFUSAL,
        // Every client begins with a login that asks which ways there are.
        auth_rejection_time_initial: Some(Duration::ZERO),
        inactivity_timeout: None,
        nodelay: true,
        ..Config::default()
    }
}

/// Who is let in, and where that leads.
#[derive(Debug)]
struct Door {
    ssh: Weak<Ssh>,
    config: Arc<Config>,
    user: String,
    authorized: PublicKey,
    sftp_command: Option<String>,
}

/// Serves one program, until it hangs up or nobody waits for it any more.
async fn serve(door: Arc<Door>, stream: TcpStream) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let stream = stream.into_std()?;
    let _hang_up = HangUp(stream.try_clone()?);
    let stream = TcpStream::from_std(stream)?;
    run_stream(door.config.clone(), stream, Porter(door.clone())).await?.await?;
    Ok(())
}

/// The library serves on, in a task of its own, until the connection ends.
struct HangUp(std::net::TcpStream);

impl Drop for HangUp {
    fn drop(&mut self) {
        // Where it has ended already there is nothing to do.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// Answers one program.
struct Porter(Arc<Door>);

impl Porter {
    fn judge(&self, user: &str, key: &PublicKey) -> Auth {
        let known = user == self.0.user && key.key_data() == self.0.authorized.key_data();
        if known { Auth::Accept } else { Auth::reject() }
    }
}

impl Handler for Porter {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(self.judge(user, offer.public_key))
    }

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(self.judge(user, key.public_key))
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let (door, replies) = (self.0.clone(), session.handle());
        // The session cannot go on until this returns: the channel on the other side is opened
        // elsewhere.
        tokio::spawn(async move {
            let Some(ssh) = door.ssh.upgrade() else { return };
            match ssh.channel(false).await {
                Ok(ours) => {
                    reply.accept().await;
                    relay(channel, ours, replies, door.sftp_command.clone()).await;
                }
                Err(error) => tracing::warn!("no session for another program: {error:#}"),
            }
        });
        Ok(())
    }
}

/// Says on each channel what is said on the other, until one of them is closed.
async fn relay(
    theirs: Channel<Msg>,
    ours: Channel<client::Msg>,
    replies: Handle,
    sftp_command: Option<String>,
) {
    let id = theirs.id();
    let (mut from_theirs, to_theirs) = theirs.split();
    let (mut from_ours, to_ours) = ours.split();
    let there = async {
        if let Err(error) = forward(&mut from_theirs, &to_ours, sftp_command.as_deref()).await {
            tracing::debug!("to the machine: {error}");
            // It may have ended, and still have something to say.
            std::future::pending::<()>().await;
        }
    };
    let back = async {
        if let Err(error) = answer(&mut from_ours, &to_theirs, &replies, id).await {
            tracing::debug!("from the machine: {error}");
        }
    };
    tokio::select! {
        () = there => {}
        () = back => {}
    }
    // The side that closed first hears nothing new.
    let _ = to_ours.close().await;
    let _ = to_theirs.close().await;
}

/// What the program asks and sends goes to the machine.
async fn forward(
    from: &mut ChannelReadHalf,
    to: &ChannelWriteHalf<client::Msg>,
    sftp_command: Option<&str>,
) -> Result<(), russh::Error> {
    while let Some(message) = from.wait().await {
        match message {
            ChannelMsg::Data { data } => to.data_bytes(data).await?,
            ChannelMsg::Eof => to.eof().await?,
            ChannelMsg::Exec { command, .. } => to.exec(true, command).await?,
            ChannelMsg::RequestShell { .. } => to.request_shell(true).await?,
            ChannelMsg::RequestSubsystem { name, .. } => match sftp_command {
                Some(command) if name == "sftp" => to.exec(true, command).await?,
                _ => to.request_subsystem(true, name).await?,
            },
            ChannelMsg::RequestPty {
                term,
                col_width,
                row_height,
                pix_width,
                pix_height,
                terminal_modes,
                ..
            } => {
                let (cells, pixels) = ((col_width, row_height), (pix_width, pix_height));
                let modes = &terminal_modes;
                to.request_pty(true, &term, cells.0, cells.1, pixels.0, pixels.1, modes).await?;
            }
            ChannelMsg::Signal { signal } => to.signal(signal).await?,
            ChannelMsg::Close => break,
            // Variables are not passed on, as sshd does by default.
            _ => {}
        }
    }
    Ok(())
}

/// What the machine answers goes to the program.
async fn answer(
    from: &mut ChannelReadHalf,
    to: &ChannelWriteHalf<Msg>,
    replies: &Handle,
    id: ChannelId,
) -> Result<(), russh::Error> {
    let lost = |()| russh::Error::SendError;
    // A program that has said all and heard all hangs up: it must have heard the status by then.
    let (mut has_status, mut is_silent) = (false, false);
    while let Some(message) = from.wait().await {
        match message {
            ChannelMsg::Data { data } => to.data_bytes(data).await?,
            ChannelMsg::ExtendedData { data, ext } => to.extended_data_bytes(ext, data).await?,
            ChannelMsg::Success => replies.channel_success(id).await.map_err(lost)?,
            ChannelMsg::Failure => replies.channel_failure(id).await.map_err(lost)?,
            ChannelMsg::Eof => is_silent = true,
            ChannelMsg::ExitStatus { exit_status } => {
                to.exit_status(exit_status).await?;
                has_status = true;
            }
            ChannelMsg::ExitSignal { signal_name, core_dumped, error_message, lang_tag } => {
                let sent = replies
                    .exit_signal_request(id, signal_name, core_dumped, error_message, lang_tag)
                    .await;
                sent.map_err(lost)?;
                has_status = true;
            }
            ChannelMsg::Close => break,
            _ => {}
        }
        if has_status && std::mem::take(&mut is_silent) {
            to.eof().await?;
        }
    }
    Ok(())
}
