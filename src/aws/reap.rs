//! What runs have left anywhere in a region, whatever became of their journals: found by our tags.
//!
//! Tags can be copied. What counts as ours has both, the one that is chosen for each build begins
//! with the moment of its choice, and what AWS says besides has to fit, too (see `proof`). What has
//! our tags only is mentioned, and left alone.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{Filter, Tag};
use futures::future::try_join_all;
use jiff::Timestamp;
use tokio::join;
use tokio_util::sync::CancellationToken;

use crate::aws::account::Account;
use crate::aws::call::Ec2;
use crate::aws::error::ApiError;
use crate::aws::find;
use crate::aws::image::{self, filter};
use crate::aws::made::{BUILD_TAG, Clue, Made, RUN_TAG};
use crate::aws::name::time_of;
use crate::aws::profile;
use crate::aws::proof;
use crate::component::Wanted;
use crate::event::Ui;
use crate::journal::Entry;

/// Something that has our tags.
struct Found {
    id: String,
    mark: Mark,
    made: Made,
    /// Whether what AWS says besides fits.
    is_proven: bool,
}

/// What our tags say.
#[derive(Clone)]
struct Mark {
    run: String,
    token: String,
    /// When the build began.
    begun: Timestamp,
}

/// All that is ours in `region` and `wanted`.
pub(super) async fn search(
    account: &Account,
    region: &str,
    wanted: &Wanted,
    ui: &Ui,
) -> anyhow::Result<Vec<Entry>> {
    let cancel = CancellationToken::new();
    let ec2 = &account.ec2_in(region, &cancel);
    let abroad = |region: &str| account.ec2_in(region, &cancel);
    let all = join!(
        instances(ec2),
        volumes(ec2),
        images(ec2, &abroad),
        groups(ec2),
        key_pairs(ec2),
        launch_templates(ec2),
    );
    let all = [all.0?, all.1?, all.2?, all.3?, all.4?, all.5?].into_iter().flatten();
    Ok(entries(account, region, wanted, ui, all))
}

/// The roles and instance profiles that are ours and `wanted`; all regions have the same.
pub(super) async fn search_roles(
    account: &Account,
    wanted: &Wanted,
    ui: &Ui,
) -> Result<Vec<Entry>, ApiError> {
    let iam = account.iam(&CancellationToken::new());
    let mut all = Vec::new();
    for name in profile::called_as_ours(&iam).await? {
        let mark = mark(&profile::tags(&iam, &name).await?);
        let made = |token| Made::Profile { name: name.clone(), token };
        // Only we choose such names.
        all.extend(mark.and_then(|mark| found(Some(name.clone()), mark, true, made)));
    }
    Ok(entries(account, account.region(), wanted, ui, all))
}

/// What of `all` is `wanted`, as a journal would list it.
fn entries(
    account: &Account,
    region: &str,
    wanted: &Wanted,
    ui: &Ui,
    all: impl IntoIterator<Item = Found>,
) -> Vec<Entry> {
    let made = wanted.alive.iter().filter_map(|thing| Clue::of(thing).ok());
    let alive: BTreeSet<String> =
        made.filter_map(|clue| clue.ec2.token().map(str::to_owned)).collect();
    let is_wanted = |mark: &Mark| mark.begun < wanted.before && !alive.contains(&mark.token);
    let (ours, strange): (Vec<_>, Vec<_>) =
        all.into_iter().filter(|found| is_wanted(&found.mark)).partition(|found| found.is_proven);
    for Found { id, .. } in strange {
        ui.say(format!("Leaving {id} in {region} alone: it has our tags, and no other proof"));
    }
    let entry = |Found { id, mark, made, .. }: Found| {
        let thing = made.thing(account, region).known_as(id).into();
        Entry { build: format!("run {}", mark.run), thing }
    };
    ours.into_iter().map(entry).collect()
}

/// What `tags` say, if they are ours.
fn mark(tags: &[Tag]) -> Option<Mark> {
    let value = |key: &str| {
        tags.iter()
            .find(|tag| tag.key() == Some(key))
            .and_then(|tag| tag.value().map(str::to_owned))
    };
    let (run, token) = (value(RUN_TAG)?, value(BUILD_TAG)?);
    let begun = time_of(&token)?;
    Some(Mark { run, token, begun })
}

fn found(
    id: Option<String>,
    mark: Mark,
    is_proven: bool,
    made: impl FnOnce(String) -> Made,
) -> Option<Found> {
    let made = made(mark.token.clone());
    Some(Found { id: id?, mark, made, is_proven })
}

/// That it has the tag that is chosen for each build.
fn tagged() -> Filter {
    filter("tag-key", [BUILD_TAG])
}

async fn instances(ec2: &Ec2) -> Result<Vec<Found>, ApiError> {
    let alive = ["pending", "running", "stopping", "stopped"];
    let request =
        ec2.describe_instances().filters(tagged()).filters(filter("instance-state-name", alive));
    let answer = ec2.call("DescribeInstances", |_| request.clone().send()).await?;
    let all = answer.reservations.unwrap_or_default().into_iter();
    let all = all.flat_map(|reservation| reservation.instances.unwrap_or_default());
    let ours = all.filter_map(|instance| {
        let mark = mark(instance.tags())?;
        let is_proven = proof::instance(&instance, &mark.token);
        let made = |token| Made::Instance { token, keeps: Vec::new(), devices: None };
        found(instance.instance_id, mark, is_proven, made)
    });
    Ok(ours.collect())
}

async fn volumes(ec2: &Ec2) -> Result<Vec<Found>, ApiError> {
    let loose = filter("status", ["available"]);
    let request = ec2.describe_volumes().filters(tagged()).filters(loose);
    let answer = ec2.call("DescribeVolumes", |_| request.clone().send()).await?;
    let ours = answer.volumes.unwrap_or_default().into_iter().filter_map(|volume| {
        let mark = mark(volume.tags())?;
        let is_proven = proof::volume(&volume, &mark.token, None);
        found(volume.volume_id, mark, is_proven, |token| Made::Loose { token })
    });
    Ok(ours.collect())
}

async fn images(ec2: &Ec2, abroad: &impl Fn(&str) -> Ec2) -> Result<Vec<Found>, ApiError> {
    let each = image::matching(ec2, vec![tagged()]).await?.into_iter().map(async |image| {
        let Some(mark) = mark(image.tags()) else { return Ok(None) };
        let is_proven = find::is_of_build(ec2, abroad, &image, &mark.token).await?;
        Ok(found(image.image_id, mark, is_proven, |token| Made::Unfinished { token }))
    });
    let all: Vec<_> = try_join_all(each).await?;
    Ok(all.into_iter().flatten().collect())
}

async fn groups(ec2: &Ec2) -> Result<Vec<Found>, ApiError> {
    let request = ec2.describe_security_groups().filters(tagged());
    let answer = ec2.call("DescribeSecurityGroups", |_| request.clone().send()).await?;
    let ours = answer.security_groups.unwrap_or_default().into_iter().filter_map(|group| {
        let mark = mark(group.tags())?;
        let is_proven = proof::group(&group, &mark.token);
        let name = group.group_name?;
        found(group.group_id, mark, is_proven, |token| Made::SecurityGroup { name, token })
    });
    Ok(ours.collect())
}

async fn key_pairs(ec2: &Ec2) -> Result<Vec<Found>, ApiError> {
    let request = ec2.describe_key_pairs().filters(tagged());
    let answer = ec2.call("DescribeKeyPairs", |_| request.clone().send()).await?;
    let ours = answer.key_pairs.unwrap_or_default().into_iter().filter_map(|key| {
        let mark = mark(key.tags())?;
        let is_made = proof::key_pair(&key, &mark.token);
        let name = key.key_name?;
        let is_proven = is_made && proof::is_named_by(&mark.token, &name);
        found(Some(name.clone()), mark, is_proven, |token| Made::KeyPair { name, token })
    });
    Ok(ours.collect())
}

async fn launch_templates(ec2: &Ec2) -> Result<Vec<Found>, ApiError> {
    let request = ec2.describe_launch_templates().filters(tagged());
    let answer = ec2.call("DescribeLaunchTemplates", |_| request.clone().send()).await?;
    let ours = answer.launch_templates.unwrap_or_default().into_iter().filter_map(|template| {
        let mark = mark(template.tags())?;
        let is_made = proof::launch_template(&template, &mark.token);
        let name = template.launch_template_name?;
        let is_proven = is_made && proof::is_named_by(&mark.token, &name);
        found(Some(name.clone()), mark, is_proven, |token| Made::LaunchTemplate { name, token })
    });
    Ok(ours.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::made::own_tags;
    use crate::aws::tags::tag;

    #[test]
    fn tags_are_ours_if_there_are_both_and_they_say_when() {
        let token = "6560f0a1-0000-0000-0000-000000000000";
        let begun = Timestamp::from_second(0x6560_f0a1).unwrap();
        let tags = own_tags("run-1", token);
        let marked = |tags: &[Tag]| mark(tags).map(|mark| (mark.run, mark.begun));
        assert_eq!(marked(&tags), Some(("run-1".to_owned(), begun)));
        assert_eq!(marked(&tags[1..]), None, "one tag alone");
        assert_eq!(marked(&own_tags("run-1", "somebody-else")), None);
        assert_eq!(marked(&[tags[0].clone(), tag(BUILD_TAG, "finished")]), None);
    }
}
