//! An AWS key that stands in a text.

use super::{Rule, Subject, finding};
use crate::diagnostic::{Diagnostic, code};
use crate::secret::access_key_ids;
use crate::source::{FileId, SourceFile, Span};
use crate::template::ast::{Expr, ExprKind};

pub(super) const RULE: Rule = Rule::new(code::HARDCODED_KEY, check);

/// Characters of a secret key.
const SECRET: usize = 40;

const HELP: &str = "take it out of the template and make the key invalid: whoever has read the file \
                    has it; credentials come from AWS_PROFILE, AWS_ACCESS_KEY_ID, or the role of \
                    the machine that builds";

fn check(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let mut ids: Vec<Span> = subject.sources.files().flat_map(in_file).collect();
    let mut found = Vec::new();
    for (text, span) in secrets(subject) {
        subject.redactor.register(text);
        let mut secret = finding(RULE.code, span, "an AWS secret key stands in the template")
            .because("anyone who can read this file can use it");
        // A key and its id are one finding.
        for id in ids.extract_if(.., |id| id.file == span.file) {
            secret = secret.label(id, "the id of an access key");
        }
        found.push(secret.help(HELP));
    }
    found.extend(ids.into_iter().map(|id| {
        finding(RULE.code, id, "an AWS access key stands in the template")
            .because("the id of an access key")
            .help(HELP)
    }));
    found
}

/// The ids of access keys in a file.
fn in_file((file, source): (FileId, &SourceFile)) -> Vec<Span> {
    access_key_ids(&source.text).map(|id| Span::new(file, id.start, id.end)).collect()
}

/// Secret keys that are written where they are used, or as the default of a variable.
fn secrets<'a>(subject: &Subject<'a>) -> impl Iterator<Item = (&'a str, Span)> {
    let template = subject.template;
    let sources = template.sources.iter().map(|source| &source.body);
    let data = template.data.iter().map(|block| &block.body);
    let chains = template.builds.iter().flat_map(|build| build.post_processors.iter().flatten());
    let bodies = sources.chain(data).chain(chains.map(|block| &block.body));
    let options = bodies.filter_map(|body| body.attributes.get("secret_key"));
    let variables = template.variables.iter();
    let named = variables.filter(|variable| variable.name.value.contains("secret"));
    let defaults = named.filter_map(|variable| variable.default.as_ref());
    options.map(|attribute| &attribute.value).chain(defaults).filter_map(secret)
}

fn secret(expr: &Expr) -> Option<(&str, Span)> {
    let ExprKind::String(text) = &expr.kind else { return None };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    (text.len() == SECRET && text.bytes().all(allowed)).then_some((text, expr.span))
}
