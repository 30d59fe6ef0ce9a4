//! One connection to a plugin, shared by many channels.
//!
//! yamux carries streams; on top of it both sides name each stream by a number (the "broker"): who
//! chooses the number accepts the stream, the other one dials it. So a number is registered before
//! it is told to the plugin.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::Stream as _;
use futures::future::poll_fn;
use futures::io::{AsyncRead as StreamRead, AsyncWrite as StreamWrite};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufStream, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::runtime::{self, guard};

/// How long either side may take to answer to a number. Plugins use the same limit.
const DIAL: Duration = Duration::from_secs(5);

/// How much is sent of one stream before another has its turn.
const FRAME: usize = 64 * 1024;

/// How much is read from the socket at a time, and written to it: whole frames with their heads.
const FRAMES: usize = 2 * FRAME;

/// The channels of one connection. Clones share it; it ends when the last one is dropped.
#[derive(Clone, Debug)]
pub struct Session {
    opens: mpsc::UnboundedSender<oneshot::Sender<yamux::Stream>>,
    slots: Slots,
    next: Arc<AtomicU32>,
}

/// Who waits for a stream of which number.
type Slots = Arc<Mutex<HashMap<u32, oneshot::Sender<Channel>>>>;

/// The two kinds of sockets that plugins listen on.
pub trait Socket: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl Socket for UnixStream {}
impl Socket for TcpStream {}

/// A socket as yamux reads and writes it: a head of a few bytes, then a body.
struct Wire<T: AsyncRead + AsyncWrite>(BufStream<T>);

impl<T: Socket> Wire<T> {
    fn new(socket: T) -> Self {
        Self(BufStream::with_capacity(FRAMES, FRAMES, socket))
    }
}

impl<T: Socket> StreamRead for Wire<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }
}

impl<T: Socket> StreamWrite for Wire<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl Session {
    /// Speaks over `socket`. The one who connects is the client.
    pub fn over(socket: impl Socket, mode: yamux::Mode) -> Self {
        Self::with(socket, mode, Slots::default())
    }

    /// The plugin's side, and the stream of its own component, whose number is fixed. It is reserved
    /// before anything is read: the other side may dial it at once. For tests that play a plugin.
    pub fn of_plugin(socket: impl Socket) -> (Self, Accept) {
        let slots = Slots::default();
        let (sender, receiver) = oneshot::channel();
        guard(&slots).insert(0, sender);
        let main = Accept { id: 0, receiver, slots: slots.clone() };
        (Self::with(socket, yamux::Mode::Server, slots), main)
    }

    fn with(socket: impl Socket, mode: yamux::Mode, slots: Slots) -> Self {
        let (opens, asked) = mpsc::unbounded_channel();
        let mut config = yamux::Config::default();
        config.set_split_send_size(FRAME);
        let connection = yamux::Connection::new(Wire::new(socket), config, mode);
        runtime::spawn(drive(connection, asked, slots.clone()));
        Self { opens, slots, next: Arc::default() }
    }

    /// Reserves a number for a stream that the other side will dial.
    pub fn accept(&self) -> Accept {
        let id = self.next.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let (sender, receiver) = oneshot::channel();
        guard(&self.slots).insert(id, sender);
        Accept { id, receiver, slots: self.slots.clone() }
    }

    /// Opens a stream to the number that the other side has chosen.
    pub async fn dial(&self, id: u32) -> io::Result<Channel> {
        timeout(DIAL, self.dial_for_ever(id)).await.unwrap_or_else(|_| {
            Err(io::Error::new(io::ErrorKind::TimedOut, "the other side did not take the stream"))
        })
    }

    async fn dial_for_ever(&self, id: u32) -> io::Result<Channel> {
        let (sender, opened) = oneshot::channel();
        self.opens.send(sender).map_err(|_| gone())?;
        let mut channel = Channel::new(opened.await.map_err(|_| gone())?);
        channel.write_all(&id.to_le_bytes()).await?;
        channel.flush().await?;
        let mut answer = [0; 4];
        channel.read_exact(&mut answer).await?;
        match u32::from_le_bytes(answer) == id {
            true => Ok(channel),
            false => Err(io::Error::other("the other side answered for another stream")),
        }
    }

    /// Whether the connection has ended.
    pub fn is_gone(&self) -> bool {
        self.opens.is_closed()
    }

    /// Waits until the connection has ended.
    pub async fn gone(&self) {
        self.opens.closed().await;
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the connection to the plugin has ended")
}

/// A number that waits for its stream; given back when this is dropped.
#[derive(Debug)]
pub struct Accept {
    /// What the other side is told.
    pub id: u32,
    receiver: oneshot::Receiver<Channel>,
    slots: Slots,
}

impl Accept {
    /// The stream, when the other side has dialled it.
    pub async fn channel(mut self) -> io::Result<Channel> {
        (&mut self.receiver).await.map_err(|_| gone())
    }

    /// The same for a stream that a call is to have dialled once it has `answered`.
    pub async fn channel_of(self, answered: &CancellationToken) -> io::Result<Channel> {
        let late = async {
            answered.cancelled().await;
            tokio::time::sleep(DIAL).await;
        };
        tokio::select! {
            channel = self.channel() => channel,
            () = late => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("it has answered, and did not open the stream within {DIAL:?}"),
            )),
        }
    }
}

impl Drop for Accept {
    fn drop(&mut self) {
        guard(&self.slots).remove(&self.id);
    }
}

/// Keeps the connection going until nobody has the session any more, or the other side ends it.
async fn drive<T: Socket>(
    mut connection: yamux::Connection<Wire<T>>,
    mut opens: mpsc::UnboundedReceiver<oneshot::Sender<yamux::Stream>>,
    slots: Slots,
) {
    let mut asked = VecDeque::new();
    tokio::select! {
        () = poll_fn(|cx| drive_once(cx, &mut connection, &mut opens, &mut asked, &slots)) => {}
        () = runtime::closing() => {}
    }
    opens.close();
    guard(&slots).clear();
}

fn drive_once<T: Socket>(
    cx: &mut Context<'_>,
    connection: &mut yamux::Connection<Wire<T>>,
    opens: &mut mpsc::UnboundedReceiver<oneshot::Sender<yamux::Stream>>,
    asked: &mut VecDeque<oneshot::Sender<yamux::Stream>>,
    slots: &Slots,
) -> Poll<()> {
    loop {
        match opens.poll_recv(cx) {
            Poll::Ready(Some(sender)) => {
                asked.push_back(sender);
                continue;
            }
            Poll::Ready(None) => return connection.poll_close(cx).map(drop),
            Poll::Pending => {}
        }
        if !asked.is_empty() {
            match connection.poll_new_outbound(cx) {
                Poll::Ready(Ok(stream)) => {
                    // Whoever has stopped waiting drops it.
                    let _ = asked.pop_front().map(|sender| sender.send(stream));
                    continue;
                }
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => {}
            }
        }
        match ready!(connection.poll_next_inbound(cx)) {
            Some(Ok(stream)) => {
                runtime::spawn(deliver(Channel::new(stream), slots.clone()));
            }
            Some(Err(_)) | None => return Poll::Ready(()),
        }
    }
}

/// Gives a stream to who waits for its number. One that nobody wants is closed: its dialler has no
/// time limit.
async fn deliver(mut channel: Channel, slots: Slots) {
    let mut id = [0; 4];
    let Ok(Ok(_)) = timeout(DIAL, channel.read_exact(&mut id)).await else { return };
    let Some(waiting) = guard(&slots).remove(&u32::from_le_bytes(id)) else { return };
    if channel.write_all(&id).await.is_ok() && channel.flush().await.is_ok() {
        let _ = waiting.send(channel);
    }
}

/// One stream. It is closed exactly once, at the latest when it is dropped: a second end is an
/// error to plugins, and a reset would discard what they have not read yet.
#[derive(Debug)]
pub struct Channel {
    /// `None` only while it is dropped.
    stream: Option<yamux::Stream>,
    /// What has come, and nobody has read yet.
    rest: Bytes,
    is_closed: bool,
}

impl Channel {
    fn new(stream: yamux::Stream) -> Self {
        Self { stream: Some(stream), rest: Bytes::new(), is_closed: false }
    }

    fn stream(&mut self) -> io::Result<Pin<&mut yamux::Stream>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(gone)
    }
}

impl AsyncRead for Channel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.remaining();
        while buffer.remaining() > 0 {
            if self.rest.is_empty() {
                match self.stream()?.poll_next(cx) {
                    Poll::Ready(Some(Ok(packet))) => self.rest = Bytes::from_owner(packet),
                    Poll::Ready(Some(Err(error))) if buffer.remaining() == before => {
                        return Poll::Ready(Err(error));
                    }
                    Poll::Pending if buffer.remaining() == before => return Poll::Pending,
                    // What has come is read first; what stopped it is said the next time.
                    Poll::Ready(None | Some(Err(_))) | Poll::Pending => break,
                }
            }
            let fits = self.rest.len().min(buffer.remaining());
            buffer.put_slice(&self.rest.split_to(fits));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Channel {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_closed {
            return Poll::Ready(Ok(()));
        }
        ready!(self.stream()?.poll_close(cx))?;
        self.is_closed = true;
        Poll::Ready(Ok(()))
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        let Some(mut stream) = self.stream.take().filter(|_| !self.is_closed) else { return };
        runtime::spawn(async move {
            // A connection that has ended has no streams to close.
            let _ = timeout(DIAL, poll_fn(|cx| Pin::new(&mut stream).poll_close(cx))).await;
        });
    }
}
