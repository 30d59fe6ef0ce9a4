//! A machine's root volume in S3, in parts, as the machine itself has bundled and uploaded it.

use async_trait::async_trait;
use aws_sdk_s3::types::Object;
use futures::stream::{self, StreamExt as _};
use serde::{Deserialize, Serialize};

use crate::aws::allow::Regions;
use crate::aws::call::{S3, all_pages};
use crate::aws::error::ApiError;
use crate::aws::proof;
use crate::aws::resource::context::{Removal, RemovalTarget, Search};
use crate::aws::resource::found::Found;
use crate::aws::resource::kind::{Kind, Order, Reap, Resource, read};
use crate::event::Ui;
use crate::permission::Permission;

/// A bundle. Nobody could look through all buckets of an account for those that are left; one whose AMI
/// is there goes with that.
pub static KIND: Kind = Kind {
    key: "s3_bundle",
    label: "bundle",
    order: Order::Last,
    is_product: true,
    read: read::<S3Bundle>,
    reap: Reap::No,
};

/// How many of its parts are deleted at the same time.
const AT_A_TIME: usize = 8;
/// How a prefix begins that we choose; the token of the build follows.
const OWN_PREFIX: &str = "image-";
/// How the key of the object ends that lists the parts.
const MANIFEST: &str = ".manifest.xml";

/// The bundle whose objects begin with `prefix`. Machines of its AMI start from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct S3Bundle {
    /// The bucket.
    pub bucket: String,
    /// What the keys of its objects begin with.
    pub prefix: String,
    /// The token of the build.
    pub token: String,
    /// Whether only an AMI needs it that goes with the build.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_temporary: bool,
}

#[async_trait]
impl Resource for S3Bundle {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn is_product(&self) -> bool {
        !self.is_temporary
    }

    fn name(&self) -> String {
        format!("s3://{}", self.location())
    }

    fn tokens(&self) -> Vec<&str> {
        vec![&self.token]
    }

    async fn find(&self, search: &Search<'_>) -> anyhow::Result<Found> {
        let keys = self.own_keys(&search.account.s3(search.cancel)).await?;
        Ok(Found::certain((!keys.is_empty()).then(|| Resource::name(self))))
    }

    async fn remove(
        &self,
        removal: &Removal<'_>,
        _target: &RemovalTarget<'_>,
    ) -> anyhow::Result<()> {
        Ok(self.delete(&removal.account.s3(removal.cancel), removal.ui).await?)
    }

    /// Who looks for it knows its bucket: see [`removal_permissions`](S3Bundle::removal_permissions).
    fn permissions(_at: &Regions) -> Vec<Permission> {
        Vec::new()
    }
}

impl S3Bundle {
    /// The prefix that the build of `token` chooses, if nobody says another one.
    pub fn own_prefix(token: &str) -> String {
        format!("{OWN_PREFIX}{token}")
    }

    /// The bundle that EC2 says an AMI was registered from, if its prefix is one that the build of `token`
    /// chose.
    pub fn at(location: &str, token: &str) -> Option<Self> {
        let (bucket, key) = location.split_once('/')?;
        let prefix = Self::own_prefix(token);
        (key.strip_suffix(MANIFEST) == Some(&prefix)).then(|| Self {
            bucket: bucket.to_owned(),
            prefix,
            token: token.to_owned(),
            is_temporary: false,
        })
    }

    /// The name of the file that lists the parts.
    pub fn manifest(&self) -> String {
        format!("{}{MANIFEST}", self.prefix)
    }

    /// Where EC2 finds it: the bucket, and the key of the manifest.
    pub fn location(&self) -> String {
        format!("{}/{}", self.bucket, self.manifest())
    }

    /// What an account must allow, so that it is found and removed.
    pub fn removal_permissions(bucket: &str, at: &Regions) -> Vec<Permission> {
        vec![at.bucket(bucket, &["ListBucket"]), at.objects(bucket, &["DeleteObject"])]
    }

    /// Deletes all that is there of it.
    pub async fn delete(&self, s3: &S3, ui: &Ui) -> Result<(), ApiError> {
        let keys = self.own_keys(s3).await?;
        if !keys.is_empty() {
            ui.say(format!("Deleting {}, and the parts of its bundle", Resource::name(self)));
        }
        let deletes = keys.into_iter().map(|key| async move {
            let request = s3.delete_object().bucket(&self.bucket).key(key);
            s3.remove("DeleteObject", |_| request.clone().send()).await
        });
        let deleted: Vec<_> = stream::iter(deletes).buffer_unordered(AT_A_TIME).collect().await;
        deleted.into_iter().collect()
    }

    /// Whether its prefix is one that only its build chooses.
    pub fn is_named_by_us(&self) -> bool {
        self.prefix == Self::own_prefix(&self.token)
    }

    /// Whether there is a bundle of this prefix, whoever made it.
    pub async fn is_there(&self, s3: &S3) -> Result<bool, ApiError> {
        Ok(!self.objects(s3).await?.is_empty())
    }

    /// The keys of its objects. Whoever chose a prefix may have used it before: what is older than the
    /// build is of another one.
    async fn own_keys(&self, s3: &S3) -> Result<Vec<String>, ApiError> {
        let is_ours = |object: &Object| {
            self.is_named_by_us()
                || proof::is_of_build(&self.token, proof::time(object.last_modified()))
        };
        let objects = self.objects(s3).await?.into_iter().filter(is_ours);
        Ok(objects.filter_map(|object| object.key).collect())
    }

    async fn objects(&self, s3: &S3) -> Result<Vec<Object>, ApiError> {
        let parts = format!("{}.part.", self.prefix);
        let found = all_pages(|token| async {
            let request = s3.list_objects_v2().bucket(&self.bucket);
            let request = request.prefix(format!("{}.", self.prefix));
            let request = request.set_continuation_token(token);
            let page = s3.call("ListObjectsV2", |_| request.clone().send()).await?;
            Ok((page.contents.unwrap_or_default(), page.next_continuation_token))
        });
        let mut all = match found.await {
            // The machine makes the bucket.
            Err(error) if error.is_not_found() => Vec::new(),
            found => found?,
        };
        all.retain(|object| {
            object.key().is_some_and(|key| key == self.manifest() || key.starts_with(&parts))
        });
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_ours_only_with_the_prefix_that_the_build_chose() {
        let token = "6560f0a1-0000-0000-0000-000000000000";
        let location = format!("bucket/image-{token}.manifest.xml");
        let bundle = S3Bundle::at(&location, token).unwrap();
        assert_eq!(bundle.location(), location);
        for other in [
            "bucket/web.manifest.xml".to_owned(),
            format!("bucket/x/image-{token}.manifest.xml"),
            format!("bucket/image-{token}"),
            format!("image-{token}.manifest.xml"),
        ] {
            assert_eq!(S3Bundle::at(&other, token), None, "{other}");
        }
    }
}
