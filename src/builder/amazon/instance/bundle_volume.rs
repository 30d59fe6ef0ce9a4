//! The machine bundles its root volume.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use async_trait::async_trait;

use crate::builder::amazon::instance::certificate::Certificate;
use crate::builder::amazon::instance::on_machine::run;
use crate::builder::amazon::instance::options::VolumeFields;
use crate::component::{BuildContext, Communicator};
use crate::config::Late;
use crate::event::Phase;
use crate::interpolate::Dot;
use crate::step::Step;

/// Has the machine bundle its root volume. The certificate's key is of no use there after that, and is
/// taken off it.
pub(super) struct BundleVolume {
    pub connection: Arc<dyn Communicator>,
    pub certificate: Certificate,
    pub command: Late<VolumeFields>,
    pub dot: Dot,
}

#[async_trait]
impl Step for BundleVolume {
    type Output = ();

    fn name(&self) -> &'static str {
        "bundle the volume"
    }

    fn phase(&self) -> Phase {
        Phase::Image
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<()> {
        cx.ui.say("Bundling the volume...");
        let command = self.command.render(&cx.facts.scope, &self.dot);
        let command = command.context("cannot render `bundle_vol_command`")?;
        let status =
            run(cx, &*self.connection, &command).await.context("cannot bundle the volume")?;
        ensure!(
            status == 0,
            "bundling the volume exited with status {status}: see its output above; a common cause is \
             that the machine has no ec2-bundle-vol"
        );
        self.certificate.remove(cx, &*self.connection).await
    }
}
