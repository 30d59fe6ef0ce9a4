//! Files that a step writes and the runner reads when it ends, however it ends.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::PathBuf;

use uuid::Uuid;

use crate::env::Environment;

/// How long a summary may be; the runner drops longer ones.
pub const LONGEST_SUMMARY: usize = 1024 * 1024;

/// Where the files are. One that the runner has not named is not written.
#[derive(Clone, Debug)]
pub struct Files {
    output: Option<PathBuf>,
    state: Option<PathBuf>,
    summary: Option<PathBuf>,
    /// What the step has kept for its end, by name.
    saved: BTreeMap<String, String>,
}

impl Files {
    /// As the runner says in `environment`.
    pub fn of(environment: &Environment) -> Self {
        let path = |name| environment.get(name).map(PathBuf::from);
        let saved = environment.vars().filter_map(|(name, value)| {
            Some((name.strip_prefix("STATE_")?.to_owned(), value.to_owned()))
        });
        Self {
            saved: saved.collect(),
            output: path("GITHUB_OUTPUT"),
            state: path("GITHUB_STATE"),
            summary: path("GITHUB_STEP_SUMMARY"),
        }
    }

    /// Sets an output of the step. Of several values the last one counts.
    ///
    /// # Errors
    /// When the file cannot be written, or nothing can be called `name`.
    pub fn output(&self, name: &str, value: &str) -> io::Result<()> {
        append(self.output.as_ref(), &entry(name, value)?)
    }

    /// Keeps a value for the step that cleans up, where it is called `STATE_NAME`.
    ///
    /// # Errors
    /// When the file cannot be written, or nothing can be called `name`.
    pub fn state(&self, name: &str, value: &str) -> io::Result<()> {
        append(self.state.as_ref(), &entry(name, value)?)
    }

    /// What the step has kept under `name`.
    pub fn saved(&self, name: &str) -> Option<&str> {
        self.saved.get(name).map(String::as_str)
    }

    /// Adds Markdown to the summary.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn summary(&self, markdown: &str) -> io::Result<()> {
        append(self.summary.as_ref(), markdown)
    }
}

/// `name<<delimiter`, the value, and the delimiter: nothing in the value can end it, and nothing in
/// the name can begin another one.
fn entry(name: &str, value: &str) -> io::Result<String> {
    let is_plain = |next: char| next.is_ascii_alphanumeric() || matches!(next, '_' | '-');
    if name.is_empty() || !name.chars().all(is_plain) {
        let why = format!("{name:?} is no name: it must be of letters, digits, `_` and `-`");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    let delimiter = format!("ghadelimiter_{}", Uuid::new_v4());
    Ok(format!("{name}<<{delimiter}\n{value}\n{delimiter}\n"))
}

/// In one write, so that what is there is whole even if nothing follows.
fn append(path: Option<&PathBuf>, text: &str) -> io::Result<()> {
    let Some(path) = path else { return Ok(()) };
    OpenOptions::new().append(true).create(true).open(path)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_a_name_nor_a_value_begins_another_entry() {
        let written = entry("ami-us-east-1", "ami-1\nEOF\nother=1").unwrap();
        let (start, rest) = written.split_once('\n').unwrap();
        let delimiter = start.strip_prefix("ami-us-east-1<<").unwrap();
        assert_eq!(rest, format!("ami-1\nEOF\nother=1\n{delimiter}\n"));
        for name in ["", "a b", "a=b", "a<<b", "a\nresult=success", "ü"] {
            assert!(entry(name, "x").is_err(), "{name:?}");
        }
    }
}
