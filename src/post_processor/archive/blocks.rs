//! Compression on all cores.
//!
//! Every format here allows several complete streams one after the other in a file. So the input
//! is cut into blocks, each block is compressed to a stream of its own on a thread of its own, and
//! the streams are written in order.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::thread::JoinHandle;

use flate2::{Compression, GzBuilder};

/// A compressed format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// `.gz`
    Gzip,
    /// `.bgzf`: gzip in blocks that can be found again.
    Bgzf,
    /// `.lz4`
    Lz4,
    /// `.xz`
    Xz,
    /// `.bzip2`
    Bzip2,
}

/// How many threads compress at most: memory is bounded on machines with many cores.
const MOST_THREADS: usize = 8;
/// An xz encoder needs about 100 MiB.
const MOST_XZ_THREADS: usize = 4;

/// What one BGZF block holds at most, so that its compressed form fits in 64 KiB.
const BGZF_BLOCK: usize = 0xff00;
/// The empty block that ends a BGZF file.
const BGZF_END: &[u8] = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0\x1b\0\x03\0\0\0\0\0\0\0\0\0";

impl Algorithm {
    /// How messages call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Bgzf => "bgzf",
            Self::Lz4 => "lz4",
            Self::Xz => "xz",
            Self::Bzip2 => "bzip2",
        }
    }

    /// How much goes into one stream: enough that starting anew costs little.
    fn block_size(self) -> usize {
        match self {
            Self::Gzip => 1 << 20,
            Self::Bgzf => 16 * BGZF_BLOCK,
            Self::Lz4 => 4 << 20,
            Self::Xz => 16 << 20,
            Self::Bzip2 => 4 * 900_000,
        }
    }

    fn threads(self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        cores.min(if self == Self::Xz { MOST_XZ_THREADS } else { MOST_THREADS })
    }

    /// `block` as a complete stream. `level` is 1 to 9; lz4 has only one.
    fn compress(self, block: &[u8], level: Option<u32>) -> io::Result<Vec<u8>> {
        let packed = Vec::with_capacity(block.len() / 2);
        let gzip_level = level.map_or_else(Compression::default, Compression::new);
        match self {
            Self::Gzip => {
                let mut encoder = GzBuilder::new().write(packed, gzip_level);
                encoder.write_all(block)?;
                encoder.finish()
            }
            Self::Bgzf => bgzf(block, gzip_level),
            Self::Lz4 => {
                let mut info = lz4_flex::frame::FrameInfo::new();
                info.block_size = lz4_flex::frame::BlockSize::Max4MB;
                info.content_checksum = true;
                let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, packed);
                encoder.write_all(block)?;
                Ok(encoder.finish()?)
            }
            Self::Xz => {
                let mut encoder = liblzma::write::XzEncoder::new(packed, level.unwrap_or(6));
                encoder.write_all(block)?;
                encoder.finish()
            }
            Self::Bzip2 => {
                let level = bzip2::Compression::new(level.unwrap_or(9));
                let mut encoder = bzip2::write::BzEncoder::new(packed, level);
                encoder.write_all(block)?;
                encoder.finish()
            }
        }
    }
}

/// `data` as BGZF blocks: gzip streams that name their own length in an extra field.
fn bgzf(data: &[u8], level: Compression) -> io::Result<Vec<u8>> {
    let mut packed = Vec::with_capacity(data.len() / 2);
    for block in data.chunks(BGZF_BLOCK) {
        let start = packed.len();
        let mut encoder = GzBuilder::new().extra(*b"BC\x02\0\0\0").write(packed, level);
        encoder.write_all(block)?;
        packed = encoder.finish()?;
        let size = u16::try_from(packed.len() - start - 1).map_err(io::Error::other)?;
        packed[start + 16..start + 18].copy_from_slice(&size.to_le_bytes());
    }
    Ok(packed)
}

/// Compresses what is written to it. [`finish`](Self::finish) writes what is left.
pub(crate) struct BlockWriter<W> {
    out: W,
    algorithm: Algorithm,
    level: Option<u32>,
    block: Vec<u8>,
    /// The blocks that are being compressed, the oldest first.
    running: VecDeque<JoinHandle<io::Result<Vec<u8>>>>,
    started: bool,
}

impl<W: Write> BlockWriter<W> {
    /// Writes to `out`.
    pub(crate) fn new(out: W, algorithm: Algorithm, level: Option<u32>) -> Self {
        let (block, running) = (Vec::new(), VecDeque::new());
        Self { out, algorithm, level, block, running, started: false }
    }

    /// Starts compressing the block at hand; waits for the oldest if all threads are taken.
    fn start_block(&mut self) -> io::Result<()> {
        while self.running.len() >= self.algorithm.threads() {
            self.write_oldest()?;
        }
        let block = std::mem::take(&mut self.block);
        let (algorithm, level) = (self.algorithm, self.level);
        let work = move || algorithm.compress(&block, level);
        self.running.push_back(std::thread::Builder::new().spawn(work)?);
        self.started = true;
        Ok(())
    }

    fn write_oldest(&mut self) -> io::Result<()> {
        let Some(oldest) = self.running.pop_front() else { return Ok(()) };
        let packed = oldest.join().map_err(|_| io::Error::other("compression panicked"))??;
        self.out.write_all(&packed)
    }

    /// Writes all that is left. Without any input that is one empty stream.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        if !self.block.is_empty() || !self.started {
            self.start_block()?;
        }
        while !self.running.is_empty() {
            self.write_oldest()?;
        }
        if self.algorithm == Algorithm::Bgzf {
            self.out.write_all(BGZF_END)?;
        }
        self.out.flush()
    }
}

impl<W: Write> Write for BlockWriter<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let size = self.algorithm.block_size();
        let taken = data.len().min(size - self.block.len());
        self.block.reserve_exact(size - self.block.len());
        self.block.extend_from_slice(&data[..taken]);
        if self.block.len() == size {
            self.start_block()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_file_of_several_blocks_is_one_stream_to_its_reader() {
        let data = vec![7; Algorithm::Xz.block_size() + 1];
        let mut packed = Vec::new();
        let mut writer = BlockWriter::new(&mut packed, Algorithm::Xz, Some(1));
        writer.write_all(&data).unwrap();
        writer.finish().unwrap();
        let mut read = Vec::new();
        liblzma::read::XzDecoder::new_multi_decoder(&*packed).read_to_end(&mut read).unwrap();
        assert!(read == data);
    }

    #[test]
    fn bgzf_blocks_name_their_length_and_end_with_the_empty_one() {
        let mut packed = Vec::new();
        let mut writer = BlockWriter::new(&mut packed, Algorithm::Bgzf, None);
        writer.write_all(&vec![1; 3 * BGZF_BLOCK]).unwrap();
        writer.finish().unwrap();
        let (mut at, mut blocks) = (0, 0);
        while at < packed.len() {
            assert_eq!(packed[at + 12..at + 16], *b"BC\x02\0");
            at += usize::from(u16::from_le_bytes([packed[at + 16], packed[at + 17]])) + 1;
            blocks += 1;
        }
        assert_eq!((at, blocks), (packed.len(), 4));
        assert!(packed.ends_with(BGZF_END));
    }
}
