//! What the machine's shell is told to do. Every script gets the paths as arguments.

use std::time::Duration;

use anyhow::Context as _;

use super::pipe;
use crate::communicator::ssh::Ssh;
use crate::communicator::ssh::command::posix;
use crate::component::Exit;
use crate::peer::Allowance;
use crate::retry::Permanent;

pub(super) use crate::communicator::quoting::{EXISTING, is_pattern, pattern, word};

/// That [`path` is a directory](is_directory), if that is how the script ended.
pub(super) fn refuse_directory(exit: Exit, path: &str) -> anyhow::Result<()> {
    if exit == Exit::Status(IS_DIRECTORY) { Err(is_directory(path)) } else { Ok(()) }
}

/// That `path` is a directory where a file was to go.
pub(super) fn is_directory(path: &str) -> anyhow::Error {
    let cause = "is a directory there: end it with a slash to mean what is in it";
    Permanent(format!("{path} {cause}")).into()
}

/// What the machine can do for a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::communicator::ssh) enum ShellKind {
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
    pub(in crate::communicator::ssh) shell: ShellKind,
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

/// Writes its input to file $1 with mode $3, and says [`WRITTEN`]. An existing file is written where it
/// is: it keeps its owner, and its mode where that is not ours to change. What is new is written to $2
/// beside it, which nobody else can read, and takes its place once $4 bytes have come: where the
/// connection is lost before, or whoever sends is killed, the end of the input comes early, and nothing
/// stays. What is said of it comes last: where nobody hears it any more, it ends the shell.
pub(super) const WRITE: &str = r#"[ -d "$1" ] && exit 64; umask 077
if [ -e "$1" ] || [ -L "$1" ]; then cat >"$1" || exit 1; chmod "$3" "$1" 2>/dev/null; echo imgbake-written; exit; fi
cat >"$2" && n=$(wc -c <"$2") && [ $n -ge "$4" ] && chmod "$3" "$2" && mv -f "$2" "$1" && echo imgbake-written && exit
rm -f "$2"; [ "${n:-$4}" -ge "$4" ] || echo "only" $n "of $4 bytes came" >&2; exit 1"#;

/// What [`WRITE`] says in the end.
pub(super) const WRITTEN: &str = "imgbake-written";

/// Makes file $1 empty; if it is new, makes $2 beside it and says [`BESIDE`]. Then [`WRITE_ALL`], or
/// several [`WRITE_PART`], and [`KEEP`] follow, with the one of them that is there.
pub(super) const BEGIN: &str = r#"[ -d "$1" ] && exit 64; umask 077
if [ -e "$1" ] || [ -L "$1" ]; then : >"$1"; else : >"$2" && echo imgbake-beside; fi"#;

/// The same for directory $1. One that is there already is filled where it is.
pub(super) const BEGIN_DIRECTORY: &str =
    r#"[ -e "$1" ] || [ -L "$1" ] || { mkdir -p "$2" && echo imgbake-beside; }"#;

/// What [`BEGIN`] says of what is new.
pub(super) const BESIDE: &str = "imgbake-beside";

/// Writes its input to file $1, which is there.
pub(super) const WRITE_ALL: &str = r#"[ -e "$1" ] && cat >"$1""#;

/// Writes its input to file $1, which is there, from mebibyte $2 on.
pub(super) const WRITE_PART: &str =
    r#"[ -e "$1" ] && LC_ALL=C exec dd of="$1" bs=1048576 seek="$2" conv=notrunc"#;

/// Waits for the line `whole`, while empty ones may come; then file or directory $1, or what was made
/// beside it as $2, has mode $3 (if that is given) and is in its place. At the end of the input without it, what was made is removed.
pub(super) const KEEP: &str = r#"w=; while read -r w && [ -z "$w" ]; do :; done
if [ "$w" = whole ]; then { [ -z "$3" ] || chmod "$3" "$2"; } && { [ "$1" = "$2" ] || { [ ! -d "$1" ] && mv -f "$2" "$1"; }; } && exit; fi
[ "$1" = "$2" ] || rm -rf "$2"; exit 1"#;

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
        ShellKind::GnuTar
    } else if answer.contains("imgbake-busybox") {
        ShellKind::BusyBox
    } else if answer.contains("imgbake-none") {
        ShellKind::NoTar
    } else {
        ShellKind::Missing
    };
    tracing::debug!("{}: {shell:?}", ssh.server.host);
    let said = match shell {
        ShellKind::Missing => outcome.said_with(&printed),
        _ => String::new(),
    };
    let takes_all = matches!(outcome.exit, Exit::Status(0) | Exit::Disconnected);
    Ok(Probed { shell, said, takes_all })
}
