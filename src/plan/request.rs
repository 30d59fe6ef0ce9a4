//! What is asked of a plan.

use std::sync::Arc;

use crate::env::Environment;
use crate::registry::Registry;

/// What the command line says about the plan.
#[derive(Clone, Debug)]
pub struct PlanRequest {
    /// `-only`: build names (JSON) or globs on them (HCL2); empty: all.
    pub only: Vec<String>,
    /// `-except`: as `only`; also takes out post-processors.
    pub except: Vec<String>,
    /// `-force`.
    pub force: bool,
    /// `-debug`.
    pub debug: bool,
    /// The environment and the clock.
    pub environment: Arc<Environment>,
    /// The components that the template can name.
    pub registry: Registry,
}
