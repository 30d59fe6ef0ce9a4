//! Builders, provisioners and post-processors → `source` and `build` blocks.

use indexmap::IndexMap;

use super::data::Images;
use super::options::{self, Known, Options};
use super::text::{Place, Texts};
use super::write::{Block, Item, Value, is_key, quoted};
use super::{Components, Role};
use crate::config::GoDuration;
use crate::template::ast::{Attribute, Build, ComponentBlock, Expr, ExprKind, Template};

/// A block, and what a person must do about it.
pub(super) type Upgraded = (Block, Option<String>);

/// The `source` blocks.
pub(super) fn sources(
    template: &Template,
    components: &dyn Components,
    texts: &mut Texts<'_>,
    images: &mut Images,
) -> Vec<Upgraded> {
    let mut blocks = Vec::new();
    for (index, name) in texts.names().sources() {
        let source = &template.sources[index];
        let kind = source.kind.value.as_str();
        let mut options = sorted(&source.body.attributes);
        let image = images.look_up(kind, &mut options, components, texts);
        let mut body = Known::of(components, Role::Builder, kind, |known| {
            options::body(&options, known, texts, Place::Template)
        });
        if let Some(image) = image {
            body.retain(|item| item_name(item) != "source_ami");
            let at = body.partition_point(|item| item_name(item) < "source_ami");
            body.insert(at, image);
        }
        blocks.push((Block::new("source", &[kind, name], body), texts.take_problems()));
    }
    blocks
}

fn item_name(item: &Item) -> &str {
    match item {
        Item::Attribute(name, _) => name,
        Item::Block(block) => &block.kind,
        _ => "",
    }
}

/// The options of a component, by name.
fn sorted(attributes: &IndexMap<String, Attribute>) -> Options<'_> {
    let options = attributes.iter().map(|(name, option)| (name.as_str(), &option.value));
    let mut options: Options<'_> = options.collect();
    options.sort_by_key(|(name, _)| *name);
    options
}

/// The `build` block.
pub(super) fn build(
    template: &Template,
    build: &Build,
    components: &dyn Components,
    texts: &mut Texts<'_>,
) -> Block {
    let mut body = Vec::new();
    if let Some(description) = template.description.as_ref().filter(|text| !text.value.is_empty()) {
        let text = Value::Expression(quoted(&description.value));
        body.extend([Item::Attribute("description".to_owned(), text), Item::Blank]);
    }
    let source = |(index, name): (usize, &str)| {
        let kind = &template.sources[index].kind.value;
        Value::Expression(quoted(&format!("source.{kind}.{name}")))
    };
    let sources = Value::List(texts.names().sources().map(source).collect());
    body.extend([Item::Attribute("sources".to_owned(), sources), Item::Blank]);
    for provisioner in &build.provisioners {
        body.extend(provisioner_items("provisioner", provisioner, components, texts));
    }
    if let Some(cleanup) = &build.error_cleanup {
        body.extend(provisioner_items("error-cleanup-provisioner", cleanup, components, texts));
    }
    for chain in &build.post_processors {
        body.extend(chain_items(chain, components, texts));
    }
    Block::new("build", &[], body)
}

/// The block of a provisioner, between an explanation and an empty line.
fn provisioner_items(
    kind: &str,
    block: &ComponentBlock,
    components: &dyn Components,
    texts: &mut Texts<'_>,
) -> Vec<Item> {
    let options = sorted(&block.body.attributes);
    let body = Known::of(components, Role::Provisioner, &block.kind.value, |known| {
        let option = |&(name, value): &_| provisioner_option(name, value, known, texts);
        options.iter().flat_map(option).collect()
    });
    let block = Block::new(kind, &[&block.kind.value], body);
    explained((block, texts.take_problems())).into_iter().chain([Item::Blank]).collect()
}

/// A block behind its explanation, if it has one.
pub(super) fn explained((block, problems): Upgraded) -> Vec<Item> {
    let comment = problems.map(|problems| [Item::Blank, Item::Comment(problems)]);
    comment.into_iter().flatten().chain([Item::Block(block)]).collect()
}

fn provisioner_option(
    name: &str,
    value: &Expr,
    known: Known<'_>,
    texts: &mut Texts<'_>,
) -> Vec<Item> {
    let attribute = |value| vec![Item::Attribute(name.to_owned(), value)];
    match (name, &value.kind) {
        ("only" | "except", _) => filter(name, value, known, texts),
        ("override", ExprKind::Object(members)) => {
            attribute(Value::Object(overrides(members, texts)))
        }
        ("pause_before" | "timeout", ExprKind::String(text)) => match GoDuration::parse(text) {
            Ok(duration) if duration.is_zero() => Vec::new(),
            Ok(duration) => attribute(Value::Expression(quoted(&duration.to_string()))),
            Err(_) => options::option(name, value, known, texts, Place::Build),
        },
        ("max_retries", ExprKind::Number(number)) => attribute(Value::Expression(quoted(number))),
        _ => options::option(name, value, known, texts, Place::Build),
    }
}

/// `only` or `except`, with the names that the sources have now.
fn filter(name: &str, value: &Expr, known: Known<'_>, texts: &mut Texts<'_>) -> Vec<Item> {
    let ExprKind::List(items) = &value.kind else {
        return options::option(name, value, known, texts, Place::Build);
    };
    if items.is_empty() {
        return Vec::new();
    }
    let renamed = |item: &Expr| match &item.kind {
        ExprKind::String(old) => Value::Expression(quoted(&texts.names().filtered(old))),
        _ => options::expression(item, texts, Place::Build),
    };
    let names = Value::List(items.iter().map(renamed).collect());
    vec![Item::Attribute(name.to_owned(), names)]
}

/// `override`, with the names that the sources have now.
fn overrides(members: &[(Expr, Expr)], texts: &mut Texts<'_>) -> Vec<(String, Value)> {
    let renamed = |(old, options): (&str, &Expr)| {
        let name = texts.names().overridden(old);
        let name = if is_key(&name) { name } else { quoted(&name) };
        (name, options::expression(options, texts, Place::Build))
    };
    options::sorted(members).into_iter().map(renamed).collect()
}

/// A single post-processor, or a `post-processors` block around several.
fn chain_items(
    chain: &[ComponentBlock],
    components: &dyn Components,
    texts: &mut Texts<'_>,
) -> Vec<Item> {
    let block = |one: &ComponentBlock| {
        let kind = &one.kind.value;
        Known::of(components, Role::PostProcessor, kind, |known| post_processor(one, known, texts))
    };
    let mut blocks: Vec<Block> = chain.iter().map(block).collect();
    let block = match blocks.pop() {
        Some(single) if blocks.is_empty() => single,
        last => {
            let body = blocks.into_iter().chain(last).map(Item::Block).collect();
            Block::new("post-processors", &[], body)
        }
    };
    explained((block, texts.take_problems()))
}

fn post_processor(block: &ComponentBlock, known: Known<'_>, texts: &mut Texts<'_>) -> Block {
    let kind = block.kind.value.as_str();
    let (keep, options): (Options<'_>, Options<'_>) = sorted(&block.body.attributes)
        .into_iter()
        .partition(|(name, _)| *name == "keep_input_artifact");
    let mut body = options::body(&keep, known, texts, Place::Build);
    for (name, value) in options {
        body.extend(match (name, &value.kind) {
            ("only" | "except", _) => filter(name, value, known, texts),
            ("name", ExprKind::String(name)) if name == kind => Vec::new(),
            _ => options::option(name, value, known, texts, Place::Build),
        });
    }
    Block::new("post-processor", &[kind], body)
}
