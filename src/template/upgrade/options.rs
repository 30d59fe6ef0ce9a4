//! The options of a component → the body of its block.

use serde_json::Value as Json;

use super::Components;
use super::text::{Place, Texts};
use super::write::{Block, Item, Value, is_key, is_name, quoted};
use crate::config::{OptionSchema, block_properties};
use crate::template::ast::{Expr, ExprKind};

/// Blocks of components that nobody here knows, which hold only plain values.
const BLOCKS_ELSEWHERE: &[&str] =
    &["capacity_reservation_target", "linux_options", "network_interface", "shared_image_gallery"];

/// What is known of the options in a body.
#[derive(Clone, Copy)]
pub(super) enum Known<'a> {
    /// They are those of a component.
    Component(&'a OptionSchema),
    /// They are the properties of a block.
    Block(&'a Json),
    /// Their component is none of these.
    Nothing(&'a dyn Components),
}

impl<'a> Known<'a> {
    fn schema(self, name: &str) -> Option<&'a Json> {
        match self {
            Self::Component(options) => options.get(name).map(|option| &option.schema),
            Self::Block(properties) => properties.get(name),
            Self::Nothing(_) => None,
        }
    }

    /// What is known of the options inside of the block `name`.
    fn inside(self, name: &str) -> Self {
        match self.schema(name).and_then(block_properties) {
            Some(properties) => Self::Block(properties),
            None => Self::Block(&Json::Null),
        }
    }

    /// Whether an object that is the value of `name` is a block. Where nobody knows, one of plain
    /// values is a map, such as `tags`.
    fn is_block(self, name: &str, are_plain: bool) -> bool {
        match (self.schema(name), self) {
            (Some(schema), _) => block_properties(schema).is_some(),
            (None, Self::Nothing(others)) => {
                !are_plain || BLOCKS_ELSEWHERE.contains(&name) || others.have_block(name)
            }
            (None, _) => !are_plain,
        }
    }
}

/// The options of a component, sorted by name.
pub(super) type Options<'a> = Vec<(&'a str, &'a Expr)>;

/// The body that holds `options`.
pub(super) fn body(
    options: &Options<'_>,
    known: Known<'_>,
    texts: &mut Texts<'_>,
    place: Place,
) -> Vec<Item> {
    options.iter().flat_map(|(name, value)| option(name, value, known, texts, place)).collect()
}

/// An option: an argument, a block, or a block for each of its items.
pub(super) fn option(
    name: &str,
    value: &Expr,
    known: Known<'_>,
    texts: &mut Texts<'_>,
    place: Place,
) -> Vec<Item> {
    if !is_name(name) {
        texts.note(format!("the option {} has no form in HCL: it is left out", quoted(name)));
        return Vec::new();
    }
    match &value.kind {
        ExprKind::Object(members) if known.is_block(name, are_plain(members)) => {
            vec![block(name, members, known, texts, place)]
        }
        ExprKind::List(items) if items.is_empty() => Vec::new(),
        ExprKind::List(items) => match items.iter().map(members).collect::<Option<Vec<_>>>() {
            Some(blocks) if known.is_block(name, false) => {
                let block = |members| block(name, members, known, texts, place);
                blocks.into_iter().map(block).collect()
            }
            _ => vec![Item::Attribute(name.to_owned(), expression(value, texts, place))],
        },
        _ => vec![Item::Attribute(name.to_owned(), expression(value, texts, place))],
    }
}

fn block(
    name: &str,
    members: &[(Expr, Expr)],
    known: Known<'_>,
    texts: &mut Texts<'_>,
    place: Place,
) -> Item {
    Item::Block(Block::new(name, &[], body(&sorted(members), known.inside(name), texts, place)))
}

fn members(value: &Expr) -> Option<&[(Expr, Expr)]> {
    match &value.kind {
        ExprKind::Object(members) => Some(members),
        _ => None,
    }
}

fn are_plain(members: &[(Expr, Expr)]) -> bool {
    let is_plain = |value: &Expr| !matches!(value.kind, ExprKind::List(_) | ExprKind::Object(_));
    members.iter().all(|(_, value)| is_plain(value))
}

/// The members of an object, by name.
pub(super) fn sorted(members: &[(Expr, Expr)]) -> Options<'_> {
    let named = members.iter().filter_map(|(key, value)| match &key.kind {
        ExprKind::String(name) => Some((name.as_str(), value)),
        _ => None,
    });
    let mut options: Options<'_> = named.collect();
    options.sort_by_key(|(name, _)| *name);
    options
}

/// The expression that means `value`.
pub(super) fn expression(value: &Expr, texts: &mut Texts<'_>, place: Place) -> Value {
    match &value.kind {
        ExprKind::Bool(value) => Value::Expression(value.to_string()),
        ExprKind::Number(number) => Value::Expression(plain_number(number)),
        ExprKind::String(text) => Value::Expression(texts.quoted(text, place)),
        ExprKind::List(items) => {
            Value::List(items.iter().map(|item| expression(item, texts, place)).collect())
        }
        ExprKind::Object(members) => {
            let member = |(name, value): (&str, &Expr)| {
                let key = match is_key(name) {
                    true => name.to_owned(),
                    false => texts.quoted(name, place),
                };
                (key, expression(value, texts, place))
            };
            Value::Object(sorted(members).into_iter().map(member).collect())
        }
        _ => Value::Expression("null".to_owned()),
    }
}

/// A number without an exponent, if it is none that only an exponent can say.
fn plain_number(number: &str) -> String {
    match number.parse::<f64>() {
        Ok(value) if value.is_finite() && number.contains(['e', 'E', '.']) => value.to_string(),
        _ => number.to_owned(),
    }
}
