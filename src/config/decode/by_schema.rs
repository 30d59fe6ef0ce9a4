//! A value → plain data, as its JSON schema wants it. The conversions are those of the structs.

use serde::Deserialize as _;
use serde::de::Error as _;
use serde_json::{Map, Number, Value as Json};

use super::deserialize::{Error, NodeDeserializer};
use crate::config::duration::GoDuration;
use crate::config::node::{NodeKind, UNKNOWN};
use crate::config::options::{plain_type, without_null};

impl NodeDeserializer<'_> {
    /// The value that `schema` wants. What it does not say the type of stays as it is.
    pub(super) fn by_schema(self, schema: &Json) -> Result<Json, Error> {
        if matches!(self.node.kind, NodeKind::Unknown) {
            return Ok(UNKNOWN.into());
        }
        let schema = without_null(schema);
        match plain_type(schema) {
            Some("string") => self.text_by_schema(schema),
            Some("boolean") => self.bool().map(Json::Bool),
            Some("integer") => self.number::<i64>("a whole number").map(Json::from),
            Some("number") => self.number::<Number>("a number").map(Json::Number),
            Some("array") => self.list_by_schema(schema.get("items").unwrap_or(&Json::Null)),
            Some("object") => self.map_by_schema(schema),
            _ => Json::deserialize(self),
        }
    }

    fn text_by_schema(self, schema: &Json) -> Result<Json, Error> {
        let text = self.text()?;
        let choices = schema.get("enum").and_then(Json::as_array);
        let choices: Vec<&str> = choices.into_iter().flatten().filter_map(Json::as_str).collect();
        if !choices.is_empty() && !choices.contains(&text.as_str()) {
            let cause = format!("expected one of {}, found `{text}`", choices.join(", "));
            return Err(Error::custom(cause).at(self.node.span));
        }
        if schema.get("format").is_some_and(|format| format == "duration") && text != UNKNOWN {
            let duration = GoDuration::parse(&text);
            duration.map_err(|error| Error::custom(error).at(self.node.span))?;
        }
        Ok(text.into())
    }

    fn list_by_schema(self, schema: &Json) -> Result<Json, Error> {
        let items = self.items();
        let value = |item| self.on(item).by_schema(schema);
        items.iter().map(value).collect::<Result<Vec<_>, _>>().map(Json::Array)
    }

    fn map_by_schema(self, schema: &Json) -> Result<Json, Error> {
        let properties = schema.get("properties").and_then(Json::as_object);
        let others = schema.get("additionalProperties").filter(|others| others.is_object());
        let mut map = Map::new();
        for (key, entry) in self.entries()? {
            let own = properties.and_then(|properties| properties.get(key));
            match own.or(others).or(properties.is_none().then_some(&Json::Null)) {
                Some(_) if own.is_some() && entry.value.is_not_given() => {}
                Some(schema) => {
                    let value = self.on_entry(entry).by_schema(schema);
                    map.insert(key.to_owned(), value.map_err(|error| error.under(key))?);
                }
                None => {
                    let known = properties.into_iter().flat_map(Map::keys).map(String::as_str);
                    self.report_unknown(key, entry, known);
                }
            }
        }
        Ok(Json::Object(map))
    }
}
