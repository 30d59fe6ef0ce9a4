//! Several connections in one channel: smux, version 1 (see `frame`).

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Bytes;
use tokio_util::task::AbortOnDropHandle;

use crate::aws::ssm::frame::{FIN, HEADER, NOP, PSH, Place, SYN, header};
use crate::aws::ssm::message::Draft;
use crate::aws::ssm::stream::{SessionEnd, Stream};

/// Agents before 3.1.1511 give up a client that they have not heard of for thirty seconds.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How many pieces of a connection wait for its reader before all connections wait.
const PIECES: usize = 64;

/// A channel that many streams go through.
#[derive(Debug)]
pub(super) struct Mux {
    to: mpsc::Sender<Draft>,
    readers: Readers,
    ended: mpsc::UnboundedSender<u32>,
    next: AtomicU32,
    fate: Arc<SessionEnd>,
    _task: AbortOnDropHandle<()>,
}

/// Where the data of each stream goes.
#[derive(Clone, Debug, Default)]
struct Readers(Arc<Mutex<HashMap<u32, mpsc::Sender<Bytes>>>>);

impl Readers {
    fn lock(&self) -> MutexGuard<'_, HashMap<u32, mpsc::Sender<Bytes>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mux {
    /// In the channel between `to` and `from`.
    pub(super) fn new(
        to: mpsc::Sender<Draft>,
        from: mpsc::Receiver<Bytes>,
        fate: Arc<SessionEnd>,
    ) -> Self {
        let readers = Readers::default();
        let (ended, endings) = mpsc::unbounded_channel();
        let task = Task { to: to.clone(), from, readers: readers.clone(), endings };
        let task = AbortOnDropHandle::new(tokio::spawn(task.run()));
        Self { to, readers, ended, next: AtomicU32::new(1), fate, _task: task }
    }

    /// Begins a stream. Whether there is anybody at the other end shows only when it is read.
    ///
    /// # Errors
    /// When the session is over.
    pub(super) async fn open(&self) -> io::Result<Stream> {
        // The even numbers are the agent's.
        let id = self.next.fetch_add(2, Ordering::Relaxed);
        let permit = self.to.reserve().await.map_err(|_| self.fate.broken())?;
        let (reader, from) = mpsc::channel(PIECES);
        self.readers.lock().insert(id, reader);
        permit.send(Draft::of(&header(SYN, 0, id)));
        let place = Place::new(id, self.ended.clone());
        Ok(Stream::new(self.to.clone(), from, Some(place), self.fate.clone()))
    }
}

/// Gives each stream what is its, and ends streams.
struct Task {
    to: mpsc::Sender<Draft>,
    from: mpsc::Receiver<Bytes>,
    readers: Readers,
    endings: mpsc::UnboundedReceiver<u32>,
}

impl Task {
    async fn run(mut self) {
        let mut frames = Frames::default();
        let mut keep_alive = tokio::time::interval(KEEP_ALIVE);
        loop {
            tokio::select! {
                Some(id) = self.endings.recv() => {
                    self.readers.lock().remove(&id);
                    if self.to.send(Draft::of(&header(FIN, 0, id))).await.is_err() {
                        break;
                    }
                }
                came = self.from.recv() => match came {
                    Some(bytes) => self.deal_out(&mut frames, bytes).await,
                    None => break,
                },
                _ = keep_alive.tick() => {
                    // Where it finds no room, the agent hears enough of us.
                    let _ = self.to.try_send(Draft::of(&header(NOP, 0, 0)));
                }
            }
        }
        // Their readers see the end.
        self.readers.lock().clear();
    }

    async fn deal_out(&self, frames: &mut Frames, mut bytes: Bytes) {
        while let Some(piece) = frames.next(&mut bytes) {
            match piece {
                Piece::Data(id, data) => {
                    let reader = self.readers.lock().get(&id).cloned();
                    if let Some(reader) = reader {
                        // A reader that is gone misses nothing.
                        let _ = reader.send(data).await;
                    }
                }
                Piece::End(id) => {
                    self.readers.lock().remove(&id);
                }
            }
        }
    }
}

/// What a channel brings: frames, cut anywhere.
#[derive(Debug, Default)]
struct Frames {
    header: [u8; HEADER],
    /// How much of the header is there.
    filled: usize,
    /// How much of the frame's data is still to come, once the header is there.
    left: usize,
}

/// A part of a frame.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    /// Data of a stream; it stays where it came.
    Data(u32, Bytes),
    /// The agent has ended a stream.
    End(u32),
}

impl Frames {
    /// The next piece in `bytes`.
    fn next(&mut self, bytes: &mut Bytes) -> Option<Piece> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let data = bytes.split_to(self.left.min(bytes.len()));
                self.left -= data.len();
                if self.is(PSH) {
                    return Some(Piece::Data(self.stream(), data));
                }
                continue;
            }
            let part = bytes.split_to((HEADER - self.filled).min(bytes.len()));
            self.header[self.filled..self.filled + part.len()].copy_from_slice(&part);
            self.filled += part.len();
            if self.filled == HEADER {
                self.filled = 0;
                self.left = u16::from_le_bytes([self.header[2], self.header[3]]).into();
                if self.is(FIN) {
                    return Some(Piece::End(self.stream()));
                }
            }
        }
        None
    }

    fn is(&self, command: u8) -> bool {
        self.header[1] == command
    }

    fn stream(&self) -> u32 {
        let [_, _, _, _, id @ ..] = self.header;
        u32::from_le_bytes(id)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A frame with data.
    fn frame(command: u8, stream: u32, data: &[u8]) -> Vec<u8> {
        [&header(command, data.len(), stream)[..], data].concat()
    }

    #[test]
    fn a_header_is_little_endian() {
        assert_eq!(header(PSH, 0x0102, 3), [1, 2, 2, 1, 3, 0, 0, 0]);
    }

    proptest! {
        #[test]
        fn frames_are_found_wherever_they_are_cut(cuts in prop::collection::vec(1_usize..40, 1..60)) {
            let frames = [
                frame(NOP, 0, b""),
                frame(PSH, 3, b"one"),
                frame(PSH, 1, &[7; 300]),
                frame(FIN, 3, b""),
                frame(PSH, 1, b"more"),
            ];
            let all = Bytes::from(frames.concat());
            let (mut reader, mut at, mut cuts) = (Frames::default(), 0, cuts.into_iter().cycle());
            let (mut one, mut three, mut ends) = (Vec::new(), Vec::new(), Vec::new());
            while at < all.len() {
                let to = (at + cuts.next().unwrap()).min(all.len());
                let mut bytes = all.slice(at..to);
                while let Some(piece) = reader.next(&mut bytes) {
                    match piece {
                        Piece::Data(1, data) => one.extend_from_slice(&data),
                        Piece::Data(3, data) => three.extend_from_slice(&data),
                        Piece::Data(other, _) => panic!("there is no stream {other}"),
                        Piece::End(id) => ends.push(id),
                    }
                }
                at = to;
            }
            prop_assert_eq!(one, [&[7_u8; 300][..], b"more"].concat());
            prop_assert_eq!(three, b"one");
            prop_assert_eq!(ends, [3]);
        }
    }
}
