//! `data` blocks → values. Who answers them is not known here.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::config::Node;
use crate::diagnostic::Diagnostics;
use crate::secret::Secret;
use crate::source::Spanned;
use crate::template::ast::Block;

use super::expr::{Eval, Evaluator};
use super::place::from_json;
use super::types::Type;
use super::value::{Data, Value};

/// The type of what a data source answers, which templates may rely on before it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputType {
    /// Anything.
    Any,
    /// A text.
    String,
    /// A map of texts.
    Strings,
}

/// The answer of a data source: a value for each of the outputs that it has declared.
#[derive(Clone, Debug, Default)]
pub struct Outputs(pub BTreeMap<String, Output>);

impl<const N: usize> From<[(&str, Output); N]> for Outputs {
    fn from(outputs: [(&str, Output); N]) -> Self {
        Self(outputs.into_iter().map(|(name, output)| (name.to_owned(), output)).collect())
    }
}

/// One value of an answer.
#[derive(Clone, Debug)]
pub enum Output {
    /// Everyone may see it.
    Public(serde_json::Value),
    /// A text that no output may show.
    Secret(Secret),
}

impl<T: Into<serde_json::Value>> From<T> for Output {
    fn from(value: T) -> Self {
        Self::Public(value.into())
    }
}

/// Answers the `data` blocks of a template.
pub trait DataSources: fmt::Debug + Send + Sync {
    /// Checks `body`, the options of the data source `name` of the type `kind`, and asks it unless
    /// nobody wants to know. What is worth a warning comes back beside the answer.
    fn look_up(
        &self,
        kind: &Spanned<String>,
        name: &str,
        body: &Node,
    ) -> Result<(Answer, Diagnostics), Diagnostics>;
}

/// What a data source says.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The names and types of its outputs.
    pub types: Arc<[(String, OutputType)]>,
    /// Their values; `None` if it was not asked.
    pub outputs: Option<Outputs>,
}

impl Evaluator<'_> {
    /// The value of `data.<type>.<name>`.
    pub(super) fn data(
        &self,
        block: &Block,
        [_, name]: [&str; 2],
        sources: &dyn DataSources,
    ) -> Eval<(Value, Diagnostics)> {
        let body = self.body_node(&block.body)?;
        let kind = block.labels.first().unwrap_or(&block.kind);
        let (answer, warnings) = sources.look_up(kind, name, &body)?;
        for output in answer.outputs.iter().flat_map(|outputs| outputs.0.values()) {
            if let Output::Secret(secret) = output {
                self.host.redactor.register(secret.expose());
            }
        }
        Ok((value(&answer), warnings))
    }
}

fn value(answer: &Answer) -> Value {
    let value = |(name, ty): &(String, OutputType)| -> (Arc<str>, Value) {
        let value = match answer.outputs.as_ref().map(|outputs| outputs.0.get(name)) {
            None => output(*ty, None),
            Some(None) => output(*ty, Some(&serde_json::Value::Null)),
            Some(Some(Output::Public(value))) => output(*ty, Some(value)),
            Some(Some(Output::Secret(secret))) => Value::string(secret.expose()).marked(true),
        };
        (name.as_str().into(), value)
    };
    Value::object(answer.types.iter().map(value))
}

/// An output that everyone may see, unknown if the data source was not asked.
fn output(ty: OutputType, known: Option<&serde_json::Value>) -> Value {
    let ty = match ty {
        OutputType::Any => return known.map_or(Value::UNKNOWN, from_json),
        OutputType::String => Type::String,
        OutputType::Strings => Type::Map(Arc::new(Type::String)),
    };
    match known {
        None => Data::Unknown(ty).public(),
        Some(serde_json::Value::Object(entries)) => {
            let entries =
                entries.iter().map(|(key, value)| (key.as_str().into(), from_json(value)));
            Value::map(Type::String, entries.collect::<BTreeMap<Arc<str>, Value>>())
        }
        Some(known) => from_json(known),
    }
}
