//! A plugin's data source as one of ours.

use std::io::Cursor;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use async_trait::async_trait;
use rmpv::Value;
use serde_json::Value as Json;

use super::gob_cty;
use super::options::is_secret;
use super::pack::{self, error_in, field};
use super::prepare::Options;
use super::remote::Remote;
use super::spec::Type;
use crate::component::{DataSource, OnError, Output, Outputs};
use crate::guest::harmless;
use crate::secret::Secret;

/// How long a data source may take to answer.
const ANSWER: Duration = Duration::from_secs(10 * 60);

/// A data source that a plugin has.
#[derive(Debug)]
pub struct PluginDataSource {
    remote: Remote,
    options: Options,
}

impl PluginDataSource {
    /// The data source `remote` with `options`.
    pub fn new(remote: Remote, options: Options) -> Self {
        Self { remote, options }
    }
}

#[async_trait]
impl DataSource for PluginDataSource {
    async fn look_up(&self) -> anyhow::Result<Outputs> {
        let process = self.options.ready(&self.remote, OnError::Cleanup).await?;
        let answer = process.call("Datasource.Execute", Value::Nil, ANSWER).await?;
        if let Some(error) = error_in(&answer, "Error") {
            bail!("{}", harmless(error.as_bytes()));
        }
        self.remote.give_back(process);
        let bytes = field(&answer, "Value").and_then(Value::as_slice).unwrap_or_default();
        let (ty, value) = match self.remote.identity().speaks_protobuf {
            true => value(bytes),
            false => gob_cty::value(bytes),
        }
        .map_err(|error| anyhow!("its answer cannot be read: {error}"))?;
        let (Type::Object(_), Json::Object(fields)) = (ty, value) else {
            bail!("its answer is no object");
        };
        Ok(Outputs(fields.into_iter().map(output).collect()))
    }
}

/// Plugins do not say which of their outputs are secret.
fn output((name, value): (String, Json)) -> (String, Output) {
    let output = match value {
        Json::String(text) if is_secret(&name) => Output::Secret(Secret::new(text)),
        value => Output::Public(value),
    };
    (name, output)
}

/// A value with its type: a list of the type as JSON, and the value.
fn value(bytes: &[u8]) -> Result<(Type, Json), String> {
    let read = rmpv::decode::read_value_with_max_depth(&mut Cursor::new(bytes), 64);
    let read = read.map_err(|error| error.to_string())?;
    let Some([ty, value]) = read.as_array().map(Vec::as_slice) else {
        return Err("it is no value with its type".to_owned());
    };
    let ty = ty.as_slice().context("no type").and_then(|json| Ok(serde_json::from_slice(json)?));
    let ty = ty.ok().as_ref().and_then(Type::from_json).ok_or("its type is unknown")?;
    Ok((ty.clone(), plain(&ty, value)?))
}

/// `value` of the type `ty`: numbers may be texts, and what is not known has no value.
fn plain(ty: &Type, value: &Value) -> Result<Json, String> {
    Ok(match (ty, value) {
        (_, Value::Nil) => Json::Null,
        (_, Value::Ext(..)) => return Err("a part of it is not known".to_owned()),
        (Type::Number, Value::String(text)) => {
            let text = text.as_str().unwrap_or_default();
            let number = text.parse::<serde_json::Number>();
            number.map(Json::Number).map_err(|_| format!("{text:?} is no number"))?
        }
        (Type::List(of) | Type::Set(of), Value::Array(items)) => {
            items.iter().map(|item| plain(of, item)).collect::<Result<_, _>>()?
        }
        (Type::Tuple(types), Value::Array(items)) => {
            let each = types.iter().zip(items);
            each.map(|(ty, item)| plain(ty, item)).collect::<Result<_, _>>()?
        }
        (Type::Map(of), Value::Map(entries)) => {
            let entry = |(key, value): &(Value, Value)| {
                Ok((pack::text(key).ok_or("a key is no text")?, plain(of, value)?))
            };
            Json::Object(entries.iter().map(entry).collect::<Result<_, String>>()?)
        }
        (Type::Object(fields), Value::Map(_)) => {
            let entry = |(name, ty): &(String, Type)| {
                let value = field(value, name).unwrap_or(&Value::Nil);
                Ok((name.clone(), plain(ty, value)?))
            };
            Json::Object(fields.iter().map(entry).collect::<Result<_, String>>()?)
        }
        _ => pack::to_json(value),
    })
}
