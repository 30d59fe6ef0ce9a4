//! `-only` and `-except`: which builds run, and which post-processors do not.

use std::sync::atomic::{AtomicBool, Ordering};

use regex::Regex;

use crate::diagnostic::{Diagnostic, Diagnostics, code, did_you_mean};
use crate::plan::request::PlanRequest;
use crate::template::ast::Dialect;

/// Both flags, and which of their patterns have matched something so far.
#[derive(Debug)]
pub(super) struct Selection {
    only: Vec<Pattern>,
    except: Vec<Pattern>,
}

#[derive(Debug)]
struct Pattern {
    text: String,
    matcher: Matcher,
    /// Builds are planned side by side, and each may be the first that it matches.
    used: AtomicBool,
}

#[derive(Debug)]
enum Matcher {
    /// Legacy templates: the whole name.
    Exact,
    Glob(Regex),
    /// A glob that breaks the grammar of globs.
    Malformed,
}

impl Selection {
    pub(super) fn new(request: &PlanRequest, dialect: Dialect) -> Self {
        let patterns = |texts: &[String]| texts.iter().map(|t| Pattern::new(t, dialect)).collect();
        Self { only: patterns(&request.only), except: patterns(&request.except) }
    }

    /// Whether the build called `name` runs. Remembers which patterns matched, for
    /// [`unmatched`](Self::unmatched).
    pub(super) fn takes_build(&self, name: &str) -> bool {
        let wanted = any_matches(&self.only, name) || self.only.is_empty();
        let unwanted = any_matches(&self.except, name);
        wanted && !unwanted
    }

    /// Whether the post-processor called `name`, and with it the rest of its chain, is left out. As
    /// [`takes_build`](Self::takes_build), it remembers.
    pub(super) fn drops_post_processor(&self, name: &str) -> bool {
        any_matches(&self.except, name)
    }

    /// What has matched nothing; `names` are those of all builds.
    pub(super) fn unmatched(self, names: Vec<String>) -> Unmatched {
        let of = |option: &'static str| {
            move |Pattern { text, matcher, .. }| UnmatchedPattern {
                option,
                text,
                is_malformed: matches!(matcher, Matcher::Malformed),
            }
        };
        let only = self.only.into_iter().filter(Pattern::is_unused).map(of("only"));
        let except = self.except.into_iter().filter(Pattern::is_unused).map(of("except"));
        Unmatched { patterns: only.chain(except).collect(), names }
    }
}

/// Patterns that select nothing, and what there is to select.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unmatched {
    patterns: Vec<UnmatchedPattern>,
    names: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct UnmatchedPattern {
    /// `only` or `except`.
    option: &'static str,
    text: String,
    is_malformed: bool,
}

impl Unmatched {
    /// What selects nothing in any of several templates.
    pub fn in_all(all: impl IntoIterator<Item = Self>) -> Self {
        let both = |mut one: Self, other: Self| {
            one.patterns.retain(|pattern| other.patterns.contains(pattern));
            one.names.extend(other.names);
            one
        };
        all.into_iter().reduce(both).unwrap_or_default()
    }

    /// A warning for each pattern; `said` is how messages call that of an option.
    pub fn warnings(&self, said: impl Fn(&str, &str) -> String) -> Diagnostics {
        let warning =
            |one: &UnmatchedPattern| one.warning(&said(one.option, &one.text), &self.names);
        Diagnostics(self.patterns.iter().map(warning).collect())
    }
}

impl UnmatchedPattern {
    fn warning(&self, said: &str, names: &[String]) -> Diagnostic {
        let warning = |what| Diagnostic::warning(code::SELECTION, format!("{said} {what}"));
        let warning = match self.is_malformed {
            true => warning("is not a complete glob")
                .note("a list is split at its commas, also inside of `{ }`"),
            false => {
                warning("matches no build").note(format!("the builds are: {}", names.join(", ")))
            }
        };
        match did_you_mean(&self.text, names.iter().map(String::as_str)) {
            Some(meant) => warning.help(format!("did you mean `{meant}`?")),
            None => warning,
        }
    }
}

/// Marks every pattern that matches, not just the first.
fn any_matches(patterns: &[Pattern], name: &str) -> bool {
    let mut any = false;
    for pattern in patterns.iter().filter(|pattern| pattern.matches(name)) {
        pattern.used.store(true, Ordering::Relaxed);
        any = true;
    }
    any
}

impl Pattern {
    fn new(text: &str, dialect: Dialect) -> Self {
        let matcher = match dialect {
            Dialect::Json => Matcher::Exact,
            Dialect::Hcl => glob(text).map_or(Matcher::Malformed, Matcher::Glob),
        };
        Self { text: text.to_owned(), matcher, used: AtomicBool::new(false) }
    }

    fn is_unused(&self) -> bool {
        !self.used.load(Ordering::Relaxed)
    }

    fn matches(&self, name: &str) -> bool {
        match &self.matcher {
            Matcher::Exact => self.text == name,
            Matcher::Glob(regex) => regex.is_match(name),
            Matcher::Malformed => false,
        }
    }
}

/// A glob in which `*` matches anything, also dots: `*`, `?`, `[a-z]`, `[!a]`, `{a,b}`, `\x`.
/// `None` if a bracket or brace has no end.
fn glob(text: &str) -> Option<Regex> {
    let mut regex = String::from("^(?s:");
    let mut braces = 0;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' => regex.push_str(".*"),
            '?' => regex.push('.'),
            '[' => regex.push_str(&class(&mut chars)?),
            '{' => {
                braces += 1;
                regex.push_str("(?:");
            }
            '}' if braces > 0 => {
                braces -= 1;
                regex.push(')');
            }
            ',' if braces > 0 => regex.push('|'),
            '\\' => regex.push_str(&regex::escape(chars.next()?.encode_utf8(&mut [0; 4]))),
            c => regex.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    regex.push_str(")$");
    if braces == 0 { Regex::new(&regex).ok() } else { None }
}

/// The rest of a `[…]`, as a regex has it.
fn class(chars: &mut std::str::Chars<'_>) -> Option<String> {
    let (inside, rest) = chars.as_str().split_once(']')?;
    *chars = rest.chars();
    let (sign, members) = match inside.strip_prefix('!') {
        Some(members) => ("^", members),
        None => ("", inside),
    };
    let ranges: Vec<String> = members.split('-').map(regex::escape).collect();
    (!members.is_empty()).then(|| format!("[{sign}{}]", ranges.join("-")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use jiff::Timestamp;

    use super::*;
    use crate::env::Environment;
    use crate::registry::Registry;

    const NAMES: [&str; 4] = ["web.null.a", "web.null.b", "null.a", "null.b-9"];

    fn selection(dialect: Dialect, only: &[&str], except: &[&str]) -> Selection {
        let environment = Environment::new(BTreeMap::new(), "/".into(), Timestamp::UNIX_EPOCH);
        let own = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        let request = PlanRequest {
            only: own(only),
            except: own(except),
            force: false,
            debug: false,
            environment: Arc::new(environment),
            registry: Registry::built_in(),
        };
        Selection::new(&request, dialect)
    }

    fn taken(only: &[&str], except: &[&str]) -> Vec<&'static str> {
        let selection = selection(Dialect::Hcl, only, except);
        NAMES.into_iter().filter(|name| selection.takes_build(name)).collect()
    }

    #[test]
    fn globs_know_no_separators() {
        assert_eq!(taken(&["*"], &[]), NAMES);
        assert_eq!(taken(&["*.a"], &[]), ["web.null.a", "null.a"]);
        assert_eq!(taken(&["web.**"], &[]), ["web.null.a", "web.null.b"]);
        assert_eq!(taken(&["null.?-[0-9]"], &[]), ["null.b-9"]);
        assert_eq!(taken(&["null.[!b]*"], &[]), ["null.a"]);
        assert_eq!(taken(&["{web.null.a,null.b-9}"], &[]), ["web.null.a", "null.b-9"]);
        assert_eq!(taken(&[], &["web*"]), ["null.a", "null.b-9"]);
        assert_eq!(taken(&["web*"], &["*b"]), ["web.null.a"]);
    }

    #[test]
    fn legacy_names_are_exact() {
        let selection = selection(Dialect::Json, &["null", "a*"], &[]);
        assert!(selection.takes_build("null"));
        assert!(!selection.takes_build("abc"));
    }

    #[test]
    fn every_pattern_that_matches_nothing_is_named() {
        let selection = selection(Dialect::Hcl, &["nul.a", "null.{a", "*"], &["manifest"]);
        assert!(selection.takes_build("null.a"));
        assert!(selection.drops_post_processor("manifest"));
        let unmatched = selection.unmatched(vec!["null.a".to_owned()]);
        let warnings = unmatched.warnings(|option, text| format!("`-{option}={text}`")).0;
        let texts: Vec<_> = warnings.iter().map(|warning| warning.summary.as_str()).collect();
        assert_eq!(
            texts,
            ["`-only=nul.a` matches no build", "`-only=null.{a` is not a complete glob"]
        );
        assert_eq!(warnings[0].help.as_deref(), Some("did you mean `null.a`?"));
    }

    #[test]
    fn what_fits_one_of_several_templates_is_no_mistake() {
        let unmatched = |name: &str| {
            let selection = selection(Dialect::Hcl, &["null.a", "null.b", "nul.c"], &[]);
            selection.takes_build(name);
            selection.unmatched(vec![name.to_owned()])
        };
        let all = Unmatched::in_all(["null.a", "null.b", "null.c"].map(unmatched));
        let warnings = all.warnings(|_, text| text.to_owned()).0;
        assert_eq!(warnings.len(), 1);
        assert_eq!(warnings[0].help.as_deref(), Some("did you mean `null.c`?"));
    }
}
