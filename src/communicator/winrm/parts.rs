//! A large file, several parts at a time.
//!
//! What a command reads comes in order, so each envelope waits for the answer to the one before. But each
//! part has a command of its own: together they write the file that one more command holds.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use async_trait::async_trait;
use futures::future::{join_all, try_join_all};
use futures::{StreamExt as _, stream};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::packed::{LONGEST_WORDS, arrived, digest, give, success};
use super::shell::{Chunks, ServiceShell};
use super::{WinRm, encoded};
use crate::communicator::progress::Counter;
use crate::event::Stream;
use crate::guest::{Capture, GuestOutput};
use crate::peer::open_regular;

/// Makes a file that goes with the command, prints its path, and once the input ends copies it to `$to` and
/// prints its digest.
const HOLD: &str = include_str!("hold.ps1");
/// Writes its input to the file `$held`, from `$at` on.
const PART: &str = include_str!("part.ps1");

/// A file of at least this size goes so: starting PowerShell once more takes as long as some envelopes.
pub(super) const LARGE: u64 = 32 * 1024 * 1024;
/// How many parts that are. Old services have five shells for each user.
const PARTS: u64 = 4;

/// Uploads the file `path` of `size` bytes to the file `to`.
pub(super) async fn upload(
    winrm: &WinRm,
    path: &Path,
    size: u64,
    to: &str,
    counter: Counter,
) -> anyhow::Result<()> {
    // All or none: a service may give one user fewer than that.
    let opened = join_all((0..=PARTS).map(|_| winrm.open())).await;
    let mut shells = opened.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let holder = shells.pop().context("no shells")?;
    let (told, held) = oneshot::channel();
    let all_came = CancellationToken::new();
    let parts = async {
        let held: String = held.await.context("the machine does not say where the parts go")?;
        let (each, counter) = (size.div_ceil(PARTS), Arc::new(counter));
        let part = |(number, shell)| {
            part(shell, path, &held, number * each..(number + 1) * each, &counter)
        };
        try_join_all((0..).zip(shells).map(part)).await?;
        all_came.cancel();
        anyhow::Ok(())
    };
    let file = open_regular(path)?;
    let whole = async {
        tokio::task::spawn_blocking(move || digest(file)).await.map_err(anyhow::Error::from)?
    };
    let hold = hold(holder, to, told, &all_came);
    let (written, (), digest) = tokio::try_join!(hold, parts, whole)?;
    arrived(&written, &digest)
}

/// Holds the file until `all_came`; its digest. `told` gets its path.
async fn hold(
    shell: ServiceShell,
    to: &str,
    told: oneshot::Sender<String>,
    all_came: &CancellationToken,
) -> anyhow::Result<String> {
    let end = stream::once(all_came.clone().cancelled_owned());
    let input: Chunks<'_> = Box::pin(end.filter_map(|()| std::future::ready(None)));
    let mut said = Held { told: Some(told), said: Capture::keeping(LONGEST_WORDS) };
    let exit = shell.run(&encoded(&[("to", to)], HOLD), Some(input), &mut said).await?;
    said.told.take();
    success(&said.said, exit)?;
    let printed = String::from_utf8_lossy(&said.said.stdout).into_owned();
    let last = printed.lines().last().map(|line| line.trim().to_owned());
    last.ok_or_else(|| anyhow!("the machine does not say what it has written"))
}

/// Uploads `range` of the file to the one that is held.
async fn part(
    shell: ServiceShell,
    path: &Path,
    held: &str,
    range: std::ops::Range<u64>,
    counter: &Arc<Counter>,
) -> anyhow::Result<()> {
    let mut file = open_regular(path)?;
    file.seek(SeekFrom::Start(range.start))?;
    let reader = file.take(range.end - range.start);
    let line = encoded(&[("held", held), ("at", &range.start.to_string())], PART);
    // The digest of the whole is what counts.
    give(shell, &line, reader, counter.clone()).await.map(drop)
}

/// Passes on the first line, and keeps all.
struct Held {
    told: Option<oneshot::Sender<String>>,
    said: Capture,
}

#[async_trait]
impl GuestOutput for Held {
    async fn chunk(&mut self, stream: Stream, bytes: &[u8]) {
        self.said.chunk(stream, bytes).await;
        let end = self.said.stdout.iter().position(|byte| *byte == b'\n');
        if let Some((end, told)) = end.and_then(|end| Some((end, self.told.take()?))) {
            let line = String::from_utf8_lossy(&self.said.stdout[..end]).trim().to_owned();
            // Who waits for it ends with us.
            let _ = told.send(line);
        }
    }
}
