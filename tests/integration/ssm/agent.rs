//! The far end of a session: the agent on the machine, and whatever happens to messages on the way
//! to it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::wire::{self, Frame as Smux};

/// What an agent is like, and what its messages and ours meet on the way.
#[derive(Clone, Debug)]
pub struct Script {
    /// The agent's version.
    pub version: &'static str,
    /// So often the port refuses a connection.
    pub refusals: usize,
    /// One message in so many is lost, each way.
    pub loses: Option<usize>,
    /// One message in so many comes twice.
    pub repeats: Option<usize>,
    /// One message in so many comes after the next.
    pub overtakes: Option<usize>,
    /// How late an acknowledgement is.
    pub late: Duration,
    /// After so many messages the WebSocket is lost, each one.
    pub drops: Option<usize>,
    /// After so many messages the session is closed with these words.
    pub closes: Option<(usize, &'static str)>,
    /// After so many messages we are told to pause, for so long.
    pub pauses: Option<(usize, Duration)>,
    /// After so many messages the first session's agent is not heard of any more.
    pub dies: Option<usize>,
    /// Whether sessions are encrypted.
    pub encrypts: bool,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            version: "3.3.1611.0",
            refusals: 0,
            loses: None,
            repeats: None,
            overtakes: None,
            late: Duration::ZERO,
            drops: None,
            closes: None,
            pauses: None,
            dies: None,
            encrypts: false,
        }
    }
}

/// A client has heard of a pause when only this is left of it.
const PAUSE_HEARD: Duration = Duration::from_millis(1000);

/// What was seen of a client.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Messages of its stream, those that came again counted once.
    pub messages: usize,
    /// Messages of its stream in the last second of a pause.
    pub while_paused: usize,
    /// The connections that it began.
    pub connections: usize,
    /// The most messages in a second.
    pub busiest: usize,
}

type Socket = WebSocketStream<TcpStream>;

/// What the port says.
enum Port {
    Bytes(u32, Vec<u8>),
    End(u32),
    Refused(u32),
}

/// An agent's session.
pub struct Agent {
    script: Script,
    port: u16,
    /// How often the port may still refuse; shared by all sessions.
    sockets: mpsc::Receiver<Socket>,
    kills: mpsc::Receiver<()>,
    socket: Option<Socket>,
    seen: std::sync::Arc<std::sync::Mutex<Seen>>,
    // The agent's stream.
    next: i64,
    waiting: BTreeMap<i64, (Vec<u8>, Instant)>,
    // The client's.
    highest: i64,
    expected: i64,
    early: BTreeMap<i64, wire::Message>,
    late: Vec<(Instant, Vec<u8>)>,
    // What the way does.
    sent: usize,
    heard: usize,
    on_this_socket: usize,
    held: Option<Vec<u8>>,
    paused_until: Option<Instant>,
    second: (Instant, usize),
    // The port.
    ready: bool,
    smux: Vec<u8>,
    writers: HashMap<u32, mpsc::UnboundedSender<Vec<u8>>>,
    from_port: mpsc::UnboundedReceiver<Port>,
    to_us: mpsc::UnboundedSender<Port>,
}

impl Agent {
    pub fn new(
        script: Script,
        port: u16,
        sockets: mpsc::Receiver<Socket>,
        kills: mpsc::Receiver<()>,
        seen: std::sync::Arc<std::sync::Mutex<Seen>>,
    ) -> Self {
        let (to_us, from_port) = mpsc::unbounded_channel();
        Self {
            script,
            port,
            sockets,
            kills,
            socket: None,
            seen,
            next: 0,
            waiting: BTreeMap::new(),
            highest: 0,
            expected: 0,
            early: BTreeMap::new(),
            late: Vec::new(),
            sent: 0,
            heard: 0,
            on_this_socket: 0,
            held: None,
            paused_until: None,
            second: (Instant::now(), 0),
            ready: false,
            smux: Vec::new(),
            writers: HashMap::new(),
            from_port,
            to_us,
        }
    }

    fn multiplexes(&self) -> bool {
        !self.script.version.starts_with('2')
    }

    /// Serves until the session is over.
    pub async fn run(mut self) {
        let Some(socket) = self.sockets.recv().await else { return };
        self.socket = Some(socket);
        self.greet().await;
        if !self.multiplexes() {
            self.connect(0).await;
        }
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        loop {
            tokio::select! {
                Some(()) = self.kills.recv() => {
                    return self.close("").await;
                }
                Some(socket) = self.sockets.recv() => {
                    self.socket = Some(socket);
                    (self.on_this_socket, self.held) = (0, None);
                    let again: Vec<_> = self.waiting.values().map(|(bytes, _)| bytes.clone()).collect();
                    for bytes in again {
                        self.put(bytes).await;
                    }
                }
                frame = next(&mut self.socket), if self.socket.is_some() => match frame {
                    Some(Ok(Frame::Binary(bytes))) => {
                        if !self.hear(&bytes).await {
                            return;
                        }
                    }
                    Some(Ok(_)) => {}
                    _ => self.socket = None,
                },
                Some(port) = self.from_port.recv() => self.heard_from_port(port).await,
                _ = tick.tick() => self.tick().await,
            }
        }
    }

    async fn greet(&mut self) {
        let properties = json!({
            "portNumber": self.port.to_string(), "localPortNumber": "0", "type": "LocalPortForwarding"
        });
        let mut actions = vec![json!({
            "ActionType": "SessionType",
            "ActionParameters": {"SessionType": "Port", "Properties": properties},
        })];
        if self.script.encrypts {
            let key = "arn:aws:kms:us-east-1:123456789012:key/1";
            let parameters = json!({"KMSKeyId": key});
            actions.push(json!({"ActionType": "KMSEncryption", "ActionParameters": parameters}));
        }
        let request =
            json!({"AgentVersion": self.script.version, "RequestedClientActions": actions});
        // The service says this by itself, and does not care for the digest.
        let mut start = wire::write("start_publication", 0, 3, 0, b"{}");
        start[80..112].fill(0);
        self.put(start).await;
        self.say(5, request.to_string().as_bytes()).await;
    }

    /// The next message of the agent's stream.
    async fn say(&mut self, payload_type: u32, payload: &[u8]) {
        let flags = u64::from(self.next == 0);
        let bytes = wire::write("output_stream_data", self.next, flags, payload_type, payload);
        self.waiting.insert(self.next, (bytes.clone(), Instant::now()));
        self.next += 1;
        self.put(bytes).await;
    }

    /// Puts a message on its way, on which it may be lost, doubled or overtaken.
    async fn put(&mut self, bytes: Vec<u8>) {
        self.sent += 1;
        let every = |n: Option<usize>| n.is_some_and(|n| self.sent.is_multiple_of(n));
        if every(self.script.loses) {
            return;
        }
        let twice = every(self.script.repeats);
        if every(self.script.overtakes) && self.held.is_none() {
            self.held = Some(bytes);
            return;
        }
        let held = self.held.take();
        let copies = [Some(bytes.clone()), twice.then_some(bytes), held];
        for bytes in copies.into_iter().flatten() {
            if let Some(socket) = &mut self.socket
                && socket.send(Frame::binary(bytes)).await.is_err()
            {
                self.socket = None;
            }
        }
    }

    /// What the client sent; whether the session goes on.
    async fn hear(&mut self, bytes: &[u8]) -> bool {
        let message = wire::read(bytes);
        self.heard += 1;
        self.on_this_socket += 1;
        if self.script.dies.is_some_and(|after| self.heard > after) {
            return true;
        }
        if self.script.drops.is_some_and(|after| self.on_this_socket > after) {
            self.drop_socket().await;
            return true;
        }
        if let Some((after, why)) = self.script.closes
            && self.heard > after
        {
            self.close(why).await;
            return false;
        }
        if self.script.loses.is_some_and(|n| self.heard.is_multiple_of(n)) {
            return true;
        }
        match message.name.as_str() {
            "acknowledge" => {
                assert_eq!((message.flags, message.payload_type), (3, 0));
                let words: Json = serde_json::from_slice(&message.payload).unwrap();
                assert_eq!(words["AcknowledgedMessageType"], "output_stream_data");
                assert_eq!(words["IsSequentialMessage"], true);
                let sequence = words["AcknowledgedMessageSequenceNumber"].as_i64().unwrap();
                self.waiting.remove(&sequence);
            }
            "input_stream_data" => {
                assert_eq!(message.flags, u64::from(message.sequence == 0));
                self.count(&message);
                // Somebody who does not listen does not acknowledge either.
                if self.paused_until.is_none() {
                    self.in_order(message).await;
                }
            }
            other => panic!("clients do not say {other}"),
        }
        true
    }

    fn count(&mut self, message: &wire::Message) {
        let now = Instant::now();
        let mut seen = self.seen.lock().unwrap();
        if message.sequence < self.highest {
            return;
        }
        self.highest = message.sequence + 1;
        seen.messages += 1;
        // What was on its way already may still come.
        let listens_no_more = self.paused_until.is_some_and(|until| until - now < PAUSE_HEARD);
        seen.while_paused += usize::from(listens_no_more);
        if now - self.second.0 > Duration::from_secs(1) {
            self.second = (now, 0);
        }
        self.second.1 += 1;
        seen.busiest = seen.busiest.max(self.second.1);
    }

    async fn in_order(&mut self, message: wire::Message) {
        // As agents do: what they have seen they do not acknowledge again.
        if message.sequence < self.expected {
            return;
        }
        let words = json!({
            "AcknowledgedMessageType": "input_stream_data",
            "AcknowledgedMessageId": message.id.to_string(),
            "AcknowledgedMessageSequenceNumber": message.sequence,
            "IsSequentialMessage": true,
        });
        let bytes = wire::write("acknowledge", 0, 3, 0, words.to_string().as_bytes());
        self.late.push((Instant::now() + self.script.late, bytes));
        self.early.insert(message.sequence, message);
        while let Some(message) = self.early.remove(&self.expected) {
            self.expected += 1;
            self.take(message).await;
        }
        if self.script.late.is_zero() {
            self.acknowledge().await;
        }
    }

    async fn acknowledge(&mut self) {
        let now = Instant::now();
        let (due, later) = self.late.drain(..).partition(|(at, _)| *at <= now);
        self.late = later;
        let due: Vec<(Instant, Vec<u8>)> = due;
        for (_, bytes) in due {
            self.put(bytes).await;
        }
    }

    async fn take(&mut self, message: wire::Message) {
        match message.payload_type {
            6 => {
                let words: Json = serde_json::from_slice(&message.payload).unwrap();
                assert!(words["ClientVersion"].as_str().unwrap() > "1.1.70", "{words}");
                let done = words["ProcessedClientActions"].as_array().unwrap();
                if done.iter().any(|action| action["ActionStatus"] != 1) {
                    return;
                }
                self.ready = true;
                let complete = json!({"HandshakeTimeToComplete": 1_000_000, "CustomerMessage": ""});
                self.say(7, complete.to_string().as_bytes()).await;
            }
            1 if !self.ready => panic!("data before the handshake"),
            1 => {
                self.maybe_pause().await;
                self.data(message.payload).await;
            }
            other => panic!("clients do not send payloads of the type {other}"),
        }
    }

    async fn maybe_pause(&mut self) {
        if let Some((after, pause)) = self.script.pauses
            && self.heard > after
        {
            self.script.pauses = None;
            self.paused_until = Some(Instant::now() + pause);
            self.put(wire::write("pause_publication", 0, 3, 0, b"{}")).await;
        }
    }

    async fn data(&mut self, payload: Vec<u8>) {
        assert!(payload.len() <= 1024, "agents are used to 1024 bytes");
        if !self.multiplexes() {
            self.writers.get(&0).iter().for_each(|writer| drop(writer.send(payload.clone())));
            return;
        }
        self.smux.extend(payload);
        while let Some(frame) = Smux::take(&mut self.smux) {
            match frame {
                Smux::Begin(id) => {
                    assert_eq!(id % 2, 1, "a client's streams are odd");
                    self.connect(id).await;
                }
                Smux::Data(id, data) => {
                    self.writers.get(&id).iter().for_each(|writer| drop(writer.send(data.clone())));
                }
                Smux::End(id) => drop(self.writers.remove(&id)),
                Smux::Nothing => {}
            }
        }
    }

    /// Connects to the port.
    async fn connect(&mut self, id: u32) {
        let count = {
            let mut seen = self.seen.lock().unwrap();
            seen.connections += 1;
            seen.connections
        };
        let (writer, mut lines) = mpsc::unbounded_channel::<Vec<u8>>();
        let to_us = self.to_us.clone();
        self.writers.insert(id, writer);
        let refused = count <= self.script.refusals;
        let port = self.port;
        tokio::spawn(async move {
            let stream = TcpStream::connect(("127.0.0.1", port)).await;
            let Some(stream) = stream.ok().filter(|_| !refused) else {
                let _ = to_us.send(Port::Refused(id));
                return;
            };
            let (mut reader, mut writer) = stream.into_split();
            let write = async move {
                while let Some(bytes) = lines.recv().await {
                    if writer.write_all(&bytes).await.is_err() {
                        break;
                    }
                }
            };
            let read = async {
                let mut bytes = vec![0; 1000];
                while let Ok(length @ 1..) = reader.read(&mut bytes).await {
                    let _ = to_us.send(Port::Bytes(id, bytes[..length].to_vec()));
                }
            };
            tokio::select! { () = write => {} () = read => {} }
            let _ = to_us.send(Port::End(id));
        });
    }

    async fn heard_from_port(&mut self, port: Port) {
        if self.script.dies.is_some_and(|after| self.heard > after) {
            return;
        }
        match port {
            Port::Bytes(id, bytes) if self.multiplexes() => {
                let frame = Smux::Data(id, bytes).write();
                for piece in frame.chunks(1024) {
                    self.say(1, piece).await;
                }
            }
            Port::Bytes(_, bytes) => self.say(1, &bytes).await,
            Port::End(id) if self.multiplexes() => self.say(1, &Smux::End(id).write()).await,
            // An old agent says nothing.
            Port::End(_) => {}
            Port::Refused(id) if self.multiplexes() => {
                self.say(10, &3_u32.to_be_bytes()).await;
                self.say(1, &Smux::End(id).write()).await;
            }
            Port::Refused(_) => self.close("Unable to connect to specified port").await,
        }
    }

    async fn tick(&mut self) {
        if self.script.dies.is_some_and(|after| self.heard > after) {
            self.waiting.clear();
            return;
        }
        let now = Instant::now();
        self.acknowledge().await;
        if self.paused_until.is_some_and(|until| until <= now) {
            self.paused_until = None;
            self.put(wire::write("start_publication", 0, 3, 0, b"{}")).await;
        }
        let overdue = |(_, at): &(Vec<u8>, Instant)| now - *at > Duration::from_millis(200);
        let oldest = self.waiting.values_mut().next().filter(|oldest| overdue(oldest));
        if let Some((bytes, at)) = oldest {
            *at = now;
            let bytes = bytes.clone();
            self.put(bytes).await;
        }
    }

    /// Every other time the service says good-bye.
    async fn drop_socket(&mut self) {
        if let Some(mut socket) = self.socket.take()
            && self.heard.is_multiple_of(2)
        {
            let bye = CloseFrame { code: CloseCode::Normal, reason: "Bye".into() };
            let _ = socket.close(Some(bye)).await;
        }
    }

    async fn close(&mut self, why: &str) {
        let words = json!({"MessageType": "channel_closed", "SchemaVersion": 1, "Output": why});
        let bytes = wire::write("channel_closed", 0, 3, 261, words.to_string().as_bytes());
        if let Some(mut socket) = self.socket.take() {
            let _ = socket.send(Frame::binary(bytes)).await;
        }
    }
}

async fn next(
    socket: &mut Option<Socket>,
) -> Option<Result<Frame, tokio_tungstenite::tungstenite::Error>> {
    match socket {
        Some(socket) => socket.next().await,
        None => None,
    }
}
