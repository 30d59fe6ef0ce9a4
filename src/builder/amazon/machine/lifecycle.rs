//! The life of a machine, whatever is made of it: started, provisioned, stopped. The steps, in order;
//! those that do not need each other run at the same time.

use std::sync::Arc;

use tokio::join;
use tokio_util::sync::CancellationToken;

use crate::aws::allow::Regions;
use crate::aws::name;
use crate::builder::amazon::machine::console::Console;
use crate::builder::amazon::machine::find_kept::Kept;
use crate::builder::amazon::machine::find_network::{FindNetwork, Network};
use crate::builder::amazon::machine::find_password::FindPassword;
use crate::builder::amazon::machine::find_source_ami::FindSourceAmi;
use crate::builder::amazon::machine::make_key_pair::{Key, MakeKeyPair};
use crate::builder::amazon::machine::make_profile::MakeProfile;
use crate::builder::amazon::machine::open_security_group::OpenSecurityGroup;
use crate::builder::amazon::machine::open_tunnel::OpenTunnel;
use crate::builder::amazon::machine::resume::ResumeInstance;
use crate::builder::amazon::machine::run_instance::{RunInstance, Running};
use crate::builder::amazon::machine::settings::{Machine, MachineSettings};
use crate::builder::amazon::machine::stop_instance::{StopInstance, Stopped};
use crate::builder::amazon::source_ami::SourceAmi;
use crate::builder::provision::{self, provision};
use crate::communicator::{Chosen, Target, TemporaryKey};
use crate::component::{BuildContext, Communicator};
use crate::permission::Permission;
use crate::step::Steps;

/// A machine that runs, and the key that opens it if one was made.
#[derive(Clone, Debug)]
pub(crate) struct Started {
    pub instance: Running,
    key: Key,
}

/// Starts the machine, with all that it needs.
pub(crate) async fn start(
    steps: &Steps<'_>,
    machine: &Machine,
    source: &SourceAmi,
    network: &Network,
) -> anyhow::Result<Started> {
    let (key, groups, profile) = join!(
        steps.run(MakeKeyPair::new(machine, source)),
        steps.run(OpenSecurityGroup::new(machine, source, network)),
        steps.run(MakeProfile::new(machine, source)),
    );
    let (key, groups, profile) = (key?, groups?, profile?);
    let instance = RunInstance::new(machine, source, network, key.name.clone(), groups, profile);
    Ok(Started { instance: steps.run(instance).await?, key })
}

/// Goes on with a machine that an earlier run has kept; `None` if that is not possible.
pub(crate) async fn resume(
    cx: &BuildContext,
    steps: &Steps<'_>,
    machine: &Machine,
    source: &SourceAmi,
    network: &Network,
    kept: Kept,
) -> anyhow::Result<Option<Started>> {
    let key = key_for(cx, machine, &kept).await?;
    let groups = steps.run(OpenSecurityGroup::new(machine, source, network)).await?;
    let resume = ResumeInstance::new(machine, source, &kept, groups, key.clone());
    let Some(instance) = steps.run(resume).await? else { return Ok(None) };
    cx.provisioning.begin_after(kept.done);
    Ok(Some(Started { instance, key: Key { temporary: key, ..Key::default() } }))
}

/// A new key, if the template gives none. It has the name of the first one: who takes it out of the
/// machine takes both.
async fn key_for(
    cx: &BuildContext,
    machine: &Machine,
    kept: &Kept,
) -> anyhow::Result<Option<Arc<TemporaryKey>>> {
    let Some(wish) = machine.settings.connector.temporary_key() else { return Ok(None) };
    let (kind, name) = (wish.kind, kept.key_name.clone().unwrap_or_else(name::temporary));
    let made = move || TemporaryKey::generate(kind, Some(2048), &name);
    let key = tokio::task::spawn_blocking(made).await??;
    cx.redactor.register(key.private_openssh().expose());
    Ok(Some(Arc::new(key)))
}

/// A machine that runs, and is connected to until the steps are undone.
pub(crate) struct Connected {
    /// Its id.
    pub id: String,
    /// The connection.
    pub connection: Arc<dyn Communicator>,
}

/// Has the machine provisioned, and stops it. What its console says of its host keys is held against
/// what was trusted on first use.
pub(crate) async fn provision_and_stop(
    cx: &BuildContext,
    steps: &Steps<'_>,
    machine: &Machine,
    source: &SourceAmi,
    started: &Started,
) -> anyhow::Result<Stopped> {
    let (_, console) = provision_watched(cx, steps, machine, source, started).await?;
    let stop = StopInstance::new(machine, &started.instance);
    let (stopped, confirmed) = join!(steps.run(stop), console.confirm_host_key(cx));
    confirmed?;
    stopped
}

/// The same of a machine that goes on running.
pub(crate) async fn provision_only(
    cx: &BuildContext,
    steps: &Steps<'_>,
    machine: &Machine,
    source: &SourceAmi,
    started: &Started,
) -> anyhow::Result<Connected> {
    let (connection, console) = provision_watched(cx, steps, machine, source, started).await?;
    console.confirm_host_key(cx).await?;
    Ok(Connected { id: started.instance.id.clone(), connection })
}

/// Has the machine provisioned while its console is watched.
async fn provision_watched(
    cx: &BuildContext,
    steps: &Steps<'_>,
    machine: &Machine,
    source: &SourceAmi,
    Started { instance, key }: &Started,
) -> anyhow::Result<(Arc<dyn Communicator>, Console)> {
    let console = Console::watch(cx, machine, &instance.id);
    let (connector, target) = way_in(cx, steps, machine, instance, key, &console).await?;
    let data = source.build_data(&instance.id);
    let connection = provision(steps, &connector, target, data).await?;
    Ok((connection, console))
}

/// How the machine is connected to, and where.
async fn way_in(
    cx: &BuildContext,
    steps: &Steps<'_>,
    machine: &Machine,
    instance: &Running,
    key: &Key,
    console: &Console,
) -> anyhow::Result<(Chosen, Target)> {
    let mut connector = machine.settings.connector.clone();
    if connector.password_key().is_some() {
        let password = steps.run(FindPassword::new(machine, &instance.id, key)).await?;
        connector = connector.with_password(password);
    }
    let mut target = instance.target(key.temporary.clone(), console.announcement());
    if machine.settings.run.is_behind_session_manager() {
        target = steps.run(OpenTunnel::new(cx, machine, instance, target)).await?;
    }
    Ok((connector, target))
}

/// Has the image tested that the machine was started from. What its console says of its host keys is
/// held against what was trusted on first use; where a test fails, what it says at all is shown, and a
/// picture of the screen is kept.
pub(crate) async fn test_image(
    cx: &BuildContext,
    steps: &Steps<'_>,
    machine: &Machine,
    source: &SourceAmi,
    Started { instance, key }: &Started,
) -> anyhow::Result<()> {
    let console = Console::watch(cx, machine, &instance.id);
    let tested = async {
        let (connector, target) = way_in(cx, steps, machine, instance, key, &console).await?;
        let data = source.build_data(&instance.id);
        provision::test(steps, &connector, target, data, CancellationToken::new(), || ()).await?;
        console.confirm_host_key(cx).await
    };
    let tested = tested.await;
    if tested.is_err() {
        console.show(cx).await;
        console.keep_picture(cx).await;
    }
    tested
}

/// What the account must allow besides, so that an image is tested.
pub(crate) fn permissions_to_test(at: &Regions) -> Vec<Permission> {
    Console::permissions_to_show(at)
}

/// What the account must allow for all of it.
pub(crate) fn permissions(settings: &MachineSettings, at: &Regions) -> Vec<Permission> {
    let mut all = FindSourceAmi::permissions(at);
    all.extend(FindNetwork::permissions(settings, at));
    all.extend(MakeKeyPair::permissions(settings, at));
    all.extend(OpenSecurityGroup::permissions(settings, at));
    all.extend(MakeProfile::permissions(settings, at));
    all.extend(RunInstance::permissions(settings, at));
    all.extend(Console::permissions(settings, at));
    all.extend(FindPassword::permissions(settings, at));
    all.extend(OpenTunnel::permissions(settings, at));
    if !settings.may_be_on_store {
        all.extend(StopInstance::permissions(settings, at));
    }
    all
}
