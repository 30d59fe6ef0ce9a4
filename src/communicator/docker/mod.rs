//! `communicator = "docker"`: a container, through its engine. Commands are run by the engine's `exec`,
//! files and directories go as one archive each way: the container needs nothing but a shell.

mod transfer;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::OnceCell;

use super::connector::{Connector, Pause, no_login};
use super::pack::Owner;
use super::{Target, quoting};
use crate::component::{BuildContext, Check, Command, Communicator, ContainerAccess, Exit, Upload};
use crate::docker::{Engine, EngineError, Exec, Program};
use crate::env::Environment;
use crate::event::Ui;
use crate::fault::{Fault, Kind};
use crate::guest::GuestOutput;
use crate::interpolate::BuildData;
use crate::retry::Permanent;

/// How a container is talked to. Its id is the target's host.
#[derive(Clone, Debug, Default)]
pub struct DockerExec {
    /// The program that the template names.
    program: Program,
    /// Its engine, once somebody has asked for it.
    engine: Arc<OnceCell<Engine>>,
    /// Who runs commands; the container's own user if nobody is named.
    pub user: Option<String>,
    /// Whether commands get a terminal.
    pub pty: bool,
    /// Whether what is uploaded belongs to the container's own user; else to root.
    pub fix_upload_owner: bool,
}

impl DockerExec {
    /// The value of `communicator` that chooses it.
    pub const NAME: &'static str = "docker";

    /// For containers of the engine that `program` would use.
    pub fn of(program: Program) -> Self {
        Self { program, ..Self::default() }
    }

    /// That engine: the same connection each time.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn engine(&self, environment: &Environment) -> anyhow::Result<Engine> {
        let open = || Engine::open(environment, &self.program);
        self.engine.get_or_try_init(open).await.cloned()
    }
}

#[async_trait]
impl Connector for DockerExec {
    fn check(&self, _: &mut Check<'_>) {}

    fn check_machine_is_known(&self, _: &mut Check<'_>) {}

    fn port(&self) -> Option<u16> {
        None
    }

    async fn connect(
        &self,
        cx: &BuildContext,
        target: Target,
        pause: Pause,
    ) -> anyhow::Result<Arc<dyn Communicator>> {
        cx.ui.say("Using docker communicator to connect: the engine runs the commands");
        let engine = self.engine(&cx.facts.scope.environment).await?;
        if !pause.is_zero() {
            pause.wait(cx).await?;
        }
        let options = self.clone();
        Ok(Arc::new(Container { engine, id: target.host, options, owner: OnceCell::new() }))
    }

    async fn build_data(&self, _: &Target) -> BuildData {
        no_login(Self::NAME)
    }
}

/// A running container.
struct Container {
    engine: Engine,
    id: String,
    options: DockerExec,
    /// Whom what is uploaded belongs to.
    owner: OnceCell<Owner>,
}

/// What an engine says against a call about a container.
fn refused(error: EngineError) -> anyhow::Error {
    match error {
        EngineError::Refused { .. } if error.is_not_found() || error.is_conflict() => {
            Permanent(format!(
                "{error} (has the container ended? what `run_command` starts must run until the build \
                 ends)"
            ))
            .into()
        }
        EngineError::Refused { .. } => Permanent(error.to_string()).into(),
        error => Fault::passing(Kind::Environment).mark(error),
    }
}

#[async_trait]
impl Communicator for Container {
    async fn run(
        &self,
        command: Command<'_>,
        output: &mut dyn GuestOutput,
    ) -> anyhow::Result<Exit> {
        let exec = Exec {
            container: &self.id,
            words: vec!["/bin/sh", "-c", command.text()],
            user: self.options.user.as_deref(),
            tty: self.options.pty,
        };
        self.engine.exec(exec, output).await.map_err(refused)
    }

    async fn upload(&self, from: Upload<'_>, to: &str, ui: &Ui) -> anyhow::Result<()> {
        self.upload_file(from, to, ui).await
    }

    async fn upload_dir(&self, from: &str, to: &str, ui: &Ui) -> anyhow::Result<()> {
        self.upload_tree(from, to, ui).await
    }

    async fn download(&self, from: &str, to: &Path, ui: &Ui) -> anyhow::Result<()> {
        self.download_file(from, to, ui).await
    }

    async fn download_dir(&self, from: &str, to: &Path, ui: &Ui) -> anyhow::Result<()> {
        match quoting::is_pattern(from) {
            true => self.download_matching(from, to, ui).await,
            false => self.download_tree(from, to, ui).await,
        }
    }

    fn container_access(&self) -> Option<ContainerAccess> {
        let podman = match &self.options.program {
            Program::Docker => None,
            Program::Podman(path) => Some(path.clone()),
        };
        Some(ContainerAccess {
            id: self.id.clone(),
            user: self.options.user.clone(),
            engine: self.engine.host().to_owned(),
            podman,
        })
    }

    async fn close(&self) {}
}
