//! The WebSocket under a data channel.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Poll, ready};
use std::time::Duration;

use futures::SinkExt as _;
use futures::stream::{SplitSink, SplitStream, StreamExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

/// What comes in.
pub(super) type Incoming = SplitStream<WebSocketStream<MaybeTlsStream<TcpStream>>>;

/// How long the service may take to open a WebSocket.
const PATIENCE: Duration = Duration::from_secs(20);

/// No message of an agent is longer: they have some kilobytes.
const LONGEST: usize = 1 << 20;

/// Opens a WebSocket.
pub(super) async fn connect(url: &str) -> Result<(Outbox, Incoming), String> {
    let limits = WebSocketConfig::default();
    let limits = limits.max_message_size(Some(LONGEST)).max_frame_size(Some(LONGEST));
    let connecting = connect_async_with_config(url, Some(limits), true);
    let connected = tokio::time::timeout(PATIENCE, connecting).await;
    let (socket, _) = connected
        .map_err(|_| format!("no answer within {PATIENCE:?}"))?
        .map_err(|error| error.to_string())?;
    let (sink, stream) = socket.split();
    Ok((Outbox { sink, waiting: VecDeque::new(), is_flushed: true }, stream))
}

/// What goes out: put in at any time, and sent while all else goes on.
pub(super) struct Outbox {
    sink: SplitSink<WebSocketStream<MaybeTlsStream<TcpStream>>, Message>,
    waiting: VecDeque<Message>,
    is_flushed: bool,
}

impl Outbox {
    /// A text is to be sent.
    pub(super) fn say(&mut self, text: String) {
        self.waiting.push_back(Message::text(text));
    }

    /// Bytes are to be sent.
    pub(super) fn send(&mut self, bytes: Bytes) {
        self.waiting.push_back(Message::Binary(bytes));
    }

    /// The service is to see that we are still there.
    pub(super) fn ping(&mut self) {
        self.waiting.push_back(Message::Ping(Bytes::from_static(b"keepalive")));
    }

    /// Whether there is anything to send.
    pub(super) fn has_mail(&self) -> bool {
        !self.waiting.is_empty() || !self.is_flushed
    }

    /// Sends all. May be given up at any time, and begun again.
    pub(super) async fn deliver(&mut self) -> Result<(), Error> {
        poll_fn(|cx| {
            while !self.waiting.is_empty() {
                ready!(self.sink.poll_ready_unpin(cx))?;
                if let Some(message) = self.waiting.pop_front() {
                    self.is_flushed = false;
                    self.sink.start_send_unpin(message)?;
                }
            }
            ready!(self.sink.poll_flush_unpin(cx))?;
            self.is_flushed = true;
            Poll::Ready(Ok(()))
        })
        .await
    }
}
