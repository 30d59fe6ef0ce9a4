//! The cases in which imgbake differs, by reason. A case that matches must be taken out.

/// Reason and cases.
pub const DIFFERENCES: &[(&str, &[&str])] = &[];
