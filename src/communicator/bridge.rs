//! Between a connection, which must not block, and the packing of archives, which does.

use std::io::{self, Read, Write};

use futures::Stream;
use tokio::sync::mpsc;
use tokio_util::bytes::{Buf as _, Bytes};

/// How many blocks may wait between the two sides.
const WAITING: usize = 4;

/// Where a blocking thread writes, and the stream that comes out of it. Each write is one block:
/// put a buffer before it. Writing fails once nobody reads.
pub(super) fn writer() -> (BlockWriter, impl Stream<Item = io::Result<Bytes>> + Unpin + Send) {
    let (sender, mut receiver) = mpsc::channel(WAITING);
    let stream =
        futures::stream::poll_fn(move |cx| receiver.poll_recv(cx).map(|block| block.map(Ok)));
    (BlockWriter(sender), stream)
}

/// Where a blocking thread reads what is sent. Sending fails once nobody reads.
pub(super) fn reader() -> (mpsc::Sender<Bytes>, BlockReader) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (sender, BlockReader { receiver, block: Bytes::new() })
}

/// See [`writer`].
#[derive(Debug)]
pub(super) struct BlockWriter(mpsc::Sender<Bytes>);

impl Write for BlockWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Bytes::copy_from_slice(bytes));
        sent.map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// See [`reader`].
#[derive(Debug)]
pub(super) struct BlockReader {
    receiver: mpsc::Receiver<Bytes>,
    block: Bytes,
}

impl Read for BlockReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.block.is_empty() {
            match self.receiver.blocking_recv() {
                Some(block) => self.block = block,
                None => return Ok(0),
            }
        }
        let length = into.len().min(self.block.len());
        self.block.copy_to_slice(&mut into[..length]);
        Ok(length)
    }
}
