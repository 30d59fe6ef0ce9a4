//! Instances of the AMI are started ahead of time, where the template wants that.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use async_trait::async_trait;
use aws_sdk_ec2::types::{
    FastLaunchLaunchTemplateSpecificationRequest, FastLaunchSnapshotConfigurationRequest,
    FastLaunchStateCode,
};
use futures::future::join_all;

use crate::aws::allow::Regions;
use crate::aws::call::Ec2;
use crate::aws::resource::Resource as _;
use crate::aws::resource::fast_launch::FastLaunch;
use crate::aws::wait::{Seen, Wait};
use crate::builder::amazon::image::fast_launch::{FastLaunchOptions, TemplateOf};
use crate::builder::amazon::image::made_image::MadeImage;
use crate::builder::amazon::image::settings::Imaging;
use crate::component::BuildContext;
use crate::event::Phase;
use crate::journal::Thing;
use crate::permission::Permission;
use crate::step::{Ending, Step};

/// How long EC2 may take, without a sign of progress, until snapshots are ready.
const PATIENCE: Duration = Duration::from_secs(125 * 60);

/// Enables fast launch in every region that wants it. A failed build leaves it nowhere.
pub(crate) struct EnableFastLaunch {
    imaging: Imaging,
    options: FastLaunchOptions,
    images: Vec<(MadeImage, Arc<Thing>)>,
}

impl EnableFastLaunch {
    pub(crate) fn new(
        imaging: &Imaging,
        options: &FastLaunchOptions,
        images: &[MadeImage],
    ) -> Self {
        let wants = |image: &&MadeImage| {
            options.in_region(&image.region, imaging.build.account.region()).is_some()
        };
        let enabled = |image: &MadeImage| {
            let made = FastLaunch { image: image.id.clone(), token: imaging.build.token.clone() };
            (image.clone(), Arc::new(made.thing(&imaging.build.account, &image.region)))
        };
        let images = images.iter().filter(wants).map(enabled).collect();
        Self { imaging: imaging.clone(), options: options.clone(), images }
    }

    /// What the account must allow for it.
    pub(crate) fn permissions(options: &FastLaunchOptions, at: &Regions) -> Vec<Permission> {
        if !options.is_wanted() {
            return Vec::new();
        }
        let mut all = vec![at.everywhere(&["image"], &["EnableFastLaunch"])];
        all.extend(FastLaunch::permissions(at));
        if options.has_template() {
            all.push(at.look(&["DescribeLaunchTemplates"]));
        }
        all
    }

    async fn enable(
        &self,
        cx: &BuildContext,
        image: &MadeImage,
        made: &Thing,
    ) -> anyhow::Result<()> {
        let options = &self.options;
        let ec2 = self.imaging.build.ec2_in(cx, &image.region).expecting([&image.id]);
        let template =
            options.in_region(&image.region, self.imaging.build.account.region()).flatten();
        let template = match template {
            Some(template) => Some(with_version(&ec2, template).await?),
            None => None,
        };
        let count = options.target_resource_count.map(|count| {
            FastLaunchSnapshotConfigurationRequest::builder().target_resource_count(count).build()
        });
        cx.ui.say(format!("Enabling fast launch of {} in {}", image.id, image.region));
        let request = ec2
            .enable_fast_launch()
            .image_id(&image.id)
            .resource_type("snapshot")
            .set_launch_template(template)
            .set_max_parallel_launches(options.max_parallel_launches)
            .set_snapshot_configuration(count);
        made.attempt();
        ec2.call("EnableFastLaunch", |_| request.clone().send()).await?;
        cx.journal.made(made, &image.id);
        let patience = self.imaging.build.patience(cx, PATIENCE);
        let memory = &self.imaging.build.account.memory;
        let wait = Wait { kind: "fast launch enabled", what: &image.id, patience, memory };
        wait.until(&cx.ui, &cx.cancel, || look(&ec2, &image.id)).await
    }
}

/// The launch template with the version that the template wants, or the latest.
async fn with_version(
    ec2: &Ec2,
    template: TemplateOf<'_>,
) -> anyhow::Result<FastLaunchLaunchTemplateSpecificationRequest> {
    let listed = |text: Option<&str>| text.map(|text| vec![text.to_owned()]);
    let request = ec2
        .describe_launch_templates()
        .set_launch_template_ids(listed(template.id))
        .set_launch_template_names(listed(template.name));
    let found = ec2.call("DescribeLaunchTemplates", |_| request.clone().send()).await?;
    let called = template.id.or(template.name).unwrap_or_default();
    let latest = found.launch_templates().first().and_then(|found| found.latest_version_number());
    let latest = latest.with_context(|| format!("there is no launch template {called}"))?;
    let version = template.version.unwrap_or(latest);
    ensure!(version <= latest, "the latest version of {called} is {latest}, not {version}");
    Ok(FastLaunchLaunchTemplateSpecificationRequest::builder()
        .set_launch_template_id(template.id.map(str::to_owned))
        .set_launch_template_name(template.name.map(str::to_owned))
        .version(version.to_string())
        .build())
}

async fn look(ec2: &Ec2, image: &str) -> anyhow::Result<Seen<()>> {
    let request = ec2.describe_fast_launch_images().image_ids(image);
    let found = ec2.call("DescribeFastLaunchImages", |_| request.clone().send()).await?;
    let Some(found) = found.fast_launch_images().first() else {
        return Ok(Seen::pending("not known yet"));
    };
    match found.state() {
        Some(FastLaunchStateCode::Enabled) => Ok(Seen::Ready(())),
        Some(FastLaunchStateCode::Enabling) | None => Ok(Seen::pending("enabling")),
        Some(other) => bail!(
            "fast launch of {image} is {}: {}",
            other.as_str(),
            found.state_transition_reason().unwrap_or("EC2 gives no reason")
        ),
    }
}

#[async_trait]
impl Step for EnableFastLaunch {
    type Output = ();

    fn name(&self) -> &'static str {
        "enable fast launch"
    }

    fn phase(&self) -> Phase {
        Phase::Image
    }

    fn makes(&self) -> Vec<Arc<Thing>> {
        self.images.iter().map(|(_, made)| made.clone()).collect()
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<()> {
        let all = self.images.iter().map(|(image, made)| self.enable(cx, image, made));
        join_all(all).await.into_iter().collect()
    }

    async fn undo(&self, cx: &BuildContext, ending: Ending) -> anyhow::Result<()> {
        if ending == Ending::Done {
            return Ok(());
        }
        self.imaging.build.removal(cx).remove_all(&self.makes()).await
    }

    fn undoes_independently(&self) -> bool {
        true
    }
}
