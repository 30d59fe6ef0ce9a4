//! Who cleans up after builds in a chroot: on this host, then in EC2.

use async_trait::async_trait;

use crate::aws::cleanup::Ec2Cleaner;
use crate::builder::amazon::chroot::mount::MountCleaner;
use crate::component::{Cleaner, Wanted};
use crate::journal::{Entry, Journal, Thing};

/// Both. A volume that is mounted cannot be detached.
#[derive(Debug)]
pub(super) struct ChrootCleaner {
    pub mounts: MountCleaner,
    pub ec2: Ec2Cleaner,
}

#[async_trait]
impl Cleaner for ChrootCleaner {
    fn owns(&self, thing: &Thing) -> bool {
        self.mounts.owns(thing) || self.ec2.owns(thing)
    }

    async fn clean(&self, journal: &Journal) {
        self.mounts.clean(journal).await;
        self.ec2.clean(journal).await;
    }

    async fn check_products(&self, journal: &Journal) {
        self.ec2.check_products(journal).await;
    }

    async fn would_remove(&self, journal: &Journal) -> Vec<String> {
        let mut all = self.mounts.would_remove(journal).await;
        all.extend(self.ec2.would_remove(journal).await);
        all
    }

    async fn search(&self, wanted: &Wanted) -> anyhow::Result<Vec<Entry>> {
        self.ec2.search(wanted).await
    }
}
