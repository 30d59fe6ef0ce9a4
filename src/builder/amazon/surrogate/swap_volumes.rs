//! The volume that is to be the root device of the AMI takes the place of the machine's own.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use async_trait::async_trait;
use aws_sdk_ec2::types::{
    EbsInstanceBlockDeviceSpecification, InstanceBlockDeviceMappingSpecification,
};

use crate::aws::allow::Regions;
use crate::aws::attachment::{self, Waiting};
use crate::aws::build_tags::hand_over;
use crate::aws::resource::Resource as _;
use crate::aws::resource::volume::Volume as OurVolume;
use crate::builder::amazon::build::Build;
use crate::builder::amazon::machine::Stopped;
use crate::builder::amazon::surrogate::find_volumes::Volume;
use crate::builder::amazon::surrogate::options::SurrogateOptions;
use crate::component::BuildContext;
use crate::event::Phase;
use crate::journal::Thing;
use crate::permission::Permission;
use crate::step::{Ending, Step};

/// The root device of most AMIs.
const USUAL_ROOT: &str = "/dev/sda1";

/// Takes the machine's root volume off, and what is not for the AMI, and puts the other one there.
pub(crate) struct SwapVolumes {
    build: Build,
    instance: String,
    options: SurrogateOptions,
    /// The volume that becomes the root device.
    source: Volume,
    /// What is taken off for good.
    others: Vec<(Volume, Arc<Thing>)>,
    /// What of it was taken off so far: all else goes with the machine.
    detached: Mutex<Vec<String>>,
}

impl SwapVolumes {
    /// With the `volumes` of the machine.
    pub(crate) fn new(
        build: &Build,
        stopped: &Stopped,
        options: &SurrogateOptions,
        volumes: Vec<Volume>,
    ) -> anyhow::Result<Self> {
        let root = &options.ami_root_device;
        let is_source = |volume: &Volume| volume.device == root.source_device_name;
        let source = volumes.iter().find(|volume| is_source(volume)).cloned();
        let source = source.context("the machine has no volume for the root device of the AMI")?;
        let stays = |device: &str| options.kept().any(|kept| kept.device_name == device);
        let is_in_the_way = |volume: &Volume| {
            let device = volume.device.as_str();
            let is_root = [root.device_name.as_str(), USUAL_ROOT].contains(&device);
            let is_omitted = || options.devices().iter().any(|one| one.device_name == device);
            !is_source(volume) && (is_root || is_omitted() && !stays(device))
        };
        let thing = |volume: Volume| {
            let (instance, token) = (stopped.id.clone(), stopped.token.clone());
            let made = OurVolume { instance, token };
            let thing = made.thing(&build.account, build.account.region()).known_as(&volume.id);
            (volume, Arc::new(thing))
        };
        let others = volumes.into_iter().filter(is_in_the_way).map(thing).collect();
        let (options, detached) = (options.clone(), Mutex::default());
        let instance = stopped.id.clone();
        Ok(Self { build: build.clone(), instance, options, source, others, detached })
    }

    /// What the account must allow for it.
    pub(crate) fn permissions(at: &Regions) -> Vec<Permission> {
        let mut all = vec![
            at.on_ours("instance", &["AttachVolume", "DetachVolume", "ModifyInstanceAttribute"]),
            at.on_ours("volume", &["AttachVolume", "DetachVolume"]),
            at.on_ours("volume", &["DeleteTags"]),
        ];
        all.extend(OurVolume::permissions(at));
        all
    }

    fn waiting<'a>(&'a self, cx: &'a BuildContext) -> Waiting<'a> {
        let patience = self.build.patience(cx, attachment::PATIENCE);
        let memory = &self.build.account.memory;
        Waiting { ui: &cx.ui, cancel: &cx.cancel, patience, memory }
    }

    /// Whether the template keeps the volume of `device` when its machine goes.
    fn keeps(&self, device: &str) -> bool {
        let devices = self.options.launch_block_device_mappings.iter();
        let mut here = devices.filter(|one| one.device.device_name == device);
        here.any(|one| one.device.delete_on_termination == Some(false))
    }

    async fn detach(&self, cx: &BuildContext, volume: &Volume) -> anyhow::Result<()> {
        cx.ui.say(format!("Detaching {} from {}", volume.id, volume.device));
        attachment::detach(&self.build.ec2(cx), self.waiting(cx), &volume.id).await
    }

    /// What is attached later is kept when its instance goes, unless somebody says otherwise.
    async fn have_it_go_with_the_machine(&self, cx: &BuildContext) -> anyhow::Result<()> {
        let device = InstanceBlockDeviceMappingSpecification::builder()
            .device_name(&self.options.ami_root_device.device_name)
            .ebs(
                EbsInstanceBlockDeviceSpecification::builder().delete_on_termination(true).build(),
            );
        let ec2 = self.build.ec2(cx);
        let request = ec2.modify_instance_attribute().instance_id(&self.instance);
        let request = request.block_device_mappings(device.build());
        ec2.call("ModifyInstanceAttribute", |_| request.clone().send()).await?;
        Ok(())
    }

    fn detached(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.detached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Step for SwapVolumes {
    type Output = ();

    fn name(&self) -> &'static str {
        "swap the volumes"
    }

    fn phase(&self) -> Phase {
        Phase::Image
    }

    fn makes(&self) -> Vec<Arc<Thing>> {
        self.others.iter().map(|(_, thing)| thing.clone()).collect()
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<()> {
        for (volume, _) in &self.others {
            self.detach(cx, volume).await?;
            self.detached().push(volume.id.clone());
        }
        let device = &self.options.ami_root_device.device_name;
        if self.source.device != *device {
            self.detach(cx, &self.source).await?;
            cx.ui.say(format!("Attaching {} as {device}", self.source.id));
            let (ec2, id) = (self.build.ec2(cx), &self.source.id);
            attachment::attach(&ec2, self.waiting(cx), id, (&self.instance, device)).await?;
        }
        match self.keeps(&self.source.device) {
            true => Ok(()),
            false => self.have_it_go_with_the_machine(cx).await,
        }
    }

    async fn undo(&self, cx: &BuildContext, ending: Ending) -> anyhow::Result<()> {
        let detached = self.detached().clone();
        let is_off = |volume: &Volume| detached.contains(&volume.id);
        let off = self.others.iter().filter(|(volume, _)| is_off(volume)).cloned();
        let stays =
            |(volume, _): &(Volume, _)| ending == Ending::Done && self.keeps(&volume.device);
        let (kept, gone): (Vec<_>, Vec<_>) = off.partition(stays);
        let kept: Vec<_> = kept.into_iter().map(|(volume, _)| volume.id).collect();
        if !kept.is_empty() {
            hand_over(&self.build.ec2(cx), &kept).await?;
        }
        let gone: Vec<_> = gone.into_iter().map(|(_, thing)| thing).collect();
        self.build.removal(cx).remove_all(&gone).await
    }
}
