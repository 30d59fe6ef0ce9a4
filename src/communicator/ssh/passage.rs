//! Sessions of other programs on our connection: each channel of theirs becomes a channel of ours, and
//! everything that is said on one is said on the other. Commands, SFTP, terminals and signals pass as
//! they are.

use std::sync::Weak;

use async_trait::async_trait;
use russh::client;
use russh::server::{ChannelOpenHandle, Handle, Msg};
use russh::{Channel, ChannelId, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};

use super::Ssh;
use super::share::{SessionRequest, Upstream};

/// A machine that we reach over SSH.
pub(super) struct SshUpstream(pub(super) Weak<Ssh>);

#[async_trait]
impl Upstream for SshUpstream {
    async fn session(&self, theirs: Channel<Msg>, reply: ChannelOpenHandle, asked: SessionRequest) {
        let Some(ssh) = self.0.upgrade() else { return };
        match ssh.channel(false).await {
            Ok(ours) => {
                reply.accept().await;
                relay(theirs, ours, asked).await;
            }
            Err(error) => tracing::warn!("no session for another program: {error:#}"),
        }
    }
}

/// Says on each channel what is said on the other, until one of them is closed.
async fn relay(theirs: Channel<Msg>, ours: Channel<client::Msg>, asked: SessionRequest) {
    let SessionRequest { replies, sftp_command } = asked;
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
