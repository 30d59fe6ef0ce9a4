//! File patterns: `*`, `?`, `[…]`, `{a,b}` and `**`, as `fileset` knows them.
//!
//! The crate `glob` knows no `{a,b}`, and walks by itself: nobody could stop it where a budget or the
//! workspace ends.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use regex::Regex;

use crate::budget::{Budget, Exceeded, Limit};
use crate::reach::Reach;

/// What looking at one name costs.
const NAME: usize = 50;

/// Why there are no files.
pub enum GlobError {
    /// The pattern is none.
    Pattern(String),
    /// It would take too long.
    Exceeded(Exceeded),
}

impl From<String> for GlobError {
    fn from(cause: String) -> Self {
        Self::Pattern(cause)
    }
}

impl From<Exceeded> for GlobError {
    fn from(exceeded: Exceeded) -> Self {
        Self::Exceeded(exceeded)
    }
}

/// The regular files below `dir` that `pattern` names and that are in `reach`, relative to `dir`.
pub fn files(
    dir: &Path,
    pattern: &str,
    budget: &Budget,
    reach: &Reach,
) -> Result<BTreeSet<String>, GlobError> {
    // Braces are multiplied out one after the other.
    Limit::NESTING.check(pattern.matches('{').count())?;
    let mut walk = Walk { budget, reach, found: BTreeSet::new() };
    for alternative in alternatives(pattern)? {
        if alternative.is_empty() {
            continue;
        }
        let steps = alternative.split('/').map(Step::parse).collect::<Result<Vec<_>, _>>()?;
        walk.on(dir, "", &steps)?;
    }
    Ok(walk.found)
}

/// One part of a pattern between slashes.
enum Step {
    /// A name without anything special in it.
    Name(String),
    /// `**`: any number of directories, none included.
    Anywhere,
    /// A name with wildcards.
    Matching(Regex),
}

impl Step {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "**" {
            return Ok(Self::Anywhere);
        }
        if !text.contains(['*', '?', '[', '\\']) {
            return Ok(Self::Name(text.to_owned()));
        }
        let mut regex = String::from("(?s)^");
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            match character {
                '*' => regex.push_str(".*"),
                '?' => regex.push('.'),
                '[' => regex.push_str(&class(&mut characters)?),
                '\\' => {
                    let escaped = characters.next().ok_or(BAD_PATTERN)?;
                    regex.push_str(&regex::escape(&escaped.to_string()));
                }
                _ => regex.push_str(&regex::escape(&character.to_string())),
            }
        }
        regex.push('$');
        Regex::new(&regex).map(Self::Matching).map_err(|_| BAD_PATTERN.to_owned())
    }
}

const BAD_PATTERN: &str = "syntax error in pattern";

/// The rest of `[…]` as a class of regular expressions. Only `^` negates.
fn class(characters: &mut std::str::Chars<'_>) -> Result<String, String> {
    let mut class = String::from("[");
    let mut first = true;
    loop {
        match characters.next().ok_or(BAD_PATTERN)? {
            ']' if !first => break,
            '^' if class == "[" => {
                class.push('^');
                continue;
            }
            '-' => class.push('-'),
            '\\' => {
                let escaped = characters.next().ok_or(BAD_PATTERN)?;
                class.push_str(&regex::escape(&escaped.to_string()));
            }
            other => {
                if "[]&~^".contains(other) {
                    class.push('\\');
                }
                class.push(other);
            }
        }
        first = false;
    }
    class.push(']');
    Ok(class)
}

/// `pattern` without braces: one pattern for each choice.
fn alternatives(pattern: &str) -> Result<Vec<String>, String> {
    const MOST: usize = 1_000;
    let Some((before, choices, after)) = braces(pattern)? else {
        return Ok(vec![pattern.to_owned()]);
    };
    let mut all = Vec::new();
    for choice in choices {
        all.extend(alternatives(&format!("{before}{choice}{after}"))?);
        if all.len() > MOST {
            return Err(format!("more than {MOST} alternatives"));
        }
    }
    Ok(all)
}

/// What stands before the first braces, the choices in them, and what stands after.
type Braces<'a> = (&'a str, Vec<&'a str>, &'a str);

fn braces(pattern: &str) -> Result<Option<Braces<'_>>, String> {
    let (mut depth, mut open, mut part) = (0, 0, 0);
    let mut choices = Vec::new();
    let mut escaped = false;
    for (at, character) in pattern.char_indices() {
        match character {
            _ if escaped => {
                escaped = false;
                continue;
            }
            '\\' => escaped = true,
            '{' => {
                if depth == 0 {
                    (open, part) = (at, at + 1);
                }
                depth += 1;
            }
            ',' if depth == 1 => {
                choices.push(&pattern[part..at]);
                part = at + 1;
            }
            '}' if depth == 1 => {
                choices.push(&pattern[part..at]);
                return Ok(Some((&pattern[..open], choices, &pattern[at + 1..])));
            }
            '}' if depth > 1 => depth -= 1,
            _ => {}
        }
    }
    if depth > 0 { Err(BAD_PATTERN.to_owned()) } else { Ok(None) }
}

/// A way through directories.
struct Walk<'a> {
    budget: &'a Budget,
    reach: &'a Reach,
    found: BTreeSet<String>,
}

impl Walk<'_> {
    /// Goes on in `dir`, which is called `prefix`.
    fn on(&mut self, dir: &Path, prefix: &str, steps: &[Step]) -> Result<(), Exceeded> {
        let Some((step, rest)) = steps.split_first() else { return Ok(()) };
        match step {
            Step::Name(name) => self.visit(dir, prefix, name, rest)?,
            Step::Matching(regex) => {
                for name in self.names(dir)? {
                    if regex.is_match(&name) {
                        self.visit(dir, prefix, &name, rest)?;
                    }
                }
            }
            Step::Anywhere => {
                if !rest.is_empty() {
                    self.on(dir, prefix, rest)?;
                }
                for name in self.names(dir)? {
                    let path = dir.join(&name);
                    // A link to a directory may lead back up.
                    if path.is_dir() && !path.is_symlink() {
                        self.on(&path, &format!("{prefix}{name}/"), steps)?;
                    } else if rest.is_empty() {
                        self.visit(dir, prefix, &name, rest)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes the file `name`, or goes on inside of the directory.
    fn visit(
        &mut self,
        dir: &Path,
        prefix: &str,
        name: &str,
        rest: &[Step],
    ) -> Result<(), Exceeded> {
        self.budget.pay(NAME)?;
        let path = dir.join(name);
        if !rest.is_empty() {
            self.on(&path, &format!("{prefix}{name}/"), rest)?;
        } else if path.is_file() && self.reach.check(&path).is_ok() {
            self.found.insert(format!("{prefix}{name}"));
        }
        Ok(())
    }

    /// The names in a directory; of one that cannot be read, none.
    fn names(&self, dir: &Path) -> Result<Vec<String>, Exceeded> {
        let mut names = Vec::new();
        if self.reach.check(dir).is_err() {
            return Ok(names);
        }
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            self.budget.pay(NAME)?;
            names.extend(entry.file_name().into_string().ok());
        }
        Ok(names)
    }
}
