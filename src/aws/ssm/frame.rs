//! What smux puts before the data of a stream.
//!
//! ```text
//! | version 1 | command 1 | length 2 | stream 4 | data |      (numbers are little-endian)
//! ```

use tokio::sync::mpsc;

/// How long a header is.
pub(super) const HEADER: usize = 8;
/// The version of the protocol.
pub(super) const VERSION: u8 = 1;

/// A stream begins.
pub(super) const SYN: u8 = 0;
/// A stream ends.
pub(super) const FIN: u8 = 1;
/// Data of a stream.
pub(super) const PSH: u8 = 2;
/// Nothing: somebody is still there.
pub(super) const NOP: u8 = 3;

/// The header of a frame.
pub(super) fn header(command: u8, length: usize, stream: u32) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    (header[0], header[1]) = (VERSION, command);
    // A piece is part of one message, and that is much shorter.
    header[2..4].copy_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes());
    header[4..8].copy_from_slice(&stream.to_le_bytes());
    header
}

/// The place of a stream among others. When it is dropped, the agent is told that the stream is
/// over.
#[derive(Debug)]
pub(super) struct Place {
    id: u32,
    ended: mpsc::UnboundedSender<u32>,
}

impl Place {
    /// The place of the stream `id`; `ended` hears when it is over.
    pub(super) fn new(id: u32, ended: mpsc::UnboundedSender<u32>) -> Self {
        Self { id, ended }
    }

    /// What comes before `length` bytes of this stream.
    pub(super) fn header(&self, length: usize) -> [u8; HEADER] {
        header(PSH, length, self.id)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Nobody is there to hear it once the session is over.
        let _ = self.ended.send(self.id);
    }
}
