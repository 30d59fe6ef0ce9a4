//! The options of the machine.

use std::path::PathBuf;

use aws_sdk_ec2::types::{
    HttpTokensState, InstanceMetadataEndpointState, InstanceMetadataOptionsRequest,
    InstanceMetadataTagsState,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use schemars::JsonSchema;
use serde::Deserialize;
use smart_default::SmartDefault;

use crate::aws::address::is_ipv6_cidr;
use crate::aws::search::Filters;
use crate::component::Check;
use crate::config::GoDuration;
use crate::diagnostic::code;
use crate::peer;

/// EC2 takes 16 KB; it says so itself of what is a little more.
pub(super) const LARGEST_USER_DATA: u64 = 1 << 20;

/// The machine: what it starts from, where it runs, how it is reached.
#[derive(Clone, Debug, SmartDefault, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("x-renamed" = {
    "shutdown_behaviour": "shutdown_behavior",
    "ssh_private_ip": "ssh_interface",
    "temporary_security_group_source_cidr": "temporary_security_group_source_cidrs",
}))]
pub struct RunOptions {
    /// The instance type, e.g. `t3.micro`. For a spot instance, `spot_instance_types` may be given
    /// instead.
    pub instance_type: String,
    /// Instance types to try one after the other where EC2 has no capacity for the machine that is
    /// asked for, not in any zone that the template allows either. Packer does not know this
    /// option.
    pub fallback_instance_types: Vec<String>,
    /// The availability zone; chosen by AWS if not given. Where EC2 has no capacity in the zone that
    /// AWS chose, or in that of the subnet that `subnet_filter` chose of several, the others are
    /// tried.
    pub availability_zone: String,
    /// The VPC, to find a subnet and to put the temporary security group in.
    pub vpc_id: String,
    /// How to find the VPC.
    pub vpc_filter: Option<NetworkFilter>,
    /// The subnet.
    pub subnet_id: String,
    /// How to find the subnet.
    pub subnet_filter: Option<SubnetFilter>,
    /// Whether the machine gets a public IPv4 address; as the subnet says if not given.
    pub associate_public_ip_address: Option<bool>,
    /// A security group that exists, instead of a temporary one.
    pub security_group_id: String,
    /// Security groups that exist, instead of a temporary one.
    pub security_group_ids: Vec<String>,
    /// How to find security groups, instead of a temporary one.
    pub security_group_filter: Option<NetworkFilter>,
    /// Who may connect through the temporary security group: CIDR blocks. Only this machine's own
    /// address if not given.
    pub temporary_security_group_source_cidrs: Vec<String>,
    /// Only this machine's own address may connect through the temporary security group, whatever
    /// is said here. To open it to more, give `temporary_security_group_source_cidrs`.
    #[default(true)]
    pub temporary_security_group_source_public_ip: bool,
    /// Whether the machine is optimized for EBS.
    pub ebs_optimized: bool,
    /// What a shutdown from within does: `stop` or `terminate`.
    #[default(ShutdownBehavior::Stop)]
    pub shutdown_behavior: ShutdownBehavior,
    /// Whether the machine is not stopped before its image or its snapshots are made: the
    /// provisioners do it.
    pub disable_stop_instance: bool,
    /// User data, as text or in base64.
    pub user_data: String,
    /// A file of user data.
    pub user_data_file: Option<PathBuf>,
    /// The machine's metadata service.
    pub metadata_options: MetadataOptions,
    /// Which of the machine's addresses to connect to: `public_ip`, `private_ip`, `public_dns`,
    /// `private_dns` or `ipv6`; or `session_manager`: to none, but through AWS Systems Manager. If
    /// not given, its public address in a VPC, else its private one.
    pub ssh_interface: Option<Interface>,
    /// How long to wait for the password that a machine with Windows makes for itself, where the
    /// communicator `winrm` has no `winrm_password`.
    #[default(GoDuration::from_secs(20 * 60))]
    pub windows_password_timeout: GoDuration,
    /// How long to wait before connecting through Systems Manager.
    pub pause_before_ssm: GoDuration,
    /// A port of this host that leads to the machine's SSH server, or its WinRM service, while it is reached through
    /// Systems Manager, for other programs. The build itself needs none.
    pub session_manager_port: Option<u16>,
}

/// How to find a VPC or security groups.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NetworkFilter {
    /// Filters of `DescribeVpcs` or `DescribeSecurityGroups`.
    pub filters: Filters,
}

/// How to find a subnet.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SubnetFilter {
    /// Filters of `DescribeSubnets`.
    pub filters: Filters,
    /// Whether to take the subnet with the most free addresses of several.
    pub most_free: bool,
    /// Whether to take any of several.
    pub random: bool,
}

/// What a shutdown from within does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ShutdownBehavior {
    /// The machine stops.
    Stop,
    /// The machine is terminated.
    Terminate,
}

/// One of a machine's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Interface {
    /// The public IPv4 address.
    PublicIp,
    /// The private IPv4 address.
    PrivateIp,
    /// The public name.
    PublicDns,
    /// The private name.
    PrivateDns,
    /// The IPv6 address.
    Ipv6,
    /// None: through AWS Systems Manager.
    SessionManager,
}

/// The metadata service inside the machine.
#[derive(Clone, Debug, SmartDefault, Deserialize, JsonSchema)]
#[serde(default)]
pub struct MetadataOptions {
    /// `enabled` or `disabled`.
    #[default(Switch::Enabled)]
    pub http_endpoint: Switch,
    /// `required`: only with a session token (IMDSv2), the default here; `optional`: also without.
    #[default(Tokens::Required)]
    pub http_tokens: Tokens,
    /// How many hops its answers may go: 1 to 64.
    #[default(1)]
    pub http_put_response_hop_limit: i32,
    /// Whether it tells the instance's tags: `enabled` or `disabled`.
    #[default(Switch::Disabled)]
    pub instance_metadata_tags: Switch,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Switch {
    /// On.
    Enabled,
    /// Off.
    Disabled,
}

/// Whether IMDSv2 is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tokens {
    /// Only IMDSv2.
    Required,
    /// IMDSv1 as well.
    Optional,
}

impl MetadataOptions {
    /// As the API wants it.
    pub fn request(&self) -> InstanceMetadataOptionsRequest {
        let request = InstanceMetadataOptionsRequest::builder();
        if self.http_endpoint == Switch::Disabled {
            // The API takes nothing else about a service that is off.
            return request.http_endpoint(InstanceMetadataEndpointState::Disabled).build();
        }
        let tokens = match self.http_tokens {
            Tokens::Required => HttpTokensState::Required,
            Tokens::Optional => HttpTokensState::Optional,
        };
        let tags = match self.instance_metadata_tags {
            Switch::Enabled => InstanceMetadataTagsState::Enabled,
            Switch::Disabled => InstanceMetadataTagsState::Disabled,
        };
        request
            .http_endpoint(InstanceMetadataEndpointState::Enabled)
            .http_tokens(tokens)
            .http_put_response_hop_limit(self.http_put_response_hop_limit)
            .instance_metadata_tags(tags)
            .build()
    }
}

impl RunOptions {
    /// Reports what is wrong.
    pub fn check(&self, check: &mut Check<'_>) {
        self.check_network(check);
        if !self.user_data.is_empty() && self.user_data_file.is_some() {
            check.error("user_data_file", "give either `user_data` or `user_data_file`");
        }
        if let Some(file) = &self.user_data_file {
            check.must_be_file("user_data_file", file);
        }
        if !(1..=64).contains(&self.metadata_options.http_put_response_hop_limit) {
            check.error("metadata_options.http_put_response_hop_limit", "1 to 64 hops");
        }
    }

    fn check_network(&self, check: &mut Check<'_>) {
        if !self.security_group_id.is_empty() && !self.security_group_ids.is_empty() {
            let cause = "give either `security_group_id` or `security_group_ids`";
            check.error("security_group_ids", cause);
        }
        for block in &self.temporary_security_group_source_cidrs {
            if let Err(cause) = is_ipv6_cidr(block) {
                check.error("temporary_security_group_source_cidrs", cause);
            }
        }
        if !self.temporary_security_group_source_public_ip
            && self.temporary_security_group_source_cidrs.is_empty()
        {
            let option = "temporary_security_group_source_public_ip";
            let text = "only this machine's own address may connect, for all that";
            let warning = check.warn(code::OPTION_VALUE, option, text);
            warning.cause = Some("Packer opens the group to everybody here".to_owned());
            let help = "say who else may connect in `temporary_security_group_source_cidrs`";
            warning.help = Some(help.to_owned());
        }
    }

    /// Whether the machine is reached through AWS Systems Manager: then nobody connects to it.
    pub fn is_behind_session_manager(&self) -> bool {
        self.ssh_interface == Some(Interface::SessionManager)
    }

    /// The security groups that exist and are given by id.
    pub fn given_groups(&self) -> Vec<String> {
        let one = (!self.security_group_id.is_empty()).then(|| self.security_group_id.clone());
        self.security_group_ids.iter().cloned().chain(one).collect()
    }

    /// Whether the build makes a security group of its own.
    pub fn needs_temporary_group(&self) -> bool {
        self.given_groups().is_empty() && self.security_group_filter.is_none()
    }

    /// The user data in base64; text that is base64 already stays as it is.
    pub async fn encoded_user_data(&self) -> anyhow::Result<Option<String>> {
        let data = match &self.user_data_file {
            Some(file) => {
                use anyhow::Context as _;
                let read = peer::read_regular(file, LARGEST_USER_DATA);
                read.with_context(|| format!("cannot read the user data file {}", file.display()))?
            }
            None => self.user_data.clone().into_bytes(),
        };
        if data.is_empty() {
            return Ok(None);
        }
        Ok(Some(match String::from_utf8(data) {
            Ok(text) if BASE64.decode(&text).is_ok() => text,
            Ok(text) => BASE64.encode(text),
            Err(bytes) => BASE64.encode(bytes.into_bytes()),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn user_data_is_encoded_once() {
        let encoded = async |text: &str| {
            let options = RunOptions { user_data: text.into(), ..RunOptions::default() };
            options.encoded_user_data().await.unwrap()
        };
        assert_eq!(encoded("").await, None);
        assert_eq!(encoded("#!/bin/sh\n").await.as_deref(), Some("IyEvYmluL3NoCg=="));
        assert_eq!(encoded("IyEvYmluL3NoCg==").await.as_deref(), Some("IyEvYmluL3NoCg=="));
    }
}
