//! What every builder with a machine does once it runs: connect, provision or test, forget the key.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use async_trait::async_trait;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::communicator::{Chosen, Target};
use crate::component::{BuildContext, Communicator};
use crate::event::{Message, Phase, SpentBy};
use crate::fault::{Fault, Kind};
use crate::interpolate::BuildData;
use crate::step::{Ending, Slot, Step, Steps};

/// Connects to the machine at `target`, runs the build's provisioners on it, and takes the
/// temporary key out of it. `data` is what the builder itself adds to `build.*`, e.g. `ID`.
///
/// The connection that comes back is open until the steps are undone.
pub async fn provision(
    steps: &Steps<'_>,
    connector: &Chosen,
    target: Target,
    data: BuildData,
) -> anyhow::Result<Arc<dyn Communicator>> {
    provision_while(steps, connector, target, data, CancellationToken::new(), || ()).await
}

/// As [`provision`], but gives up connecting as soon as `gone` says that the machine is no more, and
/// calls `connected` before the first provisioner.
pub async fn provision_while(
    steps: &Steps<'_>,
    connector: &Chosen,
    target: Target,
    data: BuildData,
    gone: CancellationToken,
    connected: impl FnOnce(),
) -> anyhow::Result<Arc<dyn Communicator>> {
    let mut all_data = connector.build_data(&target).await;
    all_data.extend(data);
    let connection = steps.run(Connect::new(connector.clone(), target.clone(), gone)).await?;
    connected();
    steps.run(Provision { connection: connection.clone(), data: all_data }).await?;
    if target.key.is_some() {
        let (connector, connection) = (connector.clone(), connection.clone());
        steps.run(ForgetKey { connector, connection, target }).await?;
    }
    Ok(connection)
}

/// Nobody can test `image`, which somebody named.
pub fn no_image(image: &str) -> anyhow::Error {
    Fault::lasting(Kind::Template).mark(anyhow::anyhow!("there is no image `{image}`"))
}

/// Awaits `work`, which has the finished image tested; nothing is done where there are no tests. It is a
/// whole machine's life within that of another: on the heap, so that a thread's stack has room for it.
pub async fn tested(
    cx: &BuildContext,
    work: BoxFuture<'_, anyhow::Result<()>>,
) -> anyhow::Result<()> {
    if !cx.provisioning.has_tests() {
        return Ok(());
    }
    let tested = work.await;
    if tested.is_err() {
        cx.provisioning.image_failed(cx);
    }
    tested
}

/// Connects to a machine that was started from a finished image, and has the image tested there. Gives
/// up connecting as soon as `gone` says that the machine is no more, and calls `connected` before the first
/// test.
pub async fn test(
    steps: &Steps<'_>,
    connector: &Chosen,
    target: Target,
    data: BuildData,
    gone: CancellationToken,
    connected: impl FnOnce(),
) -> anyhow::Result<()> {
    let mut all_data = connector.build_data(&target).await;
    all_data.extend(data);
    let connection = steps.run(Connect::new(connector.clone(), target, gone)).await?;
    connected();
    steps.run(TestImage { connection, data: all_data }).await
}

/// Runs the build's provisioners over a `connection` of the builder's own.
#[cfg(feature = "aws")]
pub async fn provision_connected(
    steps: &Steps<'_>,
    connection: Arc<dyn Communicator>,
    data: BuildData,
) -> anyhow::Result<()> {
    steps.run(Provision { connection, data }).await
}

/// Connects; undone by closing the connection.
struct Connect {
    connector: Chosen,
    target: Target,
    gone: CancellationToken,
    open: Slot<Arc<dyn Communicator>>,
}

impl Connect {
    fn new(connector: Chosen, target: Target, gone: CancellationToken) -> Self {
        Self { connector, target, gone, open: Slot::default() }
    }
}

#[async_trait]
impl Step for Connect {
    type Output = Arc<dyn Communicator>;

    fn name(&self) -> &'static str {
        "connect"
    }

    fn phase(&self) -> Phase {
        Phase::Connect
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<Self::Output> {
        let connecting = self.connector.open(cx, self.target.clone());
        let connected = timed(cx, self.name(), self.gone.run_until_cancelled(connecting)).await;
        let connection = connected.context("the machine is gone")??;
        self.open.keep(connection.clone());
        Ok(connection)
    }

    async fn undo(&self, _cx: &BuildContext, _ending: Ending) -> anyhow::Result<()> {
        if let Some(connection) = self.open.take() {
            connection.close().await;
        }
        Ok(())
    }

    /// A machine that hears nothing must not keep anybody from ending it.
    fn undoes_independently(&self) -> bool {
        true
    }

    fn undo_limit(&self, _cx: &BuildContext) -> Duration {
        Duration::from_secs(5)
    }
}

/// Runs the provisioners.
struct Provision {
    connection: Arc<dyn Communicator>,
    data: BuildData,
}

#[async_trait]
impl Step for Provision {
    type Output = ();

    fn name(&self) -> &'static str {
        "provision"
    }

    /// What is said before the first provisioner is about the connection.
    fn phase(&self) -> Phase {
        Phase::Connect
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<()> {
        let work = cx.provisioning.provision(cx, self.connection.clone(), self.data.clone());
        timed(cx, self.name(), work).await
    }
}

/// Runs the tests of the image.
struct TestImage {
    connection: Arc<dyn Communicator>,
    data: BuildData,
}

#[async_trait]
impl Step for TestImage {
    type Output = ();

    fn name(&self) -> &'static str {
        "test the image"
    }

    fn phase(&self) -> Phase {
        Phase::Connect
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<()> {
        let work = cx.provisioning.test(cx, self.connection.clone(), self.data.clone());
        timed(cx, self.name(), work).await
    }
}

/// Awaits `work`, and says that its time is not ours.
async fn timed<T>(cx: &BuildContext, what: &'static str, work: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let result = work.await;
    cx.ui.send(Message::Spent { whose: SpentBy::Templates, what, took: begun.elapsed() });
    result
}

/// Takes the temporary key out of the machine.
struct ForgetKey {
    connector: Chosen,
    connection: Arc<dyn Communicator>,
    target: Target,
}

#[async_trait]
impl Step for ForgetKey {
    type Output = ();

    fn name(&self) -> &'static str {
        "forget the temporary key"
    }

    fn phase(&self) -> Phase {
        Phase::Image
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<()> {
        match &self.target.key {
            Some(key) => self.connector.forget_key(cx, &*self.connection, key).await,
            None => Ok(()),
        }
    }
}
