//! The end of a run: what failed, what was made, what is left.

use super::words;
use crate::component::Artifact;
use crate::event::{Message, Ui};
use crate::fault::Fault;
use crate::run::{BuildOutcome, Outcome};
use crate::stop::Cause;

/// Says how the run ended.
pub fn show(outcome: &Outcome, ui: &Ui) {
    ui.say(format!("\n==> Wait completed after {}", words::duration(outcome.took)));
    match outcome.stopped {
        Some(_) if !outcome.left_behind.is_empty() => {}
        Some(Cause::Interrupted) => ui.say("Cleanly cancelled builds after being interrupted."),
        Some(Cause::TimeLimit) => ui.say("Cleanly cancelled builds at their time limit."),
        None => {}
    }
    errors(outcome, ui);
    artifacts(outcome, ui);
    left(outcome, ui);
}

fn errors(outcome: &Outcome, ui: &Ui) {
    let failed: Vec<_> = outcome
        .builds
        .iter()
        .filter_map(|build| Some((&build.name, build.error.as_ref()?, build.fault)))
        .map(|(name, error, fault)| (name, format!("{error:#}"), fault))
        .collect();
    if failed.is_empty() {
        return;
    }
    ui.send(Message::Record("error-count".into(), vec![failed.len().to_string()]));
    ui.error("\n==> Some builds didn't complete successfully and had errors:");
    for (name, error, fault) in failed {
        let target = ui.for_target(name.as_str());
        target.send(Message::Record("error".into(), vec![error.clone()]));
        ui.error(format!("--> {name}: {error}"));
        if let Some(fault) = fault {
            target.send(fault_record(fault));
            ui.error(format!("    {fault}"));
        }
    }
}

/// Whose fault an error is, for programs: the word, and whether trying again can help.
pub fn fault_record(fault: Fault) -> Message {
    Message::Record("fault".into(), vec![fault.kind.word().to_owned(), fault.can_retry.to_string()])
}

fn artifacts(outcome: &Outcome, ui: &Ui) {
    let (good, failed): (Vec<_>, Vec<_>) =
        outcome.builds.iter().partition(|build| build.error.is_none());
    if good.is_empty() {
        ui.say("\n==> Builds finished but no artifacts were created.");
    } else {
        ui.say("\n==> Builds finished. The artifacts of successful builds are:");
        good.into_iter().for_each(|build| of_build(build, ui));
    }
    let left: Vec<_> = failed.into_iter().filter(|build| !build.artifacts.is_empty()).collect();
    if !left.is_empty() {
        ui.say("\n==> Builds that failed leave these artifacts:");
        left.into_iter().for_each(|build| of_build(build, ui));
    }
}

fn of_build(build: &BuildOutcome, ui: &Ui) {
    let target = ui.for_target(build.name.as_str());
    // A build that made nothing has one artifact that is nothing.
    let count = build.artifacts.len().max(1);
    target.send(Message::Record("artifact-count".into(), vec![count.to_string()]));
    for (index, artifact) in build.artifacts.iter().enumerate() {
        records(index, &**artifact, &target);
        ui.say(format!("--> {}: {}", build.name, artifact.describe()));
    }
    if build.artifacts.is_empty() {
        record(&target, 0, ["nil".to_owned()]);
        record(&target, 0, ["end".to_owned()]);
        ui.say(format!("--> {}: <nothing>", build.name));
    }
}

fn records(index: usize, artifact: &dyn Artifact, target: &Ui) {
    let files = artifact.files();
    record(target, index, ["builder-id".to_owned(), artifact.builder_id().to_owned()]);
    record(target, index, ["id".to_owned(), artifact.id()]);
    record(target, index, ["string".to_owned(), artifact.describe()]);
    record(target, index, ["files-count".to_owned(), files.len().to_string()]);
    for (number, file) in files.iter().enumerate() {
        let path = file.display().to_string();
        record(target, index, ["file".to_owned(), number.to_string(), path]);
    }
    record(target, index, ["end".to_owned()]);
}

fn record(target: &Ui, index: usize, fields: impl IntoIterator<Item = String>) {
    let fields = std::iter::once(index.to_string()).chain(fields).collect();
    target.send(Message::Record("artifact".into(), fields));
}

/// What nobody removed, so that a person can.
pub fn left(outcome: &Outcome, ui: &Ui) {
    list(ui, "These could not be removed; remove them by hand:", &outcome.left_behind);
    list(ui, "Kept, so that the next run with -keep-failed goes on there:", &outcome.kept);
    list(ui, "These were left as they are, as -on-error asks:", &outcome.untouched);
}

/// Says `what` under a heading, unless there is nothing to say.
pub fn list(ui: &Ui, heading: &str, what: &[String]) {
    if !what.is_empty() {
        ui.error(format!("\n==> {heading}"));
        what.iter().for_each(|one| ui.error(format!("--> {one}")));
    }
}
