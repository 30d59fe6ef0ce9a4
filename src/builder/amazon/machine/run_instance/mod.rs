//! The machine: started, awaited, and in the end terminated with all its volumes.

mod ladder;
mod launch;
mod on_demand;
mod spot;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use async_trait::async_trait;
use aws_sdk_ec2::types::{Instance, InstanceStateName};

use crate::aws::allow::Regions;
use crate::aws::instance::{Ended, by_id, state};
use crate::aws::removal::INSTANCE_PATIENCE;
use crate::aws::resource::Resource as _;
use crate::aws::resource::instance::Instance as OurInstance;
use crate::aws::wait::{Seen, Wait};
use crate::builder::amazon::machine::find_network::{Network, Place, leaves_place_open};
use crate::builder::amazon::machine::keep::End;
use crate::builder::amazon::machine::run::Interface;
use crate::builder::amazon::machine::settings::{Machine, MachineSettings};
use crate::builder::amazon::source_ami::SourceAmi;
use crate::communicator::{Announcement, HostKey, Target, TemporaryKey};
use crate::component::BuildContext;
use crate::event::Phase;
use crate::journal::Thing;
use crate::permission::Permission;
use crate::retry;
use crate::step::{Ending, Step, UNDO_LIMIT};

use self::ladder::{Market, Rung, in_vain, is_about_capacity, passes_by, waits_between_rounds};
use self::launch::Launch;
use self::spot::LaunchTemplate;

pub(super) use self::launch::instance_of;

/// Starts the instance and waits until it runs.
pub(crate) struct RunInstance {
    launch: Launch,
    /// What a spot instance is started from.
    template: Option<LaunchTemplate>,
    /// Whether the instance that runs is one that EC2 may take back.
    is_spot: AtomicBool,
}

/// The machine, running.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    /// Its id.
    pub id: String,
    /// Whether EC2 may take it back.
    pub is_spot: bool,
    /// The token of the build that has started it.
    pub token: String,
    pub(super) host: String,
}

impl Running {
    /// Where to connect to, and how to know the machine.
    pub(crate) fn target(&self, key: Option<Arc<TemporaryKey>>, host_key: Announcement) -> Target {
        let host_key = HostKey::Announced(host_key);
        Target { host: self.host.clone(), port: None, key, host_key, way: None, boots: true }
    }
}

impl RunInstance {
    pub(crate) fn new(
        machine: &Machine,
        source: &SourceAmi,
        network: &Network,
        key_name: Option<String>,
        groups: Vec<String>,
        profile: Option<String>,
    ) -> Self {
        Self {
            launch: Launch::new(machine, source, network, key_name, groups, profile),
            template: machine.settings.spot.is_wanted().then(|| LaunchTemplate::new(machine)),
            is_spot: AtomicBool::new(false),
        }
    }

    /// What the account must allow for it.
    pub(crate) fn permissions(settings: &MachineSettings, at: &Regions) -> Vec<Permission> {
        let mut all = Vec::new();
        if settings.spot.is_wanted() {
            all.extend(spot::permissions(settings, at));
        }
        if settings.may_be_on_demand() {
            all.extend(on_demand::permissions(settings, at));
        }
        if leaves_place_open(settings) {
            all.push(at.look(&["DescribeSubnets"]));
        }
        let keys = settings.devices.iter().map(|disk| &disk.kms_key_id);
        all.extend(at.keys(keys.filter(|key| !key.is_empty())));
        let disks = &settings.devices;
        if disks.iter().any(|disk| disk.delete_on_termination == Some(false)) {
            all.push(at.on(&["volume"], &["DeleteTags"]));
        }
        all.extend(OurInstance::permissions(at));
        all
    }

    /// Starts the instance in one way, the `nth` that is tried, and waits until it runs.
    async fn start(&self, cx: &BuildContext, rung: &Rung, nth: usize) -> anyhow::Result<Running> {
        let id = match (&self.template, rung.market) {
            (Some(template), Market::Spot) => self.launch.start_spot(cx, template, rung).await?,
            _ => self.launch.start_on_demand(cx, rung, nth).await?,
        };
        cx.journal.made(&self.launch.made(), &id);
        cx.ui.say(format!("Instance: {id}"));
        let instance = match wait_until_running(cx, &self.launch.machine, &id).await {
            Err(error) if error.downcast_ref().is_some_and(Ended::lacked_capacity) => {
                self.make_room(cx).await?;
                return Err(error);
            }
            running => running?,
        };
        let is_spot = rung.market == Market::Spot;
        if is_spot {
            self.launch.tag_request(cx, &instance).await?;
        }
        if cx.facts.debug {
            show_addresses(cx, &instance);
        }
        self.is_spot.store(is_spot, Ordering::Relaxed);
        let machine = &self.launch.machine;
        let host = host(cx, machine, instance).await?;
        Ok(Running { id, is_spot, token: machine.build.token.clone(), host })
    }

    /// Takes back an instance that has ended by itself, and writes down that there will be another.
    async fn make_room(&self, cx: &BuildContext) -> anyhow::Result<()> {
        self.launch.machine.build.removal(cx).remove(&self.launch.made()).await?;
        let next = self.launch.begin_anew();
        let written = cx.journal.intend(&cx.facts.unique_name, vec![next]).await;
        written.context("the journal cannot be written")
    }

    /// Has a machine run as the template wants it; where EC2 has no capacity for that, as else it
    /// allows.
    pub(super) async fn climb(&self, cx: &BuildContext) -> anyhow::Result<Running> {
        let mut ladder = vec![Rung::first(&self.launch.machine.settings, &self.launch.network)];
        let mut waits = waits_between_rounds(&self.launch.machine);
        let (mut tried, mut may_pass) = (0, false);
        loop {
            let rung = ladder[tried % ladder.len()].clone();
            let place = if tried == 0 { String::new() } else { rung.whereabouts() };
            cx.ui.say(format!("Starting {rung}{place}"));
            let error = match self.start(cx, &rung, tried).await {
                Err(error) if is_about_capacity(&error) => error,
                done => return done,
            };
            tried += 1;
            may_pass |= passes_by(&error);
            if tried == 1 {
                ladder.extend(self.rungs_after(cx, &rung).await);
            }
            if tried.is_multiple_of(ladder.len()) {
                let wait = waits.next().filter(|_| std::mem::take(&mut may_pass));
                let Some(wait) = wait else { return Err(in_vain(error, ladder.len())) };
                retry::sleep(&cx.cancel, wait).await?;
            }
            cx.ui.say(format!("{error:#}"));
        }
    }

    async fn rungs_after(&self, cx: &BuildContext, first: &Rung) -> Vec<Rung> {
        let settings = &self.launch.machine.settings;
        first.those_after(
            &self.other_places(cx).await,
            &settings.run.fallback_instance_types,
            settings.spot.spot_fallback_to_on_demand,
        )
    }

    /// Where the machine may run, too. Who may not look at subnets has to do with one.
    async fn other_places(&self, cx: &BuildContext) -> Vec<Place> {
        match self.launch.network.other_places(&self.launch.machine.build.ec2(cx)).await {
            Ok(places) => places,
            Err(error) => {
                cx.ui.say(format!("Other availability zones are not tried: {error}"));
                Vec::new()
            }
        }
    }
}

/// Waits until the instance `id` runs.
pub(super) async fn wait_until_running(
    cx: &BuildContext,
    machine: &Machine,
    id: &str,
) -> anyhow::Result<Instance> {
    let memory = &machine.build.account.memory;
    let patience = machine.build.patience(cx, INSTANCE_PATIENCE);
    let ec2 = machine.build.ec2(cx);
    let wait = Wait { kind: "instance running", what: id, patience, memory };
    wait.until(&cx.ui, &cx.cancel, || async {
        let seen = by_id(&ec2, id).await?;
        let Some(instance) = seen else { return Ok(Seen::pending("not known yet")) };
        match state(&instance) {
            InstanceStateName::Running => Ok(Seen::Ready(instance)),
            InstanceStateName::Pending => Ok(Seen::pending("pending")),
            other => Err(match Ended::of(&instance) {
                Some(ended) => ended.into(),
                None => anyhow!("the instance {id} is {} instead of running", other.as_str()),
            }),
        }
    })
    .await
}

/// The address to connect to. A public one may come a moment after the instance runs.
pub(super) async fn host(
    cx: &BuildContext,
    machine: &Machine,
    mut instance: Instance,
) -> anyhow::Result<String> {
    let connector = &machine.settings.connector;
    if !connector.connects() || connector.host().is_some() {
        return Ok(String::new());
    }
    let id = instance.instance_id().unwrap_or_default().to_owned();
    let wanted = machine.settings.run.ssh_interface;
    for look in 1.. {
        if let Some(host) = address(&instance, wanted, look == LOOKS) {
            return Ok(host.to_owned());
        }
        if look == LOOKS {
            break;
        }
        retry::sleep(&cx.cancel, Duration::from_secs(1)).await?;
        let seen = by_id(&machine.build.ec2(cx), &id).await?;
        instance = seen.with_context(|| format!("the instance {id} is gone"))?;
    }
    bail!("the instance {id} has no address to connect to (`ssh_interface` says which is used)")
}

#[async_trait]
impl Step for RunInstance {
    type Output = Running;

    fn name(&self) -> &'static str {
        "run the instance"
    }

    fn phase(&self) -> Phase {
        Phase::Launch
    }

    fn makes(&self) -> Vec<Arc<Thing>> {
        let template = self.template.iter().map(|template| template.made.clone());
        template.chain([self.launch.made()]).collect()
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<Running> {
        if let Some(template) = &self.template {
            self.launch.make_template(cx, template).await?;
        }
        self.climb(cx).await
    }

    async fn undo(&self, cx: &BuildContext, ending: Ending) -> anyhow::Result<()> {
        let Launch { machine, source, .. } = &self.launch;
        let (made, is_spot) = (&self.launch.made(), self.is_spot.load(Ordering::Relaxed));
        let instance = End { cx, machine, source, made, is_spot }.come(ending).await;
        let template = match &self.template {
            Some(template) => self.launch.machine.build.removal(cx).remove(&template.made).await,
            None => Ok(()),
        };
        instance.and(template)
    }

    /// It may be slow as long as its state changes, which it does twice.
    fn undo_limit(&self, cx: &BuildContext) -> Duration {
        2 * self.launch.machine.build.patience(cx, INSTANCE_PATIENCE) + UNDO_LIMIT
    }
}

/// How often the instance's address is looked for, a second apart.
const LOOKS: usize = 3;

fn show_addresses(cx: &BuildContext, instance: &Instance) {
    let or_none = |text: Option<&str>| text.unwrap_or("none").to_owned();
    cx.ui.say(format!("Public DNS: {}", or_none(instance.public_dns_name())));
    cx.ui.say(format!("Public IP: {}", or_none(instance.public_ip_address())));
    cx.ui.say(format!("Private IP: {}", or_none(instance.private_ip_address())));
}

/// The address that `wanted` is about. Without a wish, the private one counts only at `last`.
fn address(instance: &Instance, wanted: Option<Interface>, last: bool) -> Option<&str> {
    let given = |text: Option<&'_ str>| text.is_some_and(|text| !text.is_empty());
    let public = instance.public_ip_address().filter(|text| given(Some(text)));
    let private = instance.private_ip_address().filter(|text| given(Some(text)));
    let found = match wanted {
        Some(Interface::PublicIp) => public,
        Some(Interface::PrivateIp) => private,
        Some(Interface::PublicDns) => instance.public_dns_name(),
        Some(Interface::PrivateDns) => instance.private_dns_name(),
        Some(Interface::Ipv6) => instance.ipv6_address(),
        Some(Interface::SessionManager) => Some("localhost"),
        None if instance.vpc_id().is_some() => public.or(private.filter(|_| last)),
        None => instance.public_dns_name(),
    };
    found.filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_private_address_counts_only_after_the_public_one_had_its_time() {
        let instance = Instance::builder().vpc_id("vpc-1").private_ip_address("10.0.0.1");
        let without = instance.clone().build();
        assert_eq!(address(&without, None, false), None);
        assert_eq!(address(&without, None, true), Some("10.0.0.1"));
        let with = instance.public_ip_address("198.51.100.1").build();
        assert_eq!(address(&with, None, false), Some("198.51.100.1"));
    }

    #[test]
    fn each_interface_is_an_address_and_no_other_takes_its_place() {
        let all = Instance::builder()
            .vpc_id("vpc-1")
            .public_ip_address("198.51.100.1")
            .private_ip_address("10.0.0.1")
            .public_dns_name("public.example")
            .private_dns_name("private.example")
            .ipv6_address("2001:db8::1")
            .build();
        let addresses = [
            (Interface::PublicIp, "198.51.100.1"),
            (Interface::PrivateIp, "10.0.0.1"),
            (Interface::PublicDns, "public.example"),
            (Interface::PrivateDns, "private.example"),
            (Interface::Ipv6, "2001:db8::1"),
        ];
        let nothing = Instance::builder().public_dns_name("").build();
        for (interface, expected) in addresses {
            assert_eq!(address(&all, Some(interface), false), Some(expected));
            assert_eq!(address(&nothing, Some(interface), true), None, "{interface:?}");
        }
        let tunnel = Some(Interface::SessionManager);
        assert_eq!(address(&nothing, tunnel, false), Some("localhost"));
        let classic = Instance::builder().public_dns_name("public.example").build();
        assert_eq!(address(&classic, None, false), Some("public.example"), "in no VPC");
    }
}
