//! `artifice`: replaces the artifact by files of the user's choice.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::component::{Artifact, Check, Component, PostProcessContext, PostProcessor, Processed};
use crate::post_processor::Files;

/// The id of what this makes.
pub const BUILDER_ID: &str = "packer.post-processor.artifice";

/// The options of `artifice`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Options {
    /// The files of the new artifact. `*`, `?` and `[…]` match when the build is done; a pattern
    /// that matches nothing adds nothing. Required.
    pub files: Vec<String>,
}

/// The post-processor, ready to run.
#[derive(Debug)]
pub struct Artifice {
    files: Vec<String>,
}

impl Component for Artifice {
    const TYPE: &'static str = "artifice";
    const ABOUT: &'static str = "Makes files of its own choice the artifact.";
    type Options = (Options,);

    fn prepare((options,): Self::Options, check: &mut Check<'_>) -> Option<Self> {
        if options.files.is_empty() {
            check.missing("files", "name the files of the new artifact");
        }
        for pattern in &options.files {
            if let Err(error) = glob::Pattern::new(pattern) {
                check.error("files", format!("`{pattern}` is no pattern: {error}"));
            }
            check.may_read_matches("files", pattern);
        }
        Some(Self { files: options.files })
    }
}

#[async_trait]
impl PostProcessor for Artifice {
    async fn post_process(
        &self,
        cx: &PostProcessContext,
        input: Arc<dyn Artifact>,
    ) -> anyhow::Result<Processed> {
        let discarded = input.files();
        if !discarded.is_empty() {
            cx.ui.say(format!("Discarding files from artifact: {}", listed(&discarded)));
        }
        let mut files = Vec::new();
        for pattern in &self.files {
            let found = glob::glob(pattern).with_context(|| format!("the pattern {pattern}"))?;
            for file in found {
                files.push(file.with_context(|| format!("cannot look for {pattern}"))?);
            }
        }
        cx.ui.say(format!("Using these artifact files: {}", listed(&files)));
        let artifact = Files {
            builder_id: BUILDER_ID,
            id: String::new(),
            description: format!("Created artifact from files: {}", listed(&files)),
            files,
            build_data: input.build_data(),
        };
        Ok(Processed { artifact: Some(Arc::new(artifact)), keep_input: true, keep_forced: false })
    }

    fn makes(&self, _input: Option<&'static str>) -> Option<&'static str> {
        Some(BUILDER_ID)
    }
}

fn listed(files: &[PathBuf]) -> String {
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::post_processor::fake::{self, Made};

    #[tokio::test]
    async fn the_files_that_match_now_become_the_artifact() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.img", "b.img", "c.txt"] {
            std::fs::write(dir.path().join(name), name).unwrap();
        }
        let pattern = dir.path().join("*.img");
        let options = json!({"files": [pattern, dir.path().join("none*")]});
        let (processed, _) = fake::run::<Artifice>(options, Made::default()).await;
        let processed = processed.unwrap();
        let artifact = processed.artifact.unwrap();
        assert_eq!(artifact.files(), [dir.path().join("a.img"), dir.path().join("b.img")]);
        assert_eq!(artifact.builder_id(), BUILDER_ID);
        assert!(processed.keep_input && !processed.keep_forced);
        artifact.destroy().await.unwrap();
        artifact.destroy().await.unwrap();
        assert!(!dir.path().join("a.img").exists() && dir.path().join("c.txt").exists());
    }

    #[test]
    fn files_must_be_named() {
        let refused = fake::prepare::<Artifice>(json!({})).unwrap_err();
        assert_eq!(refused, ["`artifice` needs `files`: required here"]);
    }
}
