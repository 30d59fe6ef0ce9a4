//! An image on its way: streamed into a file, with its checksum taken.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt as _;

use crate::event::{Message, Progress, Ui};
use crate::fault::{Fault, Kind};
use crate::peer::Allowance;
use crate::vm::checksum::Digest;

/// How often the progress of a download is reported.
const REPORT_EVERY: Duration = Duration::from_millis(200);

/// What a peer is about to send.
pub(super) struct Opened {
    pub chunks: BoxStream<'static, anyhow::Result<Vec<u8>>>,
    /// How much that is, if the peer says it.
    pub total: Option<u64>,
}

/// A download under way.
pub(super) struct Transfer<'a> {
    /// What is downloaded, for people.
    pub what: &'a str,
    pub expected: Option<&'a Digest>,
    pub allowance: Allowance,
    pub ui: &'a Ui,
}

impl Transfer<'_> {
    /// Streams `opened` to a temporary file in `dir`, and takes its checksum on the way.
    pub async fn receive(&self, opened: Opened, dir: &Path) -> anyhow::Result<NamedTempFile> {
        let Opened { mut chunks, total } = opened;
        self.allowance.check(total.unwrap_or(0))?;
        let file = NamedTempFile::with_prefix_in(".download-", dir)?;
        let mut writer = tokio::fs::File::from_std(file.reopen()?);
        let mut hasher = self.expected.map(|expected| expected.kind.hasher());
        let (mut done, mut reported) = (0, Instant::now());
        while let Some(chunk) = chunks.next().await.transpose()? {
            self.allowance.check(done + chunk.len() as u64)?;
            writer.write_all(&chunk).await?;
            if let Some(hasher) = &mut hasher {
                hasher.update(&chunk);
            }
            done += chunk.len() as u64;
            if reported.elapsed() >= REPORT_EVERY {
                reported = Instant::now();
                self.report(done, total, false);
            }
        }
        writer.flush().await?;
        self.report(done, total, true);
        let found = hasher.map(|hasher| hasher.finish());
        if let (Some(found), Some(expected)) = (found, self.expected)
            && found != *expected
        {
            return Err(wrong(format!("its checksum is {found}, but {expected} is expected")));
        }
        Ok(file)
    }

    fn report(&self, done: u64, total: Option<u64>, finished: bool) {
        let what = self.what.to_owned();
        self.ui.send(Message::Progress(Progress { what, done, total, finished }));
    }
}

/// That a file is not what the template says it is.
pub(super) fn wrong(text: String) -> anyhow::Error {
    Fault::lasting(Kind::Template).mark(anyhow!(text))
}
