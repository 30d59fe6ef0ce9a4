//! The connection to the system in the volume: commands in a chroot.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::builder::amazon::chroot::mounted::Mounted;
use crate::component::{Command, Communicator, Exit, Upload};
use crate::event::Ui;
use crate::guest::GuestOutput;
use crate::guest::shell::{in_quotes, quote};
use crate::script::child::Input;

/// Runs commands in the volume. Files go through programs of its own: a link in it leads nowhere else.
pub(super) struct ChrootConnection {
    pub mounted: Arc<Mounted>,
    /// Ends what runs.
    pub cancel: CancellationToken,
}

impl ChrootConnection {
    /// `command` of the volume as one of this host.
    fn entered(&self, command: &str) -> String {
        let root = self.mounted.path.display().to_string();
        format!("chroot {} /bin/sh -c {}", quote(&root), in_quotes(command))
    }

    /// Runs `command`, which has to work.
    async fn must(&self, command: &str, input: Input, ui: &Ui) -> anyhow::Result<()> {
        let mut lines = crate::guest::ShowLines::new(ui.clone());
        let command = self.entered(command);
        let ended = self.mounted.local.run_into(&command, input, &mut lines, &self.cancel).await;
        lines.finish().await;
        let status = ended?;
        ensure!(status.success(), "`{command}` failed ({status})");
        Ok(())
    }
}

#[async_trait]
impl Communicator for ChrootConnection {
    async fn run(
        &self,
        command: Command<'_>,
        output: &mut dyn GuestOutput,
    ) -> anyhow::Result<Exit> {
        let command = self.entered(command.text());
        let run = self.mounted.local.run_into(&command, Input::Nothing, output, &self.cancel);
        let status = run.await?;
        let code = status.code().with_context(|| format!("it was ended by a signal ({status})"))?;
        Ok(Exit::Status(u32::try_from(code).unwrap_or(u32::MAX)))
    }

    async fn upload(&self, from: Upload<'_>, to: &str, ui: &Ui) -> anyhow::Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        let (input, mode) = match from {
            Upload::Text { content, mode } => (Input::Text(content.to_vec()), mode),
            Upload::File(path) => {
                let file = crate::peer::open_regular(path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                let mode = file.metadata()?.permissions().mode() & 0o7777;
                (Input::File(file), mode)
            }
        };
        let to = quote(to);
        self.must(&format!("cat > {to} && chmod {mode:o} {to}"), input, ui).await
    }

    async fn upload_dir(&self, from: &str, to: &str, ui: &Ui) -> anyhow::Result<()> {
        let name = Path::new(from).file_name().map(|name| name.to_string_lossy().into_owned());
        let place = match name.filter(|_| !from.ends_with('/')) {
            Some(name) => format!("{}/{name}", to.trim_end_matches('/')),
            None => to.to_owned(),
        };
        let (quoted, to) = (quote(&place), quote(to));
        // What is not there yet becomes the directory itself.
        let unpack = format!(
            "if [ -d {to} ]; then d={quoted}; else d={to}; fi; mkdir -p \"$d\" && tar -C \"$d\" -xof -"
        );
        let pack = format!("tar -C {} -chf - . | ", quote(from));
        let command = format!("{pack}{}", self.entered(&unpack));
        self.mounted.local.run(&command, ui, &self.cancel).await
    }

    async fn download(&self, from: &str, to: &Path, ui: &Ui) -> anyhow::Result<()> {
        let read = self.entered(&format!("cat {}", quote(from)));
        let to = to.display().to_string();
        let command = format!("{read} > {}", quote(&to));
        self.mounted.local.run(&command, ui, &self.cancel).await
    }

    async fn download_dir(&self, from: &str, _to: &Path, _ui: &Ui) -> anyhow::Result<()> {
        bail!("amazon-chroot does not download directories: {from}")
    }

    async fn close(&self) {}
}
