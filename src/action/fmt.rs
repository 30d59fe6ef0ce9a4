//! `command: fmt`: files in canonical style; a dry run says beside each line how it should be, and
//! suggests that to the author of a pull request.

use super::inputs::Comment;
use super::{Action, annotate};
use crate::cli::Exit;
use crate::cli::fmt::{self, Edit, Unformatted};
use crate::diagnostic::Severity;
use crate::event::{Annotation, Message, Ui};
use crate::github::reviews::{Suggestion, suggest};
use crate::report::github::in_repository;
use crate::source::{Place, Position, SourceMap};

pub(super) fn run(action: &Action, ui: &Ui) -> Exit {
    let is_dry = action.inputs.dry_run;
    let arguments = fmt::Arguments {
        check: is_dry,
        diff: true,
        recursive: true,
        write: !is_dry,
        path: action.inputs.templates.clone(),
        reach: action.session.environment.reach.clone(),
    };
    let mut sources = SourceMap::default();
    let (found, files) = fmt::format_all(ui, &arguments, &mut sources);
    let is_good = action.findings(ui, &found, &sources);
    if is_dry {
        let edits: Vec<_> = files.iter().flat_map(edits).collect();
        edits.iter().for_each(|(file, edit)| remark(ui, file, edit));
        propose(action, ui, edits);
    }
    match files.len() {
        _ if !is_good => Exit::Failure,
        count if is_dry && count > 0 => {
            let what = if count == 1 { "1 file is" } else { &format!("{count} files are") };
            let why = format!("{what} not in canonical style; `fmt` without `dry-run` writes them");
            annotate(ui, Severity::Error, "fmt", why);
            Exit::WouldFormat
        }
        _ => Exit::Success,
    }
}

/// The edits of a file, each with its name.
fn edits(file: &Unformatted) -> impl Iterator<Item = (String, Edit)> {
    let name = file.path.display().to_string();
    file.edits().into_iter().map(move |edit| (name.clone(), edit))
}

fn remark(ui: &Ui, file: &str, edit: &Edit) {
    let last = edit.lines.last().map_or(0, |line| line.chars().count());
    let start = Position { line: edit.first, column: 1 };
    let end = Position { line: edit.first + edit.lines.len() - 1, column: last + 1 };
    let place = Place { file: file.to_owned(), position: start };
    let better: String = edit.better.iter().map(|line| format!("\n`{line}`")).collect();
    let text = match better.is_empty() {
        true => "in canonical style, this is not there".to_owned(),
        false => format!("in canonical style, this is{better}"),
    };
    ui.send(Message::Annotation(Annotation {
        severity: Severity::Warning,
        place: Some((place, end)),
        title: "fmt".to_owned(),
        text,
        fault: None,
    }));
}

/// Suggests the edits where the lines are part of a pull request.
fn propose(action: &Action, ui: &Ui, edits: Vec<(String, Edit)>) {
    let Action { inputs, context, session, .. } = action;
    let (Some(number), Some(token)) = (context.pull_request(), &inputs.github_token) else {
        return;
    };
    if edits.is_empty() || inputs.comment == Comment::Never {
        return;
    }
    let root = context.in_repository(&session.environment.cwd);
    let suggestions: Vec<_> = edits
        .into_iter()
        .map(|(file, Edit { first, lines, better })| Suggestion {
            path: in_repository(root, &file),
            first,
            lines,
            better,
        })
        // With a mask in it, it would be a wrong one.
        .filter(|one| !one.better.iter().any(|line| session.redactor.redact(line) != *line))
        .collect();
    match action.ask_github(suggest(context, token, number, &suggestions)) {
        Ok(Some(0)) => {}
        Ok(Some(count)) => ui.say(format!("Suggested {count} of {}.", suggestions.len())),
        Ok(None) => {
            let why = format!("no suggestions: {}", super::comment::not_allowed(action));
            annotate(ui, Severity::Warning, "no suggestions", why);
        }
        Err(error) => annotate(ui, Severity::Warning, "no suggestions", format!("{error:#}")),
    }
}
