//! The options of a plugin's component: names and types, as the plugin tells them.
//!
//! A plugin writes them in one of two ways: newer ones as protobuf, older ones as Go's gob.

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::installed::is_name;

/// The options of a component, or of a block in it: the argument's or block's name, and what it is.
pub type Spec = Vec<(String, Item)>;

/// One option.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Item {
    /// `name = value`
    Argument {
        /// What it holds.
        ty: Type,
        /// Whether it must be given.
        required: bool,
    },
    /// `name { … }`, once at most.
    Block(Spec),
    /// `name { … }`, any number of times.
    Blocks(Spec),
}

/// The type of a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Type {
    /// A text.
    String,
    /// A number.
    Number,
    /// `true` or `false`.
    Bool,
    /// Anything.
    Any,
    /// Several of one type, in order.
    List(Box<Type>),
    /// Several of one type, each once.
    Set(Box<Type>),
    /// Several of one type, by name.
    Map(Box<Type>),
    /// Several of their own types, by name.
    Object(Vec<(String, Type)>),
    /// Several of their own types, in order.
    Tuple(Vec<Type>),
}

impl Type {
    /// How plugins write it in JSON.
    pub fn to_json(&self) -> Json {
        match self {
            Self::String => json!("string"),
            Self::Number => json!("number"),
            Self::Bool => json!("bool"),
            Self::Any => json!("dynamic"),
            Self::List(of) => json!(["list", of.to_json()]),
            Self::Set(of) => json!(["set", of.to_json()]),
            Self::Map(of) => json!(["map", of.to_json()]),
            Self::Tuple(types) => {
                json!(["tuple", types.iter().map(Self::to_json).collect::<Vec<_>>()])
            }
            Self::Object(fields) => {
                let fields = fields.iter().map(|(name, ty)| (name.clone(), ty.to_json()));
                json!(["object", Json::Object(fields.collect())])
            }
        }
    }

    /// The same from what plugins write.
    pub fn from_json(json: &Json) -> Option<Self> {
        let boxed = |json| Self::from_json(json).map(Box::new);
        Some(match json {
            Json::String(name) => match name.as_str() {
                "string" => Self::String,
                "number" => Self::Number,
                "bool" => Self::Bool,
                "dynamic" => Self::Any,
                _ => return None,
            },
            Json::Array(parts) => match (parts.first()?.as_str()?, parts.get(1)?) {
                ("list", of) => Self::List(boxed(of)?),
                ("set", of) => Self::Set(boxed(of)?),
                ("map", of) => Self::Map(boxed(of)?),
                ("tuple", Json::Array(types)) => {
                    Self::Tuple(types.iter().map(Self::from_json).collect::<Option<_>>()?)
                }
                ("object", Json::Object(fields)) => {
                    let field =
                        |(name, ty): (&String, _)| Some((name.clone(), Self::from_json(ty)?));
                    Self::Object(fields.iter().map(field).collect::<Option<_>>()?)
                }
                _ => return None,
            },
            _ => return None,
        })
    }

    /// As the schema of an option says it.
    fn schema(&self) -> Json {
        match self {
            Self::String => json!({ "type": "string" }),
            Self::Number => json!({ "type": "number" }),
            Self::Bool => json!({ "type": "boolean" }),
            Self::Any => json!({}),
            Self::List(of) | Self::Set(of) => json!({ "type": "array", "items": of.schema() }),
            Self::Map(of) => json!({ "type": "object", "additionalProperties": of.schema() }),
            Self::Tuple(_) => json!({ "type": "array" }),
            Self::Object(_) => json!({ "type": "object" }),
        }
    }
}

impl Item {
    /// The type of its value.
    pub fn ty(&self) -> Type {
        match self {
            Self::Argument { ty, .. } => ty.clone(),
            Self::Block(spec) => object_type(spec),
            Self::Blocks(spec) => Type::List(Box::new(object_type(spec))),
        }
    }

    fn schema(&self) -> Json {
        match self {
            Self::Argument { ty, .. } => ty.schema(),
            Self::Block(spec) => schema(spec),
            Self::Blocks(spec) => json!({ "type": "array", "items": schema(spec) }),
        }
    }

    fn is_required(&self) -> bool {
        matches!(self, Self::Argument { required: true, .. })
    }
}

/// The type of a body with these options.
pub fn object_type(spec: &Spec) -> Type {
    Type::Object(spec.iter().map(|(name, item)| (name.clone(), item.ty())).collect())
}

/// A name among these options that no option may have.
pub fn odd_name(spec: &Spec) -> Option<&str> {
    spec.iter().find_map(|(name, item)| match item {
        _ if !is_name(name) => Some(name.as_str()),
        Item::Argument { .. } => None,
        Item::Block(inside) | Item::Blocks(inside) => odd_name(inside),
    })
}

/// The schema of these options, as our own components declare theirs.
pub fn schema(spec: &Spec) -> Json {
    let properties = spec.iter().map(|(name, item)| (name.clone(), item.schema())).collect();
    let required = spec.iter().filter(|(_, item)| item.is_required());
    let required: Vec<_> = required.map(|(name, _)| name).collect();
    json!({ "type": "object", "properties": Json::Object(properties), "required": required })
}
