//! Every template that Packer 1.16.0 was asked to validate, inspect, fix, format or upgrade: the
//! same verdict, the same text, the first error at the same place (to the column, where there is
//! one), and the same files written.

mod differences;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use regex::Regex;
use serde::Deserialize;

use crate::support::{Program, Run, fixture};

/// `case.json`; see the README of the oracle.
#[derive(Deserialize)]
struct Case {
    id: String,
    language: String,
    command: String,
    args: Vec<String>,
    env: BTreeMap<String, String>,
    rc: i32,
    #[serde(rename = "where")]
    place: Option<Place>,
    stdout_file: Option<String>,
    /// The files that the command writes, and what is in them afterwards, where that was recorded.
    #[serde(default)]
    writes: BTreeMap<String, Option<String>>,
}

impl Case {
    fn dir(&self) -> PathBuf {
        fixture("oracle/templates").join(&self.id)
    }
}

#[derive(Deserialize)]
struct Place {
    file: String,
    line: usize,
    column: Option<usize>,
}

impl Place {
    /// How `case` is to show it. Columns of Packer's JSON parser are not those of the text
    /// (see the README of the oracle).
    fn shown(&self, case: &Case) -> String {
        let line = format!("{}:{}:", self.file, self.line);
        match self.column.filter(|_| case.language == "hcl2") {
            Some(column) => format!("{line}{column}\n"),
            None => line,
        }
    }

    /// Whether `said` shows it, or, where it is only the first line of a block, a place inside of
    /// that: the option itself, which Packer does not know.
    fn is_in(&self, case: &Case, said: &str) -> bool {
        let mut inside = self.block(case).into_iter().flatten();
        said.contains(&self.shown(case))
            || inside.any(|line| said.contains(&format!("{}:{line}:", self.file)))
    }

    /// The lines of the block that begins here, if one does.
    fn block(&self, case: &Case) -> Option<RangeInclusive<usize>> {
        let text = std::fs::read_to_string(case.dir().join(&self.file)).ok()?;
        let mut lines = text.lines().enumerate().skip(self.line - 1);
        let mut depth = 0;
        let depth_after = |line: &str| {
            let count = |brace| i64::try_from(line.matches(brace).count()).unwrap_or(0);
            count('{') - count('}')
        };
        let end = lines.find_map(|(index, line)| {
            depth += depth_after(line);
            (depth <= 0).then_some(index + 1)
        })?;
        (end > self.line).then_some(self.line..=end)
    }
}

impl Case {
    /// Whether the program, as it was compiled, has the components of its template.
    fn is_known_here(&self) -> bool {
        let needs_components = ["validate", "inspect", "hcl2_upgrade"]
            .iter()
            .any(|name| self.command.starts_with(name));
        let names_amazon = |file: &String| {
            std::fs::read(self.dir().join(file))
                .is_ok_and(|text| String::from_utf8_lossy(&text).contains("amazon"))
        };
        cfg!(feature = "aws") || !needs_components || !walk(&self.dir()).iter().any(names_amazon)
    }
}

/// The cases of one command, in order.
fn cases(command: &str) -> Vec<Case> {
    let dir = fixture("oracle/templates");
    let mut cases: Vec<Case> = std::fs::read_dir(dir)
        .expect("the oracle")
        .map(|entry| entry.expect("a case").path().join("case.json"))
        .map(|path| std::fs::read_to_string(path).expect("a case"))
        .map(|text| serde_json::from_str(&text).expect("a case"))
        .filter(|case: &Case| case.command.split(' ').next() == Some(command))
        .collect();
    cases.sort_by(|a, b| a.id.cmp(&b.id));
    cases
}

fn run(case: &Case, program: &Program) -> Run {
    program.copy(&case.dir());
    program.run(case.command.split(' ').chain(case.args.iter().map(String::as_str)))
}

/// How the files differ from what Packer leaves behind.
fn file_difference(case: &Case, program: &Program) -> Option<String> {
    let files = walk(&case.dir()).into_iter().map(|name| (name, None));
    let written = case.writes.iter().map(|(name, content)| (name.clone(), Some(content)));
    let expected: BTreeMap<String, Option<&Option<String>>> = files.chain(written).collect();
    expected.into_iter().find_map(|(name, written)| {
        let expected = match written {
            Some(None) => return None,
            Some(Some(expected)) => expected,
            None => &name,
        };
        let expected = std::fs::read_to_string(case.dir().join(expected)).expect("a text");
        let got = std::fs::read_to_string(program.path(&name)).unwrap_or_default();
        (got != expected).then(|| format!("{name} is {got:?} instead of {expected:?}"))
    })
}

/// The files under `dir`, relative to it.
fn walk(dir: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        match path.is_dir() {
            true => files.extend(walk(&path).iter().map(|file| format!("{name}/{file}"))),
            false => files.push(name),
        }
    }
    files
}

/// How the run differs from what Packer said.
fn difference(case: &Case, run: &Run) -> Option<String> {
    if run.code != Some(case.rc) {
        return Some(format!("exit code {:?} instead of {}", run.code, case.rc));
    }
    match (&case.stdout_file, &case.place) {
        (Some(expected), _) if case.command == "fix" => {
            let expected = fixture("oracle/templates").join(&case.id).join(expected);
            fixed_difference(&expected, &run.stdout)
        }
        (Some(expected), _) if case.rc == 0 => {
            text_difference(&case.dir().join(expected), &run.stdout)
        }
        (_, Some(place)) => {
            let found = place.is_in(case, &run.stdout) || place.is_in(case, &run.stderr);
            (!found).then(|| format!("no error at {}", place.shown(case)))
        }
        _ => None,
    }
}

fn text_difference(expected: &Path, got: &str) -> Option<String> {
    let expected = std::fs::read_to_string(expected).expect("the expected text");
    let time = Regex::new(r"(?m)^\d+,").expect("a pattern");
    let got = time.replace_all(got, "<time>,");
    (got.trim_end() != expected.trim_end()).then(|| format!("expected:\n{expected}"))
}

/// `fix` prints the same bytes. What is wrong with the fixed template comes behind it, in words of
/// our own.
fn fixed_difference(expected: &Path, got: &str) -> Option<String> {
    let expected = std::fs::read_to_string(expected).expect("the expected text");
    let expected = expected.replace("packer fix", "imgbake fix");
    let same = match expected.split_once("\nError! ") {
        Some((template, _)) => got.starts_with(template),
        None => got == expected,
    };
    (!same).then(|| format!("expected:\n{expected}"))
}

/// Runs all cases of `command` and holds the differences against the list.
fn compare(command: &str) {
    let mut wrong = Vec::new();
    for case in cases(command).into_iter().filter(Case::is_known_here) {
        let program = Program::new().with(&case.env);
        let run = run(&case, &program);
        let difference = difference(&case, &run).or_else(|| file_difference(&case, &program));
        let listed =
            differences::DIFFERENCES.iter().find(|(_, ids)| ids.contains(&case.id.as_str()));
        match (difference, listed) {
            (Some(difference), None) => {
                wrong.push(format!("{}: {difference}\n{}{}", case.id, run.stdout, run.stderr));
            }
            (None, Some((reason, _))) => {
                wrong.push(format!("{} matches: take it from the list ({reason})", case.id));
            }
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{} cases\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn validate_says_what_the_usual_tool_says() {
    compare("validate");
}

#[test]
fn inspect_shows_what_the_usual_tool_shows() {
    compare("inspect");
}

#[test]
fn fix_prints_what_the_usual_tool_prints() {
    compare("fix");
}

#[test]
fn fmt_writes_what_the_usual_tool_writes() {
    compare("fmt");
}

#[test]
fn hcl2_upgrade_writes_what_the_usual_tool_writes() {
    compare("hcl2_upgrade");
}

#[test]
fn every_listed_difference_is_a_case() {
    let known: Vec<String> = ["validate", "inspect", "fix", "fmt", "hcl2_upgrade"]
        .into_iter()
        .flat_map(cases)
        .map(|case| case.id)
        .collect();
    for id in differences::DIFFERENCES.iter().flat_map(|(_, ids)| ids.iter()) {
        assert!(known.iter().any(|case| case == id), "{id}");
    }
}
