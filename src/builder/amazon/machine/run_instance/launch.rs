//! What the machine is started with, however that is.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_ec2::types::{BlockDeviceMapping, ResourceType, TagSpecification};

use crate::aws::call::Ec2;
use crate::aws::resource::Resource as _;
use crate::aws::resource::instance::Instance;
use crate::aws::tags::specification;
use crate::builder::amazon::block_device::mappings;
use crate::builder::amazon::machine::find_network::Network;
use crate::builder::amazon::machine::settings::{Machine, MachineSettings};
use crate::builder::amazon::source_ami::SourceAmi;
use crate::component::BuildContext;
use crate::journal::Thing;

/// A machine that is to be started.
pub(super) struct Launch {
    pub machine: Machine,
    pub source: SourceAmi,
    pub network: Network,
    pub key_name: Option<String>,
    pub groups: Vec<String>,
    pub profile: Option<String>,
    /// The instance. Where one has ended by itself, the next one is another thing.
    made: Mutex<Arc<Thing>>,
}

impl Launch {
    pub(super) fn new(
        machine: &Machine,
        source: &SourceAmi,
        network: &Network,
        key_name: Option<String>,
        groups: Vec<String>,
        profile: Option<String>,
    ) -> Self {
        Self {
            machine: machine.clone(),
            source: source.clone(),
            network: network.clone(),
            key_name,
            groups,
            profile,
            made: Mutex::new(before_start(machine, source)),
        }
    }

    pub(super) fn settings(&self) -> &MachineSettings {
        &self.machine.settings
    }

    /// What is made next is another instance.
    pub(super) fn begin_anew(&self) -> Arc<Thing> {
        let next = before_start(&self.machine, &self.source);
        *self.made.lock().unwrap_or_else(PoisonError::into_inner) = next.clone();
        next
    }

    /// EC2, which may not know yet what was just made for the machine.
    pub(super) fn ec2(&self, cx: &BuildContext) -> Ec2 {
        let new = self.groups.iter().chain(&self.key_name).chain(&self.profile);
        self.machine.build.ec2(cx).expecting(new)
    }

    pub(super) fn made(&self) -> Arc<Thing> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn disks(&self) -> Option<Vec<BlockDeviceMapping>> {
        let disks = mappings(&self.settings().devices);
        (!disks.is_empty()).then_some(disks)
    }

    pub(super) fn tags(&self, cx: &BuildContext) -> anyhow::Result<Vec<TagSpecification>> {
        let run_tags = self.machine.build.run_tags(cx, &self.source)?;
        let interface = specification(ResourceType::NetworkInterface, &run_tags);
        let own = self.machine.build.own_tags(cx, &self.source)?;
        let mut volumes = self.settings().volumes.render(cx, &self.source)?;
        volumes.extend(self.machine.build.known_as_ours(cx));
        let volumes = specification(ResourceType::Volume, &volumes);
        let instance = specification(ResourceType::Instance, &own);
        Ok([instance, interface, volumes].into_iter().flatten().collect())
    }
}

/// The machine, before it is there.
fn before_start(machine: &Machine, source: &SourceAmi) -> Arc<Thing> {
    let made = instance_of(machine, source, &machine.build.token, None);
    Arc::new(made.thing(&machine.build.account, machine.build.account.region()))
}

/// The machine that the build of `token` has started, or is about to; `resumed_by`: see there.
pub(crate) fn instance_of(
    machine: &Machine,
    source: &SourceAmi,
    token: &str,
    resumed_by: Option<String>,
) -> Instance {
    let MachineSettings { devices, later, .. } = &*machine.settings;
    let disks: Vec<_> = devices.iter().chain(later).collect();
    let keeps = disks.iter().filter(|disk| disk.delete_on_termination == Some(false));
    let keeps = keeps.map(|disk| disk.device_name.clone()).collect();
    let added = disks.iter().map(|disk| disk.device_name.clone());
    let devices = Some(source.devices().into_iter().chain(added).collect());
    Instance { token: token.to_owned(), keeps, devices, resumed_by }
}
