//! Images in S3.

use anyhow::Context as _;
use aws_sdk_s3::Client;
use futures::{StreamExt as _, stream};

use super::place::S3Object;
use super::transfer::Opened;
use crate::aws::access::Access;
use crate::aws::account::{Account, Patience};
use crate::aws::allow::Regions;
use crate::component::BuildContext;
use crate::env::Environment;
use crate::permission::Permission;

/// Where a bucket is of which nobody says it.
const USUAL_REGION: &str = "us-east-1";

impl S3Object {
    /// What is in the object, as whoever runs this may read it.
    pub(super) async fn open(&self, cx: &BuildContext) -> anyhow::Result<Opened> {
        let environment = &cx.facts.scope.environment;
        let access = Access { region: self.region(environment), ..Access::default() };
        let account = Account::open(&access, environment, &cx.redactor, Patience::Short).await?;
        let api = account.s3(&cx.cancel);
        let client = self.endpoint.as_ref().map_or_else(
            || Client::clone(&api),
            |endpoint| {
                let own = api.config().to_builder().endpoint_url(endpoint).force_path_style(true);
                Client::from_conf(own.build())
            },
        );
        let request = client.get_object().bucket(&self.bucket).key(&self.key);
        let request = request.set_version_id(self.version.clone());
        let answer = api.call("GetObject", |_| request.clone().send()).await?;
        let total = answer.content_length().and_then(|length| u64::try_from(length).ok());
        let chunks = stream::try_unfold(answer.body, |mut body| async move {
            let chunk = body.next().await.transpose().context("the answer of S3 broke off")?;
            anyhow::Ok(chunk.map(|chunk| (Vec::<u8>::from(chunk), body)))
        });
        Ok(Opened { chunks: chunks.boxed(), total })
    }

    fn region(&self, environment: &Environment) -> String {
        let given = self.region.clone().or_else(|| Access::default().region_given(environment));
        given.unwrap_or_else(|| USUAL_REGION.to_owned())
    }

    /// What the account must allow, so that it is read; nothing where it is in another S3.
    pub(super) fn permission(&self, environment: &Environment) -> Option<Permission> {
        let call = if self.version.is_some() { "GetObjectVersion" } else { "GetObject" };
        let regions = Regions::new(Some(self.region(environment)), &[]);
        self.endpoint.is_none().then(|| regions.object(&self.bucket, &self.key, &[call]))
    }
}
