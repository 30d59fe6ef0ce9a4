//! The machine as the template wants it.

use std::sync::Arc;

use aws_sdk_ec2::types::Tag;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::aws::tags::{TagBlock, TagMap};
use crate::builder::amazon::block_device::BlockDevice;
use crate::builder::amazon::build::{Build, check_tags, render_tags};
use crate::builder::amazon::machine::find_source_ami::FindSourceAmi;
use crate::builder::amazon::machine::hardware::HardwareOptions;
use crate::builder::amazon::machine::networking::EnhancedNetworking;
use crate::builder::amazon::machine::profile::ProfileOptions;
use crate::builder::amazon::machine::run::RunOptions;
use crate::builder::amazon::machine::spot::SpotOptions;
use crate::builder::amazon::source_ami::{SourceAmi, SourceOptions};
use crate::communicator::{self, Chosen, KeyType, Taken};
use crate::component::{BuildContext, Check};
use crate::config::option_parts;

option_parts! {
    /// The options of a machine in EC2.
    #[derive(Debug)]
    pub struct MachineOptions {
        /// What it starts from.
        pub source: SourceOptions,
        /// Where it runs, how it is reached.
        pub run: RunOptions,
        /// Whether it runs on spare capacity.
        pub spot: SpotOptions,
        /// What it may do in the account.
        pub profile: ProfileOptions,
        /// The hardware under it.
        pub hardware: HardwareOptions,
        /// Enhanced networking.
        pub networking: EnhancedNetworking,
        /// The tags of its volumes.
        pub volumes: VolumeTags,
        /// How it is connected to.
        pub communicator: communicator::Options,
    }
}

/// How the machine's volumes are tagged.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct VolumeTags {
    /// Tags of the machine's volumes.
    pub run_volume_tags: TagMap,
    /// The same as `run_volume_tags`, a block for each.
    pub run_volume_tag: Vec<TagBlock>,
}

impl VolumeTags {
    /// Whether there are any.
    pub fn are_given(&self) -> bool {
        !self.run_volume_tags.is_empty() || !self.run_volume_tag.is_empty()
    }

    /// They, with the facts of the source AMI filled in.
    pub(crate) fn render(&self, cx: &BuildContext, source: &SourceAmi) -> anyhow::Result<Vec<Tag>> {
        render_tags(cx, source, "run_volume_tags", &self.run_volume_tags, &self.run_volume_tag)
    }
}

/// The machine as the template wants it, checked.
#[derive(Clone, Debug)]
pub(crate) struct MachineSettings {
    pub source: SourceOptions,
    pub run: RunOptions,
    pub spot: SpotOptions,
    pub profile: ProfileOptions,
    pub hardware: HardwareOptions,
    pub networking: EnhancedNetworking,
    pub volumes: VolumeTags,
    pub connector: Chosen,
    /// Its disks that differ from those of the source AMI.
    pub devices: Vec<BlockDevice>,
    /// One that it gets when it is stopped.
    pub later: Option<BlockDevice>,
    /// Whether its root device may be an instance store. Then nobody stops it.
    pub may_be_on_store: bool,
}

/// The machine that a build starts. What its steps work with.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub build: Build,
    pub settings: Arc<MachineSettings>,
}

impl MachineOptions {
    /// Reports what is wrong. `devices` are those of the machine that differ from those of the source
    /// AMI: each builder has its own option for them, and checks it.
    pub(crate) fn prepare(
        self,
        devices: Vec<BlockDevice>,
        check: &mut Check<'_>,
    ) -> Option<MachineSettings> {
        let Self { source, run, spot, profile, hardware, networking, volumes, communicator } = self;
        source.check(check);
        networking.check_spot(&spot, check);
        run.check(check);
        spot.check_types(&run.instance_type, check);
        let mut types = spot.types(&run.instance_type);
        types.extend(run.fallback_instance_types.iter().map(String::as_str));
        spot.check(&types, &hardware, check);
        profile.check(check);
        hardware.check(&types, check);
        check_fallback(&run, &hardware, check);
        check_tags("run_volume_tag", &volumes.run_volume_tag, check);
        let connector = communicator.choose(&Taken::any().finding_passwords(), check)?;
        check_keys(&connector, check);
        check_way_in(&run, &profile, &connector, check);
        Some(MachineSettings {
            source,
            run,
            spot,
            profile,
            hardware,
            networking,
            volumes,
            connector,
            devices,
            later: None,
            may_be_on_store: false,
        })
    }
}

/// Looks up what `machine` starts from.
pub(crate) fn find_source(machine: &Machine) -> FindSourceAmi {
    let MachineSettings { source, networking, may_be_on_store, .. } = &*machine.settings;
    FindSourceAmi::new(&machine.build, source, networking.needs_hvm(), *may_be_on_store)
}

impl MachineSettings {
    /// Whether the machine is no spot instance, or need not be one.
    pub(super) fn may_be_on_demand(&self) -> bool {
        !self.spot.is_wanted() || self.spot.spot_fallback_to_on_demand
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
fn check_keys(connector: &Chosen, check: &mut Check<'_>) {
    let Some(key) = connector.temporary_key() else { return };
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
    connector: &Chosen,
    check: &mut Check<'_>,
) {
    let through = connector.hosts_between();
    if run.is_behind_session_manager() {
        check_session_manager(connector, &through, check);
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

/// Through Systems Manager goes what needs no address, and no other way beside it.
fn check_session_manager(
    connector: &Chosen,
    through: &[(&'static str, &str)],
    check: &mut Check<'_>,
) {
    if !connector.takes_way() {
        check.error("ssh_interface", "`session_manager` is no way for this communicator");
    }
    for (option, _) in through.iter().copied().chain(connector.host()) {
        let cause = "with `ssh_interface = \"session_manager\"` no address leads to the machine";
        check.error(option, cause).help = Some(format!("leave `{option}` away"));
    }
}
