//! The AMI is made; those that have its name give way.

use crate::aws::allow::Regions;
use crate::builder::amazon::image::deregister_old::DeregisterOld;
use crate::builder::amazon::image::find_old::FindOld;
use crate::builder::amazon::image::made_image::MadeImage;
use crate::builder::amazon::image::settings::{ImageSettings, Imaging};
use crate::permission::Permission;
use crate::step::{Step, Steps};

/// How long the AMI has the name that it is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// For good: it is `ami_name`.
    Final,
    /// Until there is another one: it is of our choice.
    Temporary,
}

/// Makes the AMI with the step that `create` returns. Where AMIs of its name give way, there is a new
/// one before they do.
pub(crate) async fn make<S: Step<Output = MadeImage> + 'static>(
    steps: &Steps<'_>,
    imaging: &Imaging,
    create: impl Fn(Naming) -> S,
) -> anyhow::Result<MadeImage> {
    let old = steps.run(FindOld::new(imaging)).await?;
    let is_named_alike = old.iter().any(|old| old.region == imaging.build.account.region());
    let is_intermediary = imaging.settings.copies.is_intermediary();
    let first = match is_named_alike || is_intermediary {
        true => Naming::Temporary,
        false => Naming::Final,
    };
    let image = steps.run(create(first)).await?;
    steps.run(DeregisterOld::new(imaging, old)).await?;
    if is_named_alike && !is_intermediary {
        // The disks are the same, of which EC2 has snapshots now: this does not take long.
        return steps.run(create(Naming::Final)).await;
    }
    Ok(image)
}

/// What the account must allow for it, beside what `create` calls.
pub(crate) fn permissions(settings: &ImageSettings, at: &Regions) -> Vec<Permission> {
    let mut all = FindOld::permissions(settings, at);
    all.extend(DeregisterOld::permissions(settings, at));
    all
}
