//! The way to a port of an instance: a session, and another one whenever the last one has ended.

use std::io;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::aws::account::Handle;
use crate::aws::call::Ssm;
use crate::aws::resource::Resource as _;
use crate::aws::resource::session::Session;
use crate::aws::ssm::channel::{self, OpenError};
use crate::aws::ssm::mux::Mux;
use crate::aws::ssm::session::{self, Started};
use crate::aws::ssm::stream::{SessionEnd, Stream};
use crate::event::Ui;
use crate::journal::{Journal, Thing};
use crate::retry::{self, Backoff};
use crate::secret::Redactor;

/// The waits between attempts to get a session: the agent of a machine that starts comes late.
const BETWEEN_SESSIONS: Backoff =
    Backoff { first: Duration::from_millis(500), factor: 1.5, longest: Duration::from_secs(3) };

/// How long an agent may be silent: less than SSH waits for a machine, so that a machine that has
/// rebooted is connected to anew in time.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A way to one port. Clones are the same way.
#[derive(Clone, Debug)]
pub struct Tunnel(Arc<Inner>);

/// Where a tunnel leads to, and who is told of it.
#[derive(Debug)]
pub struct Plan {
    /// The instance's account.
    pub account: Handle,
    /// The instance.
    pub instance: String,
    /// Its port.
    pub port: u16,
    /// How long the agent may be silent although it is asked; [`PATIENCE`] where there is no reason
    /// for another.
    pub patience: Duration,
    /// Kept with each session; finds those whose answers were lost.
    pub reason: String,
    /// Where sessions are written down.
    pub journal: Journal,
    /// The build that they are for.
    pub build: String,
    /// Takes their tokens.
    pub redactor: Redactor,
    /// Who says so.
    pub ui: Ui,
}

#[derive(Debug)]
struct Inner {
    plan: Plan,
    /// Fires when no more sessions are wanted.
    closed: CancellationToken,
    /// Held by whoever opens one.
    opening: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The sessions in use, the newest last.
    links: Vec<Arc<Link>>,
    /// Those that may exist.
    sessions: Vec<Arc<Thing>>,
    /// Why there is none yet.
    trouble: Option<String>,
}

/// A session in use.
#[derive(Debug)]
struct Link {
    session: Arc<Thing>,
    fate: Arc<SessionEnd>,
    way: Connections,
    channel: AbortOnDropHandle<()>,
}

/// The connections that a session can have.
#[derive(Debug)]
enum Connections {
    Many(Mux),
    /// The one that was not used yet.
    One(Mutex<Option<Stream>>),
}

impl Link {
    fn has_ended(&self) -> bool {
        self.fate.end.get().is_some() || self.channel.is_finished()
    }

    /// Whether a new connection can go through it.
    fn is_open(&self) -> bool {
        !self.has_ended()
            && match &self.way {
                Connections::Many(_) => true,
                Connections::One(stream) => lock(stream).is_some(),
            }
    }

    async fn dial(&self) -> io::Result<Stream> {
        match &self.way {
            Connections::Many(mux) => mux.open().await,
            Connections::One(stream) => lock(stream).take().ok_or_else(not_open),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn not_open() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "there is no open session")
}

impl Tunnel {
    /// A way as in `plan`, not open yet.
    pub fn new(plan: Plan) -> Self {
        Self(Arc::new(Inner {
            plan,
            closed: CancellationToken::new(),
            opening: tokio::sync::Mutex::default(),
            state: Mutex::default(),
        }))
    }

    /// Waits until there is an open session. One that is being started is not broken off if nobody
    /// waits any more: [`close`](Self::close) ends it.
    ///
    /// # Errors
    /// When there can be none, for a reason that time does not change.
    pub async fn open(&self) -> anyhow::Result<()> {
        let inner = self.0.clone();
        let opening = tokio::spawn(async move { inner.open().await });
        match opening.await {
            Ok(opened) => opened,
            Err(error) => resume_unwind(error.into_panic()),
        }
    }

    /// Whether a connection can be made.
    pub fn is_open(&self) -> bool {
        self.0.newest().is_some_and(|link| link.is_open())
    }

    /// Why it is not open yet.
    pub fn trouble(&self) -> Option<String> {
        self.0.state().trouble.clone()
    }

    /// A new connection to the port, if the tunnel is open.
    pub async fn dial(&self) -> io::Result<Stream> {
        self.0.newest().ok_or_else(not_open)?.dial().await
    }

    /// The sessions that may exist.
    pub fn sessions(&self) -> Vec<Arc<Thing>> {
        self.0.state().sessions.clone()
    }

    /// Ends all connections; the sessions that may exist are left to be ended.
    pub async fn close(&self) -> Vec<Arc<Thing>> {
        self.0.closed.cancel();
        let _nobody_opens = self.0.opening.lock().await;
        let mut state = self.0.state();
        state.links.clear();
        // Of the others it is known that there was none.
        let exists = |session: &Arc<Thing>| session.id().is_some() || session.is_doubtful();
        let (exist, never): (Vec<_>, Vec<_>) = state.sessions.drain(..).partition(exists);
        never.iter().for_each(|session| self.0.plan.journal.gone(session));
        state.sessions.clone_from(&exist);
        exist
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn newest(&self) -> Option<Arc<Link>> {
        self.state().links.last().cloned()
    }

    async fn open(&self) -> anyhow::Result<()> {
        let _alone = self.opening.lock().await;
        ensure!(!self.closed.is_cancelled(), "the way to {} is closed", self.plan.instance);
        if self.newest().is_some_and(|link| link.is_open()) {
            return Ok(());
        }
        self.end_those_that_have_ended().await;
        let mut waits = BETWEEN_SESSIONS.waits();
        loop {
            let trouble = match self.start().await? {
                Ok(link) => {
                    let mut state = self.state();
                    state.links.push(Arc::new(link));
                    state.trouble = None;
                    return Ok(());
                }
                Err(trouble) => trouble,
            };
            tracing::info!("no session with {}: {trouble}", self.plan.instance);
            self.state().trouble = Some(trouble);
            retry::sleep(&self.closed, waits.next().unwrap_or_default()).await?;
        }
    }

    /// The service is told, too: it may not know yet.
    async fn end_those_that_have_ended(&self) {
        let (ended, links) = {
            let mut state = self.state();
            std::mem::take(&mut state.links).into_iter().partition(|link| link.has_ended())
        };
        self.state().links = links;
        let ended: Vec<Arc<Link>> = ended;
        for link in ended {
            self.terminate(&link.session).await;
        }
    }

    async fn terminate(&self, session: &Arc<Thing>) {
        let Some(id) = session.id() else { return };
        match session::terminate(&self.ssm(), id).await {
            Ok(()) => {
                self.plan.journal.gone(session);
                self.state().sessions.retain(|known| !Arc::ptr_eq(known, session));
            }
            // It is tried again in the end.
            Err(error) => tracing::warn!("the session {id}: {error}"),
        }
    }

    /// One attempt; what may be better next time is said beside what never will be.
    async fn start(&self) -> anyhow::Result<Result<Link, String>> {
        let plan = &self.plan;
        let thing = self.thing().await?;
        let session = match self.ask(&thing).await? {
            Started::Yes(session) => *session,
            Started::NotYet(why) => return Ok(Err(why)),
        };
        plan.journal.made(&thing, &session.id);
        plan.ui.say(format!("Systems Manager session: {}", session.id));
        let channel =
            match retry::or_cancelled(&self.closed, channel::open(session, plan.patience)).await? {
                Ok(channel) => channel,
                Err(OpenError::Failed(why)) => {
                    self.terminate(&thing).await;
                    return Ok(Err(why));
                }
                Err(OpenError::Impossible(why)) => {
                    return Err(anyhow::anyhow!(why)).context(self.no_session());
                }
            };
        let way = match channel.agent.multiplexes {
            true => Connections::Many(Mux::new(channel.to, channel.from, channel.fate.clone())),
            false => {
                let fate = channel.fate.clone();
                let stream = Stream::new(channel.to, channel.from, None, fate);
                Connections::One(Mutex::new(Some(stream)))
            }
        };
        Ok(Ok(Link { session: thing, fate: channel.fate, way, channel: channel.task }))
    }

    /// The session that is about to be started, written down; the same one until it is there.
    async fn thing(&self) -> anyhow::Result<Arc<Thing>> {
        let plan = &self.plan;
        let planned = self.state().sessions.iter().find(|one| one.id().is_none()).cloned();
        if let Some(planned) = planned {
            return Ok(planned);
        }
        let (instance, reason) = (plan.instance.clone(), plan.reason.clone());
        let session = Session { instance, reason };
        let thing = Arc::new(session.thing(&plan.account, plan.account.region()));
        let written = plan.journal.intend(&plan.build, vec![thing.clone()]).await;
        written.context("the journal cannot be written")?;
        self.state().sessions.push(thing.clone());
        Ok(thing)
    }

    async fn ask(&self, thing: &Thing) -> anyhow::Result<Started> {
        let Plan { redactor, instance, port, reason, .. } = &self.plan;
        let asked = session::start(&self.ssm(), redactor, thing, instance, *port, reason).await;
        asked.with_context(|| self.no_session())
    }

    fn ssm(&self) -> Ssm {
        self.plan.account.ssm(&self.closed)
    }

    fn no_session(&self) -> String {
        format!("no way to {} through Systems Manager", self.plan.instance)
    }
}
