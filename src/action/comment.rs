//! The comment on the pull request that the run is about.

use std::fmt::Write as _;

use super::inputs::{Command, Comment};
use super::{Action, annotate, so_far};
use crate::cli::Exit;
use crate::diagnostic::Severity;
use crate::event::Ui;
use crate::github::comments::{LONGEST_COMMENT, Note, Posted, post};
use crate::report::github::record::RunRecord;
use crate::report::github::summary::{About, summary};

/// What the marker and the last line need.
const MARGIN: usize = 2048;

/// Comments, where there is a pull request and something to say; a comment that cannot be written
/// fails nothing.
pub(super) fn write(action: &Action, ui: &Ui, exit: Exit, about: &About) {
    let inputs = &action.inputs;
    let says = matches!(inputs.command, Command::Build | Command::Merge | Command::Validate);
    let record = so_far(&action.record);
    // A dry run makes nothing.
    let says = says && (!inputs.dry_run || !record.annotations.is_empty());
    // An interrupted run has no time for this.
    if inputs.comment == Comment::Never || !says || exit == Exit::Interrupted {
        return;
    }
    let (Some(number), Some(token)) = (action.context.pull_request(), &inputs.github_token) else {
        return;
    };
    let note = note(action, exit, about, &record);
    let posted = action.ask_github(post(&action.context, token, number, &note));
    match posted {
        Ok(Posted::Created(url)) => ui.say(format!("Commented: {url}")),
        Ok(Posted::Updated(url)) => ui.say(format!("Updated the comment: {url}")),
        Ok(Posted::NoNews) => ui.say("The comment on the pull request says so already."),
        Ok(Posted::NotWorthOne) => {}
        Ok(Posted::Outdated) => ui.say("A later run has commented already."),
        Ok(Posted::NotAllowed) => warn(ui, &not_allowed(action)),
        Err(error) => warn(ui, &format!("the pull request got no comment: {error:#}")),
    }
}

fn warn(ui: &Ui, why: &str) {
    let text = format!("{why}; the summary of the step says the same");
    annotate(ui, Severity::Warning, "no comment", text);
}

/// What identifies the comment: a later run of the same job with the same command, templates and
/// selection updates it.
pub(super) fn key(action: &Action) -> String {
    let Action { context, inputs, .. } = action;
    format!(
        "{}\n{}\n{}\n{:?}\n{:?}\n{:?}",
        context.workflow, context.job, inputs.command, inputs.templates, inputs.only, inputs.except
    )
}

pub(super) fn not_allowed(action: &Action) -> String {
    match action.context.fork() {
        Some(fork) => {
            format!("a run for a pull request from the fork {fork} may not comment")
        }
        None => {
            "the token may not comment: give the job `pull-requests: write`, or `comment: never`"
                .to_owned()
        }
    }
}

fn note(action: &Action, exit: Exit, about: &About, record: &RunRecord) -> Note {
    let context = &action.context;
    let inputs = &action.inputs;
    let about = About { brief: true, ..about.clone() };
    let room = LONGEST_COMMENT - MARGIN;
    let text = summary(record, &about, jiff::Timestamp::now(), room);
    let url = context.run_url();
    // What the run has checked out may be a merge that nobody has seen.
    let sha = context.head().unwrap_or(&context.sha);
    let sha = sha.get(..7).unwrap_or(sha);
    let text = format!("{text}\n<sub>[The run]({url}) of {sha} has the rest.</sub>\n");
    let found = !record.annotations.is_empty();
    Note {
        key: key(action),
        text: action.session.redactor.clean(text),
        news: news(record, exit),
        always: inputs.comment == Comment::Always,
        worth_a_first: found || inputs.command != Command::Validate,
    }
}

/// What a reader would call news: how the builds ended and what they made, and what was found.
fn news(record: &RunRecord, exit: Exit) -> String {
    let mut news = format!("{exit:?}\n");
    for (name, build) in &record.builds {
        let end = build.finished.as_ref();
        let error = end.and_then(|end| end.error.as_deref());
        let ids: Vec<_> =
            end.into_iter().flat_map(|end| &end.products).map(|one| &one.id).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(news, "{name} {error:?} {ids:?}");
    }
    for one in &record.annotations {
        let _ = writeln!(news, "{:?} {:?} {}", one.severity, one.place, one.text);
    }
    news
}
