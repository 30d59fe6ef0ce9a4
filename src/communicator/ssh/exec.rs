//! Running one command.

use std::io;
use std::time::Duration;

use anyhow::Context as _;
use futures::StreamExt as _;
use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Pty, Sig};
use tokio_util::bytes::Bytes;
use tokio_util::io::ReaderStream;

use super::server::Connection;
use super::{Ssh, line};
use crate::component::{Command, Exit, Input};
use crate::event::Stream;
use crate::guest::GuestOutput;
use crate::retry::Permanent;

/// How much is read and written at a time.
pub(super) const CHUNK: usize = 256 * 1024;

/// How long a command that has ended may be silent before its output counts as complete: what it
/// left in the background may hold the channel open for ever.
const AFTER_EXIT: Duration = Duration::from_secs(2);
/// What is said of a server that takes no command at all.
pub(super) const REFUSED: &str = "the server refuses to run commands";
/// The terminal of `ssh_pty`: echo off, and an old modem's speed, as templates are used to.
const TERMINAL_MODES: [(Pty, u32); 3] =
    [(Pty::ECHO, 0), (Pty::TTY_OP_ISPEED, 14400), (Pty::TTY_OP_OSPEED, 14400)];

/// Opens a channel for one command.
pub(super) async fn open(connection: &Connection, pty: bool) -> Result<Channel<Msg>, russh::Error> {
    let channel = connection.handle.channel_open_session().await?;
    if connection.forwards_agent {
        channel.agent_forward(false).await?;
    }
    if pty {
        channel.request_pty(false, "xterm", 80, 40, 0, 0, &TERMINAL_MODES).await?;
    }
    Ok(channel)
}

/// Runs `command`, which reads `input` if it is given any; `output` gets what it prints.
pub(super) async fn run(
    ssh: &Ssh,
    command: Command<'_>,
    input: Option<Input<'_>>,
    output: &mut dyn GuestOutput,
) -> anyhow::Result<Exit> {
    run_line(ssh, line::of(ssh, command).await?, input, output).await
}

/// The same for a `line` that the login shell can read as it is.
pub(super) async fn run_line(
    ssh: &Ssh,
    line: String,
    input: Option<Input<'_>>,
    output: &mut dyn GuestOutput,
) -> anyhow::Result<Exit> {
    // A terminal would change what goes in.
    let channel = ssh.channel(ssh.pty && input.is_none()).await?;
    let lost = "the connection was lost as the command started";
    channel.exec(true, line).await.context(lost)?;
    let Some(input) = input else {
        channel.eof().await.context(lost)?;
        return follow(channel.split().0, output).await;
    };
    let (reading, writing) = channel.split();
    tokio::select! {
        exit = follow(reading, output) => exit,
        // Where all is given, only the end of the command is waited for.
        Err(error) = write_all(&writing, ReaderStream::with_capacity(input, CHUNK), |_| ()) => Err(error),
    }
}

/// Passes on what a command prints, until it ends.
async fn follow(
    mut reading: ChannelReadHalf,
    output: &mut dyn GuestOutput,
) -> anyhow::Result<Exit> {
    let mut end = End::of_any_command();
    while let Some(message) = end.next(&mut reading).await {
        match message {
            ChannelMsg::Data { data } => output.chunk(Stream::Stdout, &data).await,
            ChannelMsg::ExtendedData { data, .. } => output.chunk(Stream::Stderr, &data).await,
            ChannelMsg::Failure => anyhow::bail!(Permanent(REFUSED.into())),
            _ => {}
        }
    }
    Ok(end.exit())
}

/// How a command ended, learned bit by bit.
#[derive(Debug, Default)]
pub(super) struct End {
    status: Option<u32>,
    /// How long the channel may be silent after the command's end; `None`: until it is closed.
    silence: Option<Duration>,
}

impl End {
    /// For a command that may leave something behind.
    fn of_any_command() -> Self {
        Self { status: None, silence: Some(AFTER_EXIT) }
    }

    /// The next message of a channel; `None` when the command is over.
    pub(super) async fn next(&mut self, channel: &mut ChannelReadHalf) -> Option<ChannelMsg> {
        let message = match self.silence.filter(|_| self.status.is_some()) {
            None => channel.wait().await?,
            Some(silence) => tokio::time::timeout(silence, channel.wait()).await.ok()??,
        };
        match &message {
            ChannelMsg::ExitStatus { exit_status } => self.status = Some(*exit_status),
            ChannelMsg::ExitSignal { signal_name, .. } => {
                self.status = Some(128 + number(signal_name));
            }
            ChannelMsg::Close => return None,
            _ => {}
        }
        Some(message)
    }

    /// How it ended.
    pub(super) fn exit(&self) -> Exit {
        self.status.map_or(Exit::Disconnected, Exit::Status)
    }
}

/// The number by which shells know a signal.
fn number(signal: &Sig) -> u32 {
    match signal {
        Sig::HUP => 1,
        Sig::INT => 2,
        Sig::QUIT => 3,
        Sig::ILL => 4,
        Sig::ABRT => 6,
        Sig::FPE => 8,
        Sig::KILL => 9,
        Sig::USR1 => 10,
        Sig::SEGV => 11,
        Sig::PIPE => 13,
        Sig::ALRM => 14,
        Sig::TERM => 15,
        Sig::Custom(_) => 0,
    }
}

/// Writes all of `input`; `moved` is told of every piece. A channel that cannot take it any more is no
/// error here: how the command ended says why.
pub(super) async fn write_all<S>(
    channel: &ChannelWriteHalf<Msg>,
    mut input: S,
    moved: impl Fn(usize),
) -> anyhow::Result<()>
where
    S: futures::Stream<Item = io::Result<Bytes>> + Unpin,
{
    while let Some(chunk) = input.next().await {
        let chunk = chunk.context("cannot read what is sent to the machine")?;
        let length = chunk.len();
        if channel.data_bytes(chunk).await.is_err() {
            return Ok(());
        }
        moved(length);
    }
    let _ = channel.eof().await;
    Ok(())
}
