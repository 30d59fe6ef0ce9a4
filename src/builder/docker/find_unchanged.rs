//! Is there an image that was made from the same? Then no container is run.

use anyhow::Context as _;
use async_trait::async_trait;

use crate::builder::unchanged::{EarlierImage, LOOK, record, tell};
use crate::component::{BuildContext, SkipUnchanged};
use crate::docker::Engine;
use crate::docker::label::Labelled;
use crate::step::Step;

/// Looks for the newest image of the same build that the engine has: baked there, or fetched.
pub(super) struct FindLabelled {
    pub engine: Engine,
    /// The id of the image that the container would be made of.
    pub source: String,
    pub wanted: SkipUnchanged,
}

#[async_trait]
impl Step for FindLabelled {
    type Output = Option<Labelled>;

    fn name(&self) -> &'static str {
        LOOK
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<Option<Labelled>> {
        let record = record(cx, &self.source).await?;
        let found = self.engine.labelled(&cx.facts.unique_name).await;
        let mut found = found.context("cannot look for images")?;
        // One of an older state of the template may be newer.
        let same = found.iter().position(|one| one.made_from.number == record.digest());
        if found.is_empty() {
            let why = "no finished image of this build was found";
            tell(cx, &self.wanted, &Err(why.to_owned()));
            return Ok(None);
        }
        let found = found.swap_remove(same.unwrap_or(0));
        let Labelled { shown, made_from, made_at, .. } = found.clone();
        let verdict = EarlierImage { shown, made_from, made_at }.judge(&record, &self.wanted);
        tell(cx, &self.wanted, &verdict);
        Ok(verdict.is_ok().then_some(found))
    }
}
