//! The machine uploads its bundle to S3.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use async_trait::async_trait;

use crate::aws::allow::Regions;
use crate::aws::resource::Resource as _;
use crate::aws::resource::s3_bundle::S3Bundle;
use crate::builder::amazon::build::Build;
use crate::builder::amazon::instance::on_machine::run;
use crate::builder::amazon::instance::options::InstanceOptions;
use crate::component::{BuildContext, Communicator};
use crate::event::Phase;
use crate::interpolate::Dot;
use crate::journal::Thing;
use crate::permission::Permission;
use crate::step::Step;

/// Has the machine upload its bundle.
pub(super) struct UploadBundle {
    pub connection: Arc<dyn Communicator>,
    pub build: Build,
    pub bundle: S3Bundle,
    pub own: InstanceOptions,
    /// Whether the machine needs keys of ours.
    pub needs_keys: bool,
    /// The bundle's line in the journal.
    pub made: Arc<Thing>,
}

impl UploadBundle {
    /// What the account must allow for it: the machine acts with the keys of the build, if it has none
    /// of its own.
    pub(super) fn permissions(bucket: &str, needs_keys: bool, at: &Regions) -> Vec<Permission> {
        let mut all = S3Bundle::removal_permissions(bucket, at);
        if needs_keys {
            let of_bucket = ["CreateBucket", "GetBucketLocation"];
            let of_objects = ["PutObject", "PutObjectAcl"];
            all.push(at.bucket(bucket, &of_bucket).made_by_service());
            all.push(at.objects(bucket, &of_objects).made_by_service());
        }
        all
    }

    async fn command(&self, cx: &BuildContext) -> anyhow::Result<String> {
        let keys = self.build.account.signing_keys().await?;
        let (secret, token) = (keys.secret_access_key(), keys.session_token().unwrap_or_default());
        cx.redactor.register(secret);
        cx.redactor.register(token);
        let own = &self.own;
        let manifest = format!("{}/{}", own.bundle_destination, self.bundle.manifest());
        let dot: Dot = [
            ("AccessKey", keys.access_key_id()),
            ("BucketName", &own.s3_bucket),
            ("BundleDirectory", &own.bundle_destination),
            ("ManifestPath", &manifest),
            ("Region", self.build.account.region()),
            ("SecretKey", secret),
            ("Token", token),
        ]
        .map(|(name, value)| (name.to_owned(), value.into()))
        .into();
        let command = own.upload_command(self.needs_keys, !token.is_empty());
        let command = command.render(&cx.facts.scope, &dot);
        command.context("cannot render `bundle_upload_command`")
    }
}

#[async_trait]
impl Step for UploadBundle {
    type Output = ();

    fn name(&self) -> &'static str {
        "upload the bundle"
    }

    fn phase(&self) -> Phase {
        Phase::Image
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<()> {
        cx.ui.say(format!("Uploading the bundle to {}", self.bundle.name()));
        let command = self.command(cx).await?;
        self.made.attempt();
        let status =
            run(cx, &*self.connection, &command).await.context("cannot upload the bundle")?;
        ensure!(
            status != 3,
            "uploading the bundle exited with status 3: the bucket `{}` may be owned by somebody else, \
             or not be writable",
            self.bundle.bucket
        );
        ensure!(
            status == 0,
            "uploading the bundle exited with status {status}: see its output above"
        );
        cx.journal.made(&self.made, &self.bundle.name());
        Ok(())
    }
}
