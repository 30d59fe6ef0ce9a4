//! What a build made in AWS is found again and removed: by the steps that made it, and by
//! `imgbake cleanup`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use futures::future::join_all;

use crate::aws::build_tags::hand_over;
pub use crate::aws::resource::context::Removal;
use crate::aws::resource::context::{Leftovers, RemovalTarget, Search};
use crate::aws::resource::found::Found;
use crate::aws::resource::{Recorded, Resource};
use crate::journal::Thing;
use crate::retry;

/// How long an instance may take to change its state.
pub const INSTANCE_PATIENCE: Duration = Duration::from_secs(10 * 60);

/// How often what an unanswered call may have made is looked for, a second apart.
const LOOKS: usize = 6;

impl Removal<'_> {
    /// Removes `thing`, if it is there and ours.
    pub async fn remove(&self, thing: &Thing) -> anyhow::Result<()> {
        let found = self.find(thing).await?;
        self.remove_found(thing, found).await
    }

    /// Removes all of `things` at the same time.
    pub async fn remove_all(&self, things: &[Arc<Thing>]) -> anyhow::Result<()> {
        let removals = things.iter().map(|thing| self.remove(thing));
        join_all(removals).await.into_iter().collect()
    }

    /// Removes `thing`, which was `found` to be there, and what would be left of it.
    pub async fn remove_found(
        &self,
        thing: &Thing,
        found: Option<(Recorded, String)>,
    ) -> anyhow::Result<()> {
        let was_there = found.is_some();
        if let Some((Recorded { resource, place }, id)) = found {
            self.journal.made(thing, &id);
            let ec2 = self.ec2_in(&place.region);
            let ec2 = if thing.is_new() { ec2.expecting([&id]) } else { ec2 };
            let (region, tokens) = (place.region.as_str(), self.tokens(&*resource));
            let target = RemovalTarget { thing, id: &id, region, ec2, tokens };
            resource.remove(self, &target).await?;
        }
        let Recorded { resource, place } = Recorded::of(thing)?;
        let leftovers = Leftovers { thing, ec2: self.ec2_in(&place.region), was_there };
        resource.remove_leftovers(self, &leftovers).await?;
        self.journal.gone(thing);
        Ok(())
    }

    /// Sees whether `thing`, a product that was finished, is still there: then it is handed over, as
    /// its run would have done. It is not, if somebody has removed it since.
    pub async fn check_product(&self, thing: &Thing) -> anyhow::Result<()> {
        let Some((recorded, id)) = self.find(thing).await? else {
            self.journal.gone(thing);
            return Ok(());
        };
        if recorded.resource.is_handed_over() && !self.journal.is_frozen() {
            hand_over(&self.ec2_in(&recorded.place.region), &[id]).await?;
        }
        Ok(())
    }

    /// What `thing` is and its id, if it is there and ours. Where nobody knows which account it was
    /// made in, that it is not there says nothing.
    pub async fn find(&self, thing: &Thing) -> anyhow::Result<Option<(Recorded, String)>> {
        if !thing.is_attempted() {
            return Ok(None);
        }
        let recorded = Recorded::of(thing)?;
        if let Some(id) = thing.id().filter(|_| !self.is_of_dead_run) {
            return Ok(Some((recorded, id.to_owned())));
        }
        let found = match self.search(thing, &recorded).await? {
            Found::Ours(id) => return Ok(Some((recorded, id))),
            found => found,
        };
        self.mention(&found);
        let is_of_early_version = recorded.resource.tokens().is_empty();
        ensure!(
            !(is_of_early_version && matches!(found, Found::Unproven(_))),
            "an early version of imgbake wrote this line, and nothing in AWS proves any more that the \
             build made it: see for yourself, and remove it by hand"
        );
        ensure!(
            recorded.place.account.is_some(),
            "it is not here, and the journal does not say in which account it was made: run the cleanup with \
             the credentials of the one that made it, or remove it by hand"
        );
        Ok(None)
    }

    /// The values of the build's tag that `resource` may have. Lines of early versions do not say it
    /// of all kinds; the other lines of the same build do.
    fn tokens(&self, resource: &dyn Resource) -> Vec<String> {
        let own = to_strings(resource.tokens());
        if !own.is_empty() {
            return own;
        }
        self.of_build(|one| to_strings(one.resource.tokens()))
    }

    /// What `says` picks from all lines of the build, each once.
    fn of_build(&self, says: impl Fn(&Recorded) -> Vec<String>) -> Vec<String> {
        let lines = self.journal.of_build(self.build);
        let lines = lines.iter().filter_map(|thing| Recorded::of(thing).ok());
        let all: BTreeSet<String> = lines.flat_map(|one| says(&one)).collect();
        all.into_iter().collect()
    }

    /// Looks for `thing`; several times, if the call that makes it was not answered.
    async fn search(&self, thing: &Thing, recorded: &Recorded) -> anyhow::Result<Found> {
        let is_of_early_version = recorded.resource.tokens().is_empty();
        let region = |one: &Recorded| vec![one.place.region.clone()];
        let search = Search {
            account: self.account,
            ec2: self.ec2_in(&recorded.place.region),
            cancel: self.cancel,
            id: thing.id(),
            is_finished: thing.is_finished(),
            tokens: self.tokens(&*recorded.resource),
            is_of_early_version,
            regions: if is_of_early_version { self.of_build(region) } else { Vec::new() },
        };
        let looks = if thing.is_doubtful() && thing.id().is_none() { LOOKS } else { 1 };
        let mut found = recorded.resource.find(&search).await?;
        for _ in 1..looks {
            if found.is_ours() {
                break;
            }
            retry::sleep(self.cancel, Duration::from_secs(1)).await?;
            found = recorded.resource.find(&search).await?;
        }
        Ok(found)
    }
}

pub(super) fn to_strings(tokens: Vec<&str>) -> Vec<String> {
    tokens.into_iter().map(str::to_owned).collect()
}
