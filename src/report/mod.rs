//! Events and diagnostics → people and machines.
