//! The data channel of a session: a stream of messages that outlives its WebSockets.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::StreamExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, interval, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{Bytes, Message as Frame};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::aws::error::Meaning;
use crate::aws::ssm::content::{self, Agent};
use crate::aws::ssm::message::{CONNECT_TO_PORT_ERROR, Draft, Kind, Message, payload};
use crate::aws::ssm::pace::Pace;
use crate::aws::ssm::reliable::{Incoming, Outgoing, Overdue};
use crate::aws::ssm::session::{ChannelAccess, Session};
use crate::aws::ssm::socket::{self, Outbox};
use crate::aws::ssm::stream::SessionEnd;
use crate::retry::Backoff;

/// How long the agent may take to greet.
const GREETING: Duration = Duration::from_secs(30);
/// How often the service is told that we are still there, if nothing else says so.
const PING: Duration = Duration::from_secs(60);
/// The waits between attempts to get a lost WebSocket back.
const BETWEEN_ATTEMPTS: Backoff =
    Backoff { first: Duration::from_millis(200), factor: 2.0, longest: Duration::from_secs(5) };
/// How long that may take until the session is given up.
const LOST_FOR_GOOD: Duration = Duration::from_secs(300);
/// The same before there ever was one.
const NEVER_OPEN: Duration = Duration::from_secs(10);
/// How much may wait for its reader before nothing more is taken from the service.
const MOST_UNREAD: usize = 4 << 20;
/// How many messages may wait for the service.
const QUEUE: usize = 64;

/// An open channel.
#[derive(Debug)]
pub(super) struct Channel {
    /// Takes what is to be sent.
    pub(super) to: mpsc::Sender<Draft>,
    /// Gives what came.
    pub(super) from: mpsc::Receiver<Bytes>,
    /// Who is at the other end.
    pub(super) agent: Agent,
    /// What becomes of it.
    pub(super) fate: Arc<SessionEnd>,
    /// Keeps it open.
    pub(super) task: AbortOnDropHandle<()>,
}

/// Why there is no channel.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    /// Another session may do better.
    #[error("{0}")]
    Failed(String),
    /// No session of this kind can be used.
    #[error("{0}")]
    Impossible(String),
}

/// Opens the data channel of `session`, and agrees with the agent on how it is used. An agent that
/// is not heard of for `patience`, on one WebSocket and on the next, is dead.
pub(super) async fn open(session: Session, patience: Duration) -> Result<Channel, OpenError> {
    let (to, outbound) = mpsc::channel(QUEUE);
    let (inbound, from) = mpsc::channel(QUEUE);
    let (greeted, greeting) = oneshot::channel();
    let fate = Arc::new(SessionEnd::default());
    let task = Task {
        session,
        client: Uuid::new_v4(),
        outgoing: Outgoing::new(patience),
        incoming: Incoming::default(),
        pace: Pace::new(Instant::now()),
        outbound,
        inbound,
        unread: ReadBuffer::default(),
        agent: None,
        was_heard: false,
        greeted: Some(greeted),
        fate: fate.clone(),
    };
    let task = AbortOnDropHandle::new(tokio::spawn(task.run()));
    match timeout(GREETING, greeting).await {
        Ok(Ok(Ok(agent))) => Ok(Channel { to, from, agent, fate, task }),
        Ok(Ok(Err(why))) => Err(OpenError::Impossible(why)),
        Ok(Err(_)) => {
            let why = fate.end.get().map_or("it ended at once", String::as_str);
            Err(OpenError::Failed(why.to_owned()))
        }
        Err(_) => {
            Err(OpenError::Failed(format!("the SSM agent did not greet within {GREETING:?}")))
        }
    }
}

/// Why a WebSocket is not used any more.
enum End {
    /// It was lost; the session goes on.
    Lost(String),
    /// The session is over.
    Closed(String),
    /// Nobody wants anything of us any more.
    Left,
}

/// What came and waits for its reader.
#[derive(Debug, Default)]
struct ReadBuffer {
    pieces: VecDeque<Bytes>,
    bytes: usize,
}

impl ReadBuffer {
    fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    fn put(&mut self, piece: Bytes) {
        self.bytes += piece.len();
        self.pieces.push_back(piece);
    }

    fn take(&mut self) -> Option<Bytes> {
        let piece = self.pieces.pop_front()?;
        self.bytes -= piece.len();
        Some(piece)
    }
}

/// The channel at work.
struct Task {
    session: Session,
    /// What the service knows us by, over all WebSockets.
    client: Uuid,
    outgoing: Outgoing,
    incoming: Incoming,
    pace: Pace,
    outbound: mpsc::Receiver<Draft>,
    inbound: mpsc::Sender<Bytes>,
    unread: ReadBuffer,
    /// The agent, once it has asked.
    agent: Option<Agent>,
    /// Whether the agent was heard on this WebSocket.
    was_heard: bool,
    /// Who waits until it is ready, or wants what cannot be done.
    greeted: Option<oneshot::Sender<Result<Agent, String>>>,
    fate: Arc<SessionEnd>,
}

impl Task {
    async fn run(mut self) {
        let mut door = Some(self.session.door.clone());
        let why = loop {
            let (mut outbox, mut socket) = match self.connect(door.take()).await {
                Ok(connected) => connected,
                Err(why) => break why,
            };
            match self.drive(&mut outbox, &mut socket).await {
                End::Lost(why) => {
                    let id = &self.session.id;
                    tracing::info!("the connection of the session {id} was lost: {why}");
                }
                End::Closed(why) => break why,
                End::Left => return,
            }
        };
        // What came before the end is read before the end is seen.
        while let Some(piece) = self.unread.take() {
            if self.inbound.send(piece).await.is_err() {
                break;
            }
        }
        // It is set once: here.
        let _ = self.fate.end.set(why);
    }

    /// Connects through `door`, or through one that is asked for.
    async fn connect(
        &mut self,
        mut door: Option<ChannelAccess>,
    ) -> Result<(Outbox, socket::Incoming), String> {
        let began = Instant::now();
        let mut waits = BETWEEN_ATTEMPTS.waits();
        loop {
            let opened = match door.take() {
                Some(door) => Ok(Some(door)),
                None => self.session.resume().await,
            };
            let why = match opened {
                Ok(None) => return Err("the session has timed out".to_owned()),
                Err(error) if error.meaning != Meaning::Unsure => {
                    return Err(format!("the session cannot be resumed: {error}"));
                }
                Err(error) => error.to_string(),
                Ok(Some(door)) => match socket::connect(&door.url).await {
                    Ok((mut outbox, incoming)) => {
                        outbox.say(content::introduction(self.client, door.token.expose()));
                        return Ok((outbox, incoming));
                    }
                    Err(why) => why,
                },
            };
            tracing::info!("no WebSocket for the session {}: {why}", self.session.id);
            let (patience, what) = match self.greeted {
                Some(_) => (NEVER_OPEN, "there is no connection"),
                None => (LOST_FOR_GOOD, "the connection was lost and does not come back"),
            };
            if began.elapsed() >= patience {
                return Err(format!("{what}: {why}"));
            }
            tokio::time::sleep(waits.next().unwrap_or_default()).await;
        }
    }

    /// Uses one WebSocket as long as it lasts.
    async fn drive(&mut self, outbox: &mut Outbox, socket: &mut socket::Incoming) -> End {
        let now = Instant::now();
        self.was_heard = false;
        self.outgoing.all_again(now).into_iter().for_each(|again| outbox.send(again));
        let mut ping = interval(PING);
        loop {
            let now = Instant::now();
            let may_send = self.outgoing.has_room();
            let due = self.outgoing.due().map(|due| due.max(self.pace.next()));
            tokio::select! {
                delivered = outbox.deliver(), if outbox.has_mail() => {
                    if let Err(error) = delivered {
                        return End::Lost(error.to_string());
                    }
                }
                came = socket.next(), if self.wants_more() => {
                    if let Some(end) = self.hear(came, outbox) {
                        return end;
                    }
                }
                draft = self.outbound.recv(), if may_send && self.pace.next() <= now => {
                    let Some(draft) = draft else { return End::Left };
                    let now = Instant::now();
                    self.pace.went(now);
                    outbox.send(self.outgoing.send(draft, payload::DATA, now));
                }
                () = sleep_until(self.pace.next()), if may_send && self.pace.next() > now => {}
                room = self.inbound.clone().reserve_owned(), if !self.unread.is_empty() => {
                    match (room, self.unread.take()) {
                        (Ok(room), Some(piece)) => drop(room.send(piece)),
                        _ => return End::Left,
                    }
                }
                () = sleep_until(due.unwrap_or(now)), if due.is_some() => {
                    let now = Instant::now();
                    match self.outgoing.overdue(now) {
                        Overdue::Nothing => {}
                        Overdue::Again(bytes) => {
                            self.pace.went(now);
                            outbox.send(bytes);
                        }
                        Overdue::Lost if self.was_heard => {
                            return End::Lost("nothing arrives any more".to_owned());
                        }
                        Overdue::Lost => {
                            return End::Closed("the SSM agent is not heard any more".to_owned());
                        }
                    }
                }
                _ = ping.tick() => outbox.ping(),
            }
        }
    }

    /// Whether more may come. As long as something of ours is on its way, its acknowledgement must
    /// be heard: a reader may be one who waits for that before it reads on.
    fn wants_more(&self) -> bool {
        self.unread.bytes < MOST_UNREAD || !self.outgoing.is_empty()
    }

    /// Takes in what a WebSocket brought.
    fn hear(
        &mut self,
        came: Option<Result<Frame, tokio_tungstenite::tungstenite::Error>>,
        outbox: &mut Outbox,
    ) -> Option<End> {
        let bytes = match came {
            None => return Some(End::Lost("it was closed".to_owned())),
            Some(Err(error)) => return Some(End::Lost(error.to_string())),
            Some(Ok(Frame::Close(why))) => {
                let why = why.map(|why| why.to_string()).unwrap_or_default();
                return Some(End::Lost(format!("the service closed it: {why}")));
            }
            Some(Ok(Frame::Binary(bytes))) => bytes,
            Some(Ok(Frame::Text(text))) => Bytes::from(text),
            Some(Ok(_)) => return None,
        };
        match Message::read(&bytes) {
            Ok(message) => self.take(message, outbox),
            Err(error) => {
                tracing::warn!("the session {}: {error}", self.session.id);
                None
            }
        }
    }

    fn take(&mut self, message: Message, outbox: &mut Outbox) -> Option<End> {
        let now = Instant::now();
        if matches!(message.kind, Kind::Output | Kind::Acknowledge) {
            self.was_heard = true;
        }
        match message.kind {
            Kind::Output => {
                let acknowledgement = content::acknowledgement(&message);
                if self.incoming.came(message) {
                    outbox.send(acknowledgement.into_acknowledgement());
                }
                while let Some(message) = self.incoming.take() {
                    if let Some(end) = self.process(message, outbox) {
                        return Some(end);
                    }
                }
            }
            Kind::Acknowledge => match content::acknowledged(&message) {
                Ok(sequence) => self.outgoing.arrived(sequence, now),
                Err(error) => tracing::warn!("an acknowledgement of nothing: {error}"),
            },
            Kind::ChannelClosed => {
                let why = content::closing_words(&message);
                let why = why.map_or(String::new(), |why| format!(": {why}"));
                return Some(End::Closed(format!("the session was ended{why}")));
            }
            Kind::PausePublication => self.outgoing.pause(now),
            Kind::StartPublication => self.outgoing.resume(),
            Kind::Input | Kind::Other => {
                tracing::debug!("a message of a kind that says nothing to us");
            }
        }
        None
    }

    /// The agent's next message, in its order.
    fn process(&mut self, message: Message, outbox: &mut Outbox) -> Option<End> {
        match message.payload_type {
            payload::DATA => self.unread.put(message.payload),
            payload::HANDSHAKE_REQUEST => return self.shake_hands(&message, outbox),
            payload::HANDSHAKE_COMPLETE => {
                if let (Some(greeted), Some(agent)) = (self.greeted.take(), self.agent) {
                    // Who has given up waiting has also dropped this task.
                    let _ = greeted.send(Ok(agent));
                }
            }
            payload::FLAG if message.payload[..] == CONNECT_TO_PORT_ERROR => {
                self.fate.is_refused.store(true, Ordering::Relaxed);
            }
            other => tracing::debug!("a payload of the type {other}"),
        }
        None
    }

    fn shake_hands(&mut self, request: &Message, outbox: &mut Outbox) -> Option<End> {
        let (response, agent) = match content::handshake(request) {
            Ok(answer) => answer,
            Err(error) => return Some(End::Closed(format!("the agent's greeting: {error}"))),
        };
        let now = Instant::now();
        outbox.send(self.outgoing.send(response, payload::HANDSHAKE_RESPONSE, now));
        match agent {
            Ok(agent) => {
                self.agent = Some(agent);
                None
            }
            Err(why) => {
                self.greeted.take().into_iter().for_each(|greeted| {
                    // As above.
                    let _ = greeted.send(Err(why.clone()));
                });
                Some(End::Closed(why))
            }
        }
    }
}
