//! The AMIs that a build has made before: those whose tags say so, and those that a manifest names.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use aws_sdk_ec2::types::Image;
use futures::future::try_join_all;
use tokio_util::sync::CancellationToken;

use super::build::BuildOptions;
use super::image;
use crate::aws::access::is_region;
use crate::aws::account::{Account, Patience};
use crate::aws::allow::Regions;
use crate::aws::call::Ec2;
use crate::aws::image::{MOST_VALUES, creation, filter, matching};
use crate::aws::tags;
use crate::component::{PastImage, PastQuery};
use crate::config::UNKNOWN;
use crate::permission::Permission;

/// A GiB, in which EC2 counts.
const GIB: u64 = 1 << 30;

/// The AMIs of a build that are still there: in its own region, where it `copies` them, and where a
/// manifest says that there are any.
pub(super) async fn of_build(
    options: &BuildOptions,
    copies: &[String],
    query: &PastQuery,
) -> anyhow::Result<Vec<PastImage>> {
    let (access, cancel) = (&options.access, CancellationToken::new());
    let own = access.region_given(&query.environment);
    ensure!(own.as_deref() != Some(UNKNOWN), "its region is what a data source will say");
    let account =
        Account::open(access, &query.environment, &query.redactor, Patience::Short).await?;
    account.check_credentials(&cancel).await?;
    let own = [account.region()].into_iter().chain(copies.iter().map(String::as_str));
    let mut regions: BTreeMap<&str, Vec<&str>> = own.map(|own| (own, Vec::new())).collect();
    for (region, ami) in query.known.iter().filter_map(|id| id.split_once(':')) {
        if is_region(region) && ami.starts_with("ami-") {
            regions.entry(region).or_default().push(ami);
        }
    }
    let looks = regions.iter().map(|(region, known)| {
        let ec2 = account.ec2_in(region, &cancel);
        async move {
            let found = in_region(&ec2, &query.build, known).await;
            let found = found.with_context(|| format!("cannot look for AMIs in {region}"))?;
            anyhow::Ok(found.iter().map(|image| past(region, image)).collect::<Vec<_>>())
        }
    });
    Ok(try_join_all(looks).await?.into_iter().flatten().collect())
}

/// What the account must allow for that.
pub(super) fn permissions(options: &BuildOptions, at: &Regions) -> Vec<Permission> {
    let mut all = options.permissions();
    all.push(at.look(&["DescribeImages"]));
    all
}

/// The finished AMIs of `build` there, and those of `known` that there are.
async fn in_region(ec2: &Ec2, build: &str, known: &[&str]) -> anyhow::Result<Vec<Image>> {
    let mut images = image::finished(ec2, build).await?;
    let is_new = |ami: &&str| images.iter().all(|image| image.image_id() != Some(ami));
    let others: Vec<&str> = known.iter().copied().filter(is_new).collect();
    for some in others.chunks(MOST_VALUES) {
        images.extend(matching(ec2, vec![filter("image-id", some.iter().copied())]).await?);
    }
    Ok(images)
}

fn past(region: &str, image: &Image) -> PastImage {
    let id = image.image_id().unwrap_or_default();
    let made_from = image::said_by(image);
    let disks = image.block_device_mappings().iter().filter_map(|mapping| mapping.ebs());
    let size = disks.filter_map(|disk| u64::try_from(disk.volume_size()?).ok()).sum::<u64>();
    PastImage {
        id: id.to_owned(),
        region: region.to_owned(),
        made_at: creation(image),
        made_from: (!made_from.number.is_empty()).then_some(made_from),
        size: (size > 0).then_some(size * GIB),
        is_tested: tags::is_tested(image.tags(), id),
        published_as: tags::published_as(image.tags(), id).map(str::to_owned).collect(),
    }
}
