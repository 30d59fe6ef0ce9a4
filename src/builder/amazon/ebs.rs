//! The `amazon-ebs` builder: an EC2 instance started from an AMI, provisioned over SSH, stopped,
//! and made into an AMI of its own.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::join;

use crate::aws::access::Access;
use crate::aws::account::{Account, Handle, Haste};
use crate::aws::cleanup::Ec2Cleaner;
use crate::aws::name::time_ordered_id;
use crate::aws::tags::SOURCE_AMI_DATA;
use crate::builder::provision::provision;
use crate::communicator::{self, Chosen, KeyType, Taken, TemporaryKey};
use crate::component::{
    Artifact, BuildContext, Builder, Check, Cleaner, CleanupContext, Component,
};
use crate::env::Environment;
use crate::permission::Permission;
use crate::step::Steps;

use super::artifact::Amis;
use super::ebs_options::EbsOptions;
use super::image::ami::AmiOptions;
use super::image::copies::CopyOptions;
use super::machine::console::Console;
use super::machine::hardware::HardwareOptions;
use super::machine::lost;
use super::machine::profile::ProfileOptions;
use super::machine::run::RunOptions;
use super::machine::spot::SpotOptions;
use super::permissions;
use super::steps::{
    CheckAccount, CopyImage, CreateImage, DeregisterOld, EnableFastLaunch, FindNetwork, FindOld,
    FindSourceAmi, HandOver, Left, MadeImage, MakeKeyPair, MakeProfile, Network, OpenSecurityGroup,
    OpenTunnel, RunInstance, Running, SetAttributes, SetLifetime, ShareImages, SourceAmi,
    StopInstance, TagImages,
};

/// Makes an AMI from an instance.
#[derive(Debug)]
pub struct AmazonEbs(Arc<Settings>);

/// All options of the builder.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) access: Access,
    pub(super) ami: AmiOptions,
    pub(super) copies: CopyOptions,
    pub(super) run: RunOptions,
    pub(super) spot: SpotOptions,
    pub(super) profile: ProfileOptions,
    pub(super) hardware: HardwareOptions,
    pub(super) ebs: EbsOptions,
    pub(super) communicator: Chosen,
    /// `-force`, or `force_deregister`.
    pub(super) force: bool,
}

impl Settings {
    /// Whether the machine is no spot instance, or need not be one.
    pub(super) fn may_be_on_demand(&self) -> bool {
        !self.spot.is_wanted() || self.spot.spot_fallback_to_on_demand
    }

    /// Whether the AMI that is made must be the first of its name where it is made.
    pub(super) fn is_first_of_its_name(&self) -> bool {
        !self.ebs.skip_create_ami && !self.copies.skip_save_build_region
    }
}

impl Component for AmazonEbs {
    const TYPE: &'static str = "amazon-ebs";
    const ABOUT: &'static str = "Starts an EC2 instance from an AMI, provisions it over SSH, stops it, and makes an AMI of it.";
    const BUILD_DATA: &'static [&'static str] = SOURCE_AMI_DATA;
    type Options = (
        Access,
        AmiOptions,
        CopyOptions,
        RunOptions,
        SpotOptions,
        ProfileOptions,
        HardwareOptions,
        EbsOptions,
        communicator::Options,
    );

    fn prepare(
        (access, ami, copies, run, spot, profile, hardware, ebs, communicator): Self::Options,
        check: &mut Check<'_>,
    ) -> Option<Self> {
        access.check(check);
        ami.check(check);
        copies.check(&access, &ami, check);
        run.check(check);
        spot.check_types(&run.instance_type, check);
        let mut types = spot.types(&run.instance_type);
        types.extend(run.fallback_instance_types.iter().map(String::as_str));
        spot.check(&types, &ami, &hardware, check);
        profile.check(check);
        hardware.check(&types, check);
        check_fallback(&run, &hardware, check);
        ebs.check(&access.region, &copies, check);
        let communicator = communicator.choose(&Taken::of(communicator::ANY), check)?;
        check_keys(&communicator, check);
        check_way_in(&run, &profile, &communicator, check);
        let force = check.facts.force || ami.force_deregister;
        Some(Self(Arc::new(Settings {
            access,
            ami,
            copies,
            run,
            spot,
            profile,
            hardware,
            ebs,
            communicator,
            force,
        })))
    }
}

/// What is reserved is reserved for one type.
fn check_fallback(run: &RunOptions, hardware: &HardwareOptions, check: &mut Check<'_>) {
    if !run.fallback_instance_types.is_empty() && !hardware.capacity_reservation_id.is_empty() {
        let cause = "the capacity of `capacity_reservation_id` is of one type only";
        check.error("fallback_instance_types", cause);
    }
}

/// EC2 makes only some kinds of keys.
fn check_keys(options: &Chosen, check: &mut Check<'_>) {
    let Some(key) = options.temporary_key() else { return };
    match (key.kind, key.bits) {
        (KeyType::Ecdsa, _) => {
            check.error("temporary_key_pair_type", "EC2 makes `ed25519` or `rsa` keys");
        }
        (KeyType::Rsa, Some(bits)) if bits != 2048 => {
            check.error("temporary_key_pair_bits", "the RSA keys that EC2 makes have 2048 bits");
        }
        _ => {}
    }
}

/// Behind a bastion or a proxy the machine sees their address, which we cannot know.
fn check_way_in(
    run: &RunOptions,
    profile: &ProfileOptions,
    options: &Chosen,
    check: &mut Check<'_>,
) {
    let through = options.hosts_between();
    if run.is_behind_session_manager() {
        check_session_manager(options, &through, check);
        if !profile.is_wanted() {
            let help = "give a profile with the policy AmazonSSMManagedInstanceCore: without it \
                        the machine cannot connect to Systems Manager";
            check.missing("iam_instance_profile", help);
        }
        return;
    }
    if let Some((option, _)) = through.first()
        && run.needs_temporary_group()
        && run.temporary_security_group_source_cidrs.is_empty()
    {
        let help = format!(
            "say which address the host of `{option}` connects from, or give `security_group_ids`"
        );
        check.missing("temporary_security_group_source_cidrs", help);
    }
}

/// Through Systems Manager goes SSH only, and no other way beside it.
fn check_session_manager(
    options: &Chosen,
    through: &[(&'static str, &str)],
    check: &mut Check<'_>,
) {
    if !options.takes_way() {
        check.error("ssh_interface", "`session_manager` is a way for the communicator `ssh`");
    }
    for (option, _) in through.iter().copied().chain(options.host()) {
        let cause = "with `ssh_interface = \"session_manager\"` no address leads to the machine";
        check.error(option, cause).help = Some(format!("leave `{option}` away"));
    }
}

/// What every step works with.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) account: Handle,
    pub(super) settings: Arc<Settings>,
    /// Marks what this build makes, so that it is found even if EC2's answer was lost.
    pub(super) token: String,
}

impl AmazonEbs {
    /// `error`, with what AWS has encoded in it if the template wants that.
    async fn readable(&self, account: &Account, error: anyhow::Error) -> anyhow::Error {
        match self.0.access.decode_authorization_messages {
            true => account.decoded(error).await,
            false => error,
        }
    }
}

#[async_trait]
impl Builder for AmazonEbs {
    async fn build(&self, cx: &BuildContext) -> anyhow::Result<Option<Arc<dyn Artifact>>> {
        let environment = &cx.facts.scope.environment;
        let (access, redactor) = (&self.0.access, &cx.redactor);
        let account = Account::open(access, environment, redactor, Haste::Patient).await?;
        let mut restarts = lost::RESTARTS;
        loop {
            let (account, settings) = (account.clone(), self.0.clone());
            let job = Job { account, settings, token: time_ordered_id() };
            let steps = Steps::new(cx);
            let error = match steps.finish(bake(cx, &steps, &job)).await {
                Ok(amis) => return Ok(amis.map(|amis| Arc::new(amis) as Arc<dyn Artifact>)),
                Err(error) => error,
            };
            if restarts == 0 || !lost::may_begin_anew(cx, &error) {
                return Err(self.readable(&job.account, error).await);
            }
            restarts -= 1;
            cx.ui.say(format!("{error:#}"));
            cx.ui.say("The build begins anew: EC2 has taken its spot instance back");
        }
    }

    fn reads(&self) -> Option<Vec<PathBuf>> {
        Some(self.0.run.user_data_file.iter().cloned().collect())
    }

    fn permissions(&self, environment: &Environment) -> Vec<Permission> {
        permissions::all(&self.0, environment)
    }

    fn cleaner(&self, cx: &CleanupContext) -> Option<Box<dyn Cleaner>> {
        Some(Box::new(Ec2Cleaner { access: self.0.access.clone(), cx: cx.clone() }))
    }
}

/// The steps, in order. Those that do not need each other run at the same time.
async fn bake(cx: &BuildContext, steps: &Steps<'_>, job: &Job) -> anyhow::Result<Option<Amis>> {
    let left = Left::find(cx, job).await;
    let (checked, source, network) = join!(
        steps.run(CheckAccount::new(job, left.as_ref().map(Left::name))),
        steps.run(FindSourceAmi::new(job)),
        steps.run(FindNetwork::new(job)),
    );
    checked?;
    let (source, network) = (source?, network?);
    let adopted = match left {
        Some(left) => adopt(cx, steps, job, &source, left).await?,
        None => None,
    };
    let made = match adopted {
        None => from_new_machine(cx, steps, job, &source, &network).await?,
        adopted => adopted,
    };
    let Some((image, instance)) = made else { return Ok(None) };
    let images = steps.run(CopyImage::new(job, &source, image)).await?;
    steps.run(ShareImages::new(job, &images)).await?;
    steps.run(TagImages::new(job, &source, &images)).await?;
    steps.run(EnableFastLaunch::new(job, &images)).await?;
    steps.run(SetLifetime::new(job, &images)).await?;
    steps.run(HandOver::new(job, &images)).await?;
    if images.is_empty() {
        return Ok(None);
    }
    Ok(Some(Amis::new(job.account.clone(), images, source.build_data(&instance))))
}

/// The AMI that a dead run has left, with the machine that it was made of, if this build would make
/// the same.
async fn adopt(
    cx: &BuildContext,
    steps: &Steps<'_>,
    job: &Job,
    source: &SourceAmi,
    left: Left,
) -> anyhow::Result<Option<(MadeImage, String)>> {
    match left.adopt(cx, job, source).await? {
        Some(adoption) => {
            let instance = adoption.instance();
            Ok(Some((steps.run(adoption).await?, instance)))
        }
        // Then its name must be free.
        None => steps.run(CheckAccount::new(job, None)).await.map(|()| None),
    }
}

/// A machine is started, and an image made of it: both.
async fn from_new_machine(
    cx: &BuildContext,
    steps: &Steps<'_>,
    job: &Job,
    source: &SourceAmi,
    network: &Network,
) -> anyhow::Result<Option<(MadeImage, String)>> {
    let (key, groups, profile) = join!(
        steps.run(MakeKeyPair::new(job, source)),
        steps.run(OpenSecurityGroup::new(job, source, network)),
        steps.run(MakeProfile::new(job, source)),
    );
    let (key, groups, profile) = (key?, groups?, profile?);
    let instance = RunInstance::new(job, source, network, key.name.clone(), groups, profile);
    let instance = steps.run(instance).await?;
    match image_of(cx, steps, job, source, &instance, key.temporary).await {
        Err(error) => Err(lost::explained(cx, job, &instance, error).await),
        Ok(image) => Ok(image.map(|image| (image, instance.id))),
    }
}

/// What is done with the machine, until there is an image of it.
async fn image_of(
    cx: &BuildContext,
    steps: &Steps<'_>,
    job: &Job,
    source: &SourceAmi,
    instance: &Running,
    key: Option<Arc<TemporaryKey>>,
) -> anyhow::Result<Option<MadeImage>> {
    let console = Console::watch(cx, job, &instance.id);
    let mut target = instance.target(key, console.announcement());
    if job.settings.run.is_behind_session_manager() {
        target = steps.run(OpenTunnel::new(cx, job, instance, target)).await?;
    }
    provision(steps, &job.settings.communicator, target, source.build_data(&instance.id)).await?;
    let (stopped, machine) =
        join!(steps.run(StopInstance::new(job, instance)), console.confirm_host_key(cx));
    stopped.and(machine)?;
    if job.settings.ebs.skip_create_ami {
        cx.ui.say("No AMI is made: `skip_create_ami` is set");
        return Ok(None);
    }
    steps.run(SetAttributes::new(job, instance)).await?;
    let old = steps.run(FindOld::new(job)).await?;
    let is_named_alike = old.iter().any(|old| old.region == job.account.region());
    let is_intermediary = job.settings.copies.is_intermediary();
    let number = cx.fingerprint.number().await;
    let create = |temporary| CreateImage::new(job, source, instance, number.clone(), temporary);
    let mut image = steps.run(create(is_named_alike || is_intermediary)).await?;
    steps.run(DeregisterOld::new(job, old)).await?;
    if is_named_alike && !is_intermediary {
        // The disks are the same, of which EC2 has snapshots now: this does not take long.
        image = steps.run(create(false)).await?;
    }
    Ok(Some(image))
}
