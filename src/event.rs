//! What a run says. `run/` and the components speak through a [`Ui`]; `report/` listens and shows.
//!
//! Every text passes the redactor on its way into an event, so that whoever listens cannot leak.

mod contents;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::diagnostic::Severity;
use crate::env::WaitReporter;
use crate::fault::Fault;
use crate::retry;
use crate::secret::Redactor;
use crate::source::{Place, Position};
use crate::stop::Cause;

pub use contents::{Contents, PackageChange, told};

/// One thing said, by whom and when.
#[derive(Debug)]
pub struct Event {
    /// When it was said.
    pub at: Timestamp,
    /// What it is about, without secrets; `None` is the run itself.
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

/// A part of a build, as people tell what happens to it. A build goes through them in this order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// What must be known and there before a machine starts.
    Prepare,
    /// The machine starts.
    Launch,
    /// The way into it.
    Connect,
    /// One provisioner, as the template calls it.
    Provision(String),
    /// The image is made of the machine.
    Image,
    /// One test of the image, as the template calls it.
    Test(String),
    /// What must not stay goes.
    Cleanup,
    /// One post-processor, as the template calls it.
    PostProcess(String),
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prepare => f.write_str("prepare"),
            Self::Launch => f.write_str("launch"),
            Self::Connect => f.write_str("connect"),
            Self::Provision(name) => write!(f, "provision: {name}"),
            Self::Image => f.write_str("image"),
            Self::Test(name) => write!(f, "test: {name}"),
            Self::Cleanup => f.write_str("cleanup"),
            Self::PostProcess(name) => write!(f, "post-process: {name}"),
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
    /// A sentence about a step that is not undone, on purpose: for who follows each step. The end of the
    /// run lists all that is left.
    Left(String),
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
    /// The same for programs, which cannot read drawings.
    Findings(Vec<Annotation>),
    /// A note for whoever looks for a mistake.
    Debug(String),
    /// A remark for whoever shows files with remarks; people have read it already.
    Annotation(Annotation),
    /// The builds that are about to run, in order.
    BuildsPlanned(Vec<String>),
    /// A step of a build begins.
    StepStarted {
        /// Its name.
        step: String,
        /// The part of the build that it belongs to.
        phase: Phase,
    },
    /// A step of a build ended.
    StepFinished {
        /// Its name, as it was when it started.
        step: String,
        /// How long it took.
        took: Duration,
        /// Whether it did what it should.
        ok: bool,
    },
    /// A part of a build begins that is no step.
    PhaseStarted(Phase),
    /// The part that began last ended.
    PhaseFinished {
        /// Whether it did what it should.
        ok: bool,
    },
    /// A part of the build's time ended that was not ours.
    Spent {
        /// Whose it was.
        whose: SpentBy,
        /// What it was spent on, e.g. `instance running`.
        what: &'static str,
        /// How long it was.
        took: Duration,
    },
    /// How far a transfer is.
    Progress(Progress),
    /// There is a new picture of a machine's screen.
    Picture(Picture),
    /// What is inside a build's image; people who follow the build have read it already.
    Contents(Contents),
    /// A question for the person at the terminal. The answer is `None` where nobody can answer.
    Ask {
        /// The question.
        question: String,
        /// Where the answer goes.
        answer: oneshot::Sender<Option<String>>,
    },
    /// A build ended.
    BuildFinished(Box<Finished>),
    /// A machine-readable record: its type and its fields.
    Record(Cow<'static, str>, Vec<String>),
    /// Answered when everything that was said before was shown.
    Settle(std::sync::mpsc::Sender<()>),
    /// Nothing more will be said.
    End,
}

/// Whose a part of a build's time is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpentBy {
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

/// A picture of a machine's screen, as a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Where the file is.
    pub path: String,
    /// When it was taken, e.g. `after 3 min`.
    pub moment: String,
    /// Whether people who follow the build are told: those that are taken in passing are many.
    pub is_told: bool,
}

impl Picture {
    /// The directory that it is in.
    pub fn directory(&self) -> &str {
        self.path.rsplit_once('/').map_or(".", |(directory, _)| directory)
    }
}

/// A remark, at a place of a file if it is about one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotation {
    /// How bad it is.
    pub severity: Severity,
    /// From where to where; the end is behind the last character.
    pub place: Option<(Place, Position)>,
    /// A few words.
    pub title: String,
    /// All of it; may be several lines.
    pub text: String,
    /// Whose fault it is, where it is an error of which that is known.
    pub fault: Option<Fault>,
}

/// How a build ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// How long it took.
    pub took: Duration,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// Whose fault that is.
    pub fault: Option<Fault>,
    /// Why it was stopped, if it failed of nothing else.
    pub stopped: Option<Cause>,
    /// Where in the template it failed; the source of the build if nothing better is known.
    pub place: Place,
    /// What is left of it.
    pub products: Vec<ArtifactSummary>,
}

/// An artifact, as far as it can be told.
#[derive(Clone, Debug)]
pub struct ArtifactSummary {
    /// Which kind of component made it.
    pub builder_id: String,
    /// Its identity.
    pub id: String,
    /// The files that it consists of.
    pub files: Vec<String>,
    /// For people.
    pub description: String,
    /// The machine images that it stands for, by region.
    pub images: BTreeMap<String, String>,
    /// What the machine said of itself, e.g. `SourceAMI`.
    pub facts: BTreeMap<String, String>,
}

impl Target {
    fn redacted(&self, redactor: &Redactor) -> Self {
        let clean = |name: &Arc<str>| match redactor.redact(name) {
            Cow::Borrowed(_) => name.clone(),
            Cow::Owned(clean) => clean.into(),
        };
        Self { build: clean(&self.build), part: self.part.as_ref().map(clean) }
    }
}

impl Annotation {
    fn redacted(self, redactor: &Redactor) -> Self {
        let place = self
            .place
            .map(|(place, end)| (Place { file: redactor.clean(place.file), ..place }, end));
        let (title, text) = (redactor.clean(self.title), redactor.clean(self.text));
        Self { place, title, text, ..self }
    }
}

impl Finished {
    /// What became of it where it did not end well.
    pub fn fate(&self) -> &'static str {
        if self.stopped.is_some() { "was cancelled" } else { "failed" }
    }

    fn redacted(mut self, redactor: &Redactor) -> Self {
        let products = self.products.iter_mut().flat_map(|product| {
            let texts = [&mut product.builder_id, &mut product.id, &mut product.description];
            let values = product.images.values_mut().chain(product.facts.values_mut());
            texts.into_iter().chain(&mut product.files).chain(values)
        });
        let place = &mut self.place.file;
        for text in self.error.iter_mut().chain([place]).chain(products) {
            *text = redactor.clean(std::mem::take(text));
        }
        self
    }
}

impl Phase {
    fn redacted(self, redactor: &Redactor) -> Self {
        match self {
            Self::Provision(name) => Self::Provision(redactor.clean(name)),
            Self::Test(name) => Self::Test(redactor.clean(name)),
            Self::PostProcess(name) => Self::PostProcess(redactor.clean(name)),
            fixed => fixed,
        }
    }
}

impl Message {
    /// The same without secrets.
    fn redacted(self, redactor: &Redactor) -> Self {
        let clean = |text: String| redactor.clean(text);
        match self {
            Self::Say(text) => Self::Say(clean(text)),
            Self::Error(text) => Self::Error(clean(text)),
            Self::Left(text) => Self::Left(clean(text)),
            Self::Text(text) => Self::Text(clean(text)),
            Self::Debug(text) => Self::Debug(clean(text)),
            Self::Output { stream, text } => Self::Output { stream, text: clean(text) },
            Self::Diagnostics(text) => Self::Diagnostics(clean(text)),
            Self::Ask { question, answer } => Self::Ask { question: clean(question), answer },
            Self::BuildFinished(finished) => {
                Self::BuildFinished(Box::new(finished.redacted(redactor)))
            }
            Self::Record(kind, fields) => {
                let kind = clean(kind.into_owned()).into();
                Self::Record(kind, fields.into_iter().map(clean).collect())
            }
            Self::Annotation(annotation) => Self::Annotation(annotation.redacted(redactor)),
            Self::Findings(found) => {
                Self::Findings(found.into_iter().map(|one| one.redacted(redactor)).collect())
            }
            Self::BuildsPlanned(names) => {
                Self::BuildsPlanned(names.into_iter().map(clean).collect())
            }
            Self::StepStarted { step, phase } => {
                Self::StepStarted { step: clean(step), phase: phase.redacted(redactor) }
            }
            Self::StepFinished { step, took, ok } => {
                Self::StepFinished { step: clean(step), took, ok }
            }
            Self::PhaseStarted(phase) => Self::PhaseStarted(phase.redacted(redactor)),
            Self::Progress(progress) => {
                Self::Progress(Progress { what: clean(progress.what), ..progress })
            }
            Self::Picture(Picture { path, moment, is_told }) => {
                Self::Picture(Picture { path: clean(path), moment: clean(moment), is_told })
            }
            Self::Contents(contents) => Self::Contents(contents.redacted(redactor)),
            fixed @ (Self::Spent { .. }
            | Self::PhaseFinished { .. }
            | Self::Settle(_)
            | Self::End) => fixed,
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

impl WaitReporter for Ui {
    /// On standard error, like all that is no result.
    fn say(&self, text: &str) {
        self.send(Message::Diagnostics(format!("{text}\n")));
    }
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

    /// `work`'s output. If it takes longer than people wait without a word, they are told for what.
    pub async fn wait_for<F: Future>(&self, what: &str, work: F) -> F::Output {
        // Standard output may be for a program.
        let tell = || self.send(Message::Diagnostics(format!("Waiting for {what} ...\n")));
        retry::told(work, tell).await
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
        let target = self.target.as_ref().map(|target| target.redacted(&self.redactor));
        let event = Event { at: Timestamp::now(), target, message, _shown: shown };
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

    /// Waits until all that was said so far was shown. Not for tasks: it blocks.
    pub fn settle(&self) {
        let (sender, settled) = std::sync::mpsc::channel();
        self.send(Message::Settle(sender));
        // Where nobody listens, there is nothing to wait for.
        let _ = settled.recv();
    }

    /// The redactor that everything said here passes.
    pub(crate) fn redactor(&self) -> &Redactor {
        &self.redactor
    }
}
