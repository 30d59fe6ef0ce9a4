//! A plugin's builder as one of ours.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rmpv::Value;
use tokio_util::sync::CancellationToken;

use super::artifact::{self, Made};
use super::machine::Machine;
use super::pack::{self, field, id_in, text_in};
use super::prepare::Options;
use super::process::Process;
use super::remote::{Remote, Role};
use super::rpc::{Served, Service, no_such_method};
use super::stopping::{Noting, Unfinished, Work};
use super::voice::Voice;
use crate::component::{Artifact, BuildContext, Builder, Communicator};

/// How long a builder may take to remove what it made when it is told to stop. An interrupted run
/// may have less.
const UNDO: Duration = Duration::from_secs(30 * 60);

/// A builder that a plugin has.
#[derive(Debug)]
pub struct PluginBuilder {
    remote: Remote,
    options: Options,
    generated: Vec<String>,
}

impl PluginBuilder {
    /// The builder `remote` with `options`, which it has accepted.
    pub fn new(remote: Remote, options: Options, generated: Vec<String>) -> Self {
        Self { remote, options, generated }
    }
}

#[async_trait]
impl Builder for PluginBuilder {
    async fn build(&self, cx: &BuildContext) -> anyhow::Result<Option<Arc<dyn Artifact>>> {
        let process = Arc::new(self.remote.process().await?);
        self.options.give(&process, Role::Builder, cx.on_error).await?;
        let unfinished = Unfinished::new(cx.ui.clone(), process.called());
        let begun = CancellationToken::new();
        let hosted = Noting::new(Arc::new(Hosted::new(process.clone(), cx)), begun.clone());
        let stream = process.session.accept();
        let run = process.call_unlimited("Builder.Run", stream.id.into());
        let served = Served::on(stream, hosted);
        let work = Work {
            process: &process,
            stop: "Builder.Cancel",
            begun,
            cancel: &cx.cancel,
            patience: UNDO,
        };
        let answer = work.done(run).await;
        if process.is_alive() {
            unfinished.ended();
        }
        match pack::id(&answer?) {
            0 => Ok(None),
            id => Ok(Some(Arc::new(Made::take(process, id, vec![served]).await?))),
        }
    }

    fn build_data(&self) -> Vec<String> {
        self.generated.clone()
    }
}

/// What a builder may call while it runs: our provisioners, and our voice.
struct Hosted {
    process: Arc<Process>,
    cx: BuildContext,
    voice: Voice,
    /// Stops the provisioners where the builder says so.
    stop: CancellationToken,
}

impl Hosted {
    fn new(process: Arc<Process>, cx: &BuildContext) -> Self {
        let stop = cx.cancel.child_token();
        let cx = BuildContext { cancel: stop.clone(), ..cx.clone() };
        Self { process, voice: Voice::new(cx.ui.clone()), cx, stop }
    }

    async fn provision(&self, argument: &Value) -> anyhow::Result<()> {
        let id = id_in(argument, "StreamId");
        let data = field(argument, "Data").map(artifact::data).unwrap_or_default();
        let machine = Machine::connect(self.process.clone(), id, &data).await?;
        let machine: Arc<dyn Communicator> = Arc::new(machine);
        self.cx.provisioning.provision(&self.cx, machine, data).await
    }

    async fn hook(&self, argument: &Value) -> Result<(), String> {
        match text_in(argument, "Name").as_str() {
            "packer_provision" => {
                self.provision(argument).await.map_err(|error| format!("{error:#}"))
            }
            "packer_cleanup_provision" => {
                self.cx.provisioning.after_failure(&self.cx).await;
                Ok(())
            }
            // A hook that nobody knows does nothing.
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Service for Hosted {
    async fn call(&self, service: &str, method: &str, argument: Value) -> Result<Value, String> {
        match (service, method) {
            ("Hook", "Run") => self.hook(&argument).await.map(|()| Value::Nil),
            ("Hook", "Cancel") => {
                self.stop.cancel();
                Ok(Value::Nil)
            }
            ("Hook", _) => no_such_method(service, method),
            _ => self.voice.call(service, method, argument).await,
        }
    }
}
