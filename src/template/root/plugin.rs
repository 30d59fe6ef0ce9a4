//! `packer`: which version and which plugins a template asks for.

use super::reader::{BlockShape, Reader};
use crate::diagnostic::{Diagnostic, code};
use crate::source::{Span, Spanned};
use crate::template::ast::{Attribute, Block, Expr, ExprKind, RequiredPlugin, Template};

/// The blocks inside of `packer`.
pub(in crate::template) const PACKER_BLOCKS: &[BlockShape] =
    &[BlockShape::new("required_plugins", &[])];

/// How a plugin is asked for, for help texts.
const USAGE: &str =
    "write `amazon = { source = \"github.com/hashicorp/amazon\", version = \"~> 1\" }`";

pub(super) fn packer(mut block: Block, template: &mut Template, reader: &mut Reader) {
    reader.check(&mut block.body, "a `packer` block", &["required_version"], PACKER_BLOCKS);
    template.required_versions.extend(reader.take_string(&mut block.body, "required_version"));
    for mut plugins in block.body.blocks {
        reader.no_blocks(&mut plugins.body, "a `required_plugins` block");
        for (name, Attribute { name: span, value }) in plugins.body.attributes {
            let name = Spanned::new(name, span);
            template.required_plugins.extend(required_plugin(name, value, reader));
        }
    }
}

fn required_plugin(
    name: Spanned<String>,
    value: Expr,
    reader: &mut Reader,
) -> Option<RequiredPlugin> {
    reader.define("required plugin", &name.value, name.span);
    if !is_accessor(&name.value) {
        let summary = format!("`{}` cannot name a plugin", name.value);
        let error = refused(summary, name.span);
        reader.say(error.because("a plugin's name has small letters, digits and single `-`"));
    }
    let ExprKind::Object(entries) = value.kind else {
        let error = refused("a required plugin must be an object", value.span);
        reader.say(error.because("its `source` and `version` are needed").help(USAGE));
        return None;
    };
    let (mut source, mut version) = (None, None);
    for (key, value) in entries {
        match &key.kind {
            ExprKind::String(key) if key == "source" => source = literal(key, value, reader),
            ExprKind::String(key) if key == "version" => version = literal(key, value, reader),
            _ => {
                let error = refused("a required plugin has only `source` and `version`", key.span);
                reader.say(error.help(USAGE));
            }
        }
    }
    for (given, argument) in [(&source, "source"), (&version, "version")] {
        if given.is_none() {
            let summary = format!("the required plugin `{}` lacks its `{argument}`", name.value);
            reader.say(refused(summary, value.span).help(USAGE));
        }
    }
    let (source, version) = (source?, version?);
    check_source(&source, reader);
    Some(RequiredPlugin { name, source, version })
}

fn literal(name: &str, value: Expr, reader: &mut Reader) -> Option<Spanned<String>> {
    match value.kind {
        ExprKind::String(text) => Some(Spanned::new(text, value.span)),
        _ => {
            reader.not_literal(value.span, name, "a string");
            // Said once: it is not missing too.
            Some(Spanned::new(String::new(), value.span))
        }
    }
}

/// `host/namespace/name`, as it stands in an URL without its scheme.
fn check_source(source: &Spanned<String>, reader: &mut Reader) {
    let text = source.value.as_str();
    let parts: Vec<&str> = text.split('/').collect();
    let cause = if text.is_empty() {
        return;
    } else if text.contains("://") {
        "leave `https://` out"
    } else if text.contains(['?', '#']) {
        "it has no query and no fragment"
    } else if !(3..=16).contains(&parts.len()) || parts.iter().any(|part| part.is_empty()) {
        "it has a host, a namespace and a name"
    } else if parts.last().is_some_and(|name| name.starts_with("packer-")) {
        "leave `packer-plugin-` out of its name"
    } else {
        return;
    };
    let error = refused("this is no source of a plugin", source.span).because(cause);
    reader.say(error.help("it looks like `github.com/hashicorp/amazon`"));
}

/// Whether `name` is a normalised label of a domain name.
fn is_accessor(name: &str) -> bool {
    let allowed = |c: char| c.is_lowercase() || c.is_numeric() || c == '-' || c == '_';
    name.chars().all(allowed)
        && !name.contains("--")
        && !name.starts_with('-')
        && !name.ends_with('-')
}

fn refused(summary: impl Into<String>, span: Span) -> Diagnostic {
    Diagnostic::error(code::HCL_STRUCTURE, summary).at(span)
}
