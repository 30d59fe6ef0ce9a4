//! The instance that a build works on, with the volumes that came with it.

use async_trait::async_trait;
use aws_sdk_ec2::types::{Instance as Ec2Instance, InstanceStateName, Volume as AttachedVolume};
use serde::{Deserialize, Serialize};

use crate::aws::allow::Regions;
use crate::aws::build_tags::{
    BUILD_TAG, Mark, RESUMED_TAG, by_id_or_build, hand_over, of_any_build,
};
use crate::aws::call::Ec2;
use crate::aws::error::ApiError;
use crate::aws::image::filter;
use crate::aws::instance::{self, state};
use crate::aws::proof;
use crate::aws::resource::context::{Area, Leftovers, Removal, RemovalTarget, Search};
use crate::aws::resource::found::Found;
use crate::aws::resource::kind::{Kind, Order, Reap, Resource, Tagged, read};
use crate::aws::resource::loose_volume;
use crate::aws::resource::volume::{self, Volume};
use crate::aws::tags;
use crate::aws::wait::{Seen, Wait};
use crate::permission::Permission;

/// An instance.
pub static KIND: Kind = Kind {
    key: "instance",
    label: "instance",
    order: Order::First,
    is_product: false,
    read: read::<Instance>,
    reap: Reap::InRegion(|area| Box::pin(all(area))),
};

/// The instance that has our tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// The value of the build's tag, and how the client tokens begin that it is asked for with.
    pub token: String,
    /// The devices whose volumes stay if the build ends well.
    pub keeps: Vec<String>,
    /// The devices that it is started with; `None` if nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub devices: Option<Vec<String>>,
    /// The token of the build that goes on with it, if that is another one: it belongs to that alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed_by: Option<String>,
}

#[async_trait]
impl Resource for Instance {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn name(&self) -> String {
        format!("with the tag {BUILD_TAG}={}", self.token)
    }

    fn tokens(&self) -> Vec<&str> {
        vec![&self.token]
    }

    async fn find(&self, search: &Search<'_>) -> anyhow::Result<Found> {
        let belongs = |found: &Ec2Instance| {
            tags::value(found.tags(), RESUMED_TAG) == self.resumed_by.as_deref()
        };
        Ok(find_one(&search.ec2, &self.token, search.id, belongs).await?)
    }

    /// Terminates it, and deletes the volumes that came with it and that EC2 would keep; but those
    /// that the template keeps, if the build ended well. What somebody else attached stays.
    async fn remove(
        &self,
        removal: &Removal<'_>,
        target: &RemovalTarget<'_>,
    ) -> anyhow::Result<()> {
        let (id, ec2) = (target.id, &target.ec2);
        removal.ui.say(format!("Terminating the instance {id}"));
        let stays = target.thing.is_of_done_build();
        let (mut deleted, mut kept) = (Vec::new(), Vec::new());
        for volume in instance::volumes(ec2, id).await? {
            match self.fate(&volume, id, stays) {
                Fate::Goes(volume) => deleted.push(volume),
                Fate::Stays { handed_over, message } => {
                    removal.ui.say(message);
                    kept.extend(handed_over);
                }
                Fate::EndsWithInstance => {}
            }
        }
        if !kept.is_empty() {
            hand_over(ec2, &kept).await?;
        }
        let volume = Volume { instance: id.to_owned(), token: self.token.clone() };
        let deleted = volume.things(removal.account, target.region, deleted);
        let deleted = removal.write_down(deleted).await?;
        terminate(removal, ec2, id).await?;
        let delete = async |id: String| {
            removal.ui.say(format!("Deleting the volume {id}"));
            Ok(volume::delete(ec2, &id).await?)
        };
        removal.remove_parts(&deleted, delete).await
    }

    /// The volumes of an instance that somebody else has terminated: they have our tag, too. One that is
    /// not found may only be another's by now: a later run has gone on with it. What only has our tag is
    /// no reason to leave them.
    async fn remove_leftovers(
        &self,
        removal: &Removal<'_>,
        leftovers: &Leftovers<'_>,
    ) -> anyhow::Result<()> {
        let Leftovers { thing, ec2, was_there } = leftovers;
        if !thing.is_attempted() || thing.is_of_done_build() {
            return Ok(());
        }
        if !was_there && find(ec2, &self.token, None).await?.is_ours() {
            return Ok(());
        }
        for found in loose_volume::find(ec2, &self.token).await? {
            match found {
                Found::Ours(id) => {
                    removal.ui.say(format!("Deleting the volume {id}, whose instance is gone"));
                    volume::delete(ec2, &id).await?;
                }
                other => removal.mention(&other),
            }
        }
        Ok(())
    }

    fn permissions(at: &Regions) -> Vec<Permission> {
        let mut all =
            vec![at.look(&["DescribeInstances"]), at.on_ours("instance", &["TerminateInstances"])];
        all.extend(Volume::permissions(at));
        all
    }
}

/// What becomes of a volume when its instance is terminated.
enum Fate {
    /// EC2 deletes it.
    EndsWithInstance,
    /// It is deleted: its id.
    Goes(String),
    /// It stays.
    Stays {
        /// Its id, if our tags are taken off it.
        handed_over: Option<String>,
        /// What is said about it.
        message: String,
    },
}

impl Instance {
    /// What becomes of `volume`, which is attached to the instance `id`, if the volumes that the
    /// template keeps stay or go.
    fn fate(&self, volume: &AttachedVolume, id: &str, stays: bool) -> Fate {
        let mut attachments = volume.attachments().iter();
        let attached = attachments.find(|attached| attached.instance_id() == Some(id));
        let Some((volume_id, attached)) = volume.volume_id().zip(attached) else {
            return Fate::EndsWithInstance;
        };
        let device = attached.device().unwrap_or_default();
        if attached.delete_on_termination() == Some(true) {
            Fate::EndsWithInstance
        } else if !proof::volume(volume, &self.token, self.devices.as_deref()) {
            let why = "the build did not make it";
            let message = format!("Leaving the volume {volume_id} ({device}) alone: {why}");
            Fate::Stays { handed_over: None, message }
        } else if stays && self.keeps.iter().any(|kept| kept == device) {
            let message = format!("Keeping the volume {volume_id} ({device}) as the template says");
            Fate::Stays { handed_over: Some(volume_id.to_owned()), message }
        } else {
            Fate::Goes(volume_id.to_owned())
        }
    }
}

async fn terminate(removal: &Removal<'_>, ec2: &Ec2, id: &str) -> anyhow::Result<()> {
    let request = ec2.terminate_instances().instance_ids(id);
    ec2.remove("TerminateInstances", |_| request.clone().send()).await?;
    let (patience, memory) = (removal.patience, &removal.account.memory);
    let wait = Wait { kind: "instance terminated", what: id, patience, memory };
    wait.until(removal.ui, removal.cancel, || async {
        Ok(match instance::by_id(ec2, id).await?.as_ref().map(state) {
            None | Some(InstanceStateName::Terminated) => Seen::Ready(()),
            Some(other) => Seen::pending(other.as_str()),
        })
    })
    .await
}

/// The instance of the build of `token`, unless it has ended; the one of this `id`, if that is known.
pub async fn find(ec2: &Ec2, token: &str, id: Option<&str>) -> Result<Found, ApiError> {
    find_one(ec2, token, id, |_| true).await
}

async fn find_one(
    ec2: &Ec2,
    token: &str,
    id: Option<&str>,
    belongs: impl Fn(&Ec2Instance) -> bool,
) -> Result<Found, ApiError> {
    let found = instance::matching(ec2, by_id_or_build("instance-id", id, token)).await?;
    let found = found.filter(|found| state(found) != InstanceStateName::Terminated);
    let found = found.filter(belongs);
    let Some(found) = found else { return Ok(Found::Nothing) };
    Ok(Found::new(found.instance_id(), proof::instance(&found, token)))
}

/// What the tags of `instance` say, if more than them proves that a build of ours has started it.
pub fn proven(instance: &Ec2Instance) -> Option<Mark> {
    Mark::of(instance.tags()).filter(|mark| proof::instance(instance, &mark.token))
}

/// Whether the build of `token` has started `instance`, or has gone on with what another one of ours has
/// started.
pub fn is_at_work_on(instance: &Ec2Instance, token: &str) -> bool {
    let is_resumed = tags::value(instance.tags(), RESUMED_TAG) == Some(token);
    proof::instance(instance, token) || (is_resumed && proven(instance).is_some())
}

async fn all(area: &Area<'_>) -> Result<Vec<Tagged>, ApiError> {
    let ec2 = area.ec2();
    let alive = ["pending", "running", "stopping", "stopped"];
    let request = ec2.describe_instances().filters(of_any_build());
    let request = request.filters(filter("instance-state-name", alive));
    let answer = ec2.call("DescribeInstances", |_| request.clone().send()).await?;
    let all = answer.reservations.unwrap_or_default().into_iter();
    let all = all.flat_map(|reservation| reservation.instances.unwrap_or_default());
    let tagged = all.filter_map(|instance| {
        let mark = Mark::of(instance.tags())?;
        let is_proven = proof::instance(&instance, &mark.token);
        let resumed_by = tags::value(instance.tags(), RESUMED_TAG).map(str::to_owned);
        let token = mark.token.clone();
        let ours = Instance { token, keeps: Vec::new(), devices: None, resumed_by };
        Tagged::new(instance.instance_id, mark, is_proven, ours)
    });
    Ok(tagged.collect())
}
