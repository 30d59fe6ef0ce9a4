//! What the kinds of resources work with: where to look, and how to remove.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::aws::account::Account;
use crate::aws::call::Ec2;
use crate::aws::resource::found::Found;
use crate::event::Ui;
use crate::journal::{Journal, Thing};

/// A search for one resource.
#[derive(Debug)]
pub struct Search<'a> {
    /// The account.
    pub account: &'a Account,
    /// EC2 in the region where it was made.
    pub ec2: Ec2,
    /// Ends the search.
    pub cancel: &'a CancellationToken,
    /// Its id, if that is known.
    pub id: Option<&'a str>,
    /// Whether it is a product that was finished: it has no tag of ours any more.
    pub is_finished: bool,
    /// The values of the build's tag that it may have: those that its line says; in lines that say
    /// none, those of the other lines of its build.
    pub tokens: Vec<String>,
    /// Whether its line says none.
    pub is_of_early_version: bool,
    /// Where its build has made anything, if its line is of an early version.
    pub regions: Vec<String>,
}

impl Search<'_> {
    /// Whether `proves` holds for any of the tokens.
    pub fn any(&self, proves: impl Fn(&str) -> bool) -> bool {
        self.tokens.iter().any(|token| proves(token))
    }
}

/// A resource that was found and is ours.
#[derive(Debug)]
pub struct RemovalTarget<'a> {
    /// What the journal knows of it.
    pub thing: &'a Thing,
    /// Its id.
    pub id: &'a str,
    /// Where it is.
    pub region: &'a str,
    /// EC2 there.
    pub ec2: Ec2,
    /// See [`Search::tokens`].
    pub tokens: Vec<String>,
}

impl RemovalTarget<'_> {
    /// The token of the build that made it: of an AMI that was adopted, the first one. A token begins
    /// with its time.
    pub fn token(&self) -> &str {
        self.tokens.iter().min().map(String::as_str).unwrap_or_default()
    }
}

/// What a resource may have left, which is not there any more.
#[derive(Debug)]
pub struct Leftovers<'a> {
    /// What the journal knows of it.
    pub thing: &'a Thing,
    /// EC2 where it was.
    pub ec2: Ec2,
    /// Whether it was there until it was removed just now.
    pub was_there: bool,
}

/// Removes what one build has made. Everything here may be done twice.
#[derive(Clone, Copy, Debug)]
pub struct Removal<'a> {
    /// The account.
    pub account: &'a Account,
    /// Where it is written that something is gone, and what comes to light on the way.
    pub journal: &'a Journal,
    /// The build.
    pub build: &'a str,
    /// Where messages go.
    pub ui: &'a Ui,
    /// Ends the waits.
    pub cancel: &'a CancellationToken,
    /// How long a terminating instance may stay as it is.
    pub patience: Duration,
    /// Whether even what has a known id is looked at before it is removed: whoever reads the id
    /// from a file has not seen the API say it.
    pub is_of_dead_run: bool,
}

impl Removal<'_> {
    /// EC2 in `region`.
    pub fn ec2_in(&self, region: &str) -> Ec2 {
        self.account.ec2_in(region, self.cancel)
    }

    /// Says what is left alone, although it looks as if it were ours.
    pub fn mention(&self, found: &Found) {
        if let Found::Unproven(id) = found {
            self.ui.say(format!("Leaving {id} alone: nothing proves that the build made it"));
        }
    }

    /// Writes down `parts`, which would be forgotten together with the resource that they belong to.
    pub async fn write_down(&self, parts: Vec<Thing>) -> anyhow::Result<Vec<Arc<Thing>>> {
        let parts: Vec<_> = parts.into_iter().map(Arc::new).collect();
        let written = self.journal.intend(self.build, parts.clone()).await;
        written.context("the journal cannot be written")?;
        Ok(parts)
    }

    /// Removes `parts`, each by its id.
    pub async fn remove_parts<F: Future<Output = anyhow::Result<()>>>(
        &self,
        parts: &[Arc<Thing>],
        remove: impl Fn(String) -> F,
    ) -> anyhow::Result<()> {
        let removals = parts.iter().map(|part| remove(part.id().unwrap_or_default().to_owned()));
        let removals = join_all(removals).await;
        for (part, removed) in parts.iter().zip(&removals) {
            self.journal.removed(part, removed);
        }
        removals.into_iter().collect()
    }
}

/// Where `imgbake reap` looks.
#[derive(Debug)]
pub struct Area<'a> {
    /// The account, in the region that is searched.
    pub account: &'a Account,
    /// Ends the search.
    pub cancel: &'a CancellationToken,
}

impl Area<'_> {
    /// EC2 in the region.
    pub fn ec2(&self) -> Ec2 {
        self.account.ec2(self.cancel)
    }

    /// EC2 in another region.
    pub fn ec2_in(&self, region: &str) -> Ec2 {
        self.account.ec2_in(region, self.cancel)
    }
}
