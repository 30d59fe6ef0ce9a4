//! Events and diagnostics → people and machines.

pub mod diagnostics;
