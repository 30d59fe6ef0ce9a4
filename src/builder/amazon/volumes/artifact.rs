//! What a build of volumes leaves: those that stay, and the snapshots.

use std::path::PathBuf;

use async_trait::async_trait;
use serde_json::Value as Json;
use tokio_util::sync::CancellationToken;

use crate::aws::account::Handle;
use crate::aws::resource::volume;
use crate::builder::amazon::volumes::tag_volumes::AttachedVolume;
use crate::component::Artifact;
use crate::interpolate::BuildData;

/// The builder id.
pub(crate) const BUILDER_ID: &str = "mitchellh.amazon.ebsvolume";

/// Volumes and snapshots, in the region of the build.
pub(crate) struct Volumes {
    account: Handle,
    volumes: Vec<String>,
    snapshots: Vec<String>,
    data: BuildData,
}

impl Volumes {
    /// Those of `volumes` that stay, and `snapshots`; the machine said `data` of itself.
    pub(crate) fn new(
        account: Handle,
        volumes: &[AttachedVolume],
        snapshots: Vec<String>,
        data: BuildData,
    ) -> Self {
        let stays = volumes.iter().filter(|volume| !volume.wanted.delete_on_termination);
        let volumes = stays.map(|volume| volume.id.clone()).collect();
        Self { account, volumes, snapshots, data }
    }

    /// Each with its region, as Packer sorts them.
    fn each(&self) -> Vec<String> {
        let region = self.account.region();
        let ids = self.volumes.iter().chain(&self.snapshots);
        let mut all: Vec<_> = ids.map(|id| format!("{region}:{id}")).collect();
        all.sort();
        all
    }
}

#[async_trait]
impl Artifact for Volumes {
    fn builder_id(&self) -> &str {
        BUILDER_ID
    }

    fn id(&self) -> String {
        self.each().join(",")
    }

    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    fn describe(&self) -> String {
        let lines: Vec<_> = self.each().iter().map(|one| one.replacen(':', ": ", 1)).collect();
        format!("EBS Volumes were created:\n\n{}", lines.join("\n"))
    }

    fn state(&self, name: &str) -> Option<Json> {
        let data = || Json::Object(self.data.clone().into_iter().collect());
        (name == "generated_data").then(data)
    }

    fn build_data(&self) -> BuildData {
        self.data.clone()
    }

    /// The snapshots stay: they are what the volumes were filled for.
    async fn destroy(&self) -> anyhow::Result<()> {
        let ec2 = self.account.ec2(&CancellationToken::new());
        for id in &self.volumes {
            volume::delete(&ec2, id).await?;
        }
        Ok(())
    }
}
