//! `file`: copies files and directories to the machine, or from it.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::component::{Check, Component, Exit, ProvisionContext, Provisioner, Upload};
use crate::provisioner::base_name;
use crate::retry::or_cancelled;

/// The options of `file`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Options {
    /// What to copy. A directory that ends in `/` stands for its contents, one without for itself;
    /// where the destination does not exist, a directory becomes it in both cases.
    pub source: Option<String>,
    /// More to copy, after `source`.
    pub sources: Vec<String>,
    /// A text to upload instead of a file. On the machine its mode is 0600.
    pub content: Option<String>,
    /// Where to: a file, or a directory if it ends in `/`.
    pub destination: String,
    /// `upload` to the machine, or `download` from it.
    pub direction: Direction,
    /// The sources are made during the build: whether they exist is not checked before.
    pub generated: bool,
}

/// Which way the files go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// To the machine.
    #[default]
    Upload,
    /// From the machine.
    Download,
}

/// The provisioner, ready to run.
#[derive(Debug)]
pub struct File {
    sources: Vec<String>,
    content: Option<String>,
    destination: String,
    direction: Direction,
    generated: bool,
}

impl Component for File {
    const TYPE: &'static str = "file";
    const ABOUT: &'static str = "Uploads files to the machine, or downloads them from it.";
    type Options = (Options,);

    fn prepare((options,): Self::Options, check: &mut Check<'_>) -> Option<Self> {
        let Options { source, sources, content, destination, direction, generated } = options;
        let sources: Vec<String> = source.into_iter().chain(sources).collect();
        if sources.iter().any(String::is_empty) {
            check.error("sources", "an empty text is no path");
        }
        if destination.is_empty() {
            check.missing("destination", "say where the files go");
        }
        if content.is_some() {
            check_content(&sources, &destination, direction, check);
        }
        if direction == Direction::Upload && !generated {
            for source in sources.iter().filter(|source| !source.is_empty()) {
                if !check.may_read("source", source) {
                    continue;
                }
                match std::fs::metadata(source) {
                    Ok(found) if found.is_file() || found.is_dir() => {}
                    Ok(_) => {
                        let cause = format!("{source} is neither a file nor a directory");
                        check.error("source", cause);
                    }
                    Err(error) => {
                        let help = "set `generated = true` if the build itself makes it";
                        check.error("source", format!("cannot read {source}: {error}")).help =
                            Some(help.into());
                    }
                }
            }
        }
        Some(Self { sources, content, destination, direction, generated })
    }
}

fn check_content(
    sources: &[String],
    destination: &str,
    direction: Direction,
    check: &mut Check<'_>,
) {
    if !sources.is_empty() {
        check.error("content", "`source` or `sources` is given too").help =
            Some("keep one of them, or make two provisioners".into());
    }
    if direction == Direction::Download {
        check.error("content", "a text can be uploaded, not downloaded");
    }
    if destination.ends_with('/') {
        check.error("destination", "`content` needs a file, and this is a directory").help =
            Some("add a file name after the slash".into());
    }
}

#[async_trait]
impl Provisioner for File {
    fn reads(&self) -> Option<Vec<PathBuf>> {
        // What the build itself makes is not there yet, or is that of an earlier run.
        let is_known = self.direction == Direction::Upload && !self.generated;
        is_known.then(|| self.sources.iter().map(PathBuf::from).collect())
    }

    async fn provision(&self, cx: &ProvisionContext) -> anyhow::Result<()> {
        or_cancelled(&cx.cancel, self.transfer(cx)).await?
    }
}

impl File {
    async fn transfer(&self, cx: &ProvisionContext) -> anyhow::Result<()> {
        if let Some(content) = &self.content {
            let to = &self.destination;
            cx.ui.say(format!("Uploading content => {to}"));
            let from = Upload::Text { content: content.as_bytes(), mode: 0o600 };
            let uploaded = upload_file(cx, from, to).await;
            return uploaded.with_context(|| format!("cannot upload `content` to {to}"));
        }
        for source in &self.sources {
            match self.direction {
                Direction::Upload => self.upload(cx, source).await,
                Direction::Download => self.download(cx, source).await,
            }?;
        }
        Ok(())
    }

    async fn upload(&self, cx: &ProvisionContext, source: &str) -> anyhow::Result<()> {
        let to = &self.destination;
        cx.ui.say(format!("Uploading {source} => {to}"));
        let found = tokio::fs::metadata(source).await;
        let found = found.with_context(|| format!("cannot read {source}"))?;
        let uploaded = if found.is_dir() {
            cx.communicator.upload_dir(source, to, &cx.ui).await
        } else {
            let from = Upload::File(Path::new(source));
            match cx.communicator.shell().ends_as_directory(to) {
                true => {
                    let to = format!("{to}{}", base_name(source));
                    cx.communicator.upload(from, &to, &cx.ui).await
                }
                false => upload_file(cx, from, to).await,
            }
        };
        uploaded.with_context(|| format!("cannot upload {source} to {to}"))
    }

    async fn download(&self, cx: &ProvisionContext, source: &str) -> anyhow::Result<()> {
        let to = &self.destination;
        cx.ui.say(format!("Downloading {source} => {to}"));
        let downloaded = if source.ends_with('/') || source.contains(['*', '?', '[']) {
            make_directory(Path::new(to)).await?;
            cx.communicator.download_dir(source, Path::new(to), &cx.ui).await
        } else {
            download_file(cx, source, &self.local_file(source)).await
        };
        downloaded.with_context(|| format!("cannot download {source} to {to}"))
    }

    /// The local file that the remote file `source` becomes.
    fn local_file(&self, source: &str) -> PathBuf {
        let to = Path::new(&self.destination);
        if self.destination.ends_with('/') { to.join(base_name(source)) } else { to.to_owned() }
    }
}

/// Uploads to the file `to`, and where that fails says so if `to` is a directory.
async fn upload_file(cx: &ProvisionContext, from: Upload<'_>, to: &str) -> anyhow::Result<()> {
    let Err(error) = cx.communicator.upload(from, to, &cx.ui).await else { return Ok(()) };
    let probe = cx.communicator.shell().is_directory(to);
    match cx.communicator.run_captured(&probe).await {
        Ok((Exit::Status(0), _)) => Err(error.context(format!(
            "{to} is a directory on the machine: end `destination` with a slash to copy into it"
        ))),
        _ => Err(error),
    }
}

async fn download_file(cx: &ProvisionContext, from: &str, to: &Path) -> anyhow::Result<()> {
    if let Some(parent) = to.parent() {
        make_directory(parent).await?;
    }
    let Err(error) = cx.communicator.download(from, to, &cx.ui).await else { return Ok(()) };
    let probe = cx.communicator.shell().is_directory(from);
    match cx.communicator.run_captured(&probe).await {
        Ok((Exit::Status(0), _)) => Err(error.context(format!(
            "{from} is a directory on the machine: end `source` with a slash to copy its contents"
        ))),
        _ => Err(error),
    }
}

async fn make_directory(path: &Path) -> anyhow::Result<()> {
    if path.as_os_str().is_empty() {
        return Ok(());
    }
    let made = tokio::fs::create_dir_all(path).await;
    made.with_context(|| format!("cannot make the local directory {}", path.display()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::provisioner::fake::{self, Machine};

    #[tokio::test]
    async fn a_slash_at_the_end_decides_what_lands_where() {
        let (dir, file) = fake::local_file("a b.txt", b"");
        let (dir, file) = (dir.path().display().to_string(), file.display().to_string());
        let slashed = format!("{dir}/");
        for (source, destination, asked) in [
            (&file, "/tmp/", format!("upload {file} /tmp/a b.txt")),
            (&file, "/tmp/x", format!("upload {file} /tmp/x")),
            (&dir, "/home/ubuntu/", format!("upload_dir {dir} /home/ubuntu/")),
            (&slashed, "/tmp", format!("upload_dir {dir}/ /tmp")),
        ] {
            let options = json!({"source": source, "destination": destination});
            assert_eq!(fake::run::<File>(options, Machine::answering([])).await.1, [asked]);
        }
    }

    #[tokio::test]
    async fn a_file_for_a_directory_without_slash_is_explained() {
        let (_dir, file) = fake::local_file("a", b"");
        let options = json!({"source": file, "destination": "/tmp"});
        let (ended, log) = fake::run::<File>(options, Machine::refusing_uploads(1)).await;
        assert!(ended.contains("/tmp is a directory on the machine: end `destination`"), "{ended}");
        assert_eq!(log.last().unwrap(), "run test -d /tmp");
    }

    #[tokio::test]
    async fn content_is_written_for_its_owner_alone() {
        let options = json!({"content": "secret\n", "destination": "/etc/x"});
        let (_, log) = fake::run::<File>(options, Machine::answering([])).await;
        assert_eq!(log, ["write 600 /etc/x\nsecret\n"]);
    }

    #[tokio::test]
    async fn downloads_make_local_directories_and_follow_patterns() {
        let dir = tempfile::tempdir().unwrap();
        let to = format!("{}/logs/", dir.path().display());
        let options = json!({
            "direction": "download", "destination": to,
            "sources": ["/etc/hosts", "/etc/ssh/", "/var/log/$a*"]
        });
        let (ended, log) = fake::run::<File>(options, Machine::answering([])).await;
        assert_eq!(ended, "ok");
        assert!(dir.path().join("logs").is_dir());
        assert_eq!(log[0], format!("download /etc/hosts {to}hosts"));
        assert_eq!(log[1], format!("download_dir /etc/ssh/ {to}"));
        assert_eq!(log[2], format!("download_dir /var/log/$a* {to}"));
    }

    #[test]
    fn all_that_is_wrong_with_the_options_is_said_at_once() {
        let wrong = json!({"source": "/no/such", "content": "x", "direction": "download"});
        insta::assert_snapshot!(fake::prepare::<File>(wrong).unwrap_err().join("\n"), @r"
        `file` needs `destination`: required here
        the value of `content` cannot be used: `source` or `sources` is given too
        the value of `content` cannot be used: a text can be uploaded, not downloaded
        ");
        let wrong = json!({"source": "/no/such", "destination": "/tmp/"});
        insta::assert_snapshot!(fake::prepare::<File>(wrong).unwrap_err().join("\n"), @"the value of `source` cannot be used: cannot read /no/such: No such file or directory (os error 2)");
        let wrong = json!({"content": "x", "destination": "/tmp/"});
        insta::assert_snapshot!(fake::prepare::<File>(wrong).unwrap_err().join("\n"), @"the value of `destination` cannot be used: `content` needs a file, and this is a directory");
        let generated = json!({"source": "/no/such", "destination": "/tmp/", "generated": true});
        let made = fake::prepare::<File>(generated).unwrap();
        assert_eq!(made.reads(), None, "what the build makes is not known before it does");
    }
}
