//! The `null` builder: a machine that is already there; for trying provisioners.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use crate::builder::provision::provision;
use crate::communicator::{self, Chosen, Taken, Target};
use crate::component::{Artifact, BuildContext, Builder, Check, Component};
use crate::interpolate::BuildData;
use crate::step::Steps;

/// What artifacts of this builder are known by.
pub const BUILDER_ID: &str = "fnoeding.null";

/// Connects to the machine that the communicator's options name.
#[derive(Debug)]
pub struct Null {
    connector: Chosen,
}

impl Component for Null {
    const TYPE: &'static str = "null";
    const ABOUT: &'static str = "Connects to a machine that is there already, and makes no image.";
    type Options = (communicator::Options,);

    fn prepare((communicator,): Self::Options, check: &mut Check<'_>) -> Option<Self> {
        let connector = communicator.choose(&Taken::any(), check)?;
        connector.check_machine_is_known(check);
        Some(Self { connector })
    }
}

#[async_trait]
impl Builder for Null {
    async fn build(&self, cx: &BuildContext) -> anyhow::Result<Option<Arc<dyn Artifact>>> {
        // The template says where it is.
        let target = Target::at("");
        let data = BuildData::from([("ID".to_owned(), "Null".into())]);
        let steps = Steps::new(cx);
        steps.finish(provision(&steps, &self.connector, target, data)).await?;
        Ok(Some(Arc::new(Nothing)))
    }

    fn makes(&self) -> Option<&'static str> {
        Some(BUILDER_ID)
    }
}

/// The artifact: what was done is on the machine.
struct Nothing;

#[async_trait]
impl Artifact for Nothing {
    fn builder_id(&self) -> &str {
        BUILDER_ID
    }

    fn id(&self) -> String {
        "Null".to_owned()
    }

    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    fn describe(&self) -> String {
        "Did not export anything. This is the null builder".to_owned()
    }

    async fn destroy(&self) -> anyhow::Result<()> {
        Ok(())
    }
}
