//! A plugin's post-processor as one of ours.

use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use async_trait::async_trait;
use rmpv::Value;

use super::artifact::{Lent, Made};
use super::pack::{error_in, field, id_in};
use super::prepare::Options;
use super::remote::Remote;
use super::rpc::Service;
use super::voice::Voice;
use super::work::Work;
use crate::component::{Artifact, PostProcessContext, PostProcessor, Processed};
use crate::guest::harmless;
use crate::template::ast::Role;

const POST_PROCESS: Work =
    Work { role: Role::PostProcessor, method: "PostProcess", patience: Duration::from_secs(60) };

/// A post-processor that a plugin has.
#[derive(Debug)]
pub struct PluginPostProcessor {
    remote: Remote,
    options: Options,
}

impl PluginPostProcessor {
    /// The post-processor `remote` with `options`.
    pub fn new(remote: Remote, options: Options) -> Self {
        Self { remote, options }
    }
}

/// What a post-processor may call: the artifact that it is given, and our voice.
struct Given {
    artifact: Lent,
    voice: Voice,
}

#[async_trait]
impl Service for Given {
    async fn call(&self, service: &str, method: &str, argument: Value) -> Result<Value, String> {
        match service {
            "Artifact" => self.artifact.call(service, method, argument).await,
            _ => self.voice.call(service, method, argument).await,
        }
    }
}

#[async_trait]
impl PostProcessor for PluginPostProcessor {
    async fn post_process(
        &self,
        cx: &PostProcessContext,
        input: Arc<dyn Artifact>,
    ) -> anyhow::Result<Processed> {
        let process = Arc::new(self.options.ready(&self.remote, cx.on_error).await?);
        let given = Arc::new(Given { artifact: Lent(input), voice: Voice::new(cx.ui.clone()) });
        let done = POST_PROCESS.run(&process, given, Value::from, &cx.cancel);
        let (answer, served) = done.await?;
        if let Some(error) = error_in(&answer, "Err") {
            bail!("{}", harmless(error.as_bytes()));
        }
        let flag = |name| field(&answer, name).and_then(Value::as_bool).unwrap_or_default();
        let artifact: Option<Arc<dyn Artifact>> = match id_in(&answer, "StreamId") {
            0 => None,
            // It may be the very artifact that it was given: then it goes on asking us.
            id => Some(Arc::new(Made::take(process, id, vec![served]).await?)),
        };
        Ok(Processed { artifact, keep_input: flag("Keep"), keep_forced: flag("ForceOverride") })
    }
}
