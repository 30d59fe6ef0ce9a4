//! Types of values, and the expressions that name them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::budget::Budget;
use crate::diagnostic::{Diagnostic, Diagnostics, code, did_you_mean};
use crate::template::ast::{Expr, ExprKind};

use super::value::Value;

/// The type of a value, or one that values are converted to.
#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    /// Not known: the type of an untyped null, or "whatever comes" as a target.
    Any,
    /// `true` and `false`.
    Bool,
    /// Numbers.
    Number,
    /// Unicode text.
    String,
    /// Ordered, all of one type.
    List(Arc<Type>),
    /// Unordered, each once, all of one type.
    Set(Arc<Type>),
    /// Text keys, all values of one type.
    Map(Arc<Type>),
    /// Ordered, each of its own type.
    Tuple(Arc<[Type]>),
    /// Named attributes, each of its own type.
    Object(Arc<BTreeMap<Arc<str>, Field>>),
}

/// An attribute of an object type.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Its type.
    pub ty: Type,
    /// Whether a value without it is accepted: `optional(T)`.
    pub optional: bool,
    /// Its value where it is left out: `optional(T, default)`.
    pub default: Option<Value>,
}

impl Field {
    /// An attribute that must be there.
    pub fn required(ty: Type) -> Self {
        Self { ty, optional: false, default: None }
    }
}

impl Type {
    /// Whether nothing in it is [`Type::Any`].
    pub fn is_concrete(&self) -> bool {
        match self {
            Self::Any => false,
            Self::Bool | Self::Number | Self::String => true,
            Self::List(item) | Self::Set(item) | Self::Map(item) => item.is_concrete(),
            Self::Tuple(items) => items.iter().all(Self::is_concrete),
            Self::Object(fields) => fields.values().all(|field| field.ty.is_concrete()),
        }
    }

    /// Whether it could turn out to be `other` when all that is [`Type::Any`] is known.
    pub fn may_be(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => true,
            (Self::List(a), Self::List(b))
            | (Self::Set(a), Self::Set(b))
            | (Self::Map(a), Self::Map(b)) => a.may_be(b),
            (Self::Tuple(a), Self::Tuple(b)) => {
                a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| a.may_be(b))
            }
            (Self::Object(a), Self::Object(b)) => {
                a.keys().eq(b.keys()) && a.values().zip(b.values()).all(|(a, b)| a.ty.may_be(&b.ty))
            }
            _ => self == other,
        }
    }

    /// The word for this kind of type: `list`, `object`, ….
    pub fn kind_name(&self) -> &'static str {
        match self {
            Self::Any => "dynamic",
            Self::Bool => "bool",
            Self::Number => "number",
            Self::String => "string",
            Self::List(_) => "list",
            Self::Set(_) => "set",
            Self::Map(_) => "map",
            Self::Tuple(_) => "tuple",
            Self::Object(_) => "object",
        }
    }

    /// What an error says is needed where a value is to be converted to this type.
    pub fn requirement(&self) -> String {
        match self {
            Self::List(item) if **item == Self::Any => "list of any single type".into(),
            Self::Set(item) if **item == Self::Any => "set of any single type".into(),
            Self::Map(item) if **item == Self::Any => "map of any single type".into(),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(item) | Self::Set(item) | Self::Map(item) => {
                write!(f, "{} of {item}", self.kind_name())
            }
            _ => f.write_str(self.kind_name()),
        }
    }
}

/// How `optional(…)` is treated in a type expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Optionals {
    /// As in the type of a variable: the attribute may be left out, with or without a default.
    WithDefaults,
    /// As in `convert`, where it changes nothing and a default is refused.
    NoDefaults,
}

/// The type that `expr` names, e.g. `list(object({ size = number }))`.
pub fn parse(expr: &Expr, optionals: Optionals, budget: &Budget) -> Result<Type, Diagnostics> {
    match &expr.kind {
        ExprKind::Parenthesis(inner) => parse(inner, optionals, budget),
        ExprKind::Variable(name) => keyword(expr, name),
        ExprKind::String(name) => {
            let mut refused = invalid(expr, "A type is not written in quotes.");
            if let Some(error) = refused.0.first_mut() {
                error.help = Some(format!("write `{name}`, without quotes"));
            }
            Err(refused)
        }
        ExprKind::Call { name, args, .. } => {
            constructor(expr, &name.value, args, optionals, budget)
        }
        _ => {
            let text = "A type specification is either a primitive type keyword (bool, number, \
                        string) or a complex type constructor call, like list(string).";
            Err(invalid(expr, text))
        }
    }
}

/// The words that types begin with.
const KEYWORDS: [&str; 9] =
    ["string", "number", "bool", "any", "list", "set", "map", "object", "tuple"];

fn invalid(expr: &Expr, cause: impl Into<String>) -> Diagnostics {
    Diagnostic::error(code::WRONG_TYPE, "Invalid type specification")
        .at(expr.span)
        .because(cause)
        .into()
}

fn keyword(expr: &Expr, name: &str) -> Result<Type, Diagnostics> {
    match name {
        "bool" => Ok(Type::Bool),
        "string" => Ok(Type::String),
        "number" => Ok(Type::Number),
        "any" => Ok(Type::Any),
        "list" | "set" | "map" => Err(invalid(
            expr,
            format!(
                "The {name} type constructor requires one argument specifying the element type."
            ),
        )),
        "object" => Err(invalid(
            expr,
            "The object type constructor requires one argument specifying the attribute types and \
             values as a map.",
        )),
        "tuple" => Err(invalid(
            expr,
            "The tuple type constructor requires one argument specifying the element types as a \
             list.",
        )),
        _ => {
            let cause = format!("The keyword \"{name}\" is not a valid type specification.");
            let mut refused = invalid(expr, cause);
            let meant = did_you_mean(name, KEYWORDS).map(|near| format!("did you mean `{near}`?"));
            refused.0.iter_mut().for_each(|error| error.help = meant.clone());
            Err(refused)
        }
    }
}

fn constructor(
    expr: &Expr,
    name: &str,
    args: &[Expr],
    optionals: Optionals,
    budget: &Budget,
) -> Result<Type, Diagnostics> {
    match (name, args) {
        ("bool" | "string" | "number" | "any", _) => Err(invalid(
            expr,
            format!("Primitive type keyword \"{name}\" does not expect arguments."),
        )),
        ("list", [item]) => Ok(Type::List(Arc::new(parse(item, optionals, budget)?))),
        ("set", [item]) => Ok(Type::Set(Arc::new(parse(item, optionals, budget)?))),
        ("map", [item]) => Ok(Type::Map(Arc::new(parse(item, optionals, budget)?))),
        ("list" | "set" | "map" | "object" | "tuple", []) => keyword(expr, name),
        ("list" | "set" | "map", _) => keyword(expr, name),
        ("object", [fields]) => object(fields, optionals, budget),
        ("tuple", [items]) => {
            let ExprKind::List(items) = &items.kind else {
                return Err(invalid(
                    items,
                    "Tuple type constructor requires a list of element types.",
                ));
            };
            Ok(Type::Tuple(
                items
                    .iter()
                    .map(|item| parse(item, optionals, budget))
                    .collect::<Result<_, _>>()?,
            ))
        }
        ("object" | "tuple", _) => keyword(expr, name),
        ("optional", _) => Err(invalid(
            expr,
            "Keyword \"optional\" is valid only as a modifier for object type attributes.",
        )),
        _ => Err(invalid(expr, format!("Keyword \"{name}\" is not a valid type constructor."))),
    }
}

fn object(expr: &Expr, optionals: Optionals, budget: &Budget) -> Result<Type, Diagnostics> {
    let ExprKind::Object(items) = &expr.kind else {
        return Err(invalid(
            expr,
            "Object type constructor requires a map whose keys are attribute names and whose \
             values are the corresponding attribute types.",
        ));
    };
    let mut fields = BTreeMap::new();
    for (key, value) in items {
        let name = match &key.kind {
            ExprKind::String(name) | ExprKind::Variable(name) => name.as_str(),
            _ => return Err(invalid(key, "Object constructor map keys must be attribute names.")),
        };
        fields.insert(Arc::from(name), field(value, optionals, budget)?);
    }
    Ok(Type::Object(Arc::new(fields)))
}

fn field(expr: &Expr, optionals: Optionals, budget: &Budget) -> Result<Field, Diagnostics> {
    let ExprKind::Call { name, args, .. } = &expr.kind else {
        return Ok(Field::required(parse(expr, optionals, budget)?));
    };
    match (name.value.as_str(), args.as_slice()) {
        ("optional", [ty]) => {
            let ty = parse(ty, optionals, budget)?;
            Ok(Field { ty, optional: optionals == Optionals::WithDefaults, default: None })
        }
        ("optional", [ty, default]) if optionals == Optionals::WithDefaults => {
            let ty = parse(ty, optionals, budget)?;
            let value = super::expr::constant(default, budget)?;
            let value = super::convert::convert(&super::convert::with_defaults(&value, &ty), &ty)
                .map_err(|error| {
                let text = format!(
                    "This default value is not compatible with the attribute's type \
                         constraint: {error}."
                );
                Diagnostic::error(code::WRONG_TYPE, "Invalid default value for optional attribute")
                    .at(default.span)
                    .because(text)
            })?;
            Ok(Field { ty, optional: true, default: Some(value) })
        }
        ("optional", [_, default]) => Err(invalid(
            default,
            "Optional attribute modifier expects only one argument: the attribute type.",
        )),
        ("optional", _) => Err(invalid(
            expr,
            "Optional attribute modifier requires the attribute type as its argument.",
        )),
        _ => Ok(Field::required(parse(expr, optionals, budget)?)),
    }
}
