//! A machine that remembers what was asked of it.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::bail;
use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::component::{
    self, Command, Communicator, Component, Exit, Facts, ProvisionContext, Provisioner, Upload,
};
use crate::config::Node;
use crate::diagnostic::Diagnostics;
use crate::event::{Event, Message, Ui};
use crate::guest::GuestOutput;
use crate::guest::shell::{Cmd, Posix, Shell};
use crate::interpolate::Scope;
use crate::retry::Permanent;
use crate::secret::Redactor;

/// What the machine answers to one command.
pub(crate) enum Answer {
    /// It exits with this status.
    Exit(u32),
    /// The connection breaks.
    Disconnect,
    /// It could not be started.
    Refuse,
    /// It runs until nobody waits for it any more.
    Hang,
}

/// The machine: everything succeeds unless an [`Answer`] is planned.
#[derive(Default)]
pub(crate) struct Machine {
    log: Mutex<Vec<String>>,
    answers: Mutex<VecDeque<Answer>>,
    refused_uploads: Mutex<usize>,
    denies_uploads: bool,
    is_windows: bool,
}

impl Machine {
    /// The next commands are answered so; those after them succeed.
    pub(crate) fn answering(answers: impl IntoIterator<Item = Answer>) -> Arc<Self> {
        Arc::new(Self { answers: Mutex::new(answers.into_iter().collect()), ..Self::default() })
    }

    /// The first `count` uploads fail.
    pub(crate) fn refusing_uploads(count: usize) -> Arc<Self> {
        Arc::new(Self { refused_uploads: Mutex::new(count), ..Self::default() })
    }

    /// No upload is permitted.
    pub(crate) fn denying_uploads() -> Arc<Self> {
        Arc::new(Self { denies_uploads: true, ..Self::default() })
    }

    /// A machine of Windows: its shell is `cmd`.
    pub(crate) fn windows() -> Arc<Self> {
        Arc::new(Self { is_windows: true, ..Self::default() })
    }

    /// The same, which answers its first command so.
    pub(crate) fn windows_answering(answer: Answer) -> Arc<Self> {
        let answers = Mutex::new([answer].into());
        Arc::new(Self { is_windows: true, answers, ..Self::default() })
    }

    /// What was asked, in order.
    pub(crate) fn log(&self) -> Vec<String> {
        lock(&self.log).clone()
    }

    fn note(&self, what: String) {
        lock(&self.log).push(what);
    }

    fn upload_is_refused(&self) -> bool {
        let mut left = lock(&self.refused_uploads);
        let refused = *left > 0;
        *left = left.saturating_sub(1);
        refused
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

#[async_trait]
impl Communicator for Machine {
    fn shell(&self) -> &dyn Shell {
        if self.is_windows { &Cmd } else { &Posix }
    }

    async fn run(
        &self,
        command: Command<'_>,
        _output: &mut dyn GuestOutput,
    ) -> anyhow::Result<Exit> {
        match command {
            Command::Ours(text) => self.note(format!("run {text}")),
            Command::Template(text) => self.note(format!("login {text}")),
        }
        let answer = lock(&self.answers).pop_front();
        match answer {
            None => Ok(Exit::Status(0)),
            Some(Answer::Exit(status)) => Ok(Exit::Status(status)),
            Some(Answer::Disconnect) => Ok(Exit::Disconnected),
            Some(Answer::Refuse) => bail!("no route to host"),
            Some(Answer::Hang) => std::future::pending().await,
        }
    }

    async fn upload(&self, from: Upload<'_>, to: &str, _: &Ui) -> anyhow::Result<()> {
        if self.upload_is_refused() {
            self.note(format!("refuse {to}"));
            bail!("no route to host");
        }
        if self.denies_uploads {
            self.note(format!("refuse {to}"));
            bail!(Permanent("the machine says: permission denied".to_owned()));
        }
        match from {
            Upload::File(path) => self.note(format!("upload {} {to}", path.display())),
            Upload::Text { content, mode } => {
                let text = String::from_utf8_lossy(content);
                self.note(format!("write {mode:o} {to}\n{text}"));
            }
        }
        Ok(())
    }

    async fn upload_dir(&self, from: &str, to: &str, _: &Ui) -> anyhow::Result<()> {
        self.note(format!("upload_dir {from} {to}"));
        Ok(())
    }

    async fn download(&self, from: &str, to: &Path, _: &Ui) -> anyhow::Result<()> {
        self.note(format!("download {from} {}", to.display()));
        Ok(())
    }

    async fn download_dir(&self, from: &str, to: &Path, _: &Ui) -> anyhow::Result<()> {
        self.note(format!("download_dir {from} {}", to.display()));
        Ok(())
    }

    async fn close(&self) {}
}

/// The facts of a build called `web`.
pub(crate) fn facts() -> Facts {
    let scope = Scope { build_data: Some(Default::default()), ..Scope::for_tests() };
    Facts::without_build("null", scope).named("web")
}

/// A provisioner from options written as JSON; on refusal what was said.
pub(crate) fn prepare<C: Component>(options: serde_json::Value) -> Result<C, Vec<String>> {
    let said = |found: Diagnostics| {
        let line = |d: crate::diagnostic::Diagnostic| {
            format!("{}: {}", d.summary, d.cause.unwrap_or_default())
        };
        found.0.into_iter().map(line).collect::<Vec<_>>()
    };
    let prepared =
        component::prepare::<C>(&Node::for_tests(&options), &facts(), &Redactor::default());
    prepared.map(|(component, _)| component).map_err(said)
}

/// Runs the provisioner `C` with `options` on `machine`: how it ended, and what the machine was asked.
pub(crate) async fn run<C: Component + Provisioner>(
    options: serde_json::Value,
    machine: Arc<Machine>,
) -> (String, Vec<String>) {
    let (cx, _said) = context(machine.clone());
    let ended = prepare::<C>(options).unwrap().provision(&cx).await;
    (ended.map_or_else(|error| format!("{error:#}"), |()| "ok".to_owned()), machine.log())
}

/// The context of a provisioner on `machine`, and what it says.
pub(crate) fn context(machine: Arc<Machine>) -> (ProvisionContext, mpsc::UnboundedReceiver<Event>) {
    let (ui, said) = Ui::new();
    let cx = ProvisionContext {
        facts: Arc::new(facts()),
        ui,
        cancel: CancellationToken::new(),
        communicator: machine,
        on_error: Default::default(),
        redactor: Redactor::default(),
    };
    (cx, said)
}

/// All sentences and lines so far.
pub(crate) fn said(events: &mut mpsc::UnboundedReceiver<Event>) -> Vec<String> {
    let mut all = Vec::new();
    while let Ok(event) = events.try_recv() {
        match event.message {
            Message::Say(text) | Message::Error(text) => all.push(text),
            Message::Output { text, .. } => all.extend(text.split('\n').map(str::to_owned)),
            _ => {}
        }
    }
    all
}

/// A file in a directory of its own, which goes with the first value.
pub(crate) fn local_file(name: &str, content: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, content).unwrap();
    (dir, path)
}
