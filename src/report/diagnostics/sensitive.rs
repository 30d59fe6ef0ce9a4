//! What of a source is sensitive, told from its text alone: what is wrong with it may be that nobody
//! can read it, and then no value of it is known to the redactor.
//!
//! A template says which of its variables and locals are sensitive. Of a variable file, what no
//! template declares may be anything: only its keys are shown.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use crate::diagnostic::Diagnostic;
use crate::secret::{MASK, without_quoted};
use crate::source::{FileId, SourceFile, SourceMap};

/// The sensitive parts of sources, by file.
#[derive(Debug, Default)]
pub(super) struct Sensitive(HashMap<FileId, Vec<Range<usize>>>);

/// What the templates say of names.
#[derive(Default)]
struct Names<'a> {
    sensitive: HashSet<&'a str>,
    /// Those and all others.
    declared: HashSet<&'a str>,
}

impl Sensitive {
    /// Those of all files that `diagnostics` are about.
    pub fn of(diagnostics: &[Diagnostic], sources: &SourceMap) -> Self {
        let spans = diagnostics.iter().flat_map(|found| {
            found.span.into_iter().chain(found.labels.iter().map(|label| label.span))
        });
        let files: HashSet<FileId> = spans.map(|span| span.file).collect();
        if files.is_empty() {
            return Self::default();
        }
        let mut names = Names::default();
        for (_, file) in sources.files().filter(|(_, file)| !file.has_values()) {
            names.add(file);
        }
        let parts = |id: FileId| (id, names.parts(sources.file(id)));
        Self(files.into_iter().map(parts).collect())
    }

    /// Those of `file`.
    pub fn parts(&self, file: FileId) -> &[Range<usize>] {
        self.0.get(&file).map_or(&[], Vec::as_slice)
    }

    /// Masks what the words of `found` quote of sensitive parts.
    pub fn mask(&self, found: &mut Diagnostic, sources: &SourceMap) {
        let Some(span) = found.span else { return };
        let source = &sources.file(span.file).text;
        let parts: Vec<&str> =
            self.parts(span.file).iter().map(|part| &source[part.clone()]).collect();
        if parts.is_empty() {
            return;
        }
        let is_quoted = |quoted: &str| {
            quoted.contains(char::is_alphanumeric) && parts.iter().any(|part| part.contains(quoted))
        };
        for text in found.texts_mut() {
            *text = without_quoted(std::mem::take(text), MASK, is_quoted);
        }
    }
}

fn pattern(text: &str) -> Option<Regex> {
    // Each is compiled by the tests.
    Regex::new(text).ok()
}

/// Where a block of the root begins, with its name.
static BLOCK: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(r#"(?m)^[ \t]*(variable|locals?|source|build|data|packer)\b[ \t]*"?([\w-]*)"?"#)
});
/// What makes a block sensitive; `false` does not.
static MARK: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(r#"\bsensitive"?[ \t]*[=:][ \t]*(\w*)|(?m:^)[ \t]*sensitive[ \t]+(\w+)"#)
});
/// A line that gives a name a value, in HCL.
static ARGUMENT: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r#"^(?:[^=#]*\{)?[ \t]*"?([\w-]+)"?[ \t]*=[ \t]*"#));
/// A key and the start of its value, in JSON.
static MEMBER: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r#"['"]?([\w.-]+)['"]?[ \t]*[:=]\s*"#));
/// The names in `sensitive-variables`.
static LISTED: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r#""sensitive-variables"[^\[]*\[([^\]]*)"#));

impl<'a> Names<'a> {
    /// Takes in what a template says.
    fn add(&mut self, file: &'a SourceFile) {
        match is_json(file) {
            true => self.add_json(&file.text),
            false => self.add_hcl(&file.text),
        }
    }

    fn add_hcl(&mut self, text: &'a str) {
        for (kind, name, block) in blocks(text) {
            if kind == "variable" {
                self.declared.insert(name);
                if has_mark(&text[block]) {
                    self.sensitive.insert(name);
                }
            }
        }
    }

    /// Any key may be the name of a variable.
    fn add_json(&mut self, text: &'a str) {
        let keys = MEMBER.iter().flat_map(|member| member.captures_iter(text));
        self.declared.extend(keys.filter_map(|found| Some(found.get(1)?.as_str())));
        let lists = LISTED.iter().flat_map(|list| list.captures_iter(text));
        let lists = lists.filter_map(|found| Some(found.get(1)?.as_str()));
        let words = lists.flat_map(|list| list.split(['"', ',', '\'', ' ', '\n', '\t', '\r']));
        self.sensitive.extend(words.filter(|word| !word.is_empty()));
        if has_mark(text) {
            self.sensitive.extend(["default", "expression"]);
        }
    }

    /// Whether the value of `name` in a variable file may be shown.
    fn may_show(&self, name: &str) -> bool {
        self.declared.contains(name) && !self.sensitive.contains(name)
    }

    fn parts(&self, file: &SourceFile) -> Vec<Range<usize>> {
        let text = &*file.text;
        let parts = match (is_json(file), file.has_values()) {
            (true, true) => members(text, |name| !self.may_show(name)),
            (true, false) => members(text, |name| self.sensitive.contains(name)),
            (false, true) => values(text, 0..text.len(), |name| !self.may_show(name)),
            (false, false) => {
                let blocks = blocks(text).filter(|(kind, _, block)| {
                    matches!(*kind, "variable" | "local") && has_mark(&text[block.clone()])
                });
                let hidden = |name: &str| !SHOWN.contains(&name);
                blocks.flat_map(|(_, _, block)| values(text, block, hidden)).collect()
            }
        };
        parts.into_iter().filter(|part| !part.is_empty()).collect()
    }
}

/// What stands in a sensitive block and is no value.
const SHOWN: &[&str] = &["type", "description", "sensitive", "condition", "error_message"];

fn is_json(file: &SourceFile) -> bool {
    let name = file.path.as_os_str().as_encoded_bytes();
    !name.ends_with(b".hcl") && file.text.trim_start().starts_with('{') || name.ends_with(b".json")
}

fn has_mark(text: &str) -> bool {
    let marks = MARK.iter().flat_map(|mark| mark.captures_iter(text));
    let value =
        |mark: &Captures<'_>| mark.get(1).or(mark.get(2)).map(|value| value.as_str() != "false");
    marks.into_iter().any(|mark| value(&mark) == Some(true))
}

/// The blocks of a template's root, each with its kind and its first label, up to where the next
/// one begins.
fn blocks(text: &str) -> impl Iterator<Item = (&str, &str, Range<usize>)> {
    let starts: Vec<_> = BLOCK.iter().flat_map(|block| block.captures_iter(text)).collect();
    let ends: Vec<usize> = starts.iter().filter_map(|found| Some(found.get(0)?.start())).collect();
    let part = |at: usize| starts[at].get(0).map_or(0..0, |found| found.range());
    let found = (0..starts.len()).map(|at| {
        let end = ends.get(at + 1).copied().unwrap_or(text.len());
        let group = |number| starts[at].get(number).map_or("", |found| found.as_str());
        (group(1), group(2), part(at).start..end)
    });
    found.collect::<Vec<_>>().into_iter()
}

/// The values within `range` of a text in HCL whose names are `hidden`: up to the next name, with
/// all lines of a heredoc.
fn values(text: &str, range: Range<usize>, hidden: impl Fn(&str) -> bool) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut at = range.start;
    let mut hides = false;
    let mut marker: Option<String> = None;
    for line in text[range].split_inclusive('\n') {
        let trimmed = line.trim();
        let argument = ARGUMENT.as_ref().filter(|_| marker.is_none());
        let argument = argument.and_then(|argument| argument.captures(line));
        let from = match argument.as_ref().and_then(|found| Some((found.get(0)?, found.get(1)?))) {
            Some((all, name)) => {
                hides = hidden(name.as_str());
                marker = heredoc(&line[all.end()..]);
                all.end()
            }
            None if marker.as_deref() == Some(trimmed) => {
                marker = None;
                line.len()
            }
            None if marker.is_none() && is_frame(trimmed) => line.len(),
            None => line.len() - line.trim_start().len(),
        };
        if hides {
            parts.push(at + from..at + from.max(line.trim_end().len()));
        }
        at += line.len();
    }
    parts
}

/// The word that ends the heredoc that `value` begins.
fn heredoc(value: &str) -> Option<String> {
    let word = value.trim().strip_prefix("<<")?;
    Some(word.trim_start_matches('-').to_owned())
}

/// Whether a line only opens or closes something, or is empty.
fn is_frame(line: &str) -> bool {
    let opens = line.strip_suffix('{').map(str::trim_end);
    let is_header =
        |text: &str| text.chars().all(|next| next.is_alphanumeric() || "\"_- ".contains(next));
    line.chars().all(|next| "{}[]()".contains(next)) || opens.is_some_and(is_header)
}

/// The values of `hidden` keys of a text in JSON.
fn members(text: &str, hidden: impl Fn(&str) -> bool) -> Vec<Range<usize>> {
    let mut parts: Vec<Range<usize>> = Vec::new();
    for found in MEMBER.iter().flat_map(|member| member.captures_iter(text)) {
        let (Some(all), Some(name)) = (found.get(0), found.get(1)) else { continue };
        let is_within = parts.last().is_some_and(|last| all.start() < last.end);
        if !is_within && hidden(name.as_str()) {
            let length = value_length(&text[all.end()..]);
            parts.push(all.end()..all.end() + length);
        }
    }
    parts
}

/// How long the value is that `text` begins with: a text up to its end or that of its line; what
/// has brackets up to where they are closed; else up to a sign of JSON.
fn value_length(text: &str) -> usize {
    match text.chars().next() {
        Some('"') => {
            let mut escaped = false;
            let ends = |(_, next): &(usize, char)| {
                let ends = *next == '\n' || *next == '"' && !escaped;
                escaped = *next == '\\' && !escaped;
                ends
            };
            text.char_indices().skip(1).find(ends).map_or(text.len(), |(at, _)| at + 1)
        }
        Some('{' | '[') => {
            let mut depth = 0;
            let closes = |(_, next): &(usize, char)| {
                depth += i32::from("{[".contains(*next)) - i32::from("}]".contains(*next));
                depth == 0
            };
            text.char_indices().find(closes).map_or(text.len(), |(at, _)| at + 1)
        }
        _ => text.find([',', '}', ']', '\n']).unwrap_or(text.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(files: &[(&str, &str)]) -> String {
        let mut sources = SourceMap::default();
        for (name, text) in files {
            sources.add(name, *text);
        }
        let mut names = Names::default();
        sources
            .files()
            .filter(|(_, file)| !file.has_values())
            .for_each(|(_, file)| names.add(file));
        let last = sources.files().last().unwrap().1;
        let mut text = last.text.to_string();
        for part in names.parts(last).into_iter().rev() {
            text.replace_range(part, "*");
        }
        text
    }

    const TEMPLATE: &str = "variable \"region\" { default = \"eu\" }\nvariable \"pw\" {\n  type = string\n  default = \"hunter22\n  sensitive = true\n  validation {\n    condition = true\n  }\n}\nlocal \"key\" {\n  sensitive = true\n  expression = <<EOF\nabc=\nEOF\n}\nsource \"null\" \"a\" {\n  x = \"shown\"\n}\n";

    #[test]
    fn each_pattern_is_one() {
        for pattern in [&BLOCK, &MARK, &ARGUMENT, &MEMBER, &LISTED] {
            assert!(pattern.is_some());
        }
    }

    #[test]
    fn a_template_says_what_of_it_is_sensitive() {
        let text = shown(&[("a.pkr.hcl", TEMPLATE)]);
        assert_eq!(
            text,
            TEMPLATE.replace("\"hunter22", "*").replace("<<EOF\nabc=\nEOF", "*\n*\nEOF")
        );
        let one_line = "variable \"pw\" { default = \"hunter22\" sensitive = true }\n";
        assert_eq!(shown(&[("a.pkr.hcl", one_line)]), "variable \"pw\" { default = *\n");
        let public = TEMPLATE.replace("sensitive = true", "sensitive = false");
        assert_eq!(shown(&[("a.pkr.hcl", &public)]), public);
    }

    #[test]
    fn of_a_variable_file_only_what_is_known_to_be_public_is_shown() {
        let values =
            "region = \"eu\npw = \"hunter22\"\nother = <<EOF\nabc=\nEOF\nmap = {\n  a = \"x\"\n}\n";
        let known = "region = \"eu\npw = *\nother = *\n*\nEOF\nmap = *\n  a = *\n}\n";
        let file = ("a.pkrvars.hcl", values);
        assert_eq!(shown(&[("a.pkr.hcl", TEMPLATE), file]), known);
        assert_eq!(shown(&[file]), known.replace("\"eu", "*"));
    }

    #[test]
    fn json_as_well() {
        let template = "{\"variables\": {\"region\": \"eu\", \"pw\": \"hunt\\\"er22\"\n\"x\": \"y\"},\n \"sensitive-variables\": [\"pw\"]}";
        let known = template.replace("\"hunt\\\"er22\"", "*");
        assert_eq!(shown(&[("a.json", template)]), known);
        let values = "{\"region\": \"eu\", \"pw\": \"hunter22,\n \"new\": [\"a\", \"b\"]}";
        assert_eq!(
            shown(&[("a.json", template), ("a.pkrvars.json", values)]),
            "{\"region\": \"eu\", \"pw\": * \"new\": *}"
        );
        let hcl = "{\"variable\": {\"pw\": {\"default\": {\"a\": \"x\"}, \"sensitive\": true}}}";
        assert_eq!(shown(&[("a.pkr.json", hcl)]), hcl.replace("{\"a\": \"x\"}", "*"));
    }
}
