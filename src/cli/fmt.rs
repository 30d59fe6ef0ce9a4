//! `imgbake fmt`: HCL2 files in canonical style.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::ops::Range;
use std::os::unix::fs::{MetadataExt as _, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{ArgAction, Args};
use similar::{DiffTag, TextDiff};

use super::{Exit, Session};
use crate::diagnostic::{Diagnostic, Diagnostics, code};
use crate::event::{Message, Ui};
use crate::reach::Reach;
use crate::source::SourceMap;
use crate::template::format::{self, files};
use crate::template::{hcl, load};

/// `imgbake fmt [flags] PATH...`
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Writes nothing; ends with 3 if a file would change.
    #[arg(long)]
    pub check: bool,
    /// Shows what changes, as `diff -u` does.
    #[arg(long)]
    pub diff: bool,
    /// Goes into subdirectories, too.
    #[arg(long)]
    pub recursive: bool,
    /// Writes the files that change; with `-write=false` they are only listed.
    #[arg(long, action = ArgAction::SetTrue, default_value = "true")]
    pub write: bool,
    /// Files, directories, patterns like `images/*.pkr.hcl`, or `-` for standard input, which is
    /// written to standard output. In a directory, *.pkr.hcl and *.pkrvars.hcl are meant.
    #[arg(required = true)]
    pub path: Vec<PathBuf>,
    /// Where the files may lead.
    #[arg(skip)]
    pub reach: Reach,
}

impl Arguments {
    fn writes(&self) -> bool {
        self.write && !self.check
    }
}

/// How long to look for the smallest difference before any will do.
const DIFF_LIMIT: Duration = Duration::from_secs(2);

/// A file that is not in canonical style.
#[derive(Debug)]
pub(crate) struct Unformatted {
    /// Its name.
    pub path: PathBuf,
    given: Arc<str>,
    formatted: String,
}

/// Lines that would be others: each stands for itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Edit {
    /// The number of the first line, from 1.
    pub first: usize,
    /// The lines that are there; there is at least one.
    pub lines: Vec<String>,
    /// The lines that would be.
    pub better: Vec<String>,
}

impl Unformatted {
    /// What would change.
    pub fn edits(&self) -> Vec<Edit> {
        let diff = TextDiff::configure()
            .timeout(DIFF_LIMIT)
            .diff_lines(&*self.given, self.formatted.as_str());
        let lines = |all: &[&str], range: Range<usize>| -> Vec<String> {
            all[range].iter().map(|line| line.trim_end_matches(['\n', '\r']).to_owned()).collect()
        };
        let (old, new) = (diff.old_slices(), diff.new_slices());
        let changes = diff.ops().iter().filter(|op| op.tag() != DiffTag::Equal);
        let edits = changes.filter_map(|op| {
            let (mut before, mut after) = (op.old_range(), op.new_range());
            // What is only added is told with the line beside it.
            match (before.is_empty(), before.start) {
                (false, _) => {}
                (true, 0) if old.is_empty() => return None,
                (true, 0) => (before.end, after.end) = (1, after.end + 1),
                (true, _) => (before.start, after.start) = (before.start - 1, after.start - 1),
            }
            let first = before.start + 1;
            Some(Edit { first, lines: lines(old, before), better: lines(new, after) })
        });
        // Line ends alone are no other lines.
        edits.filter(|edit| edit.lines != edit.better).collect()
    }
}

pub(crate) fn run(session: &Session, ui: &Ui, arguments: &Arguments) -> Exit {
    let mut sources = SourceMap::default();
    let (found, changed) = format_all(ui, arguments, &mut sources);
    session.show(ui, &found, &sources);
    match arguments.check && !changed.is_empty() {
        _ if found.has_errors() => Exit::Failure,
        true => Exit::WouldFormat,
        false => Exit::Success,
    }
}

/// What is wrong with the files, and those that are or were not in canonical style.
pub(crate) fn format_all(
    ui: &Ui,
    arguments: &Arguments,
    sources: &mut SourceMap,
) -> (Diagnostics, Vec<Unformatted>) {
    let mut found = Diagnostics::default();
    let mut changed = Vec::new();
    for argument in &arguments.path {
        let files = files::of(argument, arguments.recursive);
        let files = files.unwrap_or_else(|errors| {
            found.extend(errors);
            Vec::new()
        });
        for path in files {
            match format_file(ui, arguments, &path, sources) {
                Ok(different) => changed.extend(different),
                Err(errors) => found.extend(errors),
            }
        }
    }
    (found, changed)
}

/// Formats one file; nothing comes of one that is in canonical style.
fn format_file(
    ui: &Ui,
    arguments: &Arguments,
    path: &Path,
    sources: &mut SourceMap,
) -> Result<Option<Unformatted>, Diagnostics> {
    sources.renew_budget();
    let file = load::text(path, &arguments.reach, sources)?;
    let (_, found) = hcl::parse_file(file, sources);
    found.into_result(())?;
    let given = sources.file(file).text.clone();
    let formatted = format::format(&given);
    let changed = formatted != *given;
    if load::is_stdin(path) {
        if !changed || arguments.writes() {
            ui.send(Message::Text(formatted.clone()));
        }
    } else if changed {
        if arguments.writes() {
            replace(path, &formatted).map_err(|error| unwritable(path, &error))?;
        }
        ui.say(path.display().to_string());
        if arguments.diff {
            ui.send(Message::Text(difference(path, &given, &formatted)));
        }
    }
    Ok(changed.then(|| Unformatted { path: path.to_owned(), given, formatted }))
}

/// Gives the file a new content in one step: whoever reads it never sees half of one. Its owner and
/// permissions stay, and what is a link stays a link.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    // Whoever may not write the file may not replace it either.
    let old = OpenOptions::new().write(true).open(&path)?.metadata()?;
    let dir = path.parent().unwrap_or(Path::new("/"));
    let mut new = tempfile::Builder::new().prefix(".imgbake-fmt-").tempfile_in(dir)?;
    new.write_all(text.as_bytes())?;
    // Only root can give a file away: whoever else may write that of another, writes into it.
    if fchown(new.as_file(), Some(old.uid()), Some(old.gid())).is_err() {
        return fs::write(&path, text);
    }
    new.as_file().set_permissions(old.permissions())?;
    new.as_file().sync_all()?;
    new.persist(&path)?;
    Ok(())
}

fn unwritable(path: &Path, error: &io::Error) -> Diagnostics {
    let summary = format!("`{}` cannot be written: {error}", path.display());
    let error = Diagnostic::error(code::UNREADABLE, summary);
    error.help("with -write=false, nothing is written").into()
}

/// What changes, in the form of `diff -u`.
fn difference(path: &Path, given: &str, formatted: &str) -> String {
    let path = path.display();
    TextDiff::configure()
        .timeout(DIFF_LIMIT)
        .diff_lines(given, formatted)
        .unified_diff()
        .header(&format!("old/{path}"), &format!("new/{path}"))
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edits(given: &str, formatted: &str) -> Vec<(usize, Vec<String>, Vec<String>)> {
        let (path, given) = ("a".into(), given.into());
        let file = Unformatted { path, given, formatted: formatted.to_owned() };
        file.edits().into_iter().map(|one| (one.first, one.lines, one.better)).collect()
    }

    #[test]
    fn each_edit_is_of_lines_that_are_there() {
        let owned = |all: &[&str]| all.iter().map(|&one| one.to_owned()).collect::<Vec<_>>();
        assert_eq!(edits("a=1\nb\n", "a = 1\nb\n"), [(1, owned(&["a=1"]), owned(&["a = 1"]))]);
        assert_eq!(edits("a\nc\n", "a\nb\nc\n"), [(1, owned(&["a"]), owned(&["a", "b"]))]);
        assert_eq!(edits("b\n", "a\nb\n"), [(1, owned(&["b"]), owned(&["a", "b"]))]);
        assert_eq!(edits("a\nb", "a\nb\n"), []);
        assert_eq!(edits("a\nb\n", "a\n"), [(2, owned(&["b"]), owned(&[]))]);
        assert_eq!(edits("", "a\n"), []);
    }
}
