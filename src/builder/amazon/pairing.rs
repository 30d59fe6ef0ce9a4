//! An instance and the AMI that is made of it: what the builders of both have in common.

use std::sync::Arc;

use tokio::join;

use super::ami_plan::{self, AmiPlan, Lookup};
use super::block_device::BlockDevice;
use super::build::{Build, BuildOptions};
use super::check_account::CheckAccount;
use super::image::{CheckName, CheckSource, CopyImage, HandOver, ImageOptions, Imaging, MadeImage};
use super::machine::{
    self, Connected, FindKept, FindNetwork, Machine, MachineOptions, MachineSettings, Network,
    Started, Stopped,
};
use super::source_ami::SourceAmi;
use crate::aws::allow::Regions;
use crate::builder::provision;
use crate::component::{BuildContext, Check};
use crate::permission::Permission;
use crate::step::Steps;

/// The options of the instance and of its AMI, checked.
#[derive(Debug)]
pub(crate) struct Pairing {
    pub machine: Arc<MachineSettings>,
    pub ami: AmiPlan,
}

/// What a builder has decided of its instance and its AMI.
#[derive(Default)]
pub(super) struct PairChoices {
    /// The disks of the instance that differ from those of the source AMI.
    pub disks: Vec<BlockDevice>,
    /// One that it gets when it is stopped.
    pub later: Option<BlockDevice>,
    /// Whether its root device may be an instance store. Then it cannot be stopped.
    pub may_be_on_store: bool,
    /// Whether the AMI must be `hvm`, with the networking that it has.
    pub needs_hvm: bool,
    /// Whether the AMI gets the `run_tags`.
    pub tags_image: bool,
}

impl Pairing {
    /// Reports what is wrong.
    pub(super) fn prepare(
        build: BuildOptions,
        machine: MachineOptions,
        image: ImageOptions,
        choices: PairChoices,
        check: &mut Check<'_>,
    ) -> Option<Self> {
        build.check(check);
        let PairChoices { disks, later, may_be_on_store, needs_hvm, tags_image } = choices;
        let machine = machine.prepare(disks, check);
        let machine = machine.map(|machine| MachineSettings { later, may_be_on_store, ..machine });
        let image = image.prepare(&build, needs_hvm, tags_image, check);
        let ami = AmiPlan { build: Arc::new(build), image: Arc::new(image) };
        Some(Self { machine: Arc::new(machine?), ami })
    }

    /// What the account must allow for all but the AMI.
    pub(super) fn permissions(&self, at: &Regions) -> Vec<Permission> {
        let mut all = self.ami.permissions_to_begin(at);
        all.extend(machine::permissions(&self.machine, at));
        all
    }

    /// Whether anybody can look at a machine of its image.
    pub(super) fn connects(&self) -> bool {
        self.machine.connector.connects()
    }

    /// Both in one build.
    pub(super) fn running(&self, build: Build) -> RunningPair {
        let imaging = self.ami.imaging(&build);
        RunningPair { machine: Machine { build, settings: self.machine.clone() }, imaging }
    }
}

/// An instance and its AMI in one build.
pub(super) struct RunningPair {
    pub machine: Machine,
    pub imaging: Imaging,
}

impl RunningPair {
    /// Looks for AMIs that were made from the same, if they are enough; `is_like_source`: see
    /// [`look_around`](Self::look_around).
    pub(super) async fn find_unchanged(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
        builder_id: &'static str,
        is_like_source: bool,
    ) -> anyhow::Result<Lookup> {
        let source = self.find_source(steps, is_like_source);
        ami_plan::find_unchanged(cx, steps, &self.imaging, builder_id, source).await
    }

    /// Looks, before anything is made, at all that could stand against it; `name` is the check of the
    /// AMI's name, if it will have one, `known` the source AMI if that was found already, and
    /// `is_like_source` whether the AMI takes over how the source AMI is virtualized.
    pub(super) async fn look_around(
        &self,
        steps: &Steps<'_>,
        name: Option<CheckName>,
        known: Option<SourceAmi>,
        is_like_source: bool,
    ) -> anyhow::Result<(SourceAmi, Network)> {
        let regions = self.imaging.settings.copies.regions_to_check();
        let check_name = async {
            match name {
                Some(name) => steps.run(name).await,
                None => Ok(()),
            }
        };
        let source = async {
            match known {
                Some(source) => Ok(source),
                None => self.find_source(steps, is_like_source).await,
            }
        };
        let (account, name, source, network) = join!(
            steps.run(CheckAccount::new(&self.machine.build, regions)),
            check_name,
            source,
            steps.run(FindNetwork::new(&self.machine)),
        );
        account?;
        name?;
        Ok((source?, network?))
    }

    async fn find_source(
        &self,
        steps: &Steps<'_>,
        is_like_source: bool,
    ) -> anyhow::Result<SourceAmi> {
        let source = steps.run(machine::find_source(&self.machine)).await?;
        steps.run(CheckSource::new(&self.imaging, &source, is_like_source)).await?;
        Ok(source)
    }

    /// The instance: that of an earlier run, if this one goes on there, or a new one.
    async fn started(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
        source: &SourceAmi,
        network: &Network,
    ) -> anyhow::Result<Started> {
        // An earlier machine of this run may have been taken back.
        cx.provisioning.begin_after(0);
        match self.resumed(cx, steps, source, network).await? {
            Some(started) => Ok(started),
            None => machine::start(steps, &self.machine, source, network).await,
        }
    }

    /// Starts the instance, has it provisioned and stopped, and makes something `of` it: that, and the
    /// instance's id.
    pub(super) async fn make<T, F: Future<Output = anyhow::Result<T>>>(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
        source: &SourceAmi,
        network: &Network,
        of: impl FnOnce(Stopped) -> F,
    ) -> anyhow::Result<(T, String)> {
        let machine = &self.machine;
        let started = self.started(cx, steps, source, network).await?;
        let made = async {
            let stopped = machine::provision_and_stop(cx, steps, machine, source, &started).await?;
            of(stopped).await
        };
        let made = machine::with_cause(cx, machine, &started.instance, made).await?;
        Ok((made, started.instance.id))
    }

    /// The same of an instance that still runs.
    pub(super) async fn make_running<T, F: Future<Output = anyhow::Result<T>>>(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
        source: &SourceAmi,
        network: &Network,
        of: impl FnOnce(Connected) -> F,
    ) -> anyhow::Result<(T, String)> {
        let machine = &self.machine;
        let started = self.started(cx, steps, source, network).await?;
        let made = async {
            let connected = machine::provision_only(cx, steps, machine, source, &started).await?;
            of(connected).await
        };
        let made = machine::with_cause(cx, machine, &started.instance, made).await?;
        Ok((made, started.instance.id))
    }

    /// Has the AMI tested on an instance that is started from it, before it is copied, shared or handed
    /// over. One that fails and is to stay is handed over as one that has failed.
    pub(super) async fn test(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
        image: &MadeImage,
    ) -> anyhow::Result<()> {
        let test = Box::pin(machine::test(cx, steps, &self.machine, &image.id));
        let tested = provision::tested(cx, test).await;
        if tested.is_err() && self.imaging.keeps_failed(cx) {
            cx.ui.say(format!(
                "{} stays, as `keep_failed` asks; it is not copied or shared",
                image.id
            ));
            steps.run(HandOver::failed(&self.imaging, image)).await?;
        }
        tested
    }

    /// The machine of an earlier run on which a provisioner has failed, if this run goes on there.
    async fn resumed(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
        source: &SourceAmi,
        network: &Network,
    ) -> anyhow::Result<Option<Started>> {
        if cx.keep_failed.is_none() || cx.facts.force {
            return Ok(None);
        }
        let Some(kept) = steps.run(FindKept::new(&self.machine, source)).await? else {
            return Ok(None);
        };
        machine::resume(cx, steps, &self.machine, source, network, kept).await
    }

    /// Copies the AMI.
    pub(super) async fn copy(
        &self,
        steps: &Steps<'_>,
        source: &SourceAmi,
        image: MadeImage,
    ) -> anyhow::Result<Vec<MadeImage>> {
        steps.run(CopyImage::new(&self.imaging, source, image)).await
    }
}
