//! A wait of a fixed time, in the hope that the machine has booted by then. Loops that wait for
//! cloud-init are found where commands are checked.

use super::{Rule, Subject, finding};
use crate::diagnostic::{Diagnostic, code};
use crate::script::{WAIT_FOR_WHAT, WAITS_FOR_BOOT};

pub(super) const RULE: Rule = Rule::new(code::SLEEP_FOR_BOOT, check);

/// The first thing that is done on a machine, if that is to wait.
fn check(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let first = subject.plan.builds.iter().filter_map(|build| build.provisioners.first());
    let waits = first.filter_map(|provisioner| provisioner.waits_first);
    let report = |span| {
        finding(RULE.code, span, WAITS_FOR_BOOT)
            .because("too short on a slow day, too long on others")
            .help(WAIT_FOR_WHAT)
    };
    waits.map(report).collect()
}
