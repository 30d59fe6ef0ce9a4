//! What runs have left anywhere in a region, whatever became of their journals: found by our tags.
//!
//! Tags can be copied. What counts as ours has both, the one that is chosen for each build begins
//! with the moment of its choice, and nothing of that build is older. What AWS says besides has to
//! fit, too: the client token of an instance, the name and the description of a group.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{Filter, Tag};
use aws_smithy_types::DateTime;
use jiff::{SignedDuration, Timestamp};
use tokio::join;
use tokio_util::sync::CancellationToken;

use crate::aws::account::Account;
use crate::aws::call::Ec2;
use crate::aws::error::ApiError;
use crate::aws::image::{self, filter};
use crate::aws::made::{BUILD_TAG, Clue, GROUP_DESCRIPTION, Made, RUN_TAG};
use crate::aws::name::time_of;
use crate::aws::profile;
use crate::component::Wanted;
use crate::journal::Entry;

/// How far the clocks of AWS and of a machine that built may be apart.
const CLOCKS: SignedDuration = SignedDuration::from_mins(5);

/// Something that has our tags.
struct Found {
    id: String,
    mark: Mark,
    made: Made,
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
) -> anyhow::Result<Vec<Entry>> {
    let ec2 = &account.ec2_in(region, &CancellationToken::new());
    let all = join!(
        instances(ec2),
        volumes(ec2),
        images(ec2),
        groups(ec2),
        key_pairs(ec2),
        launch_templates(ec2),
    );
    let all = [all.0?, all.1?, all.2?, all.3?, all.4?, all.5?].into_iter().flatten();
    Ok(entries(account, region, wanted, all))
}

/// The roles and instance profiles that are ours and `wanted`; all regions have the same.
pub(super) async fn search_roles(
    account: &Account,
    wanted: &Wanted,
) -> Result<Vec<Entry>, ApiError> {
    let iam = account.iam(&CancellationToken::new());
    let mut all = Vec::new();
    for name in profile::called_as_ours(&iam).await? {
        let mark = mark(&profile::tags(&iam, &name).await?, None);
        let made = |token| Made::Profile { name: name.clone(), token };
        all.extend(mark.and_then(|mark| found(Some(name.clone()), mark, made)));
    }
    Ok(entries(account, account.region(), wanted, all))
}

/// What of `all` is `wanted`, as a journal would list it.
fn entries(
    account: &Account,
    region: &str,
    wanted: &Wanted,
    all: impl IntoIterator<Item = Found>,
) -> Vec<Entry> {
    let made = wanted.alive.iter().filter_map(|thing| Clue::of(thing).ok());
    let alive: BTreeSet<String> =
        made.filter_map(|clue| clue.ec2.token().map(str::to_owned)).collect();
    let is_wanted = |mark: &Mark| mark.begun < wanted.before && !alive.contains(&mark.token);
    let entry = |Found { id, mark, made }: Found| {
        let thing = made.thing(account, region).known_as(id).into();
        Entry { build: format!("run {}", mark.run), thing }
    };
    all.into_iter().filter(|found| is_wanted(&found.mark)).map(entry).collect()
}

/// What `tags` say, if they are ours and on something that was `created` by their build.
fn mark(tags: &[Tag], created: Option<Timestamp>) -> Option<Mark> {
    let value = |key: &str| {
        tags.iter()
            .find(|tag| tag.key() == Some(key))
            .and_then(|tag| tag.value().map(str::to_owned))
    };
    let (run, token) = (value(RUN_TAG)?, value(BUILD_TAG)?);
    let begun = time_of(&token)?;
    let is_older = created.is_some_and(|created| created + CLOCKS < begun);
    (!is_older).then_some(Mark { run, token, begun })
}

fn found(id: Option<String>, mark: Mark, made: impl FnOnce(String) -> Made) -> Option<Found> {
    let made = made(mark.token.clone());
    Some(Found { id: id?, mark, made })
}

/// That it has the tag that is chosen for each build.
fn tagged() -> Filter {
    filter("tag-key", [BUILD_TAG])
}

fn time(time: Option<&DateTime>) -> Option<Timestamp> {
    Timestamp::from_second(time?.secs()).ok()
}

async fn instances(ec2: &Ec2) -> Result<Vec<Found>, ApiError> {
    let alive = ["pending", "running", "stopping", "stopped"];
    let request =
        ec2.describe_instances().filters(tagged()).filters(filter("instance-state-name", alive));
    let answer = ec2.call("DescribeInstances", |_| request.clone().send()).await?;
    let all = answer.reservations.unwrap_or_default().into_iter();
    let all = all.flat_map(|reservation| reservation.instances.unwrap_or_default());
    let ours = all.filter_map(|instance| {
        let mark = mark(instance.tags(), time(instance.launch_time()))?;
        // What fleets start has tokens of theirs, and a tag that nobody else can give.
        let of_fleet = instance.tags().iter().any(|tag| tag.key() == Some("aws:ec2:fleet-id"));
        let is_ours = of_fleet || instance.client_token()?.starts_with(&mark.token);
        let made = |token| Made::Instance { token, keeps: Vec::new() };
        found(instance.instance_id, mark, made).filter(|_| is_ours)
    });
    Ok(ours.collect())
}

async fn volumes(ec2: &Ec2) -> Result<Vec<Found>, ApiError> {
    let loose = filter("status", ["available"]);
    let request = ec2.describe_volumes().filters(tagged()).filters(loose);
    let answer = ec2.call("DescribeVolumes", |_| request.clone().send()).await?;
    let ours = answer.volumes.unwrap_or_default().into_iter().filter_map(|volume| {
        let mark = mark(volume.tags(), time(volume.create_time()))?;
        found(volume.volume_id, mark, |token| Made::Loose { token })
    });
    Ok(ours.collect())
}

async fn images(ec2: &Ec2) -> Result<Vec<Found>, ApiError> {
    let ours = image::matching(ec2, vec![tagged()]).await?.into_iter().filter_map(|image| {
        let created = image.creation_date().and_then(|date| date.parse().ok());
        found(image.image_id.clone(), mark(image.tags(), created)?, |token| Made::Unfinished {
            token,
        })
    });
    Ok(ours.collect())
}

async fn groups(ec2: &Ec2) -> Result<Vec<Found>, ApiError> {
    let request = ec2.describe_security_groups().filters(tagged());
    let answer = ec2.call("DescribeSecurityGroups", |_| request.clone().send()).await?;
    let ours = answer.security_groups.unwrap_or_default().into_iter().filter_map(|group| {
        let (mark, name) = (mark(group.tags(), None)?, group.group_name?);
        let is_ours = group.description.as_deref() == Some(GROUP_DESCRIPTION);
        let made = |token| Made::SecurityGroup { name, token };
        found(group.group_id, mark, made).filter(|_| is_ours)
    });
    Ok(ours.collect())
}

async fn key_pairs(ec2: &Ec2) -> Result<Vec<Found>, ApiError> {
    let request = ec2.describe_key_pairs().filters(tagged());
    let answer = ec2.call("DescribeKeyPairs", |_| request.clone().send()).await?;
    let ours = answer.key_pairs.unwrap_or_default().into_iter().filter_map(|key| {
        let (mark, name) = (mark(key.tags(), time(key.create_time()))?, key.key_name?);
        found(Some(name.clone()), mark, |token| Made::KeyPair { name, token })
    });
    Ok(ours.collect())
}

async fn launch_templates(ec2: &Ec2) -> Result<Vec<Found>, ApiError> {
    let request = ec2.describe_launch_templates().filters(tagged());
    let answer = ec2.call("DescribeLaunchTemplates", |_| request.clone().send()).await?;
    let ours = answer.launch_templates.unwrap_or_default().into_iter().filter_map(|template| {
        let mark = mark(template.tags(), time(template.create_time()))?;
        let name = template.launch_template_name?;
        found(Some(name.clone()), mark, |token| Made::LaunchTemplate { name, token })
    });
    Ok(ours.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::made::own_tags;
    use crate::aws::tags::tag;

    #[test]
    fn tags_are_ours_if_they_say_when_and_what_has_them_is_not_older() {
        let token = "6560f0a1-0000-0000-0000-000000000000";
        let begun = Timestamp::from_second(0x6560_f0a1).unwrap();
        let tags = own_tags("run-1", token);
        let marked = |created| mark(&tags, created).map(|mark| (mark.run, mark.begun));
        let ours = Some(("run-1".to_owned(), begun));
        assert_eq!(marked(None), ours);
        assert_eq!(marked(Some(begun)), ours);
        assert_eq!(marked(Some(begun - SignedDuration::from_mins(4))), ours, "clocks differ");
        assert_eq!(marked(Some(begun - SignedDuration::from_mins(6))), None);
        assert!(mark(&tags[1..], None).is_none(), "one tag alone");
        assert!(mark(&own_tags("run-1", "somebody-else"), None).is_none());
        assert!(mark(&[tags[0].clone(), tag(BUILD_TAG, "finished")], None).is_none());
    }
}
