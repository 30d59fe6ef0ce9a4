//! One plugin process: started, greeted, watched, ended.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use rmpv::Value;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::mux::Session;
use super::rpc::{CallError, Client};
use super::runtime::{self, guard};
use crate::env::Environment;
use crate::github;
use crate::guest::harmless;

/// How long a plugin may take to say where it listens.
const GREETING: Duration = Duration::from_secs(60);

/// How long a plugin that lost its connection may take to be gone.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How long a plugin that was let go may take to end by itself.
const GRACE: Duration = Duration::from_secs(5);

/// How long plugins may take to end by themselves at the end of this program.
const AT_THE_END: Duration = Duration::from_secs(1);

/// How many lines of a plugin's log are kept for the case that it dies, and how long they may be.
const TAIL: usize = 200;
const LONGEST_LINE: u64 = 16 * 1024;

/// How many of them are shown.
const SHOWN: usize = 20;

/// What proves to a plugin that it was not started by a person.
const COOKIE: [(&str, &str); 3] = [
    (
        "PACKER_PLUGIN_MAGIC_COOKIE",
        "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2",
    ),
    ("PACKER_PLUGIN_MIN_PORT", "10000"),
    ("PACKER_PLUGIN_MAX_PORT", "25000"),
];

/// What is started.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Start {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// How people call the component: `` the plugin `docker` ``.
    pub called: String,
    /// Whether the greeting of plugins from before 2021 is taken, too.
    pub takes_old_greeting: bool,
}

/// What a plugin answers instead of doing what it was asked to.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

/// A running plugin that serves one component.
pub struct Process {
    /// Its channels.
    pub session: Session,
    main: Client,
    called: String,
    tail: Tail,
    ended: watch::Receiver<Option<String>>,
    _hold: Hold,
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("called", &self.called).finish_non_exhaustive()
    }
}

impl Process {
    /// Starts `start` in `environment`. Must be awaited in the plugins' runtime.
    pub async fn start(start: &Start, environment: &Environment) -> anyhow::Result<Self> {
        let mut child = command(start, environment).spawn().with_context(|| {
            format!("cannot start {} ({})", start.called, start.program.display())
        })?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let tail = Tail::of(stderr.context("a child without a log")?, start.called.clone());
        let mut watched = Watched::over(child);
        let mut stdout = BufReader::new(stdout.context("a child without output")?);
        let connected = tokio::select! {
            connected = timeout(GREETING, connect(&mut stdout, start.takes_old_greeting)) => {
                connected.unwrap_or_else(|_| {
                    Err(anyhow!("it did not say within {GREETING:?} where it listens"))
                })
            }
            status = watched.status() => Err(anyhow!("it ended before it was asked anything ({status})")),
        };
        let session = match connected {
            Ok(session) => session,
            Err(error) => return Err(watched.useless(start, "cannot be used", error, &tail).await),
        };
        runtime::spawn(async move { drain(stdout).await });
        let main = match session.dial(0).await {
            Ok(main) => Client::new(main),
            Err(error) => {
                return Err(watched.useless(start, "does not answer", error.into(), &tail).await);
            }
        };
        let Watched { ended, hold } = watched;
        Ok(Self { session, main, called: start.called.clone(), tail, ended, _hold: hold })
    }

    /// How people call its component.
    pub fn called(&self) -> &str {
        &self.called
    }

    /// Calls `method` of its component.
    pub async fn call(
        &self,
        method: &str,
        argument: Value,
        limit: Duration,
    ) -> anyhow::Result<Value> {
        let answer = self.main.call(method, argument, limit).await;
        self.explained(method, answer).await
    }

    /// The same for a call that may take as long as a build does.
    pub async fn call_unlimited(&self, method: &str, argument: Value) -> anyhow::Result<Value> {
        let answer = self.main.call_unlimited(method, argument).await;
        self.explained(method, answer).await
    }

    /// `answer`, or why `method` has none: in the plugin's own words, or those about its death.
    pub async fn explained(
        &self,
        method: &str,
        answer: Result<Value, CallError>,
    ) -> anyhow::Result<Value> {
        match answer {
            Ok(value) => Ok(value),
            Err(CallError::Refused(words)) => Err(Refusal(harmless(words.as_bytes())).into()),
            Err(CallError::Gone) => Err(self.death(&format!("during `{method}`")).await),
            Err(fault) => bail!("{}: {fault} to `{method}`{}", self.called, self.tail.shown()),
        }
    }

    /// What is said of a plugin whose connection has ended at `when`.
    pub async fn death(&self, when: &str) -> anyhow::Error {
        let mut ended = self.ended.clone();
        let status = timeout(LAST_WORDS, ended.wait_for(Option::is_some)).await;
        let how = match status.ok().and_then(Result::ok).and_then(|status| status.clone()) {
            Some(status) => format!("ended {when} ({status})"),
            None => format!("closed its connection {when}"),
        };
        self.tail.read_whole().await;
        anyhow!("{} {how}{}", self.called, self.tail.shown())
    }

    /// Whether it can be asked anything.
    pub fn is_alive(&self) -> bool {
        !self.session.is_gone() && self.ended.borrow().is_none()
    }
}

fn command(start: &Start, environment: &Environment) -> Command {
    let mut command = Command::new(&start.program);
    let given = environment.vars().filter(|(name, _)| !is_withheld(name));
    command
        .args(&start.arguments)
        .current_dir(&environment.cwd)
        .env_clear()
        .envs(given)
        .envs(COOKIE)
        .env("PACKER_RUN_UUID", &environment.run_uuid)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C is for us: we tell it what to do.
        .process_group(0)
        .kill_on_drop(true);
    command
}

/// Variables that no plugin is given: what belongs to the workflow and speaks in its name.
pub(super) fn is_withheld(name: &str) -> bool {
    github::is_private(name)
        // Values of the template's variables: what a plugin needs of them, its options say.
        || name.starts_with("PKR_VAR_")
        || ["GITHUB_TOKEN", "GH_TOKEN", "PACKER_GITHUB_API_TOKEN", "IMGBAKE_SEALED"].contains(&name)
}

/// A child that somebody waits for.
struct Watched {
    ended: watch::Receiver<Option<String>>,
    hold: Hold,
}

/// What keeps a child: when it is dropped, the child is let go. What is sent through it kills the child.
type Hold = oneshot::Sender<()>;

impl Watched {
    fn over(child: Child) -> Self {
        let (sender, ended) = watch::channel(None);
        let (hold, held) = oneshot::channel();
        let listed = Listed::of(child.id().and_then(|id| i32::try_from(id).ok()));
        runtime::spawn(watch_over(child, listed, sender, held));
        Self { ended, hold }
    }

    /// Kills a child that is of no use, and says why it is none.
    async fn useless(
        self,
        start: &Start,
        what: &str,
        error: anyhow::Error,
        tail: &Tail,
    ) -> anyhow::Error {
        let Self { mut ended, hold } = self;
        // One that has ended already is not there to be killed.
        let _ = hold.send(());
        let _ = timeout(LAST_WORDS, ended.wait_for(Option::is_some)).await;
        // What it says of itself is worth more than what is missing.
        tail.read_whole().await;
        error.context(format!("{} {what}{}", start.called, tail.shown()))
    }

    async fn status(&mut self) -> String {
        let status = self.ended.wait_for(Option::is_some).await;
        status.ok().and_then(|status| status.clone()).unwrap_or_default()
    }
}

/// Waits for the end of `child`. One that was let go may end by itself; then it is killed, with all that
/// it started. It is `listed` as long as it lives.
async fn watch_over(
    mut child: Child,
    listed: Listed,
    ended: watch::Sender<Option<String>>,
    held: oneshot::Receiver<()>,
) {
    let status = tokio::select! {
        status = child.wait() => status,
        killed = held => {
            let grace = if killed.is_ok() { Duration::ZERO } else { GRACE };
            match timeout(grace, child.wait()).await {
                Ok(status) => status,
                Err(_) => {
                    listed.0.into_iter().for_each(kill);
                    child.wait().await
                }
            }
        },
    };
    drop(listed);
    let text = |status: ExitStatus| status.to_string();
    ended.send_replace(Some(status.map_or_else(|error| error.to_string(), text)));
}

fn kill(group: i32) {
    if let Some(group) = Pid::from_raw(group) {
        // What has ended meanwhile needs no signal.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// The process groups of the plugins that run, and who waits until there are none.
static RUNNING: (Mutex<BTreeSet<i32>>, Condvar) = (Mutex::new(BTreeSet::new()), Condvar::new());

/// A process group that stands among [`RUNNING`] as long as this lives.
struct Listed(Option<i32>);

impl Listed {
    fn of(group: Option<i32>) -> Self {
        guard(&RUNNING.0).extend(group);
        Self(group)
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut running = guard(&RUNNING.0);
        running.retain(|group| Some(*group) != self.0);
        RUNNING.1.notify_all();
    }
}

/// Ends all plugins, at the end of this program: they have process groups of their own, and one that
/// hangs would stay. Most end by themselves as soon as their connection does.
pub fn end_all() {
    let running = guard(&RUNNING.0);
    if running.is_empty() {
        return;
    }
    runtime::close();
    let waited = RUNNING.1.wait_timeout_while(running, AT_THE_END, |running| !running.is_empty());
    let (running, _) = waited.unwrap_or_else(PoisonError::into_inner);
    running.iter().copied().for_each(kill);
}

/// Reads the greeting, and connects to where it says.
async fn connect(stdout: &mut BufReader<ChildStdout>, takes_old: bool) -> anyhow::Result<Session> {
    let mut line = Vec::new();
    stdout.take(LONGEST_LINE).read_until(b'\n', &mut line).await?;
    let line = String::from_utf8_lossy(&line);
    let line = line.trim_end();
    let parts: Vec<&str> = line.splitn(4, '|').collect();
    let (network, address) = match parts.as_slice() {
        ["5", "0", network, address] => (*network, *address),
        ["5", network @ ("unix" | "tcp"), address] if takes_old => (*network, *address),
        ["5", "unix" | "tcp", _] => bail!("it is from before 2021, and too old"),
        [major, minor, "unix" | "tcp", _] => {
            bail!("it speaks version {major}.{minor} of the protocol; imgbake speaks 5.0")
        }
        _ => bail!("it says {:?} instead of where it listens", harmless(line.as_bytes())),
    };
    let client = yamux::Mode::Client;
    Ok(match network {
        "unix" => {
            ensure!(
                Path::new(address).is_absolute(),
                "it listens at the relative path {address:?}"
            );
            Session::over(UnixStream::connect(address).await?, client)
        }
        _ => {
            let address: std::net::SocketAddr = address.parse().context("its address")?;
            ensure!(
                address.ip().is_loopback(),
                "it listens at {address}, which is not this machine"
            );
            Session::over(TcpStream::connect(address).await?, client)
        }
    })
}

/// Reads what nobody wants, so that the plugin need not wait.
async fn drain(mut from: impl AsyncRead + Unpin) {
    // A pipe that cannot be read any more has nothing more to drain.
    let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
}

/// The last lines of a plugin's log.
#[derive(Clone, Debug)]
struct Tail {
    lines: Arc<Mutex<VecDeque<String>>>,
    /// Is closed when the log has ended.
    ended: watch::Receiver<()>,
}

impl Tail {
    /// Reads `stderr` of what is `called` so from now on.
    fn of(stderr: ChildStderr, called: String) -> Self {
        let (end, ended) = watch::channel(());
        let tail = Self { lines: Arc::default(), ended };
        let kept = tail.clone();
        runtime::spawn(async move {
            kept.keep(stderr, called).await;
            drop(end);
        });
        tail
    }

    /// Waits for what a plugin that ends has said; not for a child of it that keeps its log open.
    async fn read_whole(&self) {
        let _ = timeout(LAST_WORDS, self.ended.clone().changed()).await;
    }

    async fn keep(self, stderr: impl AsyncRead + Unpin, called: String) {
        let mut stderr = BufReader::new(stderr);
        let mut line = Vec::new();
        loop {
            line.clear();
            match (&mut stderr).take(LONGEST_LINE).read_until(b'\n', &mut line).await {
                Ok(read) if read > 0 => {}
                _ => return,
            }
            let text = harmless(&line);
            tracing::debug!("{called}: {text}");
            let mut lines = guard(&self.lines);
            if lines.len() == TAIL {
                lines.pop_front();
            }
            lines.push_back(text);
        }
    }

    /// What is shown of it, as an addition to a sentence.
    fn shown(&self) -> String {
        let lines = guard(&self.lines);
        let first_panic = lines.iter().position(|line| line.starts_with("panic:"));
        let from = first_panic.unwrap_or(lines.len().saturating_sub(SHOWN));
        let shown: Vec<&str> = lines.iter().skip(from).take(SHOWN).map(String::as_str).collect();
        match shown.is_empty() {
            true => String::new(),
            false => format!("; the last of its log:\n  {}", shown.join("\n  ")),
        }
    }
}
