//! Resources: what a build makes in an AWS account. One file per kind says how the journal writes
//! it, how it is found again and proven to be ours, how it is removed and when, and what an account
//! must allow for that.
//!
//! | file | what is there |
//! |---|---|
//! | `kind` | what every kind has to say: the trait [`Resource`] |
//! | `context`, `found` | what kinds work with: a search and what it shows, a removal |
//! | all others | one kind each; [`KINDS`] lists them |
//!
//! A new kind is a new file and a line in [`KINDS`].
//!
//! The words: a *token* names one build; it is the value of the tag that the build gives to what it
//! makes. A *mark* is what those tags say. A *thing* is a line of the journal, a *resource* is what that
//! line describes.
//!
//! | AMIs | |
//! |---|---|
//! | `ami` | made of our instance, snapshots or bundle |
//! | `ami_copy` | a copy, in another region or with another key |
//! | `intermediary_ami` | goes when it is copied |
//! | `unfinished_ami` | what `reap` finds by its tag, with no journal |
//! | `replaced_ami` | an old AMI that was deregistered, and may be put back |
//! | `retired_ami` | an old AMI that was deregistered for good |
//!
//! | snapshots | |
//! |---|---|
//! | `snapshot` | EC2 made it for our AMI; it goes with the AMI |
//! | `volume_snapshot` | the build made it of a volume |
//!
//! | volumes | |
//! |---|---|
//! | `volume` | came with our instance, and outlives it |
//! | `own_volume` | made by the build, attached to the machine that it runs on |
//! | `loose_volume` | what `reap` finds attached to nothing |

pub mod ami;
pub mod ami_copy;
pub mod context;
pub mod fast_launch;
pub mod found;
pub mod import_task;
pub mod instance;
pub mod instance_profile;
pub mod intermediary_ami;
pub mod key_pair;
pub mod kind;
pub mod launch_template;
pub mod loose_volume;
pub mod own_volume;
pub mod replaced_ami;
pub mod retired_ami;
pub mod s3_bundle;
pub mod s3_object;
pub mod security_group;
pub mod session;
pub mod snapshot;
pub mod unfinished_ami;
pub mod volume;
pub mod volume_snapshot;

use std::any::Any;
use std::collections::BTreeMap;

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;
use serde_json::Value as Json;

pub use self::kind::{Kind, Resource};
use crate::aws::name::time_of;
use crate::aws::place::Place;
use crate::journal::Thing;

/// All kinds.
pub static KINDS: &[&Kind] = &[
    &ami::KIND,
    &ami_copy::KIND,
    &fast_launch::KIND,
    &import_task::KIND,
    &instance::KIND,
    &instance_profile::KIND,
    &intermediary_ami::KIND,
    &key_pair::KIND,
    &launch_template::KIND,
    &loose_volume::KIND,
    &own_volume::KIND,
    &replaced_ami::KIND,
    &retired_ami::KIND,
    &s3_bundle::KIND,
    &s3_object::KIND,
    &security_group::KIND,
    &session::KIND,
    &snapshot::KIND,
    &unfinished_ami::KIND,
    &volume::KIND,
    &volume_snapshot::KIND,
];

/// A resource as a journal's line describes it.
#[derive(Debug)]
pub struct Recorded {
    /// What it is.
    pub resource: Box<dyn Resource>,
    /// Where it is.
    pub place: Place,
}

/// The details of a line, as [`Resource::thing`] writes them.
#[derive(Deserialize)]
struct Details {
    /// The key of the kind, and the resource's fields. Called `ec2` for all services: journals of
    /// earlier versions say so.
    ec2: BTreeMap<String, Json>,
    r#in: Place,
}

impl Recorded {
    /// Whether `thing` says that it is a resource in AWS.
    pub fn is_one(thing: &Thing) -> bool {
        thing.details().is_some_and(|details| details.get("ec2").is_some())
    }

    /// What the journal says of `thing`.
    ///
    /// # Errors
    /// When it is no resource in AWS, or none that a build would make.
    pub fn of(thing: &Thing) -> anyhow::Result<Self> {
        let details = thing.details().cloned().unwrap_or_default();
        let details = Details::deserialize(details)
            .with_context(|| format!("{thing} is no resource in AWS"))?;
        let resource = read(details.ec2)
            .and_then(|resource| check(&*resource).map(|()| resource))
            .with_context(|| format!("no build of ours makes what the journal says of {thing}"))?;
        Ok(Self { resource, place: details.r#in })
    }

    /// It, if it is of this kind.
    pub fn get<R: Resource>(&self) -> Option<&R> {
        let resource: &dyn Any = &*self.resource;
        resource.downcast_ref()
    }
}

fn read(fields: BTreeMap<String, Json>) -> anyhow::Result<Box<dyn Resource>> {
    let mut fields = fields.into_iter();
    let (Some((key, fields)), None) = (fields.next(), fields.next()) else {
        bail!("a line is about one resource");
    };
    let kind = KINDS.iter().find(|kind| kind.key == key);
    let kind = kind.with_context(|| format!("this version knows no kind `{key}`"))?;
    Ok((kind.read)(fields)?)
}

/// Refuses what no build would have written: whoever forges a journal could have us look for
/// anything.
fn check(resource: &dyn Resource) -> anyhow::Result<()> {
    for token in resource.tokens() {
        ensure!(time_of(token).is_some(), "`{token}` is no token of a build");
    }
    if let Some(parent) = resource.parent() {
        let (id, prefix) = (parent.id(), parent.prefix());
        let digits = id.strip_prefix(prefix).unwrap_or_default();
        let is_id = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_alphanumeric());
        ensure!(is_id, "`{id}` is no id that begins with `{prefix}`");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_a_kind_is_in_the_table_once() {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/aws/resource");
        let files = std::fs::read_dir(dir).unwrap();
        let kinds = files.filter(|file| {
            let text = std::fs::read_to_string(file.as_ref().unwrap().path()).unwrap();
            text.contains("\npub static KIND: Kind")
        });
        assert_eq!(kinds.count(), KINDS.len());
        let keys: std::collections::BTreeSet<_> = KINDS.iter().map(|kind| kind.key).collect();
        assert_eq!(keys.len(), KINDS.len(), "two kinds have one key");
    }
}
