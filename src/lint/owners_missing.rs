//! A filter for AMIs that takes those of anyone.

use super::{Rule, Subject, blocks, finding, given};
use crate::diagnostic::{Diagnostic, code};

pub(super) const RULE: Rule = Rule::new(code::OWNERS_MISSING, check);

fn check(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let filters =
        subject.plan.builds.iter().flat_map(|build| blocks(&build.options, "source_ami_filter"));
    filters
        .filter(|filter| given(filter, "owners").is_none())
        .map(|filter| {
            finding(RULE.code, filter.span, "`source_ami_filter` does not say whose AMIs it takes")
                .because("no `owners`")
                .note("anyone can publish an AMI with a name that matches")
                .help("set `owners` to the account that publishes the image, `amazon` or `self`")
        })
        .collect()
}
