//! What a plan consists of.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::select::Unmatched;
use crate::component::{Builder, Facts, PostProcessor, Provisioner};
use crate::config::Node;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::fingerprint::Fingerprint;
use crate::interpolate::BuildData;
use crate::permission::Permission;
use crate::source::Span;

/// All builds of a run.
#[derive(Debug, Default)]
pub struct Plan {
    /// In the order of the template.
    pub builds: Vec<PlannedBuild>,
    /// What of `-only` and `-except` selects nothing.
    pub unmatched: Unmatched,
    /// What the lints of its components have found.
    pub lints: Vec<Diagnostic>,
    /// What the AWS accounts of its data sources must allow, where they were not asked.
    pub to_look_up: Vec<Permission>,
}

/// One source of one build, and what happens with it.
pub struct PlannedBuild {
    /// The name that messages show: `web.amazon-ebs.ubuntu`.
    pub name: String,
    /// What its components know of it.
    pub facts: Arc<Facts>,
    /// Where its source was written: the type in the header.
    pub span: Span,
    /// The builder's options before they were checked, for lints and fingerprints.
    pub options: Node,
    /// What makes the image.
    pub builder: Arc<dyn Builder>,
    /// In order.
    pub provisioners: Vec<PlannedProvisioner>,
    /// Runs when provisioning failed.
    pub error_cleanup: Option<PlannedProvisioner>,
    /// Each inner list is a chain that starts from the builder's artifact.
    pub post_processors: Vec<Vec<PlannedPostProcessor>>,
    /// What it is made from, where anybody needs to know.
    pub fingerprint: Fingerprint,
}

impl PlannedBuild {
    /// Whether its image is tested.
    pub fn has_tests(&self) -> bool {
        self.post_processors.iter().flatten().any(|one| one.first.image_test().is_some())
    }
}

impl fmt::Debug for PlannedBuild {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlannedBuild").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A component that can be made again once the machine's own facts are known.
///
/// The plan has made it once with those facts unknown, so that mistakes show early; `run/` makes
/// the one that works.
pub type Recipe<T> =
    Arc<dyn Fn(&BuildData) -> Result<(Box<T>, Diagnostics), Diagnostics> + Send + Sync>;

/// A provisioner and how it is run.
pub struct PlannedProvisioner {
    /// Its type, e.g. `shell`.
    pub kind: String,
    /// Its `name`, if it has one.
    pub name: Option<String>,
    /// Where it was written.
    pub span: Span,
    /// Its options before they were checked, for lints and fingerprints.
    pub options: Node,
    /// See [`Provisioner::reads`].
    pub reads: Option<Vec<PathBuf>>,
    /// Where it is written that it waits for a fixed time before it does anything else, if it does.
    pub waits_first: Option<Span>,
    /// The plugin that it is of, and its version.
    pub plugin: Option<(String, String)>,
    /// Makes it.
    pub recipe: Recipe<dyn Provisioner>,
    /// `pause_before`.
    pub pause_before: Duration,
    /// `timeout`; ignored where `pause_before` is set, as templates expect.
    pub timeout: Option<Duration>,
    /// `max_retries`.
    pub max_retries: u32,
    /// `continue_on_error`.
    pub continue_on_error: bool,
}

/// A post-processor and what becomes of its input.
pub struct PlannedPostProcessor {
    /// Its type, e.g. `manifest`.
    pub kind: String,
    /// Its `name`, if it has one.
    pub name: Option<String>,
    /// Where it was written.
    pub span: Span,
    /// Its options before they were checked, for fingerprints.
    pub options: Node,
    /// As it was made with the machine's facts unknown.
    pub first: Box<dyn PostProcessor>,
    /// Makes it.
    pub recipe: Recipe<dyn PostProcessor>,
    /// `keep_input_artifact`, if given.
    pub keep_input_artifact: Option<bool>,
    /// Why it can make nothing of what comes before it, where that is known: then nothing is built.
    pub misfit: Option<String>,
}
