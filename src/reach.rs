//! Which files a template may have read.
//!
//! Whoever opens a pull request writes a template, and what it reads can end up in a message. On the
//! command line a template reads what its user can; in the action, only what the job has checked
//! out, and what the workflow allows beside that. Every file that is read because a template says so
//! goes through here.

use std::fs::File;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::peer;

/// Where the files are that may be read.
#[derive(Clone, Debug, Default)]
pub struct Reach(Option<Arc<[PathBuf]>>);

/// What never is a file, but tells of the machine and its processes.
const NEVER: [&str; 3] = ["/proc", "/sys", "/dev"];

impl Reach {
    /// Only below `directories`, and those themselves; a file may be one, too. What is not there is
    /// left out.
    pub fn within<P: AsRef<Path>>(directories: impl IntoIterator<Item = P>) -> Self {
        let resolved = directories.into_iter().filter_map(|one| one.as_ref().canonicalize().ok());
        Self(Some(resolved.collect()))
    }

    /// Whether everything may be read that can be.
    pub fn is_everywhere(&self) -> bool {
        self.0.is_none()
    }

    /// Refuses `path` if it leads, all links followed, to where nothing may be read. What does not
    /// exist is judged by the nearest directory that does.
    ///
    /// # Errors
    /// Says that it is out of reach.
    pub fn check(&self, path: &Path) -> io::Result<()> {
        let Some(allowed) = &self.0 else { return Ok(()) };
        let Some(resolved) = resolved(path) else { return Err(refused(OUTSIDE)) };
        // Also as it was named: a link there may lead anywhere.
        if let Some(why) = never(&resolved).or_else(|| never(path)) {
            return Err(refused(why));
        }
        let is_within = allowed.iter().any(|one| resolved.starts_with(one));
        if is_within { Ok(()) } else { Err(refused(OUTSIDE)) }
    }

    /// Opens the regular file `path`.
    ///
    /// # Errors
    /// As [`check`](Self::check), and when it cannot be opened.
    pub fn open(&self, path: &Path) -> io::Result<File> {
        self.check(path)?;
        peer::open_regular(path)
    }

    /// All of the regular text file `path`, if it has at most `most` bytes.
    ///
    /// # Errors
    /// As [`open`](Self::open), and when it cannot be read or is no text.
    pub fn read_text(&self, path: &Path, most: u64) -> io::Result<String> {
        self.check(path)?;
        peer::read_regular_text(path, most)
    }
}

/// Where `path` leads: what exists of it with all links followed, then the rest.
fn resolved(path: &Path) -> Option<PathBuf> {
    let (existing, mut resolved) = path.ancestors().find_map(|part| {
        let named = if part.as_os_str().is_empty() { Path::new(".") } else { part };
        Some((part, named.canonicalize().ok()?))
    })?;
    for part in path.strip_prefix(existing).ok()?.components() {
        match part {
            Component::ParentDir => _ = resolved.pop(),
            part => resolved.push(part),
        }
    }
    Some(resolved)
}

/// Why nothing allows that `path` is read, if so.
fn never(path: &Path) -> Option<&'static str> {
    if NEVER.iter().any(|never| path.starts_with(never)) {
        return Some("it tells of this computer and its processes, which is never allowed");
    }
    holds_credentials(path).then_some("credentials are kept there, so it is never allowed")
}

/// Whether `path` is where Git, `curl` and `actions/checkout` keep what they log in with. The rest of
/// a repository tells of its commits.
fn holds_credentials(path: &Path) -> bool {
    let names: Vec<String> =
        path.iter().map(|name| name.to_string_lossy().to_lowercase()).collect();
    let Some((name, above)) = names.split_last() else { return false };
    let is_in_git = above.iter().any(|name| name == ".git");
    match name.as_str() {
        ".netrc" | "_netrc" | ".git-credentials" => true,
        "config" | "config.worktree" | "credentials" => is_in_git,
        name => name.starts_with("git-credentials-") && name.ends_with(".config"),
    }
}

const OUTSIDE: &str =
    "it is outside of the workspace; the input `allow-files` of the action can allow it";

fn refused(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_what_is_within_is_read_wherever_links_lead() {
        let dir = tempfile::tempdir().unwrap();
        let (inside, outside) = (dir.path().join("in"), dir.path().join("out"));
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(&outside, "x").unwrap();
        std::fs::write(inside.join("a"), "abc").unwrap();
        symlink(&outside, inside.join("link")).unwrap();
        symlink("/proc", inside.join("proc")).unwrap();
        let reach = Reach::within([&inside, &dir.path().join("missing")]);
        assert_eq!(reach.read_text(&inside.join("a"), 3).unwrap(), "abc");
        assert_eq!(
            reach.read_text(&inside.join("none"), 3).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        for path in [
            "../out",
            "link",
            "proc/self/environ",
            "none/../../out",
            "none/../../none",
            "/etc/passwd",
            "/dev/null",
        ] {
            let refused = reach.read_text(&inside.join(path), 1 << 20).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied, "{path}");
        }
        assert!(Reach::default().read_text(&outside, 1).is_ok());
        let all = Reach::within(["/"]);
        assert!(all.check(&outside).is_ok());
        let refused = all.check(Path::new("/proc/self/environ")).unwrap_err();
        assert!(refused.to_string().ends_with("which is never allowed"), "{refused}");
    }

    #[test]
    fn credentials_in_the_workspace_are_never_read_and_commits_are() {
        let dir = tempfile::tempdir().unwrap();
        let reach = Reach::within([dir.path()]);
        let is_read = |name: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "x").unwrap();
            reach.read_text(&path, 1).is_ok()
        };
        for name in [
            ".git/config",
            ".GIT/Config",
            "sub/.git/config",
            ".git/modules/a/b/config",
            ".git/worktrees/a/config.worktree",
            ".git/credentials",
            "home/.netrc",
            ".git-credentials",
            "temp/git-credentials-1f2e.config",
        ] {
            assert!(!is_read(name), "{name}");
        }
        for name in [".git/HEAD", ".git/refs/heads/main", "config", "app/config", ".gitconfig"] {
            assert!(is_read(name), "{name}");
        }
        symlink(dir.path().join(".git/config"), dir.path().join("link")).unwrap();
        assert!(reach.check(&dir.path().join("link")).is_err());
    }
}
