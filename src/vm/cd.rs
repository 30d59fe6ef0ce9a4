//! CDs made for a guest: seeds for cloud-init, answer files.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use smart_default::SmartDefault;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::component::Check;
use crate::peer;
use crate::scratch::Scratch;
use crate::vm::{MachineText, medium, tool};

/// A CD for the guest.
#[derive(Clone, Debug, SmartDefault, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Options {
    /// Files and directories to put on a CD for the guest; wildcards are allowed. `dir` arrives
    /// as the directory, `dir/` as its contents.
    pub cd_files: Vec<String>,
    /// Texts to put on a CD for the guest, by path. `{{ .SSHPublicKey }}` stands for the key that
    /// is made for the build, `{{ .Name }}`, `{{ .HTTPIP }}` and `{{ .HTTPPort }}` for what they
    /// say.
    pub cd_content: IndexMap<String, MachineText>,
    /// The CD's volume label, e.g. `cidata` for cloud-init.
    #[default("packer".to_owned())]
    pub cd_label: String,
}

impl Options {
    /// Whether there is anything to put on a CD.
    pub fn wants_cd(&self) -> bool {
        !self.cd_files.is_empty() || !self.cd_content.is_empty()
    }

    /// The files of this host that it gets.
    pub fn reads(&self) -> Vec<PathBuf> {
        medium::reads("cd_files", &self.cd_files)
    }

    /// Reports files that are not there.
    pub fn check(&self, check: &mut Check<'_>) {
        medium::check("cd_files", &self.cd_files, check);
    }
}

/// What goes on a CD.
#[derive(Clone, Debug)]
pub struct Contents {
    /// See [`Options::cd_files`].
    pub files: Vec<String>,
    /// Path on the CD → text.
    pub texts: Vec<(String, String)>,
    /// See [`Options::cd_label`].
    pub label: String,
}

/// A CD image in a temporary directory; dropping it removes it.
#[derive(Debug)]
pub struct Cd {
    _dir: Scratch,
    /// The image.
    pub path: PathBuf,
}

/// Makes a CD with the first program for it that is found.
pub async fn make(cancel: &CancellationToken, contents: Contents) -> anyhow::Result<Cd> {
    let dir = Scratch::temporary("cd").context("cannot make a directory for the CD")?;
    let (root, path) = (dir.path().join("root"), dir.path().join("cd.iso"));
    let label = contents.label.clone();
    let staged = root.clone();
    tokio::task::spawn_blocking(move || stage(&contents, &staged)).await??;
    let made = tool::run(cancel, command(&label, &path, &root)?).await;
    made.context("cannot make the CD")?;
    Ok(Cd { _dir: dir, path })
}

/// The command that writes the directory `root` to the image `path`.
fn command(label: &str, path: &Path, root: &Path) -> anyhow::Result<Command> {
    let tools: [(&str, &[&str]); 4] = [
        ("xorriso", &["-as", "genisoimage", "-rock", "-joliet", "-volid", label, "-output"]),
        ("mkisofs", &["-joliet", "-rock", "-volid", label, "-o"]),
        ("genisoimage", &["-joliet", "-rock", "-volid", label, "-o"]),
        (
            "hdiutil",
            &["makehybrid", "-hfs", "-joliet", "-iso", "-default-volume-name", label, "-o"],
        ),
    ];
    for (name, args) in tools {
        if let Ok(program) = which::which(name) {
            let mut command = Command::new(program);
            command.args(args).arg(path).arg(root);
            return Ok(command);
        }
    }
    let names = tools.map(|(name, _)| name).join(", ");
    bail!("none of the programs that can make a CD is installed: {names}")
}

/// Lays everything out as it will be on the CD.
fn stage(contents: &Contents, root: &Path) -> anyhow::Result<()> {
    std::fs::create_dir(root).context("cannot make a directory for the CD")?;
    for pattern in &contents.files {
        for path in medium::expand("cd_files", pattern)? {
            // A trailing slash does not survive in a path: it is the pattern that has it.
            let into = match path.file_name() {
                Some(name) if !(pattern.ends_with('/') && path.is_dir()) => root.join(name),
                _ => root.to_owned(),
            };
            copy(&path, &into)
                .with_context(|| format!("cannot put {} on the CD", path.display()))?;
        }
    }
    for (name, text) in &contents.texts {
        let path = root.join(medium::inside("cd_content", name)?);
        let write = || {
            std::fs::create_dir_all(path.parent().unwrap_or(root))?;
            std::fs::write(&path, text)
        };
        write().with_context(|| format!("cannot put `{name}` on the CD"))?;
    }
    Ok(())
}

/// Copies a file, or a directory with all that is in it, to `to`. Links are followed, but not in
/// circles.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    for entry in walkdir::WalkDir::new(from).follow_links(true) {
        let entry = entry?;
        let to = match entry.path().strip_prefix(from)? {
            below if below.as_os_str().is_empty() => to.to_owned(),
            below => to.join(below),
        };
        let path = entry.path();
        match entry.file_type().is_dir() {
            true => std::fs::create_dir_all(to)?,
            false => {
                copy_file(path, &to).with_context(|| format!("cannot copy {}", path.display()))?
            }
        }
    }
    Ok(())
}

/// Copies a regular file with its permissions.
fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let mut from = peer::open_regular(from)?;
    let permissions = from.metadata()?.permissions();
    io::copy(&mut from, &mut File::create(to)?)?;
    std::fs::set_permissions(to, permissions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_arrives_as_itself_or_as_its_contents() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("seed");
        std::fs::create_dir_all(source.join("sub")).unwrap();
        std::fs::write(source.join("sub/a.txt"), "a").unwrap();
        std::fs::write(dir.path().join("b.cfg"), "b").unwrap();
        let base = dir.path().display();
        let contents = Contents {
            files: vec![format!("{base}/seed"), format!("{base}/seed/"), format!("{base}/*.cfg")],
            texts: vec![("/deep/er/c".into(), "c".into())],
            label: "x".into(),
        };
        let root = dir.path().join("root");
        stage(&contents, &root).unwrap();
        for path in ["seed/sub/a.txt", "sub/a.txt", "b.cfg", "deep/er/c"] {
            assert!(root.join(path).is_file(), "{path}");
        }
        assert!(medium::inside("cd_content", "../x").is_err());
    }

    #[test]
    fn what_has_no_end_does_not_go_on_a_cd() {
        let dir = tempfile::tempdir().unwrap();
        let put = |file: &str| {
            let root = dir.path().join("root");
            let contents =
                Contents { files: vec![file.to_owned()], texts: Vec::new(), label: "x".into() };
            let staged = stage(&contents, &root);
            std::fs::remove_dir_all(root).unwrap();
            format!("{:#}", staged.unwrap_err())
        };
        assert!(put("/dev/zero").contains("it is no regular file"));
        let circle = dir.path().join("circle");
        std::fs::create_dir(&circle).unwrap();
        std::os::unix::fs::symlink(".", circle.join("again")).unwrap();
        assert!(put(&circle.display().to_string()).contains("loop"));
    }
}
