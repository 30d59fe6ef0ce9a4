//! What the machine's shell is told to do. Every script gets the paths as arguments.

use std::time::Duration;

use anyhow::Context as _;

use super::pipe;
use crate::communicator::ssh::Ssh;
use crate::communicator::ssh::command::posix;
use crate::component::Exit;
use crate::peer::Allowance;

pub(super) use crate::communicator::words::{EXISTING, is_pattern, pattern, word};

/// What the machine can do for a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::communicator::ssh) enum Shell {
    /// GNU `tar`, which can be told to leave what exists as it is.
    GnuTar,
    /// BusyBox's `tar`, which changes the modes of existing directories.
    BusyBox,
    /// No `tar` that is known here.
    NoTar,
    /// No POSIX shell.
    Missing,
}

/// What is known of a machine's shell.
#[derive(Clone, Debug)]
pub(in crate::communicator::ssh) struct Probed {
    pub(in crate::communicator::ssh) shell: Shell,
    /// What was printed instead of an answer, where there is no shell.
    pub(in crate::communicator::ssh) said: String,
    /// Whether what runs there instead takes any command, and does not say that it failed.
    pub(in crate::communicator::ssh) takes_all: bool,
}

/// What the answer to [`PROBE`] may be; whatever prints something before it included.
const PROBE_ANSWER: Allowance =
    Allowance::new("the answer to which `tar` there is", 64 * 1024, Duration::from_secs(60));

/// What a list of names may be: some million of them.
pub(super) const LISTED: Allowance =
    Allowance::new("the list of files", 128 * 1024 * 1024, Duration::from_secs(600));

/// Says which `tar` there is.
const PROBE: &str = r#"case "$(tar --no-overwrite-dir --keep-directory-symlink --version 2>&1)" in
*"GNU tar"*) echo imgbake-gnu;; *BusyBox*) echo imgbake-busybox;; *) echo imgbake-none;; esac"#;

/// Says whether $1 is a directory.
pub(super) const IS_THERE: &str = r#"[ -d "$1" ] && echo imgbake-there; :"#;

/// What [`IS_THERE`] says then.
pub(super) const THERE: &str = "imgbake-there";

/// The status of a script that was to write to a directory.
pub(super) const IS_DIRECTORY: u32 = 64;

/// Writes its input to file $1 with mode $2, and says [`WRITTEN`]. An existing file keeps its owner,
/// and its mode where that is not ours to change. What is new cannot be read by others before it is
/// whole.
pub(super) const WRITE: &str = r#"f=$1; [ -d "$f" ] && exit 64; n=; [ -e "$f" ] || n=1
umask 077; cat >"$f" || exit 1; chmod "$2" "$f" 2>/dev/null || [ -z "$n" ] && echo imgbake-written"#;

/// What [`WRITE`] says in the end.
pub(super) const WRITTEN: &str = "imgbake-written";

/// Makes file $1 empty, or new; then [`WRITE_PART`] and [`FINISH`] follow.
pub(super) const BEGIN: &str = r#"[ -d "$1" ] && exit 64; umask 077; : >"$1""#;

/// Writes its input to file $1, from mebibyte $2 on.
pub(super) const WRITE_PART: &str = r#"LC_ALL=C dd of="$1" bs=1048576 seek="$2" conv=notrunc"#;

/// Gives file $1 mode $2.
pub(super) const FINISH: &str = r#"chmod "$2" "$1""#;

/// Prints file $1, unless it has at least $2 bytes; then its size, for [`listing::size`](crate::guest::listing::size).
pub(super) const READ: &str = r#"[ -d "$1" ] && exit 64
s=$(stat -Lc %s "$1" 2>/dev/null || stat -Lf %z "$1" 2>/dev/null || wc -c <"$1") || exit 1
[ "$s" -ge "$2" ] || cat "$1" || exit 1; echo "imgbake-size="$s >&2"#;

/// Prints $3 mebibytes of file $1, from mebibyte $2 on.
pub(super) const READ_PART: &str = r#"LC_ALL=C dd if="$1" bs=1048576 skip="$2" count="$3""#;

/// Unpacks its input into directory $1. New directories get the modes of the archive.
pub(super) const UNTAR_GNU: &str =
    r#"mkdir -p "$1" && exec tar --no-overwrite-dir --keep-directory-symlink -xmpf - -C "$1""#;

/// Unpacks its input, which names only files, into directory $1.
pub(super) const UNTAR: &str = r#"exec tar -xmpf - -C "$1""#;

/// Makes directory $1, and runs the script in its input there.
pub(super) const IN_DIRECTORY: &str = r#"mkdir -p "$1" && cd "$1" && exec sh -s"#;

/// In the script for [`IN_DIRECTORY`]: makes a directory with a mode, unless it is there.
pub(super) const MAKE_DIRECTORY: &str =
    "d() { [ -d \"$2\" ] || mkdir -m \"$1\" \"$2\" || exit 1; }\n";

/// Packs what is in directory $1; symlinks are followed.
pub(super) const TAR: &str = r#"cd "$1" && exec tar -chf - ."#;

/// Lists the directories below $1, then `/`, then the files, each followed by NUL.
pub(super) const LIST: &str =
    r#"cd "$1" && find -L . -type d -print0 && printf '/\0' && find -L . -type f -print0"#;

/// The command that runs `script` with `arguments`, each already a word.
pub(super) fn command(script: &str, arguments: &[&str]) -> String {
    posix(&format!("set -- {}; {script}", arguments.join(" ")))
}

/// Finds out what the machine's shell can do.
pub(super) async fn probe(ssh: &Ssh) -> anyhow::Result<Probed> {
    let asked = pipe::ask(ssh, &command(PROBE, &[]), PROBE_ANSWER).await;
    let (outcome, printed) = asked.context("cannot find out what the machine's shell can do")?;
    let answer = String::from_utf8_lossy(&printed);
    let shell = if answer.contains("imgbake-gnu") {
        Shell::GnuTar
    } else if answer.contains("imgbake-busybox") {
        Shell::BusyBox
    } else if answer.contains("imgbake-none") {
        Shell::NoTar
    } else {
        Shell::Missing
    };
    tracing::debug!("{}: {shell:?}", ssh.server.host);
    let said = match shell {
        Shell::Missing => outcome.said_with(&printed),
        _ => String::new(),
    };
    let takes_all = matches!(outcome.exit, Exit::Status(0) | Exit::Disconnected);
    Ok(Probed { shell, said, takes_all })
}
