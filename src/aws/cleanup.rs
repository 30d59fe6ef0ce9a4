//! Cleaning up after a dead run: what its journal lists in EC2 is found and removed.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use futures::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::aws::access::Access;
use crate::aws::account::{Account, Handle};
use crate::aws::made::{Clue, Place};
use crate::aws::removal::{INSTANCE_PATIENCE, Removal};
use crate::env::Environment;
use crate::event::Ui;
use crate::journal::{Entry, Journal};
use crate::secret::Redactor;

/// Who cleans up, and as whom.
#[derive(Clone, Debug)]
pub struct Cleaner {
    /// Who calls the API; regions and endpoints are those of the journal.
    pub access: Access,
    /// Where credentials are looked for.
    pub environment: Arc<Environment>,
    /// Takes the secrets that turn up.
    pub redactor: Redactor,
    /// Who says what is done.
    pub ui: Ui,
}

/// The accounts of a journal, or why they cannot be used.
type Accounts = HashMap<Place, Result<Handle, String>>;

impl Cleaner {
    /// Removes all that `journal` lists: first what others depend on to go, then the rest, each as
    /// much at a time as there is. What cannot be removed is stuck in the journal.
    pub async fn clean(&self, journal: &Journal) {
        let accounts = self.accounts(journal).await;
        for last in [false, true] {
            let entries = journal.entries();
            let entries = entries.iter().filter(|entry| goes_last(entry) == last);
            join_all(entries.map(|entry| self.remove(journal, &accounts, entry))).await;
        }
    }

    /// What [`clean`](Self::clean) would remove. What cannot be looked up is stuck in the journal.
    pub async fn would_remove(&self, journal: &Journal) -> Vec<String> {
        let accounts = self.accounts(journal).await;
        let entries = journal.entries();
        let looks = entries.iter().map(async |entry| {
            let found = self.with_removal(journal, &accounts, entry, async |removal| {
                removal.find(&entry.thing).await
            });
            match found.await {
                Ok(found) => {
                    found.map(|(_, id)| format!("{}: {} ({id})", entry.build, entry.thing))
                }
                Err(error) => {
                    journal.stuck(&entry.thing, format!("{error:#}"));
                    None
                }
            }
        });
        join_all(looks).await.into_iter().flatten().collect()
    }

    async fn remove(&self, journal: &Journal, accounts: &Accounts, entry: &Entry) {
        let removed = self.with_removal(journal, accounts, entry, async |removal| {
            removal.remove(&entry.thing).await
        });
        if let Err(error) = removed.await {
            journal.stuck(&entry.thing, format!("{error:#}"));
        }
    }

    async fn with_removal<T>(
        &self,
        journal: &Journal,
        accounts: &Accounts,
        entry: &Entry,
        work: impl AsyncFnOnce(Removal<'_>) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let place = Clue::of(&entry.thing)?.r#in;
        let account = match accounts.get(&place) {
            Some(Ok(account)) => account,
            Some(Err(why)) => bail!("{why}"),
            None => bail!("nobody opened its account"),
        };
        work(Removal {
            account,
            journal,
            build: &entry.build,
            ui: &self.ui.for_target(entry.build.as_str()),
            cancel: &CancellationToken::new(),
            patience: self.access.aws_polling.patience(&self.environment, INSTANCE_PATIENCE),
            suspicious: true,
        })
        .await
    }

    /// Opens the accounts that `journal` is about.
    async fn accounts(&self, journal: &Journal) -> Accounts {
        let mut accounts = Accounts::new();
        for entry in journal.entries() {
            if let Ok(Clue { r#in: place, .. }) = Clue::of(&entry.thing)
                && !accounts.contains_key(&place)
            {
                let opened = self.open(&place).await.map_err(|error| format!("{error:#}"));
                accounts.insert(place, opened);
            }
        }
        accounts
    }

    /// The account at `place`. Another one would not know of our things, as if they were gone.
    async fn open(&self, place: &Place) -> anyhow::Result<Handle> {
        let access = Access {
            region: place.region.clone(),
            custom_endpoint_ec2: place.endpoint.clone().unwrap_or_default(),
            ..self.access.clone()
        };
        let account = Account::open(&access, &self.environment, &self.redactor).await?;
        let here = account.place(&place.region);
        if here.endpoint != place.endpoint {
            let endpoint = here.endpoint.unwrap_or_default();
            bail!("it was made at AWS, but the EC2 API is {endpoint} now (see AWS_ENDPOINT_URL)");
        }
        if let Some(wanted) = &place.account {
            account.check_credentials().await?;
            let here = account.place(&place.region).account.context("STS named no account")?;
            if here != *wanted {
                bail!("it is in the account {wanted}, but the credentials are of {here}");
            }
        }
        Ok(account)
    }
}

fn goes_last(entry: &Entry) -> bool {
    Clue::of(&entry.thing).is_ok_and(|clue| clue.ec2.goes_last())
}
