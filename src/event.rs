//! What a run says. `run/` and the components speak through a [`Ui`]; `report/` listens and shows.
//!
//! Every text passes the redactor on its way into an event, so that whoever listens cannot leak.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::secret::Redactor;

/// One thing said, by whom and when.
#[derive(Debug)]
pub struct Event {
    /// When it was said.
    pub at: Timestamp,
    /// What it is about; `None` is the run itself.
    pub target: Option<Target>,
    /// What was said, without secrets.
    pub message: Message,
    /// Held until the event was shown, so that a flood of guest output waits for its reader.
    _shown: Option<OwnedSemaphorePermit>,
}

/// A build, or a part of it; shown as `build` or `build (part)`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The build's name.
    pub build: Arc<str>,
    /// The post-processor's type, if it is one that speaks.
    pub part: Option<Arc<str>>,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.part {
            Some(part) => write!(f, "{} ({part})", self.build),
            None => f.write_str(&self.build),
        }
    }
}

/// The kinds of things said.
#[derive(Debug)]
pub enum Message {
    /// A sentence for people.
    Say(String),
    /// A sentence about something that went wrong.
    Error(String),
    /// What a command was asked for: written to standard output as it is.
    Text(String),
    /// Whole lines that a guest or a child process printed, already made harmless; parted by `\n`,
    /// without one at the end.
    Output {
        /// Which of its two streams.
        stream: Stream,
        /// The lines.
        text: String,
    },
    /// Findings about a template, drawn; several lines.
    Diagnostics(String),
    /// The builds that are about to run, in order.
    BuildsPlanned(Vec<String>),
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
    /// A part of the build's time ended that was not ours.
    Spent {
        /// Whose it was.
        whose: Whose,
        /// How long it was.
        took: Duration,
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
    /// Nothing more will be said.
    End,
}

/// Whose a part of a build's time is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The cloud took its time.
    Clouds,
    /// The machine, and what the template does with it.
    Templates,
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

impl Message {
    /// The same without secrets.
    fn redacted(self, redactor: &Redactor) -> Self {
        let clean = |text: String| redactor.clean(text);
        match self {
            Self::Say(text) => Self::Say(clean(text)),
            Self::Error(text) => Self::Error(clean(text)),
            Self::Text(text) => Self::Text(clean(text)),
            Self::Output { stream, text } => Self::Output { stream, text: clean(text) },
            Self::Diagnostics(text) => Self::Diagnostics(clean(text)),
            Self::Ask { question, answer } => Self::Ask { question: clean(question), answer },
            Self::BuildFinished { took, error } => {
                Self::BuildFinished { took, error: error.map(clean) }
            }
            Self::Record(kind, fields) => {
                Self::Record(kind, fields.into_iter().map(clean).collect())
            }
            Self::Progress(progress) => {
                Self::Progress(Progress { what: clean(progress.what), ..progress })
            }
            names @ (Self::BuildsPlanned(_)
            | Self::StepStarted(_)
            | Self::StepFinished { .. }
            | Self::Spent { .. }
            | Self::End) => names,
        }
    }
}

/// How many batches of guest output may wait to be shown before the guest has to wait.
const BACKLOG: usize = 256;

/// The voice of one build (or of the run). Clones speak for the same target.
#[derive(Clone, Debug)]
pub struct Ui {
    sender: mpsc::UnboundedSender<Event>,
    target: Option<Target>,
    backlog: Arc<Semaphore>,
    redactor: Redactor,
}

impl Ui {
    /// The voice of a run that has no secrets, and the ear for everything said through it.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Event>) {
        Self::redacting(Redactor::default())
    }

    /// The voice of the run, and the ear for everything said through it and its children. What
    /// `redactor` knows is never heard.
    pub fn redacting(redactor: Redactor) -> (Self, mpsc::UnboundedReceiver<Event>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let backlog = Arc::new(Semaphore::new(BACKLOG));
        (Self { sender, target: None, backlog, redactor }, receiver)
    }

    /// The voice of `build`.
    pub fn for_target(&self, build: impl Into<Arc<str>>) -> Self {
        Self { target: Some(Target { build: build.into(), part: None }), ..self.clone() }
    }

    /// The voice of a `part` of the build that this speaks for.
    pub fn for_part(&self, part: impl Into<Arc<str>>) -> Self {
        let part = Some(part.into());
        let target = self.target.clone().map(|target| Target { part, ..target });
        Self { target, ..self.clone() }
    }

    /// Says anything.
    pub fn send(&self, message: Message) {
        self.send_with(message, None);
    }

    fn send_with(&self, message: Message, shown: Option<OwnedSemaphorePermit>) {
        let message = message.redacted(&self.redactor);
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

    /// Passes on lines of a guest or child (parted by `\n`), and waits while too many are unseen.
    pub async fn output(&self, stream: Stream, text: String) {
        let shown = self.backlog.clone().acquire_owned().await.ok();
        self.send_with(Message::Output { stream, text }, shown);
    }

    /// Asks the person at the terminal; `None` if there is nobody to answer.
    pub async fn ask(&self, question: impl Into<String>) -> Option<String> {
        let (answer, reply) = oneshot::channel();
        self.send(Message::Ask { question: question.into(), answer });
        reply.await.ok().flatten()
    }

    /// The redactor that everything said here passes.
    pub(crate) fn redactor(&self) -> &Redactor {
        &self.redactor
    }
}
