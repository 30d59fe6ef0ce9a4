//! A variable that nothing uses.

use super::uses::Uses;
use super::{Rule, Subject, finding};
use crate::diagnostic::{Diagnostic, code};

pub(super) const RULE: Rule = Rule::new(code::UNUSED_VARIABLE, check);

fn check(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let uses = Uses::of(subject.template);
    let unused =
        subject.template.variables.iter().filter(|variable| !uses.has("var", &variable.name.value));
    unused
        .map(|variable| {
            let name = &variable.name;
            finding(RULE.code, name.span, format!("nothing uses the variable `{}`", name.value))
                .because("declared here")
                .help("remove it, and the values that it is given")
        })
        .collect()
}
