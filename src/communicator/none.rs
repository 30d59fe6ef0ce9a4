//! `communicator = "none"`: a machine that is not talked to.

use std::path::Path;

use async_trait::async_trait;

use crate::component::{Command, Communicator, Exit, Upload};
use crate::event::Ui;
use crate::guest::GuestOutput;

/// Runs nothing, successfully, and transfers nothing.
#[derive(Debug)]
pub(super) struct NoCommunicator;

fn refused(what: &str) -> anyhow::Result<()> {
    anyhow::bail!("{what} is not implemented when communicator = 'none'")
}

#[async_trait]
impl Communicator for NoCommunicator {
    async fn run(&self, _: Command<'_>, _: &mut dyn GuestOutput) -> anyhow::Result<Exit> {
        Ok(Exit::Status(0))
    }
    async fn upload(&self, _: Upload<'_>, _: &str, _: &Ui) -> anyhow::Result<()> {
        refused("Upload")
    }
    async fn upload_dir(&self, _: &str, _: &str, _: &Ui) -> anyhow::Result<()> {
        refused("UploadDir")
    }
    async fn download(&self, _: &str, _: &Path, _: &Ui) -> anyhow::Result<()> {
        refused("Download")
    }
    async fn download_dir(&self, _: &str, _: &Path, _: &Ui) -> anyhow::Result<()> {
        refused("DownloadDir")
    }
    async fn close(&self) {}
}
