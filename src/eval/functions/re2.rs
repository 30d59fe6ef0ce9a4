//! Patterns of RE2 in the dialect of the `regex` crate.
//!
//! `\d`, `\w`, `\s` and `\b` mean ASCII; a `{` that is no repetition, and what the crate knows as
//! set operations, are plain text; several groups may have one name; what RE2 refuses is refused.

use std::iter::Peekable;
use std::str::CharIndices;

/// The pattern translated, and the name of each group that has one; or what is wrong, in RE2's words.
pub(super) fn translate(pattern: &str) -> Result<(String, Vec<Option<String>>), String> {
    let translator = Translator {
        pattern,
        rest: pattern.char_indices().peekable(),
        text: String::with_capacity(pattern.len()),
        names: Vec::new(),
        repetition: None,
    };
    translator.run()
}

struct Translator<'p> {
    pattern: &'p str,
    rest: Peekable<CharIndices<'p>>,
    text: String,
    names: Vec<Option<String>>,
    /// Where the repetition starts that was read last, if nothing came after it.
    repetition: Option<usize>,
}

/// The names of `[[:name:]]`.
const POSIX: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
    "space", "upper", "word", "xdigit",
];

impl<'p> Translator<'p> {
    fn run(mut self) -> Result<(String, Vec<Option<String>>), String> {
        while let Some((at, character)) = self.rest.next() {
            let before = self.repetition.take();
            match character {
                '\\' => self.escape(false)?,
                '[' => self.class()?,
                '(' => self.group(at)?,
                '*' | '+' | '?' => self.repeat(at, before)?,
                '{' => self.braces(at, before)?,
                '}' => self.text.push_str("\\}"),
                _ => self.text.push(character),
            }
        }
        Ok((self.text, self.names))
    }

    /// What is left.
    fn left(&self) -> &'p str {
        let (pattern, mut rest) = (self.pattern, self.rest.clone());
        rest.next().map_or("", |(at, _)| &pattern[at..])
    }

    /// Passes over so many characters.
    fn skip(&mut self, characters: usize) {
        self.rest.by_ref().take(characters).for_each(|_| {});
    }

    fn copy(&mut self, bytes: usize) {
        let part = &self.left()[..bytes];
        self.text.push_str(part);
        self.skip(part.chars().count());
    }

    /// A repetition that starts at `at` and ends here, maybe with a `?`.
    fn repeat(&mut self, at: usize, before: Option<usize>) -> Result<(), String> {
        let lazy = self.left().starts_with('?');
        let end = self.pattern.len() - self.left().len() + usize::from(lazy);
        if let Some(start) = before {
            let operators = &self.pattern[start..end];
            return Err(format!("invalid nested repetition operator in {operators}"));
        }
        self.text.push_str(&self.pattern[at..end]);
        self.skip(usize::from(lazy));
        self.repetition = Some(at);
        Ok(())
    }

    /// `{2,3}`, or a brace as text.
    fn braces(&mut self, at: usize, before: Option<usize>) -> Result<(), String> {
        const MOST: u32 = 1000;
        let Some((counts, _)) = self.left().split_once('}') else {
            self.text.push_str("\\{");
            return Ok(());
        };
        let is_count = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let (least, most) = counts.split_once(',').unwrap_or((counts, counts));
        if !is_count(least) || !(most.is_empty() && counts.contains(',') || is_count(most)) {
            self.text.push_str("\\{");
            return Ok(());
        }
        let length = counts.len() + 1;
        let number = |text: &str| match text {
            "" => Some(MOST),
            _ => text.parse().ok().filter(|number| *number <= MOST),
        };
        if number(least).zip(number(most)).is_none_or(|(least, most)| least > most) {
            return Err(format!("invalid repeat count in {}", &self.pattern[at..=at + length]));
        }
        self.skip(length);
        self.repeat(at, before)
    }

    /// What follows a `(`. A name that is there already, or that the crate does not take, becomes
    /// another one: groups are told apart by their numbers.
    fn group(&mut self, at: usize) -> Result<(), String> {
        self.text.push('(');
        let left = self.left();
        let Some(special) = left.strip_prefix('?') else {
            self.names.push(None);
            return Ok(());
        };
        let named = special.strip_prefix("P<").or_else(|| special.strip_prefix('<'));
        if let Some((name, _)) = named.and_then(|named| named.split_once('>')) {
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.is_empty() || !name.chars().all(is_word) {
                if name.starts_with(['=', '!']) {
                    return Ok(());
                }
                let end = self.pattern.len() - left.len() + left.find('>').unwrap_or(0);
                let group = &self.pattern[at..=end];
                return Err(format!("invalid named capture in {group}"));
            }
            let is_new = !self.names.iter().flatten().any(|own| own == name);
            let is_usual = is_new && !name.starts_with(|c: char| c.is_ascii_digit());
            let length = left.find('>').unwrap_or(0) + 1;
            let used = match is_usual {
                true => name.to_owned(),
                false => format!("_group_{}_{name}", self.names.len() + 1),
            };
            self.names.push(Some(name.to_owned()));
            self.text.push_str(&format!("?P<{used}>"));
            self.skip(length);
            return Ok(());
        }
        let flags = special.len() - special.trim_start_matches(|c| "imsU-".contains(c)).len();
        match special[flags..].chars().next() {
            Some(':' | ')') => self.copy(1 + flags),
            // Look-around, which the crate refuses, and said so.
            Some('=' | '!' | '<' | 'P') | None => {}
            Some(other) => {
                let start = &special[..flags];
                return Err(format!("invalid or unsupported Perl syntax in (?{start}{other}"));
            }
        }
        Ok(())
    }

    /// What follows a `[`.
    fn class(&mut self) -> Result<(), String> {
        self.text.push('[');
        if self.left().starts_with('^') {
            self.copy(1);
        }
        if self.left().starts_with(']') {
            self.skip(1);
            self.text.push_str("\\]");
        }
        while let Some((_, character)) = self.rest.next() {
            match character {
                ']' => {
                    self.text.push(']');
                    return Ok(());
                }
                '\\' => self.escape(true)?,
                '[' if self.left().starts_with(':') && self.left().contains(":]") => {
                    let length = self.left().find(":]").unwrap_or(0) + 2;
                    let name = &self.left()[1..length - 2];
                    if !POSIX.contains(&name.strip_prefix('^').unwrap_or(name)) {
                        return Err(format!("invalid character class range in [:{name}:]"));
                    }
                    self.text.push('[');
                    self.copy(length);
                }
                '-' if self.text.ends_with('-') => self.text.push_str("\\-"),
                '[' | '&' | '~' => self.text.extend(['\\', character]),
                _ => self.text.push(character),
            }
        }
        Ok(())
    }

    /// What follows a `\`.
    fn escape(&mut self, in_class: bool) -> Result<(), String> {
        let Some((_, escaped)) = self.rest.next() else {
            return Err("trailing backslash at end of expression in ".to_owned());
        };
        match (escaped, in_class) {
            ('d', _) => self.text.push_str("[0-9]"),
            ('D', _) => self.text.push_str("[^0-9]"),
            ('w', _) => self.text.push_str("[0-9A-Za-z_]"),
            ('W', _) => self.text.push_str("[^0-9A-Za-z_]"),
            ('s', _) => self.text.push_str(r"[\t\n\f\r ]"),
            ('S', _) => self.text.push_str(r"[^\t\n\f\r ]"),
            ('b', false) => self.text.push_str(r"(?-u:\b)"),
            ('B', false) => self.text.push_str(r"(?-u:\B)"),
            ('Q', false) => self.quoted(),
            ('<' | '>', _) => self.text.push(escaped),
            _ if is_escape(escaped, in_class) => {
                self.text.extend(['\\', escaped]);
                let braces = matches!(escaped, 'p' | 'P' | 'x') && self.left().starts_with('{');
                if let Some(end) = self.left().find('}').filter(|_| braces) {
                    self.copy(end + 1);
                }
            }
            _ => return Err(format!("invalid escape sequence in \\{escaped}")),
        }
        Ok(())
    }

    /// Plain text up to `\E`.
    fn quoted(&mut self) {
        let left = self.left();
        let quoted = left.split("\\E").next().unwrap_or(left);
        self.text.push_str(&::regex::escape(quoted));
        let end = if left[quoted.len()..].is_empty() { 0 } else { 2 };
        self.skip(quoted.chars().count() + end);
    }
}

/// Whether both dialects have the escape.
fn is_escape(escaped: char, in_class: bool) -> bool {
    match escaped {
        'a' | 'f' | 'n' | 'p' | 'P' | 'r' | 't' | 'v' | 'x' => true,
        'A' | 'z' => !in_class,
        _ => escaped.is_ascii() && !escaped.is_ascii_alphanumeric(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_crate_reads_differently_is_rewritten() {
        let translated = |pattern| translate(pattern).map(|(text, _)| text);
        for (pattern, text) in [
            ("[a&&b]", "[a\\&\\&b]"),
            ("[]a]", "[\\]a]"),
            ("[a[b]", "[a\\[b]"),
            ("[[:alpha:]]", "[[:alpha:]]"),
            ("a{2,3}?", "a{2,3}?"),
            ("a{", "a\\{"),
            ("a{,3}", "a\\{,3\\}"),
            ("\\<", "<"),
            ("\\Qa.b\\Ec", "a\\.bc"),
            ("(?i-s:x)", "(?i-s:x)"),
            ("(?P<n>a)(?P<n>b)", "(?P<n>a)(?P<_group_2_n>b)"),
        ] {
            assert_eq!(translated(pattern).as_deref(), Ok(text), "{pattern}");
        }
        for (pattern, cause) in [
            ("a**", "invalid nested repetition operator in **"),
            ("a+?+", "invalid nested repetition operator in +?+"),
            ("a{1001}", "invalid repeat count in {1001}"),
            ("a{3,2}", "invalid repeat count in {3,2}"),
            ("(?x)a", "invalid or unsupported Perl syntax in (?x"),
            ("\\u0041", "invalid escape sequence in \\u"),
            ("(?P<a-b>x)", "invalid named capture in (?P<a-b>"),
            ("[[:foo:]]", "invalid character class range in [:foo:]"),
        ] {
            assert_eq!(translated(pattern), Err(cause.to_owned()), "{pattern}");
        }
    }
}
