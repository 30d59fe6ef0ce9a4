//! The options of the image that is made.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::aws::tags::{TagBlock, TagMap};
use crate::component::Check;
use crate::config::Late;

/// Options of the reference that are refused by name.
pub const NOT_BUILT: &[&str] = &[
    "deprecate_at",
    "deregistration_protection",
    "encrypt_boot",
    "imds_support",
    "kms_key_id",
    "region_kms_key_ids",
    "skip_save_build_region",
    "snapshot_copy_duration_minutes",
];

/// What the image is called, and who may use it where.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AmiOptions {
    /// The AMI's name: 3 to 128 of `A-Z a-z 0-9 ( ) [ ] space . / - ' @ _`, unique among the
    /// account's AMIs in each region.
    pub ami_name: String,
    /// The AMI's description; may use `{{ .SourceAMI }}` and its like.
    pub ami_description: Option<Late>,
    /// `hvm` or `paravirtual`: what the source AMI must be.
    pub ami_virtualization_type: Option<VirtualizationType>,
    /// Account ids that may launch the AMI.
    pub ami_users: Vec<String>,
    /// Groups that may launch the AMI: `all` makes it public.
    pub ami_groups: Vec<String>,
    /// ARNs of organizations that may launch the AMI.
    pub ami_org_arns: Vec<String>,
    /// ARNs of organizational units that may launch the AMI.
    pub ami_ou_arns: Vec<String>,
    /// Product codes of the AMI.
    pub ami_product_codes: Vec<String>,
    /// Regions that the AMI is copied to. The region of the build is none of them.
    pub ami_regions: Vec<String>,
    /// Whether regions are not looked up before the build.
    pub skip_region_validation: bool,
    /// Tags of the AMI and of its snapshots; keys and values may use `{{ .SourceAMI }}` and its
    /// like.
    pub tags: TagMap,
    /// The same as `tags`, a block for each.
    pub tag: Vec<TagBlock>,
    /// Tags of the snapshots alone; they win over `tags`.
    pub snapshot_tags: TagMap,
    /// The same as `snapshot_tags`, a block for each.
    pub snapshot_tag: Vec<TagBlock>,
    /// Account ids that may make volumes of the snapshots.
    pub snapshot_users: Vec<String>,
    /// Groups that may make volumes of the snapshots: `all` makes them public.
    pub snapshot_groups: Vec<String>,
    /// Whether instances of the AMI have enhanced networking (ENA); as in the source AMI if not
    /// given.
    pub ena_support: Option<bool>,
    /// Whether instances of the AMI have enhanced networking (Intel 82599 VF).
    pub sriov_support: bool,
    /// Whether the account's AMIs of the same name are deregistered first. `-force` does the same.
    pub force_deregister: bool,
    /// Whether `force_deregister` deletes their snapshots, too.
    pub force_delete_snapshot: bool,
}

/// How a machine is virtualized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum VirtualizationType {
    /// Hardware virtual machine.
    Hvm,
    /// Of old.
    Paravirtual,
}

impl VirtualizationType {
    /// As the API calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hvm => "hvm",
            Self::Paravirtual => "paravirtual",
        }
    }
}

impl AmiOptions {
    /// Reports what is wrong.
    pub fn check(&self, check: &mut Check<'_>) {
        check_name(&self.ami_name, check);
        let hvm_only = self.ena_support == Some(true) || self.sriov_support;
        if hvm_only && self.ami_virtualization_type == Some(VirtualizationType::Paravirtual) {
            check.error("ami_virtualization_type", "enhanced networking needs `hvm`");
        }
        for (option, blocks) in [("tag", &self.tag), ("snapshot_tag", &self.snapshot_tag)] {
            check_tags(option, blocks, check);
        }
    }

    /// The regions to copy to from `region`, each once.
    pub fn copies_from(&self, region: &str) -> Vec<String> {
        let mut regions: Vec<String> = Vec::new();
        for wanted in &self.ami_regions {
            if wanted != region && !regions.contains(wanted) {
                regions.push(wanted.clone());
            }
        }
        regions
    }
}

/// Reports tag blocks without a key.
pub fn check_tags(option: &str, blocks: &[TagBlock], check: &mut Check<'_>) {
    if blocks.iter().any(|block| block.key().is_none()) {
        check.missing(&format!("{option}.key"), "every tag has a key and a value");
    }
}

fn check_name(name: &str, check: &mut Check<'_>) {
    let length = name.chars().count();
    if name.is_empty() {
        check.missing("ami_name", "name the image, e.g. \"web-{{timestamp}}\"");
    } else if !(3..=128).contains(&length) {
        check.error("ami_name", format!("an AMI's name has 3 to 128 characters, not {length}"));
    } else if let Some(wrong) = name.chars().find(|&c| !is_allowed_in_names(c)) {
        let cause = format!("an AMI's name cannot have `{}`", wrong.escape_default());
        check.error("ami_name", cause).help = Some(
            "clean_resource_name replaces what a name cannot have: \
             \"{{ build_name | clean_resource_name }}\""
                .into(),
        );
    }
}

fn is_allowed_in_names(c: char) -> bool {
    c.is_ascii_alphanumeric() || "()[] ./-'@_".contains(c)
}
