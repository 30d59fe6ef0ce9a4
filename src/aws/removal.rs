//! What we made in EC2 is removed again: by the steps that made it, and by `imgbake cleanup`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use aws_sdk_ec2::types::InstanceStateName;
use futures::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::aws::account::Account;
use crate::aws::call::Ec2;
use crate::aws::error::{ApiError, Meaning};
use crate::aws::find::{self, Look};
use crate::aws::image::{self, delete_snapshot, deregister, filter};
use crate::aws::instance::{self, state};
use crate::aws::made::{Clue, Made, hand_over};
use crate::aws::profile;
use crate::aws::proof;
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
        let found = self.find(thing).await?;
        self.remove_this(thing, found).await
    }

    /// Removes `thing`, which was `found` to be there, and what would be left of it.
    pub async fn remove_this(
        &self,
        thing: &Thing,
        found: Option<(Clue, String)>,
    ) -> anyhow::Result<()> {
        if let Some((clue, id)) = found {
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
        for look in find::loose_volumes(&ec2, token).await? {
            match look {
                Look::Ours(volume) => {
                    self.ui.say(format!("Deleting the volume {volume}, whose instance is gone"));
                    delete_volume(&ec2, &volume).await?;
                }
                strange => self.mention(&strange),
            }
        }
        Ok(())
    }

    fn ec2_in(&self, region: &str) -> Ec2 {
        self.account.ec2_in(region, self.cancel)
    }

    /// Says what is left alone, although it looks as if it were ours.
    fn mention(&self, look: &Look) {
        if let Look::Strange(id) = look {
            self.ui.say(format!("Leaving {id} alone: nothing proves that the build made it"));
        }
    }

    /// Sees whether `thing`, a product that was finished, is still there: then it is handed over, as
    /// its run would have done. It is not, if somebody has removed it since.
    pub async fn keep(&self, thing: &Thing) -> anyhow::Result<()> {
        match self.find(thing).await? {
            None => self.journal.gone(thing),
            Some((Clue { ec2: Made::Image { .. } | Made::Copy { .. }, r#in: place }, id))
                if !self.journal.is_frozen() =>
            {
                hand_over(&self.ec2_in(&place.region), &[id]).await?;
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// What `thing` is and its id, if it is there and ours. Where nobody knows which account it was
    /// made in, that it is not there says nothing.
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
        let mut look = Look::Nothing;
        for nth in 1..=looks {
            look = self.look(&ec2, &clue.ec2, thing).await?;
            if let Look::Ours(id) = look {
                return Ok(Some((clue, id)));
            }
            if nth < looks {
                retry::sleep(self.cancel, Duration::from_secs(1)).await?;
            }
        }
        self.mention(&look);
        ensure!(
            clue.r#in.account.is_some(),
            "it is not here, and the journal does not say in which account it was made"
        );
        Ok(None)
    }

    /// What there is of `thing`, which is `made`.
    async fn look(&self, ec2: &Ec2, made: &Made, thing: &Thing) -> anyhow::Result<Look> {
        let (id, is_finished) = (thing.id(), thing.is_finished());
        let known = id.unwrap_or_default();
        let plain = |id: Option<String>| id.map_or(Look::Nothing, Look::Ours);
        Ok(match made {
            Made::KeyPair { name, token } => find::key_pair(ec2, name, token).await?,
            Made::SecurityGroup { name, token } => find::group(ec2, name, token, id).await?,
            Made::Instance { token, .. } => find::instance(ec2, token, id).await?,
            Made::Session { instance, reason } => {
                let ssm = self.account.ssm(self.cancel);
                plain(session::find(&ssm, instance, reason, id).await?)
            }
            Made::Profile { name, token } => {
                plain(profile::find(&self.account.iam(self.cancel), name, token).await?)
            }
            Made::LaunchTemplate { name, token } => find::launch_template(ec2, name, token).await?,
            Made::Volume { instance, token } => find::volume(ec2, instance, token, known).await?,
            Made::Image { name, instance, .. } | Made::Intermediary { name, instance, .. } => {
                find::image(ec2, name, instance, &made.tokens(), is_finished, id).await?
            }
            Made::Copy { name, source, since, token } => {
                let asked = (name.as_str(), source.as_str(), *since);
                find::copy(ec2, asked, token, is_finished, id).await?
            }
            Made::Unfinished { token } => {
                find::unfinished(ec2, |region| self.ec2_in(region), token, id).await?
            }
            Made::Loose { token } => {
                let mut all = find::loose_volumes(ec2, token).await?;
                all.retain(|look| id.is_none_or(|id| look.id() == Some(id)));
                all.pop().unwrap_or(Look::Nothing)
            }
            Made::Replaced(old) => {
                let there = image::by_id(ec2, &old.id).await?;
                plain(there.is_none().then(|| old.id.clone()))
            }
            Made::FastLaunch { image, token } => {
                find::fast_launch(ec2, image, token, is_finished).await?
            }
            Made::Snapshot { image, token } => find::snapshot(ec2, image, token, known).await?,
        })
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
            Made::Instance { .. } => self.end_instance(ec2, id, thing, &clue.ec2).await,
            Made::Profile { name, .. } => {
                self.ui.say(format!("Deleting the temporary instance profile {name} and its role"));
                profile::remove(&self.account.iam(self.cancel), name).await
            }
            Made::LaunchTemplate { name, .. } => {
                self.ui.say(format!("Deleting the temporary launch template {name}"));
                Ok(delete_launch_template(ec2, name).await?)
            }
            Made::Session { instance, .. } => self.end_session(instance, id).await,
            Made::Volume { .. } | Made::Loose { .. } => Ok(self.delete_volume(ec2, id).await?),
            Made::Unfinished { .. } => {
                self.ui.say(format!(
                    "Deregistering {id} and deleting its snapshots: it was never finished"
                ));
                self.remove_image(ec2, clue, id).await
            }
            Made::Image { .. } => {
                let why = match thing.is_finished() {
                    true => "its run died before it was used",
                    false => "the build failed",
                };
                self.ui.say(format!("Deregistering {id} and deleting its snapshots: {why}"));
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
                true => old.let_go(ec2, &clue.r#in.region, self.ui, self.suspicious).await,
                false => old.put_back(ec2, thing, self.ui, self.cancel).await,
            },
            Made::FastLaunch { image, .. } => {
                self.ui.say(format!("Disabling fast launch of {image}"));
                Ok(disable_fast_launch(ec2, image).await?)
            }
            Made::Snapshot { .. } => Ok(self.delete_snapshot(ec2, id).await?),
        }
    }

    async fn delete_volume(&self, ec2: &Ec2, id: &str) -> Result<(), ApiError> {
        self.ui.say(format!("Deleting the volume {id}"));
        delete_volume(ec2, id).await
    }

    async fn delete_snapshot(&self, ec2: &Ec2, id: &str) -> Result<(), ApiError> {
        self.ui.say(format!("Deleting the snapshot {id}"));
        delete_snapshot(ec2, id).await
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

    /// Terminates an instance, and deletes the volumes that came with it and that EC2 would keep; but
    /// those that the template keeps, if its build ended well. What somebody else attached stays.
    async fn end_instance(
        &self,
        ec2: &Ec2,
        id: &str,
        thing: &Thing,
        made: &Made,
    ) -> anyhow::Result<()> {
        let Made::Instance { token, keeps, devices } = made else { return Ok(()) };
        let keeps: &[String] = if thing.is_of_done_build() { keeps } else { &[] };
        self.ui.say(format!("Terminating the instance {id}"));
        let (mut orphans, mut kept) = (Vec::new(), Vec::new());
        for volume in instance::volumes(ec2, id).await? {
            let mut attachments = volume.attachments().iter();
            let attached = attachments.find(|attached| attached.instance_id() == Some(id));
            let Some((volume_id, attached)) = volume.volume_id().zip(attached) else { continue };
            let device = attached.device().unwrap_or_default();
            if attached.delete_on_termination() == Some(true) {
                continue;
            }
            if !proof::volume(&volume, token, devices.as_deref()) {
                self.ui.say(format!(
                    "Leaving the volume {volume_id} ({device}) alone: the build did not make it"
                ));
            } else if keeps.iter().any(|kept| kept == device) {
                self.ui
                    .say(format!("Keeping the volume {volume_id} ({device}) as the template says"));
                kept.push(volume_id.to_owned());
            } else {
                orphans.push(volume_id.to_owned());
            }
        }
        if !kept.is_empty() {
            hand_over(ec2, &kept).await?;
        }
        let volume = || Made::Volume { instance: id.to_owned(), token: token.clone() };
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
        // An AMI that was adopted is older than the build that has it now.
        let token = clue.ec2.tokens().pop().unwrap_or_default().to_owned();
        let snapshot = || Made::Snapshot { image: id.to_owned(), token: token.clone() };
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
            let removed = self.remove_one(ec2, thing).await;
            match &removed {
                Ok(()) => self.journal.gone(thing),
                Err(error) => self.journal.stuck(thing, format!("{error:#}")),
            }
            removed
        });
        join_all(each).await.into_iter().collect()
    }

    /// Removes a volume that was told from others, or a snapshot: a template may put somebody else's
    /// into its AMI.
    async fn remove_one(&self, ec2: &Ec2, thing: &Thing) -> anyhow::Result<()> {
        let (clue, id) = (Clue::of(thing)?, thing.id().unwrap_or_default());
        match &clue.ec2 {
            Made::Snapshot { image, token } => match find::snapshot(ec2, image, token, id).await? {
                Look::Ours(id) => self.delete_snapshot(ec2, &id).await?,
                strange => self.mention(&strange),
            },
            _ => self.delete_volume(ec2, id).await?,
        }
        Ok(())
    }
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

async fn disable_fast_launch(ec2: &Ec2, image: &str) -> Result<(), ApiError> {
    let request = ec2.disable_fast_launch().image_id(image).force(true);
    ec2.remove("DisableFastLaunch", |_| request.clone().send()).await
}

async fn delete_launch_template(ec2: &Ec2, name: &str) -> Result<(), ApiError> {
    let request = ec2.delete_launch_template().launch_template_name(name);
    ec2.remove("DeleteLaunchTemplate", |_| request.clone().send()).await
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
