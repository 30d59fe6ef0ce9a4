//! A wait of a fixed time, in the hope that the machine has booted by then.

use super::{Rule, Subject, finding, texts};
use crate::diagnostic::{Diagnostic, code};
use crate::plan::{PlannedBuild, PlannedProvisioner};
use crate::source::Span;

pub(super) const RULE: Rule = Rule::new(code::SLEEP_FOR_BOOT, check);

/// The file that cloud-init writes when it is done.
const BOOT_FINISHED: &str = "boot-finished";

fn check(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let first = |build| Some((first_wait(build)?, "too short on a slow day, too long on others"));
    let loops = |build| Some((loop_on_cloud_init(build)?, "waits forever if cloud-init fails"));
    let builds = &subject.plan.builds;
    builds
        .iter()
        .flat_map(|build| first(build).into_iter().chain(loops(build)))
        .map(report)
        .collect()
}

fn report((span, cause): (Span, &str)) -> Diagnostic {
    finding(RULE.code, span, "a sleep waits for the machine to finish booting")
        .because(cause)
        .help("wait for what is awaited: `cloud-init status --wait`, or `systemctl is-system-running --wait`")
}

/// The first thing that is done on the machine, if that is to sleep.
fn first_wait(build: &PlannedBuild) -> Option<Span> {
    let first = build.provisioners.first()?;
    match first.kind.as_str() {
        "sleep" => Some(first.span),
        "shell" => {
            let (command, span) = inline(first, build).into_iter().next()?;
            let begins = command.trim_start().strip_prefix("sleep")?;
            begins.starts_with(char::is_whitespace).then_some(span)
        }
        _ => None,
    }
}

/// A loop that sleeps until cloud-init's mark is there.
fn loop_on_cloud_init(build: &PlannedBuild) -> Option<Span> {
    let commands = build.provisioners.iter().flat_map(|provisioner| inline(provisioner, build));
    let waits = |text: &str| text.contains(BOOT_FINISHED) && text.contains("sleep");
    commands.into_iter().find(|(command, _)| waits(command)).map(|(_, span)| span)
}

fn inline(provisioner: &PlannedProvisioner, build: &PlannedBuild) -> Vec<(String, Span)> {
    provisioner.options.get("inline").map(|entry| texts(&entry.value, build)).unwrap_or_default()
}
