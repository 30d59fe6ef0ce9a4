//! What is said of the AMI and its snapshots in every region: who may use them, and how.

use async_trait::async_trait;
use aws_sdk_ec2::types::builders::LaunchPermissionBuilder;
use aws_sdk_ec2::types::{
    AttributeValue, LaunchPermission, LaunchPermissionModifications, PermissionGroup,
};
use futures::future::join_all;

use crate::aws::allow::Regions;
use crate::builder::amazon::image::made_image::MadeImage;
use crate::builder::amazon::image::settings::{ImageSettings, Imaging};
use crate::builder::amazon::image::sharing::{ImdsSupport, SharingOptions};
use crate::builder::amazon::share_snapshot::share_snapshot;
use crate::component::BuildContext;
use crate::event::Phase;
use crate::permission::Permission;
use crate::step::Step;

/// Sets launch permissions, product codes, IMDS support and volume permissions, one call for each
/// kind.
pub(crate) struct ShareImages {
    imaging: Imaging,
    images: Vec<MadeImage>,
}

impl ShareImages {
    pub(crate) fn new(imaging: &Imaging, images: &[MadeImage]) -> Self {
        Self { imaging: imaging.clone(), images: images.to_vec() }
    }

    /// What the account must allow for it.
    pub(crate) fn permissions(settings: &ImageSettings, at: &Regions) -> Vec<Permission> {
        let (ami, sharing) = (&settings.ami, &settings.sharing);
        let of_image = !launch_permissions(sharing).is_empty()
            || !ami.ami_product_codes.is_empty()
            || sharing.imds_support.is_some();
        let of_snapshots = !ami.snapshot_users.is_empty() || !ami.snapshot_groups.is_empty();
        let image = || at.everywhere(&["image"], &["ModifyImageAttribute"]);
        let snapshot = || at.everywhere(&["snapshot"], &["ModifySnapshotAttribute"]);
        [of_image.then(image), of_snapshots.then(snapshot)].into_iter().flatten().collect()
    }

    async fn share(&self, cx: &BuildContext, image: &MadeImage) -> anyhow::Result<()> {
        let ImageSettings { ami, sharing, .. } = &*self.imaging.settings;
        let ec2 = self.imaging.build.ec2_in(cx, &image.region).expecting([&image.id]);
        let modify = || ec2.modify_image_attribute().image_id(&image.id);
        for (kind, permissions) in launch_permissions(sharing) {
            cx.ui.say(format!("Letting {kind} launch {}", image.id));
            let add = LaunchPermissionModifications::builder().set_add(Some(permissions)).build();
            let request = modify().launch_permission(add);
            ec2.call("ModifyImageAttribute", |_| request.clone().send()).await?;
        }
        if !ami.ami_product_codes.is_empty() {
            let codes = ami.ami_product_codes.clone();
            let request = modify().attribute("productCodes").set_product_codes(Some(codes));
            ec2.call("ModifyImageAttribute", |_| request.clone().send()).await?;
        }
        if let Some(ImdsSupport::V2) = sharing.imds_support {
            cx.ui.say(format!("Having instances of {} ask for IMDSv2", image.id));
            let v2 = AttributeValue::builder().value("v2.0").build();
            let request = modify().imds_support(v2);
            ec2.call("ModifyImageAttribute", |_| request.clone().send()).await?;
        }
        for snapshot in &image.snapshots {
            share_snapshot(&ec2, snapshot, &ami.snapshot_users, &ami.snapshot_groups).await?;
        }
        Ok(())
    }
}

/// Who may launch the AMI: by kind, without those that nobody is of.
fn launch_permissions(sharing: &SharingOptions) -> Vec<(&'static str, Vec<LaunchPermission>)> {
    type Name = fn(LaunchPermissionBuilder, &str) -> LaunchPermissionBuilder;
    let kinds: [(_, _, Name); 4] = [
        ("groups", &sharing.ami_groups, |new, name| new.group(PermissionGroup::from(name))),
        ("other accounts", &sharing.ami_users, |new, name| new.user_id(name)),
        ("organizations", &sharing.ami_org_arns, |new, arn| new.organization_arn(arn)),
        ("organizational units", &sharing.ami_ou_arns, |new, arn| new.organizational_unit_arn(arn)),
    ];
    let some = kinds.into_iter().filter(|(_, names, _)| !names.is_empty());
    some.map(|(kind, names, set)| {
        let each = names.iter().map(|name| set(LaunchPermission::builder(), name).build());
        (kind, each.collect())
    })
    .collect()
}

#[async_trait]
impl Step for ShareImages {
    type Output = ();

    fn name(&self) -> &'static str {
        "share the AMI"
    }

    fn phase(&self) -> Phase {
        Phase::Image
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<()> {
        let all = self.images.iter().map(|image| self.share(cx, image));
        join_all(all).await.into_iter().collect()
    }
}
