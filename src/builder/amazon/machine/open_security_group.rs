//! Who may reach the machine: groups that exist, or one that is open to nobody but us.

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_ec2::operation::create_security_group::CreateSecurityGroupOutput;
use aws_sdk_ec2::types::{IpPermission, IpRange, Ipv6Range, ResourceType};

use crate::aws::address::{Way, is_ipv6_cidr, own_cidr};
use crate::aws::allow::Regions;
use crate::aws::error::Meaning;
use crate::aws::image::filter;
use crate::aws::name;
use crate::aws::resource::Resource as _;
use crate::aws::resource::security_group::{self, SecurityGroup};
use crate::aws::search::api_filters;
use crate::aws::tags::specification;
use crate::builder::amazon::machine::find_network::Network;
use crate::builder::amazon::machine::run::Interface;
use crate::builder::amazon::machine::settings::{Machine, MachineSettings};
use crate::builder::amazon::source_ami::SourceAmi;
use crate::component::BuildContext;
use crate::journal::Thing;
use crate::permission::Permission;
use crate::retry::or_cancelled;
use crate::step::{Ending, Step};

/// Finds the given security groups, or makes one.
pub(crate) struct OpenSecurityGroup {
    machine: Machine,
    source: SourceAmi,
    network: Network,
    /// What the group will be called, if one is made.
    made: Option<(String, Arc<Thing>)>,
}

impl OpenSecurityGroup {
    pub(crate) fn new(machine: &Machine, source: &SourceAmi, network: &Network) -> Self {
        let name = machine.settings.run.needs_temporary_group().then(name::temporary);
        let made = name.map(|name| {
            let made = SecurityGroup { name: name.clone(), token: machine.build.token.clone() };
            (name, Arc::new(made.thing(&machine.build.account, machine.build.account.region())))
        });
        Self { machine: machine.clone(), source: source.clone(), network: network.clone(), made }
    }

    /// What the account must allow for it.
    pub(crate) fn permissions(settings: &MachineSettings, at: &Regions) -> Vec<Permission> {
        let look = at.look(&["DescribeSecurityGroups"]);
        if !settings.run.needs_temporary_group() {
            return vec![look];
        }
        let mut all = vec![
            look,
            at.make("security-group", &["CreateSecurityGroup"]),
            at.on(&["vpc"], &["CreateSecurityGroup"]),
            at.tag_with(&["security-group"], &["CreateSecurityGroup"]),
        ];
        all.extend(SecurityGroup::permissions(at));
        if needs_way_in(settings) {
            all.push(at.on_ours("security-group", &["AuthorizeSecurityGroupIngress"]));
        }
        all
    }

    /// The groups that the template gives or describes.
    async fn existing(&self, cx: &BuildContext) -> anyhow::Result<Vec<String>> {
        let (run, ec2) = (&self.machine.settings.run, self.machine.build.ec2(cx));
        let given = run.given_groups();
        let mut request = ec2.describe_security_groups();
        if let Some(wanted) = run.security_group_filter.as_ref().filter(|_| given.is_empty()) {
            let mut filters = api_filters(&wanted.filters);
            filters.extend(self.network.vpc.iter().map(|vpc| filter("vpc-id", [vpc])));
            request = request.set_filters(Some(filters));
        } else {
            request = request.set_group_ids(Some(given));
        }
        let found = ec2.call("DescribeSecurityGroups", |_| request.clone().send()).await?;
        let ids = found.security_groups().iter().filter_map(|group| group.group_id());
        let ids: Vec<_> = ids.map(str::to_owned).collect();
        anyhow::ensure!(!ids.is_empty(), "no security group matches `security_group_filter`");
        Ok(ids)
    }

    /// Who may connect.
    async fn sources(&self, cx: &BuildContext) -> anyhow::Result<Vec<String>> {
        let run = &self.machine.settings.run;
        if !run.temporary_security_group_source_cidrs.is_empty() {
            return Ok(run.temporary_security_group_source_cidrs.clone());
        }
        let way = match run.ssh_interface {
            Some(Interface::Ipv6) => Way::Ipv6,
            Some(Interface::PrivateIp | Interface::PrivateDns) => Way::Private,
            _ => Way::Public,
        };
        Ok(vec![own_cidr(&self.machine.build.account, &cx.facts.scope.environment, way).await?])
    }

    async fn create(&self, cx: &BuildContext, name: &str, made: &Thing) -> anyhow::Result<String> {
        let tags = self.machine.build.own_tags(cx, &self.source)?;
        let specification = specification(ResourceType::SecurityGroup, &tags);
        let ec2 = self.machine.build.ec2(cx);
        let request = ec2
            .create_security_group()
            .group_name(name)
            .description(security_group::DESCRIPTION)
            .set_vpc_id(self.network.vpc.clone())
            .set_tag_specifications(specification.map(|tags| vec![tags]));
        let id = |answer: CreateSecurityGroupOutput| answer.group_id;
        let look = async || {
            Ok(security_group::find(&ec2, name, &self.machine.build.token, None).await?.ours())
        };
        let call = ec2.make(made, "CreateSecurityGroup", |_| request.clone().send(), id, look);
        let id = call.await?;
        cx.journal.made(made, &id);
        Ok(id)
    }

    /// Lets `sources` connect to the machine's port.
    async fn open(&self, cx: &BuildContext, id: &str, sources: &[String]) -> anyhow::Result<()> {
        let Some(port) = self.machine.settings.connector.port() else { return Ok(()) };
        cx.ui.say(format!("Opening its port {port} to {} only", sources.join(", ")));
        let mut permission =
            IpPermission::builder().ip_protocol("tcp").from_port(port.into()).to_port(port.into());
        for block in sources {
            permission = match is_ipv6_cidr(block) {
                Ok(true) => permission.ipv6_ranges(Ipv6Range::builder().cidr_ipv6(block).build()),
                _ => permission.ip_ranges(IpRange::builder().cidr_ip(block).build()),
            };
        }
        let permission = permission.build();
        let ec2 = self.machine.build.ec2(cx).expecting([id]);
        let request = ec2.authorize_security_group_ingress().group_id(id);
        let request = request.ip_permissions(permission);
        match ec2.call("AuthorizeSecurityGroupIngress", |_| request.clone().send()).await {
            // An earlier answer was lost.
            Err(error) if error.meaning == Meaning::Taken => Ok(()),
            result => Ok(result.map(|_| ())?),
        }
    }
}

/// Whether anybody connects to a port of the machine.
fn needs_way_in(settings: &MachineSettings) -> bool {
    settings.connector.port().is_some() && !settings.run.is_behind_session_manager()
}

#[async_trait]
impl Step for OpenSecurityGroup {
    type Output = Vec<String>;

    fn name(&self) -> &'static str {
        "open a security group"
    }

    fn makes(&self) -> Vec<Arc<Thing>> {
        self.made.iter().map(|(_, made)| made.clone()).collect()
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<Vec<String>> {
        let Some((name, made)) = &self.made else {
            return self.existing(cx).await;
        };
        let needs_way_in = needs_way_in(&self.machine.settings);
        let sources = match needs_way_in {
            true => or_cancelled(&cx.cancel, self.sources(cx)).await??,
            false => Vec::new(),
        };
        cx.ui.say(format!("Creating the temporary security group {name}"));
        let id = self.create(cx, name, made).await?;
        if needs_way_in {
            self.open(cx, &id, &sources).await?;
        }
        Ok(vec![id])
    }

    async fn undo(&self, cx: &BuildContext, _ending: Ending) -> anyhow::Result<()> {
        match &self.made {
            Some((_, made)) => self.machine.build.removal(cx).remove(made).await,
            None => Ok(()),
        }
    }
}
