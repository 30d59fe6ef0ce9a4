//! A security group that lets the whole world in.

use super::{Rule, Subject, finding, texts};
use crate::diagnostic::{Diagnostic, code};

pub(super) const RULE: Rule = Rule::new(code::OPEN_INGRESS, check);

const OPTION: &str = "temporary_security_group_source_cidrs";

fn check(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for build in &subject.plan.builds {
        let Some(entry) = build.options.get(OPTION) else { continue };
        let cidrs = texts(&entry.value, build).into_iter();
        let open = cidrs.filter(|(cidr, _)| cidr.split(',').any(|one| one.trim().ends_with("/0")));
        found.extend(open.map(|(_, span)| {
            finding(RULE.code, span, "everyone may connect to the machine while it is built")
                .because("the whole internet")
                .help(format!(
                    "remove `{OPTION}`: then only this machine's own address is let in; or name \
                     the network that builds run in"
                ))
        }));
    }
    found
}
