//! `imgbake fmt`: HCL2 files in canonical style.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{ArgAction, Args};
use similar::TextDiff;

use super::{Exit, Session};
use crate::diagnostic::{Diagnostic, Diagnostics, code};
use crate::event::{Message, Ui};
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
}

impl Arguments {
    fn writes(&self) -> bool {
        self.write && !self.check
    }
}

/// How long to look for the smallest difference before any will do.
const DIFF_LIMIT: Duration = Duration::from_secs(2);

pub(crate) fn run(session: &Session, ui: &Ui, arguments: &Arguments) -> Exit {
    let mut sources = SourceMap::default();
    let mut found = Diagnostics::default();
    let mut changed = false;
    for argument in &arguments.path {
        let files = files::of(argument, arguments.recursive);
        let files = files.unwrap_or_else(|errors| {
            found.extend(errors);
            Vec::new()
        });
        for path in files {
            match format_file(ui, arguments, &path, &mut sources) {
                Ok(different) => changed |= different,
                Err(errors) => found.extend(errors),
            }
        }
    }
    session.show(ui, &found, &sources);
    match changed && arguments.check {
        _ if found.has_errors() => Exit::Failure,
        true => Exit::WouldFormat,
        false => Exit::Success,
    }
}

/// Formats one file, and says whether that changes it.
fn format_file(
    ui: &Ui,
    arguments: &Arguments,
    path: &Path,
    sources: &mut SourceMap,
) -> Result<bool, Diagnostics> {
    sources.renew_budget();
    let file = load::text(path, sources)?;
    let (_, found) = hcl::parse_file(file, sources);
    found.into_result(())?;
    let given = &sources.file(file).text;
    let formatted = format::format(given);
    let changed = formatted != **given;
    if load::is_stdin(path) {
        if !changed || arguments.writes() {
            ui.send(Message::Text(formatted));
        }
        return Ok(changed);
    }
    if changed {
        if arguments.writes() {
            replace(path, &formatted).map_err(|error| unwritable(path, &error))?;
        }
        ui.say(path.display().to_string());
        if arguments.diff {
            ui.send(Message::Text(difference(path, given, &formatted)));
        }
    }
    Ok(changed)
}

/// Gives the file a new content in one step: whoever reads it never sees half of one. Its
/// permissions stay, and what is a link stays a link.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    // Whoever may not write the file may not replace it either.
    let permissions = OpenOptions::new().write(true).open(&path)?.metadata()?.permissions();
    let dir = path.parent().unwrap_or(Path::new("/"));
    let mut new = tempfile::Builder::new().prefix(".imgbake-fmt-").tempfile_in(dir)?;
    new.write_all(text.as_bytes())?;
    new.as_file().set_permissions(permissions)?;
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
