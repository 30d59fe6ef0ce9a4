//! The JSON schema of an option, in words.

use serde_json::Value as Json;

use crate::config::{OptionDoc, plain_type};

/// Its type as people call it: `list of strings`, `duration`, `"stop" or "terminate"`.
pub fn type_of(doc: &OptionDoc) -> String {
    name(doc.value_schema(), Number::One)
}

/// Its default, unless that is to have none.
pub fn default_of(doc: &OptionDoc) -> Option<Json> {
    let default = doc.schema.get("default")?;
    let says_nothing = match default {
        Json::Null => true,
        Json::String(text) => text.is_empty(),
        Json::Array(items) => items.is_empty(),
        Json::Object(_) => true,
        _ => false,
    };
    (!says_nothing).then(|| default.clone())
}

/// Its documentation, one line for each paragraph.
pub fn text_of(doc: &OptionDoc) -> String {
    let text = doc.schema.get("description").or_else(|| doc.value_schema().get("description"));
    text.and_then(Json::as_str).unwrap_or_default().to_owned()
}

#[derive(Clone, Copy)]
enum Number {
    One,
    Many,
}

impl Number {
    fn of(self, word: &str) -> String {
        match self {
            Self::One => word.to_owned(),
            Self::Many => format!("{word}s"),
        }
    }
}

fn name(schema: &Json, number: Number) -> String {
    if let Some(choices) = choices(schema) {
        return choices.join(" or ");
    }
    if schema.get("properties").is_some() {
        return number.of("block");
    }
    let format = schema.get("format").and_then(Json::as_str);
    match (plain_type(schema), format) {
        (Some("string"), Some("duration")) => number.of("duration"),
        (Some("string"), Some("late-template")) => number.of("template"),
        (Some("string"), _) => number.of("string"),
        (Some("boolean"), _) => number.of("bool"),
        (Some("integer" | "number"), _) => number.of("number"),
        (Some("array"), _) => {
            let items = schema.get("items").unwrap_or(&Json::Null);
            match items.get("properties") {
                Some(_) => "blocks".to_owned(),
                None => format!("{} of {}", number.of("list"), name(items, Number::Many)),
            }
        }
        (Some("object"), _) => {
            let values = schema.get("additionalProperties").unwrap_or(&Json::Null);
            if *values == Json::Bool(true) {
                return format!("{} of any values", number.of("map"));
            }
            format!("{} of {}", number.of("map"), name(values, Number::Many))
        }
        _ => number.of("value"),
    }
}

/// The values of an option that has a few of them.
fn choices(schema: &Json) -> Option<Vec<String>> {
    let constants = |list: &Json| -> Option<Vec<String>> {
        let list = list.as_array()?;
        let groups = list.iter().map(|choice| match choice.get("const") {
            Some(constant) => Some(vec![constant.to_string()]),
            None => choices(choice),
        });
        Some(groups.collect::<Option<Vec<_>>>()?.concat())
    };
    match (schema.get("enum"), schema.get("oneOf")) {
        (Some(Json::Array(values)), _) => {
            Some(values.iter().filter(|value| !value.is_null()).map(Json::to_string).collect())
        }
        (_, Some(list)) => constants(list),
        _ => None,
    }
}
