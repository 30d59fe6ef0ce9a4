//! An instance and the AMI that is made of it: what the builders of both have in common.

use std::sync::Arc;

use anyhow::ensure;
use tokio::join;

use super::artifact::Amis;
use super::block_device::BlockDevice;
use super::build::{Build, BuildOptions};
use super::check_account::CheckAccount;
use super::image::{
    self, CheckName, CheckSource, CopyImage, FindUnchanged, HandOver, ImageOptions, ImageSettings,
    Imaging, MadeImage,
};
use super::machine::{
    self, Connected, FindKept, FindNetwork, Machine, MachineOptions, MachineSettings, Network,
    Started, Stopped,
};
use super::past;
use super::source_ami::SourceAmi;
use crate::aws::allow::Regions;
use crate::aws::cleanup::Ec2Cleaner;
use crate::aws::tags;
use crate::builder::provision;
use crate::builder::unchanged;
use crate::component::{BuildContext, Check, Cleaner, CleanupContext, PastImage, PastQuery};
use crate::env::Environment;
use crate::permission::Permission;
use crate::step::Steps;

/// The options of the instance and of its AMI, checked.
#[derive(Debug)]
pub(super) struct Pairing {
    pub build: Arc<BuildOptions>,
    pub machine: Arc<MachineSettings>,
    pub image: Arc<ImageSettings>,
}

/// What a builder has decided of its instance and its AMI.
#[derive(Default)]
pub(super) struct Decided {
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
        (build, machine, image): (BuildOptions, MachineOptions, ImageOptions),
        decided: Decided,
        check: &mut Check<'_>,
    ) -> Option<Self> {
        build.check(check);
        let Decided { disks, later, may_be_on_store, needs_hvm, tags_image } = decided;
        let machine = machine.prepare(disks, check);
        let machine = machine.map(|machine| MachineSettings { later, may_be_on_store, ..machine });
        let image = image.prepare(&build, needs_hvm, tags_image, check);
        let (build, machine, image) = (Arc::new(build), Arc::new(machine?), Arc::new(image));
        Some(Self { build, machine, image })
    }

    /// Where it works.
    pub(super) fn regions(&self, environment: &Environment) -> Regions {
        self.build.regions(environment, &self.image.copies.ami_regions)
    }

    /// What the account must allow for all but the AMI.
    pub(super) fn permissions(&self, at: &Regions) -> Vec<Permission> {
        let looks_at_regions = !self.image.copies.skip_region_validation;
        let mut all = self.build.permissions();
        all.extend(CheckAccount::permissions(&self.build, looks_at_regions, at));
        all.extend(machine::permissions(&self.machine, at));
        all
    }

    /// What the account must allow so that a machine is kept for a later run, which goes on there.
    pub(super) fn permissions_to_keep(&self, at: &Regions) -> Vec<Permission> {
        machine::permissions_to_keep(&self.machine, at)
    }

    /// What the account must allow for the AMI, beside the calls that make it; of snapshots that the
    /// build itself makes, if it does.
    pub(super) fn image_permissions(
        &self,
        has_own_snapshots: bool,
        at: &Regions,
    ) -> Vec<Permission> {
        let mut all = CheckName::permissions(&self.image, at);
        all.extend(image::permissions_to_make(&self.image, at));
        all.extend(CopyImage::permissions(&self.image, at));
        all.extend(image::permissions_to_finish(&self.build, &self.image, has_own_snapshots, at));
        all
    }

    /// Whether anybody can look at a machine of its image.
    pub(super) fn connects(&self) -> bool {
        self.machine.communicator.connects()
    }

    /// Has the AMI `image` tested: an id, or that after the name of its region and a colon.
    pub(super) async fn test(&self, cx: &BuildContext, image: &str) -> anyhow::Result<()> {
        let account = machine::account(cx, &self.build).await?;
        let (region, id) = image.rsplit_once(':').unwrap_or((account.region(), image));
        let own = account.region().to_owned();
        ensure!(region == own, "{id} is in {region}, and the build works in {own}");
        let build = Build::new(account, self.build.clone());
        let ec2 = build.ec2(cx);
        let machine = Machine { build, settings: self.machine.clone() };
        machine::test(cx, &Steps::new(cx), &machine, id).await?;
        if image::mark_tested(cx, &ec2, id).await {
            let tag = tags::TESTED;
            cx.ui.say(format!("{id} in {own} has the tag `{tag}`: `imgbake promote` takes it"));
        }
        Ok(())
    }

    /// What the account must allow besides, so that an AMI is tested.
    pub(super) fn permissions_to_test(&self, environment: &Environment) -> Vec<Permission> {
        let at = self.regions(environment);
        let mut all = machine::permissions_to_test(&at);
        all.extend(image::permissions_to_mark(&at));
        all
    }

    /// The AMIs of earlier runs.
    pub(super) async fn past(&self, query: &PastQuery) -> anyhow::Result<Option<Vec<PastImage>>> {
        past::of_build(&self.build, &self.image.copies.ami_regions, query).await.map(Some)
    }

    /// That they may be looked for.
    pub(super) fn permissions_to_look(&self, environment: &Environment) -> Vec<Permission> {
        past::permissions(&self.build, &self.regions(environment))
    }

    /// Who removes what a killed run has left.
    pub(super) fn cleaner(&self, cx: &CleanupContext) -> Option<Box<dyn Cleaner>> {
        Some(Box::new(Ec2Cleaner { access: self.build.access.clone(), cx: cx.clone() }))
    }

    /// Both in one build.
    pub(super) fn at_work(&self, build: Build) -> AtWork {
        AtWork {
            machine: Machine { build: build.clone(), settings: self.machine.clone() },
            imaging: Imaging { build, settings: self.image.clone() },
        }
    }
}

/// What is known after a look for AMIs that were made from the same.
pub(super) enum Known {
    /// They are what the build leaves; or nothing is, where somebody only wants to know.
    Artifact(Option<Amis>),
    /// The build goes on, with the source AMI if that was found on the way.
    Source(Option<SourceAmi>),
}

/// An instance and its AMI in one build.
pub(super) struct AtWork {
    pub machine: Machine,
    pub imaging: Imaging,
}

impl AtWork {
    /// Looks for AMIs that were made from the same, if they are enough; `is_like_source`: see
    /// [`look_around`](Self::look_around).
    pub(super) async fn find_unchanged(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
        builder_id: &'static str,
        is_like_source: bool,
    ) -> anyhow::Result<Known> {
        let Some(wanted) = unchanged::wanted(cx) else { return Ok(Known::Source(None)) };
        let source = self.find_source(steps, is_like_source).await?;
        let found = steps.run(FindUnchanged::new(&self.imaging, &source, wanted)).await?;
        Ok(match found {
            // Nothing is to come of it, a post-processor's work neither.
            _ if wanted.only_explains => Known::Artifact(None),
            Some(images) => {
                let (account, data) = (self.machine.build.account.clone(), source.build_data(""));
                let amis = Amis::new(builder_id, account, images, data).that_were_there();
                let made_from = image::made_from(cx, &source).await;
                Known::Artifact(Some(amis.made_from(made_from)))
            }
            None => Known::Source(Some(source)),
        })
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
        (source, network): (&SourceAmi, &Network),
    ) -> anyhow::Result<Started> {
        // An earlier machine of this run may have been taken back.
        cx.provisioning.begin_after(0);
        match self.resumed(cx, steps, (source, network)).await? {
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
        (source, network): (&SourceAmi, &Network),
        of: impl FnOnce(Stopped) -> F,
    ) -> anyhow::Result<(T, String)> {
        let machine = &self.machine;
        let started = self.started(cx, steps, (source, network)).await?;
        let made = async {
            let stopped = machine::provision_and_stop(cx, steps, machine, source, &started).await?;
            of(stopped).await
        };
        let made = machine::explaining(cx, machine, &started.instance, made).await?;
        Ok((made, started.instance.id))
    }

    /// The same of an instance that still runs.
    pub(super) async fn make_running<T, F: Future<Output = anyhow::Result<T>>>(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
        (source, network): (&SourceAmi, &Network),
        of: impl FnOnce(Connected) -> F,
    ) -> anyhow::Result<(T, String)> {
        let machine = &self.machine;
        let started = self.started(cx, steps, (source, network)).await?;
        let made = async {
            let connected = machine::provision_only(cx, steps, machine, source, &started).await?;
            of(connected).await
        };
        let made = machine::explaining(cx, machine, &started.instance, made).await?;
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
        (source, network): (&SourceAmi, &Network),
    ) -> anyhow::Result<Option<Started>> {
        if cx.keep_failed.is_none() || cx.facts.force {
            return Ok(None);
        }
        let Some(kept) = steps.run(FindKept::new(&self.machine, source)).await? else {
            return Ok(None);
        };
        machine::resume(cx, steps, &self.machine, (source, network), kept).await
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

    /// Finishes `images`: what they are as an artifact; nothing if there are none.
    pub(super) async fn hand_over(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
        builder_id: &'static str,
        (source, instance): (&SourceAmi, &str),
        images: Vec<MadeImage>,
    ) -> anyhow::Result<Option<Amis>> {
        image::finish(steps, &self.imaging, source, &images).await?;
        let (account, data) = (self.machine.build.account.clone(), source.build_data(instance));
        let made_from = image::made_from(cx, source).await;
        let is_made = !images.is_empty();
        let amis = || Amis::new(builder_id, account, images, data).made_from(made_from);
        Ok(is_made.then(amis))
    }
}
