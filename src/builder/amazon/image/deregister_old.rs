//! AMIs of the same name go when the new one is available, where the template or `-force` says so.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::join_all;

use crate::aws::allow::Regions;
use crate::aws::image::deregister;
use crate::aws::resource::Resource as _;
use crate::aws::resource::replaced_ami::ReplacedAmi;
use crate::builder::amazon::image::find_old::Old;
use crate::builder::amazon::image::settings::{ImageSettings, Imaging};
use crate::component::BuildContext;
use crate::event::Phase;
use crate::journal::Thing;
use crate::permission::Permission;
use crate::step::{Ending, Step};

/// Deregisters the account's AMIs that have the name of the new one: EC2 does not allow two AMIs of
/// one name. If the build fails, they are put back.
pub(crate) struct DeregisterOld {
    imaging: Imaging,
    old: Vec<(Old, Arc<Thing>)>,
}

impl DeregisterOld {
    pub(crate) fn new(imaging: &Imaging, old: Vec<Old>) -> Self {
        let snapshots_go = imaging.settings.ami.force_delete_snapshot;
        let with_thing = |old: Old| {
            let made = ReplacedAmi::of(&old.image, snapshots_go);
            let thing = made.thing(&imaging.build.account, &old.region);
            (old, Arc::new(thing))
        };
        Self { imaging: imaging.clone(), old: old.into_iter().map(with_thing).collect() }
    }

    /// What the account must allow for it.
    pub(crate) fn permissions(settings: &ImageSettings, at: &Regions) -> Vec<Permission> {
        if !settings.force {
            return Vec::new();
        }
        let mut all = vec![at.everywhere(&["image"], &["DeregisterImage"])];
        all.extend(ReplacedAmi::permissions(at));
        if settings.ami.force_delete_snapshot {
            all.push(at.everywhere(&["snapshot"], &["DeleteSnapshot"]));
        }
        all
    }
}

#[async_trait]
impl Step for DeregisterOld {
    type Output = ();

    fn name(&self) -> &'static str {
        "deregister old AMIs"
    }

    fn phase(&self) -> Phase {
        Phase::Image
    }

    fn makes(&self) -> Vec<Arc<Thing>> {
        self.old.iter().map(|(_, thing)| thing.clone()).collect()
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<()> {
        let name = &self.imaging.settings.ami.ami_name;
        let each = self.old.iter().map(async |(Old { region, image }, thing)| {
            let id = image.image_id().unwrap_or_default();
            cx.ui.say(format!("Deregistering {id}, the AMI called `{name}` in {region}"));
            thing.attempt();
            deregister(&self.imaging.build.ec2_in(cx, region), id).await?;
            cx.journal.made(thing, id);
            Ok(())
        });
        join_all(each).await.into_iter().collect()
    }

    async fn undo(&self, cx: &BuildContext, _ending: Ending) -> anyhow::Result<()> {
        let removal = self.imaging.build.removal(cx);
        let each = self.old.iter().map(|(_, thing)| removal.remove(thing));
        join_all(each).await.into_iter().collect()
    }

    fn undoes_independently(&self) -> bool {
        true
    }
}
