//! What a run says. `run/` and the components speak through a [`Ui`]; `report/` listens and shows.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// One thing said, by whom and when.
#[derive(Debug)]
pub struct Event {
    /// When it was said.
    pub at: Timestamp,
    /// The build (or `build (post-processor)`) that it is about; `None` is the run itself.
    pub target: Option<Arc<str>>,
    /// What was said.
    pub message: Message,
    /// Held until the event was shown, so that a flood of guest output waits for its reader.
    _shown: Option<OwnedSemaphorePermit>,
}

/// The kinds of things said.
#[derive(Debug)]
pub enum Message {
    /// A sentence for people.
    Say(String),
    /// A sentence about something that went wrong.
    Error(String),
    /// A line that a guest or a child process printed, already made harmless.
    Output {
        /// Which of its two streams.
        stream: Stream,
        /// The line, without its end.
        line: String,
    },
    /// A step of a build begins.
    StepStarted(String),
    /// A step of a build ended.
    StepFinished {
        /// Its name, as it was when it started.
        step: String,
        /// How long it took.
        took: Duration,
        /// Whether it did what it should.
        ok: bool,
    },
    /// How far a transfer is.
    Progress(Progress),
    /// A question for the person at the terminal. The answer is `None` where nobody can answer.
    Ask {
        /// The question.
        question: String,
        /// Where the answer goes.
        answer: oneshot::Sender<Option<String>>,
    },
    /// A build ended.
    BuildFinished {
        /// How long it took.
        took: Duration,
        /// Why it failed, if it did.
        error: Option<String>,
    },
    /// A machine-readable record: its type and its fields.
    Record(&'static str, Vec<String>),
}

/// One of the two streams of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How far a transfer is.
#[derive(Clone, Debug)]
pub struct Progress {
    /// What is transferred: the same text from the first report to the last.
    pub what: String,
    /// Bytes done.
    pub done: u64,
    /// Bytes in all, where known.
    pub total: Option<u64>,
    /// Whether this was the last report.
    pub finished: bool,
}

/// How many lines of guest output may wait to be shown before the guest has to wait.
const BACKLOG: usize = 1024;

/// The voice of one build (or of the run). Clones speak for the same target.
#[derive(Clone, Debug)]
pub struct Ui {
    sender: mpsc::UnboundedSender<Event>,
    target: Option<Arc<str>>,
    backlog: Arc<Semaphore>,
}

impl Ui {
    /// The voice of the run, and the ear for everything said through it and its children.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Event>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self { sender, target: None, backlog: Arc::new(Semaphore::new(BACKLOG)) }, receiver)
    }

    /// The voice of `target`.
    pub fn for_target(&self, target: impl Into<Arc<str>>) -> Self {
        Self { target: Some(target.into()), ..self.clone() }
    }

    /// Says anything.
    pub fn send(&self, message: Message) {
        self.send_with(message, None);
    }

    fn send_with(&self, message: Message, shown: Option<OwnedSemaphorePermit>) {
        let event =
            Event { at: Timestamp::now(), target: self.target.clone(), message, _shown: shown };
        // Nobody listens any more only when the run is over.
        let _ = self.sender.send(event);
    }

    /// Says a sentence.
    pub fn say(&self, text: impl Into<String>) {
        self.send(Message::Say(text.into()));
    }

    /// Says what went wrong.
    pub fn error(&self, text: impl Into<String>) {
        self.send(Message::Error(text.into()));
    }

    /// Passes on one line of a guest or child, and waits while too many are unseen.
    pub async fn output(&self, stream: Stream, line: String) {
        let shown = self.backlog.clone().acquire_owned().await.ok();
        self.send_with(Message::Output { stream, line }, shown);
    }

    /// Asks the person at the terminal; `None` if there is nobody to answer.
    pub async fn ask(&self, question: impl Into<String>) -> Option<String> {
        let (answer, reply) = oneshot::channel();
        self.send(Message::Ask { question: question.into(), answer });
        reply.await.ok().flatten()
    }
}
