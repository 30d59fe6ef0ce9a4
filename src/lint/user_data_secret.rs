//! User data that holds a secret.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{Rule, Subject, finding, hardcoded_key, texts};
use crate::diagnostic::{Diagnostic, code};
use crate::plan::PlannedBuild;
use crate::secret::Redactor;
use crate::source::Span;

/// EC2 takes 16 KB.
const LARGEST: u64 = 1 << 20;

pub(super) const RULE: Rule = Rule::new(code::USER_DATA_SECRET, check);

fn check(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let all = subject.plan.builds.iter().flat_map(user_data);
    let found = all.filter_map(|(text, span)| Some((secret_in(&text, subject.redactor)?, span)));
    found.map(|(what, span)| report(what, span)).collect()
}

/// The user data of `build` as the machine will have it, and where it stands.
fn user_data(build: &PlannedBuild) -> Vec<(String, Span)> {
    let of = |option: &str| match build.options.get(option) {
        Some(entry) => texts(&entry.value, build),
        None => Vec::new(),
    };
    let files = of("user_data_file").into_iter().filter_map(|(path, span)| {
        let file = build.facts.scope.environment.cwd.join(path);
        // A file that cannot be read is the builder's to complain about.
        let reach = &build.facts.scope.environment.reach;
        Some((reach.read_text(&file, LARGEST).ok()?, span))
    });
    let plain = |(text, span): (String, Span)| {
        let decoded =
            BASE64.decode(text.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        (decoded.unwrap_or(text), span)
    };
    of("user_data").into_iter().chain(files).map(plain).collect()
}

/// Which secret `text` holds, if any.
fn secret_in(text: &str, redactor: &Redactor) -> Option<&'static str> {
    if text.contains("PRIVATE KEY-----") {
        return Some("a private key");
    }
    if hardcoded_key::ids(text).next().is_some() || text.contains("AWS_SECRET_ACCESS_KEY=") {
        return Some("an AWS key");
    }
    (redactor.redact(text) != text).then_some("a sensitive value")
}

fn report(what: &str, span: Span) -> Diagnostic {
    finding(RULE.code, span, format!("the machine's user data holds {what}"))
        .because("readable for every program on the machine")
        .note("and for whoever may describe instances of the account")
        .help(
            "hand it to a provisioner as a sensitive variable, or have the machine fetch it with \
             its instance profile",
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_told_from_what_only_looks_like_them() {
        let redactor = Redactor::default();
        redactor.register("hunter2");
        let found = |text| secret_in(text, &redactor);
        assert_eq!(found("#!/bin/sh\nssh-keygen -t ed25519\n"), None);
        assert_eq!(found("#cloud-config\nssh_authorized_keys: [ssh-ed25519 AAAA]"), None);
        assert_eq!(found("-----BEGIN OPENSSH PRIVATE KEY-----\n"), Some("a private key"));
        assert_eq!(found("aws_access_key_id = AKIAIOSFODNN7EXAMPLE"), Some("an AWS key"));
        assert_eq!(found("echo hunter2"), Some("a sensitive value"));
    }
}
