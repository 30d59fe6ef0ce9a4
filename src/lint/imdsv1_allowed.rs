//! A machine that gives its credentials to any request (IMDSv1).

use super::{Rule, Subject, blocks, finding, text_of};
use crate::diagnostic::{Diagnostic, code};
use crate::plan::PlannedBuild;

pub(super) const RULE: Rule = Rule::new(code::IMDSV1_ALLOWED, check);

fn check(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let builds = subject.plan.builds.iter();
    builds.filter(|build| build.facts.builder_type == "amazon-ebs").filter_map(report).collect()
}

/// imgbake asks for tokens unless the template says otherwise.
fn report(build: &PlannedBuild) -> Option<Diagnostic> {
    let options = blocks(&build.options, "metadata_options").into_iter().next()?;
    let is = |name: &str, value| text_of(options, name, build).as_deref() == Some(value);
    if !is("http_tokens", "optional") || is("http_endpoint", "disabled") {
        return None;
    }
    let span = options.get("http_tokens")?.value.span;
    let summary = "the machine's metadata service answers without a token (IMDSv1)";
    Some(
        finding(RULE.code, span, summary)
            .because("no token needed")
            .note(
                "a request that a program on the machine can be tricked into gets its credentials",
            )
            .help("remove it, or write \"required\": that is the default"),
    )
}
