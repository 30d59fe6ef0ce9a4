//! `-help`: one style for all commands, made from what is declared of them.

use std::fmt::Write as _;

use clap::Arg;

use super::arguments::is_bool;

/// Columns of a help text.
const WIDTH: usize = 80;

/// The widest a term may be to have its explanation on the same line.
const TERM: usize = 20;

/// The commands, and what may stand before them.
pub fn of_program(program: &clap::Command) -> String {
    let mut text = "Usage: imgbake COMMAND [flags] [arguments]\n\n".to_owned();
    text += &paragraph(&sentence(program.get_about()));
    commands(&mut text, program);
    text += "\nFlags before the command:\n";
    entry(&mut text, "-autocomplete-install", "Has the shells complete what is typed.");
    entry(&mut text, "-autocomplete-uninstall", "Takes that back.");
    entry(&mut text, "-help", "Shows this; after a command, what that can do.");
    entry(&mut text, "-machine-readable", "Records for programs instead of text; stands anywhere.");
    entry(&mut text, "-version", "Shows the version.");
    text + "\nFlags may be written with one dash or two: -only=x, --only x.\n"
}

/// The commands that `command` has, if it has any.
fn commands(text: &mut String, command: &clap::Command) {
    let inner: Vec<_> = command.get_subcommands().filter(|inner| !inner.is_hide_set()).collect();
    if !inner.is_empty() {
        *text += "\nCommands:\n";
    }
    for inner in inner {
        entry(text, inner.get_name(), &sentence(inner.get_about()));
    }
}

/// What one command can do.
pub fn of_command(command: &clap::Command) -> String {
    let shown = || command.get_arguments().filter(|arg| !arg.is_hide_set());
    let (operands, flags): (Vec<&Arg>, Vec<&Arg>) = shown().partition(|arg| arg.is_positional());
    let flags: Vec<&Arg> = flags.into_iter().filter(|arg| arg.get_long().is_some()).collect();
    let mut text = format!("Usage: imgbake {}", command.get_name());
    text += if command.has_subcommands() { " COMMAND [flags] [arguments]" } else { "" };
    text += if flags.is_empty() { "" } else { " [flags]" };
    for operand in &operands {
        let name = operand_name(operand);
        let _ = match operand.is_required_set() {
            true => write!(text, " {name}"),
            false => write!(text, " [{name}]"),
        };
    }
    text += "\n\n";
    text += &paragraph(&sentence(command.get_about()));
    for (title, args) in [("Arguments", operands), ("Flags", flags)] {
        if !args.is_empty() {
            let _ = write!(text, "\n{title}:\n");
            args.iter().for_each(|arg| argument(&mut text, arg));
        }
    }
    commands(&mut text, command);
    if let Some(more) = command.get_after_help() {
        text.push('\n');
        more.to_string().lines().for_each(|row| after(&mut text, row));
    }
    text
}

/// A row of what a command has to say beside its arguments: `  term  explanation`, or a sentence.
fn after(text: &mut String, row: &str) {
    match row.strip_prefix("  ").and_then(|row| row.split_once("  ")) {
        Some((term, explained)) => entry(text, term, explained),
        None => *text += &paragraph(row),
    }
}

/// `TEMPLATE`, `PATH...`
fn operand_name(operand: &Arg) -> String {
    let several = operand.get_num_args().is_some_and(|count| count.max_values() > 1);
    let name = operand.get_id().as_str().to_uppercase();
    if several { name + "..." } else { name }
}

/// A flag or an operand, with its default and with what its words mean.
fn argument(text: &mut String, arg: &Arg) {
    let term = match arg.get_long() {
        None => operand_name(arg),
        Some(long) if is_bool(arg) => format!("-{long}"),
        Some(long) => format!("-{long} {}", value_name(arg)),
    };
    let defaults = arg.get_default_values().iter().map(|value| value.to_string_lossy());
    let mut explained = sentence(arg.get_help());
    if let [default] = defaults.collect::<Vec<_>>().as_slice()
        && !arg.is_hide_default_value_set()
    {
        let _ = write!(explained, " Default: {default}.");
    }
    entry(text, &term, &explained);
    if !is_bool(arg) {
        for word in arg.get_possible_values() {
            let meaning = word.get_help().map(|help| sentence(Some(help))).unwrap_or_default();
            line(text, "", &format!("{}: {meaning}", word.get_name()), 2);
        }
    }
}

fn value_name(arg: &Arg) -> String {
    let given = arg.get_value_names().and_then(|names| names.first());
    match given {
        Some(name) if arg.get_possible_values().is_empty() => name.to_string(),
        _ => "WORD".to_owned(),
    }
}

/// A term and its explanation, beside each other or, if the term is wide, below each other.
fn entry(text: &mut String, term: &str, explained: &str) {
    if term.chars().count() <= TERM {
        return line(text, term, explained, 0);
    }
    let _ = writeln!(text, "  {term}");
    line(text, "", explained, 0);
}

/// `explained` in the right column, `indented` further there.
fn line(text: &mut String, term: &str, explained: &str, indented: usize) {
    let left = TERM + 4;
    let mut first = format!("  {term:TERM$}  ");
    first += &" ".repeat(indented);
    for row in wrapped(explained, WIDTH - left - indented) {
        let row = format!("{first}{row}");
        let _ = writeln!(text, "{}", row.trim_end());
        first = " ".repeat(left + indented);
    }
}

fn paragraph(text: &str) -> String {
    wrapped(text, WIDTH).iter().map(|row| format!("{row}\n")).collect()
}

/// `text` in rows of so many columns; a longer word has a row of its own.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut rows: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match rows.last_mut() {
            Some(row) if row.chars().count() + 1 + word.chars().count() <= width => {
                row.push(' ');
                row.push_str(word);
            }
            _ => rows.push(word.to_owned()),
        }
    }
    rows
}

/// A declared help text; clap keeps it without its last full stop.
fn sentence(text: Option<&impl ToString>) -> String {
    let text = text.map(ToString::to_string).unwrap_or_default();
    if text.ends_with(['.', '!', '?']) || text.is_empty() { text } else { text + "." }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::arguments;

    #[test]
    #[cfg_attr(not(feature = "aws"), ignore = "it is about components of Amazon")]
    fn every_command_is_explained_in_one_style() {
        let program = arguments::program();
        insta::assert_snapshot!("imgbake", of_program(&program));
        for command in program.get_subcommands().filter(|command| !command.is_hide_set()) {
            insta::assert_snapshot!(command.get_name(), of_command(command));
        }
    }

    #[test]
    fn no_row_is_wider_than_a_terminal() {
        let program = arguments::program();
        let texts = program.get_subcommands().map(of_command).chain([of_program(&program)]);
        for text in texts {
            assert!(text.lines().all(|row| row.chars().count() <= WIDTH), "{text}");
        }
    }
}
