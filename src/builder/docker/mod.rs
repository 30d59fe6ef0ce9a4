//! The `docker` builder: a container, made an image of.

mod check;
mod find_image;
mod find_unchanged;
mod keep;
mod options;
mod run_container;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use serde_json::json;
use tokio_util::sync::CancellationToken;

pub use self::options::{Build, Machine, Output, Source};

use self::check::{From, Keep};
use self::find_image::{BuildImage, Found, PullImage};
use self::find_unchanged::FindLabelled;
use self::keep::{CommitContainer, ExportContainer, Exported, record_of};
use self::run_container::RunContainer;
use crate::builder::provision::{self, provision};
use crate::builder::unchanged::beside::{self, FindBeside, FoundRecord, WriteBeside};
use crate::builder::unchanged::{self, WithProvenance, recorded};
use crate::communicator::{self, Chosen, DockerExec, HostKey, Taken, Target};
use crate::component::{
    Artifact, BuildContext, Builder, Capabilities, Check, Cleaner, CleanupContext, Component,
    PastImage, PastQuery, Purpose, SkipUnchanged,
};
use crate::diagnostic::code;
use crate::docker::artifact::{EXPORTED, IMPORTED, Image};
use crate::docker::cleanup::DockerCleaner;
use crate::docker::label::Labelled;
use crate::docker::login::Login;
use crate::docker::run::Run;
use crate::docker::{Engine, label};
use crate::env::Environment;
use crate::interpolate::{BuildData, Dot};
use crate::permission::Permission;
use crate::step::Steps;

/// A container to build.
#[derive(Debug)]
pub struct Docker {
    from: From,
    platform: String,
    machine: Machine,
    /// Whose engine it is, and how containers are talked to that need no network.
    exec: Arc<DockerExec>,
    /// Whether provisioners may use what is in directories of this host.
    sees_this_host: bool,
    keep: Keep,
    login: Login,
    connector: Chosen,
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
        let mut exec = DockerExec::of(program);
        exec.user = machine.exec_user.clone().filter(|user| !user.is_empty());
        exec.pty = machine.pty;
        exec.fix_upload_owner = machine.fix_upload_owner;
        let exec = Arc::new(exec);
        let taken = Taken::any().with_own(DockerExec::NAME, exec.clone());
        for option in ["name", "type", "bits"].map(|what| format!("temporary_key_pair_{what}")) {
            if check.is_given(&option) {
                let text = format!("`{option}` changes nothing: no key is made for a container");
                check.warn(code::OPTION_VALUE, &option, text);
            }
        }
        let connector = communicator.choose(&taken, check)?;
        let sees_this_host = machine.sees_this_host(&check.facts.scope.environment);
        let (from, keep) = (from?, keep?);
        Some(Self { from, platform, machine, exec, sees_this_host, keep, login, connector })
    }
}

#[async_trait]
impl Builder for Docker {
    async fn build(&self, cx: &BuildContext) -> anyhow::Result<Option<Arc<dyn Artifact>>> {
        let steps = Steps::new(cx);
        // On the heap: a thread's stack has no room for all its steps, one within the other.
        steps.finish(Box::pin(self.run(cx, &steps))).await
    }

    fn permissions(&self, purpose: Purpose, _environment: &Environment) -> Vec<Permission> {
        match purpose {
            Purpose::Build => self.login.permissions(false),
            _ => Vec::new(),
        }
    }

    fn makes(&self) -> Option<&'static str> {
        match self.keep {
            Keep::Nothing => None,
            Keep::Export(_) => Some(EXPORTED),
            Keep::Commit { .. } => Some(IMPORTED),
        }
    }

    fn capabilities(&self) -> Capabilities {
        let skips_unchanged = match self.keep {
            Keep::Nothing => Err("`discard = true` leaves nothing to compare"),
            _ if self.sees_this_host => {
                Err("the container sees directories of this host (`volumes`)")
            }
            _ => Ok(()),
        };
        let tests = matches!(self.keep, Keep::Commit { .. }) && self.connector.connects();
        Capabilities { skips_unchanged, tests, ..Capabilities::default() }
    }

    async fn test(&self, cx: &BuildContext, image: &str) -> anyhow::Result<()> {
        let engine = self.exec.engine(&cx.facts.scope.environment).await?;
        if engine.find_image(image).await?.is_none() {
            return Err(provision::no_image(image));
        }
        self.test_image(cx, &Steps::new(cx), &engine, image).await
    }

    /// What the instructions of a Dockerfile copy is seen in the image that is built of it.
    fn reads(&self) -> Option<Vec<PathBuf>> {
        Some(match &self.from {
            From::Image { .. } => Vec::new(),
            From::Build(build) => vec![build.path.clone()],
        })
    }

    async fn earlier_images(&self, query: &PastQuery) -> anyhow::Result<Option<Vec<PastImage>>> {
        match &self.keep {
            Keep::Nothing => Ok(None),
            Keep::Export(path) => beside::past(record_of(path), query).await,
            Keep::Commit { .. } => {
                let engine = self.exec.engine(&query.environment).await?;
                let found =
                    engine.labelled(&query.build).await.context("cannot look for images")?;
                Ok(Some(found.into_iter().map(past).collect()))
            }
        }
    }

    fn cleaner(&self, cx: &CleanupContext) -> Option<Box<dyn Cleaner>> {
        Some(Box::new(DockerCleaner::new(cx)))
    }
}

/// An image of the engine, as `history` tells of it.
fn past(image: Labelled) -> PastImage {
    let Labelled { id, made_from, made_at, size, .. } = image;
    PastImage { id, made_at, made_from: Some(made_from), size, ..PastImage::default() }
}

impl Docker {
    /// All steps, up to what becomes of the container.
    async fn run(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
    ) -> anyhow::Result<Option<Arc<dyn Artifact>>> {
        let engine = self.exec.engine(&cx.facts.scope.environment).await?;
        let source = self.find_image(cx, steps, &engine).await?;
        if let Some(wanted) = unchanged::wanted(cx) {
            match self.find_unchanged(steps, &engine, &source, wanted).await? {
                _ if wanted.only_explains => return Ok(None),
                Some(earlier) => return Ok(Some(earlier)),
                None => {}
            }
        }
        let run = self.arguments(cx, &source.name)?;
        let platform = run.platform.clone().unwrap_or_else(|| self.platform.clone());
        let container = steps.run(RunContainer::new(cx, &engine, run, platform)).await?;
        let mut data = source.build_data();
        data.insert("ID".to_owned(), json!(container));
        let target = self.target(&engine, &container).await?;
        let known = self.connector.build_data(&target).await;
        provision(steps, &self.connector, target, data.clone()).await?;
        data.extend(known);
        self.keep(cx, steps, &engine, &source, &container, data).await
    }

    /// What an earlier run has left, if that is enough.
    async fn find_unchanged(
        &self,
        steps: &Steps<'_>,
        engine: &Engine,
        source: &Found,
        wanted: SkipUnchanged,
    ) -> anyhow::Result<Option<Arc<dyn Artifact>>> {
        let id = source.id.clone();
        match &self.keep {
            Keep::Nothing => Ok(None),
            Keep::Export(path) => {
                let (record, shown) = (record_of(path), path.display().to_string());
                let find = FindBeside { path: record, shown, source: id, wanted };
                let FoundRecord::Unchanged { record, .. } = steps.run(find).await? else {
                    return Ok(None);
                };
                let (path, build_data) = (path.clone(), source.build_data());
                let (artifact, made_from) = (Exported { path, build_data }, record.made_from);
                Ok(Some(Arc::new(WithProvenance { artifact, made_from, was_there: true })))
            }
            Keep::Commit { .. } => {
                let find = FindLabelled { engine: engine.clone(), source: id, wanted };
                let Some(found) = steps.run(find).await? else { return Ok(None) };
                let artifact = committed(engine, found.id, source.build_data());
                let made_from = found.made_from;
                Ok(Some(Arc::new(WithProvenance { artifact, made_from, was_there: true })))
            }
        }
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
        self.machine.add_to(&mut run, environment)?;
        Ok(run)
    }

    async fn target(&self, engine: &Engine, container: &str) -> anyhow::Result<Target> {
        let host = match self.connector.port() {
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
        steps: &Steps<'_>,
        engine: &Engine,
        image: &str,
    ) -> anyhow::Result<()> {
        let steps = steps.within();
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
            provision::test(&steps, &self.connector, target, data, gone, || ()).await?;
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
        build_data: BuildData,
    ) -> anyhow::Result<Option<Arc<dyn Artifact>>> {
        match &self.keep {
            Keep::Nothing => Ok(None),
            Keep::Export(path) => {
                let (engine, container) = (engine.clone(), container.to_owned());
                steps.run(ExportContainer::new(engine, container, path.clone())).await?;
                let artifact = Exported { path: path.clone(), build_data };
                let (files, source) = (vec![path.clone()], source.id.clone());
                let write =
                    WriteBeside { path: record_of(path), source, files, note: String::new() };
                let made_from = match cx.skip_unchanged {
                    Some(_) => Some(steps.run(write).await?),
                    None => None,
                };
                Ok(Some(recorded(artifact, made_from)))
            }
            Keep::Commit { author, message, changes } => {
                let made_from = match cx.skip_unchanged {
                    Some(_) => {
                        let record = unchanged::record(cx, &source.id).await?;
                        Some(label::made_from(&cx.facts.unique_name, &record))
                    }
                    None => None,
                };
                let mut changes = source.with_defaults(changes);
                if let Some(made_from) = &made_from {
                    let steps = engine.steps(&source.id).await? + 1;
                    changes.extend(label::lines(made_from, steps));
                }
                let commit = CommitContainer::new(cx, engine, container, changes);
                let commit = commit.signed(author, message);
                let finish = commit.finish(source);
                let id = steps.run(commit).await?;
                let test = Box::pin(self.test_image(cx, steps, engine, &id));
                provision::tested(cx, test).await?;
                steps.run(finish).await?;
                Ok(Some(recorded(committed(engine, id, build_data), made_from)))
            }
        }
    }
}

/// A committed image.
fn committed(engine: &Engine, id: String, mut build_data: BuildData) -> Image {
    build_data.insert("ImageSha256".to_owned(), json!(id));
    let (engine, builder_id, tags) = (engine.clone(), IMPORTED, Vec::new());
    Image { engine, builder_id, id, tags, build_data }
}
