//! Files to the machine and back.
//!
//! The usual way needs nothing but a shell there: one file is a stream into `cat`, a large one
//! several streams into `dd` at once (a server grants each channel 2 MiB that it has not seen yet,
//! which over a distance is far too little), a directory one stream into `tar`, or files one by one
//! where there is no `tar`. Machines without a POSIX shell, and those of
//! `ssh_file_transfer_method = "sftp"`, are served by their SFTP subsystem.
//!
//! What is new is written beside its place, and takes it once it is whole. The machine itself removes it
//! where that never comes: we may be killed, or cut off. SFTP has nobody there who could.
//!
//! | file | what is there |
//! |---|---|
//! | `script` | what the machine's shell is told |
//! | `pipe` | streams through commands |
//! | `file`, `tree` | a file, a directory |
//! | `unfinished` | what takes its place when it is whole |
//! | `sftp` | all of it by the SFTP subsystem |

mod file;
mod pipe;
mod script;
mod sftp;
mod tree;
mod unfinished;

use std::path::Path;

use self::file::NoShell;
use super::Ssh;
use super::options::TransferMethod;
use super::words::{NO_SHELL, it_says};
use crate::communicator::{local, progress};
use crate::component::{Incoming, Input, Upload};
use crate::event::Ui;

pub(super) use self::script::{Probed, ShellKind};

/// How files move on this machine.
enum Via {
    Shell(ShellKind),
    Sftp,
}

impl Ssh {
    /// Whether it is known which way files move.
    fn is_probed(&self) -> bool {
        self.uses_sftp() || self.probed_shell.initialized()
    }

    /// Whether files go through SFTP, whatever shell there is. Windows has no POSIX shell for us.
    fn uses_sftp(&self) -> bool {
        self.method == TransferMethod::Sftp || self.is_windows()
    }

    async fn via(&self) -> anyhow::Result<Via> {
        if self.uses_sftp() {
            return Ok(Via::Sftp);
        }
        match self.probed().await?.shell {
            ShellKind::Missing => Ok(Via::Sftp),
            shell => Ok(Via::Shell(shell)),
        }
    }

    pub(super) async fn probed(&self) -> anyhow::Result<&Probed> {
        self.probed_shell.get_or_try_init(|| script::probe(self)).await
    }
}

/// Uploads to the file `to`.
pub(super) async fn upload(ssh: &Ssh, from: Upload<'_>, to: &str, ui: &Ui) -> anyhow::Result<()> {
    if !ssh.is_probed() && !file::is_large(from).await {
        return upload_unprobed(ssh, from, to, ui).await;
    }
    match ssh.via().await? {
        Via::Shell(_) => file::upload(ssh, from, to, ui).await,
        Via::Sftp => sftp::upload(ssh, from, to, ui).await,
    }
}

/// Uploads all that `from` gives to the file `to`, as it comes.
pub(super) async fn upload_stream(
    ssh: &Ssh,
    from: Input<'_>,
    about: Incoming,
    to: &str,
    ui: &Ui,
) -> anyhow::Result<()> {
    match ssh.via().await? {
        Via::Shell(_) => file::upload_stream(ssh, from, about, to, ui).await,
        Via::Sftp => sftp::upload_stream(ssh, from, about, to, ui).await,
    }
}

/// Uploads a small file without asking first what the machine's shell can do: most builds move
/// nothing else, and a shell says that it has written the file.
async fn upload_unprobed(ssh: &Ssh, from: Upload<'_>, to: &str, ui: &Ui) -> anyhow::Result<()> {
    let Err(error) = file::upload(ssh, from, to, ui).await else { return Ok(()) };
    let said = match error.downcast_ref::<NoShell>() {
        Some(no_shell) => no_shell.said.clone(),
        None => match ssh.probed().await? {
            Probed { shell: ShellKind::Missing, said, .. } => said.clone(),
            _ => return Err(error),
        },
    };
    let uploaded = sftp::upload(ssh, from, to, ui).await;
    if uploaded.is_ok() {
        // Commands must know it, too.
        ssh.probed().await?;
    }
    uploaded.map_err(|error| match said.is_empty() {
        true => error,
        false => error.context(format!("{NO_SHELL}{}", advised(&said))),
    })
}

/// What a machine said, and what to do where it did so instead of running a shell.
fn advised(said: &str) -> String {
    format!("{} (check `ssh_username`: this user may not be meant to log in)", it_says(said))
}

/// Where a directory goes whose own name is `name`, if that matters: into `to` if that is a directory
/// already; else it becomes `to`.
fn destination(to: &str, name: Option<String>, is_there: bool) -> String {
    match name.filter(|_| is_there) {
        Some(name) => format!("{}/{name}", to.trim_end_matches('/')),
        None => to.to_owned(),
    }
}

/// Uploads a directory: what is in it if `from` ends in a slash, else itself.
pub(super) async fn upload_dir(ssh: &Ssh, from: &str, to: &str, ui: &Ui) -> anyhow::Result<()> {
    let tree = local::Tree::read(from).await?;
    match ssh.via().await? {
        Via::Shell(shell) => tree::upload(ssh, shell, tree, to, ui).await,
        Via::Sftp => sftp::upload_tree(ssh, tree, to, ui).await,
    }
}

/// Downloads the file `from`.
pub(super) async fn download(ssh: &Ssh, from: &str, to: &Path, ui: &Ui) -> anyhow::Result<()> {
    match ssh.via().await? {
        Via::Shell(_) => file::download(ssh, from, to, ui).await,
        Via::Sftp => sftp::download(ssh, from, to, ui).await,
    }
}

/// Downloads what is in the directory `from`, or what matches it if it is a pattern.
pub(super) async fn download_dir(ssh: &Ssh, from: &str, to: &Path, ui: &Ui) -> anyhow::Result<()> {
    match ssh.via().await? {
        Via::Shell(shell) if script::is_pattern(from) => {
            tree::download_matching(ssh, shell, from, to, ui).await
        }
        Via::Shell(shell) => tree::download(ssh, shell, from, to, ui).await,
        Via::Sftp => sftp::download_tree(ssh, from, to, ui).await,
    }
}
