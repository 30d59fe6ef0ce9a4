//! EC2 makes an AMI of the file in S3.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use aws_sdk_ec2::operation::import_image::ImportImageOutput;
use aws_sdk_ec2::types::{BootModeValues, ImageDiskContainer, ResourceType, UserBucket};

use crate::aws::allow::Regions;
use crate::aws::call::Ec2;
use crate::aws::image::{by_id, snapshots};
use crate::aws::resource::Resource as _;
use crate::aws::resource::import_task::{self, ImportTask, Progress};
use crate::aws::resource::s3_object::S3Object;
use crate::aws::tags::specification;
use crate::aws::wait::{Seen, Wait};
use crate::builder::amazon::image::{Imaging, MadeImage};
use crate::builder::amazon::import::options::ImportOptions;
use crate::component::BuildContext;
use crate::event::Phase;
use crate::journal::Thing;
use crate::permission::Permission;
use crate::step::{Ending, Step};

/// How long an import may stay without progress.
const PATIENCE: Duration = Duration::from_secs(60 * 60);

/// Has EC2 import the object, and waits for the AMI. A failed build leaves neither.
pub(super) struct ImportImage {
    imaging: Imaging,
    object: S3Object,
    options: Arc<ImportOptions>,
    made: Arc<Thing>,
}

impl ImportImage {
    pub(super) fn new(imaging: &Imaging, object: &S3Object, options: &Arc<ImportOptions>) -> Self {
        let S3Object { bucket, key, token, .. } = object.clone();
        let is_intermediary = imaging.settings.copies.is_intermediary();
        let task = ImportTask { token, bucket, key, is_intermediary };
        let account = &imaging.build.account;
        Self {
            imaging: imaging.clone(),
            object: object.clone(),
            options: options.clone(),
            made: Arc::new(task.thing(account, account.region())),
        }
    }

    /// What the account must allow for it.
    pub(super) fn permissions(at: &Regions) -> Vec<Permission> {
        let mut all = vec![
            at.on(&["image", "import-image-task", "snapshot"], &["ImportImage"]),
            at.tag_with(&["import-image-task"], &["ImportImage"]),
        ];
        all.extend(ImportTask::permissions(at));
        all
    }

    async fn begin(&self, cx: &BuildContext, ec2: &Ec2) -> anyhow::Result<String> {
        let options = &self.options;
        let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        let bucket = UserBucket::builder().s3_bucket(&self.object.bucket).s3_key(&self.object.key);
        let disk = ImageDiskContainer::builder().format(options.format.as_str());
        let tags = self.imaging.build.known_as_ours(cx);
        let request = ec2
            .import_image()
            .client_token(&self.imaging.build.token)
            .disk_containers(disk.user_bucket(bucket.build()).build())
            .architecture(options.architecture.as_str())
            .boot_mode(BootModeValues::from(options.starts_with().as_str()))
            .set_platform(options.platform.map(|platform| platform.as_str().to_owned()))
            .set_role_name(given(&options.role_name))
            .set_license_type(given(&options.license_type))
            .set_tag_specifications(
                specification(ResourceType::ImportImageTask, &tags).map(|tags| vec![tags]),
            );
        let id = |answer: ImportImageOutput| answer.import_task_id;
        let look = async || Ok(import_task::find(ec2, &self.imaging.build.token).await?);
        ec2.make(&self.made, "ImportImage", |_| request.clone().send(), id, look).await
    }

    /// Waits until EC2 has made the AMI: its id.
    async fn wait(&self, cx: &BuildContext, ec2: &Ec2, id: &str) -> anyhow::Result<String> {
        let patience = self.imaging.build.patience(cx, PATIENCE);
        let memory = &self.imaging.build.account.memory;
        let wait = Wait { kind: "disk imported", what: id, patience, memory };
        wait.until(&cx.ui, &cx.cancel, || async {
            let Some(task) = import_task::by_id(ec2, id).await? else {
                return Ok(Seen::pending("not known yet"));
            };
            match import_task::progress(&task) {
                Progress::Active(state, progress) => Ok(Seen::Pending { state, progress }),
                Progress::Completed(image) => Ok(Seen::Ready(image)),
                Progress::Ended(why) => bail!("EC2 has given up the import {id}: {why}"),
            }
        })
        .await
    }
}

#[async_trait]
impl Step for ImportImage {
    type Output = MadeImage;

    fn name(&self) -> &'static str {
        "import the disk"
    }

    fn phase(&self) -> Phase {
        Phase::Image
    }

    fn makes(&self) -> Vec<Arc<Thing>> {
        vec![self.made.clone()]
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<MadeImage> {
        let ec2 = self.imaging.build.ec2(cx);
        let task = self.begin(cx, &ec2).await?;
        cx.journal.made(&self.made, &task);
        cx.ui.say(format!("Importing s3://{}/{}: {task}", self.object.bucket, self.object.key));
        let id = self.wait(cx, &ec2, &task).await?;
        cx.ui.say(format!("AMI: {id}"));
        let image = by_id(&ec2, &id).await?;
        let image = image.with_context(|| format!("EC2 does not know {id}, which it has made"))?;
        Ok(MadeImage {
            region: self.imaging.build.account.region().to_owned(),
            id,
            name: image.name().unwrap_or_default().to_owned(),
            snapshots: snapshots(&image),
            own_snapshots: Vec::new(),
        })
    }

    async fn undo(&self, cx: &BuildContext, ending: Ending) -> anyhow::Result<()> {
        match ending {
            Ending::Done if self.made.is_product() => Ok(()),
            _ => self.imaging.build.removal(cx).remove(&self.made).await,
        }
    }

    fn undoes_independently(&self) -> bool {
        true
    }
}
