//! What more than one command of the machine writes: it takes its place once it is whole, and goes
//! where that never comes.

use std::time::Duration;

use futures::SinkExt as _;
use russh::Channel;
use russh::client::Msg;
use tokio_util::bytes::Bytes;

use super::pipe;
use super::script::{self, command, word};
use crate::communicator::ssh::Ssh;

/// How often the machine is told that it is being written still, so that nobody takes the command that
/// watches for dead.
const STILL_WRITING: Duration = Duration::from_secs(60);

/// The path that `to` has on the machine until it is whole: beside the one that it gets.
pub(super) fn beside(to: &str) -> String {
    let id = uuid::Uuid::new_v4().simple();
    match to.rsplit_once('/') {
        Some((directory, _)) => format!("{directory}/.imgbake-{id}"),
        None => format!(".imgbake-{id}"),
    }
}

/// A file or a directory that is being written.
pub(super) struct Unfinished {
    /// For the command that watches over it.
    channel: Channel<Msg>,
    to: String,
    /// Where it is written: where it belongs, if it was there before.
    pub(super) at: String,
}

impl Unfinished {
    /// The file `to`, empty.
    pub(super) async fn file(ssh: &Ssh, to: &str) -> anyhow::Result<Self> {
        Self::begin(ssh, to, script::BEGIN).await
    }

    /// The directory `to`.
    pub(super) async fn directory(ssh: &Ssh, to: &str) -> anyhow::Result<Self> {
        Self::begin(ssh, to, script::BEGIN_DIRECTORY).await
    }

    async fn begin(ssh: &Ssh, to: &str, script: &str) -> anyhow::Result<Self> {
        let beside = beside(to);
        let begin = command(script, &[&word(to), &word(&beside)]);
        let begun = pipe::feed(ssh, &begin, futures::stream::empty(), None).await?;
        script::refuse_directory(begun.exit, to)?;
        begun.success()?;
        let at = if begun.printed_has(script::BESIDE) { beside } else { to.to_owned() };
        Ok(Self { channel: ssh.channel(false).await?, to: to.to_owned(), at })
    }

    /// Has it take its place after `writing`, with `mode` if one is given. A command of the machine
    /// watches over it all the while, and removes it where we cannot say any more that it is whole.
    pub(super) async fn keep_after(
        self,
        writing: impl Future<Output = anyhow::Result<()>>,
        mode: Option<u32>,
    ) -> anyhow::Result<()> {
        let mode = mode.map_or_else(|| "''".to_owned(), |mode| format!("{mode:o}"));
        let keep = command(script::KEEP, &[&word(&self.to), &word(&self.at), &mode]);
        let (mut say, words) = futures::channel::mpsc::channel(0);
        let watching = pipe::feed_channel(self.channel, &keep, words, None);
        let writing = async {
            let mut writing = std::pin::pin!(writing);
            let written = loop {
                tokio::select! {
                    written = &mut writing => break written,
                    () = tokio::time::sleep(STILL_WRITING) => {
                        let _ = say.try_send(Ok(Bytes::from_static(b"\n")));
                    }
                }
            };
            if written.is_ok() {
                // Where nobody listens any more, the end of the command says why.
                let _ = say.send(Ok(Bytes::from_static(b"whole\n"))).await;
            }
            drop(say);
            written
        };
        let (watched, written) = tokio::join!(watching, writing);
        written?;
        watched?.success()
    }
}
