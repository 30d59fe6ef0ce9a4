//! The snapshots are handed over. The volumes follow when their machine is terminated.

use anyhow::Context as _;
use async_trait::async_trait;

use crate::aws::allow::Regions;
use crate::aws::build_tags::hand_over;
use crate::builder::amazon::build::Build;
use crate::builder::amazon::volumes::options::VolumesOptions;
use crate::component::BuildContext;
use crate::event::Phase;
use crate::permission::Permission;
use crate::step::Step;

/// Takes off the tags that say that the snapshots are not finished. The journal says first that they
/// are: whoever is killed in between leaves snapshots that are found again, and kept.
pub(crate) struct HandOverVolumes {
    build: Build,
    snapshots: Vec<String>,
}

impl HandOverVolumes {
    pub(crate) fn new(build: &Build, snapshots: &[String]) -> Self {
        Self { build: build.clone(), snapshots: snapshots.to_vec() }
    }

    /// What the account must allow for it.
    pub(crate) fn permissions(options: &VolumesOptions, at: &Regions) -> Vec<Permission> {
        let untag = || at.on(&["snapshot"], &["DeleteTags"]);
        options.with_snapshots().next().map(|_| untag()).into_iter().collect()
    }
}

#[async_trait]
impl Step for HandOverVolumes {
    type Output = ();

    fn name(&self) -> &'static str {
        "hand the volumes over"
    }

    fn phase(&self) -> Phase {
        Phase::Image
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<()> {
        let written = cx.journal.finished(&cx.facts.unique_name).await;
        written.context("the journal cannot say that the snapshots are finished")?;
        if self.snapshots.is_empty() {
            return Ok(());
        }
        let handed_over = hand_over(&self.build.ec2(cx), &self.snapshots).await;
        handed_over.context("cannot take our own tags off the snapshots")
    }
}
