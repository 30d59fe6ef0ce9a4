//! `chef-solo`, `chef-client`: Chef Infra, run on the machine.
//!
//! | file | what is there |
//! |---|---|
//! | `infra` | what both share: installing Chef, attributes, and how Chef is run |
//! | `ruby` | Chef's configuration, written in Ruby |
//! | `solo` | cookbooks that are uploaded |
//! | `client` | cookbooks that a Chef server has |

pub mod client;
mod infra;
mod ruby;
pub mod solo;

pub use self::infra::{ChefOptions, ExecuteFields, InstallFields, JsonFields};
