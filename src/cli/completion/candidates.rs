//! What a word of the command line can become.

use clap::{Arg, Args};

use crate::cli::arguments::{self, is_bool};
use crate::cli::{Exit, Session};
use crate::event::{Message, Ui};
use crate::explain::{self, Known};

/// `imgbake __complete -- WORD...`, as the scripts call it.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The words behind `imgbake`; the last one is to be completed.
    pub words: Vec<String>,
}

/// One word, and what it means.
type Candidate = (String, String);

pub(in crate::cli) fn run(session: &Session, ui: &Ui, arguments: &Arguments) -> Exit {
    let words: Vec<&str> = arguments.words.iter().map(String::as_str).collect();
    let Session { registry, environment, .. } = session;
    let lines: String = of(&arguments::program(), Known { registry, environment }, &words)
        .into_iter()
        .map(|(word, meaning)| format!("{word}\t{meaning}\n"))
        .collect();
    ui.send(Message::Text(lines));
    Exit::Success
}

/// What the last of `words` can become; nothing where only a file name can stand.
fn of(program: &clap::Command, known: Known<'_>, words: &[&str]) -> Vec<Candidate> {
    let Some((word, before)) = words.split_last() else { return Vec::new() };
    let Some((name, before)) = before.split_first() else {
        return beginning_with(word, commands(program));
    };
    let Some(command) = program.find_subcommand(name) else { return Vec::new() };
    let mut before = before.iter();
    while let Some(flag) = before.next() {
        if !is_flag(flag) {
            // Flags stand before the first argument that is none.
            return Vec::new();
        }
        let takes_next = argument(command, flag).filter(|arg| !is_bool(arg));
        if let Some(arg) = takes_next
            && before.next().is_none()
        {
            return beginning_with(word, values(arg));
        }
    }
    if let Some((flag, _)) = word.split_once('=') {
        let values = argument(command, flag).map(values).unwrap_or_default();
        let whole = values.into_iter().map(|(value, meaning)| (format!("{flag}={value}"), meaning));
        return beginning_with(word, whole.collect());
    }
    if word.starts_with('-') {
        return beginning_with(word, flags(command, word.starts_with("--")));
    }
    if *name == "explain" {
        let topics = explain::topics(word, known).into_iter();
        return beginning_with(word, topics.map(|topic| (topic.name, topic.title)).collect());
    }
    let operand = command.get_positionals().next();
    beginning_with(word, operand.map(values).unwrap_or_default())
}

fn is_flag(word: &str) -> bool {
    word.len() > 1 && word.starts_with('-')
}

fn argument<'a>(command: &'a clap::Command, flag: &str) -> Option<&'a Arg> {
    let name = flag.trim_start_matches('-');
    command.get_arguments().find(|arg| arg.get_long() == Some(name))
}

fn commands(program: &clap::Command) -> Vec<Candidate> {
    let shown = program.get_subcommands().filter(|command| !command.is_hide_set());
    shown.map(|command| (command.get_name().to_owned(), text(command.get_about()))).collect()
}

fn flags(command: &clap::Command, two_dashes: bool) -> Vec<Candidate> {
    let dashes = if two_dashes { "--" } else { "-" };
    let named = command.get_arguments().filter_map(|arg| Some((arg.get_long()?, arg)));
    named.map(|(long, arg)| (format!("{dashes}{long}"), text(arg.get_help()))).collect()
}

fn values(arg: &Arg) -> Vec<Candidate> {
    if is_bool(arg) {
        return ["true", "false"].map(|word| (word.to_owned(), String::new())).into();
    }
    let values = arg.get_possible_values().into_iter();
    values.map(|value| (value.get_name().to_owned(), text(value.get_help()))).collect()
}

fn text(help: Option<&impl ToString>) -> String {
    help.map(ToString::to_string).unwrap_or_default().replace(['\n', '\t'], " ")
}

fn beginning_with(start: &str, candidates: Vec<Candidate>) -> Vec<Candidate> {
    candidates.into_iter().filter(|(word, _)| word.starts_with(start)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use jiff::Timestamp;

    use super::*;
    use crate::env::Environment;
    use crate::registry::Registry;

    fn words(line: &str) -> Vec<String> {
        let words: Vec<&str> = line.split(' ').collect();
        let environment = Environment::new(BTreeMap::new(), "/".into(), Timestamp::UNIX_EPOCH);
        let (registry, environment) = (&Registry::built_in(), &Arc::new(environment));
        let known = Known { registry, environment };
        of(&arguments::program(), known, &words).into_iter().map(|(word, _)| word).collect()
    }

    #[test]
    #[cfg_attr(not(feature = "aws"), ignore = "it is about components of Amazon")]
    fn commands_flags_and_values_are_offered_as_they_are_typed() {
        assert_eq!(words("val"), ["validate"]);
        assert_eq!(words("fmt -"), ["-check", "-diff", "-recursive", "-write"]);
        assert_eq!(words("build --on"), ["--on-error", "--only"]);
        assert_eq!(words("build -on-error c"), ["cleanup"]);
        assert_eq!(words("build -on-error=a"), ["-on-error=abort", "-on-error=ask"]);
        assert_eq!(words("build -var x=1 -force -debu"), ["-debug"]);
        assert_eq!(words("fmt -check=f"), ["-check=false"]);
        assert_eq!(words("completion "), ["bash", "zsh", "fish"]);
        assert_eq!(
            words("explain amazon-e"),
            ["amazon-ebs", "amazon-ebssurrogate", "amazon-ebsvolume"]
        );
        assert_eq!(words("explain sleep.d"), ["sleep.duration"]);
        assert_eq!(words("explain L10").len(), 9);
    }

    #[test]
    fn nothing_is_offered_where_a_file_stands() {
        for line in ["build ", "build -var-file ", "build t.json -o", "nonsense -"] {
            assert_eq!(words(line), [""; 0], "{line}");
        }
    }
}
