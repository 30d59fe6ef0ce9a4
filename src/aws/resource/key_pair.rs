//! The key pair that a build logs in with.

use async_trait::async_trait;
use aws_sdk_ec2::types::KeyPairInfo;
use serde::{Deserialize, Serialize};

use crate::aws::allow::Regions;
use crate::aws::build_tags::of_any_build;
use crate::aws::call::Ec2;
use crate::aws::error::ApiError;
use crate::aws::image::filter;
use crate::aws::proof;
use crate::aws::resource::context::{Area, Removal, RemovalTarget, Search};
use crate::aws::resource::found::Found;
use crate::aws::resource::kind::{Kind, Order, Reap, Resource, Tagged, read};
use crate::permission::Permission;

/// A key pair.
pub static KIND: Kind = Kind {
    key: "key_pair",
    label: "key pair",
    order: Order::First,
    is_product: false,
    read: read::<KeyPair>,
    reap: Reap::InRegion(|area| Box::pin(all(area))),
};

/// A key pair of this name that has our tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPair {
    /// Its name.
    pub name: String,
    /// The value of the build's tag.
    pub token: String,
}

#[async_trait]
impl Resource for KeyPair {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn tokens(&self) -> Vec<&str> {
        vec![&self.token]
    }

    async fn find(&self, search: &Search<'_>) -> anyhow::Result<Found> {
        Ok(find(&search.ec2, &self.name, &self.token).await?)
    }

    async fn remove(
        &self,
        removal: &Removal<'_>,
        target: &RemovalTarget<'_>,
    ) -> anyhow::Result<()> {
        removal.ui.say(format!("Deleting the temporary key pair {}", self.name));
        Ok(delete(&target.ec2, &self.name).await?)
    }

    fn permissions(at: &Regions) -> Vec<Permission> {
        vec![at.look(&["DescribeKeyPairs"]), at.on_ours("key-pair", &["DeleteKeyPair"])]
    }
}

/// The key pair `name` of the build of `token`.
pub async fn find(ec2: &Ec2, name: &str, token: &str) -> Result<Found, ApiError> {
    let request = ec2.describe_key_pairs().filters(filter("key-name", [name]));
    let answer = ec2.call("DescribeKeyPairs", |_| request.clone().send()).await?;
    let named = answer.key_pairs().iter().filter(|key| key.key_name() == Some(name));
    Ok(Found::best(named.map(|key| Found::new(Some(name), is_of_build(key, token)))))
}

/// Removes a key pair; it is no error if it is gone already.
pub async fn delete(ec2: &Ec2, name: &str) -> Result<(), ApiError> {
    ec2.remove("DeleteKeyPair", |ec2| ec2.delete_key_pair().key_name(name).send()).await
}

async fn all(area: &Area<'_>) -> Result<Vec<Tagged>, ApiError> {
    let ec2 = area.ec2();
    let request = ec2.describe_key_pairs().filters(of_any_build());
    let answer = ec2.call("DescribeKeyPairs", |_| request.clone().send()).await?;
    let tagged = answer.key_pairs().iter().filter_map(|key| {
        let name = key.key_name.clone();
        Tagged::named(key.tags(), key.create_time(), name, |name, token| KeyPair { name, token })
    });
    Ok(tagged.collect())
}

/// Whether the build of `token` made this key pair.
fn is_of_build(key: &KeyPairInfo, token: &str) -> bool {
    proof::is_tagged_at_beginning(key.tags(), token, key.create_time())
}
