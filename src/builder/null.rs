//! The `null` builder: a machine that is already there; for trying provisioners.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use crate::builder::provision::provision;
use crate::communicator::{self, HostKey, Kind, Target};
use crate::component::{Artifact, BuildContext, Builder, Check, Component};
use crate::interpolate::BuildData;
use crate::step::Steps;

/// What artifacts of this builder are known by.
pub const BUILDER_ID: &str = "fnoeding.null";

/// Connects to the machine that the communicator's options name.
#[derive(Debug)]
pub struct Null {
    communicator: communicator::Options,
}

impl Component for Null {
    const TYPE: &'static str = "null";
    const ABOUT: &'static str = "Connects to a machine that is there already, and makes no image.";
    const NOT_BUILT: &'static [&'static str] = communicator::NOT_BUILT;
    type Options = (communicator::Options,);

    fn prepare((communicator,): Self::Options, check: &mut Check<'_>) -> Option<Self> {
        communicator.check(check);
        if communicator.kind() == Kind::Ssh {
            check_login(&communicator, check);
        }
        Some(Self { communicator })
    }
}

/// Nobody but the template can know how to get into the machine.
fn check_login(options: &communicator::Options, check: &mut Check<'_>) {
    if options.ssh_host.is_empty() {
        check.missing("ssh_host", "say which machine to connect to");
    }
    let given = [
        ("ssh_agent_auth", options.ssh_agent_auth),
        ("ssh_password", options.ssh_password.is_some()),
        ("ssh_private_key_file", options.ssh_private_key_file.is_some()),
    ];
    let mut given = given.iter().filter(|(_, given)| *given).map(|(name, _)| *name);
    match (given.next(), given.next()) {
        (None, _) => {
            let help = "or `ssh_private_key_file`, or `ssh_agent_auth`: one way to log in";
            check.missing("ssh_password", help);
        }
        (Some(first), Some(second)) => {
            check.error(second, format!("`{first}` is given too: choose one way to log in"));
        }
        (Some(_), None) => {}
    }
}

#[async_trait]
impl Builder for Null {
    async fn build(&self, cx: &BuildContext) -> anyhow::Result<Option<Arc<dyn Artifact>>> {
        let target = Target {
            host: self.communicator.ssh_host.clone(),
            port: None,
            key: None,
            host_key: HostKey::FirstUse,
            way: None,
            boots: false,
        };
        let data = BuildData::from([("ID".to_owned(), "Null".into())]);
        let steps = Steps::new(cx);
        steps.finish(provision(&steps, &self.communicator, target, data)).await?;
        Ok(Some(Arc::new(Nothing)))
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
