//! What we made in EC2 is removed again: by the steps that made it, and by `imgbake cleanup`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use aws_sdk_ec2::types::{Filter, Image, InstanceStateName};
use futures::future::join_all;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::aws::account::Account;
use crate::aws::call::Ec2;
use crate::aws::error::{ApiError, Meaning};
use crate::aws::image::{self, delete_snapshot, deregister, filter, own_by_name};
use crate::aws::instance::{self, state};
use crate::aws::made::{BUILD_TAG, Clue, Made, hand_over};
use crate::aws::profile;
use crate::aws::ssm::session;
use crate::aws::wait::{Seen, Wait};
use crate::event::Ui;
use crate::journal::{Journal, Thing};
use crate::retry;

/// How long an instance may take to change its state.
pub const INSTANCE_PATIENCE: Duration = Duration::from_secs(10 * 60);

/// How often an unanswered call's thing is looked for, a second apart.
const LOOKS: usize = 6;

/// Removes things of one build. Everything here may be done twice.
#[derive(Clone, Copy, Debug)]
pub struct Removal<'a> {
    /// The account.
    pub account: &'a Account,
    /// Where it is written that they are gone, and what comes to light on the way.
    pub journal: &'a Journal,
    /// The build that made them.
    pub build: &'a str,
    /// Who says so.
    pub ui: &'a Ui,
    /// Ends the waits.
    pub cancel: &'a CancellationToken,
    /// How long a terminating instance may stay as it is.
    pub patience: Duration,
    /// Whether even what has a known id is looked at before it is removed: whoever reads the id
    /// from a file has not seen the API say it.
    pub suspicious: bool,
}

impl Removal<'_> {
    /// Removes `thing`, if it is there and ours.
    pub async fn remove(&self, thing: &Thing) -> anyhow::Result<()> {
        if let Some((clue, id)) = self.find(thing).await? {
            self.journal.made(thing, &id);
            let ec2 = self.ec2_in(&clue.r#in.region);
            let ec2 = if thing.is_new() { ec2.expecting([&id]) } else { ec2 };
            self.remove_found(&ec2, thing, &clue, &id).await?;
        }
        self.remove_loose(thing).await?;
        self.journal.gone(thing);
        Ok(())
    }

    /// Removes the volumes of an instance that somebody else has ended: they have our tag, too.
    async fn remove_loose(&self, thing: &Thing) -> anyhow::Result<()> {
        let clue = Clue::of(thing)?;
        let Made::Instance { token, .. } = &clue.ec2 else { return Ok(()) };
        if !thing.is_set_out() || thing.is_of_done_build() {
            return Ok(());
        }
        let ec2 = self.ec2_in(&clue.r#in.region);
        for volume in loose_volumes(&ec2, token).await? {
            self.ui.say(format!("Deleting the volume {volume}, whose instance is gone"));
            delete_volume(&ec2, &volume).await?;
        }
        Ok(())
    }

    fn ec2_in(&self, region: &str) -> Ec2 {
        self.account.ec2_in(region, self.cancel)
    }

    /// What `thing` is and its id, if it is there and ours.
    pub async fn find(&self, thing: &Thing) -> anyhow::Result<Option<(Clue, String)>> {
        if !thing.is_set_out() {
            return Ok(None);
        }
        let clue = Clue::of(thing)?;
        if let Some(id) = thing.id().filter(|_| !self.suspicious) {
            return Ok(Some((clue, id.to_owned())));
        }
        let ec2 = self.ec2_in(&clue.r#in.region);
        let looks = if thing.is_doubtful() && thing.id().is_none() { LOOKS } else { 1 };
        for look in 1..=looks {
            if let Some(id) = self.look(&ec2, &clue.ec2, thing.id()).await? {
                return Ok(Some((clue, id)));
            }
            if look < looks {
                retry::sleep(self.cancel, Duration::from_secs(1)).await?;
            }
        }
        Ok(None)
    }

    /// The id of what `made` describes, if it is there and ours; `id` is what is known of it.
    async fn look(
        &self,
        ec2: &Ec2,
        made: &Made,
        id: Option<&str>,
    ) -> anyhow::Result<Option<String>> {
        match made {
            Made::KeyPair { name, token } => find_key_pair(ec2, name, token).await,
            Made::SecurityGroup { name, token } => find_group(ec2, name, token, id).await,
            Made::Instance { token, .. } => find_instance(ec2, token, id).await,
            Made::Session { instance, reason } => {
                session::find(&self.account.ssm(self.cancel), instance, reason, id).await
            }
            Made::Profile { name, token } => {
                profile::find(&self.account.iam(self.cancel), name, token).await
            }
            Made::LaunchTemplate { name, token } => find_launch_template(ec2, name, token).await,
            Made::Volume { instance } => find_volume(ec2, instance, id.unwrap_or_default()).await,
            Made::Image { name, instance, .. } | Made::Intermediary { name, instance, .. } => {
                find_image(ec2, name, instance, id).await
            }
            Made::Copy { name, source, since } => find_copy(ec2, name, source, *since, id).await,
            Made::Unfinished { token } => {
                let wanted = narrowed(vec![of_build(token)], "image-id", id);
                let found = image::matching(ec2, wanted).await?;
                Ok(found.into_iter().find_map(|image| image.image_id))
            }
            Made::Loose { token } => {
                let found = loose_volumes(ec2, token).await?.into_iter();
                Ok(found.into_iter().find(|found| id.is_none_or(|id| id == found)))
            }
            Made::Replaced(old) => {
                let known = image::by_id(ec2, &old.id).await?;
                Ok(known.is_none().then(|| old.id.clone()))
            }
            Made::FastLaunch { image } => find_fast_launch(ec2, image).await,
            Made::Snapshot { image } => find_snapshot(ec2, image, id.unwrap_or_default()).await,
        }
    }

    async fn remove_found(
        &self,
        ec2: &Ec2,
        thing: &Thing,
        clue: &Clue,
        id: &str,
    ) -> anyhow::Result<()> {
        match &clue.ec2 {
            Made::KeyPair { name, .. } => {
                self.ui.say(format!("Deleting the temporary key pair {name}"));
                Ok(delete_key_pair(ec2, name).await?)
            }
            Made::SecurityGroup { name, .. } => {
                self.ui.say(format!("Deleting the temporary security group {name}"));
                Ok(delete_group(ec2, id).await?)
            }
            Made::Instance { keeps, .. } => {
                let keeps: &[String] = if thing.is_of_done_build() { keeps } else { &[] };
                self.end_instance(ec2, id, keeps).await
            }
            Made::Profile { name, .. } => {
                self.ui.say(format!("Deleting the temporary instance profile {name} and its role"));
                profile::remove(&self.account.iam(self.cancel), name).await
            }
            Made::LaunchTemplate { name, .. } => {
                self.ui.say(format!("Deleting the temporary launch template {name}"));
                Ok(delete_launch_template(ec2, name).await?)
            }
            Made::Session { instance, .. } => self.end_session(instance, id).await,
            Made::Volume { .. } | Made::Loose { .. } => Ok(delete_volume(ec2, id).await?),
            Made::Unfinished { .. } => {
                self.ui.say(format!(
                    "Deregistering {id} and deleting its snapshots: it was never finished"
                ));
                self.remove_image(ec2, clue, id).await
            }
            Made::Image { .. } => {
                self.ui.say(format!(
                    "Deregistering {id} and deleting its snapshots: the build failed"
                ));
                self.remove_image(ec2, clue, id).await
            }
            Made::Intermediary { .. } => {
                self.ui.say(format!("Removing the intermediary AMI {id} and its snapshots"));
                self.remove_image(ec2, clue, id).await
            }
            Made::Copy { .. } => {
                let region = &clue.r#in.region;
                self.ui.say(format!("Removing the copy in {region}: the build failed"));
                self.remove_image(ec2, clue, id).await
            }
            Made::Replaced(old) => match thing.is_of_done_build() {
                true => old.let_go(ec2, &clue.r#in.region, self.ui).await,
                false => old.put_back(ec2, thing, self.ui, self.cancel).await,
            },
            Made::FastLaunch { image } => {
                self.ui.say(format!("Disabling fast launch of {image}"));
                Ok(disable_fast_launch(ec2, image).await?)
            }
            Made::Snapshot { .. } => Ok(delete_snapshot(ec2, id).await?),
        }
    }

    /// Ends a session. Who may not do that has to leave it: it ends with its instance.
    async fn end_session(&self, instance: &str, id: &str) -> anyhow::Result<()> {
        match session::terminate(&self.account.ssm(self.cancel), id).await {
            Err(error) if error.meaning == Meaning::Denied => {
                self.ui.say(format!("The session {id} ends with {instance}: {error}"));
                Ok(())
            }
            ended => Ok(ended?),
        }
    }

    /// Terminates an instance, and deletes its volumes but those on the devices that it `keeps`.
    async fn end_instance(&self, ec2: &Ec2, id: &str, keeps: &[String]) -> anyhow::Result<()> {
        self.ui.say(format!("Terminating the instance {id}"));
        let (mut orphans, mut kept) = (Vec::new(), Vec::new());
        for volume in instance::volumes(ec2, id).await? {
            let (Some(volume_id), Some(device)) = (
                volume.volume_id(),
                volume.attachments().first().and_then(|attached| attached.device()),
            ) else {
                continue;
            };
            match keeps.iter().any(|kept| kept == device) {
                true => {
                    self.ui.say(format!(
                        "Keeping the volume {volume_id} ({device}) as the template says"
                    ));
                    kept.push(volume_id.to_owned());
                }
                false => orphans.push(volume_id.to_owned()),
            }
        }
        if !kept.is_empty() {
            hand_over(ec2, &kept).await?;
        }
        let volume = || Made::Volume { instance: id.to_owned() };
        let orphans = self.write_down(ec2, orphans, volume).await?;
        self.terminate(ec2, id).await?;
        self.remove_all(ec2, &orphans).await
    }

    async fn terminate(&self, ec2: &Ec2, id: &str) -> anyhow::Result<()> {
        let request = ec2.terminate_instances().instance_ids(id);
        ec2.remove("TerminateInstances", |_| request.clone().send()).await?;
        let memory = &self.account.memory;
        let wait = Wait { kind: "instance terminated", what: id, patience: self.patience, memory };
        wait.until(self.ui, self.cancel, || async {
            Ok(match instance::by_id(ec2, id).await?.as_ref().map(state) {
                None | Some(InstanceStateName::Terminated) => Seen::Ready(()),
                Some(other) => Seen::pending(other.as_str()),
            })
        })
        .await
    }

    /// Removes an AMI and the snapshots that were made for it.
    async fn remove_image(&self, ec2: &Ec2, clue: &Clue, id: &str) -> anyhow::Result<()> {
        let mut snapshots = match &clue.ec2 {
            Made::Image { instance, .. } | Made::Intermediary { instance, .. } => {
                snapshots_of(ec2, instance, id).await?
            }
            _ => Vec::new(),
        };
        if let Some(image) = image::by_id(ec2, id).await? {
            snapshots.extend(image::snapshots(&image));
            image::lift_protection(ec2, &image).await?;
        }
        snapshots.sort();
        snapshots.dedup();
        let snapshot = || Made::Snapshot { image: id.to_owned() };
        let orphans = self.write_down(ec2, snapshots, snapshot).await?;
        deregister(ec2, id).await?;
        self.remove_all(ec2, &orphans).await
    }

    /// Writes down what would be forgotten together with what it belongs to.
    async fn write_down(
        &self,
        ec2: &Ec2,
        ids: Vec<String>,
        made: impl Fn() -> Made,
    ) -> anyhow::Result<Vec<Arc<Thing>>> {
        let region = ec2.config().region().map(|region| region.as_ref()).unwrap_or_default();
        let thing = |id: String| made().thing(self.account, region).known_as(id).into();
        let things: Vec<_> = ids.into_iter().map(thing).collect();
        let written = self.journal.intend(self.build, things.clone()).await;
        written.context("the journal cannot be written")?;
        Ok(things)
    }

    async fn remove_all(&self, ec2: &Ec2, things: &[Arc<Thing>]) -> anyhow::Result<()> {
        let each = things.iter().map(async |thing| {
            let (clue, id) = (Clue::of(thing)?, thing.id().unwrap_or_default());
            // A template may put somebody else's snapshot into its AMI.
            let is_ours = match clue.ec2 {
                Made::Snapshot { .. } => self.look(ec2, &clue.ec2, Some(id)).await?.is_some(),
                _ => true,
            };
            let removed = match (is_ours, &clue.ec2) {
                (false, _) => Ok(()),
                (true, Made::Snapshot { .. }) => delete_snapshot(ec2, id).await,
                (true, _) => delete_volume(ec2, id).await,
            };
            match &removed {
                Ok(()) => self.journal.gone(thing),
                Err(error) => self.journal.stuck(thing, error.to_string()),
            }
            Ok(removed?)
        });
        join_all(each).await.into_iter().collect()
    }
}

fn of_build(token: &str) -> Filter {
    filter(format!("tag:{BUILD_TAG}"), [token])
}

/// `filters`, and that `name` is `id` if that is known.
fn narrowed(mut filters: Vec<Filter>, name: &str, id: Option<&str>) -> Vec<Filter> {
    filters.extend(id.map(|id| filter(name, [id])));
    filters
}

/// The name of the key pair of our name and tag.
pub async fn find_key_pair(ec2: &Ec2, name: &str, token: &str) -> anyhow::Result<Option<String>> {
    let wanted = vec![filter("key-name", [name]), of_build(token)];
    let request = ec2.describe_key_pairs().set_filters(Some(wanted));
    let found = ec2.call("DescribeKeyPairs", |_| request.clone().send()).await?;
    Ok(found.key_pairs().first().and_then(|key| key.key_name.clone()))
}

/// Removes a key pair; it is no error if it is gone already.
pub async fn delete_key_pair(ec2: &Ec2, name: &str) -> Result<(), ApiError> {
    ec2.remove("DeleteKeyPair", |ec2| ec2.delete_key_pair().key_name(name).send()).await
}

/// The interface of a terminated instance lets go of its group only after a while.
async fn delete_group(ec2: &Ec2, id: &str) -> Result<(), ApiError> {
    ec2.remove("DeleteSecurityGroup", |ec2| ec2.delete_security_group().group_id(id).send()).await
}

async fn delete_volume(ec2: &Ec2, id: &str) -> Result<(), ApiError> {
    ec2.remove("DeleteVolume", |ec2| ec2.delete_volume().volume_id(id).send()).await
}

/// The id of the instance of our tag, unless it has ended.
pub async fn find_instance(
    ec2: &Ec2,
    token: &str,
    id: Option<&str>,
) -> anyhow::Result<Option<String>> {
    let wanted = narrowed(vec![of_build(token)], "instance-id", id);
    let found = instance::matching(ec2, wanted).await?;
    let found = found.filter(|found| state(found) != InstanceStateName::Terminated);
    Ok(found.and_then(|found| found.instance_id))
}

/// `image`, which is ours, if EC2 keeps snapshots ready for it.
async fn find_fast_launch(ec2: &Ec2, image: &str) -> anyhow::Result<Option<String>> {
    let request = ec2.describe_fast_launch_images().image_ids(image);
    let found = ec2.call("DescribeFastLaunchImages", |_| request.clone().send()).await?;
    Ok(found.fast_launch_images().first().and_then(|found| found.image_id.clone()))
}

async fn disable_fast_launch(ec2: &Ec2, image: &str) -> Result<(), ApiError> {
    let request = ec2.disable_fast_launch().image_id(image).force(true);
    ec2.remove("DisableFastLaunch", |_| request.clone().send()).await
}

/// The name of the launch template of our name and tag.
pub async fn find_launch_template(
    ec2: &Ec2,
    name: &str,
    token: &str,
) -> anyhow::Result<Option<String>> {
    let wanted = vec![filter("launch-template-name", [name]), of_build(token)];
    let request = ec2.describe_launch_templates().set_filters(Some(wanted));
    let found = ec2.call("DescribeLaunchTemplates", |_| request.clone().send()).await?;
    Ok(found.launch_templates().first().and_then(|found| found.launch_template_name.clone()))
}

async fn delete_launch_template(ec2: &Ec2, name: &str) -> Result<(), ApiError> {
    let request = ec2.delete_launch_template().launch_template_name(name);
    ec2.remove("DeleteLaunchTemplate", |_| request.clone().send()).await
}

/// The id of the security group of our name and tag.
pub async fn find_group(
    ec2: &Ec2,
    name: &str,
    token: &str,
    id: Option<&str>,
) -> anyhow::Result<Option<String>> {
    let wanted = narrowed(vec![filter("group-name", [name]), of_build(token)], "group-id", id);
    let request = ec2.describe_security_groups().set_filters(Some(wanted));
    let found = ec2.call("DescribeSecurityGroups", |_| request.clone().send()).await?;
    Ok(found.security_groups().first().and_then(|group| group.group_id.clone()))
}

/// The volumes that have our tag and belong to no instance.
async fn loose_volumes(ec2: &Ec2, token: &str) -> anyhow::Result<Vec<String>> {
    let wanted = vec![of_build(token), filter("status", ["available"])];
    let request = ec2.describe_volumes().set_filters(Some(wanted));
    let found = ec2.call("DescribeVolumes", |_| request.clone().send()).await?;
    Ok(found.volumes().iter().filter_map(|volume| volume.volume_id.clone()).collect())
}

async fn find_volume(ec2: &Ec2, instance: &str, id: &str) -> anyhow::Result<Option<String>> {
    let request = ec2.describe_volumes().volume_ids(id);
    let found = match ec2.call("DescribeVolumes", |_| request.clone().send()).await {
        Err(error) if error.is_unknown() => return Ok(None),
        found => found?,
    };
    // Somebody may have attached it elsewhere: then it is not garbage any more.
    let is_ours = found.volumes().first().is_some_and(|volume| {
        volume.attachments().iter().all(|attached| attached.instance_id() == Some(instance))
    });
    Ok(is_ours.then(|| id.to_owned()))
}

async fn find_snapshot(ec2: &Ec2, image: &str, id: &str) -> anyhow::Result<Option<String>> {
    let request = ec2.describe_snapshots().snapshot_ids(id).owner_ids("self");
    let found = match ec2.call("DescribeSnapshots", |_| request.clone().send()).await {
        Err(error) if error.is_unknown() => return Ok(None),
        found => found?,
    };
    // EC2 says itself which AMI it made a snapshot for.
    let is_ours = found.snapshots().first().is_some_and(|snapshot| {
        snapshot.description().is_some_and(|description| description.contains(image))
    });
    Ok(is_ours.then(|| id.to_owned()))
}

/// The AMI of our name, if it was made of our instance.
pub async fn find_image(
    ec2: &Ec2,
    name: &str,
    instance: &str,
    id: Option<&str>,
) -> anyhow::Result<Option<String>> {
    for image in own_by_name(ec2, name).await? {
        let Some(found) = image.image_id() else { continue };
        let is_ours = match image.source_instance_id() {
            Some(source) => source == instance,
            None => !snapshots_of(ec2, instance, found).await?.is_empty(),
        };
        if is_ours && id.is_none_or(|id| id == found) {
            return Ok(image.image_id);
        }
    }
    Ok(None)
}

/// The AMI of our name, if it is a copy of `source`, or not older than `since`.
pub async fn find_copy(
    ec2: &Ec2,
    name: &str,
    source: &str,
    since: i64,
    id: Option<&str>,
) -> anyhow::Result<Option<String>> {
    let all = own_by_name(ec2, name).await?.into_iter();
    let ours = all.filter(|image| is_copy(image, source, since));
    Ok(ours.filter_map(|image| image.image_id).find(|found| id.is_none_or(|id| id == found)))
}

/// The snapshots of `instance` that EC2 made for the AMI `id`, known before the AMI itself lists
/// them.
async fn snapshots_of(ec2: &Ec2, instance: &str, id: &str) -> anyhow::Result<Vec<String>> {
    let description = format!("Created by CreateImage({instance}) for {id}*");
    let request = ec2.describe_snapshots().owner_ids("self");
    let request = request.filters(filter("description", [description]));
    let found = ec2.call("DescribeSnapshots", |_| request.clone().send()).await?;
    let ids = found.snapshots().iter().filter_map(|snapshot| snapshot.snapshot_id.clone());
    Ok(ids.collect())
}

/// Whether `image` was copied from `source`, as the API says; where it does not, whether it is new.
fn is_copy(image: &Image, source: &str, since: i64) -> bool {
    if let Some(known) = image.source_image_id() {
        return known == source;
    }
    let created = image.creation_date().and_then(|date| date.parse::<Timestamp>().ok());
    created.is_some_and(|created| created.as_second() >= since)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_known_by_its_source_or_by_its_age() {
        let since = "2026-11-22T12:00:00Z".parse::<Timestamp>().unwrap().as_second();
        let image = |date: &str| Image::builder().creation_date(date);
        let other = image("2026-11-22T13:00:00.000Z").source_image_id("ami-2").build();
        assert!(!is_copy(&other, "ami-1", since));
        let ours = image("2026-11-22T11:00:00.000Z").source_image_id("ami-1").build();
        assert!(is_copy(&ours, "ami-1", since));
        assert!(is_copy(&image("2026-11-22T12:00:00.000Z").build(), "ami-1", since));
        assert!(!is_copy(&image("2026-11-22T11:59:59.000Z").build(), "ami-1", since));
        assert!(!is_copy(&Image::builder().build(), "ami-1", since), "its age is not known");
    }
}
