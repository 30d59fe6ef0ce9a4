//! What both kinds of uploads share: how bytes go to one of our scripts, and whether they arrived.

use std::io::{self, BufWriter, Read, Write as _};
use std::sync::Arc;

use anyhow::{anyhow, bail, ensure};
use base64::engine::general_purpose::STANDARD as BASE64;
use base64::write::EncoderWriter;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::StreamExt as _;
use sha2::{Digest as _, Sha256};

use super::shell::{Chunks, ServiceShell};
use crate::communicator::bridge::{self, BlockWriter};
use crate::communicator::progress::Counter;
use crate::component::Exit;
use crate::fault::{Fault, Kind};
use crate::guest::{self, Capture};
use crate::retry::Permanent;

/// The status of a script that was to write to, or read, a directory.
const IS_DIRECTORY: u32 = 64;
/// How much is read at a time.
const CHUNK: usize = 128 * 1024;
/// What a machine may say of a transfer.
pub(super) const LONGEST_WORDS: usize = 64 * 1024;

/// Gives one of our scripts what `reader` holds: the digest of it, and what the script has said.
pub(super) async fn give(
    shell: ServiceShell,
    line: &str,
    reader: impl Read + Send + 'static,
    counter: Arc<Counter>,
) -> anyhow::Result<(String, Capture)> {
    let (writer, blocks) = bridge::writer();
    let packing = tokio::task::spawn_blocking(move || pack(reader, writer, &counter));
    let input: Chunks<'_> = Box::pin(blocks.map(|block| Ok(block?)));
    let mut said = Capture::keeping(LONGEST_WORDS);
    let exit = shell.run(line, Some(input), &mut said).await?;
    success(&said, exit)?;
    // Whoever reads no more ends the packing.
    Ok((packing.await??, said))
}

/// An error unless what the machine has `written` has our `digest`.
pub(super) fn arrived(written: &str, digest: &str) -> anyhow::Result<()> {
    let written = written.trim();
    ensure!(
        written == digest,
        "the file on the machine has the digest {written:?}, not {digest}: it was changed on its way"
    );
    Ok(())
}

/// Writes all of `reader` as base64 of its compressed bytes, and gives the digest of it.
fn pack(mut reader: impl Read, to: BlockWriter, counter: &Counter) -> anyhow::Result<String> {
    let text = EncoderWriter::new(BufWriter::with_capacity(CHUNK, to), &BASE64);
    let mut packed = GzEncoder::new(text, Compression::fast());
    let mut digest = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    loop {
        match reader.read(&mut buffer)? {
            0 => break,
            count => {
                digest.update(&buffer[..count]);
                packed.write_all(&buffer[..count])?;
                counter.add(count);
            }
        }
    }
    packed.finish()?.finish()?.flush()?;
    Ok(hex::encode(digest.finalize()))
}

/// The digest of all of `reader`.
pub(super) fn digest(mut reader: impl Read) -> anyhow::Result<String> {
    let mut digest = Sha256::new();
    io::copy(&mut reader, &mut digest)?;
    Ok(hex::encode(digest.finalize()))
}

/// An error unless one of our scripts, which has `said` that, succeeded.
pub(super) fn success(said: &Capture, exit: Exit) -> anyhow::Result<()> {
    let said = guest::harmless(&said.stderr);
    match exit {
        Exit::Status(0) => Ok(()),
        Exit::Status(IS_DIRECTORY) => bail!(Permanent(format!("the machine says: {said}"))),
        Exit::Status(status) => bail!("the machine says, with status {status}: {said}"),
        Exit::Disconnected => {
            Err(Fault::passing(Kind::Guest).mark(anyhow!("the connection was lost")))
        }
    }
}
