//! A filter that fails as soon as a second AMI matches it.

use super::{Rule, Subject, blocks, finding, given};
use crate::config::Node;
use crate::diagnostic::{Diagnostic, code};

pub(super) const RULE: Rule = Rule::new(code::MOST_RECENT_MISSING, check);

fn check(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let filters = subject
        .plan
        .builds
        .iter()
        .filter(|build| given(&build.options, "source_ami").is_none())
        .flat_map(|build| blocks(&build.options, "source_ami_filter"));
    filters.filter(|filter| !is_exact(filter)).map(report).collect()
}

/// Whether it says what is to happen with several, or cannot match several.
fn is_exact(filter: &Node) -> bool {
    let by_id =
        given(filter, "filters").is_some_and(|filters| given(&filters.value, "image-id").is_some());
    by_id || given(filter, "most_recent").is_some()
}

fn report(filter: &Node) -> Diagnostic {
    finding(
        RULE.code,
        filter.span,
        "`source_ami_filter` does not say which of several AMIs it takes",
    )
    .because("no `most_recent`")
    .note("the build fails on the day when a second AMI matches")
    .help("set `most_recent = true`, or `false` if there must be only one")
}
