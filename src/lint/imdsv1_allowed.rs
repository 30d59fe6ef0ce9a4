//! A machine that gives its credentials to any request (IMDSv1).

use super::{Rule, Subject, blocks, finding};
use crate::diagnostic::{Diagnostic, code};
use crate::plan::PlannedBuild;

pub(super) const RULE: Rule = Rule { code: code::IMDSV1_ALLOWED, check };

fn check(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let builds = subject.plan.builds.iter();
    builds.filter(|build| build.facts.builder_type == "amazon-ebs").filter_map(report).collect()
}

fn report(build: &PlannedBuild) -> Option<Diagnostic> {
    let options = blocks(&build.options, "metadata_options").into_iter().next();
    let value = |name| {
        let entry = options?.get(name)?;
        Some((entry.value.as_str()?, entry.value.span))
    };
    let is = |name, wanted| value(name).is_some_and(|(text, _)| text == wanted);
    if is("http_tokens", "required") || is("http_endpoint", "disabled") {
        return None;
    }
    let span = value("http_tokens").map(|(_, span)| span).or(options.map(|options| options.span));
    let found = finding(
        RULE.code,
        span.unwrap_or(build.span),
        "the machine's metadata service answers without a token (IMDSv1)",
    );
    Some(
        found
            .because("`http_tokens` is not `required`")
            .note(
                "a request that a program on the machine can be tricked into gets its credentials",
            )
            .help("add `metadata_options { http_tokens = \"required\" }`"),
    )
}
