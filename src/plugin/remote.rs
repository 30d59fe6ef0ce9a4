//! One component of an installed plugin: its schema, and the processes that serve it.
//!
//! A process is started when it is needed. One that has only checked options, or has ended its work
//! well, is kept for the next who needs the same: two hundred sources of one type are checked by one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use rmpv::Value;
use tokio::sync::{Mutex as AsyncMutex, Notify};

use super::cache::Cache;
use super::pack::field;
use super::process::{Process, Start};
use super::runtime::{self, guard};
use super::spec::{Spec, odd_name};
use super::{gob_cty, protobuf};
use crate::env::Environment;
use crate::template::ast::Role;

/// How long a plugin may take to tell its options.
const SCHEMA: Duration = Duration::from_secs(60);

/// How many processes of a component wait for more to do.
const IDLE: usize = 8;

/// How long a check waits for the process of another one.
const SOON: Duration = Duration::from_millis(50);

/// The word that a component is started with.
pub(super) fn word(role: Role) -> &'static str {
    match role {
        Role::Builder => "builder",
        Role::Provisioner => "provisioner",
        Role::PostProcessor => "post-processor",
        Role::DataSource => "datasource",
    }
}

/// What a component's methods begin with.
pub(super) fn service(role: Role) -> &'static str {
    match role {
        Role::Builder => "Builder",
        Role::Provisioner => "Provisioner",
        Role::PostProcessor => "PostProcessor",
        Role::DataSource => "Datasource",
    }
}

/// What a component is, before any process of it runs.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The plugin's program.
    pub program: PathBuf,
    /// The plugin: `github.com/hashicorp/docker`.
    pub source: String,
    /// Its version: `1.1.2`.
    pub version: String,
    /// What it can do.
    pub role: Role,
    /// What the plugin calls it.
    pub own_name: String,
    /// What templates call it.
    pub name: String,
    /// Whether the plugin tells its options as protobuf.
    pub speaks_protobuf: bool,
}

/// One component of an installed plugin. A clone is the same one.
#[derive(Clone, Debug)]
pub struct Remote(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    identity: Identity,
    environment: Arc<Environment>,
    cache: Option<Cache>,
    start: Start,
    idle: Mutex<Vec<Process>>,
    /// Wakes who waits for one of them.
    back: Notify,
    /// Held while a process for a check is looked for, or started. Whether that was ever done: then
    /// there may be one that comes back.
    growing: AsyncMutex<bool>,
    specs: Mutex<BTreeMap<&'static str, Result<Arc<Spec>, String>>>,
}

impl Remote {
    /// The component `identity`, whose processes know `environment`; what it says of its options is kept
    /// in `cache`.
    pub fn new(identity: Identity, environment: Arc<Environment>, cache: Option<Cache>) -> Self {
        let mut arguments = vec!["start".to_owned(), word(identity.role).to_owned()];
        arguments.extend(identity.speaks_protobuf.then(|| "--protobuf".to_owned()));
        arguments.push(identity.own_name.clone());
        let start = Start {
            program: identity.program.clone(),
            arguments,
            called: format!("the plugin `{}`", identity.name),
            takes_old_greeting: false,
        };
        Self::with_start(start, identity, environment, cache)
    }

    /// The same, started by another command line than plugins have today.
    pub fn with_start(
        start: Start,
        identity: Identity,
        environment: Arc<Environment>,
        cache: Option<Cache>,
    ) -> Self {
        Self(Arc::new(Shared {
            identity,
            environment,
            cache,
            start,
            idle: Mutex::default(),
            back: Notify::new(),
            growing: AsyncMutex::default(),
            specs: Mutex::default(),
        }))
    }

    /// What it is.
    pub fn identity(&self) -> &Identity {
        &self.0.identity
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Process>> {
        guard(&self.0.idle)
    }

    /// A process that waits for more to do.
    fn waiting(&self) -> Option<Process> {
        let mut idle = self.idle();
        std::iter::from_fn(|| idle.pop()).find(Process::is_alive)
    }

    /// A process of it, for the caller alone.
    pub async fn process(&self) -> anyhow::Result<Process> {
        match self.waiting() {
            Some(process) => Ok(process),
            None => self.start().await,
        }
    }

    /// As [`process`](Self::process), but for a caller who is quick: where others have theirs, it waits a
    /// little for one of them before it starts another. So many checks need one process if checking is
    /// quick, and a few that work side by side if it is not.
    pub async fn checker(&self) -> anyhow::Result<Process> {
        let mut is_checked = self.0.growing.lock().await;
        if std::mem::replace(&mut *is_checked, true) {
            let back = async {
                loop {
                    match self.waiting() {
                        Some(process) => break process,
                        None => self.0.back.notified().await,
                    }
                }
            };
            if let Ok(process) = tokio::time::timeout(SOON, back).await {
                return Ok(process);
            }
        }
        self.process().await
    }

    async fn start(&self) -> anyhow::Result<Process> {
        let shared = self.0.clone();
        let started =
            runtime::spawn(async move { Process::start(&shared.start, &shared.environment).await });
        started.context("no threads for plugins")?.await?
    }

    /// Takes a process that can be asked more.
    pub fn give_back(&self, process: Process) {
        let mut idle = self.idle();
        if idle.len() < IDLE && process.is_alive() {
            idle.push(process);
            self.0.back.notify_one();
        }
    }

    /// Its options.
    pub fn spec(&self) -> anyhow::Result<Arc<Spec>> {
        self.schema("ConfigSpec")
    }

    /// What it answers, if it is a data source.
    pub fn output_spec(&self) -> anyhow::Result<Arc<Spec>> {
        self.schema("OutputSpec")
    }

    /// Asked once, whatever comes of it: a plugin that hangs hangs every time.
    fn schema(&self, what: &'static str) -> anyhow::Result<Arc<Spec>> {
        let mut specs = guard(&self.0.specs);
        let ask = || self.cached_schema(what).map(Arc::new).map_err(|error| format!("{error:#}"));
        specs.entry(what).or_insert_with(ask).clone().map_err(anyhow::Error::msg)
    }

    fn cached_schema(&self, what: &'static str) -> anyhow::Result<Spec> {
        let Identity { role, own_name, .. } = self.identity();
        let key = format!("{}/{own_name}/{what}", word(*role));
        if let Some(spec) = self.0.cache.as_ref().and_then(|cache| cache.spec(&key)) {
            return Ok(spec);
        }
        let asked = self.clone();
        let spec = runtime::finish(async move { asked.ask_schema(what).await })??;
        self.0.cache.iter().for_each(|cache| cache.keep_spec(&key, &spec));
        Ok(spec)
    }

    async fn ask_schema(&self, what: &str) -> anyhow::Result<Spec> {
        let process = self.process().await?;
        let method = format!("{}.{what}", service(self.identity().role));
        let answer = process.call(&method, Value::Nil, SCHEMA).await?;
        let bytes = field(&answer, what).and_then(Value::as_slice).unwrap_or_default();
        let spec = match self.identity().speaks_protobuf {
            true => protobuf::spec(bytes),
            false => gob_cty::spec(bytes),
        };
        let called = process.called().to_owned();
        self.give_back(process);
        let spec =
            spec.map_err(|error| anyhow!("the options of {called} cannot be read: {error}"))?;
        match odd_name(&spec) {
            Some(name) => Err(anyhow!("{called} has an option that is called {name:?}")),
            None => Ok(spec),
        }
    }
}
