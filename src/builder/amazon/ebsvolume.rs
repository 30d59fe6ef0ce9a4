//! The `amazon-ebsvolume` builder: an EC2 instance that fills volumes, which stay when it is
//! terminated. No AMI is made.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::join;

use super::build::{Build, BuildOptions};
use super::check_account::CheckAccount;
use super::machine::{
    self, FindNetwork, Machine, MachineOptions, MachineSettings, SetAttributes, StepList,
};
use super::snapshot_volumes::SnapshotVolumes;
use super::volumes::{self, HandOverVolumes, TagVolumes, Volumes, VolumesOptions};
use crate::aws;
use crate::aws::cleanup::Ec2Cleaner;
use crate::aws::tags::SOURCE_AMI_DATA;
use crate::component::{
    Artifact, BuildContext, Builder, Check, Cleaner, CleanupContext, Component, Purpose,
};
use crate::env::Environment;
use crate::fault::Fault;
use crate::permission::Permission;
use crate::step::Steps;

/// Makes volumes with an instance.
#[derive(Debug)]
pub struct AmazonEbsVolume {
    build: Arc<BuildOptions>,
    machine: Arc<MachineSettings>,
    volumes: VolumesOptions,
}

impl Component for AmazonEbsVolume {
    const TYPE: &'static str = "amazon-ebsvolume";
    const ABOUT: &'static str = "Starts an EC2 instance from an AMI, provisions it, and leaves its volumes and their snapshots.";
    const BUILD_DATA: &'static [&'static str] = SOURCE_AMI_DATA;
    type Options = (BuildOptions, MachineOptions, VolumesOptions);

    fn lint((_, machine, _): &Self::Options, check: &mut Check<'_>) {
        machine.lint(check);
    }

    fn prepare((build, machine, volumes): Self::Options, check: &mut Check<'_>) -> Option<Self> {
        build.check(check);
        volumes.check(check);
        let machine = machine.prepare(volumes.devices(), check);
        Some(Self { build: Arc::new(build), machine: Arc::new(machine?), volumes })
    }
}

#[async_trait]
impl Builder for AmazonEbsVolume {
    fn blame(&self, error: &anyhow::Error) -> Fault {
        aws::error::blame(error)
    }

    fn makes(&self) -> Option<&'static str> {
        Some(volumes::BUILDER_ID)
    }

    async fn build(&self, cx: &BuildContext) -> anyhow::Result<Option<Arc<dyn Artifact>>> {
        Ok(Some(Arc::new(machine::bake(cx, self).await?)))
    }

    fn reads(&self) -> Option<Vec<PathBuf>> {
        Some(self.machine.run.user_data_file.iter().cloned().collect())
    }

    fn permissions(&self, purpose: Purpose, environment: &Environment) -> Vec<Permission> {
        if purpose != Purpose::Build {
            return Vec::new();
        }
        let at = self.build.regions(environment, &[]);
        let mut all = self.build.permissions();
        all.extend(CheckAccount::permissions(&self.build, false, &at));
        all.extend(machine::permissions(&self.machine, &at));
        all.extend(TagVolumes::permissions(&self.volumes, &self.machine.volumes, &at));
        all.extend(SetAttributes::permissions(&self.machine, &at));
        if self.volumes.with_snapshots().next().is_some() {
            all.extend(SnapshotVolumes::permissions(self.volumes.shares_snapshots(), &at));
        }
        all.extend(HandOverVolumes::permissions(&self.volumes, &at));
        all
    }

    fn cleaner(&self, cx: &CleanupContext) -> Option<Box<dyn Cleaner>> {
        Some(Box::new(Ec2Cleaner { access: self.build.access.clone(), cx: cx.clone() }))
    }
}

#[async_trait]
impl StepList for AmazonEbsVolume {
    type Made = Volumes;

    fn options(&self) -> &Arc<BuildOptions> {
        &self.build
    }

    /// The steps, in order. Those that do not need each other run at the same time.
    async fn bake(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
        build: Build,
    ) -> anyhow::Result<Volumes> {
        let machine = &Machine { build: build.clone(), settings: self.machine.clone() };
        let (account, source, network) = join!(
            steps.run(CheckAccount::new(&build, None)),
            steps.run(machine::find_source(machine)),
            steps.run(FindNetwork::new(machine)),
        );
        account?;
        let (source, network) = (source?, network?);
        let started = machine::start(steps, machine, &source, &network).await?;
        let made = async {
            let (instance, tags) = (&started.instance.id, &self.machine.volumes);
            let tag = TagVolumes::new(&build, &source, instance, &self.volumes, tags);
            let volumes = steps.run(tag).await?;
            let stopped =
                machine::provision_and_stop(cx, steps, machine, &source, &started).await?;
            steps.run(SetAttributes::new(machine, &stopped)).await?;
            let wanted = volumes.iter().filter_map(|volume| volume.snapshot(cx, &source));
            let wanted = wanted.collect::<anyhow::Result<_>>()?;
            let snapshots = steps.run(SnapshotVolumes::new(&build, wanted, false)).await?;
            let snapshots: Vec<_> = snapshots.into_iter().map(|snapshot| snapshot.id).collect();
            steps.run(HandOverVolumes::new(&build, &snapshots)).await?;
            let data = source.build_data(&stopped.id);
            Ok(Volumes::new(build.account.clone(), &volumes, snapshots, data))
        };
        machine::with_cause(cx, machine, &started.instance, made).await
    }
}
