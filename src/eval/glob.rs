//! File patterns: `*`, `?`, `[…]`, `{a,b}` and `**`, as `fileset` knows them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use regex::Regex;

/// The regular files below `dir` that `pattern` names, relative to `dir`.
pub fn files(dir: &Path, pattern: &str) -> Result<BTreeSet<String>, String> {
    let mut found = BTreeSet::new();
    for alternative in alternatives(pattern)? {
        if alternative.is_empty() {
            continue;
        }
        let steps = alternative.split('/').map(Step::parse).collect::<Result<Vec<_>, _>>()?;
        walk(dir, "", &steps, &mut found);
    }
    Ok(found)
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

fn walk(dir: &Path, prefix: &str, steps: &[Step], found: &mut BTreeSet<String>) {
    let Some((step, rest)) = steps.split_first() else { return };
    match step {
        Step::Name(name) => visit(dir, prefix, name, rest, found),
        Step::Matching(regex) => {
            for name in names(dir) {
                if regex.is_match(&name) {
                    visit(dir, prefix, &name, rest, found);
                }
            }
        }
        Step::Anywhere => {
            if !rest.is_empty() {
                walk(dir, prefix, rest, found);
            }
            for name in names(dir) {
                let path = dir.join(&name);
                // A link to a directory may lead back up.
                if path.is_dir() && !path.is_symlink() {
                    walk(&path, &format!("{prefix}{name}/"), steps, found);
                } else if rest.is_empty() {
                    visit(dir, prefix, &name, rest, found);
                }
            }
        }
    }
}

/// Takes the file `name`, or goes on inside of the directory.
fn visit(dir: &Path, prefix: &str, name: &str, rest: &[Step], found: &mut BTreeSet<String>) {
    let path = dir.join(name);
    if !rest.is_empty() {
        walk(&path, &format!("{prefix}{name}/"), rest, found);
    } else if path.is_file() {
        found.insert(format!("{prefix}{name}"));
    }
}

/// The names in a directory; of one that cannot be read, none.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}
