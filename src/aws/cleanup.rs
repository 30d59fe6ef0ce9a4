//! Cleaning up after dead runs: what their journals list in EC2, or what has their tags, is found
//! and removed.

use std::collections::HashMap;

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use futures::future::{join_all, try_join_all};
use tokio_util::sync::CancellationToken;

use crate::aws::access::Access;
use crate::aws::account::{Account, Handle, Patience};
use crate::aws::error::Meaning;
use crate::aws::place::Place;
use crate::aws::reap::{self, Reach};
use crate::aws::removal::{INSTANCE_PATIENCE, Removal};
use crate::aws::resource::Recorded;
use crate::aws::resource::kind::Order;
use crate::component::{Cleaner, CleanupContext, Wanted};
use crate::journal::{Entry, Journal, Thing};

/// Cleans up in EC2.
#[derive(Clone, Debug)]
pub struct Ec2Cleaner {
    /// Who calls the API; regions and endpoints are those of the journal.
    pub access: Access,
    /// What it works with.
    pub cx: CleanupContext,
}

/// The accounts of a journal, or why they cannot be used.
type Accounts = HashMap<Place, Result<Handle, String>>;

#[async_trait]
impl Cleaner for Ec2Cleaner {
    fn owns(&self, thing: &Thing) -> bool {
        Recorded::is_one(thing)
    }

    async fn clean(&self, journal: &Journal) {
        self.clean_some(journal, |_| true).await;
    }

    async fn check_products(&self, journal: &Journal) {
        let kept = self.own(journal.product_entries());
        let accounts = self.accounts(&kept).await;
        let each = kept.iter().map(async |entry| {
            let looked = self.with_removal(journal, &accounts, entry, async |removal| {
                removal.check_product(&entry.thing).await
            });
            if let Err(error) = looked.await {
                self.cx.ui.error(format!("{}: {} ({error:#})", entry.build, entry.thing));
            }
        });
        join_all(each).await;
    }

    async fn would_remove(&self, journal: &Journal) -> Vec<String> {
        let entries = self.own(journal.entries());
        let accounts = self.accounts(&entries).await;
        let looks = entries.iter().map(async |entry| {
            let found = self.with_removal(journal, &accounts, entry, async |removal| {
                removal.find(&entry.thing).await
            });
            match found.await {
                Ok(found) => {
                    journal.clear_failure(&entry.thing);
                    found.map(|(_, id)| format!("{}: {} ({id})", entry.build, entry.thing))
                }
                Err(error) => {
                    journal.mark_failed(&entry.thing, format!("{error:#}"));
                    None
                }
            }
        });
        join_all(looks).await.into_iter().flatten().collect()
    }

    async fn search(&self, wanted: &Wanted) -> anyhow::Result<Vec<Entry>> {
        let given = wanted.places.iter().map(String::as_str);
        let places = if wanted.places.is_empty() { vec![""] } else { given.collect() };
        let searches = places.into_iter().map(async |region| {
            let access = Access { region: region.to_owned(), ..self.access.clone() };
            let account = self.account(&access).await?;
            account.check_credentials(&CancellationToken::new()).await?;
            let region = account.region();
            let found = reap::search(&account, Reach::Region, wanted, &self.cx.ui).await;
            let found = found.with_context(|| format!("{region} cannot be searched"))?;
            anyhow::Ok((account, found))
        });
        let (accounts, mut found): (Vec<_>, Vec<_>) =
            try_join_all(searches).await?.into_iter().unzip();
        if let Some(account) = accounts.first() {
            match reap::search(account, Reach::Account, wanted, &self.cx.ui).await {
                Ok(roles) => found.push(roles),
                // Those who may look at machines may not always look at roles.
                Err(error) if error.meaning == Meaning::Denied => {
                    self.cx.ui.error(format!("roles cannot be searched: {error}"));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(found.concat())
    }
}

impl Ec2Cleaner {
    /// Removes what of `journal` is meant: first what others depend on to go, then the rest, each as
    /// much at a time as there is.
    pub async fn clean_some(&self, journal: &Journal, is_meant: impl Fn(&Recorded) -> bool) {
        let accounts = self.accounts(&self.own(journal.entries())).await;
        for order in [Order::First, Order::Last] {
            let entries = self.own(journal.entries());
            let now = entries.iter().filter(|entry| {
                match Recorded::of(&entry.thing) {
                    Ok(recorded) => recorded.resource.kind().order == order && is_meant(&recorded),
                    // The removal says what is wrong with it.
                    Err(_) => order == Order::First,
                }
            });
            // All is found before anything goes: what proves one may be another.
            let found = join_all(now.map(async |entry| {
                let found = self.with_removal(journal, &accounts, entry, async |removal| {
                    removal.find(&entry.thing).await
                });
                (entry, found.await)
            }));
            let found = found.await.into_iter();
            join_all(found.map(|(entry, found)| self.remove(journal, &accounts, entry, found)))
                .await;
        }
    }

    async fn remove(
        &self,
        journal: &Journal,
        accounts: &Accounts,
        entry: &Entry,
        found: anyhow::Result<Option<(Recorded, String)>>,
    ) {
        let removed = async {
            let found = found?;
            self.with_removal(journal, accounts, entry, async |removal| {
                removal.remove_found(&entry.thing, found).await
            })
            .await
        };
        if let Err(error) = removed.await {
            journal.mark_failed(&entry.thing, format!("{error:#}"));
        }
    }

    async fn with_removal<T>(
        &self,
        journal: &Journal,
        accounts: &Accounts,
        entry: &Entry,
        work: impl AsyncFnOnce(Removal<'_>) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let place = Recorded::of(&entry.thing)?.place;
        let account = match accounts.get(&place) {
            Some(Ok(account)) => account,
            Some(Err(why)) => bail!("{why}"),
            None => bail!("nobody opened its account"),
        };
        work(Removal {
            account,
            journal,
            build: &entry.build,
            ui: &self.cx.ui.for_target(entry.build.as_str()),
            cancel: &CancellationToken::new(),
            patience: self.access.aws_polling.patience(&self.cx.environment, INSTANCE_PATIENCE),
            is_of_dead_run: true,
        })
        .await
    }

    /// Opens the accounts that `entries` are about.
    async fn accounts(&self, entries: &[Entry]) -> Accounts {
        let mut accounts = Accounts::new();
        for entry in entries {
            if let Ok(Recorded { place, .. }) = Recorded::of(&entry.thing)
                && !accounts.contains_key(&place)
            {
                let opened = self.open(&place).await.map_err(|error| format!("{error:#}"));
                accounts.insert(place, opened);
            }
        }
        accounts
    }

    /// The account that `access` leads to. Whoever only looks hears at once that there is no way.
    async fn account(&self, access: &Access) -> anyhow::Result<Handle> {
        let CleanupContext { environment, redactor, dry_run, .. } = &self.cx;
        let patience = if *dry_run { Patience::Short } else { Patience::Long };
        Account::open(access, environment, redactor, patience).await
    }

    /// The account at `place`. Another one would not know of our things, as if they were gone.
    async fn open(&self, place: &Place) -> anyhow::Result<Handle> {
        let access = Access {
            region: place.region.clone(),
            custom_endpoint_ec2: place.endpoint.clone().unwrap_or_default(),
            ..self.access.clone()
        };
        let account = self.account(&access).await?;
        let here = account.place(&place.region);
        if here.endpoint != place.endpoint {
            let endpoint = here.endpoint.unwrap_or_default();
            bail!("it was made at AWS, but the EC2 API is {endpoint} now (see AWS_ENDPOINT_URL)");
        }
        if let Some(wanted) = &place.account {
            let cancel = CancellationToken::new();
            match &place.endpoint {
                // STS may be somewhere else.
                Some(_) => account.learn_owner(&cancel).await?,
                None => account.check_credentials(&cancel).await?,
            }
            let here = account.place(&place.region).account.context("STS named no account")?;
            if here != *wanted {
                bail!("it is in the account {wanted}, but the credentials are of {here}");
            }
        }
        Ok(account)
    }
}
