//! Values → [`Plan`]: everything that will run, decoded and checked, frozen before the first
//! machine starts.

mod blocks;
mod candidate;
mod data;
mod fingerprint;
mod hcp;
mod make;
mod meta;
mod planned;
mod recipe;
mod request;
mod requirements;
mod select;
mod side_by_side;
mod structure;
#[cfg(test)]
mod tests;

pub use self::data::{RegisteredDataSources, data_needed};
pub use self::hcp::refuse_publishing;
pub use self::make::make;
pub use self::meta::meta_arguments;
pub use self::planned::{Plan, PlannedBuild, PlannedPostProcessor, PlannedProvisioner, Recipe};
pub use self::request::PlanRequest;
pub use self::requirements::{requirements, versions};
pub use self::select::Unmatched;
pub use self::structure::check_legacy_structure;
