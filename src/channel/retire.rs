//! Old AMIs go: those that were published as an image, and that nobody uses any more.
//!
//! An AMI stays if any of this holds, and why is said; what stays anyway is not asked about further:
//!
//! - it is one of the newest, or too young;
//! - a channel has it, or goes back to it;
//! - an instance, a launch template, a launch configuration, an Auto Scaling group or a spot request
//!   uses it (see `aws/image_usage`);
//! - it is shared with others, or protected against deregistration;
//! - nothing proves that it was published: its tag names another AMI.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Context as _;
use aws_sdk_ec2::types::{Image, ImageAttributeName, ImageState, Snapshot};
use futures::future::{join_all, try_join_all};
use futures::stream::{self, StreamExt as _};
use jiff::{SignedDuration, Timestamp};

use crate::aws::image::{self, MOST_VALUES, creation, filter, snapshots};
use crate::aws::image_usage::users_of_many;
use crate::aws::parameter;
use crate::aws::proof::is_snapshot_for;
use crate::aws::removal::{INSTANCE_PATIENCE, Removal};
use crate::aws::resource::retired_ami::RetiredAmi;
use crate::aws::resource::snapshot;
use crate::aws::resource::{Recorded, Resource as _};
use crate::channel::releases::{amis_in, before, history};
use crate::channel::{Channels, Context, Region, mark};
use crate::journal::{Journal, Thing};
use crate::retry::Cancelled;

/// Which AMIs go.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// How many of the newest stay.
    pub keep: usize,
    /// Only those that are older.
    pub older_than: SignedDuration,
    /// How long they are deprecated before they go: whoever looks for an AMI finds them no more.
    pub grace: SignedDuration,
    /// Whether even those go that others may use.
    pub shared: bool,
}

/// What becomes of an AMI.
#[derive(Clone, Debug)]
enum Fate {
    /// It goes with these snapshots.
    Goes(Vec<String>),
    /// It is deprecated, and goes later.
    Deprecated,
    /// It stays, and why.
    Stays(Vec<String>),
}

/// An AMI, and what becomes of it.
#[derive(Clone, Debug)]
struct Verdict {
    image: Image,
    fate: Fate,
}

/// How the retiring ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retired {
    /// How many AMIs went, or would go.
    pub gone: usize,
    /// Whether something could not be done.
    pub failed: bool,
}

/// How many AMIs go at the same time.
const AT_A_TIME: usize = 8;

/// What becomes of the AMIs of the image in `region`: it is said, and done unless `dry_run`. What goes
/// is in the journal before.
///
/// # Errors
/// If it cannot be learnt who uses them, or the journal cannot be written: then nothing has gone.
pub async fn retire(
    cx: &Context,
    region: &Region,
    channels: &Channels,
    wanted: &Wanted,
    journal: &Journal,
    dry_run: bool,
) -> anyhow::Result<Retired> {
    let verdicts = judge(cx, region, channels, wanted).await?;
    let count = verdicts.len();
    cx.ui.say(format!("{}: {count} AMIs of `{}`", region.name(), channels.image()));
    verdicts.iter().for_each(|verdict| cx.ui.say(verdict.words(cx.environment.started)));
    let later = verdicts.iter().filter(|verdict| matches!(verdict.fate, Fate::Deprecated));
    let later: Vec<&Image> = later.map(|verdict| &verdict.image).collect();
    let going = verdicts.iter().filter_map(|verdict| match &verdict.fate {
        Fate::Goes(snapshots) => Some((&verdict.image, snapshots.clone())),
        _ => None,
    });
    let going: Vec<_> = going.collect();
    let gone = going.len();
    if dry_run {
        return Ok(Retired { gone, failed: false });
    }
    let failed = deprecate(cx, region, &later).await | remove(cx, region, journal, going).await?;
    match region.cancel.is_cancelled() {
        true => Err(Cancelled.into()),
        false => Ok(Retired { gone, failed }),
    }
}

/// All verdicts, the newest AMI first.
async fn judge(
    cx: &Context,
    region: &Region,
    channels: &Channels,
    wanted: &Wanted,
) -> anyhow::Result<Vec<Verdict>> {
    let own = image::all_own(&region.ec2()).await?;
    let images = published(cx, channels, &own);
    let mut why = Reasons::default();
    let (now, own_path) = (cx.environment.started, channels.path());
    for (index, image) in images.iter().enumerate() {
        let old = creation(image).is_some_and(|at| now.duration_since(at) > wanted.older_than);
        if index < wanted.keep {
            why.add(image, format!("one of the newest {}", wanted.keep));
        } else if !old {
            why.add(image, "too young".to_owned());
        } else if image.deregistration_protection().is_some_and(|state| state != "disabled") {
            why.add(image, "protected against deregistration".to_owned());
        }
        for path in mark::paths(image).filter(|path| *path != own_path) {
            why.add(image, format!("published as {path}, too"));
        }
    }
    why.add_all(in_channels(region, channels).await?);
    let ids: BTreeSet<String> = why.without(&images).into_iter().map(id).collect();
    let used = users_of_many(&region.account, &ids, &region.cancel).await;
    let used = used.with_context(|| format!("it is not known who uses AMIs in {}", region.name()));
    why.add_all(used?.into_iter().flat_map(|(ami, all)| {
        all.into_iter().map(move |who| (ami.clone(), format!("used by {who}")))
    }));
    if !wanted.shared {
        why.add_all(shared(region, &why.without(&images)).await?);
    }
    let loose = loose_snapshots(region, &why.without(&images), &own).await?;
    let fate = |image: &Image| match why.0.get(&id(image)) {
        Some(reasons) => Fate::Stays(reasons.clone()),
        None if !is_over(image, now, wanted.grace) => Fate::Deprecated,
        None => {
            let own = snapshots(image).into_iter().filter(|one| loose.contains(one));
            Fate::Goes(own.collect())
        }
    };
    Ok(images.into_iter().map(|image| Verdict { fate: fate(&image), image }).collect())
}

/// Why AMIs stay, by their ids.
#[derive(Debug, Default)]
struct Reasons(BTreeMap<String, Vec<String>>);

impl Reasons {
    fn add(&mut self, image: &Image, why: String) {
        self.0.entry(id(image)).or_default().push(why);
    }

    fn add_all(&mut self, all: impl IntoIterator<Item = (String, String)>) {
        for (ami, why) in all {
            self.0.entry(ami).or_default().push(why);
        }
    }

    /// Those of `images` that have no reason to stay.
    fn without<'a>(&self, images: &'a [Image]) -> Vec<&'a Image> {
        images.iter().filter(|image| !self.0.contains_key(&id(image))).collect()
    }
}

fn id(image: &Image) -> String {
    image.image_id().unwrap_or_default().to_owned()
}

/// Those of the account's `own` AMIs that were published as the image, the newest first.
fn published(cx: &Context, channels: &Channels, own: &[Image]) -> Vec<Image> {
    let path = channels.path();
    let is_tagged = |image: &&Image| mark::paths(image).any(|one| one == path);
    let is_ours = |image: &&Image| mark::is_its_own(image);
    let (ours, others): (Vec<_>, Vec<_>) = own.iter().filter(is_tagged).partition(is_ours);
    for other in others {
        let id = id(other);
        cx.ui.say(format!("Leaving {id} alone: its tag `{}` names another AMI", mark::PUBLISHED));
    }
    let available = |image: &&Image| image.state() == Some(&ImageState::Available);
    let mut ours: Vec<Image> = ours.into_iter().filter(available).cloned().collect();
    ours.sort_by_key(|image| Reverse((creation(image), image.name().map(str::to_owned))));
    ours
}

/// The AMIs that channels have, and those that the channels of this image go back to.
async fn in_channels(
    region: &Region,
    channels: &Channels,
) -> anyhow::Result<Vec<(String, String)>> {
    let all = parameter::below(&region.ssm(), channels.prefix()).await?;
    let own = all.iter().filter_map(|(name, _)| channels.channel(name));
    let earlier = try_join_all(own.map(async |channel| {
        let history = history(region, channels, channel).await?;
        let words = format!("what the channel {channel} goes back to");
        anyhow::Ok(before(&history).map(|release| (release.ami.clone(), words)))
    }));
    let earlier = earlier.await?.into_iter().flatten();
    let now = all.iter().flat_map(|(name, value)| {
        amis_in(value).map(move |ami| (ami.to_owned(), format!("in the channel {name}")))
    });
    Ok(now.chain(earlier).collect())
}

/// Those of `images` that others may use.
async fn shared(region: &Region, images: &[&Image]) -> anyhow::Result<Vec<(String, String)>> {
    let ec2 = &region.ec2();
    let looks = images.iter().map(|image| async move {
        let ami = id(image);
        let request = ec2.describe_image_attribute().image_id(&ami);
        let request = request.attribute(ImageAttributeName::LaunchPermission);
        let found = ec2.call("DescribeImageAttribute", |_| request.clone().send()).await?;
        let users = found.launch_permissions().iter().filter_map(|permission| {
            let group = permission.group().map(|group| group.as_str());
            let organisation = permission.organization_arn();
            let unit = permission.organizational_unit_arn();
            permission.user_id().or(group).or(organisation).or(unit).map(str::to_owned)
        });
        let users: Vec<String> = users.collect();
        anyhow::Ok((ami, users))
    });
    let found: Vec<_> = stream::iter(looks).buffered(AT_A_TIME).collect().await;
    let mut shared = Vec::new();
    for found in found {
        let (ami, users) = found?;
        if !users.is_empty() {
            shared.push((ami, format!("shared with {}", users.join(", "))));
        }
    }
    Ok(shared)
}

/// The snapshots of `images` that nobody needs without them: EC2 made them for these AMIs, and no
/// other of the account's `own` AMIs has them.
async fn loose_snapshots(
    region: &Region,
    images: &[&Image],
    own: &[Image],
) -> anyhow::Result<BTreeSet<String>> {
    let ec2 = &region.ec2();
    let of = |image: &&Image| {
        let owner = id(image);
        snapshots(image).into_iter().map(move |snapshot| (snapshot, owner.clone()))
    };
    let mut owners: BTreeMap<String, String> = images.iter().flat_map(of).collect();
    for other in own {
        let used = snapshots(other);
        let id = id(other);
        owners.retain(|snapshot, owner| *owner == id || !used.contains(snapshot));
    }
    let ids: Vec<&String> = owners.keys().collect();
    let mut loose = BTreeSet::new();
    for some in ids.chunks(MOST_VALUES) {
        let found = snapshot::matching(ec2, filter("snapshot-id", some.iter().copied())).await?;
        let is_loose = |one: &&Snapshot| {
            let owner = one.snapshot_id().and_then(|id| owners.get(id));
            owner.is_some_and(|owner| is_snapshot_for(one, owner))
        };
        let own = found.iter().filter(is_loose);
        loose.extend(own.filter_map(|one| one.snapshot_id.clone()));
    }
    Ok(loose)
}

/// How far ahead a deprecation is dated that is to hold now: it has to be in the future when EC2 gets the
/// call.
const SOON: SignedDuration = SignedDuration::from_secs(120);

/// Since when an AMI is deprecated. One that will be some day is not: its builder, or EC2 for a public one,
/// has chosen a day long before somebody wants it gone.
fn deprecated_since(image: &Image, now: Timestamp) -> Option<Timestamp> {
    let since = image.deprecation_time()?.parse::<Timestamp>().ok()?;
    (since.duration_since(now) <= SOON).then_some(since)
}

/// Whether an AMI has been deprecated for as long as it should be before it goes.
fn is_over(image: &Image, now: Timestamp, grace: SignedDuration) -> bool {
    let since = deprecated_since(image, now);
    grace.is_zero() || since.is_some_and(|since| now.duration_since(since) >= grace)
}

impl Verdict {
    fn words(&self, now: Timestamp) -> String {
        let (id, name) = (id(&self.image), self.image.name().unwrap_or_default());
        let age = creation(&self.image).map(|at| now.duration_since(at).as_hours() / 24);
        let age = age.map(|days| format!(", {days} days old")).unwrap_or_default();
        let fate = match &self.fate {
            Fate::Goes(snapshots) => format!("goes, and {} snapshots", snapshots.len()),
            Fate::Deprecated if deprecated_since(&self.image, now).is_some() => {
                "is deprecated, and goes later".to_owned()
            }
            Fate::Deprecated => "is deprecated now, and goes later".to_owned(),
            Fate::Stays(why) => format!("stays: {}", why.join("; ")),
        };
        format!("--> {id} (`{name}`{age}) {fate}")
    }
}

/// Deprecates those of `images` that are not; whether that failed for any.
async fn deprecate(cx: &Context, region: &Region, images: &[&Image]) -> bool {
    let ec2 = &region.ec2();
    let soon = (Timestamp::now() + SOON).as_second();
    let soon = aws_smithy_types::DateTime::from_secs(soon);
    let now = cx.environment.started;
    let new = images.iter().filter(|image| deprecated_since(image, now).is_none());
    let calls = new.map(async |image| {
        let request = ec2.enable_image_deprecation().image_id(id(image)).deprecate_at(soon);
        let done = ec2.call("EnableImageDeprecation", |_| request.clone().send()).await;
        done.inspect_err(|error| {
            cx.ui.error(format!("{} cannot be deprecated: {error}", id(image)));
        })
    });
    join_all(calls).await.iter().any(Result::is_err)
}

/// Deregisters AMIs, and deletes their snapshots; whether that failed for any.
async fn remove(
    cx: &Context,
    region: &Region,
    journal: &Journal,
    going: Vec<(&Image, Vec<String>)>,
) -> anyhow::Result<bool> {
    let things = going.into_iter().map(|(image, snapshots)| {
        let name = image.name().unwrap_or_default().to_owned();
        let retired = RetiredAmi { id: id(image), name, snapshots };
        (id(image), Arc::new(retired.thing(&region.account, region.name())))
    });
    let things: Vec<(String, Arc<Thing>)> = things.collect();
    let build = format!("retire {}", region.name());
    let lines = things.iter().map(|(_, thing)| thing.clone()).collect();
    journal.intend(&build, lines).await.context("the journal cannot be written")?;
    let removal = Removal {
        account: &region.account,
        journal,
        build: &build,
        ui: &cx.ui,
        cancel: &region.cancel,
        patience: INSTANCE_PATIENCE,
        is_of_dead_run: false,
    };
    let calls = things.iter().map(|(ami, thing)| remove_one(&removal, region, ami, thing));
    let ended: Vec<_> = stream::iter(calls).buffer_unordered(AT_A_TIME).collect().await;
    Ok(ended.contains(&true))
}

/// Whether it failed.
async fn remove_one(removal: &Removal<'_>, region: &Region, ami: &str, thing: &Thing) -> bool {
    if region.cancel.is_cancelled() {
        // Its deregistration has not begun.
        removal.journal.gone(thing);
        return true;
    }
    thing.attempt();
    if let Err(error) = image::deregister(&region.ec2(), ami).await {
        removal.ui.error(format!("{ami} cannot be deregistered: {error}"));
        // Nobody knows whether it is gone: then its snapshots would be left.
        match error.meaning.may_be_done() {
            true => removal.journal.mark_failed(thing, error.to_string()),
            false => removal.journal.gone(thing),
        }
        return true;
    }
    removal.ui.say(format!("Deregistered {ami}"));
    let rest = async {
        let recorded = Recorded::of(thing)?;
        removal.remove_found(thing, Some((recorded, ami.to_owned()))).await
    };
    match rest.await {
        Ok(()) => false,
        Err(error) => {
            removal.ui.error(format!("{ami} is gone, but not all of its snapshots: {error:#}"));
            removal.journal.mark_failed(thing, format!("{error:#}"));
            true
        }
    }
}
