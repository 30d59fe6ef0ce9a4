//! The program under test, in an environment that holds nothing of the person who runs the tests.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// A working directory and an environment for `imgbake`.
#[derive(Debug)]
pub struct Program {
    dir: TempDir,
    /// Where it puts what is not to last.
    temporary: TempDir,
    vars: Vec<(String, String)>,
}

/// What a finished run said.
#[derive(Debug)]
pub struct Run {
    /// Exit code; `None` after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Run {
    /// What a process has left.
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The run, which must have ended well.
    #[track_caller]
    pub fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// The run, which must have ended with `code`.
    #[track_caller]
    pub fn failed_with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stdout, self.stderr);
        self
    }
}

impl Program {
    /// In an empty directory that is also its home.
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("imgbake-test").tempdir().expect("a directory");
        let temporary = tempfile::Builder::new().prefix("imgbake-test").tempdir();
        Self { dir, temporary: temporary.expect("a directory"), vars: Vec::new() }
    }

    /// With these variables in its environment.
    pub fn with(
        mut self,
        vars: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>,
    ) -> Self {
        self.vars.extend(vars.into_iter().map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// Its working directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What it has left among its temporary files.
    pub fn temporary(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.temporary.path()).expect("a directory");
        entries.map(|entry| entry.expect("an entry").path()).collect()
    }

    /// A file in its working directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file into its working directory.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(&path, content).expect("a file");
        path
    }

    /// Reads a file of its working directory.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Copies a directory of fixtures into its working directory.
    pub fn copy(&self, from: &Path) {
        let status = Command::new("cp").arg("-a").arg(from.join(".")).arg(self.dir()).status();
        assert!(status.expect("cp").success(), "cp {}", from.display());
    }

    /// The command `imgbake args…`, not yet started.
    pub fn command<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_imgbake"));
        command
            .args(args)
            .current_dir(self.dir())
            .env_clear()
            .env("HOME", self.dir())
            .env("TMPDIR", self.temporary.path())
            .env("TZ", "UTC")
            .env("LANG", "C.UTF-8")
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(self.vars.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    /// Runs `imgbake args…` to its end.
    pub fn run<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Run {
        Run::of(self.command(args).output().expect("imgbake starts"))
    }

    /// Starts `imgbake args…` with both streams piped.
    pub fn start<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Child {
        let mut command = self.command(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("imgbake starts")
    }

    /// Waits for what [`start`](Self::start) started.
    pub fn finish(child: Child) -> Run {
        Run::of(child.wait_with_output().expect("imgbake ends"))
    }
}

/// Sends a signal by name (`INT`, `TERM`, `KILL`).
pub fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([format!("-{name}"), child.id().to_string()]).status();
    assert!(status.expect("kill").success(), "kill -{name}");
}
