//! The `docker` builder: a container, made an image of.

mod check;
mod find_image;
mod keep;
mod options;
mod run_container;

use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use serde_json::json;
use tokio_util::sync::CancellationToken;

pub use self::options::{Build, Machine, Output, Source};

use self::check::{From, Keep};
use self::find_image::{BuildImage, Found, PullImage};
use self::keep::{CommitContainer, ExportContainer, Exported};
use self::run_container::RunContainer;
use crate::builder::provision::{self, provision};
use crate::communicator::{self, Chosen, DockerExec, HostKey, Taken, Target};
use crate::component::{
    Artifact, BuildContext, Builder, Check, Cleaner, CleanupContext, Component,
};
use crate::docker::artifact::{IMPORTED, Image};
use crate::docker::cleanup::DockerCleaner;
use crate::docker::login::Login;
use crate::docker::run::{self, Run};
use crate::docker::{Engine, Program};
use crate::interpolate::{BuildData, Dot};
use crate::step::Steps;

/// A container to build.
#[derive(Debug)]
pub struct Docker {
    from: From,
    platform: String,
    machine: Machine,
    program: Program,
    keep: Keep,
    login: Login,
    communicator: Chosen,
}

impl Component for Docker {
    const TYPE: &'static str = "docker";
    const ABOUT: &'static str =
        "Runs a container, provisions it, and makes an image or a file of it.";
    const BUILD_DATA: &'static [&'static str] =
        &["ImageSha256", "SourceImageDigest", "SourceImageSha256"];
    type Options = (Source, Machine, Output, Login, communicator::Options);

    fn prepare(options: Self::Options, check: &mut Check<'_>) -> Option<Self> {
        let (source, machine, output, login, communicator) = options;
        login.check(check);
        let platform = source.platform.clone();
        let (from, keep) = (check::source(source, check), check::output(output, check));
        let program = check::machine(&machine, check)?;
        let own = DockerExec {
            program: program.clone(),
            user: machine.exec_user.clone().filter(|user| !user.is_empty()),
            pty: machine.pty,
            fix_upload_owner: machine.fix_upload_owner,
        };
        let taken = Taken::own_or(Arc::new(own), communicator::ANY);
        let communicator = communicator.choose(&taken, check)?;
        let (from, keep) = (from?, keep?);
        Some(Self { from, platform, machine, program, keep, login, communicator })
    }
}

#[async_trait]
impl Builder for Docker {
    async fn build(&self, cx: &BuildContext) -> anyhow::Result<Option<Arc<dyn Artifact>>> {
        let steps = Steps::new(cx);
        steps.finish(self.run(cx, &steps)).await
    }

    fn can_test(&self) -> bool {
        matches!(self.keep, Keep::Commit { .. }) && self.communicator.connects()
    }

    async fn test(&self, cx: &BuildContext, image: &str) -> anyhow::Result<()> {
        let engine = Engine::open(&cx.facts.scope.environment, &self.program).await?;
        self.test_image(cx, &engine, image).await
    }

    fn cleaner(&self, cx: &CleanupContext) -> Option<Box<dyn Cleaner>> {
        Some(Box::new(DockerCleaner { cx: cx.clone() }))
    }
}

impl Docker {
    /// All steps, up to what becomes of the container.
    async fn run(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
    ) -> anyhow::Result<Option<Arc<dyn Artifact>>> {
        let engine = Engine::open(&cx.facts.scope.environment, &self.program).await?;
        let source = self.find_image(cx, steps, &engine).await?;
        let run = self.arguments(cx, &source.name)?;
        let platform = run.platform.clone().unwrap_or_else(|| self.platform.clone());
        let container = steps.run(RunContainer::new(cx, &engine, run, platform)).await?;
        let mut data = source.build_data();
        data.insert("ID".to_owned(), json!(container));
        let target = self.target(&engine, &container).await?;
        let known = self.communicator.build_data(&target).await;
        provision(steps, &self.communicator, target, data.clone()).await?;
        data.extend(known);
        self.keep(cx, steps, &engine, &source, &container, data).await
    }

    async fn find_image(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
        engine: &Engine,
    ) -> anyhow::Result<Found> {
        let (platform, login) = (self.platform.clone(), self.login.clone());
        match &self.from {
            From::Image { name, pull } => {
                let (name, pull) = (name.clone(), *pull);
                let engine = engine.clone();
                steps.run(PullImage { engine, name, pull, platform, login }).await
            }
            From::Build(build) => {
                steps.run(BuildImage::new(cx, engine, build.clone(), platform, login)).await
            }
        }
    }

    /// What `run_command` and the other options ask for.
    fn arguments(&self, cx: &BuildContext, image: &str) -> anyhow::Result<Run> {
        let environment = &cx.facts.scope.environment;
        let dot = Dot::from([("Image".to_owned(), json!(image))]);
        let words = self.machine.run_command.iter();
        let words = words.map(|word| word.render(&cx.facts.scope, &dot));
        let words: Vec<_> =
            words.collect::<Result<_, _>>().context("cannot render `run_command`")?;
        let mut run = Run::parse(&words, environment).context("cannot use `run_command`")?;
        check::rendered_image(run.body.image.as_deref().unwrap_or_default())?;
        for (here, there) in &self.machine.volumes {
            let bound = run::volume(&mut run, &format!("{here}:{there}"), environment);
            bound.map_err(anyhow::Error::msg).context("cannot use `volumes`")?;
        }
        self.machine.add_to(&mut run);
        Ok(run)
    }

    async fn target(&self, engine: &Engine, container: &str) -> anyhow::Result<Target> {
        let host = match self.communicator.port() {
            None => container.to_owned(),
            // It is talked to as any other machine.
            Some(_) => engine.address(container).await?,
        };
        let (port, key, way, host_key) = (None, None, None, HostKey::FirstUse);
        Ok(Target { host, port, key, host_key, way, boots: true })
    }

    /// Has `image` tested in a container that is run as the build's was, and removed afterwards.
    async fn test_image(
        &self,
        cx: &BuildContext,
        engine: &Engine,
        image: &str,
    ) -> anyhow::Result<()> {
        let steps = Steps::new(cx);
        let work = async {
            cx.ui.say(format!("Testing {image}: a container is started from it"));
            let mut run = self.arguments(cx, image)?;
            run.body.image = Some(image.to_owned());
            // The container that the image was made of may have the name still.
            run.name = None;
            let platform = run.platform.clone().unwrap_or_else(|| self.platform.clone());
            let container = steps.run(RunContainer::new(cx, engine, run, platform)).await?;
            let target = self.target(engine, &container).await?;
            let data = BuildData::from([("ID".to_owned(), json!(container))]);
            let gone = CancellationToken::new();
            provision::test(&steps, &self.communicator, target, data, gone).await?;
            cx.ui.say(format!("{image} has passed"));
            Ok(())
        };
        steps.finish(work).await
    }

    async fn keep(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
        engine: &Engine,
        source: &Found,
        container: &str,
        mut build_data: BuildData,
    ) -> anyhow::Result<Option<Arc<dyn Artifact>>> {
        match &self.keep {
            Keep::Nothing => Ok(None),
            Keep::Export(path) => {
                let (engine, container, path) =
                    (engine.clone(), container.to_owned(), path.clone());
                let export = ExportContainer::new(engine, container, path.clone());
                steps.run(export).await?;
                Ok(Some(Arc::new(Exported { path, build_data })))
            }
            Keep::Commit { author, message, changes } => {
                let changes = source.with_defaults(changes);
                let commit = CommitContainer::new(cx, engine, source, container, changes)
                    .signed(author, message);
                let id = steps.run(commit).await?;
                if cx.provisioning.has_tests() {
                    self.test_image(cx, engine, &id).await?;
                }
                build_data.insert("ImageSha256".to_owned(), json!(id));
                let engine = engine.clone();
                let (builder_id, tags) = (IMPORTED, Vec::new());
                Ok(Some(Arc::new(Image { engine, builder_id, id, tags, build_data })))
            }
        }
    }
}
