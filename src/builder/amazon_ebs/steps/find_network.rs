//! Where the machine will run: VPC, subnet, availability zone.

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use aws_sdk_ec2::types::{LocationType, Subnet, Vpc};

use crate::aws::allow::Regions;
use crate::aws::call::Ec2;
use crate::aws::image::filter;
use crate::aws::search::api_filters;
use crate::builder::amazon_ebs::run::SubnetFilter;
use crate::builder::amazon_ebs::{Job, Settings};
use crate::component::BuildContext;
use crate::permission::Permission;
use crate::step::Step;

/// Looks up what the template asks for, and as little else as possible.
pub(crate) struct FindNetwork {
    job: Job,
}

/// Where the machine will run; what is `None` is left to EC2.
#[derive(Clone, Debug, Default)]
pub(crate) struct Network {
    /// The VPC.
    pub vpc: Option<String>,
    /// The subnet.
    pub subnet: Option<String>,
    /// The availability zone.
    pub zone: Option<String>,
}

impl Network {
    fn of(subnet: &Subnet) -> Self {
        let some = |text: Option<&str>| text.map(str::to_owned);
        Self {
            vpc: some(subnet.vpc_id()),
            subnet: some(subnet.subnet_id()),
            zone: some(subnet.availability_zone()),
        }
    }
}

impl FindNetwork {
    pub(crate) fn new(job: &Job) -> Self {
        Self { job: job.clone() }
    }

    /// What the account must allow for it.
    pub(crate) fn permissions(settings: &Settings, at: &Regions) -> Vec<Permission> {
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
        let (run, ec2) = (&self.job.settings.run, &self.job.ec2(cx));
        let mut network = Network {
            vpc: self.vpc(ec2).await?,
            subnet: None,
            zone: given(&run.availability_zone),
        };
        if !run.subnet_id.is_empty() {
            let found = self.subnets(ec2, &network, Some(&run.subnet_id), None).await?;
            let subnet = found.first().context("no such subnet")?;
            return Ok(Network::of(subnet));
        }
        if let Some(wanted) = &run.subnet_filter {
            let found = self.subnets(ec2, &network, None, Some(wanted)).await?;
            return Ok(Network::of(&choose(found, wanted)?));
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
            && network.subnet.is_none()
            && !is_default_vpc(ec2, &network).await?
        {
            bail!(
                "`vpc_id` is not the default VPC: say which subnet to use, in `subnet_id` or `subnet_filter`"
            );
        }
        Ok(network)
    }

    async fn vpc(&self, ec2: &Ec2) -> anyhow::Result<Option<String>> {
        let run = &self.job.settings.run;
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
            filters.extend(network.zone.iter().map(|zone| filter("availability-zone", [zone])));
        }
        let request = ec2.describe_subnets().set_filters(Some(filters));
        let request = request.set_subnet_ids(id.map(|id| vec![id.to_owned()]));
        let found = ec2.call("DescribeSubnets", |_| request.clone().send()).await?;
        Ok(found.subnets.unwrap_or_default())
    }

    /// The subnet with the most free addresses where the instance type is offered.
    async fn infer(&self, ec2: &Ec2, network: &Network) -> anyhow::Result<Network> {
        let types = self.job.settings.spot.types(&self.job.settings.run.instance_type);
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
        let best = found.iter().max_by_key(|subnet| subnet.available_ip_address_count());
        let best = best.with_context(|| {
            format!("no subnet is in a zone that offers {}", types.join(" or "))
        })?;
        Ok(Network::of(best))
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

/// One of the subnets that match `wanted`.
fn choose(mut found: Vec<Subnet>, wanted: &SubnetFilter) -> anyhow::Result<Subnet> {
    if wanted.most_free {
        found.sort_by_key(|subnet| std::cmp::Reverse(subnet.available_ip_address_count()));
    } else if wanted.random && found.len() > 1 {
        let any = (uuid::Uuid::new_v4().as_u128() % found.len() as u128) as usize;
        found.swap(0, any);
    } else if found.len() > 1 {
        let count = found.len();
        bail!(
            "{count} subnets match `subnet_filter`: make it narrower, or set `most_free` or `random`"
        );
    }
    found.into_iter().next().context("no subnet matches `subnet_filter`")
}

#[async_trait]
impl Step for FindNetwork {
    type Output = Network;

    fn name(&self) -> &'static str {
        "find the network"
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<Network> {
        let network = self.find(cx).await?;
        if let Some(subnet) = &network.subnet {
            cx.ui.say(format!(
                "Subnet: {subnet} ({})",
                network.zone.as_deref().unwrap_or("any zone")
            ));
        }
        Ok(network)
    }
}
