//! A plugin's builder as one of ours.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rmpv::Value;
use tokio_util::sync::CancellationToken;

use super::artifact::{self, Made};
use super::login::WinRmFlags;
use super::machine::Machine;
use super::options;
use super::pack::{self, field, id_in, text_in};
use super::prepare::Options;
use super::process::Process;
use super::remote::Remote;
use super::rpc::{Service, no_such_method};
use super::voice::Voice;
use super::work::{Deaf, Unfinished, Work};
use crate::component::{Artifact, BuildContext, Builder, Communicator};
use crate::template::ast::Role;

/// A builder removes what it made when it is told to stop. An interrupted run may give it less time.
const RUN: Work =
    Work { role: Role::Builder, method: "Run", patience: Duration::from_secs(30 * 60) };

/// A builder that a plugin has.
#[derive(Debug)]
pub struct PluginBuilder {
    remote: Remote,
    options: Options,
    winrm: WinRmFlags,
    generated: Vec<String>,
}

impl PluginBuilder {
    /// The builder `remote` with `options`, which it has accepted, and which say `winrm` of that.
    pub fn new(
        remote: Remote,
        options: Options,
        winrm: WinRmFlags,
        generated: Vec<String>,
    ) -> Self {
        Self { remote, options, winrm, generated }
    }
}

#[async_trait]
impl Builder for PluginBuilder {
    async fn build(&self, cx: &BuildContext) -> anyhow::Result<Option<Arc<dyn Artifact>>> {
        let process = Arc::new(self.options.ready(&self.remote, cx.on_error).await?);
        let unfinished = Unfinished::new(cx.ui.clone(), process.called());
        let hosted = Arc::new(Hosted::new(process.clone(), self.winrm, cx));
        let run = tokio::select! {
            run = RUN.run(&process, hosted, Value::from, &cx.cancel) => run,
            never = unfinished.warns_when(&cx.cancel) => match never {},
        };
        let is_deaf = run.as_ref().is_err_and(|error| error.is::<Deaf>());
        if process.is_alive() && !is_deaf {
            unfinished.ended();
        }
        let (answer, served) = run?;
        match pack::id(&answer) {
            0 => Ok(None),
            id => {
                let made = Made::take(process, id, vec![served]).await?;
                options::hide_secret_data(&made.build_data(), &cx.redactor);
                Ok(Some(Arc::new(made)))
            }
        }
    }

    fn build_data(&self) -> Vec<String> {
        self.generated.clone()
    }
}

/// What a builder may call while it runs: our provisioners, and our voice.
struct Hosted {
    process: Arc<Process>,
    winrm: WinRmFlags,
    cx: BuildContext,
    voice: Voice,
    /// Stops the provisioners where the builder says so.
    stop: CancellationToken,
}

impl Hosted {
    fn new(process: Arc<Process>, winrm: WinRmFlags, cx: &BuildContext) -> Self {
        let stop = cx.cancel.child_token();
        let cx = BuildContext { cancel: stop.clone(), ..cx.clone() };
        Self { process, winrm, voice: Voice::new(cx.ui.clone()), cx, stop }
    }

    async fn provision(&self, argument: &Value) -> anyhow::Result<()> {
        let id = id_in(argument, "StreamId");
        let data = field(argument, "Data").map(artifact::data).unwrap_or_default();
        options::hide_secret_data(&data, &self.cx.redactor);
        let machine = Machine::connect(self.process.clone(), id, &data, self.winrm).await?;
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
