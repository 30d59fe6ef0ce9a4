//! Temporary instance profiles: a role that instances may take on, with one policy, in a profile of
//! the same name.

use std::collections::BTreeSet;

use anyhow::Context as _;
use aws_sdk_ec2::types::Tag;
use aws_sdk_iam::types::{InstanceProfile, Role, Tag as IamTag};
use serde_json::{Value as Json, json};
use tokio::{join, try_join};

use crate::aws::call::{Iam, all_pages};
use crate::aws::error::ApiError;
use crate::aws::name::time_of;
use crate::aws::tags;
use crate::journal::Thing;

/// How the names of temporary profiles begin; a time-ordered id follows.
pub const PREFIX: &str = "packer-";

/// The calls of IAM that make a temporary profile.
pub const CALLS: &[&str] =
    &["AddRoleToInstanceProfile", "CreateInstanceProfile", "CreateRole", "PutRolePolicy"];

/// The calls of IAM that find and remove one.
pub const REMOVAL_CALLS: &[&str] = &[
    "DeleteInstanceProfile",
    "DeleteRole",
    "DeleteRolePolicy",
    "GetInstanceProfile",
    "GetRole",
    "RemoveRoleFromInstanceProfile",
];

/// Those that they stand for besides: what is made with tags.
pub const TAGS: &[&str] = &["TagInstanceProfile", "TagRole"];

/// Whether the account has an instance profile called `name`.
pub async fn exists(iam: &Iam, name: &str) -> Result<bool, ApiError> {
    Ok(profile(iam, name).await?.is_some())
}

/// Makes the profile `name` with its role, which may do what `policy` says: all of it is `thing`.
pub async fn make(
    iam: &Iam,
    thing: &Thing,
    name: &str,
    policy: &Json,
    (region, tags): (&str, &[Tag]),
) -> anyhow::Result<()> {
    let (iam, tags) = (&iam.expecting([name]), &iam_tags(tags)?);
    // Each call is heard to its end, whatever becomes of the other.
    let (profile, role) =
        join!(make_profile(iam, thing, name, tags), make_role(iam, thing, name, region, tags));
    profile.and(role)?;
    let request = iam.put_role_policy().role_name(name).policy_name(name);
    let request = request.policy_document(policy.to_string());
    let allow = iam.call("PutRolePolicy", |_| request.clone().send());
    let (allowed, added) = join!(allow, add(iam, name));
    allowed?;
    Ok(added?)
}

async fn make_profile(iam: &Iam, thing: &Thing, name: &str, tags: &[IamTag]) -> anyhow::Result<()> {
    let request = iam.create_instance_profile().instance_profile_name(name);
    let request = request.set_tags(Some(tags.to_vec()));
    let look = async || Ok(profile(iam, name).await?.map(|_| ()));
    let done = |_| Some(());
    iam.make(thing, "CreateInstanceProfile", |_| request.clone().send(), done, look).await
}

async fn make_role(
    iam: &Iam,
    thing: &Thing,
    name: &str,
    region: &str,
    tags: &[IamTag],
) -> anyhow::Result<()> {
    let request = iam
        .create_role()
        .role_name(name)
        .description("Temporary role for imgbake")
        .assume_role_policy_document(trust(region).to_string())
        .set_tags(Some(tags.to_vec()));
    let look = async || Ok(role(iam, name).await?.map(|_| ()));
    let done = |_| Some(());
    iam.make(thing, "CreateRole", |_| request.clone().send(), done, look).await
}

async fn add(iam: &Iam, name: &str) -> Result<(), ApiError> {
    let request = iam.add_role_to_instance_profile().instance_profile_name(name).role_name(name);
    match iam.call("AddRoleToInstanceProfile", |_| request.clone().send()).await {
        // A profile has one role: an answer was lost.
        Err(error) if error.is(&["LimitExceeded"]) => Ok(()),
        added => added.map(|_| ()),
    }
}

async fn role(iam: &Iam, name: &str) -> Result<Option<Role>, ApiError> {
    let found = iam.call("GetRole", |iam| iam.get_role().role_name(name).send()).await;
    Ok(known(found)?.and_then(|found| found.role))
}

async fn profile(iam: &Iam, name: &str) -> Result<Option<InstanceProfile>, ApiError> {
    let request = iam.get_instance_profile().instance_profile_name(name);
    let found = iam.call("GetInstanceProfile", |_| request.clone().send()).await;
    Ok(known(found)?.and_then(|found| found.instance_profile))
}

/// What was found, or that nothing was.
fn known<T>(called: Result<T, ApiError>) -> Result<Option<T>, ApiError> {
    match called {
        Err(error) if error.is_not_found() => Ok(None),
        called => called.map(Some),
    }
}

/// The names of all roles and profiles of the account that are called as ours are.
pub async fn called_as_ours(iam: &Iam) -> Result<BTreeSet<String>, ApiError> {
    let roles = all_pages(|marker| async {
        let request = iam.list_roles().set_marker(marker);
        let page = iam.call("ListRoles", |_| request.clone().send()).await?;
        Ok((page.roles, page.marker))
    });
    let profiles = all_pages(|marker| async {
        let request = iam.list_instance_profiles().set_marker(marker);
        let page = iam.call("ListInstanceProfiles", |_| request.clone().send()).await?;
        Ok((page.instance_profiles, page.marker))
    });
    let (roles, profiles) = try_join!(roles, profiles)?;
    let names = roles.into_iter().map(|role| role.role_name);
    let names = names.chain(profiles.into_iter().map(|one| one.instance_profile_name));
    let is_as_ours = |name: &String| name.strip_prefix(PREFIX).and_then(time_of).is_some();
    Ok(names.filter(is_as_ours).collect())
}

/// The tags of the role and the profile called `name`.
pub async fn tags(iam: &Iam, name: &str) -> Result<Vec<Tag>, ApiError> {
    let (role, profile) = try_join!(role(iam, name), profile(iam, name))?;
    let role = role.and_then(|role| role.tags).unwrap_or_default().into_iter();
    let all = role.chain(profile.and_then(|profile| profile.tags).unwrap_or_default());
    Ok(all.map(|tag| tags::tag(tag.key, tag.value)).collect())
}

/// Removes the profile and its role, as far as they are there.
pub async fn remove(iam: &Iam, name: &str) -> anyhow::Result<()> {
    let roles = profile(iam, name).await?.map(|profile| profile.roles).unwrap_or_default();
    for role in &roles {
        let request = iam.remove_role_from_instance_profile().instance_profile_name(name);
        let request = request.role_name(role.role_name());
        iam.remove("RemoveRoleFromInstanceProfile", |_| request.clone().send()).await?;
    }
    let profile = iam.delete_instance_profile().instance_profile_name(name);
    let profile = iam.remove("DeleteInstanceProfile", |_| profile.clone().send());
    let role = async {
        let policy = iam.delete_role_policy().role_name(name).policy_name(name);
        iam.remove("DeleteRolePolicy", |_| policy.clone().send()).await?;
        iam.remove("DeleteRole", |iam| iam.delete_role().role_name(name).send()).await
    };
    let (profile, role) = join!(profile, role);
    Ok(profile.and(role)?)
}

/// Who may take on the role: instances.
fn trust(region: &str) -> Json {
    let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": {"Service": format!("ec2.{suffix}")},
            "Action": "sts:AssumeRole",
        }],
    })
}

fn iam_tags(tags: &[Tag]) -> anyhow::Result<Vec<IamTag>> {
    let each = tags.iter().map(|tag| {
        let (key, value) = (tag.key().unwrap_or_default(), tag.value().unwrap_or_default());
        IamTag::builder().key(key).value(value).build().context("a tag has a key and a value")
    });
    each.collect()
}
