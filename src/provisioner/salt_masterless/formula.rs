//! The tree of states as it is uploaded: the template's own, and formulas from Git beside it.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use anyhow::{Context as _, bail, ensure};
use regex::Regex;
use tempfile::TempDir;
use tokio::process::Command;
use walkdir::WalkDir;

use crate::component::ProvisionContext;
use crate::reach::Reach;
use crate::script::child;

/// A directory of a Git repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Formula {
    repository: String,
    directory: String,
    /// A branch, a tag or a commit, if not what the repository says.
    revision: Option<String>,
}

/// What a repository's metadata are in.
const GIT: &str = ".git";

impl Formula {
    /// Reads `git::https://example.com/formulas.git//nginx?ref=v1`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        static FORM: LazyLock<Option<Regex>> = LazyLock::new(|| {
            Regex::new(r"^(?:git::)?(.+\.git)//([a-zA-Z0-9_-]+)(?:\?(.*))?$").ok()
        });
        let found = FORM.as_ref().and_then(|form| form.captures(text));
        let Some(found) = found else {
            return Err(format!(
                "`{text}` is not the address of a Git repository with `//` and a directory of it"
            ));
        };
        let mut revision = None;
        for pair in found.get(3).map_or("", |query| query.as_str()).split('&') {
            match pair.split_once('=') {
                Some(("ref", value)) if value.starts_with('-') => {
                    return Err(format!("`{value}` is no revision"));
                }
                Some(("ref", value)) => revision = Some(value.to_owned()),
                // We fetch no more than we need anyway.
                Some(("depth", _)) => {}
                None if pair.is_empty() => {}
                _ => return Err(format!("`{pair}` is not known here: `ref` is")),
            }
        }
        let address = &found[1];
        let is_whole =
            address.contains("://") || address.contains('@') || address.starts_with(['/', '.']);
        let repository = if is_whole { address.to_owned() } else { format!("https://{address}") };
        Ok(Self { repository, directory: found[2].to_owned(), revision })
    }

    /// Puts its directory into `tree`.
    async fn fetch(&self, cx: &ProvisionContext, tree: &Path) -> anyhow::Result<()> {
        ensure!(
            !cx.redactor.holds(&self.repository),
            "the address of the formula {} holds a secret, which every user of this machine could \
             read: have `git` ask a credential helper for it",
            self.directory
        );
        let clone = tempfile::tempdir()?;
        let path = clone.path().as_os_str();
        let depth: &[&str] = if self.revision.is_some() { &[] } else { &["--depth=1"] };
        let mut command = git(cx);
        command.args(["clone", "--quiet"]).args(depth).args(["--", &self.repository]).arg(path);
        run(cx, command).await.with_context(|| format!("cannot clone {}", self.repository))?;
        if let Some(revision) = &self.revision {
            let mut command = git(cx);
            command.arg("-C").arg(path).args(["checkout", "--quiet", revision, "--"]);
            run(cx, command).await.with_context(|| format!("cannot check out {revision}"))?;
        }
        let from = clone.path().join(&self.directory);
        ensure!(from.is_dir(), "{} has no directory {}", self.repository, self.directory);
        let to = tree.join(&self.directory);
        // What a repository links to outside of itself is not ours to read.
        let own = clone.path().canonicalize()?;
        copy(&from, &to, |path| path.starts_with(&own))
    }
}

fn git(cx: &ProvisionContext) -> Command {
    let mut command = Command::new("git");
    let environment = &cx.facts.scope.environment;
    command.env_clear().envs(environment.vars()).current_dir(&environment.cwd);
    command.env("GIT_TERMINAL_PROMPT", "0");
    command
}

async fn run(cx: &ProvisionContext, command: Command) -> anyhow::Result<()> {
    let status = child::run(command, &cx.ui, &cx.cancel).await.context("cannot run `git`")?;
    ensure!(status.success(), "`git` failed: {status}");
    Ok(())
}

/// A tree of states, and the copy of it if it is one.
pub(super) struct Assembled {
    path: String,
    _copy: Option<TempDir>,
}

impl Assembled {
    /// Where it is.
    pub(super) fn path(&self) -> &str {
        &self.path
    }
}

/// The tree `states` with `formulas` beside it: as it is where it needs no change, else a copy.
pub(super) async fn assemble(
    cx: &ProvisionContext,
    states: &str,
    formulas: &[Formula],
) -> anyhow::Result<Assembled> {
    let missing = |formula: &&Formula| !Path::new(states).join(&formula.directory).exists();
    let missing: Vec<_> = formulas.iter().filter(missing).collect();
    if missing.is_empty() && !Path::new(states).join(GIT).exists() {
        return Ok(Assembled { path: states.to_owned(), _copy: None });
    }
    let tree = tempfile::tempdir()?;
    let (from, to) = (PathBuf::from(states), tree.path().to_owned());
    let reach = cx.facts.scope.environment.reach.clone();
    tokio::task::spawn_blocking(move || copy_own(&from, &to, &reach)).await??;
    if !missing.is_empty() {
        cx.ui.say("Downloading Salt formulas...");
    }
    for formula in missing {
        cx.ui.say(format!("{} => {}", formula.repository, formula.directory));
        formula.fetch(cx, tree.path()).await?;
    }
    let path = tree.path().to_str().context("the temporary directory has no name in UTF-8")?;
    Ok(Assembled { path: path.to_owned(), _copy: Some(tree) })
}

fn copy_own(from: &Path, to: &Path, reach: &Reach) -> anyhow::Result<()> {
    copy(from, to, |path| reach.check(path).is_ok())
}

/// Copies what is in `from` to `to`, but for Git's metadata; links are followed where `allowed` says.
fn copy(from: &Path, to: &Path, allowed: impl Fn(&Path) -> bool) -> anyhow::Result<()> {
    let all = WalkDir::new(from).follow_links(true).into_iter();
    for entry in all.filter_entry(|entry| entry.depth() == 0 || entry.file_name() != GIT) {
        let entry = entry?;
        let real = entry.path().canonicalize()?;
        if !allowed(&real) {
            bail!("{} leads to {}, which may not be read", entry.path().display(), real.display());
        }
        let target = to.join(entry.path().strip_prefix(from)?);
        if entry.file_type().is_dir() {
            std::fs::create_dir_all(&target)?;
        } else if entry.file_type().is_file() {
            std::fs::copy(&real, &target)
                .with_context(|| format!("cannot copy {}", entry.path().display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_formulas_are_read() {
        let read = |text: &str| {
            let found = Formula::parse(text)?;
            Ok::<_, String>((found.repository, found.directory, found.revision))
        };
        let nginx = |url: &str, revision: Option<&str>| {
            Ok((url.to_owned(), "nginx".to_owned(), revision.map(str::to_owned)))
        };
        let https = "https://example.com/formulas.git";
        assert_eq!(
            read("git::https://example.com/formulas.git//nginx?ref=v1"),
            nginx(https, Some("v1"))
        );
        assert_eq!(read("example.com/formulas.git//nginx"), nginx(https, None));
        assert_eq!(read("git@example.com:a/b.git//nginx"), nginx("git@example.com:a/b.git", None));
        for wrong in [
            "https://example.com/formulas.git",
            "a.git//b/c",
            "a.git//b?sshkey=x",
            "a.git//b?ref=-x",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_tree_is_copied_without_its_repository_and_reads_nothing_elsewhere() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::create_dir_all(from.path().join(".git/objects")).unwrap();
        std::fs::create_dir_all(from.path().join("web")).unwrap();
        std::fs::write(from.path().join("web/init.sls"), "a").unwrap();
        copy(from.path(), to.path(), |_| true).unwrap();
        assert!(to.path().join("web/init.sls").is_file() && !to.path().join(".git").exists());
        std::os::unix::fs::symlink("/etc/hostname", from.path().join("link")).unwrap();
        let own = from.path().canonicalize().unwrap();
        let error = copy(from.path(), to.path(), |path| path.starts_with(&own)).unwrap_err();
        assert!(error.to_string().contains("which may not be read"), "{error}");
    }
}
