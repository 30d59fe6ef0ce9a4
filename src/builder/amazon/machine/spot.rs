//! The options of a machine that runs on spare capacity: a spot instance.

use aws_sdk_ec2::types::SpotAllocationStrategy as ApiStrategy;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::aws::tags::{TagBlock, TagMap};
use crate::builder::amazon::build::check_tags;
use crate::builder::amazon::machine::hardware::HardwareOptions;
use crate::component::Check;
use crate::diagnostic::code;

/// Spot instances: cheaper, but EC2 may take them away.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("x-renamed" = { "spot_price_auto_product": null }))]
pub struct SpotOptions {
    /// The highest price for an hour of a spot instance, in dollars, e.g. `0.05`; `auto` goes up to
    /// the price of other instances. `0`, or nothing: the machine is no spot instance.
    pub spot_price: String,
    /// The types that a spot instance may have, instead of one `instance_type`.
    pub spot_instance_types: Vec<String>,
    /// Which of the types is chosen where several are to be had: `lowest-price` if not given.
    pub spot_allocation_strategy: Option<AllocationStrategy>,
    /// Tags of the spot request and of the launch template that the build makes for it.
    pub spot_tags: TagMap,
    /// The same as `spot_tags`, a block for each.
    pub spot_tag: Vec<TagBlock>,
    /// Tags of the fleet that starts the machine.
    pub fleet_tags: TagMap,
    /// The same as `fleet_tags`, a block for each.
    pub fleet_tag: Vec<TagBlock>,
    /// Whether the machine may be no spot instance where EC2 has no spot capacity for it. Not if not
    /// given: it costs more, be it only for the time of a build. Packer does not know this option.
    pub spot_fallback_to_on_demand: bool,
    /// For older templates: a multiple of 60. EC2 does not sell spot instances for a fixed time any
    /// more.
    pub block_duration_minutes: u32,
    /// For older templates: the product whose prices `auto` looked at. EC2 knows it by itself.
    pub spot_price_auto_product: String,
}

/// Which type of spot instance is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AllocationStrategy {
    /// The cheapest.
    LowestPrice,
    /// Each in its turn.
    Diversified,
    /// The one that is least likely to be taken away.
    CapacityOptimized,
    /// The same, but the first ones rather than the last.
    CapacityOptimizedPrioritized,
    /// The cheapest of those that are unlikely to be taken away.
    PriceCapacityOptimized,
}

impl AllocationStrategy {
    /// As the API calls it.
    pub fn of_api(self) -> ApiStrategy {
        match self {
            Self::LowestPrice => ApiStrategy::LowestPrice,
            Self::Diversified => ApiStrategy::Diversified,
            Self::CapacityOptimized => ApiStrategy::CapacityOptimized,
            Self::CapacityOptimizedPrioritized => ApiStrategy::CapacityOptimizedPrioritized,
            Self::PriceCapacityOptimized => ApiStrategy::PriceCapacityOptimized,
        }
    }
}

impl SpotOptions {
    /// Whether the machine is a spot instance.
    pub fn is_wanted(&self) -> bool {
        !matches!(self.spot_price.as_str(), "" | "0")
    }

    /// The price that is not to be exceeded, if the template says one.
    pub fn highest_price(&self) -> Option<&str> {
        Some(self.spot_price.as_str()).filter(|&price| self.is_wanted() && price != "auto")
    }

    /// The types that the machine may have.
    pub fn types<'a>(&'a self, instance_type: &'a str) -> Vec<&'a str> {
        match instance_type {
            "" => self.spot_instance_types.iter().map(String::as_str).collect(),
            one => vec![one],
        }
    }

    /// Reports what is wrong, also with what spot instances cannot have: `types` are all that the
    /// machine may be of.
    pub fn check(&self, types: &[&str], hardware: &HardwareOptions, check: &mut Check<'_>) {
        if let Some(price) = self.highest_price()
            && !price.parse().is_ok_and(|price: f64| price > 0.0)
        {
            check.error("spot_price", "a price in dollars such as `0.05`, or `auto`");
        }
        if !self.block_duration_minutes.is_multiple_of(60) {
            check.error("block_duration_minutes", "a multiple of 60");
        }
        for (option, given) in [
            ("block_duration_minutes", self.block_duration_minutes > 0),
            ("spot_price_auto_product", !self.spot_price_auto_product.is_empty()),
        ] {
            if given {
                let text = format!("`{option}` does nothing: EC2 has no use for it any more");
                check.warn(code::DEPRECATED_OPTION, option, text);
            }
        }
        check_tags("spot_tag", &self.spot_tag, check);
        check_tags("fleet_tag", &self.fleet_tag, check);
        match self.is_wanted() {
            true => check_limits(types, hardware, check),
            false => self.check_unwanted(check),
        }
    }

    /// Reports what is wrong with the machine's type.
    pub fn check_types(&self, instance_type: &str, check: &mut Check<'_>) {
        match (instance_type.is_empty(), self.spot_instance_types.is_empty()) {
            (true, true) => {
                check.missing("instance_type", "say which machine to use, e.g. \"t3.micro\"")
            }
            (false, false) => {
                check.error("spot_instance_types", "`instance_type` is given too, and one must go");
            }
            (true, false) if !self.is_wanted() => check.missing(
                "spot_price",
                "`spot_instance_types` is for spot instances: \"auto\" will do",
            ),
            _ => {}
        }
    }

    fn check_unwanted(&self, check: &mut Check<'_>) {
        for (option, given) in [
            ("spot_tags", !self.spot_tags.is_empty()),
            ("spot_tag", !self.spot_tag.is_empty()),
            ("fleet_tags", !self.fleet_tags.is_empty()),
            ("fleet_tag", !self.fleet_tag.is_empty()),
            ("spot_fallback_to_on_demand", self.spot_fallback_to_on_demand),
        ] {
            if given {
                check.error(option, "it is for spot instances: give a `spot_price`");
            }
        }
    }
}

/// What spot instances cannot have.
fn check_limits(types: &[&str], hardware: &HardwareOptions, check: &mut Check<'_>) {
    if hardware.is_unlimited() && types.iter().any(|kind| kind.starts_with("t2.")) {
        check.error("enable_unlimited_credits", "a spot instance of a t2 type cannot have them");
    }
    for (option, given) in hardware.not_for_spot() {
        if given {
            check.error(option, "a spot instance cannot have this (see `spot_price`)");
        }
    }
}
