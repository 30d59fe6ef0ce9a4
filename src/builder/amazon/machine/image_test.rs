//! A machine that is started from a finished AMI, so that the AMI is tested before anybody else sees it.

use std::sync::Arc;

use crate::builder::amazon::build::Build;
use crate::builder::amazon::machine::find_network::FindNetwork;
use crate::builder::amazon::machine::lifecycle::{start, test_image};
use crate::builder::amazon::machine::settings::{Machine, MachineSettings, find_source};
use crate::builder::amazon::machine::why_ended::with_cause;
use crate::builder::amazon::source_ami::SourceOptions;
use crate::component::BuildContext;
use crate::step::Steps;

/// Starts an instance from the AMI `image`, as `machine` was started from another, has it tested, and
/// removes all that it took.
pub(crate) async fn test(
    cx: &BuildContext,
    steps: &Steps<'_>,
    machine: &Machine,
    image: &str,
) -> anyhow::Result<()> {
    let machine = &machine.of(image);
    let steps = steps.within();
    let work = async {
        cx.ui.say(format!("Testing {image}: an instance is started from it"));
        let source = steps.run(find_source(machine)).await?;
        let network = steps.run(FindNetwork::new(machine)).await?;
        let started = start(&steps, machine, &source, &network).await?;
        let tested = test_image(cx, &steps, machine, &source, &started);
        with_cause(cx, machine, &started.instance, tested).await?;
        cx.ui.say(format!("{image} has passed"));
        Ok(())
    };
    steps.finish(work).await
}

impl Machine {
    /// Another machine like it, of the AMI `image`: with the disks that the AMI has.
    fn of(&self, image: &str) -> Self {
        let source = SourceOptions { source_ami: image.to_owned(), source_ami_filter: None };
        let settings = MachineSettings {
            source,
            devices: Vec::new(),
            later: None,
            ..MachineSettings::clone(&self.settings)
        };
        let Build { account, options, .. } = &self.build;
        let build = Build::new(account.clone(), options.clone());
        Self { build, settings: Arc::new(settings) }
    }
}
