//! The place of the bundle in S3 is free.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use async_trait::async_trait;

use crate::aws::resource::Resource as _;
use crate::aws::resource::s3_bundle::S3Bundle;
use crate::builder::amazon::image::Imaging;
use crate::component::BuildContext;
use crate::journal::Thing;
use crate::step::{Ending, Step};

/// Refuses a bundle in whose place there is one already: an AMI may start from it. It begins before there
/// is a machine, so that it is undone after that, which may be uploading still, is gone.
pub(super) struct ReserveBundle {
    imaging: Imaging,
    bundle: S3Bundle,
    made: Arc<Thing>,
}

impl ReserveBundle {
    pub(super) fn new(imaging: &Imaging, bundle: &S3Bundle) -> Self {
        let account = &imaging.build.account;
        let made = Arc::new(bundle.thing(account, account.region()));
        Self { imaging: imaging.clone(), bundle: bundle.clone(), made }
    }
}

#[async_trait]
impl Step for ReserveBundle {
    /// Its line in the journal.
    type Output = Arc<Thing>;

    fn name(&self) -> &'static str {
        "find a place for the bundle"
    }

    fn makes(&self) -> Vec<Arc<Thing>> {
        vec![self.made.clone()]
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<Arc<Thing>> {
        if self.bundle.is_named_by_us() {
            return Ok(self.made.clone());
        }
        let name = self.bundle.name();
        let there = self.bundle.is_there(&self.imaging.build.account.s3(&cx.cancel)).await;
        let is_there = there.with_context(|| format!("cannot see whether {name} is there"))?;
        match is_there {
            true if self.imaging.settings.force => {
                cx.ui.say(format!("{name} is there, and is written over"));
            }
            true => bail!(
                "{name} is there already, and an AMI may start from it: choose another \
                 `bundle_prefix`, or set `force_deregister`"
            ),
            false => {}
        }
        Ok(self.made.clone())
    }

    async fn undo(&self, cx: &BuildContext, ending: Ending) -> anyhow::Result<()> {
        self.imaging.undo(cx, &self.made, ending).await
    }
}
