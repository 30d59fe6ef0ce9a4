//! An artifact that a test makes up, and a build that post-processes it.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value as Json;

use crate::component::{
    self, Artifact, Component, Facts, PostProcessContext, PostProcessor, Processed,
};
use crate::config::Node;
use crate::event::Message;
use crate::interpolate::{BuildData, Scope};
use crate::secret::Redactor;

/// The artifact.
#[derive(Clone, Default)]
pub(crate) struct Made {
    pub(crate) builder_id: &'static str,
    pub(crate) id: &'static str,
    pub(crate) files: Vec<PathBuf>,
    pub(crate) description: String,
    pub(crate) state: serde_json::Map<String, Json>,
}

#[async_trait]
impl Artifact for Made {
    fn builder_id(&self) -> &str {
        self.builder_id
    }
    fn id(&self) -> String {
        self.id.to_owned()
    }
    fn files(&self) -> Vec<PathBuf> {
        self.files.clone()
    }
    fn describe(&self) -> String {
        self.description.clone()
    }
    fn state(&self, name: &str) -> Option<Json> {
        self.state.get(name).cloned()
    }
    async fn destroy(&self) -> anyhow::Result<()> {
        Ok(())
    }
}

/// The facts of a build called `web` of an `amazon-ebs` builder.
pub(crate) fn facts() -> Facts {
    let build_data = BuildData::from([("SourceAMI".to_owned(), "ami-0".into())]);
    let scope = Scope { build_data: Some(build_data), ..Scope::for_tests() };
    Facts::without_build("amazon-ebs", scope).named("web")
}

/// A post-processor from options written as JSON; on refusal what was said.
pub(crate) fn prepare<C: Component>(options: Json) -> Result<C, Vec<String>> {
    let prepared =
        component::prepare::<C>(&Node::for_tests(&options), &facts(), &Redactor::default());
    prepared.map(|(component, _)| component).map_err(|found| {
        let line = |d: crate::diagnostic::Diagnostic| {
            format!("{}: {}", d.summary, d.cause.unwrap_or_default())
        };
        found.0.into_iter().map(line).collect()
    })
}

/// Post-processes `input` and keeps what is said.
pub(crate) async fn run<C: Component + PostProcessor>(
    options: Json,
    input: Made,
) -> (anyhow::Result<Processed>, Vec<String>) {
    run_for::<C>(facts(), options, input).await
}

/// As [`run`], for a build of which other things are known.
pub(crate) async fn run_for<C: Component + PostProcessor>(
    facts: Facts,
    options: Json,
    input: Made,
) -> (anyhow::Result<Processed>, Vec<String>) {
    let (cx, mut events) = PostProcessContext::for_tests(facts);
    let component = prepare::<C>(options).unwrap();
    let processed = match component.refuses(input.builder_id) {
        Some(why) => Err(anyhow::anyhow!(why)),
        None => component.post_process(&cx, Arc::new(input)).await,
    };
    let mut said = Vec::new();
    while let Ok(event) = events.try_recv() {
        if let Message::Say(text) = event.message {
            said.push(text);
        }
    }
    (processed, said)
}
