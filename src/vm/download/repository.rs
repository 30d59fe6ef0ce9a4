//! Images in repositories, read by the programs of Git and Mercurial: with the user's own settings and
//! keys, and without a working tree.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, bail};
use futures::{StreamExt as _, stream};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, ChildStdout, Command};

use super::place::{Repository, Tool};
use super::transfer::Opened;
use crate::component::BuildContext;
use crate::scratch::{self, Scratch};
use crate::script::complaints::Complaints;
use crate::vm::tool;

/// How much is read at once.
const CHUNK: usize = 64 << 10;

/// Variables that say which repository Git is in: another one than ours.
const WHERE_GIT_IS: [&str; 7] = [
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_WORK_TREE",
];

/// What `file` is in its repository.
pub(super) async fn open(file: &Repository, cx: &BuildContext) -> anyhow::Result<Opened> {
    let parent = scratch::parent(&cx.facts.scope.environment);
    let parent =
        parent.context("there is no place for a repository: set HOME or XDG_STATE_HOME")?;
    scratch::remove_dead(&parent);
    let made = Scratch::new(&parent, "repository");
    let scratch = made.with_context(|| format!("cannot make {}", parent.display()))?;
    let (print, total) = match file.tool {
        Tool::Git => fetch_by_git(file, scratch.path(), cx).await?,
        Tool::Hg => (clone_by_hg(file, scratch.path(), cx).await?, None),
    };
    Ok(Opened { chunks: printed(print, scratch)?, total })
}

/// Fetches one revision alone: the command that prints the file, and its size.
async fn fetch_by_git(
    file: &Repository,
    dir: &Path,
    cx: &BuildContext,
) -> anyhow::Result<(Command, Option<u64>)> {
    let revision = file.revision.as_deref().unwrap_or("HEAD");
    tool::run(&cx.cancel, git(cx, dir, ["init", "--quiet", "--bare"])).await?;
    let fetch = ["fetch", "--quiet", "--depth=1", "--no-tags", "--", &file.url, revision];
    tool::run(&cx.cancel, git(cx, dir, fetch)).await?;
    let blob = format!("FETCH_HEAD:{}", file.path);
    let size = tool::run(&cx.cancel, git(cx, dir, ["cat-file", "-s", &blob])).await;
    let size = size.with_context(|| format!("there is no {} at {revision}", file.path))?;
    Ok((git(cx, dir, ["cat-file", "blob", &blob]), tool::text(&size.stdout).parse().ok()))
}

/// A program with the environment of the run: nothing of the runner's or of ours is in it.
fn program(name: &str, cx: &BuildContext) -> Command {
    let mut command = Command::new(name);
    command.env_clear().envs(cx.facts.scope.environment.vars());
    command
}

fn git<S: AsRef<OsStr>>(
    cx: &BuildContext,
    dir: &Path,
    args: impl IntoIterator<Item = S>,
) -> Command {
    let mut command = program("git", cx);
    command.arg("-C").arg(dir).args(args);
    for name in WHERE_GIT_IS {
        command.env_remove(name);
    }
    // No way that runs a program, whatever the repository says; and nobody is there to ask.
    command.env("GIT_ALLOW_PROTOCOL", "file:git:http:https:ssh").env("GIT_TERMINAL_PROMPT", "0");
    command
}

/// Copies the history up to the revision: the command that prints the file.
async fn clone_by_hg(file: &Repository, dir: &Path, cx: &BuildContext) -> anyhow::Result<Command> {
    let revision = file.revision.as_deref().unwrap_or("tip");
    let mut clone = hg(cx);
    clone.args(["clone", "--quiet", "--noupdate", "--rev", revision, "--", &file.url]);
    clone.arg(dir.join("copy"));
    tool::run(&cx.cancel, clone).await?;
    let mut print = hg(cx);
    print.arg("--cwd").arg(dir.join("copy"));
    print.args(["cat", "--rev", revision, "--", &format!("path:{}", file.path)]);
    Ok(print)
}

fn hg(cx: &BuildContext) -> Command {
    let mut command = program("hg", cx);
    // As scripts want it, whatever the user has set.
    command.env("HGPLAIN", "1").args(["--noninteractive"]);
    command
}

/// A program that prints a file, and what must be there until it has.
struct Printing {
    child: Child,
    output: ChildStdout,
    complaints: Complaints,
    name: String,
    _scratch: Scratch,
}

/// What `command` prints; an error at its end if it fails.
fn printed(
    mut command: Command,
    scratch: Scratch,
) -> anyhow::Result<stream::BoxStream<'static, anyhow::Result<Vec<u8>>>> {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let started = command.process_group(0).kill_on_drop(true).spawn();
    let mut child = started.with_context(|| format!("cannot run `{name}`"))?;
    let output = child.stdout.take().context("its output is a pipe")?;
    let complaints = Complaints::of(child.stderr.take());
    let printing = Printing { child, output, complaints, name, _scratch: scratch };
    let chunks = stream::try_unfold(printing, |mut printing| async move {
        let mut chunk = vec![0; CHUNK];
        let read = printing.output.read(&mut chunk).await?;
        if read > 0 {
            chunk.truncate(read);
            return anyhow::Ok(Some((chunk, printing)));
        }
        let Printing { mut child, complaints, name, .. } = printing;
        let status = child.wait().await?;
        match status.success() {
            true => Ok(None),
            false => bail!("`{name}` failed ({status}): {}", complaints.last().await),
        }
    });
    Ok(chunks.boxed())
}
