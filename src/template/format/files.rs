//! Arguments → the files that they mean.

use std::path::{Component, Path, PathBuf};

use crate::diagnostic::{Diagnostic, Diagnostics, code};
use crate::template::load;

/// What the files are called that have a canonical style.
const SUFFIXES: [&str; 2] = [".pkr.hcl", ".pkrvars.hcl"];

/// The files that `argument` means: a file, those of a directory (and of the directories in it, if
/// `recursive`), those that fit a pattern, or `-`, which is standard input.
pub fn of(argument: &Path, recursive: bool) -> Result<Vec<PathBuf>, Diagnostics> {
    if load::is_stdin(argument) {
        return Ok(vec![argument.to_owned()]);
    }
    let mut files = Vec::new();
    for path in load::matches(argument)? {
        if path.is_dir() {
            files_in(&path, recursive, &mut files)?;
        } else if is_formattable(&path) {
            files.push(path);
        } else {
            return Err(no_hcl(&path));
        }
    }
    Ok(files)
}

/// The files of a directory, by name.
fn files_in(dir: &Path, recursive: bool, files: &mut Vec<PathBuf>) -> Result<(), Diagnostics> {
    let unreadable = |error: std::io::Error| load::unreadable(dir, &error);
    let entries = std::fs::read_dir(dir).map_err(unreadable)?;
    let mut entries = entries.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = plain(&entry.path());
        if is_passed_over(&path) {
            continue;
        }
        // Links to directories are not followed: they may lead in a circle.
        if entry.file_type().map_err(unreadable)?.is_dir() {
            if recursive {
                files_in(&path, recursive, files)?;
            }
        } else if is_formattable(&path) {
            files.push(path);
        }
    }
    Ok(())
}

/// `./a` → `a`
fn plain(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}

fn is_formattable(path: &Path) -> bool {
    let name = path.as_os_str().as_encoded_bytes();
    SUFFIXES.iter().any(|suffix| name.ends_with(suffix.as_bytes()))
}

/// Hidden files, and what editors leave behind: `a~`, `#a#`.
fn is_passed_over(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    name.starts_with(b".") || name.ends_with(b"~") || name.starts_with(b"#") && name.ends_with(b"#")
}

fn no_hcl(path: &Path) -> Diagnostics {
    let summary = format!("`{}` is not a HCL file", path.display());
    let error = Diagnostic::error(code::UNREADABLE, summary);
    error.help("files to format are named *.pkr.hcl or *.pkrvars.hcl").into()
}
