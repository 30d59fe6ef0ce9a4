//! A machine on which a provisioner has failed is kept for a later run: stopped, and with tags that say
//! what has been done there and until when it may live.
//!
//! Nothing else stays. The temporary key pair goes as ever; a temporary security group does, too: the
//! machine is moved to its VPC's default group. The journal says first that the machine stays, and
//! the tags, which a later run looks for, come last: whoever is killed in between has left a machine
//! that is removed when its time is over.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use aws_sdk_ec2::types::InstanceStateName;
use jiff::Timestamp;

use crate::aws::allow::Regions;
use crate::aws::build_tags::KEPT_UNTIL_TAG;
use crate::aws::call::Ec2;
use crate::aws::image::filter;
use crate::aws::instance::{self, state};
use crate::aws::tags::{self, tag};
use crate::builder::amazon::machine::settings::{Machine, MachineSettings};
use crate::builder::amazon::record_tags;
use crate::builder::amazon::source_ami::SourceAmi;
use crate::builder::keep;
use crate::communicator::PasswordKey;
use crate::component::BuildContext;
use crate::journal::Thing;
use crate::permission::Permission;
use crate::step::Ending;

/// The tag that says which build has kept a machine.
pub(super) const KEPT_FOR_TAG: &str = "imgbake:kept-for";
/// The tag that says how many provisioners have done their work there.
pub(super) const DONE_TAG: &str = "imgbake:kept-after";

/// About what a month of a GiB costs that is written to a volume, in US dollars.
const DOLLARS_A_MONTH: f64 = 0.1;

/// The end of a machine: removed, or kept for a later run.
pub(super) struct End<'a> {
    pub cx: &'a BuildContext,
    pub machine: &'a Machine,
    pub source: &'a SourceAmi,
    pub made: &'a Arc<Thing>,
    pub is_spot: bool,
}

/// What the account must allow for it, beside what builds need anyway.
pub(crate) fn permissions(settings: &MachineSettings, at: &Regions) -> Vec<Permission> {
    let calls =
        ["CreateTags", "DeleteTags", "ModifyInstanceAttribute", "StartInstances", "StopInstances"];
    let mut all = vec![at.on_ours("instance", &calls)];
    if settings.run.needs_temporary_group() {
        all.push(at.on(&["security-group"], &["ModifyInstanceAttribute"]));
    }
    all
}

impl End<'_> {
    /// Keeps the machine if a provisioner has failed on it and somebody wants that; else it goes.
    pub async fn come(&self, ending: Ending) -> anyhow::Result<()> {
        if let Some((done, wanted)) = keep::wanted(self.cx, ending) {
            match self.keep(done, wanted.time).await {
                Ok(()) => return Ok(()),
                Err(error) => {
                    self.cx.journal.release(self.made);
                    self.cx.ui.error(format!("The instance is not kept: {error:#}"));
                }
            }
        }
        self.machine.build.removal(self.cx).remove(self.made).await
    }

    /// Why nobody could go on with the machine later, if that is so.
    fn check(&self) -> anyhow::Result<()> {
        let settings = &self.machine.settings;
        ensure!(!self.is_spot, "it is a spot instance, which EC2 does not keep");
        let has_temporary_role = settings.profile.is_temporary();
        ensure!(!has_temporary_role, "its temporary instance profile goes with the build");
        let password = settings.connector.password_key();
        let password_goes = matches!(password, Some(PasswordKey::Temporary));
        ensure!(!password_goes, "its password is sealed for a key that goes with the build");
        Ok(())
    }

    async fn keep(&self, done: usize, time: Duration) -> anyhow::Result<()> {
        let Self { cx, machine, made, .. } = self;
        self.check()?;
        let id = made.id().context("nobody knows its id")?;
        let record = cx.fingerprint.record_before(done).await?.with_source(self.source.id());
        let until = keep::until(time)?;
        let ec2 = machine.build.ec2(cx);
        cx.ui.say(format!("Stopping the instance {id}, so that another run can go on with it"));
        let request = ec2.stop_instances().instance_ids(id);
        ec2.call("StopInstances", |_| request.clone().send()).await?;
        if machine.settings.run.needs_temporary_group() {
            self.leave_group(&ec2, id).await?;
        }
        let written = cx.journal.reserve_until(made, until).await;
        written.context("the journal cannot be written")?;
        let mut tags = vec![
            tag(KEPT_FOR_TAG, &cx.facts.unique_name),
            tag(DONE_TAG, done.to_string()),
            tag(KEPT_UNTIL_TAG, until.to_string()),
        ];
        tags.extend(record_tags::of(&record_tags::made_from(&cx.facts.unique_name, &record)));
        tags::put(&ec2, &[id.to_owned()], &tags).await?;
        self.say(&ec2, id, until, time).await;
        Ok(())
    }

    /// Takes the machine out of the temporary security group, which goes.
    async fn leave_group(&self, ec2: &Ec2, id: &str) -> anyhow::Result<()> {
        let there = instance::by_id(ec2, id).await?.context("it is gone")?;
        if matches!(state(&there), InstanceStateName::Terminated | InstanceStateName::ShuttingDown)
        {
            bail!("it has ended");
        }
        let vpc = there.vpc_id().context("it is in no VPC")?;
        let filters = vec![filter("vpc-id", [vpc]), filter("group-name", ["default"])];
        let request = ec2.describe_security_groups().set_filters(Some(filters));
        let found = ec2.call("DescribeSecurityGroups", |_| request.clone().send()).await?;
        let group = found.security_groups().first().and_then(|group| group.group_id());
        let group = group.context("its VPC has no default security group")?;
        move_to_groups(ec2, id, &[group.to_owned()]).await
    }

    async fn say(&self, ec2: &Ec2, id: &str, until: Timestamp, time: Duration) {
        let volumes = instance::volumes(ec2, id).await.unwrap_or_default();
        let size: i32 = volumes.iter().filter_map(|volume| volume.size()).sum();
        let months = time.as_secs_f64() / (30.0 * 86_400.0);
        let dollars = f64::from(size) * months * DOLLARS_A_MONTH;
        self.cx.ui.say(format!(
            "The instance {id} is kept until {until}. Stopped, it costs what its volumes do: {size} GiB, \
             about {dollars:.2} US dollars until then"
        ));
    }
}

/// Has the instance `id` be in these security `groups` alone.
pub(super) async fn move_to_groups(ec2: &Ec2, id: &str, groups: &[String]) -> anyhow::Result<()> {
    let request = ec2.modify_instance_attribute().instance_id(id);
    let request = request.set_groups(Some(groups.to_vec()));
    ec2.expecting(groups).call("ModifyInstanceAttribute", |_| request.clone().send()).await?;
    Ok(())
}
