//! The options of enhanced networking, which an image takes over from its machine.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::builder::amazon::machine::spot::SpotOptions;
use crate::component::Check;

/// Enhanced networking.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("x-renamed" = { "enhanced_networking": "ena_support" }))]
pub struct EnhancedNetworking {
    /// Whether the machine, and instances of an AMI that is made of it, have enhanced networking
    /// (ENA); as in the source AMI if not given.
    pub ena_support: Option<bool>,
    /// Whether the machine, and instances of an AMI that is made of it, have enhanced networking
    /// (Intel 82599 VF).
    pub sriov_support: bool,
}

impl EnhancedNetworking {
    /// Whether only a machine with hardware virtualization has it.
    pub fn needs_hvm(&self) -> bool {
        self.ena_support == Some(true) || self.sriov_support
    }

    /// Whether it differs from that of the source AMI.
    pub fn is_set(&self) -> bool {
        self.ena_support.is_some() || self.sriov_support
    }

    /// Reports that it cannot be set on a spot instance.
    pub fn check_spot(&self, spot: &SpotOptions, check: &mut Check<'_>) {
        let cause = "enhanced networking is set on a stopped machine, and spot instances are not \
                     stopped: start from an AMI that has it";
        let set =
            [("ena_support", self.ena_support.is_some()), ("sriov_support", self.sriov_support)];
        for (option, _) in set.iter().filter(|(_, is_set)| *is_set && spot.is_wanted()) {
            check.error(option, cause);
        }
    }
}
