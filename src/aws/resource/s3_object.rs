//! An object in S3 that a build uploads, and the uploads of its parts.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::aws::allow::Regions;
use crate::aws::call::S3;
use crate::aws::error::ApiError;
use crate::aws::proof;
use crate::aws::resource::context::{Removal, RemovalTarget, Search};
use crate::aws::resource::found::Found;
use crate::aws::resource::kind::{Kind, Order, Reap, Resource, read};
use crate::permission::Permission;

/// An object. Nobody could look through all buckets of an account for those that are left.
pub static KIND: Kind = Kind {
    key: "s3_object",
    label: "object",
    order: Order::Last,
    is_product: false,
    read: read::<S3Object>,
    reap: Reap::No,
};

/// What an object of ours says of the build that uploads it: a name of its metadata.
pub const BUILD_METADATA: &str = "imgbake-build";

/// The object of this key, which says that our build uploaded it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct S3Object {
    /// The bucket.
    pub bucket: String,
    /// The key in it.
    pub key: String,
    /// The token of the build.
    pub token: String,
    /// Whether it stays once it is uploaded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stays: bool,
}

#[async_trait]
impl Resource for S3Object {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn name(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.key)
    }

    fn tokens(&self) -> Vec<&str> {
        vec![&self.token]
    }

    async fn find(&self, search: &Search<'_>) -> anyhow::Result<Found> {
        let s3 = search.account.s3(search.cancel);
        let is_there = !self.stays && self.is_uploaded(&s3).await?;
        let is_there = is_there || !self.uploads(&s3).await?.is_empty();
        Ok(Found::certain(is_there.then(|| Resource::name(self))))
    }

    async fn remove(
        &self,
        removal: &Removal<'_>,
        _target: &RemovalTarget<'_>,
    ) -> anyhow::Result<()> {
        let s3 = removal.account.s3(removal.cancel);
        for upload in self.uploads(&s3).await? {
            removal.ui.say(format!("Giving up the upload to {}", Resource::name(self)));
            let request = s3.abort_multipart_upload().bucket(&self.bucket).key(&self.key);
            let request = request.upload_id(upload);
            s3.remove("AbortMultipartUpload", |_| request.clone().send()).await?;
        }
        if !self.stays && self.is_uploaded(&s3).await? {
            removal.ui.say(format!("Deleting {}", Resource::name(self)));
            let request = s3.delete_object().bucket(&self.bucket).key(&self.key);
            s3.remove("DeleteObject", |_| request.clone().send()).await?;
        }
        Ok(())
    }

    fn permissions(_at: &Regions) -> Vec<Permission> {
        Vec::new()
    }
}

impl S3Object {
    /// What an account must allow, so that it is found and removed.
    pub fn removal_permissions(bucket: &str, at: &Regions) -> Vec<Permission> {
        vec![
            // Whoever may not list a bucket does not hear that an object is not there.
            at.bucket(bucket, &["ListBucket", "ListBucketMultipartUploads"]),
            at.objects(bucket, &["AbortMultipartUpload", "DeleteObject", "GetObject"]),
        ]
    }

    /// Whether it is there, and the build uploaded it.
    pub async fn is_uploaded(&self, s3: &S3) -> Result<bool, ApiError> {
        let request = s3.head_object().bucket(&self.bucket).key(&self.key);
        match s3.call("HeadObject", |_| request.clone().send()).await {
            Err(error) if error.is_not_found() => Ok(false),
            found => {
                let said = found?.metadata.unwrap_or_default();
                Ok(said.get(BUILD_METADATA) == Some(&self.token))
            }
        }
    }

    /// The uploads to its key that are not finished. Those of anybody else are older than the build, or
    /// to another key.
    async fn uploads(&self, s3: &S3) -> Result<Vec<String>, ApiError> {
        let request = s3.list_multipart_uploads().bucket(&self.bucket).prefix(&self.key);
        let answer = s3.call("ListMultipartUploads", |_| request.clone().send()).await?;
        let ours = answer.uploads.unwrap_or_default().into_iter().filter(|upload| {
            let is_in_time = proof::is_of_build(&self.token, proof::time(upload.initiated()));
            upload.key() == Some(&self.key) && is_in_time
        });
        Ok(ours.filter_map(|upload| upload.upload_id).collect())
    }
}
