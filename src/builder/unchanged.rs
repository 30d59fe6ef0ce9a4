//! `-skip-unchanged`, for every builder: what has changed since an earlier image was made, whether that
//! is young enough, and what is said of it.

pub(crate) mod beside;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value as Json;

use crate::component::{Artifact, BuildContext, SkipUnchanged};
use crate::event::Message;
use crate::fingerprint::{MadeFrom, Record};
use crate::interpolate::BuildData;

/// What the step is called that looks for such an image.
pub(crate) const LOOK: &str = "look for an image that was made from the same";

/// What is asked for, if an earlier image is to be looked for: with `-force` nothing is skipped.
pub(crate) fn wanted(cx: &BuildContext) -> Option<SkipUnchanged> {
    cx.skip_unchanged.filter(|wanted| wanted.only_explains || !cx.facts.force)
}

/// What the image is made from now: all that the template says, and the image `source`.
pub(crate) async fn record(cx: &BuildContext, source: &str) -> anyhow::Result<Record> {
    let record = cx.fingerprint.record().await;
    let record = record.context("what the build is made from cannot be read")?;
    Ok(record.with_source(source))
}

/// An image that an earlier run has left.
pub(crate) struct EarlierImage {
    /// For people.
    pub shown: String,
    /// What it says of itself.
    pub made_from: MadeFrom,
    /// When it was made, if that is known.
    pub made_at: Option<Timestamp>,
}

impl EarlierImage {
    /// That it is enough (`Ok`), or why it is not.
    pub fn judge(&self, record: &Record, wanted: &SkipUnchanged) -> Result<String, String> {
        match self.changes(record).or_else(|| self.too_old(wanted)) {
            Some(why) => Err(why),
            None => Ok(format!("{} was made from the same", self.shown)),
        }
    }

    /// What has changed since it was made, if anything has.
    pub fn changes(&self, record: &Record) -> Option<String> {
        let changes = self.made_from.changes(record)?;
        Some(format!("{changes} changed since {}", self.shown))
    }

    /// That it is too old, if it is.
    pub fn too_old(&self, wanted: &SkipUnchanged) -> Option<String> {
        let (made_at, most) = (self.made_at?, wanted.max_age?);
        let age = Timestamp::now().duration_since(made_at);
        // Nobody wants its nanoseconds.
        let shown = SignedDuration::from_secs(age.as_secs());
        let is_old = age.is_positive() && age.unsigned_abs() > most;
        is_old.then(|| format!("{} is {shown:#} old", self.shown))
    }
}

/// Says what becomes of the build, and why.
pub(crate) fn tell(cx: &BuildContext, wanted: &SkipUnchanged, verdict: &Result<String, String>) {
    let (word, why) = match verdict {
        Ok(why) => ("unchanged", why),
        Err(why) => ("baked", why),
    };
    cx.ui.send(Message::Record("skip-unchanged".into(), vec![word.to_owned(), why.clone()]));
    cx.ui.say(match verdict {
        Ok(why) => format!("Not baked: {why}"),
        Err(why) if wanted.only_explains => format!("It would be baked: {why}"),
        Err(why) => format!("Baked: {why}"),
    });
}

/// An artifact that knows what it was made from.
pub(crate) struct WithProvenance<A> {
    pub artifact: A,
    pub made_from: MadeFrom,
    /// Whether an earlier run has made it.
    pub was_there: bool,
}

#[async_trait]
impl<A: Artifact> Artifact for WithProvenance<A> {
    fn builder_id(&self) -> &str {
        self.artifact.builder_id()
    }

    fn id(&self) -> String {
        self.artifact.id()
    }

    fn files(&self) -> Vec<PathBuf> {
        self.artifact.files()
    }

    fn describe(&self) -> String {
        let described = self.artifact.describe();
        if self.was_there { format!("{described} (unchanged)") } else { described }
    }

    fn state(&self, name: &str) -> Option<Json> {
        self.artifact.state(name)
    }

    fn build_data(&self) -> BuildData {
        self.artifact.build_data()
    }

    fn made_from(&self) -> Option<MadeFrom> {
        Some(self.made_from.clone())
    }

    fn was_there(&self) -> bool {
        self.was_there
    }

    async fn destroy(&self) -> anyhow::Result<()> {
        self.artifact.destroy().await
    }
}

/// `artifact`, with what it was made from where that is known.
pub(crate) fn recorded(
    artifact: impl Artifact + 'static,
    made_from: Option<MadeFrom>,
) -> Arc<dyn Artifact> {
    match made_from {
        Some(made_from) => Arc::new(WithProvenance { artifact, made_from, was_there: false }),
        None => Arc::new(artifact),
    }
}
