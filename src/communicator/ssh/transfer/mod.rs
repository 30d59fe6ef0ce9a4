//! Files to the machine and back.
//!
//! The usual way needs nothing but a shell there: one file is a stream into `cat`, a large one
//! several streams into `dd` at once (a server grants each channel 2 MiB that it has not seen yet,
//! which over a distance is far too little), a directory one stream into `tar`, or files one by one
//! where there is no `tar`. Machines without a POSIX shell, and those of
//! `ssh_file_transfer_method = "sftp"`, are served by their SFTP subsystem.

mod bridge;
mod file;
mod local;
mod pipe;
mod progress;
mod script;
mod sftp;
mod tree;

use std::path::Path;

use anyhow::Context as _;

use super::Ssh;
use crate::communicator::TransferMethod;
use crate::component::Upload;
use crate::event::Ui;

pub(super) use self::script::Shell;

/// How files move on this machine.
enum Way {
    Shell(Shell),
    Sftp,
}

impl Ssh {
    /// Whether it is known which way files move.
    fn is_probed(&self) -> bool {
        self.method == TransferMethod::Sftp || self.shell.initialized()
    }

    async fn way(&self) -> anyhow::Result<Way> {
        if self.method == TransferMethod::Sftp {
            return Ok(Way::Sftp);
        }
        match self.shell.get_or_try_init(|| script::probe(self)).await? {
            Shell::Missing => Ok(Way::Sftp),
            shell => Ok(Way::Shell(*shell)),
        }
    }
}

/// Uploads to the file `to`.
pub(super) async fn upload(ssh: &Ssh, from: Upload<'_>, to: &str, ui: &Ui) -> anyhow::Result<()> {
    let uploaded = match ssh.is_probed() || file::is_large(from).await {
        true => upload_by(ssh.way().await?, ssh, from, to, ui).await,
        false => upload_unprobed(ssh, from, to, ui).await,
    };
    uploaded.with_context(|| match from {
        Upload::File(path) => format!("cannot upload {} to {to}", path.display()),
        Upload::Text { .. } => format!("cannot upload to {to}"),
    })
}

async fn upload_by(way: Way, ssh: &Ssh, from: Upload<'_>, to: &str, ui: &Ui) -> anyhow::Result<()> {
    match way {
        Way::Shell(_) => file::upload(ssh, from, to, ui).await,
        Way::Sftp => sftp::upload(ssh, from, to, ui).await,
    }
}

/// Uploads a small file without asking first what the machine's shell can do: most builds move
/// nothing else, and a shell says that it has written the file.
async fn upload_unprobed(ssh: &Ssh, from: Upload<'_>, to: &str, ui: &Ui) -> anyhow::Result<()> {
    let Err(error) = file::upload(ssh, from, to, ui).await else { return Ok(()) };
    match ssh.way().await? {
        Way::Shell(_) => Err(error),
        Way::Sftp => sftp::upload(ssh, from, to, ui).await,
    }
}

/// Uploads a directory: what is in it if `from` ends in a slash, else itself.
pub(super) async fn upload_dir(ssh: &Ssh, from: &str, to: &str, ui: &Ui) -> anyhow::Result<()> {
    let uploaded = async {
        let tree = local::Tree::read(from).await?;
        let to = tree.destination(to);
        match ssh.way().await? {
            Way::Shell(shell) => tree::upload(ssh, shell, tree, &to, ui).await,
            Way::Sftp => sftp::upload_tree(ssh, tree, &to, ui).await,
        }
    };
    uploaded.await.with_context(|| format!("cannot upload the directory {from} to {to}"))
}

/// Downloads the file `from`.
pub(super) async fn download(ssh: &Ssh, from: &str, to: &Path, ui: &Ui) -> anyhow::Result<()> {
    let downloaded = match ssh.way().await? {
        Way::Shell(_) => file::download(ssh, from, to, ui).await,
        Way::Sftp => sftp::download(ssh, from, to, ui).await,
    };
    downloaded.with_context(|| format!("cannot download {from} to {}", to.display()))
}

/// Downloads what is in the directory `from`, or what matches it if it is a pattern.
pub(super) async fn download_dir(ssh: &Ssh, from: &str, to: &Path, ui: &Ui) -> anyhow::Result<()> {
    let downloaded = match ssh.way().await? {
        Way::Shell(shell) if script::is_pattern(from) => {
            tree::download_matching(ssh, shell, from, to, ui).await
        }
        Way::Shell(shell) => tree::download(ssh, shell, from, to, ui).await,
        Way::Sftp => sftp::download_tree(ssh, from, to, ui).await,
    };
    downloaded.with_context(|| format!("cannot download the directory {from} to {}", to.display()))
}
