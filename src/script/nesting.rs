//! Whether `{{.Vars}}` stands in quotes of an `execute_command` that a value would end: then a shell
//! runs something else, and often says that all is well.

use super::{Options, VariableFormat};
use crate::component::Check;
use crate::config::UNKNOWN;
use crate::diagnostic::code;
use crate::interpolate::{Dot, Scope, Template};

/// Stands before every character of a value.
const VALUE: char = '\u{e000}';
/// Stands where the variables begin.
const VARIABLES: char = '\u{e001}';

const OPTION: &str = "execute_command";

/// Reports each variable of `options` that breaks the quotes in `command`, with `help`. A value that
/// is not known yet is warned of.
pub(super) fn check(
    command: &str,
    format: &VariableFormat,
    options: &Options,
    help: &str,
    check: &mut Check<'_>,
) {
    for (name, value) in options.variables(check.facts) {
        let marked = format!("{VARIABLES}{}", format.write_marked(&name, &value, VALUE));
        let text = rendered(command, &check.facts.scope, marked);
        if !text.is_some_and(|text| breaks_quotes(&text)) {
            continue;
        }
        match value.contains(UNKNOWN) {
            true => check.warn(
                code::OPTION_VALUE,
                OPTION,
                format!("`{{{{.Vars}}}}` stands in quotes, and the value of `{name}`, which is not known yet, may end them"),
            ),
            false => check.error(
                OPTION,
                format!("`{{{{.Vars}}}}` stands in quotes, and the value of `{name}` ends them: the script would not run"),
            ),
        }
        .help = Some(help.to_owned());
    }
}

/// `command` with these variables; `None` if it cannot be known before a machine runs.
fn rendered(command: &str, scope: &Scope, variables: String) -> Option<String> {
    let mut dot: Dot = scope.build_data.clone().unwrap_or_default();
    for name in ["Path", "EnvVarFile", "Script", "Command"] {
        dot.insert(name.into(), "x".into());
    }
    dot.insert("Vars".into(), variables.into());
    Template::parse(command).ok()?.render(scope, &dot).ok()
}

/// What a POSIX shell is in the middle of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Plain,
    Single,
    Double,
}

/// Whether, in quotes, a marked character means something to the shell.
fn breaks_quotes(text: &str) -> bool {
    let (mut state, mut in_quotes) = (State::Plain, false);
    let mut rest = text.chars().filter(|&c| c != VALUE).peekable();
    let mut marks = text.chars().peekable();
    while let Some(c) = rest.next() {
        let is_value = marks.next_if_eq(&VALUE).is_some();
        marks.next();
        let escapes = |next: &char| state == State::Plain || "$`\"\\".contains(*next);
        if is_value && in_quotes && means_something(c, state, rest.peek().copied()) {
            return true;
        }
        state = match (state, c) {
            (_, VARIABLES) => {
                in_quotes = state != State::Plain;
                state
            }
            (State::Plain | State::Double, '\\') if rest.peek().is_some_and(escapes) => {
                rest.next();
                marks.next_if_eq(&VALUE);
                marks.next();
                state
            }
            (State::Plain, '\'') => State::Single,
            (State::Plain, '"') => State::Double,
            (State::Single, '\'') | (State::Double, '"') => State::Plain,
            _ => state,
        };
    }
    false
}

fn means_something(c: char, state: State, next: Option<char>) -> bool {
    match state {
        State::Plain => !(c.is_alphanumeric() || "/._-+,:@%=".contains(c)),
        State::Single => c == '\'',
        State::Double => {
            "$`\"".contains(c) || (c == '\\' && next.is_some_and(|next| "$`\"\\".contains(next)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaks(command: &str, value: &str) -> bool {
        let format = VariableFormat::parse("%s='%s' ").unwrap();
        let marked = format!("{VARIABLES}{}", format.write_marked("A", value, VALUE));
        let text = rendered(command, &Scope::for_tests(), marked).unwrap();
        breaks_quotes(&text)
    }

    #[test]
    fn a_value_is_safe_unless_it_ends_the_quotes_that_the_template_put_around_it() {
        let (plain, blank, quote, dollar) = ("curl", "curl git", "it's", "a$b");
        for (command, broken) in [
            ("chmod +x {{.Path}}; {{.Vars}} {{.Path}}", vec![]),
            ("sudo env {{ .Vars }} sh '{{.Path}}'", vec![]),
            ("echo 'pw' | sudo -S env {{ .Vars }} {{ .Path }}", vec![]),
            ("sudo -S sh -c '{{ .Vars }} {{ .Path }}'", vec![blank, quote, dollar]),
            ("sudo -S sh -c \"{{ .Vars }} {{ .Path }}\"", vec![quote, dollar]),
            ("sudo -S sh -c \\'{{ .Vars }}", vec![]),
        ] {
            for value in [plain, blank, quote, dollar, "C:\\dir", ""] {
                let expected =
                    broken.contains(&value) || (value == "C:\\dir" && command.contains("c '{{"));
                assert_eq!(breaks(command, value), expected, "{command} with {value}");
            }
        }
    }
}
