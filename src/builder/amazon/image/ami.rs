//! The options of the image that is made.

use anyhow::Context as _;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::aws::tags::{ImageText, TagBlock, TagMap};
use crate::builder::amazon::build::check_tags;
use crate::component::Check;

/// What the image is called and tagged, what it replaces, and how long it is there.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AmiOptions {
    /// The AMI's name: 3 to 128 of `A-Z a-z 0-9 ( ) [ ] space . / - ' @ _`, unique among the
    /// account's AMIs in each region.
    pub ami_name: String,
    /// The AMI's description; may use `{{ .SourceAMI }}` and its like.
    pub ami_description: Option<ImageText>,
    /// `hvm` or `paravirtual`: what the source AMI must be.
    pub ami_virtualization_type: Option<VirtualizationType>,
    /// Product codes of the AMI.
    pub ami_product_codes: Vec<String>,
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
    /// Whether the account's AMIs of the same name give way to the new one, in each region. `-force`
    /// does the same. They stay until there is a new one under a temporary name; then they are
    /// deregistered, and it is made once more under its own, which takes less time. If that or
    /// anything after it fails, they are put back: as they were if they are in the Recycle Bin, else
    /// registered again from their snapshots, with a new id and shared with nobody (where AWS or a
    /// seller is paid for the system in it, only the Recycle Bin helps). A build does not begin if one
    /// of them is in use.
    pub force_deregister: bool,
    /// Whether `force_deregister` replaces AMIs that are in use, too: by running instances, or by
    /// launch templates in their latest or their default version. Launch configurations and what
    /// other accounts use are not looked at. Packer does not know this option, and does not look.
    pub force_deregister_in_use: bool,
    /// Whether `force_deregister` deletes their snapshots, too, when the build ends well.
    pub force_delete_snapshot: bool,
    /// When the AMI is deprecated: a time such as `2030-12-31T23:59:59Z`. It can still be used then,
    /// but is not found any more by whom it is shared with.
    pub deprecate_at: String,
    /// Whether the AMI can be deregistered.
    pub deregistration_protection: DeregistrationProtection,
}

/// Whether an AMI can be deregistered.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DeregistrationProtection {
    /// Whether somebody has to switch this off first.
    pub enabled: bool,
    /// The same; and the AMI is still protected for a day after that.
    pub with_cooldown: bool,
}

impl DeregistrationProtection {
    /// Whether it is wanted.
    pub fn is_on(&self) -> bool {
        self.enabled || self.with_cooldown
    }
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
    /// What the API calls so.
    pub fn of(word: &str) -> Self {
        if word == Self::Paravirtual.as_str() { Self::Paravirtual } else { Self::Hvm }
    }

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
        for (option, blocks) in [("tag", &self.tag), ("snapshot_tag", &self.snapshot_tag)] {
            check_tags(option, blocks, check);
        }
        self.check_end(check);
    }

    fn check_end(&self, check: &mut Check<'_>) {
        match self.deprecated_from() {
            Err(error) => {
                check.error("deprecate_at", format!("{error:#}"));
            }
            Ok(Some(at)) if at <= check.facts.scope.environment.started => {
                check.error("deprecate_at", "EC2 takes no time that is over");
            }
            Ok(_) => {}
        }
    }

    /// When the AMI is deprecated, if ever.
    pub fn deprecated_from(&self) -> anyhow::Result<Option<Timestamp>> {
        if self.deprecate_at.is_empty() {
            return Ok(None);
        }
        let at = self.deprecate_at.parse();
        at.map(Some).context("write a date, a time and a time zone: 2030-12-31T23:59:59Z")
    }
}

/// Reports what is wrong with the name of an AMI.
pub fn check_name(name: &str, check: &mut Check<'_>) {
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
