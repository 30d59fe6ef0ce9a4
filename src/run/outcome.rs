//! What is asked of a run, and how it ended.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::component::{Artifact, KeepFailed, OnError, SkipUnchanged};
use crate::env::Environment;
use crate::fault::Fault;
use crate::journal::Journal;
use crate::source::{Place, SourceMap};
use crate::stop::Cause;

/// How the builds of a plan are run.
#[derive(Clone, Debug)]
pub struct RunRequest {
    /// `-parallel-builds`: how many builds run at a time; `None` is all of them.
    pub parallel_builds: Option<usize>,
    /// `-debug`: one build at a time, with a pause before each provisioner.
    pub debug: bool,
    /// `-on-error`.
    pub on_error: OnError,
    /// `-skip-unchanged`.
    pub skip_unchanged: Option<SkipUnchanged>,
    /// `imgbake test`: this image is tested, and nothing is built.
    pub tested: Option<String>,
    /// `-sbom`: the directory for what is inside the images.
    pub sbom: Option<PathBuf>,
    /// `-keep-failed`.
    pub keep_failed: Option<KeepFailed>,
    /// The environment of the run; its id is what `build.PackerRunUUID` says.
    pub environment: Arc<Environment>,
    /// The texts that the plan was made from: what fails says where it was written.
    pub sources: Arc<SourceMap>,
    /// Where the builds write down what exists because of them; whoever holds a clone can say what
    /// is left, however the run ends.
    pub journal: Journal,
}

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    /// One for each build of the plan, in its order.
    pub builds: Vec<BuildOutcome>,
    /// How long all of it took.
    pub took: Duration,
    /// Why it was stopped before its end, if it was.
    pub stopped: Option<Cause>,
    /// What could not be removed, and why.
    pub left_behind: Vec<String>,
    /// What is kept for a later run to go on with, and until when.
    pub kept: Vec<String>,
    /// What nobody tried to remove, because `-on-error` said so.
    pub untouched: Vec<String>,
}

/// What went wrong, and where in the template it was asked for.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {what}")]
pub(crate) struct Located {
    /// The place.
    pub(super) place: Place,
    /// The sentence.
    pub(super) what: String,
    /// Whose fault it is.
    pub(super) fault: Fault,
}

/// Whose fault `error` is, as it says itself: that of a provisioner knows where it came up.
pub(super) fn fault_of(error: &anyhow::Error) -> Option<Fault> {
    match error.downcast_ref::<Located>() {
        Some(located) => Some(located.fault),
        None => Fault::of(error),
    }
}

/// How one build ended.
pub struct BuildOutcome {
    /// The build's name.
    pub name: String,
    /// How long it took, from the moment when it had its turn.
    pub took: Duration,
    /// What is left of it. A build that failed while post-processing may have artifacts, too.
    pub artifacts: Vec<Arc<dyn Artifact>>,
    /// Why it failed, if it did.
    pub error: Option<anyhow::Error>,
    /// Whose fault that is.
    pub fault: Option<Fault>,
}

impl std::fmt::Debug for BuildOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BuildOutcome").field("name", &self.name).finish_non_exhaustive()
    }
}
