//! Who may reach the machine: groups that exist, or one that is open to nobody but us.

use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use aws_sdk_ec2::types::{IpPermission, IpRange, Ipv6Range, ResourceType};

use crate::aws::address::{Way, is_ipv6_cidr, own_cidr};
use crate::aws::error::Called as _;
use crate::aws::image::filter;
use crate::aws::made::Made;
use crate::aws::name;
use crate::aws::removal::find_group;
use crate::aws::retry::until_known;
use crate::aws::tags::specification;
use crate::builder::amazon_ebs::Job;
use crate::builder::amazon_ebs::run::Interface;
use crate::builder::amazon_ebs::steps::{Network, SourceAmi, api_filters};
use crate::communicator::Kind;
use crate::component::BuildContext;
use crate::journal::Thing;
use crate::retry::or_cancelled;
use crate::step::{Ending, Step};

/// Finds the given security groups, or makes one.
pub(crate) struct OpenSecurityGroup {
    job: Job,
    source: SourceAmi,
    network: Network,
    /// What the group will be called, if one is made.
    name: Option<String>,
    made: Option<Arc<Thing>>,
}

impl OpenSecurityGroup {
    pub(crate) fn new(job: &Job, source: &SourceAmi, network: &Network) -> Self {
        let name = job.settings.run.needs_temporary_group().then(name::temporary);
        let made = name.clone().map(|name| {
            let made = Made::SecurityGroup { name, token: job.token.clone() };
            Arc::new(made.thing(&job.account, job.account.region()))
        });
        Self { job: job.clone(), source: source.clone(), network: network.clone(), name, made }
    }

    fn ec2(&self) -> &aws_sdk_ec2::Client {
        self.job.account.ec2()
    }

    /// The groups that the template gives or describes.
    async fn existing(&self) -> anyhow::Result<Vec<String>> {
        let run = &self.job.settings.run;
        let given = run.given_groups();
        let mut request = self.ec2().describe_security_groups();
        if let Some(wanted) = run.security_group_filter.as_ref().filter(|_| given.is_empty()) {
            let mut filters = api_filters(&wanted.filters);
            filters.extend(self.network.vpc.iter().map(|vpc| filter("vpc-id", [vpc])));
            request = request.set_filters(Some(filters));
        } else {
            request = request.set_group_ids(Some(given));
        }
        let found = request.send().await.called("DescribeSecurityGroups")?;
        let ids = found.security_groups().iter().filter_map(|group| group.group_id());
        let ids: Vec<_> = ids.map(str::to_owned).collect();
        anyhow::ensure!(!ids.is_empty(), "no security group matches `security_group_filter`");
        Ok(ids)
    }

    /// Who may connect.
    async fn sources(&self, cx: &BuildContext) -> anyhow::Result<Vec<String>> {
        let run = &self.job.settings.run;
        if !run.temporary_security_group_source_cidrs.is_empty() {
            return Ok(run.temporary_security_group_source_cidrs.clone());
        }
        let way = match run.ssh_interface {
            Some(Interface::Ipv6) => Way::Ipv6,
            Some(Interface::PrivateIp | Interface::PrivateDns) => Way::Private,
            _ => Way::Public,
        };
        Ok(vec![own_cidr(&self.job.account, &cx.facts.scope.environment, way).await?])
    }

    async fn create(&self, cx: &BuildContext, name: &str) -> anyhow::Result<String> {
        let tags = self.job.own_tags(cx, &self.source)?;
        let specification = specification(ResourceType::SecurityGroup, &tags);
        let request = self
            .ec2()
            .create_security_group()
            .group_name(name)
            .description("Temporary group for imgbake")
            .set_vpc_id(self.network.vpc.clone())
            .set_tag_specifications(specification.map(|tags| vec![tags]));
        self.made.iter().for_each(|made| made.set_out());
        let id = match request.send().await.called("CreateSecurityGroup") {
            Ok(answer) => answer.group_id,
            // The name is ours: an earlier answer was lost.
            Err(error) if error.is(&["InvalidGroup.Duplicate"]) => {
                find_group(self.ec2(), name, &self.job.token, None).await?
            }
            Err(error) => return Err(error.into()),
        };
        let id = id.context("CreateSecurityGroup answered no id")?;
        self.made.iter().for_each(|made| cx.journal.made(made, &id));
        Ok(id)
    }

    /// Lets `sources` connect to the machine's SSH port.
    async fn open(&self, cx: &BuildContext, id: &str, sources: &[String]) -> anyhow::Result<()> {
        let port = self.job.settings.communicator.ssh_port;
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
        let call = || async {
            let request = self.ec2().authorize_security_group_ingress();
            let request = request.group_id(id).ip_permissions(permission.clone());
            match request.send().await.called("AuthorizeSecurityGroupIngress") {
                Err(error) if error.is(&["InvalidPermission.Duplicate"]) => Ok(()),
                result => result.map(|_| ()),
            }
        };
        until_known(&cx.cancel, call).await
    }
}

#[async_trait]
impl Step for OpenSecurityGroup {
    type Output = Vec<String>;

    fn name(&self) -> &'static str {
        "open a security group"
    }

    fn makes(&self) -> Vec<Arc<Thing>> {
        self.made.iter().cloned().collect()
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<Vec<String>> {
        let Some(name) = &self.name else {
            return or_cancelled(&cx.cancel, self.existing()).await?;
        };
        let needs_way_in = self.job.settings.communicator.kind() != Kind::None;
        let sources = match needs_way_in {
            true => or_cancelled(&cx.cancel, self.sources(cx)).await??,
            false => Vec::new(),
        };
        cx.ui.say(format!("Creating the temporary security group {name}"));
        let id = self.create(cx, name).await?;
        if needs_way_in {
            self.open(cx, &id, &sources).await?;
        }
        Ok(vec![id])
    }

    async fn undo(&self, cx: &BuildContext, _ending: Ending) -> anyhow::Result<()> {
        match &self.made {
            Some(made) => self.job.removal(cx).remove(made).await,
            None => Ok(()),
        }
    }
}
