//! The options of who may launch the image, and how.

use schemars::JsonSchema;
use serde::Deserialize;

/// Who may launch the image, and what its instances ask for.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SharingOptions {
    /// Account ids that may launch the AMI.
    pub ami_users: Vec<String>,
    /// Groups that may launch the AMI: `all` makes it public.
    pub ami_groups: Vec<String>,
    /// ARNs of organizations that may launch the AMI.
    pub ami_org_arns: Vec<String>,
    /// ARNs of organizational units that may launch the AMI.
    pub ami_ou_arns: Vec<String>,
    /// `v2.0`: instances of the AMI ask for IMDSv2 unless they are started otherwise.
    pub imds_support: Option<ImdsSupport>,
}

/// Which metadata service instances of an AMI have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum ImdsSupport {
    /// Only IMDSv2.
    #[serde(rename = "v2.0")]
    V2,
}

impl SharingOptions {
    /// Whether everybody may launch the AMI.
    pub fn is_public(&self) -> bool {
        self.ami_groups.iter().any(|group| group == "all")
    }

    /// The option that shares the AMI or its snapshots, which `snapshot_users` may use, with others, if one
    /// does.
    pub fn shared_by(&self, snapshot_users: &[String]) -> Option<&'static str> {
        let shared = [
            ("ami_users", self.ami_users.as_slice()),
            ("ami_org_arns", self.ami_org_arns.as_slice()),
            ("ami_ou_arns", self.ami_ou_arns.as_slice()),
            ("snapshot_users", snapshot_users),
        ];
        shared.iter().find(|(_, names)| !names.is_empty()).map(|(option, _)| *option)
    }
}
