//! Arguments → [`Invocation`]: the flag syntax that users of Packer have in their scripts,
//! on top of clap.
//!
//! `-x`, `--x`, `-x=v` and `-x v` are the same; a flag that is on or off takes its value only with
//! `=`. Each argument is rewritten to the one form that clap reads.

use std::ffi::{OsStr, OsString};

use clap::builder::BoolishValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

#[cfg(feature = "aws")]
use super::channel;
use super::completion::install::Task;
use super::completion::{self, candidates};
use super::{
    Exit, build, cleanup, console, explain, fix, fmt, hcl2_upgrade, help, history, iam_policy,
    init, inspect, plugins, reap, report, test, validate, verify_attestation,
};
use crate::diagnostic::did_you_mean;

/// What the program was asked to do.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// `-machine-readable`, anywhere.
    pub machine_readable: bool,
    /// The command and its arguments.
    pub command: Command,
}

/// Why there is nothing to run: help that was asked for, or arguments that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What to print.
    pub text: String,
    /// How to end.
    pub exit: Exit,
}

/// Bakes machine images from Packer templates.
#[derive(Parser)]
#[command(name = "imgbake", disable_version_flag = true, disable_help_subcommand = true)]
#[command(args_override_self = true)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

/// The commands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Builds images from a template.
    Build(Box<build::Arguments>),
    /// Tests an image that is there, as its template says.
    Test(Box<test::Arguments>),
    /// Says everything that is wrong with a template, and starts nothing.
    Validate(Box<validate::Arguments>),
    /// Removes what runs that died have left in the cloud.
    Cleanup(Box<cleanup::Arguments>),
    /// Removes what is left of runs anywhere in the cloud, whatever became of their journals.
    Reap(Box<reap::Arguments>),
    /// Writes AMIs to a channel, where the users of an image find them.
    #[cfg(feature = "aws")]
    Publish(Box<channel::Publish>),
    /// Writes the AMIs of one channel to another, if they have passed their tests.
    #[cfg(feature = "aws")]
    Promote(Box<channel::Promote>),
    /// Writes to a channel what it said before.
    #[cfg(feature = "aws")]
    Rollback(Box<channel::Rollback>),
    /// Shows the channels of an image, and what they said.
    #[cfg(feature = "aws")]
    Channels(Box<channel::List>),
    /// Deregisters old AMIs of an image that nobody uses.
    #[cfg(feature = "aws")]
    Retire(Box<channel::Retire>),
    /// Prints the IAM policy that the builds of a template need.
    IamPolicy(Box<iam_policy::Arguments>),
    /// Says whether an attestation of `provenance` holds: who signed it, and what it says.
    VerifyAttestation(Box<verify_attestation::Arguments>),
    /// Rewrites what an old legacy template has in an old form.
    Fix(Box<fix::Arguments>),
    /// Writes a legacy template as an HCL2 file.
    #[command(name = "hcl2_upgrade")]
    Hcl2Upgrade(Box<hcl2_upgrade::Arguments>),
    /// Shows what has been baked from a template, and what has changed in between.
    History(Box<history::Arguments>),
    /// Makes a page of what a run has said: one HTML file.
    Report(Box<report::Arguments>),
    /// Shows what a template consists of.
    Inspect(Box<inspect::Arguments>),
    /// Says what a diagnostic's code, a component, an option or a function is.
    Explain(Box<explain::Arguments>),
    /// Brings HCL2 files into canonical style.
    Fmt(Box<fmt::Arguments>),
    /// Evaluates expressions with the variables and locals of a template.
    Console(Box<console::Arguments>),
    /// Installs the plugins that a template requires and that are not built in.
    Init(Box<init::Arguments>),
    /// Installs, lists and removes plugins.
    Plugins(Box<plugins::Arguments>),
    /// Prints a script that has a shell complete what is typed.
    Completion(Box<completion::Arguments>),
    /// Shows the version.
    Version,
    /// What the scripts of `completion` ask.
    #[command(name = "__complete", hide = true)]
    Complete(Box<candidates::Arguments>),
    /// `-autocomplete-install`, `-autocomplete-uninstall`.
    #[command(skip)]
    Autocomplete(Task),
}

/// Flags of Packer that are not built yet.
const NOT_BUILT_FLAGS: &[&str] = &[
    "bundle",
    "keyless-identity",
    "keyless-oidc-issuer",
    "require-rekor",
    "require-timestamp",
    "skip-enforcement",
    "trusted-root-path",
    "use-sequential-evaluation",
];

/// Reads the arguments (without the program's own name).
pub fn parse(mut args: Vec<OsString>) -> Result<Invocation, Refusal> {
    let before = args.len();
    args.retain(|arg| arg != "-machine-readable");
    let machine_readable = args.len() < before;
    let at = args.iter().position(|arg| !is_flag(arg)).unwrap_or(args.len());
    let asks = |names: &[&str]| args[..at].iter().any(|arg| names.iter().any(|name| arg == name));
    if asks(&["-v", "-version", "--version"]) {
        return Ok(Invocation { machine_readable, command: Command::Version });
    }
    for (flag, task) in [("install", Task::Install), ("uninstall", Task::Uninstall)] {
        if asks(&[&format!("-autocomplete-{flag}"), &format!("--autocomplete-{flag}")]) {
            return Ok(Invocation { machine_readable, command: Command::Autocomplete(task) });
        }
    }
    let mut program = program();
    if asks(&["-h", "-help", "--help"]) {
        return Err(help_for(&program, None));
    }
    let Some(name) = args.get(at).map(|name| name.to_string_lossy().into_owned()) else {
        return Err(no_command(&program, None));
    };
    if name == "help" {
        let about = args.get(at + 1).map(|name| name.to_string_lossy().into_owned());
        return Err(help_for(&program, about.as_deref()));
    }
    if program.find_subcommand(&name).is_none() {
        return Err(no_command(&program, Some(&name)));
    }
    let rest = match program.find_subcommand(&name) {
        Some(command) => rewrite(&args[at + 1..], command),
        None => args[at + 1..].to_vec(),
    };
    let line = ["imgbake".into(), name.clone().into()].into_iter().chain(rest);
    program
        .try_get_matches_from_mut(line)
        .and_then(|matches| Program::from_arg_matches(&matches))
        .map(|program| Invocation { machine_readable, command: program.command })
        .map_err(|error| refuse(&program, &name, &error))
}

/// The commands as clap knows them, with flags that behave as in Go.
pub(super) fn program() -> clap::Command {
    Program::command().mut_subcommands(with_go_flags)
}

/// `command`, and those that it has, with flags that behave as in Go.
fn with_go_flags(command: clap::Command) -> clap::Command {
    command.mut_subcommands(with_go_flags).args_override_self(true).mut_args(|arg| {
        match arg.get_action() {
            ArgAction::SetTrue => on_or_off(arg),
            _ => arg,
        }
    })
}

/// A flag that may be given as `-x`, `-x=true` and `-x=false`.
fn on_or_off(arg: Arg) -> Arg {
    let arg = match arg.get_default_values() {
        [] => arg.default_value("false").hide_default_value(true),
        _ => arg,
    };
    arg.action(ArgAction::Set)
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("true")
        .value_parser(BoolishValueParser::new())
        .value_name("BOOL")
        .hide_possible_values(true)
}

/// Whether a flag is on or off, and takes its value only with `=`.
pub(super) fn is_bool(arg: &Arg) -> bool {
    arg.is_require_equals_set()
}

fn is_flag(arg: &OsStr) -> bool {
    arg.len() > 1 && arg.as_encoded_bytes().starts_with(b"-")
}

/// [`normalise`]s the arguments of `command`, or those behind the name of a command that it has.
fn rewrite(args: &[OsString], command: &clap::Command) -> Vec<OsString> {
    let inner = args
        .split_first()
        .and_then(|(name, rest)| Some((name, rest, command.find_subcommand(name)?)));
    match inner {
        Some((name, rest, inner)) => {
            [name.clone()].into_iter().chain(rewrite(rest, inner)).collect()
        }
        None => normalise(args, command),
    }
}

/// Rewrites the arguments of `command` to `--name` and `--name=value`. Flags end before the first
/// argument that is none.
fn normalise(args: &[OsString], command: &clap::Command) -> Vec<OsString> {
    let mut rewritten = Vec::with_capacity(args.len() + 1);
    let mut args = args.iter().peekable();
    while let Some(arg) = args.next_if(|arg| is_flag(arg) && *arg != "--") {
        let mut flag = OsString::from("--");
        let name = without_dashes(arg);
        flag.push(if name == "h" { "help" } else { name });
        if takes_next(command, name)
            && let Some(value) = args.next()
        {
            flag.push("=");
            flag.push(value);
        }
        rewritten.push(flag);
    }
    if args.peek().is_some_and(|arg| *arg != "--") {
        rewritten.push("--".into());
    }
    rewritten.extend(args.cloned());
    rewritten
}

/// `-x=1` and `--x=1` → `x=1`. A flag that is no text is none that we have.
fn without_dashes(flag: &OsStr) -> &str {
    flag.to_str().unwrap_or_default().trim_start_matches('-')
}

/// Whether the value of the flag `text` is the next argument.
fn takes_next(command: &clap::Command, text: &str) -> bool {
    command
        .get_arguments()
        .find(|arg| arg.get_long() == Some(text))
        .is_some_and(|arg| arg.get_action().takes_values() && !is_bool(arg))
}

/// The list of commands, because `name` is none of them.
fn no_command(program: &clap::Command, name: Option<&str>) -> Refusal {
    let list = help::of_program(program);
    let Some(name) = name else {
        return Refusal { text: list, exit: Exit::NoCommand };
    };
    let names = program.get_subcommands().map(clap::Command::get_name);
    let hint = suggestion(did_you_mean(name, names));
    let text = format!("Error: there is no command `{name}`{hint}\n\n{list}");
    Refusal { text, exit: Exit::NoCommand }
}

fn suggestion(meant: Option<&str>) -> String {
    meant.map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default()
}

/// What clap found wrong, in words, followed by the command's help.
fn refuse(program: &clap::Command, name: &str, error: &clap::Error) -> Refusal {
    if matches!(error.kind(), ErrorKind::DisplayHelp) {
        return help_for(program, Some(name));
    }
    let help = help_for(program, Some(name)).text;
    let found = match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::UnknownArgument, Some(ContextValue::String(flag))) if flag.starts_with('-') => {
            unknown_flag(program, name, flag.trim_start_matches('-'))
        }
        _ => reason(error),
    };
    Refusal { text: format!("Error: {found}\n\n{help}"), exit: Exit::Failure }
}

/// The help of the command `name`, or of all.
fn help_for(program: &clap::Command, name: Option<&str>) -> Refusal {
    let text = match name.and_then(|name| program.find_subcommand(name)) {
        Some(command) => help::of_command(command),
        None => help::of_program(program),
    };
    Refusal { text, exit: Exit::Success }
}

fn unknown_flag(program: &clap::Command, name: &str, flag: &str) -> String {
    let flag = flag.split('=').next().unwrap_or(flag);
    if NOT_BUILT_FLAGS.contains(&flag) {
        return format!("the flag `-{flag}` is not built yet");
    }
    let command = program.find_subcommand(name).into_iter();
    let known: Vec<&str> =
        command.flat_map(clap::Command::get_arguments).filter_map(Arg::get_long).collect();
    if known.contains(&flag) {
        return format!("the flag `-{flag}` must stand before the template");
    }
    let meant = did_you_mean(flag, known).map(|meant| format!("-{meant}"));
    format!("`{name}` has no flag `-{flag}`{}", suggestion(meant.as_deref()))
}

/// The first line of clap's own message.
fn reason(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let lines: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).collect();
    lines.join("\n").trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Invocation, Refusal> {
        parse(line.split_whitespace().map(OsString::from).collect())
    }

    fn build(line: &str) -> build::Arguments {
        match read(line).unwrap().command {
            Command::Build(arguments) => *arguments,
            other => panic!("{other:?}"),
        }
    }

    /// The exit code and the first line.
    fn refused(line: &str) -> (Exit, String) {
        let refusal = read(line).unwrap_err();
        (refusal.exit, refusal.text.lines().next().unwrap_or_default().to_owned())
    }

    #[test]
    fn flags_are_read_as_go_reads_them() {
        let build = build(
            "build -only=a,b --only c -var x=1=2 -var -y=2 -color=false -debug -on-error=abort \
             --parallel-builds 3 -force=true t.json",
        );
        assert_eq!(build.template.only, ["a", "b", "c"]);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(build.template.variables.var, [pair("x", "1=2"), pair("-y", "2")]);
        assert!(build.color == Some(false) && build.debug && build.force);
        assert_eq!(build.on_error, build::OnErrorFlag::Abort);
        assert_eq!(build.parallel_builds, 3);
        assert_eq!(build.template.template.to_str(), Some("t.json"));
    }

    #[test]
    fn the_later_of_two_flags_wins_and_colour_is_on() {
        assert_eq!(build("build t.json").color, None);
        assert_eq!(build("build -color t.json").color, Some(true));
        assert!(!build("build -force -force=false -color=true -color=0 t.json").force);
    }

    #[test]
    fn standard_input_is_no_flag() {
        assert_eq!(build("build -force -").template.template.to_str(), Some("-"));
    }

    #[test]
    fn machine_readable_stands_anywhere() {
        assert!(read("-machine-readable version").unwrap().machine_readable);
        assert!(read("build t.json -machine-readable").unwrap().machine_readable);
        assert!(!read("version").unwrap().machine_readable);
    }

    #[test]
    fn the_version_is_shown_whatever_follows() {
        for line in ["-v", "--version build nonsense", "version"] {
            assert!(matches!(read(line).unwrap().command, Command::Version), "{line}");
        }
    }

    #[test]
    fn help_is_no_failure() {
        for line in ["-h", "--help", "help", "build -h", "validate --help", "help build"] {
            assert_eq!(refused(line).0, Exit::Success, "{line}");
        }
    }

    #[test]
    fn what_is_no_command_ends_with_the_list_of_commands() {
        assert_eq!(read("").unwrap_err().exit, Exit::NoCommand);
        assert!(read("").unwrap_err().text.contains("validate"));
        let text = "Error: there is no command `bild`; did you mean `build`?".to_owned();
        assert_eq!(refused("bild t.json"), (Exit::NoCommand, text));
    }

    #[test]
    fn bad_flags_are_named_in_the_users_words() {
        let cases = [
            ("build -onyl=a t.json", "`build` has no flag `-onyl`; did you mean `-only`?"),
            ("build -frobnicate t.json", "`build` has no flag `-frobnicate`"),
            ("build -skip-enforcement t.json", "the flag `-skip-enforcement` is not built yet"),
            (
                "validate a.json -syntax-only",
                "the flag `-syntax-only` must stand before the template",
            ),
        ];
        for (line, text) in cases {
            assert_eq!(refused(line), (Exit::Failure, format!("Error: {text}")), "{line}");
        }
        for line in
            ["build", "build a.json b.json", "build -on-error=maybe a.json", "build -var x a"]
        {
            assert_eq!(refused(line).0, Exit::Failure, "{line}");
        }
    }
}
