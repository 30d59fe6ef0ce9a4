//! The container: made, started, and ended with the build.

use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use bollard::models::{Mount, MountType};

use super::options::Machine;
use crate::component::BuildContext;
use crate::docker::made::{self, Names};
use crate::docker::run::Run;
use crate::docker::{Engine, EngineError, NewContainer};
use crate::env::Environment;
use crate::event::Phase;
use crate::fault::{Fault, Kind};
use crate::journal::Thing;
use crate::step::{Ending, Step};

impl Machine {
    /// Adds what the other options ask for to the arguments of `run_command`.
    ///
    /// # Errors
    /// When the value of an option means nothing.
    pub(super) fn add_to(&self, run: &mut Run, environment: &Environment) -> anyhow::Result<()> {
        let privileged = self.privileged.then(|| "true".to_owned());
        let runtime = Some(self.runtime.clone()).filter(|runtime| !runtime.is_empty());
        let volumes = self.volumes.iter().map(|(here, there)| format!("{here}:{there}")).collect();
        let all: [(&str, &str, Vec<String>); 7] = [
            ("cap_add", "cap-add", self.cap_add.clone()),
            ("cap_drop", "cap-drop", self.cap_drop.clone()),
            ("device", "device", self.device.clone()),
            ("privileged", "privileged", privileged.into_iter().collect()),
            ("runtime", "runtime", runtime.into_iter().collect()),
            ("tmpfs", "tmpfs", self.tmpfs.clone()),
            ("volumes", "volume", volumes),
        ];
        for (option, flag, texts) in &all {
            for text in texts {
                let taken = run.flag(flag, text, environment).map_err(anyhow::Error::msg);
                taken.with_context(|| format!("cannot use `{option}`"))?;
            }
        }
        let host = run.body.host_config.get_or_insert_default();
        // However it ends, nothing of it is left.
        host.auto_remove = Some(true);
        // A volume without a name goes with its container.
        let volume = |dir: &String| Mount {
            target: Some(dir.clone()),
            typ: Some(MountType::VOLUME),
            ..Mount::default()
        };
        host.mounts.get_or_insert_default().extend(self.container_dir.iter().map(volume));
        Ok(())
    }

    /// Whether what provisioners do may depend on directories of this host.
    pub(super) fn sees_this_host(&self, environment: &Environment) -> bool {
        let words: Vec<_> = self.run_command.iter().map(|word| word.raw().to_owned()).collect();
        let run = Run::parse(&words, environment);
        !self.volumes.is_empty() || run.is_ok_and(|run| run.sees_the_host())
    }
}

/// Makes and starts the container; undone by ending it.
pub(super) struct RunContainer {
    engine: Engine,
    run: Run,
    platform: String,
    /// The name by which it is found again, until it is given the template's.
    name: String,
    thing: Arc<Thing>,
}

impl RunContainer {
    pub fn new(cx: &BuildContext, engine: &Engine, mut run: Run, platform: String) -> Self {
        let names = Names::new(&cx.facts.scope.environment);
        made::annotate(&mut run.body, &names.container());
        let thing = Arc::new(engine.container_thing(&names));
        Self { engine: engine.clone(), run, platform, name: names.container(), thing }
    }

    async fn start(&self, cx: &BuildContext) -> Result<String, EngineError> {
        self.thing.attempt();
        let (name, platform, body) = (&self.name, &self.platform, self.run.body.clone());
        let made = self.engine.create(NewContainer { name, platform, body }).await;
        let id = made.inspect_err(|error| {
            if error.is_unsure() {
                self.thing.doubt();
            }
        })?;
        cx.journal.made(&self.thing, &id);
        if let Some(name) = &self.run.name {
            self.engine.rename(&id, name).await?;
        }
        self.engine.start(&id).await?;
        Ok(id)
    }
}

#[async_trait]
impl Step for RunContainer {
    type Output = String;

    fn name(&self) -> &'static str {
        "run the container"
    }

    fn phase(&self) -> Phase {
        Phase::Launch
    }

    fn makes(&self) -> Vec<Arc<Thing>> {
        vec![self.thing.clone()]
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<String> {
        cx.ui.say("Starting docker container...");
        let started = self.start(cx).await.map_err(|error| match error {
            EngineError::Refused { status: 400..500, .. } => {
                Fault::lasting(Kind::Template).mark(error)
            }
            error => error.into(),
        });
        let id = started.context("cannot run the container")?;
        cx.ui.say(format!("Container ID: {id}"));
        Ok(id)
    }

    async fn undo(&self, cx: &BuildContext, _ending: Ending) -> anyhow::Result<()> {
        if let Some(id) = self.thing.id() {
            cx.ui.say(format!("Killing the container: {id}"));
            if self.engine.end_container(id).await? {
                return Ok(());
            }
        }
        self.engine.remove_thing(&self.thing).await
    }
}
