//! What is inside a machine: its packages, how they differ from those before, and both as documents
//! that other programs read.
//!
//! | file | what is there |
//! |---|---|
//! | `inventory` | what a machine has: its system, its packages |
//! | `ask` | a machine is asked, with one command |
//! | `listing` | its answer → [`Inventory`] |
//! | `cyclonedx`, `spdx` | [`Inventory`] → documents |
//! | `document` | documents that other programs have written |
//! | `purl`, `licence` | how both call a package and its licences |
//! | `difference` | two inventories → what has changed |

mod ask;
pub mod cyclonedx;
mod difference;
mod document;
mod inventory;
mod licence;
mod listing;
mod purl;
pub mod spdx;
#[cfg(test)]
mod tests;

pub use ask::of_machine;
pub use difference::difference;
pub use document::{Format, Sbom};
pub use inventory::{Ecosystem, Inventory, Package, Subject, System};
