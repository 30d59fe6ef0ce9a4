//! The traits that every component implements, and what each is given to work with.
//!
//! A component is made in two moves: its body is decoded into [`Component::Options`], and
//! [`Component::prepare`] checks them and makes the thing itself. Both happen before the first
//! machine starts; whatever can be known to be wrong is said there.

mod access;
mod check;
mod cleaner;
mod communicator;
mod descriptor;
mod facts;
mod past;

use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::env::Environment;
pub use crate::eval::{Output, OutputType, Outputs};
use crate::event::Ui;
use crate::fault::{self, Fault};
use crate::fingerprint::{Fingerprint, MadeFrom};
use crate::interpolate::BuildData;
use crate::journal::Journal;
use crate::permission::Permission;
use crate::secret::Redactor;
use crate::stop::Stop;

pub use access::{Access, ContainerAccess, Entrance, Sharing, WindowsAccess};
pub use check::{Check, WITHOUT_AWS};
pub use cleaner::{Cleaner, CleanupContext, OneByOne, Wanted};
pub use communicator::{Command, Communicator, DISCONNECTED_STATUS, Exit, Incoming, Input, Upload};
pub use descriptor::{Component, Declared, Described, Description, Descriptor, Prepare, prepare};
pub use facts::{ConnectorOptions, Facts};
pub use past::{PastImage, PastQuery};

/// `-on-error`: what happens to a build's machine when a step fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// Undo every step.
    #[default]
    Cleanup,
    /// Leave everything as it is.
    Abort,
    /// Ask the person at the terminal.
    Ask,
    /// Leave everything, but run the error-cleanup provisioner.
    RunCleanupProvisioner,
}

/// `-skip-unchanged`: what has been made from the same before is not made again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SkipUnchanged {
    /// How old an image may be: what a build downloads is not in its fingerprint, but changes.
    pub max_age: Option<Duration>,
    /// Whether it is only said what has changed, and nothing is made.
    pub only_explains: bool,
}

/// `-keep-failed`: a machine on which a provisioner has failed stays, so that a later run can go on there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepFailed {
    /// For how long.
    pub time: Duration,
    /// `-checkpoints`: whether its state before each provisioner stays, too.
    pub checkpoints: bool,
}

/// What a builder works with. A clone speaks for the same build.
#[derive(Clone)]
pub struct BuildContext {
    /// The build.
    pub facts: Arc<Facts>,
    /// Where its messages go.
    pub ui: Ui,
    /// Fires when the run shall stop. Never fires while steps are undone.
    pub cancel: CancellationToken,
    /// Why it shall, and how long undoing may take then.
    pub stop: Stop,
    /// What to do when a step fails.
    pub on_error: OnError,
    /// What exists because of us, and what could not be undone.
    pub journal: Journal,
    /// Takes secrets that turn up on the way (generated passwords and keys).
    pub redactor: Redactor,
    /// Runs the build's provisioners.
    pub provisioning: Arc<dyn Provisioning>,
    /// What the build is made from, where that is known.
    pub fingerprint: Fingerprint,
    /// Whether an image that was made from the same is enough.
    pub skip_unchanged: Option<SkipUnchanged>,
    /// Whether a machine on which a provisioner has failed stays.
    pub keep_failed: Option<KeepFailed>,
}

/// Runs the provisioners of one build on a connected machine; a builder calls it once for each
/// machine that it starts.
#[async_trait]
pub trait Provisioning: Send + Sync {
    /// `data` is what `build.*` and `{{ build … }}` say from now on.
    async fn provision(
        &self,
        cx: &BuildContext,
        communicator: Arc<dyn Communicator>,
        data: BuildData,
    ) -> anyhow::Result<()>;

    /// Runs the error-cleanup provisioner if provisioning has failed; else nothing. Called while
    /// the machine is still there: `Steps` does it before it undoes.
    async fn after_failure(&self, _cx: &BuildContext) {}

    /// Whether the image must pass tests before anybody else sees it. A builder that
    /// [can test](Capabilities::tests) it starts a machine from it then, and calls [`test`](Self::test).
    fn has_tests(&self) -> bool {
        false
    }

    /// Runs the tests of the image on a machine that was started from it. An error says which failed.
    async fn test(
        &self,
        _cx: &BuildContext,
        _communicator: Arc<dyn Communicator>,
        _data: BuildData,
    ) -> anyhow::Result<()> {
        Ok(())
    }

    /// The image has failed: a test of it, or before one could begin.
    fn image_failed(&self, _cx: &BuildContext) {}

    /// Whether the image has failed its tests, and stays all the same: the template wants to have it
    /// looked at. Steps that make images ask this before they take one back.
    fn keeps_failed_image(&self) -> bool {
        false
    }

    /// A machine begins on which the first `done` provisioners have done their work: in an earlier run, if
    /// any. Nothing has failed there.
    fn begin_after(&self, _done: usize) {}

    /// From now on `checkpoints` are taken of the machine between its provisioners.
    fn take_checkpoints(&self, _checkpoints: Arc<dyn Checkpoints>) {}

    /// How many provisioners had done their work when the next one failed; `None` if none has failed.
    fn done_before_failure(&self) -> Option<usize> {
        None
    }
}

/// States of a machine that a later run can go back to.
#[async_trait]
pub trait Checkpoints: Send + Sync {
    /// Keeps the state in which the machine is now: the first `done` provisioners have done their work
    /// there. Where that is not possible, the build goes on without.
    async fn take(&self, cx: &BuildContext, done: usize);
}

/// What a builder can do beside building.
#[derive(Clone, Copy, Debug)]
pub struct Capabilities {
    /// Whether it looks for what it has made before, and [skips](SkipUnchanged) what is unchanged; else
    /// why not.
    pub skips_unchanged: Result<(), &'static str>,
    /// Whether it can start a machine from what it makes, to have it [tested](Builder::test).
    pub tests: bool,
    /// Whether it [keeps](BuildContext::keep_failed) a machine on which a provisioner has failed, and
    /// looks for one that an earlier run has kept.
    pub keeps_failed: bool,
    /// Whether it takes [checkpoints](Checkpoints) of that machine before each provisioner.
    pub takes_checkpoints: bool,
}

impl Default for Capabilities {
    fn default() -> Self {
        Self {
            skips_unchanged: Err("this builder does not look for what it has made before"),
            tests: false,
            keeps_failed: false,
            takes_checkpoints: false,
        }
    }
}

/// What a builder needs the permissions of an account for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To build and to clean up.
    Build,
    /// Besides, to [test](Builder::test) an image.
    Test,
    /// Besides, to [keep](Capabilities::keeps_failed) a machine and to go on with it.
    Keep,
    /// Only to look for [earlier images](Builder::earlier_images).
    Look,
}

/// Starts a machine, has it provisioned, and makes an image of it.
#[async_trait]
pub trait Builder: Send + Sync {
    /// Runs the whole build and undoes what must not stay. `None`: there is nothing to show for it.
    async fn build(&self, cx: &BuildContext) -> anyhow::Result<Option<Arc<dyn Artifact>>>;

    /// Whose fault an error of a build is that does not say so itself.
    fn blame(&self, _error: &anyhow::Error) -> Fault {
        Fault::lasting(fault::Kind::Environment)
    }

    /// The local files that go into the image beside options and provisioners; `None`: not known, so the
    /// build is never skipped as unchanged.
    fn reads(&self) -> Option<Vec<PathBuf>> {
        None
    }

    /// What it can do beside building.
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    /// The builder id of what it makes; `None`: only its artifact says that.
    fn makes(&self) -> Option<&'static str> {
        None
    }

    /// Has `image`, which it could have made, tested on a machine that is started from it and removed
    /// afterwards. The image is not changed.
    async fn test(&self, _cx: &BuildContext, _image: &str) -> anyhow::Result<()> {
        anyhow::bail!("this builder cannot start what it makes")
    }

    /// Whether this option is only about the image, and not about the machine that it is made of.
    fn is_image_option(&self, _option: &str) -> bool {
        false
    }

    /// Names that it adds to `build.*`, beside those of its type: what only a checked builder knows.
    fn build_data(&self) -> Vec<String> {
        Vec::new()
    }

    /// What its AWS account must allow for this `purpose`; nothing if it needs none.
    fn permissions(&self, _purpose: Purpose, _environment: &Environment) -> Vec<Permission> {
        Vec::new()
    }

    /// The images that it has made before and that are still there; `None` if it keeps no record of that.
    async fn earlier_images(&self, _query: &PastQuery) -> anyhow::Result<Option<Vec<PastImage>>> {
        Ok(None)
    }

    /// Who cleans up after runs of this builder that died, as the user that it builds as; `None`
    /// if nothing of it outlives a run.
    fn cleaner(&self, _cx: &CleanupContext) -> Option<Box<dyn Cleaner>> {
        None
    }
}

/// What a provisioner works with.
#[derive(Clone)]
pub struct ProvisionContext {
    /// The build, with a scope that knows the running machine.
    pub facts: Arc<Facts>,
    /// The build's voice.
    pub ui: Ui,
    /// Fires when the run is interrupted or the provisioner's time is up.
    pub cancel: CancellationToken,
    /// The connection to the machine.
    pub communicator: Arc<dyn Communicator>,
    /// What the build does when a step fails.
    pub on_error: OnError,
    /// Takes secrets that turn up on the way.
    pub redactor: Redactor,
}

/// Changes a running machine.
#[async_trait]
pub trait Provisioner: Send + Sync {
    /// Does the work.
    async fn provision(&self, cx: &ProvisionContext) -> anyhow::Result<()>;

    /// The local files that its work depends on beside its options; `None`: not known, or it writes
    /// files here.
    fn reads(&self) -> Option<Vec<PathBuf>> {
        None
    }

    /// The option, as a path, by which it waits for a fixed time before it does anything else; empty if it
    /// does nothing but wait.
    fn waits_first(&self) -> Option<&'static str> {
        None
    }

    /// The plugin that does the work, and its version; `None` where that is part of this program.
    fn plugin(&self) -> Option<(&str, &str)> {
        None
    }
}

/// What a post-processor works with.
#[derive(Clone)]
pub struct PostProcessContext {
    /// The build, with a scope that knows what the artifact was made from.
    pub facts: Arc<Facts>,
    /// The voice of this post-processor in this build.
    pub ui: Ui,
    /// Fires when the run is interrupted.
    pub cancel: CancellationToken,
    /// Takes secrets that turn up on the way.
    pub redactor: Redactor,
    /// Says when and why the run shall stop.
    pub stop: Stop,
    /// What to do when a step fails.
    pub on_error: OnError,
    /// What exists because of us.
    pub journal: Journal,
    /// What the builder's artifact was made from, if that travels with it.
    pub made_from: Option<MadeFrom>,
    /// What is in it, if somebody [wants](PostProcessor::wants_packages) to know and the machine has said it.
    pub packages: Option<Arc<PackageDocuments>>,
}

/// The packages of a machine, as documents that others read.
#[derive(Clone, Debug, Default)]
pub struct PackageDocuments {
    /// CycloneDX.
    pub cyclonedx: serde_json::Value,
    /// SPDX.
    pub spdx: serde_json::Value,
}

impl PostProcessContext {
    /// What steps work with that a post-processor runs.
    pub fn for_steps(&self) -> BuildContext {
        BuildContext {
            facts: self.facts.clone(),
            ui: self.ui.clone(),
            cancel: self.cancel.clone(),
            stop: self.stop.clone(),
            on_error: self.on_error,
            journal: self.journal.clone(),
            redactor: self.redactor.clone(),
            provisioning: Arc::new(NoProvisioning),
            fingerprint: Fingerprint::default(),
            skip_unchanged: None,
            keep_failed: None,
        }
    }
}

/// There is no machine to provision any more.
struct NoProvisioning;

#[async_trait]
impl Provisioning for NoProvisioning {
    async fn provision(
        &self,
        _cx: &BuildContext,
        _communicator: Arc<dyn Communicator>,
        _data: BuildData,
    ) -> anyhow::Result<()> {
        Ok(())
    }
}

/// What a post-processor made of its input.
pub struct Processed {
    /// The artifact for the next one; `None` ends the sequence.
    pub artifact: Option<Arc<dyn Artifact>>,
    /// Whether the input should be kept, if the template does not say.
    pub keep_input: bool,
    /// Whether the template's `keep_input_artifact = false` is ignored.
    pub keep_forced: bool,
}

/// A test of an image.
#[derive(Clone, Copy)]
pub struct ImageTest<'a> {
    /// What is done on the machine; it fails if the machine is not as it should be.
    pub checks: &'a dyn Provisioner,
    /// Whether an image that fails stays.
    pub keep_failed: bool,
}

/// Makes something of a finished artifact.
#[async_trait]
pub trait PostProcessor: Send + Sync {
    /// Does the work.
    async fn post_process(
        &self,
        cx: &PostProcessContext,
        input: Arc<dyn Artifact>,
    ) -> anyhow::Result<Processed>;

    /// Whose fault an error of that is that does not say so itself. Most work on this computer.
    fn blame(&self, _error: &anyhow::Error) -> Fault {
        Fault::lasting(fault::Kind::Environment)
    }

    /// Finds out before anything is built whether it will be let in where it works in the end: a build
    /// may take hours.
    async fn try_out(&self, _cx: &BuildContext) -> anyhow::Result<()> {
        Ok(())
    }

    /// Why it can make nothing of an artifact of this builder id. The plan asks where it knows the id,
    /// and the run where it does not.
    fn refuses(&self, _builder_id: &str) -> Option<String> {
        None
    }

    /// The builder id of what it makes of an artifact with the id `input`; `None`: not known.
    fn makes(&self, _input: Option<&'static str>) -> Option<&'static str> {
        None
    }

    /// What must succeed on a machine that was started from the image of the builder, before anybody
    /// else sees that; `None` if it tests nothing.
    fn image_test(&self) -> Option<ImageTest<'_>> {
        None
    }

    /// Whether it must be told which packages are in the image, but for those of some files. The machine
    /// is asked for them then.
    fn wants_packages(&self) -> Option<&[glob::Pattern]> {
        None
    }

    /// The manifest that it writes, if it writes one.
    fn manifest(&self) -> Option<PathBuf> {
        None
    }

    /// What its AWS account must allow; nothing if it needs none. See [`Builder::permissions`].
    fn permissions(&self, _environment: &Environment) -> Vec<Permission> {
        Vec::new()
    }

    /// Who cleans up after runs of it that died. See [`Builder::cleaner`].
    fn cleaner(&self, _cx: &CleanupContext) -> Option<Box<dyn Cleaner>> {
        None
    }
}

/// Looks values up for a template, before anything is planned from it.
#[async_trait]
pub trait DataSource: Send + Sync {
    /// Asks.
    async fn look_up(&self) -> anyhow::Result<Outputs>;

    /// Whose fault an error of that is that does not say so itself.
    fn blame(&self, _error: &anyhow::Error) -> Fault {
        Fault::passing(fault::Kind::Environment)
    }

    /// What its AWS account must allow; nothing if it needs none. See [`Builder::permissions`].
    fn permissions(&self, _environment: &Environment) -> Vec<Permission> {
        Vec::new()
    }
}

/// What a builder or post-processor leaves.
#[async_trait]
pub trait Artifact: Any + Send + Sync {
    /// Which kind of component made it, e.g. `mitchellh.amazonebs`; post-processors go by it.
    fn builder_id(&self) -> &str;
    /// Its identity: `us-east-1:ami-…`, or a fixed word where files say it all.
    fn id(&self) -> String;
    /// The files that it consists of.
    fn files(&self) -> Vec<PathBuf>;
    /// For people, in the list at the end of a run.
    fn describe(&self) -> String;
    /// More facts, by name, for post-processors.
    fn state(&self, _name: &str) -> Option<serde_json::Value> {
        None
    }
    /// What the machine said of itself; see [`BuildData`].
    fn build_data(&self) -> BuildData {
        BuildData::new()
    }
    /// What it was made from, if that travels with it.
    fn made_from(&self) -> Option<MadeFrom> {
        None
    }
    /// Whether an earlier run has made it: then it stays, whatever becomes of this run.
    fn was_there(&self) -> bool {
        false
    }
    /// Removes it for good.
    async fn destroy(&self) -> anyhow::Result<()>;
}

#[cfg(test)]
impl BuildContext {
    /// The context of a build `test` without provisioners, and all that is said in it.
    pub fn for_tests() -> (Self, tokio::sync::mpsc::UnboundedReceiver<crate::event::Event>) {
        let (ui, said) = Ui::new();
        let scope = crate::interpolate::Scope::for_tests();
        let facts = Facts::without_build("test", scope).named("test");
        let stop = Stop::default();
        let cx = Self {
            facts: Arc::new(facts),
            ui: ui.for_target("test"),
            cancel: stop.token().clone(),
            stop,
            on_error: OnError::Cleanup,
            journal: Journal::default(),
            redactor: Redactor::default(),
            provisioning: Arc::new(NoProvisioning),
            fingerprint: Fingerprint::default(),
            skip_unchanged: None,
            keep_failed: None,
        };
        (cx, said)
    }
}

#[cfg(test)]
impl PostProcessContext {
    /// The context of a post-processor in the build of these `facts`, and all that is said in it.
    pub fn for_tests(
        facts: Facts,
    ) -> (Self, tokio::sync::mpsc::UnboundedReceiver<crate::event::Event>) {
        let (ui, said) = Ui::new();
        let stop = Stop::default();
        let cx = Self {
            facts: Arc::new(facts),
            ui,
            cancel: stop.token().clone(),
            redactor: Redactor::default(),
            stop,
            on_error: OnError::default(),
            journal: Journal::default(),
            made_from: None,
            packages: None,
        };
        (cx, said)
    }
}
