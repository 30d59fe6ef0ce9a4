//! One connection to the port: a byte stream that is cut into messages here, and nowhere copied
//! but into them.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Bytes;
use tokio_util::sync::PollSender;

use crate::aws::ssm::frame::Place;
use crate::aws::ssm::message::Draft;

/// How much payload a message has at most: what the usual client and the agent send. The service
/// documents no limit.
const PAYLOAD: usize = 1024;

/// What becomes of a session, as its connections want to know it.
#[derive(Debug, Default)]
pub(super) struct SessionEnd {
    /// Why it is over.
    pub(super) end: OnceLock<String>,
    /// Whether the agent said that it cannot connect to the port.
    pub(super) is_refused: AtomicBool,
}

impl SessionEnd {
    /// What a writer is told once the session is over.
    pub(super) fn broken(&self) -> io::Error {
        let why = self.end.get().map_or("the session is closed", String::as_str);
        io::Error::new(io::ErrorKind::BrokenPipe, why)
    }
}

/// A connection to the port.
#[derive(Debug)]
pub struct Stream {
    to: PollSender<Draft>,
    from: mpsc::Receiver<Bytes>,
    /// What came and was not read yet.
    rest: Bytes,
    /// Whether anything ever came.
    was_heard: bool,
    place: Option<Place>,
    fate: Arc<SessionEnd>,
}

impl Stream {
    /// A stream between two ends of a channel: all of it, or at `place` among others.
    pub(super) fn new(
        to: mpsc::Sender<Draft>,
        from: mpsc::Receiver<Bytes>,
        place: Option<Place>,
        fate: Arc<SessionEnd>,
    ) -> Self {
        let to = PollSender::new(to);
        Self { to, from, rest: Bytes::new(), was_heard: false, place, fate }
    }

    /// The end of the stream, as a reader sees it.
    fn end(&self) -> io::Result<()> {
        if let Some(why) = self.fate.end.get() {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, why.as_str()));
        }
        if !self.was_heard && self.fate.is_refused.load(Ordering::Relaxed) {
            let why = "the SSM agent cannot connect to the port";
            return Err(io::Error::new(io::ErrorKind::ConnectionRefused, why));
        }
        Ok(())
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.rest.is_empty() {
            match ready!(self.from.poll_recv(cx)) {
                Some(bytes) => self.rest = bytes,
                None => return Poll::Ready(self.end()),
            }
            self.was_heard = true;
            self.fate.is_refused.store(false, Ordering::Relaxed);
        }
        let length = self.rest.len().min(buffer.remaining());
        buffer.put_slice(&self.rest.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if ready!(self.to.poll_reserve(cx)).is_err() {
            return Poll::Ready(Err(self.fate.broken()));
        }
        let (mut draft, room) = match &self.place {
            Some(place) => (Draft::new(PAYLOAD), PAYLOAD - place.header(0).len()),
            None => (Draft::new(PAYLOAD), PAYLOAD),
        };
        let length = bytes.len().min(room);
        if let Some(place) = &self.place {
            draft.push(&place.header(length));
        }
        draft.push(&bytes[..length]);
        match self.to.send_item(draft) {
            Ok(()) => Poll::Ready(Ok(length)),
            Err(_) => Poll::Ready(Err(self.fate.broken())),
        }
    }

    /// What was written is on its way.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Ends both directions: an agent closes its connection as a whole.
    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.place = None;
        self.to.close();
        Poll::Ready(Ok(()))
    }
}
