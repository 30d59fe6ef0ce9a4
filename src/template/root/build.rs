//! `build` and the blocks inside of it.

use super::reader::{BlockShape, Reader};
use crate::diagnostic::{Diagnostic, code};
use crate::source::{Span, Spanned};
use crate::template::ast::{
    Attribute, Block, Body, Build, ComponentBlock, Expr, ExprKind, SourceUse,
};
use crate::template::hcl::is_identifier;

/// The blocks inside of `build`.
pub(in crate::template) const BUILD_BLOCKS: &[BlockShape] = &[
    BlockShape::new("source", &["reference"]),
    BlockShape::new("provisioner", &["type"]),
    BlockShape::new("error-cleanup-provisioner", &["type"]),
    BlockShape::new("post-processor", &["type"]),
    BlockShape::new("post-processors", &[]),
    BlockShape::new("dynamic", &["block"]),
    BlockShape::new("hcp_packer_registry", &[]),
    BlockShape::new("from", &["type"]),
];

/// The blocks inside of `post-processors`.
pub(in crate::template) const CHAIN_BLOCKS: &[BlockShape] =
    &[BlockShape::new("post-processor", &["type"]), BlockShape::new("dynamic", &["block"])];

/// The arguments of `build`. They may be expressions over variables and locals.
pub const BUILD_ARGUMENTS: [&str; 3] = ["name", "description", "sources"];

/// Reads a `build` block. What its `dynamic` blocks make is left out, and so are arguments that are
/// not written out: both are known with values only.
pub(super) fn build(mut block: Block, reader: &mut Reader) -> Build {
    let is_later = |name: &&str| block.body.attributes.get(*name).is_some_and(is_expression);
    let later: Vec<&str> = BUILD_ARGUMENTS.into_iter().filter(is_later).collect();
    let written = (!later.is_empty() || has_dynamic(&block.body)).then(|| block.clone());
    let body = &mut block.body;
    reader.check(body, "a `build` block", &BUILD_ARGUMENTS, BUILD_BLOCKS);
    for name in later {
        body.attributes.shift_remove(name);
    }
    let name = reader.take_string(body, "name").filter(|name| !name.value.is_empty());
    let description = reader.take_string(body, "description");
    let sources = sources(body, reader);
    let mut build = Build {
        name,
        description,
        sources,
        provisioners: Vec::new(),
        error_cleanup: None,
        post_processors: Vec::new(),
        hcp_registry: None,
        written,
        span: block.span,
    };
    for inner in block.body.blocks {
        inner_block(inner, &mut build, reader);
    }
    build
}

/// Whether an argument is more than a literal, or a list of these.
fn is_expression(attribute: &Attribute) -> bool {
    let is_literal = |expr: &Expr| {
        matches!(
            expr.kind,
            ExprKind::Null | ExprKind::Bool(_) | ExprKind::Number(_) | ExprKind::String(_)
        )
    };
    match &attribute.value.kind {
        ExprKind::List(items) => !items.iter().all(is_literal),
        _ => !is_literal(&attribute.value),
    }
}

fn has_dynamic(body: &Body) -> bool {
    body.blocks.iter().any(|block| match block.kind.value.as_str() {
        "dynamic" => true,
        "post-processors" => has_dynamic(&block.body),
        _ => false,
    })
}

fn inner_block(mut block: Block, build: &mut Build, reader: &mut Reader) {
    match block.kind.value.as_str() {
        "source" => build.sources.extend(local_source(block, reader)),
        "provisioner" => build.provisioners.extend(component(block)),
        "post-processor" => {
            build.post_processors.extend(component(block).map(|component| vec![component]));
        }
        "post-processors" => {
            reader.check(&mut block.body, "a `post-processors` block", &[], CHAIN_BLOCKS);
            let (dynamic, chain): (Vec<_>, Vec<_>) =
                block.body.blocks.into_iter().partition(|block| block.kind.value == "dynamic");
            dynamic.iter().for_each(|block| reader.dynamic(block, CHAIN_BLOCKS));
            build.post_processors.push(chain.into_iter().filter_map(component).collect());
        }
        "error-cleanup-provisioner" => error_cleanup(block, build, reader),
        "from" => {
            let summary = "a `from` block has no effect";
            let warning = Diagnostic::warning(code::HCL_STRUCTURE, summary).at(block.span);
            reader.say(warning.help("name the sources in `sources`"));
        }
        "dynamic" => reader.dynamic(&block, BUILD_BLOCKS),
        _ => {
            let summary = "`hcp_packer_registry` belongs at the root of a template";
            let warning = Diagnostic::warning(code::HCL_STRUCTURE, summary).at(block.span);
            reader.say(warning.because("here it is deprecated"));
            reader.only_one(&mut build.hcp_registry, block, "a build");
        }
    }
}

fn component(mut block: Block) -> Option<ComponentBlock> {
    Some(ComponentBlock { kind: block.labels.pop()?, body: block.body })
}

fn error_cleanup(block: Block, build: &mut Build, reader: &mut Reader) {
    let span = block.span;
    match &build.error_cleanup {
        None => build.error_cleanup = component(block),
        Some(first) => {
            let summary = "a build has only one `error-cleanup-provisioner`";
            let error = Diagnostic::error(code::DUPLICATE, summary).at(span);
            reader.say(error.because("a second one").label(first.kind.span, "the first one"));
        }
    }
}

/// `sources = ["source.type.name", …]`.
fn sources(body: &mut Body, reader: &mut Reader) -> Vec<SourceUse> {
    let Some(attribute) = body.attributes.shift_remove("sources") else {
        return Vec::new();
    };
    let items = match attribute.value.kind {
        ExprKind::List(items) => items,
        ExprKind::Null => return Vec::new(),
        _ => {
            let summary = "`sources` must be a list of strings";
            let error = Diagnostic::error(code::HCL_STRUCTURE, summary).at(attribute.value.span);
            reader.say(error.help("write it in brackets: `sources = [\"source.type.name\"]`"));
            return Vec::new();
        }
    };
    let mut uses = Vec::new();
    for item in items {
        let ExprKind::String(reference) = item.kind else {
            not_a_reference(item.span, reader);
            continue;
        };
        uses.extend(source_use(&Spanned::new(reference, item.span), reader));
    }
    uses
}

/// `source "source.type.name" { name = … }` inside of a build.
fn local_source(mut block: Block, reader: &mut Reader) -> Option<SourceUse> {
    let reference = block.labels.pop()?;
    let local_name = reader.take_string(&mut block.body, "name");
    let used = source_use(&reference, reader)?;
    let extra =
        Some(block.body).filter(|body| !body.attributes.is_empty() || !body.blocks.is_empty());
    Some(SourceUse { local_name, extra, ..used })
}

/// `source.type.name` or `type.name`. The first of three parts may be any word.
fn source_use(reference: &Spanned<String>, reader: &mut Reader) -> Option<SourceUse> {
    let text = reference.value.as_str();
    let parts: Vec<&str> = text.split('.').collect();
    match parts.as_slice() {
        [kind, name] | [_, kind, name] if is_identifier(kind) && is_identifier(name) => {
            Some(SourceUse {
                kind: Spanned::new((*kind).to_owned(), reference.span),
                name: Spanned::new((*name).to_owned(), reference.span),
                local_name: None,
                extra: None,
            })
        }
        _ => {
            not_a_reference(reference.span, reader);
            None
        }
    }
}

fn not_a_reference(span: Span, reader: &mut Reader) {
    let error = Diagnostic::error(code::HCL_STRUCTURE, "this is no reference to a source").at(span);
    reader.say(error.help("write it as \"source.type.name\", e.g. \"source.amazon-ebs.web\""));
}
