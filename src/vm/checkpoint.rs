//! The whole state of a machine, memory included: kept in its qcow2 disks under a name, and gone back to.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;
use serde_json::json;

use crate::vm::machine::Machine;

/// How long QEMU may take to write or read a machine's memory. It answers nothing meanwhile.
const PATIENCE: Duration = Duration::from_secs(10 * 60);
/// How often to see whether it is done, where it answers.
const LOOK: Duration = Duration::from_millis(50);

/// A drive of the machine.
#[derive(Deserialize)]
struct Drive {
    device: String,
    inserted: Option<Medium>,
}

/// What is in it.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Medium {
    node_name: String,
    #[serde(rename = "drv")]
    format: String,
    #[serde(rename = "ro")]
    is_read_only: bool,
}

/// Some long work of QEMU's.
#[derive(Deserialize)]
struct Job {
    id: String,
    status: String,
    error: Option<String>,
}

impl Machine {
    /// Keeps the state in which the machine is now; it stands still for that time.
    ///
    /// # Errors
    /// If QEMU cannot: a disk has no room for it, or a device does not tell its state.
    pub async fn save(&self, name: &str) -> anyhow::Result<()> {
        self.with_state("snapshot-save", name).await
    }

    /// Goes back to the state `name`, and on from there.
    ///
    /// # Errors
    /// If QEMU cannot: then the machine stands still.
    pub async fn load(&self, name: &str) -> anyhow::Result<()> {
        self.with_state("snapshot-load", name).await?;
        self.qmp().execute("cont", json!({})).await.map(drop)
    }

    async fn with_state(&self, command: &str, name: &str) -> anyhow::Result<()> {
        let disks = self.disks().await?;
        let main = disks.first().context("the machine has no disk")?;
        let id = format!("imgbake-{}", uuid::Uuid::new_v4());
        let arguments = json!({ "job-id": id, "tag": name, "vmstate": main, "devices": disks });
        self.qmp().execute(command, arguments).await?;
        loop {
            let jobs = self.qmp().execute_within(PATIENCE, "query-jobs", json!({})).await?;
            let jobs: Vec<Job> = serde_json::from_value(jobs)?;
            let job = jobs.into_iter().find(|job| job.id == id).context("QEMU has given it up")?;
            if job.status == "concluded" {
                self.qmp().execute("job-dismiss", json!({ "id": id })).await?;
                return job.error.map_or(Ok(()), |error| bail!("QEMU says: {error}"));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The disks that the machine writes to, the main one first. Flash memory is a part of the
    /// machine's memory, and floppies are thrown away.
    async fn disks(&self) -> anyhow::Result<Vec<String>> {
        let drives = self.qmp().execute("query-block", json!({})).await?;
        let drives: Vec<Drive> = serde_json::from_value(drives)?;
        let mut disks = Vec::new();
        for Drive { device, inserted } in drives {
            let Some(medium) = inserted.filter(|medium| !medium.is_read_only) else { continue };
            if device.starts_with("pflash") || device.starts_with("floppy") {
                continue;
            }
            let format = medium.format;
            ensure!(format == "qcow2", "a disk is {format}: only qcow2 has room for it");
            disks.push(medium.node_name);
        }
        Ok(disks)
    }
}
