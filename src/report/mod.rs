//! Events and diagnostics → people and machines.
//!
//! | file | what is there |
//! |---|---|
//! | `terminal`, `progress`, `prompt` | what people see, and the questions that they answer |
//! | `screen` | the two streams of the process |
//! | `machine_readable` | records for programs |
//! | `github` | log groups, summaries and comments of the action |
//! | `page` | one HTML page of a run |
//! | `log` | the log for who looks for a mistake: `PACKER_LOG` |
//! | `diagnostics` | findings, as text, JSON, SARIF and annotations |
//! | `listing`, `timeline` | the end of a run: what was made, what is left, where the time went |
//! | `words` | numbers and times in words |

pub mod diagnostics;
pub mod github;
pub mod listing;
pub mod log;
mod machine_readable;
pub mod page;
mod progress;
mod prompt;
mod screen;
mod terminal;
#[cfg(test)]
mod tests;
mod timeline;
mod words;

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use self::github::log::Log;
use self::github::record::RunRecord;
use self::machine_readable::MachineReadable;
use self::page::Recorder;
use self::progress::ProgressBars;
use self::prompt::Prompts;
use self::screen::Screen;
use self::terminal::Terminal;
use crate::env::Environment;
use crate::event::{Event, Message, Picture, Ui};
use crate::guest::harmless;
use crate::secret::Redactor;

/// How the output looks.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// `-machine-readable`: records instead of text for people.
    pub machine_readable: bool,
    /// `-color`: `None` uses colours on a terminal.
    pub color: Option<bool>,
    /// `-timestamp-ui`: the time in front of every line.
    pub timestamps: bool,
}

impl Style {
    /// Whether to use colours on `stream`: never where the environment forbids them.
    fn uses_color(&self, environment: &Environment, stream: &impl IsTerminal) -> bool {
        let forbidden = ["PACKER_NO_COLOR", "NO_COLOR"];
        let allowed = forbidden.iter().all(|name| environment.get(name).is_none());
        allowed && !self.machine_readable && self.color.unwrap_or_else(|| stream.is_terminal())
    }

    /// How diagnostics are drawn, which go to standard error.
    pub fn of_diagnostics(&self, environment: &Environment) -> diagnostics::Style {
        let stderr = io::stderr();
        let width = rustix::termios::tcgetwinsize(&stderr).map_or(0, |size| size.ws_col.into());
        diagnostics::Style {
            color: self.uses_color(environment, &stderr),
            width: if width == 0 { WIDTH_OF_LOGS } else { width },
        }
    }
}

/// Columns of what is no terminal.
const WIDTH_OF_LOGS: usize = 100;

/// One way to show events.
trait Presenter: Send {
    /// Renders `event`; it is written soon after.
    fn show(&mut self, event: Event, screen: &mut Screen);

    /// How long it lets nothing happen before it wants to be [`idle`](Self::idle).
    fn patience(&self) -> Option<Duration> {
        None
    }

    /// Nothing was said for a while.
    fn idle(&mut self, _now: Timestamp, _screen: &mut Screen) {}

    /// Nothing more will be said.
    fn end(&mut self, _screen: &mut Screen) {}
}

/// The owner of standard output and standard error: shows all that is said through its [`Ui`], on
/// a thread of its own, so that a slow terminal never holds up a build.
#[derive(Debug)]
pub struct Reporter {
    ui: Ui,
    thread: JoinHandle<io::Result<()>>,
    /// Disconnected when everything was shown.
    done: Receiver<()>,
}

impl Reporter {
    /// Begins to listen.
    pub fn start(style: Style, environment: &Environment, redactor: Redactor) -> Self {
        Self::start_keeping(None, style, environment, redactor)
    }

    /// Begins to listen, and keeps what happens for a page.
    pub fn start_keeping(
        page: Option<Recorder>,
        style: Style,
        environment: &Environment,
        redactor: Redactor,
    ) -> Self {
        let bars = if bars_are_possible(style, environment) {
            ProgressBars::on_terminal()
        } else {
            ProgressBars::none()
        };
        // `Stdout` itself writes each line by itself; all that is written here is whole batches.
        let out = unbuffered(io::stdout()).unwrap_or_else(|_| Box::new(io::stdout()));
        let screen = Screen::new(out, Box::new(io::stderr()), bars);
        Self::listen(keeping(page, look(style, environment)), screen, redactor)
    }

    /// Begins to listen, and speaks to GitHub's runner, which reads standard output. What happens is
    /// kept in `record`, and for a `page` if there shall be one.
    pub fn for_github(
        settings: github::Settings,
        record: Arc<Mutex<RunRecord>>,
        page: Option<Recorder>,
        redactor: Redactor,
    ) -> Self {
        let out = unbuffered(io::stdout()).unwrap_or_else(|_| Box::new(io::stdout()));
        let screen = Screen::new(out, Box::new(io::stderr()), ProgressBars::none());
        let look = Box::new(Log::new(settings, record, redactor.clone()));
        Self::listen(keeping(page, look), screen, redactor)
    }

    fn listen(look: Box<dyn Presenter>, screen: Screen, redactor: Redactor) -> Self {
        let (ui, events) = Ui::redacting(redactor);
        let (until_shown, done) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let _until_shown: Sender<()> = until_shown;
            show_all(events, look, screen)
        });
        Self { ui, thread, done }
    }

    /// The voice of the run.
    pub fn ui(&self) -> &Ui {
        &self.ui
    }

    /// Waits until everything said so far was shown, and stops listening.
    ///
    /// # Errors
    /// When standard output did not take all of it.
    pub fn finish(self) -> io::Result<()> {
        self.ui.send(Message::End);
        let shown = self.thread.join();
        shown.unwrap_or_else(|_panic| Err(io::Error::other("a mistake in imgbake itself")))
    }

    /// As [`finish`](Self::finish), but gives up after `limit`.
    pub fn finish_within(self, limit: Duration) {
        self.ui.send(Message::End);
        // Disconnected: all was shown. Timed out: nobody reads it.
        let _ = self.done.recv_timeout(limit);
    }
}

fn look(style: Style, environment: &Environment) -> Box<dyn Presenter> {
    if style.machine_readable {
        return Box::new(MachineReadable::default());
    }
    let timestamps = style.timestamps.then(TimeZone::system);
    Box::new(Terminal::new(
        style.uses_color(environment, &io::stdout()),
        timestamps,
        Prompts::default(),
    ))
}

/// `look`, and what happens is kept for a page if there shall be one.
fn keeping(page: Option<Recorder>, look: Box<dyn Presenter>) -> Box<dyn Presenter> {
    match page {
        None => look,
        Some(run) => Box::new(Keeping { look, run, records: MachineReadable::default() }),
    }
}

/// Shows events in one way, and keeps their records: a page is made from nothing else, so that it is
/// the same whether a run makes it or `imgbake report` from the run's log.
struct Keeping {
    look: Box<dyn Presenter>,
    run: Recorder,
    records: MachineReadable,
}

impl Presenter for Keeping {
    fn show(&mut self, event: Event, screen: &mut Screen) {
        let mut records = String::new();
        self.records.records(&event, &mut records);
        let mut run = self.run.lock().unwrap_or_else(PoisonError::into_inner);
        records.lines().for_each(|line| run.hear(line));
        drop(run);
        self.look.show(event, screen);
    }

    fn patience(&self) -> Option<Duration> {
        self.look.patience()
    }

    fn idle(&mut self, now: Timestamp, screen: &mut Screen) {
        self.look.idle(now, screen);
    }

    fn end(&mut self, screen: &mut Screen) {
        self.look.end(screen);
    }
}

fn bars_are_possible(style: Style, environment: &Environment) -> bool {
    !style.machine_readable && !log::on_stderr(environment) && io::stdout().is_terminal()
}

/// The file behind a standard stream, without the buffer that looks for line ends.
fn unbuffered(stream: impl std::os::fd::AsFd) -> io::Result<Box<dyn Write + Send>> {
    Ok(Box::new(std::fs::File::from(stream.as_fd().try_clone_to_owned()?)))
}

/// Shows events until the end is said: as many as there are in one go, then writes. An error is why
/// standard output did not take them.
fn show_all(
    mut events: UnboundedReceiver<Event>,
    mut look: Box<dyn Presenter>,
    mut screen: Screen,
) -> io::Result<()> {
    let clock = look.patience().and_then(Clock::new);
    loop {
        let mut next = match &clock {
            None => events.blocking_recv(),
            Some(clock) => match clock.next(&mut events) {
                Ok(next) => next,
                Err(_idle) => {
                    look.idle(Timestamp::now(), &mut screen);
                    screen.flush();
                    continue;
                }
            },
        };
        if next.is_none() {
            return screen.into_written();
        }
        while let Some(event) = next {
            note(&event);
            if let Message::Settle(settled) = &event.message {
                screen.flush();
                // Who waited has gone: so be it.
                let _ = settled.send(());
            }
            let last = matches!(event.message, Message::End);
            look.show(event, &mut screen);
            if last {
                look.end(&mut screen);
                screen.flush();
                return screen.into_written();
            }
            next = if screen.is_full() { None } else { events.try_recv().ok() };
        }
        screen.flush();
    }
}

/// Waits for events, but not for ever.
struct Clock {
    runtime: tokio::runtime::Runtime,
    patience: Duration,
}

impl Clock {
    /// `None` where the system gives none: then nothing idles.
    fn new(patience: Duration) -> Option<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().ok()?;
        Some(Self { runtime, patience })
    }

    fn next(&self, events: &mut UnboundedReceiver<Event>) -> Result<Option<Event>, Elapsed> {
        self.runtime.block_on(async { timeout(self.patience, events.recv()).await })
    }
}

/// Repeats an event in the log.
fn note(event: &Event) {
    let target = event.target.as_ref().map(ToString::to_string);
    let target = target.as_deref().unwrap_or_default();
    match &event.message {
        Message::Say(text) | Message::Output { text, .. } => {
            tracing::info!(target: log::UI, build = target, "{text}");
        }
        Message::Error(text) | Message::Left(text) | Message::Diagnostics(text) => {
            tracing::warn!(target: log::UI, build = target, "{text}");
        }
        Message::StepStarted { step, .. } => tracing::debug!(build = target, step, "step started"),
        Message::Spent { what, took, .. } => tracing::debug!(build = target, what, ?took, "spent"),
        Message::StepFinished { step, took, ok } => {
            tracing::debug!(build = target, step, ?took, ok, "step finished");
        }
        Message::Picture(Picture { path, moment, .. }) => {
            tracing::info!(build = target, path, moment, "picture of the screen");
        }
        Message::BuildFinished(finished) => {
            let (took, error) = (finished.took, finished.error.as_deref());
            tracing::info!(build = target, ?took, error, "build finished");
        }
        _ => {}
    }
}

/// What people who follow a build are told of a picture, if they are.
fn of_picture(picture: &Picture) -> Option<String> {
    let Picture { path, moment, is_told } = picture;
    is_told.then(|| format!("Picture of the screen {moment}: {path}"))
}

/// A text of ours as it may be shown: it may repeat what a guest or a server said.
fn shown(text: &str) -> Cow<'_, str> {
    if text.contains(|next: char| next.is_control() && next != '\n') {
        Cow::Owned(harmless(text.as_bytes()))
    } else {
        Cow::Borrowed(text)
    }
}
