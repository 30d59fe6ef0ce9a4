//! Who may make volumes of a snapshot.

use aws_sdk_ec2::types::{OperationType, SnapshotAttributeName};

use crate::aws::call::Ec2;

/// Lets these `users` and `groups` make volumes of the snapshot `id`.
pub(super) async fn share_snapshot(
    ec2: &Ec2,
    id: &str,
    users: &[String],
    groups: &[String],
) -> anyhow::Result<()> {
    let modify = || {
        ec2.modify_snapshot_attribute()
            .snapshot_id(id)
            .attribute(SnapshotAttributeName::CreateVolumePermission)
            .operation_type(OperationType::Add)
    };
    if !users.is_empty() {
        let request = modify().set_user_ids(Some(users.to_vec()));
        ec2.call("ModifySnapshotAttribute", |_| request.clone().send()).await?;
    }
    if !groups.is_empty() {
        let request = modify().set_group_names(Some(groups.to_vec()));
        ec2.call("ModifySnapshotAttribute", |_| request.clone().send()).await?;
    }
    Ok(())
}
