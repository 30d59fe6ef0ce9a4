//! What a build made is found again by its name or its tag, and told from what only looks like it
//! (see `proof`).

use aws_sdk_ec2::types::{Filter, Image, InstanceStateName, Snapshot, Volume};

use crate::aws::call::Ec2;
use crate::aws::error::ApiError;
use crate::aws::image::{self, filter, own_by_name};
use crate::aws::instance::{self, state};
use crate::aws::made::BUILD_TAG;
use crate::aws::proof;

/// What a look shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// It is there, and ours: its id.
    Ours(String),
    /// Something is there, but nothing proves that it is ours: its id.
    Strange(String),
    /// Nothing is there.
    Nothing,
}

impl Look {
    /// `id`, which is ours or not.
    fn of(id: Option<&str>, is_ours: bool) -> Self {
        match (id, is_ours) {
            (Some(id), true) => Self::Ours(id.to_owned()),
            (Some(id), false) => Self::Strange(id.to_owned()),
            (None, _) => Self::Nothing,
        }
    }

    /// The first that is ours of `all`, else any that is not.
    fn best(all: impl IntoIterator<Item = Self>) -> Self {
        let mut strange = Self::Nothing;
        for look in all {
            match look {
                Self::Ours(_) => return look,
                Self::Strange(_) => strange = look,
                Self::Nothing => {}
            }
        }
        strange
    }

    /// The id of what is there.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Ours(id) | Self::Strange(id) => Some(id),
            Self::Nothing => None,
        }
    }

    /// The id of what is ours.
    pub fn ours(self) -> Option<String> {
        match self {
            Self::Ours(id) => Some(id),
            Self::Strange(_) | Self::Nothing => None,
        }
    }
}

/// That it has the tag of the build.
fn of_build(token: &str) -> Filter {
    filter(format!("tag:{BUILD_TAG}"), [token])
}

/// `id` if that is known, else the tag of the build.
fn by(name: &str, id: Option<&str>, token: &str) -> Vec<Filter> {
    vec![id.map_or_else(|| of_build(token), |id| filter(name, [id]))]
}

/// The key pair `name`.
pub async fn key_pair(ec2: &Ec2, name: &str, token: &str) -> Result<Look, ApiError> {
    let request = ec2.describe_key_pairs().filters(filter("key-name", [name]));
    let found = ec2.call("DescribeKeyPairs", |_| request.clone().send()).await?;
    let named = found.key_pairs().iter().filter(|key| key.key_name() == Some(name));
    Ok(Look::best(named.map(|key| Look::of(Some(name), proof::key_pair(key, token)))))
}

/// The launch template `name`.
pub async fn launch_template(ec2: &Ec2, name: &str, token: &str) -> Result<Look, ApiError> {
    let wanted = filter("launch-template-name", [name]);
    let request = ec2.describe_launch_templates().filters(wanted);
    let found = ec2.call("DescribeLaunchTemplates", |_| request.clone().send()).await?;
    let named = found.launch_templates().iter();
    let named = named.filter(|found| found.launch_template_name() == Some(name));
    Ok(Look::best(named.map(|found| Look::of(Some(name), proof::launch_template(found, token)))))
}

/// The security group `name`; the one of this `id`, if that is known.
pub async fn group(ec2: &Ec2, name: &str, token: &str, id: Option<&str>) -> Result<Look, ApiError> {
    let request = ec2.describe_security_groups().filters(filter("group-name", [name]));
    let found = ec2.call("DescribeSecurityGroups", |_| request.clone().send()).await?;
    let named = found.security_groups().iter();
    let named = named.filter(|group| id.is_none_or(|id| group.group_id() == Some(id)));
    Ok(Look::best(named.map(|group| Look::of(group.group_id(), proof::group(group, token)))))
}

/// The instance of the build, unless it has ended.
pub async fn instance(ec2: &Ec2, token: &str, id: Option<&str>) -> Result<Look, ApiError> {
    let found = instance::matching(ec2, by("instance-id", id, token)).await?;
    let found = found.filter(|found| state(found) != InstanceStateName::Terminated);
    let Some(found) = found else { return Ok(Look::Nothing) };
    Ok(Look::of(found.instance_id(), proof::instance(&found, token)))
}

/// The volume `id`, which was attached to `instance`.
pub async fn volume(ec2: &Ec2, instance: &str, token: &str, id: &str) -> Result<Look, ApiError> {
    let request = ec2.describe_volumes().volume_ids(id);
    let found = match ec2.call("DescribeVolumes", |_| request.clone().send()).await {
        Err(error) if error.is_unknown() => return Ok(Look::Nothing),
        found => found?,
    };
    // Somebody may have attached it elsewhere: then it is not garbage any more.
    let Some(found) = found.volumes().first() else { return Ok(Look::Nothing) };
    let mut attachments = found.attachments().iter();
    let is_free = attachments.all(|attached| attached.instance_id() == Some(instance));
    Ok(Look::of(found.volume_id(), is_free && proof::volume(found, token, None)))
}

/// The volumes that have the tag of the build and belong to no instance.
pub async fn loose_volumes(ec2: &Ec2, token: &str) -> Result<Vec<Look>, ApiError> {
    let request = ec2.describe_volumes().filters(of_build(token));
    let request = request.filters(filter("status", ["available"]));
    let found = ec2.call("DescribeVolumes", |_| request.clone().send()).await?;
    let look = |volume| Look::of(Volume::volume_id(volume), proof::volume(volume, token, None));
    Ok(found.volumes().iter().map(look).collect())
}

/// The snapshot `id`, which is behind the AMI `image` of the build.
pub async fn snapshot(ec2: &Ec2, image: &str, token: &str, id: &str) -> Result<Look, ApiError> {
    let Some(found) = own_snapshot(ec2, id).await? else { return Ok(Look::Nothing) };
    Ok(Look::of(Some(id), proof::snapshot(&found, image, token)))
}

/// Whether EC2 made the snapshot `id` for the AMI `image`, or it is gone.
pub async fn is_snapshot_for(ec2: &Ec2, id: &str, image: &str) -> Result<bool, ApiError> {
    Ok(own_snapshot(ec2, id).await?.is_none_or(|found| proof::is_snapshot_for(&found, image)))
}

async fn own_snapshot(ec2: &Ec2, id: &str) -> Result<Option<Snapshot>, ApiError> {
    let request = ec2.describe_snapshots().snapshot_ids(id).owner_ids("self");
    match ec2.call("DescribeSnapshots", |_| request.clone().send()).await {
        Err(error) if error.is_unknown() => Ok(None),
        found => Ok(found?.snapshots.unwrap_or_default().into_iter().next()),
    }
}

/// An AMI of our name that was made of our `instance`: it has one of our `tokens` still, unless it
/// `is_finished`.
pub async fn image(
    ec2: &Ec2,
    name: &str,
    instance: &str,
    tokens: &[&str],
    is_finished: bool,
    id: Option<&str>,
) -> Result<Look, ApiError> {
    let mut strange = Look::Nothing;
    for image in named(ec2, name, id).await? {
        let is_proven = match is_finished {
            true => tokens.iter().any(|token| proof::is_of_build(token, proof::creation(&image))),
            false => tokens.iter().any(|token| proof::has_tag(image.tags(), token)),
        };
        let is_ours = is_proven && origin(ec2, &image).await?.as_deref() == Some(instance);
        match Look::of(image.image_id(), is_ours) {
            Look::Strange(id) => strange = Look::Strange(id),
            found => return Ok(found),
        }
    }
    Ok(strange)
}

/// The account's own AMIs of this name, or the one of them that has this `id`.
async fn named(ec2: &Ec2, name: &str, id: Option<&str>) -> Result<Vec<Image>, ApiError> {
    let mut found = own_by_name(ec2, name).await?;
    // In a filter, `*` is any text.
    found.retain(|image| image.name() == Some(name));
    found.retain(|image| id.is_none_or(|id| image.image_id() == Some(id)));
    Ok(found)
}

/// The instance that `image` was made of, as EC2 says it: of the AMI, or of its snapshots.
pub async fn origin(ec2: &Ec2, image: &Image) -> Result<Option<String>, ApiError> {
    if let Some(instance) = image.source_instance_id() {
        return Ok(Some(instance.to_owned()));
    }
    let id = image.image_id().unwrap_or_default();
    let request = ec2.describe_snapshots().owner_ids("self");
    let request =
        request.filters(filter("description", [format!("Created by CreateImage(*) for {id}*")]));
    let found = ec2.call("DescribeSnapshots", |_| request.clone().send()).await?;
    let instance = |text: &str| {
        let (instance, _) = text.strip_prefix("Created by CreateImage(")?.split_once(')')?;
        Some(instance.to_owned())
    };
    Ok(found.snapshots().iter().find_map(|snapshot| instance(snapshot.description()?)))
}

/// A copy of `source` that has our name.
pub async fn copy(
    ec2: &Ec2,
    (name, source, since): (&str, &str, i64),
    token: &str,
    is_finished: bool,
    id: Option<&str>,
) -> Result<Look, ApiError> {
    let named = named(ec2, name, id).await?;
    Ok(Look::best(named.iter().map(|image| {
        let is_ours = match is_finished {
            true => proof::finished_copy(image, source, since),
            false => proof::copy(image, source, token, since),
        };
        Look::of(image.image_id(), is_ours)
    })))
}

/// An AMI that has the tag of the build: it was made of an instance of the build that EC2 still
/// knows, or is a copy of such an AMI. `abroad` asks in another region.
pub async fn unfinished(
    ec2: &Ec2,
    abroad: impl Fn(&str) -> Ec2,
    token: &str,
    id: Option<&str>,
) -> Result<Look, ApiError> {
    let mut strange = Look::Nothing;
    for image in image::matching(ec2, by("image-id", id, token)).await? {
        match Look::of(image.image_id(), is_of_build(ec2, &abroad, &image, token).await?) {
            Look::Strange(id) => strange = Look::Strange(id),
            found => return Ok(found),
        }
    }
    Ok(strange)
}

/// Whether EC2 knows that the build of `token` made `image`.
pub async fn is_of_build(
    ec2: &Ec2,
    abroad: impl Fn(&str) -> Ec2,
    image: &Image,
    token: &str,
) -> Result<bool, ApiError> {
    if let Some(source) = image.source_image_id() {
        let there = image.source_image_region().map_or_else(|| ec2.clone(), &abroad);
        let Some(source) = image::by_id(&there, source).await? else { return Ok(false) };
        return Ok(is_made_of_ours(&there, &source, token).await? && is_tagged(image, token));
    }
    is_made_of_ours(ec2, image, token).await
}

/// Whether `image` was made of an instance of the build of `token`.
async fn is_made_of_ours(ec2: &Ec2, image: &Image, token: &str) -> Result<bool, ApiError> {
    if !is_tagged(image, token) {
        return Ok(false);
    }
    let Some(instance) = origin(ec2, image).await? else { return Ok(false) };
    let found = instance::by_id(ec2, &instance).await?;
    Ok(found.is_some_and(|found| proof::instance(&found, token)))
}

/// Whether `image` has the tag of the build of `token`, and is not older.
fn is_tagged(image: &Image, token: &str) -> bool {
    proof::has_tag(image.tags(), token) && proof::is_of_build(token, proof::creation(image))
}

/// `image`, if EC2 keeps snapshots ready for it and it is one of the build.
pub async fn fast_launch(
    ec2: &Ec2,
    image: &str,
    token: &str,
    is_finished: bool,
) -> Result<Look, ApiError> {
    let request = ec2.describe_fast_launch_images().image_ids(image);
    let found = ec2.call("DescribeFastLaunchImages", |_| request.clone().send()).await?;
    let Some(found) = found.fast_launch_images().first() else { return Ok(Look::Nothing) };
    let known = image::by_id(ec2, image).await?;
    let is_ours = known.is_none_or(|image| match is_finished {
        true => proof::is_of_build(token, proof::creation(&image)),
        false => proof::has_tag(image.tags(), token),
    });
    Ok(Look::of(found.image_id(), is_ours))
}
