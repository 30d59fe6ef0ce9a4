//! What every kind of resource has to say, whoever asks: the steps that make it, `imgbake cleanup`,
//! `imgbake reap`, `imgbake iam-policy`.

use std::any::Any;
use std::fmt;

use async_trait::async_trait;
use aws_sdk_ec2::types::Tag;
use aws_smithy_types::DateTime;
use futures::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use crate::aws::account::Account;
use crate::aws::allow::Regions;
use crate::aws::build_tags::Mark;
use crate::aws::error::ApiError;
use crate::aws::proof;
use crate::aws::resource::context::{Area, Leftovers, Removal, RemovalTarget, Search};
use crate::aws::resource::found::Found;
use crate::journal::Thing;
use crate::permission::Permission;

/// Something that a build makes in an AWS account, as the journal says it: enough to find it again,
/// and to know that it is ours. No credential is part of it.
#[async_trait]
pub trait Resource: Fields + Any + fmt::Debug + Send + Sync {
    /// What is the same for all of its kind.
    fn kind(&self) -> &'static Kind;

    /// How it is called before its id is known.
    fn name(&self) -> String;

    /// All values of the build's tag that it may have. None if it has no tag, or if an early version
    /// wrote the line, which did not say it.
    fn tokens(&self) -> Vec<&str>;

    /// What it belongs to, or was made from.
    fn parent(&self) -> Option<Parent<'_>> {
        None
    }

    /// Whether our tags are taken off it when it is finished.
    fn is_handed_over(&self) -> bool {
        false
    }

    /// Whether it is what builds are for; of most, that is the same for all of their kind.
    fn is_product(&self) -> bool {
        self.kind().is_product
    }

    /// Looks for it, and for proof that it is ours.
    async fn find(&self, search: &Search<'_>) -> anyhow::Result<Found>;

    /// Removes it. It is no error if it is gone already.
    async fn remove(&self, removal: &Removal<'_>, target: &RemovalTarget<'_>)
    -> anyhow::Result<()>;

    /// Removes what would be left of it, where it was found and removed before, or was not found.
    async fn remove_leftovers(
        &self,
        _removal: &Removal<'_>,
        _leftovers: &Leftovers<'_>,
    ) -> anyhow::Result<()> {
        Ok(())
    }

    /// What an account must allow, so that it is found and removed.
    fn permissions(at: &Regions) -> Vec<Permission>
    where
        Self: Sized;

    /// Several such in `region`, for the journal, by their `ids`.
    fn things(&self, account: &Account, region: &str, ids: Vec<String>) -> Vec<Thing> {
        ids.into_iter().map(|id| self.thing(account, region).known_as(id)).collect()
    }

    /// This in `region`, for the journal, before it is there.
    fn thing(&self, account: &Account, region: &str) -> Thing {
        let kind = self.kind();
        let details = json!({"ec2": {kind.key: self.fields()}, "in": account.place(region)});
        let thing = Thing::new(kind.label, self.name()).at(region).with_details(details);
        if self.is_product() { thing.as_product() } else { thing }
    }
}

/// The fields of a resource, as the journal writes them.
pub trait Fields {
    /// See [`Fields`].
    fn fields(&self) -> Json;
}

impl<T: Serialize> Fields for T {
    fn fields(&self) -> Json {
        // Names, numbers and lists always have a JSON form.
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// A kind of resource.
#[derive(Debug)]
pub struct Kind {
    /// Its key in the journal. It never changes: journals of earlier versions are read, too.
    pub key: &'static str,
    /// What people call it.
    pub label: &'static str,
    /// When it goes.
    pub order: Order,
    /// Whether it is what builds are for: it stays if its build ends well.
    pub is_product: bool,
    /// Reads the fields of a journal's line.
    pub read: fn(Json) -> serde_json::Result<Box<dyn Resource>>,
    /// How all of this kind are found that have the tags of some build.
    pub reap: Reap,
}

/// When something goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As soon as possible.
    First,
    /// When what needs it is gone: groups and volumes wait for their instances, snapshots for their
    /// AMIs, and old AMIs for their name.
    Last,
}

/// Finds all resources of a kind that have our tags.
pub type FindAll = for<'a> fn(&'a Area<'a>) -> BoxFuture<'a, Result<Vec<Tagged>, ApiError>>;

/// How `imgbake reap` finds a kind.
#[derive(Clone, Copy, Debug)]
pub enum Reap {
    /// Not by itself: it has no tags, or goes with what it belongs to.
    No,
    /// In each region.
    InRegion(FindAll),
    /// Once: all regions have the same.
    InAccount(FindAll),
}

/// See [`Kind::read`].
pub fn read<R: Resource + DeserializeOwned>(fields: Json) -> serde_json::Result<Box<dyn Resource>> {
    Ok(Box::new(serde_json::from_value::<R>(fields)?))
}

/// `token`, unless it is empty: the lines of early versions have none.
pub fn unless_empty(token: &str) -> impl Iterator<Item = &str> {
    Some(token).filter(|token| !token.is_empty()).into_iter()
}

/// The id of what a resource belongs to, or was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parent<'a> {
    /// An instance.
    Instance(&'a str),
    /// An AMI.
    Image(&'a str),
    /// A volume.
    Volume(&'a str),
}

impl<'a> Parent<'a> {
    /// The id.
    pub fn id(self) -> &'a str {
        match self {
            Self::Instance(id) | Self::Image(id) | Self::Volume(id) => id,
        }
    }

    /// How such ids begin.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Instance(_) => "i-",
            Self::Image(_) => "ami-",
            Self::Volume(_) => "vol-",
        }
    }
}

/// A resource that has our tags.
#[derive(Debug)]
pub struct Tagged {
    /// Its id.
    pub id: String,
    /// What the tags say.
    pub mark: Mark,
    /// What it is.
    pub resource: Box<dyn Resource>,
    /// Whether what AWS says besides fits.
    pub is_proven: bool,
}

impl Tagged {
    /// `resource`, if it has an `id`.
    pub fn new(
        id: Option<String>,
        mark: Mark,
        is_proven: bool,
        resource: impl Resource,
    ) -> Option<Self> {
        Some(Self { id: id?, mark, resource: Box::new(resource), is_proven })
    }

    /// What its name identifies: it is proven if it was made while its build began, under a name that
    /// this build chose.
    pub fn named<R: Resource>(
        tags: &[Tag],
        made: Option<&DateTime>,
        name: Option<String>,
        resource: impl FnOnce(String, String) -> R,
    ) -> Option<Self> {
        let (mark, name) = (Mark::of(tags)?, name?);
        let is_proven = proof::is_tagged_at_beginning(tags, &mark.token, made)
            && proof::is_named_by(&mark.token, &name);
        let resource = resource(name.clone(), mark.token.clone());
        Self::new(Some(name), mark, is_proven, resource)
    }
}
