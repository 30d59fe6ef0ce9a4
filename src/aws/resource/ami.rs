//! The AMI that a build makes of its instance.

use async_trait::async_trait;
use aws_sdk_ec2::types::Image;
use serde::{Deserialize, Serialize};

use crate::aws::allow::Regions;
use crate::aws::build_tags::has_tag;
use crate::aws::call::Ec2;
use crate::aws::error::ApiError;
use crate::aws::image::{self, deregister, filter, own_by_name};
use crate::aws::instance;
use crate::aws::proof;
use crate::aws::resource::context::{Removal, RemovalTarget, Search};
use crate::aws::resource::found::Found;
use crate::aws::resource::instance::is_at_work_on;
use crate::aws::resource::kind::{Kind, Order, Parent, Reap, Resource, read, unless_empty};
use crate::aws::resource::snapshot::{self, Snapshot};
use crate::permission::Permission;

/// An AMI. `imgbake reap` finds those that are left as unfinished AMIs.
pub static KIND: Kind = Kind {
    key: "image",
    label: "AMI",
    order: Order::First,
    is_product: true,
    read: read::<Ami>,
    reap: Reap::No,
};

/// An AMI of this name that was made of our instance, snapshots or bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ami {
    /// Its name.
    pub name: String,
    /// The instance.
    pub instance: String,
    /// The value of the build's tag.
    #[serde(default)]
    pub token: String,
    /// What it is made from, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// The snapshots of the build that it was registered from; none of one that EC2 has made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<String>,
    /// The bundle that it was registered from: the bucket, and the key of the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
}

/// What an AMI is made from: whoever is to make the same can finish it instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The number of the build's fingerprint.
    pub number: String,
    /// The source AMI.
    pub source: String,
    /// The value of the tag of the build that made it first.
    pub token: String,
}

#[async_trait]
impl Resource for Ami {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn is_handed_over(&self) -> bool {
        true
    }

    fn name(&self) -> String {
        format!("`{}`", self.name)
    }

    /// An AMI that was adopted has had another one.
    fn tokens(&self) -> Vec<&str> {
        let before = self.origin.as_ref().map(|origin| origin.token.as_str());
        unless_empty(&self.token).chain(before).collect()
    }

    fn parent(&self) -> Option<Parent<'_>> {
        Some(Parent::Instance(&self.instance))
    }

    async fn find(&self, search: &Search<'_>) -> anyhow::Result<Found> {
        let tokens: Vec<_> = search.tokens.iter().map(String::as_str).collect();
        let ec2 = &search.ec2;
        match find(ec2, self, search.id, &tokens, search.is_finished).await? {
            Found::Unproven(id) if search.is_of_early_version => {
                let instance = tagged_origin(search, ec2, &id).await?;
                Ok(Found::new(Some(&id), instance.as_ref() == Some(&self.instance)))
            }
            found => Ok(found),
        }
    }

    async fn remove(
        &self,
        removal: &Removal<'_>,
        target: &RemovalTarget<'_>,
    ) -> anyhow::Result<()> {
        let why = match target.thing.is_finished() && removal.is_of_dead_run {
            true => "its run died before it was used",
            false => "the build failed",
        };
        let id = target.id;
        let parts = if self.snapshots.is_empty() { " and deleting its snapshots" } else { "" };
        removal.ui.say(format!("Deregistering {id}{parts}: {why}"));
        self.remove_with_snapshots(removal, target).await
    }

    fn permissions(at: &Regions) -> Vec<Permission> {
        vec![
            at.look(&["DescribeImages", "DescribeSnapshots"]),
            at.on(&["image"], &["DeregisterImage"]),
            at.on(&["snapshot"], &["DeleteSnapshot"]),
        ]
    }
}

impl Ami {
    /// Removes it and the snapshots that were made for it. Those that it was registered from have
    /// lines of their own.
    pub async fn remove_with_snapshots(
        &self,
        removal: &Removal<'_>,
        target: &RemovalTarget<'_>,
    ) -> anyhow::Result<()> {
        if !self.snapshots.is_empty() {
            if let Some(image) = image::by_id(&target.ec2, target.id).await? {
                image::lift_protection(&target.ec2, &image).await?;
            }
            return Ok(deregister(&target.ec2, target.id).await?);
        }
        let snapshots = snapshots_of(&target.ec2, &self.instance, target.id).await?;
        remove_with(snapshots, removal, target).await
    }

    /// Whether EC2 says that `image` was made of the same: of its bundle, its instance, or its snapshots.
    async fn is_as_made(&self, ec2: &Ec2, image: &Image) -> Result<bool, ApiError> {
        if self.location.is_some() {
            return Ok(image.image_location() == self.location.as_deref());
        }
        if self.snapshots.is_empty() {
            return Ok(origin(ec2, image).await?.as_ref() == Some(&self.instance));
        }
        let there = image::snapshots(image);
        Ok(self.snapshots.iter().all(|snapshot| there.contains(snapshot)))
    }
}

/// The AMI that is called as `ami` and was made of the same: it has one of our `tokens` still, unless
/// it `is_finished`. It is the one of this `id`, if that is known.
pub async fn find(
    ec2: &Ec2,
    ami: &Ami,
    id: Option<&str>,
    tokens: &[&str],
    is_finished: bool,
) -> Result<Found, ApiError> {
    let mut best = Found::Nothing;
    for image in named(ec2, &ami.name, id).await? {
        let is_proven = match is_finished {
            true => tokens.iter().any(|token| proof::is_of_build(token, image::creation(&image))),
            false => tokens.iter().any(|token| has_tag(image.tags(), token)),
        };
        let is_ours = is_proven && ami.is_as_made(ec2, &image).await?;
        if best.take(Found::new(image.image_id(), is_ours)) {
            break;
        }
    }
    Ok(best)
}

/// The account's own AMIs of this name, or the one of them that has this `id`.
pub async fn named(ec2: &Ec2, name: &str, id: Option<&str>) -> Result<Vec<Image>, ApiError> {
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
    let made = filter("description", [format!("Created by CreateImage(*) for {id}*")]);
    let found = snapshot::matching(ec2, made).await?;
    let instance = |text: &str| {
        let (instance, _) = text.strip_prefix("Created by CreateImage(")?.split_once(')')?;
        Some(instance.to_owned())
    };
    Ok(found.iter().find_map(|snapshot| instance(snapshot.description()?)))
}

/// The snapshots of `instance` that EC2 made for the AMI `id`, known before the AMI itself lists
/// them.
async fn snapshots_of(ec2: &Ec2, instance: &str, id: &str) -> Result<Vec<String>, ApiError> {
    let made = filter("description", [format!("Created by CreateImage({instance}) for {id}*")]);
    let found = snapshot::matching(ec2, made).await?;
    Ok(found.into_iter().filter_map(|snapshot| snapshot.snapshot_id).collect())
}

/// The instance of the build that the AMI `id` was made of, as EC2 says it, and not before the build
/// began: the first versions gave AMIs no tag, but instances. It proves nothing any more when EC2 has
/// forgotten the instance, about an hour after its end.
pub async fn tagged_origin(
    search: &Search<'_>,
    ec2: &Ec2,
    id: &str,
) -> Result<Option<String>, ApiError> {
    let Some(image) = image::by_id(ec2, id).await? else { return Ok(None) };
    let Some(instance) = origin(ec2, &image).await? else { return Ok(None) };
    let Some(instance) = instance::by_id(ec2, &instance).await? else { return Ok(None) };
    let made_at = image::creation(&image);
    let is_ours =
        search.any(|token| is_at_work_on(&instance, token) && proof::is_of_build(token, made_at));
    Ok(instance.instance_id.filter(|_| is_ours))
}

/// Removes an AMI, these `snapshots` of it, and those that it lists.
pub async fn remove_with(
    mut snapshots: Vec<String>,
    removal: &Removal<'_>,
    target: &RemovalTarget<'_>,
) -> anyhow::Result<()> {
    let (id, ec2, token) = (target.id, &target.ec2, target.token());
    if let Some(image) = image::by_id(ec2, id).await? {
        snapshots.extend(image::snapshots(&image));
        image::lift_protection(ec2, &image).await?;
    }
    snapshots.sort();
    snapshots.dedup();
    let snapshot = Snapshot { image: id.to_owned(), token: token.to_owned() };
    let snapshots = snapshot.things(removal.account, target.region, snapshots);
    let written = removal.write_down(snapshots).await?;
    deregister(ec2, id).await?;
    // A template may put somebody else's snapshot into its AMI.
    let delete = async |snapshot: String| {
        match snapshot::find(ec2, id, token, &snapshot).await? {
            Found::Ours(snapshot) => snapshot::delete(ec2, removal.ui, &snapshot).await?,
            other => removal.mention(&other),
        }
        Ok(())
    };
    removal.remove_parts(&written, delete).await
}
