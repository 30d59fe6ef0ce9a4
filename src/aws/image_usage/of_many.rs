//! Who uses any of many AMIs: all that has started a machine from one, or may start one.
//!
//! | who | which |
//! |---|---|
//! | instances | all but terminated ones: a stopped one may be replaced |
//! | launch templates | every version, not only the latest: an older one may be pinned |
//! | Auto Scaling | launch configurations, and AMIs that a group's overrides name |
//! | spot | requests and fleets that are not over |
//!
//! A launch template can name a parameter of Systems Manager instead of an AMI: then all AMIs that
//! the parameter may stand for are used.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{BatchState, SpotInstanceState};
use futures::future::try_join_all;
use tokio::try_join;
use tokio_util::sync::CancellationToken;

use crate::aws::account::Account;
use crate::aws::call::{Ec2, all_pages};
use crate::aws::error::ApiError;
use crate::aws::image::{MOST_VALUES, filter};
use crate::aws::parameter;

/// AMIs by their ids, with those who use them, in words.
pub type Uses = BTreeMap<String, BTreeSet<String>>;

/// An AMI, or the parameter that names it, and who uses it.
type Use = (String, String);

/// How many launch templates are asked about at a time.
const AT_A_TIME: usize = 8;
/// What a launch template says before the name of a parameter.
const RESOLVE: &str = "resolve:ssm:";

/// Who uses which of the AMIs `ids`, in the account's region.
pub async fn users_of_many(
    account: &Account,
    ids: &BTreeSet<String>,
    cancel: &CancellationToken,
) -> Result<Uses, ApiError> {
    if ids.is_empty() {
        return Ok(Uses::new());
    }
    let ec2 = &account.ec2(cancel);
    let found = try_join!(
        instances(ec2, ids),
        launch_templates(ec2),
        spot_requests(ec2),
        spot_fleets(ec2),
        launch_configurations(account, cancel),
        overrides(account, cancel),
    )?;
    let (one, two, three, four, five, six) = found;
    let found = [one, two, three, four, five, six].concat();
    let (named, direct): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|(image, _)| image.starts_with(RESOLVE));
    let mut by_name: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (text, who) in named {
        by_name.entry(text).or_default().push(who);
    }
    let resolved = try_join_all(by_name.into_iter().map(|one| resolved(account, one, cancel)));
    let mut uses = Uses::new();
    for (image, who) in direct.into_iter().chain(resolved.await?.concat()) {
        if ids.contains(&image) {
            uses.entry(image).or_default().insert(who);
        }
    }
    Ok(uses)
}

async fn instances(ec2: &Ec2, ids: &BTreeSet<String>) -> Result<Vec<Use>, ApiError> {
    let ids: Vec<&String> = ids.iter().collect();
    let some = ids.chunks(MOST_VALUES).map(async |some| {
        let images = filter("image-id", some.iter().copied());
        let alive = ["pending", "running", "stopping", "stopped"];
        let request = ec2.describe_instances().filters(images);
        let request = request.filters(filter("instance-state-name", alive)).max_results(1000);
        all_pages(|token| async {
            let request = request.clone().set_next_token(token);
            let page = ec2.call("DescribeInstances", |_| request.clone().send()).await?;
            Ok((page.reservations.unwrap_or_default(), page.next_token))
        })
        .await
    });
    let found = try_join_all(some).await?.concat();
    let found = found.iter().flat_map(|reservation| reservation.instances());
    let used = found.filter_map(|one| {
        let state = one.state()?.name()?;
        Some((one.image_id()?.to_owned(), format!("instance {} ({state})", one.instance_id()?)))
    });
    Ok(used.collect())
}

async fn launch_templates(ec2: &Ec2) -> Result<Vec<Use>, ApiError> {
    let templates = all_pages(|token| async {
        let request = ec2.describe_launch_templates().max_results(200).set_next_token(token);
        let page = ec2.call("DescribeLaunchTemplates", |_| request.clone().send()).await?;
        Ok((page.launch_templates.unwrap_or_default(), page.next_token))
    });
    let ids = templates.await?.into_iter().filter_map(|template| template.launch_template_id);
    let ids: Vec<String> = ids.collect();
    let mut uses = Vec::new();
    for some in ids.chunks(AT_A_TIME) {
        uses.extend(try_join_all(some.iter().map(|id| versions(ec2, id))).await?.concat());
    }
    Ok(uses)
}

/// All versions of a launch template.
async fn versions(ec2: &Ec2, template: &str) -> Result<Vec<Use>, ApiError> {
    let request = ec2.describe_launch_template_versions().launch_template_id(template);
    let request = request.max_results(200);
    let versions = all_pages(|token| async {
        let request = request.clone().set_next_token(token);
        let page = ec2.call("DescribeLaunchTemplateVersions", |_| request.clone().send()).await?;
        Ok((page.launch_template_versions.unwrap_or_default(), page.next_token))
    });
    let versions = versions.await?;
    let used = versions.iter().filter_map(|version| {
        let (name, number) = (version.launch_template_name()?, version.version_number()?);
        let image = version.launch_template_data()?.image_id()?.to_owned();
        Some((image, format!("launch template {name} (version {number})")))
    });
    Ok(used.collect())
}

async fn spot_requests(ec2: &Ec2) -> Result<Vec<Use>, ApiError> {
    let found = all_pages(|token| async {
        let request = ec2.describe_spot_instance_requests().set_next_token(token);
        let page = ec2.call("DescribeSpotInstanceRequests", |_| request.clone().send()).await?;
        Ok((page.spot_instance_requests.unwrap_or_default(), page.next_token))
    });
    let found = found.await?;
    let is_over = |state: &SpotInstanceState| {
        matches!(
            state,
            SpotInstanceState::Cancelled | SpotInstanceState::Closed | SpotInstanceState::Failed
        )
    };
    let alive = found.iter().filter(|one| !one.state().is_some_and(is_over));
    let used = alive.filter_map(|one| {
        let image = one.launch_specification()?.image_id()?.to_owned();
        Some((image, format!("spot request {}", one.spot_instance_request_id()?)))
    });
    Ok(used.collect())
}

async fn spot_fleets(ec2: &Ec2) -> Result<Vec<Use>, ApiError> {
    let found = all_pages(|token| async {
        let request = ec2.describe_spot_fleet_requests().set_next_token(token);
        let page = ec2.call("DescribeSpotFleetRequests", |_| request.clone().send()).await?;
        Ok((page.spot_fleet_request_configs.unwrap_or_default(), page.next_token))
    });
    let is_over = |state: &BatchState| {
        matches!(state, BatchState::Cancelled | BatchState::CancelledTerminatingInstances)
    };
    let mut uses = Vec::new();
    for fleet in found.await? {
        if fleet.spot_fleet_request_state.as_ref().is_some_and(is_over) {
            continue;
        }
        let id = fleet.spot_fleet_request_id.unwrap_or_default();
        let config = fleet.spot_fleet_request_config.as_ref();
        let specifications = config.map(|config| config.launch_specifications());
        let images = specifications.unwrap_or_default().iter().filter_map(|one| one.image_id());
        uses.extend(images.map(|image| (image.to_owned(), format!("spot fleet {id}"))));
    }
    Ok(uses)
}

async fn launch_configurations(
    account: &Account,
    cancel: &CancellationToken,
) -> Result<Vec<Use>, ApiError> {
    let auto_scaling = account.auto_scaling(cancel);
    let found = all_pages(|token| async {
        let request = auto_scaling.describe_launch_configurations().max_records(100);
        let request = request.set_next_token(token);
        let page = auto_scaling.call("DescribeLaunchConfigurations", |_| request.clone().send());
        let page = page.await?;
        Ok((page.launch_configurations.unwrap_or_default(), page.next_token))
    });
    let found = found.await?;
    let used = found.iter().filter_map(|one| {
        let name = one.launch_configuration_name()?;
        Some((one.image_id()?.to_owned(), format!("launch configuration {name}")))
    });
    Ok(used.collect())
}

/// The AMIs that groups name beside their launch templates.
async fn overrides(account: &Account, cancel: &CancellationToken) -> Result<Vec<Use>, ApiError> {
    let auto_scaling = account.auto_scaling(cancel);
    let groups = all_pages(|token| async {
        let request = auto_scaling.describe_auto_scaling_groups().max_records(100);
        let request = request.set_next_token(token);
        let page = auto_scaling.call("DescribeAutoScalingGroups", |_| request.clone().send());
        let page = page.await?;
        Ok((page.auto_scaling_groups.unwrap_or_default(), page.next_token))
    });
    let mut uses = Vec::new();
    for group in groups.await? {
        let name = group.auto_scaling_group_name.as_deref().unwrap_or_default();
        let template = group.mixed_instances_policy.as_ref().and_then(|all| all.launch_template());
        let overrides = template.map(|template| template.overrides()).unwrap_or_default();
        let images = overrides.iter().filter_map(|one| one.image_id());
        uses.extend(images.map(|image| (image.to_owned(), format!("Auto Scaling group {name}"))));
    }
    Ok(uses)
}

/// The AMIs that `resolve:ssm:NAME` may stand for: of `NAME:LABEL` and `NAME:VERSION`, any that the
/// parameter ever named.
async fn resolved(
    account: &Account,
    (text, all): (String, Vec<String>),
    cancel: &CancellationToken,
) -> Result<Vec<Use>, ApiError> {
    let given = text.trim_start_matches(RESOLVE);
    let (name, is_pinned) = match given.split_once(':') {
        // An ARN has colons of its own, and names a parameter that somebody shares.
        Some(_) if given.starts_with("arn:") => return Ok(Vec::new()),
        Some((name, _)) => (name, true),
        None => (given, false),
    };
    let history = parameter::history(&account.ssm(cancel), name).await?;
    let skipped = if is_pinned { 0 } else { history.len().saturating_sub(1) };
    let values = history.into_iter().skip(skipped);
    let each = values.flat_map(|version| {
        all.iter().map(move |who| (version.value.clone(), format!("{who}, through {given}")))
    });
    Ok(each.collect())
}
