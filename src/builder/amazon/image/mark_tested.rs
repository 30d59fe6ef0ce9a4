//! The tag that says that an AMI has passed its tests, for `imgbake promote`.

use crate::aws::allow::Regions;
use crate::aws::call::Ec2;
use crate::aws::tags;
use crate::component::BuildContext;
use crate::permission::Permission;

/// Says on the AMI `id` that it has passed its tests: whether that could be said. One that cannot be tagged
/// is no worse.
pub(crate) async fn mark_tested(cx: &BuildContext, ec2: &Ec2, id: &str) -> bool {
    let tag = tags::tag(tags::TESTED, tags::passed(id));
    let tagged = tags::put(ec2, &[id.to_owned()], &[tag]).await;
    if let Err(error) = &tagged {
        cx.ui.error(format!("Warning: no tag says that {id} has passed its tests: {error}"));
    }
    tagged.is_ok()
}

/// What the account must allow for it.
pub(crate) fn permissions_to_mark(at: &Regions) -> Vec<Permission> {
    vec![at.everywhere(&["image"], &["CreateTags"])]
}
