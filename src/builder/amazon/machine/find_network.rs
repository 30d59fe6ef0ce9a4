//! Where the machine will run: VPC, subnet, availability zone.

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use aws_sdk_ec2::types::{LocationType, Subnet, Vpc};

use crate::aws::allow::Regions;
use crate::aws::call::Ec2;
use crate::aws::error::ApiError;
use crate::aws::image::filter;
use crate::aws::search::api_filters;
use crate::builder::amazon::machine::run::SubnetFilter;
use crate::builder::amazon::machine::settings::{Machine, MachineSettings};
use crate::component::BuildContext;
use crate::permission::Permission;
use crate::step::Step;

/// Looks up what the template asks for, and as little else as possible.
pub(crate) struct FindNetwork {
    machine: Machine,
}

/// Where the machine will run; what is `None` is left to EC2.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    /// The VPC.
    pub vpc: Option<String>,
    /// Where it runs, if EC2 has capacity there.
    pub place: Place,
    /// Where it may run, too.
    pub elsewhere: OtherPlaces,
}

/// A place for a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// The subnet.
    pub subnet: Option<String>,
    /// The availability zone.
    pub zone: Option<String>,
}

/// What else the template allows.
#[derive(Clone, Debug)]
pub(crate) enum OtherPlaces {
    /// These places; each is in a zone of its own.
    Places(Vec<Place>),
    /// Any default subnet of the VPC: the template leaves it to EC2. They are not looked up before
    /// one is needed.
    DefaultSubnets,
}

impl Place {
    fn of(subnet: &Subnet) -> Self {
        let some = |text: Option<&str>| text.map(str::to_owned);
        Self { subnet: some(subnet.subnet_id()), zone: some(subnet.availability_zone()) }
    }

    /// Whether EC2 finds one.
    pub(crate) fn is_any(&self) -> bool {
        *self == Self::default()
    }
}

impl Network {
    /// One in the first of `subnets`, which may move to the zones of the others.
    fn within(subnets: &[Subnet]) -> Option<Self> {
        let (first, _) = subnets.split_first()?;
        let mut places: Vec<Place> = Vec::new();
        for place in subnets.iter().map(Place::of) {
            if !places.iter().any(|known| known.zone == place.zone) {
                places.push(place);
            }
        }
        let elsewhere = OtherPlaces::Places(places.split_off(1));
        let vpc = first.vpc_id().map(str::to_owned);
        Some(Self { vpc, place: Place::of(first), elsewhere })
    }

    /// Where the machine may run beside its first place.
    pub(crate) async fn other_places(&self, ec2: &Ec2) -> Result<Vec<Place>, ApiError> {
        if let OtherPlaces::Places(places) = &self.elsewhere {
            return Ok(places.clone());
        }
        let mut filters = vec![filter("state", ["available"]), filter("default-for-az", ["true"])];
        filters.extend(self.vpc.iter().map(|vpc| filter("vpc-id", [vpc])));
        let request = ec2.describe_subnets().set_filters(Some(filters));
        let mut found = ec2.call("DescribeSubnets", |_| request.clone().send()).await?;
        let subnets = found.subnets.get_or_insert_default();
        by_free_addresses(subnets);
        Ok(subnets.iter().map(Place::of).collect())
    }
}

impl FindNetwork {
    pub(crate) fn new(machine: &Machine) -> Self {
        Self { machine: machine.clone() }
    }

    /// What the account must allow for it.
    pub(crate) fn permissions(settings: &MachineSettings, at: &Regions) -> Vec<Permission> {
        let run = &settings.run;
        let subnet = !run.subnet_id.is_empty() || run.subnet_filter.is_some();
        let vpc = !run.vpc_id.is_empty() || run.vpc_filter.is_some();
        let infers = !subnet && run.associate_public_ip_address.is_some();
        let looks_at_vpcs = run.vpc_filter.is_some() || infers || (vpc && !subnet);
        let calls = [
            ("DescribeSubnets", subnet || infers),
            ("DescribeVpcs", looks_at_vpcs),
            ("DescribeInstanceTypeOfferings", infers),
        ];
        calls.iter().filter(|(_, is_made)| *is_made).map(|(call, _)| at.look(&[call])).collect()
    }

    async fn find(&self, cx: &BuildContext) -> anyhow::Result<Network> {
        let (run, ec2) = (&self.machine.settings.run, &self.machine.build.ec2(cx));
        let zone = given(&run.availability_zone);
        let elsewhere = match leaves_place_open(&self.machine.settings) {
            true => OtherPlaces::DefaultSubnets,
            false => OtherPlaces::Places(Vec::new()),
        };
        let place = Place { subnet: None, zone };
        let mut network = Network { vpc: self.vpc(ec2).await?, place, elsewhere };
        if !run.subnet_id.is_empty() {
            let found = self.subnets(ec2, &network, Some(&run.subnet_id), None).await?;
            return Network::within(&found).context("no such subnet");
        }
        if let Some(wanted) = &run.subnet_filter {
            let found = self.subnets(ec2, &network, None, Some(wanted)).await?;
            return choose(found, wanted);
        }
        if run.associate_public_ip_address.is_some() {
            // A network interface of our own needs a subnet; without one EC2 still may find one.
            match self.infer(ec2, &network).await {
                Ok(inferred) => network = inferred,
                Err(error) => {
                    cx.ui.say(format!("No subnet was found to put the machine in: {error:#}"))
                }
            }
        }
        if network.vpc.is_some()
            && network.place.subnet.is_none()
            && !is_default_vpc(ec2, &network).await?
        {
            bail!(
                "`vpc_id` is not the default VPC: say which subnet to use, in `subnet_id` or `subnet_filter`"
            );
        }
        Ok(network)
    }

    async fn vpc(&self, ec2: &Ec2) -> anyhow::Result<Option<String>> {
        let run = &self.machine.settings.run;
        if !run.vpc_id.is_empty() {
            return Ok(Some(run.vpc_id.clone()));
        }
        let Some(wanted) = &run.vpc_filter else { return Ok(None) };
        let request = ec2.describe_vpcs().set_filters(Some(api_filters(&wanted.filters)));
        let found = ec2.call("DescribeVpcs", |_| request.clone().send()).await?;
        match found.vpcs() {
            [vpc] => Ok(vpc.vpc_id().map(str::to_owned)),
            [] => bail!("no VPC matches `vpc_filter`"),
            several => bail!("{} VPCs match `vpc_filter`: make it narrower", several.len()),
        }
    }

    async fn subnets(
        &self,
        ec2: &Ec2,
        network: &Network,
        id: Option<&str>,
        wanted: Option<&SubnetFilter>,
    ) -> anyhow::Result<Vec<Subnet>> {
        let mut filters = wanted.map(|wanted| api_filters(&wanted.filters)).unwrap_or_default();
        if id.is_none() {
            filters.push(filter("state", ["available"]));
            filters.extend(network.vpc.iter().map(|vpc| filter("vpc-id", [vpc])));
            filters
                .extend(network.place.zone.iter().map(|zone| filter("availability-zone", [zone])));
        }
        let request = ec2.describe_subnets().set_filters(Some(filters));
        let request = request.set_subnet_ids(id.map(|id| vec![id.to_owned()]));
        let found = ec2.call("DescribeSubnets", |_| request.clone().send()).await?;
        Ok(found.subnets.unwrap_or_default())
    }

    /// The subnet with the most free addresses where the instance type is offered.
    async fn infer(&self, ec2: &Ec2, network: &Network) -> anyhow::Result<Network> {
        let types = self.machine.settings.spot.types(&self.machine.settings.run.instance_type);
        let vpc = match &network.vpc {
            Some(vpc) => vpc.clone(),
            None => {
                let vpc = default_vpc(ec2).await?.context("the region has no default VPC")?;
                vpc.vpc_id().unwrap_or_default().to_owned()
            }
        };
        let request = ec2
            .describe_instance_type_offerings()
            .location_type(LocationType::AvailabilityZone)
            .filters(filter("instance-type", types.iter().copied()));
        let offered = ec2.call("DescribeInstanceTypeOfferings", |_| request.clone().send()).await?;
        let zones: Vec<_> = offered
            .instance_type_offerings()
            .iter()
            .filter_map(|offering| offering.location())
            .collect();
        let within = Network { vpc: Some(vpc), ..network.clone() };
        let mut found = self.subnets(ec2, &within, None, None).await?;
        found.retain(|subnet| subnet.availability_zone().is_some_and(|zone| zones.contains(&zone)));
        by_free_addresses(&mut found);
        Network::within(&found)
            .with_context(|| format!("no subnet is in a zone that offers {}", types.join(" or ")))
    }
}

async fn default_vpc(ec2: &Ec2) -> anyhow::Result<Option<Vpc>> {
    let request = ec2.describe_vpcs().filters(filter("is-default", ["true"]));
    let found = ec2.call("DescribeVpcs", |_| request.clone().send()).await?;
    Ok(found.vpcs.unwrap_or_default().into_iter().next())
}

async fn is_default_vpc(ec2: &Ec2, network: &Network) -> anyhow::Result<bool> {
    let default = default_vpc(ec2).await?;
    Ok(default.and_then(|vpc| vpc.vpc_id) == network.vpc)
}

fn given(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// Whether neither the template nor what the machine is made of says where it runs.
pub(crate) fn leaves_place_open(settings: &MachineSettings) -> bool {
    let run = &settings.run;
    let is_given = !run.subnet_id.is_empty()
        || run.subnet_filter.is_some()
        || !run.availability_zone.is_empty();
    !is_given && !settings.hardware.is_in_one_place()
}

/// Those with the most free addresses first.
fn by_free_addresses(subnets: &mut [Subnet]) {
    subnets.sort_by_key(|subnet| std::cmp::Reverse(subnet.available_ip_address_count()));
}

/// One of the subnets that match `wanted`; where any will do, the others as well.
fn choose(mut found: Vec<Subnet>, wanted: &SubnetFilter) -> anyhow::Result<Network> {
    if wanted.most_free {
        by_free_addresses(&mut found);
    } else if wanted.random {
        fastrand::shuffle(&mut found);
    } else if found.len() > 1 {
        let count = found.len();
        bail!(
            "{count} subnets match `subnet_filter`: make it narrower, or set `most_free` or `random`"
        );
    }
    Network::within(&found).context("no subnet matches `subnet_filter`")
}

#[async_trait]
impl Step for FindNetwork {
    type Output = Network;

    fn name(&self) -> &'static str {
        "find the network"
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<Network> {
        let mut network = self.find(cx).await?;
        if self.machine.settings.hardware.is_in_one_place() {
            network.elsewhere = OtherPlaces::Places(Vec::new());
        }
        if let Place { subnet: Some(subnet), zone } = &network.place {
            cx.ui.say(format!("Subnet: {subnet} ({})", zone.as_deref().unwrap_or("any zone")));
        }
        Ok(network)
    }
}
