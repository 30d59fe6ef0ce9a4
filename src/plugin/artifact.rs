//! Artifacts, in both directions: a plugin's as one of ours, and ours for a plugin.

use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use rmpv::Value;
use serde_json::Value as Json;

use super::pack::{self, text, text_in, texts};
use super::process::Process;
use super::rpc::{Client, Service, no_such_method};
use super::runtime;
use crate::component::Artifact;
use crate::guest::harmless;
use crate::interpolate::BuildData;

/// How long a plugin may take to say something of an artifact.
const ANSWER: Duration = Duration::from_secs(60);

/// How long it may take to remove one.
const DESTROY: Duration = Duration::from_secs(30 * 60);

/// The fact of an artifact that feeds `build.*` of post-processors.
const GENERATED: &str = "generated_data";

/// An artifact that a plugin made. It lives in the plugin's process, which lives as long as this.
pub struct Made {
    process: Arc<Process>,
    client: Arc<Client>,
    /// What the plugin may still call because of it.
    _served: Vec<super::rpc::Served>,
    builder_id: String,
    id: String,
    files: Vec<PathBuf>,
    description: String,
    data: BuildData,
}

impl Made {
    /// The one that `process` serves as `id`; `served` is kept as long as it.
    pub async fn take(
        process: Arc<Process>,
        id: u32,
        served: Vec<super::rpc::Served>,
    ) -> anyhow::Result<Self> {
        let channel = process.session.dial(id).await.context("its artifact cannot be reached")?;
        let client = Client::new(channel);
        let ask = async |method: &str, argument: Value| {
            let method = format!("Artifact.{method}");
            let answer = client.call(&method, argument, ANSWER).await;
            process.explained(&method, answer).await
        };
        let word = |value: &Value| harmless(text(value).unwrap_or_default().as_bytes());
        let builder_id = word(&ask("BuilderId", Value::Nil).await?);
        let (id, description) =
            (word(&ask("Id", Value::Nil).await?), word(&ask("String", Value::Nil).await?));
        let files = texts(&ask("Files", Value::Nil).await?);
        let files = files.iter().map(|file| PathBuf::from(harmless(file.as_bytes()))).collect();
        let data = data(&ask("State", GENERATED.into()).await?);
        let client = Arc::new(client);
        Ok(Self { process, client, _served: served, builder_id, id, files, description, data })
    }

    /// What the plugin says of `name`, as it says it. One that cannot say it does not know it.
    async fn told(client: Arc<Client>, name: String) -> Option<Value> {
        let answer = client.call("Artifact.State", name.into(), ANSWER).await.ok()?;
        (!answer.is_nil()).then_some(answer)
    }
}

/// What a machine said of itself, as a plugin tells it.
pub fn data(value: &Value) -> BuildData {
    let entries = value.as_map().into_iter().flatten();
    entries.filter_map(|(name, value)| Some((text(name)?, pack::to_json(value)))).collect()
}

#[async_trait]
impl Artifact for Made {
    fn builder_id(&self) -> &str {
        &self.builder_id
    }

    fn id(&self) -> String {
        self.id.clone()
    }

    fn files(&self) -> Vec<PathBuf> {
        self.files.clone()
    }

    fn describe(&self) -> String {
        self.description.clone()
    }

    fn state(&self, name: &str) -> Option<Json> {
        let told = runtime::finish(Self::told(self.client.clone(), name.to_owned()));
        told.ok().flatten().as_ref().map(pack::to_json)
    }

    fn build_data(&self) -> BuildData {
        self.data.clone()
    }

    async fn destroy(&self) -> anyhow::Result<()> {
        let answer = self.client.call("Artifact.Destroy", Value::Nil, DESTROY).await;
        let answer = self.process.explained("Artifact.Destroy", answer).await?;
        let message = text_in(&answer, "Message");
        anyhow::ensure!(message.is_empty(), "{}", harmless(message.as_bytes()));
        Ok(())
    }
}

/// Our artifact, lent to a plugin's post-processor.
pub struct Lent(pub Arc<dyn Artifact>);

#[async_trait]
impl Service for Lent {
    async fn call(&self, service: &str, method: &str, argument: Value) -> Result<Value, String> {
        let artifact = &self.0;
        Ok(match (service, method) {
            ("Artifact", "BuilderId") => artifact.builder_id().into(),
            ("Artifact", "Id") => artifact.id().into(),
            ("Artifact", "String") => artifact.describe().into(),
            ("Artifact", "Files") => {
                let files = artifact.files();
                let files = files.iter().map(|file| file.to_string_lossy().into_owned().into());
                Value::Array(files.collect())
            }
            ("Artifact", "State") => {
                state(artifact.clone(), text(&argument).unwrap_or_default()).await
            }
            ("Artifact", "Destroy") => match artifact.destroy().await {
                Ok(()) => Value::Nil,
                Err(error) => pack::object([("Message", format!("{error:#}").into())]),
            },
            _ => return no_such_method(service, method),
        })
    }
}

/// The plugin that has made `artifact`, if one has.
fn made(artifact: &dyn Any) -> Option<Arc<Client>> {
    artifact.downcast_ref::<Made>().map(|made| made.client.clone())
}

async fn state(artifact: Arc<dyn Artifact>, name: String) -> Value {
    // What one plugin tells another is theirs: bytes and types of their own have no other form.
    if let Some(theirs) = made(&*artifact) {
        return Made::told(theirs, name).await.unwrap_or(Value::Nil);
    }
    match name.as_str() {
        GENERATED => {
            let data = artifact.build_data().into_iter();
            let data = data.map(|(name, value)| (name.into(), pack::from_json(&value)));
            Value::Map(data.collect())
        }
        _ => artifact.state(&name).map_or(Value::Nil, |state| pack::from_json(&state)),
    }
}
