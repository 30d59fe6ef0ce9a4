//! A component's options, as its structs declare them.

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

/// A struct of options: names, types and defaults from its fields, documentation from its comments.
pub trait Group: DeserializeOwned + JsonSchema + 'static {}
impl<T: DeserializeOwned + JsonSchema + 'static> Group for T {}

/// One option, as `explain` shows it and as [`decode()`](super::decode()) checks it.
#[derive(Clone, Debug)]
pub struct OptionDoc {
    /// The key in the template.
    pub name: String,
    /// Whether the struct cannot be read without it.
    pub required: bool,
    /// Its JSON schema, with `description` and `default`.
    pub schema: Json,
}

impl OptionDoc {
    /// Whether a template writes it as a block: an object with options of its own, or a list of
    /// such.
    pub fn is_block(&self) -> bool {
        !self.inside().is_empty()
    }

    /// The schema of a value that is there: without `null`, which only says that it may be missing.
    pub fn value_schema(&self) -> &Json {
        without_null(&self.schema)
    }

    /// The options of the block that it is, if it is one.
    pub fn inside(&self) -> Vec<Self> {
        let schema = self.value_schema();
        docs_in(without_null(schema.get("items").unwrap_or(schema)))
    }
}

/// The schema of the value itself where `null` is allowed beside it.
pub(super) fn without_null(schema: &Json) -> &Json {
    let is_null = |schema: &Json| schema.get("type").is_some_and(|name| name == "null");
    schema
        .get("anyOf")
        .and_then(Json::as_array)
        .and_then(|choices| choices.iter().find(|choice| !is_null(choice)))
        .unwrap_or(schema)
}

/// A part of a component's options: one struct, or several that belong together.
pub trait Part: Sized + 'static {
    /// Fills it with what `reader` reads; `None` if anything could not be read.
    fn read(reader: &mut impl GroupReader) -> Option<Self>;
    /// Its options, in the order of their declaration.
    fn docs() -> Vec<OptionDoc>;
}

impl<G: Group> Part for G {
    fn read(reader: &mut impl GroupReader) -> Option<Self> {
        reader.read_group(&docs_of::<G>())
    }

    fn docs() -> Vec<OptionDoc> {
        docs_of::<G>().to_vec()
    }
}

/// A tuple of parts that together make a component's options.
pub trait OptionGroups: Sized {
    /// Fills each part with what `reader` reads for it; `None` if any could not be read.
    fn read(reader: &mut impl GroupReader) -> Option<Self>;
    /// The options of all parts, in the order of their declaration. Every component of a type asks
    /// for them, so they are made once and shared.
    fn docs() -> Arc<[OptionDoc]>;
}

/// Reads one group; see [`OptionGroups::read`].
pub trait GroupReader {
    /// The group, or `None` after reporting why not.
    fn read_group<G: Group>(&mut self, docs: &[OptionDoc]) -> Option<G>;
}

/// The options that one struct declares.
fn docs_of<G: Group>() -> Arc<[OptionDoc]> {
    made_once::<G>(generate_docs::<G>)
}

/// The options of `T`, which `make` works out the first time that somebody asks.
fn made_once<T: 'static>(make: impl FnOnce() -> Arc<[OptionDoc]>) -> Arc<[OptionDoc]> {
    static KNOWN: LazyLock<Mutex<HashMap<TypeId, Arc<[OptionDoc]>>>> =
        LazyLock::new(Mutex::default);
    let known = || KNOWN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(docs) = known().get(&TypeId::of::<T>()) {
        return docs.clone();
    }
    // Not under the lock: the options of a tuple are made of those of its structs.
    let docs = make();
    known().entry(TypeId::of::<T>()).or_insert(docs).clone()
}

fn generate_docs<G: Group>() -> Arc<[OptionDoc]> {
    let mut settings = schemars::generate::SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    let schema: Schema = SchemaGenerator::new(settings).into_root_schema_for::<G>();
    docs_in(schema.as_value()).into()
}

/// The options that the JSON schema of a struct lists.
fn docs_in(schema: &Json) -> Vec<OptionDoc> {
    let required = schema.get("required").and_then(Json::as_array);
    let is_required =
        |name: &str| required.is_some_and(|list| list.iter().any(|item| item == name));
    let properties = schema.get("properties").and_then(Json::as_object);
    properties
        .into_iter()
        .flatten()
        .map(|(name, schema)| OptionDoc {
            name: name.clone(),
            required: is_required(name),
            schema: schema.clone(),
        })
        .collect()
}

macro_rules! option_groups {
    ($($part:ident)+) => {
        impl<$($part: Part),+> OptionGroups for ($($part,)+) {
            fn read(reader: &mut impl GroupReader) -> Option<Self> {
                // Every part is read, so that one run shows the errors of all.
                #[expect(non_snake_case, reason = "a variable for each type parameter")]
                let ($($part,)+) = ($($part::read(reader),)+);
                Some(($($part?,)+))
            }
            fn docs() -> Arc<[OptionDoc]> {
                made_once::<Self>(|| [$($part::docs()),+].concat().into())
            }
        }
    };
}
option_groups!(A);
option_groups!(A B);
option_groups!(A B C);
option_groups!(A B C D);
option_groups!(A B C D E);
option_groups!(A B C D E F);
option_groups!(A B C D E F G);
option_groups!(A B C D E F G H);
option_groups!(A B C D E F G H I);

/// Several lists of option names as one of `N`.
pub(crate) const fn joined<const N: usize>(lists: &[&[&'static str]]) -> [&'static str; N] {
    let mut all = [""; N];
    let (mut list, mut at) = (0, 0);
    while list < lists.len() {
        let mut item = 0;
        while item < lists[list].len() {
            all[at] = lists[list][item];
            (item, at) = (item + 1, at + 1);
        }
        list += 1;
    }
    all
}
