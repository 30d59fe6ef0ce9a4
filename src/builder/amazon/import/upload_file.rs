//! The file goes to S3.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use async_trait::async_trait;

use crate::aws::allow::Regions;
use crate::aws::resource::Resource as _;
use crate::aws::resource::s3_object::S3Object;
use crate::aws::upload::Upload;
use crate::builder::amazon::build::Build;
use crate::builder::amazon::import::options::{ImportOptions, S3Encryption};
use crate::component::BuildContext;
use crate::event::Phase;
use crate::journal::Thing;
use crate::permission::Permission;
use crate::step::{Ending, Step};

/// How often it is said how far it is.
const OFTEN: Duration = Duration::from_secs(10);

/// Uploads the file. In the end the object goes, unless the template keeps it; what is half there goes in
/// any case.
pub(super) struct UploadFile {
    build: Build,
    upload: Upload,
    made: Arc<Thing>,
}

impl UploadFile {
    pub(super) fn new(
        build: &Build,
        file: PathBuf,
        object: &S3Object,
        options: &ImportOptions,
    ) -> Self {
        let made = object.thing(&build.account, build.account.region());
        let key = Some(options.s3_encryption_key.clone());
        let is_used = options.s3_encryption == Some(S3Encryption::Kms);
        let key = key.filter(|key| is_used && !key.is_empty());
        let encryption = options.s3_encryption.map(|kind| kind.as_str().into());
        let upload = Upload::new(file, object.clone(), encryption, key);
        Self { build: build.clone(), upload, made: Arc::new(made) }
    }

    /// What the account must allow for it.
    pub(super) fn permissions(options: &ImportOptions, at: &Regions) -> Vec<Permission> {
        let mut all = vec![at.objects(&options.s3_bucket_name, &["PutObject"])];
        all.extend(S3Object::removal_permissions(&options.s3_bucket_name, at));
        let key = Some(&options.s3_encryption_key).filter(|key| !key.is_empty());
        all.extend(key.map(|key| at.object_key(key)));
        all
    }
}

#[async_trait]
impl Step for UploadFile {
    type Output = ();

    fn name(&self) -> &'static str {
        "upload the file"
    }

    fn phase(&self) -> Phase {
        Phase::Image
    }

    fn makes(&self) -> Vec<Arc<Thing>> {
        vec![self.made.clone()]
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<()> {
        let Upload { file, object, .. } = &self.upload;
        let name = crate::aws::resource::Resource::name(object);
        cx.ui.say(format!("Uploading {} to {name}", file.display()));
        let said = Mutex::new(Instant::now());
        let sent = |so_far: u64, of: u64| {
            let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
            if said.elapsed() >= OFTEN {
                *said = Instant::now();
                let (percent, mib) = (so_far * 100 / of.max(1), of >> 20);
                cx.ui.say(format!("{name}: {percent} % of {mib} MiB are there"));
            }
        };
        let s3 = self.build.account.s3(&cx.cancel);
        let uploaded = self.upload.run(&s3, &self.made, &cx.cancel, sent).await;
        uploaded.with_context(|| format!("cannot upload {}", file.display()))?;
        cx.journal.made(&self.made, &name);
        Ok(())
    }

    async fn undo(&self, cx: &BuildContext, _ending: Ending) -> anyhow::Result<()> {
        self.build.removal(cx).remove(&self.made).await
    }
}
