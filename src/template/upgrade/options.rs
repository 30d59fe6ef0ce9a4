//! The options of a component → the body of its block.

use super::text::{Place, Texts};
use super::write::{Block, Item, Value, is_key, is_name, quoted};
use crate::template::ast::{Expr, ExprKind};

/// Options that are blocks even where they hold only plain values. Other objects of plain values are
/// maps, such as `tags`.
const BLOCKS: &[&str] = &[
    "ami_block_device_mappings",
    "assume_role",
    "aws_polling",
    "capacity_reservation_target",
    "launch_block_device_mappings",
    "linux_options",
    "metadata_options",
    "network_interface",
    "placement",
    "shared_image_gallery",
];

/// The options of a component, sorted by name.
pub(super) type Options<'a> = Vec<(&'a str, &'a Expr)>;

/// The body that holds `options`.
pub(super) fn body(options: &Options<'_>, texts: &mut Texts<'_>, place: Place) -> Vec<Item> {
    options.iter().flat_map(|(name, value)| option(name, value, texts, place)).collect()
}

/// An option: an argument, a block, or a block for each of its items.
pub(super) fn option(name: &str, value: &Expr, texts: &mut Texts<'_>, place: Place) -> Vec<Item> {
    if !is_name(name) {
        texts.note(format!("the option {} has no form in HCL: it is left out", quoted(name)));
        return Vec::new();
    }
    match &value.kind {
        ExprKind::Object(members) if BLOCKS.contains(&name) || !are_plain(members) => {
            vec![block(name, members, texts, place)]
        }
        ExprKind::List(items) if items.is_empty() => Vec::new(),
        ExprKind::List(items) => match items.iter().map(members).collect::<Option<Vec<_>>>() {
            Some(blocks) => {
                blocks.into_iter().map(|members| block(name, members, texts, place)).collect()
            }
            None => vec![Item::Attribute(name.to_owned(), expression(value, texts, place))],
        },
        _ => vec![Item::Attribute(name.to_owned(), expression(value, texts, place))],
    }
}

fn block(name: &str, members: &[(Expr, Expr)], texts: &mut Texts<'_>, place: Place) -> Item {
    Item::Block(Block::new(name, &[], body(&sorted(members), texts, place)))
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
