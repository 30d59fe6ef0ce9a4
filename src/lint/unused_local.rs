//! A local that nothing uses.

use super::uses::Uses;
use super::{Rule, Subject, finding};
use crate::diagnostic::{Diagnostic, code};

pub(super) const RULE: Rule = Rule::new(code::UNUSED_LOCAL, check);

fn check(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let uses = Uses::of(subject.template);
    let unused =
        subject.template.locals.iter().filter(|local| !uses.has("local", &local.name.value));
    unused
        .map(|local| {
            let name = &local.name;
            finding(RULE.code, name.span, format!("nothing uses the local `{}`", name.value))
                .because("defined here")
                .help("remove it")
        })
        .collect()
}
