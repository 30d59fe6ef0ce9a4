//! Variables as the text that a shell reads.

use std::collections::BTreeMap;

use crate::component::Check;

/// `env_var_format`: how one variable is written, as Go's `Sprintf` reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariableFormat(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// 0 is the name, 1 the value.
    Argument(usize),
}

impl VariableFormat {
    /// Reads `text`. Known are `%s`, `%v`, `%[1]s`, `%[2]s` and `%%`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut next = 0;
        let mut rest = text;
        while let Some(at) = rest.find('%') {
            pieces.push(Piece::Text(rest[..at].to_owned()));
            let verb = &rest[at..];
            let known = [("%s", next), ("%v", next), ("%[1]s", 0), ("%[2]s", 1)];
            let known = known.into_iter().find(|(known, _)| verb.starts_with(known));
            let length = match known {
                Some((verb, argument)) if argument < 2 => {
                    pieces.push(Piece::Argument(argument));
                    next = argument + 1;
                    verb.len()
                }
                Some(_) => return Err("there are only a name and a value to fill in".to_owned()),
                None if verb.starts_with("%%") => {
                    pieces.push(Piece::Text("%".to_owned()));
                    2
                }
                None => {
                    return Err("a `%` must start `%s`, `%v`, `%[1]s`, `%[2]s` or `%%`".to_owned());
                }
            };
            rest = &rest[at + length..];
        }
        pieces.push(Piece::Text(rest.to_owned()));
        for (argument, what) in ["name", "value"].into_iter().enumerate() {
            if !pieces.contains(&Piece::Argument(argument)) {
                return Err(format!("nothing stands for the {what}: `%s` is missing"));
            }
        }
        Ok(Self(pieces))
    }

    /// Reads the option `env_var_format`.
    pub fn check(text: &str, check: &mut Check<'_>) -> Option<Self> {
        Self::check_as("env_var_format", text, check)
    }

    /// Reads another `option` of its kind.
    pub fn check_as(option: &str, text: &str, check: &mut Check<'_>) -> Option<Self> {
        match Self::parse(text) {
            Ok(format) => Some(format),
            Err(cause) => {
                check.error(option, cause);
                None
            }
        }
    }

    /// All `variables` in sorted order, written one after the other. A `'` in a value ends the
    /// quotes, stands in quotes of the other kind, and opens them again.
    pub fn write(&self, variables: &BTreeMap<String, String>) -> String {
        self.write_with(variables, |value| value.replace('\'', r#"'"'"'"#))
    }

    /// The same with values that are not changed.
    pub fn write_as_is(&self, variables: &BTreeMap<String, String>) -> String {
        self.write_with(variables, str::to_owned)
    }

    /// The same with values that `escape` has prepared for their quotes.
    pub fn write_with(
        &self,
        variables: &BTreeMap<String, String>,
        escape: impl Fn(&str) -> String,
    ) -> String {
        variables.iter().map(|(name, value)| self.fill([name, &escape(value)])).collect()
    }

    /// One variable as [`write`](Self::write) does it, with `mark` before each character that comes
    /// from the value.
    pub(super) fn write_marked(&self, name: &str, value: &str, mark: char) -> String {
        let marked = |c| match c {
            '\'' => format!(r#"'"{mark}'"'"#),
            c => format!("{mark}{c}"),
        };
        self.fill([name, &value.chars().map(marked).collect::<String>()])
    }

    fn fill(&self, arguments: [&str; 2]) -> String {
        let text = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Argument(argument) => arguments[*argument].to_owned(),
        };
        self.0.iter().map(text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_written_sorted_and_their_quotes_survive_the_shell() {
        let format = VariableFormat::parse("%s='%s' ").unwrap();
        let values = ["plain", "it's", "$(touch /tmp/x) `id` \"\\", "two\nlines"];
        let names = ["d", "c", "b", "a"];
        let variables =
            names.into_iter().zip(values).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        let written = format.write(&variables);
        assert!(written.starts_with("a='two\nlines' b="), "{written}");
        let script = format!("{written} env -0");
        let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        let seen = String::from_utf8(output.stdout).unwrap();
        for (name, value) in names.into_iter().zip(values) {
            assert!(seen.split('\0').any(|v| v == format!("{name}={value}")), "{name}: {seen}");
        }
    }

    #[test]
    fn a_format_is_refused_unless_it_has_a_place_for_both_and_only_known_verbs() {
        assert!(VariableFormat::parse("$env:%s=\"%s\"; 100%%").is_ok());
        assert!(VariableFormat::parse("%[2]s=%[1]s").is_ok());
        for wrong in ["export", "%s=", "%s=%s %s", "%d=%s", "%s=%s %"] {
            assert!(VariableFormat::parse(wrong).is_err(), "{wrong}");
        }
    }
}
