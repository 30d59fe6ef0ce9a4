//! The `amazon-import` post-processor: a disk image goes to S3, and EC2 makes an AMI of it. It stands
//! here because what happens to its AMI is what happens to all of them.

mod describe_image;
mod import_image;
mod options;
mod upload_file;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use async_trait::async_trait;

use self::describe_image::DescribeImage;
use self::import_image::ImportImage;
use self::options::ImportOptions;
use self::upload_file::UploadFile;
use crate::aws;
use crate::aws::access::Access;
use crate::aws::account::{Account, Patience};
use crate::aws::cleanup::Ec2Cleaner;
use crate::aws::resource::s3_object::S3Object;
use crate::builder::amazon::artifact::Amis;
use crate::builder::amazon::build::{Build, BuildOptions, RunTags};
use crate::builder::amazon::check_account::CheckAccount;
use crate::builder::amazon::image::{
    self, CheckName, CopyImage, ImageSettings, Imaging, SharingOptions,
};
use crate::builder::amazon::source_ami::SourceAmi;
use crate::component::{
    Artifact, BuildContext, Check, Cleaner, CleanupContext, Component, PostProcessContext,
    PostProcessor, Processed,
};
use crate::env::Environment;
use crate::fault::Fault;
use crate::permission::Permission;
use crate::post_processor::dot;
use crate::step::Steps;

/// What artifacts of this post-processor are known by.
const BUILDER_ID: &str = "packer.post-processor.amazon-import";

/// Makes an AMI of a disk image.
#[derive(Debug)]
pub struct AmazonImport {
    build: Arc<BuildOptions>,
    image: Arc<ImageSettings>,
    own: Arc<ImportOptions>,
}

impl Component for AmazonImport {
    const TYPE: &'static str = "amazon-import";
    const ABOUT: &'static str = "Uploads a disk image to S3, and has EC2 make an AMI of it.";
    type Options = (Access, ImportOptions, SharingOptions);

    fn prepare((access, own, sharing): Self::Options, check: &mut Check<'_>) -> Option<Self> {
        access.check(check);
        own.check(&sharing, check);
        let build = Arc::new(BuildOptions { access, run_tags: RunTags::default() });
        Some(Self { build, image: Arc::new(own.image(sharing)), own: Arc::new(own) })
    }
}

#[async_trait]
impl PostProcessor for AmazonImport {
    async fn post_process(
        &self,
        cx: &PostProcessContext,
        input: Arc<dyn Artifact>,
    ) -> anyhow::Result<Processed> {
        let cx = &cx.for_steps();
        let file = self.file(&input.files())?;
        let options = &self.build;
        let environment = &cx.facts.scope.environment;
        let account =
            Account::open(&options.access, environment, &cx.redactor, Patience::Long).await?;
        let build = Build::new(account.clone(), options.clone());
        let steps = Steps::new(cx);
        let amis = match steps.finish(self.import(cx, &steps, build, file, &*input)).await {
            Err(error) if options.access.decode_authorization_messages => {
                Err(account.decoded(error).await)
            }
            imported => imported,
        };
        Ok(Processed { artifact: Some(Arc::new(amis?)), keep_input: false, keep_forced: false })
    }

    fn blame(&self, error: &anyhow::Error) -> Fault {
        aws::error::blame(error)
    }

    fn makes(&self, _input: Option<&'static str>) -> Option<&'static str> {
        Some(BUILDER_ID)
    }

    fn permissions(&self, environment: &Environment) -> Vec<Permission> {
        let at = self.build.regions(environment, &[]);
        let mut all = self.build.permissions();
        all.extend(CheckAccount::permissions(&self.build, false, &at));
        if !self.own.ami_name.is_empty() {
            all.extend(CheckName::permissions(&self.image, &at));
        }
        all.extend(UploadFile::permissions(&self.own, &at));
        all.extend(ImportImage::permissions(&at));
        all.extend(CopyImage::permissions(&self.image, &at));
        all.extend(DescribeImage::permissions(&self.own, &at));
        all.extend(image::permissions_to_finish(&self.build, &self.image, false, &at));
        all
    }

    fn cleaner(&self, cx: &CleanupContext) -> Option<Box<dyn Cleaner>> {
        Some(Box::new(Ec2Cleaner { access: self.build.access.clone(), cx: cx.clone() }))
    }
}

impl AmazonImport {
    /// The one of `files` that is imported.
    fn file(&self, files: &[PathBuf]) -> anyhow::Result<PathBuf> {
        let ending = self.own.format.as_str();
        let is_one = |file: &&PathBuf| file.extension().is_some_and(|found| found == ending);
        let found = files.iter().find(is_one).cloned();
        found.with_context(|| {
            let all: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
            let all = if all.is_empty() { "none at all".to_owned() } else { all.join(", ") };
            format!("the artifact has no file that ends in `.{ending}` (see `format`): {all}")
        })
    }

    /// The steps, in order.
    async fn import(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
        build: Build,
        file: PathBuf,
        input: &dyn Artifact,
    ) -> anyhow::Result<Amis> {
        let object = self.object(cx, &build)?;
        let imaging = &Imaging { build: build.clone(), settings: self.image.clone() };
        let source = SourceAmi::none(build.account.region());
        steps.run(CheckAccount::new(&build, None)).await?;
        if !self.own.ami_name.is_empty() {
            steps.run(CheckName::new(imaging, None)).await?;
        }
        steps.run(UploadFile::new(&build, file, &object, &self.own)).await?;
        let imported = steps.run(ImportImage::new(imaging, &object, &self.own)).await?;
        let images = steps.run(CopyImage::new(imaging, &source, imported)).await?;
        steps.run(DescribeImage::new(&build, &self.own, &images)).await?;
        image::finish(steps, imaging, &source, &images).await?;
        Ok(Amis::new(BUILDER_ID, build.account.clone(), images, input.build_data()))
    }

    /// What the file becomes in S3.
    fn object(&self, cx: &BuildContext, build: &Build) -> anyhow::Result<S3Object> {
        let key = self.own.key_name().render(&cx.facts.scope, &dot(&cx.facts));
        let key = key.context("cannot render `s3_key_name`")?;
        ensure!(!key.is_empty(), "`s3_key_name` is empty");
        Ok(S3Object {
            bucket: self.own.s3_bucket_name.clone(),
            key,
            token: build.token.clone(),
            stays: self.own.skip_clean,
        })
    }
}
