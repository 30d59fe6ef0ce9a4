//! Streams through commands: into what one reads, or out of what it prints.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use futures::Stream;
use russh::client::Msg;
use russh::{Channel, ChannelMsg};
use tokio::fs::File;
use tokio::io::{AsyncWriteExt as _, BufWriter};
use tokio::sync::mpsc;
use tokio_util::bytes::Bytes;

use super::progress::Counter;
use crate::communicator::ssh::Ssh;
use crate::communicator::ssh::exec::{CHUNK, End, write_all};
use crate::component::Exit;
use crate::fault::{Fault, Kind};
use crate::peer::Allowance;
use crate::retry::Permanent;

/// What is kept of the output and of the error output of a command.
const KEPT: usize = 4096;

/// How long a machine may neither take nor send anything in the middle of a transfer.
const STALLED: Duration = Duration::from_secs(600);

fn stalled() -> anyhow::Error {
    anyhow::anyhow!("the machine has neither taken nor sent anything for {STALLED:?}")
}

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

    /// All that it had to say, `printed` being its output where somebody else took that.
    pub(super) fn said_with(&self, printed: &[u8]) -> String {
        let mut all = Vec::new();
        for part in [&self.printed, printed, b" ", &self.complaint] {
            keep(&mut all, part);
        }
        one_line(&all)
    }

    /// Whether it ended in a way that none of our scripts ends in, having printed something: then
    /// it was something else that ran.
    pub(super) fn is_foreign(&self) -> bool {
        // 64: a directory is in the way; 126 and 127: the shell could not run a command.
        let ours = matches!(self.exit, Exit::Disconnected | Exit::Status(0..=2 | 64 | 126 | 127));
        !ours && !self.printed.is_empty()
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
            Exit::Disconnected => {
                let error = anyhow::anyhow!("the connection was lost");
                Err(Fault::passing(Kind::Guest).mark(error))
            }
            Exit::Status(status) if complaint.is_empty() => {
                anyhow::bail!(Permanent(format!("the machine's shell ended with status {status}")))
            }
            Exit::Status(_) => anyhow::bail!(Permanent(format!("the machine says: {complaint}"))),
        }
    }

    /// What it printed on its error output, as one line.
    pub(super) fn said(&self) -> String {
        one_line(&self.complaint)
    }

    fn complain(&mut self, bytes: &[u8]) {
        keep(&mut self.complaint, bytes);
    }
}

fn one_line(text: &[u8]) -> String {
    let harmless = crate::guest::harmless(text.trim_ascii());
    harmless.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
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
    let moved = AtomicBool::new(false);
    let write = write_all(&writing, input, |length| {
        moved.store(true, Ordering::Relaxed);
        if let Some(counter) = counter {
            counter.add(length);
        }
    });
    tokio::pin!(write);
    let mut written = false;
    loop {
        tokio::select! {
            message = end.next(&mut reading) => match message {
                Some(ChannelMsg::Data { data }) => keep(&mut outcome.printed, &data),
                Some(ChannelMsg::ExtendedData { data, .. }) => outcome.complain(&data),
                Some(ChannelMsg::Failure) => anyhow::bail!(Permanent(crate::communicator::ssh::exec::REFUSED.into())),
                Some(_) => {}
                None => break,
            },
            result = &mut write, if !written => {
                result?;
                written = true;
            }
            () = tokio::time::sleep(STALLED) => {
                if !moved.swap(false, Ordering::Relaxed) {
                    return Err(stalled());
                }
            }
        }
    }
    outcome.exit = end.exit();
    Ok(outcome)
}

/// Where the output of a command goes.
pub(super) trait Sink: Send {
    /// Takes the next bytes; returning late slows the machine down.
    fn take(&mut self, data: Bytes) -> impl Future<Output = anyhow::Result<()>> + Send;
    /// There is no more.
    fn finish(&mut self) -> impl Future<Output = anyhow::Result<()>> + Send {
        async { Ok(()) }
    }
}

/// An answer that a program reads, as long as it may be.
struct Answer {
    bytes: Vec<u8>,
    allowed: Allowance,
}

impl Sink for Answer {
    async fn take(&mut self, data: Bytes) -> anyhow::Result<()> {
        self.allowed.check((self.bytes.len() + data.len()) as u64)?;
        self.bytes.extend_from_slice(&data);
        Ok(())
    }
}

impl Sink for mpsc::Sender<Bytes> {
    async fn take(&mut self, data: Bytes) -> anyhow::Result<()> {
        self.send(data).await.context("nobody reads what is downloaded")
    }
}

/// A local file, and how many more bytes it takes.
pub(super) struct FileSink {
    file: BufWriter<File>,
    left: u64,
}

impl FileSink {
    pub(super) fn new(file: File, left: u64) -> Self {
        Self { file: BufWriter::with_capacity(CHUNK, file), left }
    }

    /// The file, after [`finish`](Sink::finish).
    pub(super) fn into_file(self) -> File {
        self.file.into_inner()
    }
}

impl Sink for FileSink {
    async fn take(&mut self, data: Bytes) -> anyhow::Result<()> {
        let left = self.left.checked_sub(data.len() as u64);
        self.left = left.context("the machine sends more than it said")?;
        self.file.write_all(&data).await.context("cannot write what was downloaded")
    }

    async fn finish(&mut self) -> anyhow::Result<()> {
        self.file.flush().await.context("cannot write what was downloaded")
    }
}

/// Runs `command` for what it prints, as far as that is `allowed`.
pub(super) async fn ask(
    ssh: &Ssh,
    command: &str,
    allowed: Allowance,
) -> anyhow::Result<(Outcome, Vec<u8>)> {
    let mut answer = Answer { bytes: Vec::new(), allowed };
    let outcome = allowed.in_time(drain(ssh, command, &mut answer, None)).await??;
    Ok((outcome, answer.bytes))
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
    while let Some(message) =
        tokio::time::timeout(STALLED, end.next(&mut reading)).await.map_err(|_| stalled())?
    {
        match message {
            ChannelMsg::Data { data } => {
                let length = data.len();
                to.take(data).await?;
                if let Some(counter) = counter {
                    counter.add(length);
                }
            }
            ChannelMsg::ExtendedData { data, .. } => outcome.complain(&data),
            ChannelMsg::Failure => {
                anyhow::bail!(Permanent(crate::communicator::ssh::exec::REFUSED.into()))
            }
            _ => {}
        }
    }
    to.finish().await?;
    outcome.exit = end.exit();
    Ok(outcome)
}
