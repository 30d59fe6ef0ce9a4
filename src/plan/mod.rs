//! Values → [`Plan`]: everything that will run, decoded and checked, frozen before the first
//! machine starts.
//!
//! | file | what is there |
//! |---|---|
//! | `request`, `planned` | what is asked of a plan, and what it consists of |
//! | `requirements`, `structure` | whether the template suits this program, and its parts each other |
//! | `data` | how data sources are answered, before there is a plan |
//! | `make` | template and values → plan; `side_by_side` for many at a time |
//! | `candidate`, `select` | builds × sources with their names, and which of them run |
//! | `blocks`, `meta` | provisioner and post-processor blocks, and what they say beside options |
//! | `recipe` | what a component is made from, now and again when the machine is known |
//! | `fingerprint` | what each build is made from |
//! | `hcp` | the block `hcp_packer_registry` |

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
