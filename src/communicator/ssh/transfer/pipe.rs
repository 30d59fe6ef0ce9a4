//! Streams through commands: into what one reads, or out of what it prints.

use std::io;

use anyhow::Context as _;
use futures::{Stream, StreamExt as _};
use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelWriteHalf};
use tokio::fs::File;
use tokio::io::{AsyncWriteExt as _, BufWriter};
use tokio::sync::mpsc;
use tokio_util::bytes::Bytes;

use super::progress::Counter;
use crate::communicator::ssh::Ssh;
use crate::communicator::ssh::exec::End;
use crate::component::Exit;
use crate::retry::Permanent;

/// How much is read and written at a time.
pub(super) const CHUNK: usize = 256 * 1024;

/// What is kept of the output and of the error output of a command.
const KEPT: usize = 4096;

/// How a command ended, and what it had to say.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) exit: Exit,
    /// The start of its output, where nobody else took it.
    printed: Vec<u8>,
    complaint: Vec<u8>,
}

impl Outcome {
    fn new() -> Self {
        Self { exit: Exit::Disconnected, printed: Vec::new(), complaint: Vec::new() }
    }

    /// Whether it printed `text`.
    pub(super) fn printed_has(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.printed).contains(text)
    }

    /// An error unless the command succeeded.
    pub(super) fn success(&self) -> anyhow::Result<()> {
        self.success_or(&[])
    }

    /// An error unless the command succeeded or ended with one of `fine`.
    pub(super) fn success_or(&self, fine: &[u32]) -> anyhow::Result<()> {
        let complaint = self.said();
        match self.exit {
            Exit::Status(status) if status == 0 || fine.contains(&status) => Ok(()),
            Exit::Disconnected => anyhow::bail!("the connection was lost"),
            Exit::Status(status) if complaint.is_empty() => {
                anyhow::bail!(Permanent(format!("the machine's shell ended with status {status}")))
            }
            Exit::Status(_) => anyhow::bail!(Permanent(format!("the machine says: {complaint}"))),
        }
    }

    /// What it printed on its error output, as one line.
    pub(super) fn said(&self) -> String {
        let complaint = self.complaint.trim_ascii();
        let line: Vec<u8> =
            complaint.iter().map(|&byte| if byte == b'\n' { b' ' } else { byte }).collect();
        crate::guest::harmless(&line)
    }

    fn complain(&mut self, bytes: &[u8]) {
        keep(&mut self.complaint, bytes);
    }
}

/// Adds to `kept` what it may still hold.
fn keep(kept: &mut Vec<u8>, bytes: &[u8]) {
    let room = KEPT.saturating_sub(kept.len());
    kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

/// Runs `command` with `input` as its standard input.
pub(super) async fn feed<S>(
    ssh: &Ssh,
    command: &str,
    input: S,
    counter: Option<&Counter>,
) -> anyhow::Result<Outcome>
where
    S: Stream<Item = io::Result<Bytes>> + Unpin,
{
    feed_channel(ssh.channel(false).await?, command, input, counter).await
}

/// Like [`feed`], on a channel that was opened before.
pub(super) async fn feed_channel<S>(
    channel: Channel<Msg>,
    command: &str,
    input: S,
    counter: Option<&Counter>,
) -> anyhow::Result<Outcome>
where
    S: Stream<Item = io::Result<Bytes>> + Unpin,
{
    channel.exec(true, command).await.context("the connection was lost")?;
    let (mut reading, writing) = channel.split();
    let mut outcome = Outcome::new();
    let mut end = End::default();
    let write = write_all(&writing, input, counter);
    tokio::pin!(write);
    let mut written = false;
    loop {
        tokio::select! {
            message = end.next(&mut reading) => match message {
                Some(ChannelMsg::Data { data }) => keep(&mut outcome.printed, &data),
                Some(ChannelMsg::ExtendedData { data, .. }) => outcome.complain(&data),
                Some(ChannelMsg::Failure) => anyhow::bail!("the server refuses to run commands"),
                Some(_) => {}
                None => break,
            },
            result = &mut write, if !written => {
                result?;
                written = true;
            }
        }
    }
    outcome.exit = end.exit();
    Ok(outcome)
}

/// Writes all of `input`. A channel that cannot take it any more is no error here: how the command
/// ended says why.
async fn write_all<S>(
    channel: &ChannelWriteHalf<Msg>,
    mut input: S,
    counter: Option<&Counter>,
) -> anyhow::Result<()>
where
    S: Stream<Item = io::Result<Bytes>> + Unpin,
{
    while let Some(chunk) = input.next().await {
        let chunk = chunk.context("cannot read what is to be uploaded")?;
        let length = chunk.len();
        if channel.data_bytes(chunk).await.is_err() {
            return Ok(());
        }
        if let Some(counter) = counter {
            counter.add(length);
        }
    }
    let _ = channel.eof().await;
    Ok(())
}

/// Where the output of a command goes.
pub(super) trait Sink: Send {
    /// Takes the next bytes; returning late slows the machine down.
    fn take(&mut self, data: Bytes) -> impl Future<Output = io::Result<()>> + Send;
    /// There is no more.
    fn finish(&mut self) -> impl Future<Output = io::Result<()>> + Send {
        async { Ok(()) }
    }
}

impl Sink for Vec<u8> {
    async fn take(&mut self, data: Bytes) -> io::Result<()> {
        self.extend_from_slice(&data);
        Ok(())
    }
}

impl Sink for mpsc::Sender<Bytes> {
    async fn take(&mut self, data: Bytes) -> io::Result<()> {
        self.send(data).await.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Sink for BufWriter<File> {
    async fn take(&mut self, data: Bytes) -> io::Result<()> {
        self.write_all(&data).await
    }

    async fn finish(&mut self) -> io::Result<()> {
        self.flush().await
    }
}

/// Runs `command` and gives its standard output to `to`.
pub(super) async fn drain(
    ssh: &Ssh,
    command: &str,
    to: &mut impl Sink,
    counter: Option<&Counter>,
) -> anyhow::Result<Outcome> {
    drain_channel(ssh.channel(false).await?, command, to, counter).await
}

/// Like [`drain`], on a channel that was opened before.
pub(super) async fn drain_channel(
    channel: Channel<Msg>,
    command: &str,
    to: &mut impl Sink,
    counter: Option<&Counter>,
) -> anyhow::Result<Outcome> {
    channel.exec(true, command).await.context("the connection was lost")?;
    channel.eof().await.context("the connection was lost")?;
    let (mut reading, _writing) = channel.split();
    let mut outcome = Outcome::new();
    let mut end = End::default();
    while let Some(message) = end.next(&mut reading).await {
        match message {
            ChannelMsg::Data { data } => {
                let length = data.len();
                to.take(data).await.context("cannot write what was downloaded")?;
                if let Some(counter) = counter {
                    counter.add(length);
                }
            }
            ChannelMsg::ExtendedData { data, .. } => outcome.complain(&data),
            ChannelMsg::Failure => anyhow::bail!("the server refuses to run commands"),
            _ => {}
        }
    }
    to.finish().await.context("cannot write what was downloaded")?;
    outcome.exit = end.exit();
    Ok(outcome)
}
