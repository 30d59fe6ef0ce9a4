//! Which volumes the machine has on which devices.

use anyhow::Context as _;
use async_trait::async_trait;

use crate::aws::allow::Regions;
use crate::aws::instance;
use crate::builder::amazon::build::Build;
use crate::builder::amazon::machine::Stopped;
use crate::component::BuildContext;
use crate::event::Phase;
use crate::permission::Permission;
use crate::step::Step;

/// Asks for the volumes of the machine.
pub(crate) struct FindVolumes {
    build: Build,
    instance: String,
    /// The devices that must have one.
    devices: Vec<String>,
}

/// A volume of the machine.
#[derive(Clone, Debug)]
pub(crate) struct Volume {
    /// Its id.
    pub id: String,
    /// Where it is attached.
    pub device: String,
}

impl FindVolumes {
    pub(crate) fn new<'a>(
        build: &Build,
        stopped: &Stopped,
        devices: impl Iterator<Item = &'a str>,
    ) -> Self {
        let devices = devices.map(str::to_owned).collect();
        Self { build: build.clone(), instance: stopped.id.clone(), devices }
    }

    /// What the account must allow for it.
    pub(crate) fn permissions(at: &Regions) -> Vec<Permission> {
        vec![at.look(&["DescribeVolumes"])]
    }
}

#[async_trait]
impl Step for FindVolumes {
    /// All of them.
    type Output = Vec<Volume>;

    fn name(&self) -> &'static str {
        "find the volumes"
    }

    fn phase(&self) -> Phase {
        Phase::Image
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<Vec<Volume>> {
        let found = instance::volumes(&self.build.ec2(cx), &self.instance).await?;
        let volumes = found.into_iter().filter_map(|volume| {
            let mut attachments = volume.attachments().iter();
            let here = attachments.find(|one| one.instance_id() == Some(&self.instance))?;
            let device = here.device()?.to_owned();
            Some(Volume { device, id: volume.volume_id? })
        });
        let volumes: Vec<_> = volumes.collect();
        for wanted in &self.devices {
            let found = volumes.iter().find(|volume| volume.device == *wanted);
            found.with_context(|| format!("{} has no volume on {wanted}", self.instance))?;
        }
        Ok(volumes)
    }
}
