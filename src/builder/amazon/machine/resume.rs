//! A machine that an earlier run has kept goes on.
//!
//! Another run may have found it, too. So it is claimed first: by a tag, which is read back after a
//! moment. The last one to write it has the machine; who reads another's name leaves it alone.
//!
//! The private half of the temporary key has gone with the run that made it, and nothing of it was kept
//! anywhere. This run makes a key of its own; user data that `cloud-init` obeys at each start brings
//! its public half in, which is no secret.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use async_trait::async_trait;
use aws_sdk_ec2::primitives::Blob;
use aws_sdk_ec2::types::{InstanceStateName, SecureBlobAttributeValue};

use crate::aws::build_tags::{KEPT_UNTIL_TAG, RESUMED_TAG, RUN_TAG};
use crate::aws::call::Ec2;
use crate::aws::instance::{self, state};
use crate::aws::removal::{INSTANCE_PATIENCE, Removal};
use crate::aws::resource::Resource as _;
use crate::aws::tags::{self, tag};
use crate::aws::wait::{Seen, Wait};
use crate::builder::amazon::machine::find_kept::Kept;
use crate::builder::amazon::machine::inject_key::inject_key;
use crate::builder::amazon::machine::keep::{DONE_TAG, End, KEPT_FOR_TAG, move_to_groups};
use crate::builder::amazon::machine::run_instance::{
    self, Running, instance_of, wait_until_running,
};
use crate::builder::amazon::machine::settings::Machine;
use crate::builder::amazon::source_ami::SourceAmi;
use crate::builder::keep;
use crate::communicator::TemporaryKey;
use crate::component::BuildContext;
use crate::event::Phase;
use crate::journal::Thing;
use crate::retry;
use crate::step::{Ending, Step, UNDO_LIMIT};

/// After this, all that have written a claim at the same time read the same one.
const CLAIMED: Duration = Duration::from_secs(1);

/// Claims a machine that was kept, and starts it.
pub(crate) struct ResumeInstance {
    machine: Machine,
    source: SourceAmi,
    kept: Kept,
    groups: Vec<String>,
    key: Option<Arc<TemporaryKey>>,
    made: Arc<Thing>,
    /// Whether it may be ours.
    is_claimed: AtomicBool,
}

impl ResumeInstance {
    /// In `groups`, and opened by `key` if the template gives none.
    pub(crate) fn new(
        machine: &Machine,
        source: &SourceAmi,
        kept: &Kept,
        groups: Vec<String>,
        key: Option<Arc<TemporaryKey>>,
    ) -> Self {
        let resumed_by = Some(machine.build.token.clone());
        let made = instance_of(machine, source, &kept.token, resumed_by);
        let made = made.thing(&machine.build.account, machine.build.account.region());
        Self {
            machine: machine.clone(),
            source: source.clone(),
            kept: kept.clone(),
            groups,
            key,
            made: Arc::new(made.known_as(&kept.id)),
            is_claimed: AtomicBool::new(false),
        }
    }

    async fn resume(&self, cx: &BuildContext) -> anyhow::Result<Running> {
        let ec2 = self.machine.build.ec2(cx);
        let id = self.kept.id.as_str();
        self.claim(cx, &ec2).await?;
        self.wait_until_stopped(cx, &ec2).await?;
        if let Some(key) = &self.key {
            let run = &self.machine.settings.run;
            let user = self.machine.settings.connector.user().unwrap_or_default();
            let data = inject_key(user, key, run.encoded_user_data().await?.as_deref())?;
            let data = SecureBlobAttributeValue::builder().value(Blob::new(data)).build();
            let request = ec2.modify_instance_attribute().instance_id(id).user_data(data);
            ec2.call("ModifyInstanceAttribute", |_| request.clone().send()).await?;
        }
        if self.machine.settings.run.needs_temporary_group() {
            move_to_groups(&ec2, id, &self.groups).await?;
        }
        cx.ui.say(format!("Starting the instance {id}"));
        let request = ec2.start_instances().instance_ids(id);
        ec2.call("StartInstances", |_| request.clone().send()).await?;
        let instance = wait_until_running(cx, &self.machine, id).await?;
        let host = run_instance::host(cx, &self.machine, instance).await?;
        Ok(Running { id: id.to_owned(), is_spot: false, token: self.kept.token.clone(), host })
    }

    /// Makes it ours, unless somebody else does so at the same time.
    async fn claim(&self, cx: &BuildContext, ec2: &Ec2) -> anyhow::Result<()> {
        let ids = [self.kept.id.clone()];
        let (build, run) = (&self.machine.build.token, &cx.facts.scope.environment.run_uuid);
        self.is_claimed.store(true, Ordering::Relaxed);
        tags::put(ec2, &ids, &[tag(RESUMED_TAG, build), tag(RUN_TAG, run)]).await?;
        let kept = [KEPT_UNTIL_TAG, KEPT_FOR_TAG, DONE_TAG];
        tags::remove(ec2, &ids, &kept).await?;
        retry::sleep(&cx.cancel, CLAIMED).await?;
        let there = instance::by_id(ec2, &self.kept.id).await?.context("it is gone")?;
        let is_ours = tags::value(there.tags(), RESUMED_TAG) == Some(build);
        self.is_claimed.store(is_ours, Ordering::Relaxed);
        ensure!(is_ours, "another run goes on with it");
        Ok(())
    }

    async fn wait_until_stopped(&self, cx: &BuildContext, ec2: &Ec2) -> anyhow::Result<()> {
        let (id, memory) = (self.kept.id.as_str(), &self.machine.build.account.memory);
        let patience = self.machine.build.patience(cx, INSTANCE_PATIENCE);
        let wait = Wait { kind: "instance stopped", what: id, patience, memory };
        wait.until(&cx.ui, &cx.cancel, || async {
            match instance::by_id(ec2, id).await?.as_ref().map(state) {
                Some(InstanceStateName::Stopped) => Ok(Seen::Ready(())),
                Some(InstanceStateName::Stopping) => Ok(Seen::pending("stopping")),
                Some(other) => bail!("it is {}", other.as_str()),
                None => bail!("it is gone"),
            }
        })
        .await
    }

    /// Removes what another run may have claimed since only if that is not so.
    async fn remove(&self, cx: &BuildContext) -> anyhow::Result<()> {
        let removal = Removal { is_of_dead_run: true, ..self.machine.build.removal(cx) };
        removal.remove(&self.made).await?;
        self.is_claimed.store(false, Ordering::Relaxed);
        Ok(())
    }
}

#[async_trait]
impl Step for ResumeInstance {
    /// `None`: it cannot be gone on with.
    type Output = Option<Running>;

    fn name(&self) -> &'static str {
        "go on with the instance"
    }

    fn phase(&self) -> Phase {
        Phase::Launch
    }

    fn makes(&self) -> Vec<Arc<Thing>> {
        vec![self.made.clone()]
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<Option<Running>> {
        let Kept { id, done, .. } = &self.kept;
        cx.ui.say(format!("Going on with the instance {id}: {}", keep::words(*done)));
        match self.resume(cx).await {
            Ok(running) => Ok(Some(running)),
            Err(error) if cx.cancel.is_cancelled() => Err(error),
            Err(error) => {
                cx.ui.error(format!("A clean start: {id} cannot be gone on with: {error:#}"));
                if self.is_claimed.load(Ordering::Relaxed) {
                    self.remove(cx).await?;
                }
                Ok(None)
            }
        }
    }

    async fn undo(&self, cx: &BuildContext, ending: Ending) -> anyhow::Result<()> {
        if !self.is_claimed.load(Ordering::Relaxed) {
            return Ok(());
        }
        let Self { machine, source, made, .. } = self;
        End { cx, machine, source, made, is_spot: false }.come(ending).await
    }

    fn undo_limit(&self, cx: &BuildContext) -> Duration {
        2 * self.machine.build.patience(cx, INSTANCE_PATIENCE) + UNDO_LIMIT
    }
}
