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
    /// Its JSON schema, with `description` and `default`.
    pub schema: Json,
}

impl OptionDoc {
    /// Whether a template writes it as a block: an object with options of its own, or a list of
    /// such.
    pub fn is_block(&self) -> bool {
        let is_object = |schema: &Json| schema.get("properties").is_some();
        is_object(&self.schema) || self.schema.get("items").is_some_and(is_object)
    }
}

/// One struct of options, or a tuple of several that together make a component's options.
pub trait OptionGroups: Sized {
    /// Fills each struct with what `reader` reads for it; `None` if any could not be read.
    fn read(reader: &mut impl GroupReader) -> Option<Self>;
    /// The options of all structs, in the order of their declaration.
    fn docs() -> Vec<OptionDoc>;
}

/// Reads one group; see [`OptionGroups::read`].
pub trait GroupReader {
    /// The group, or `None` after reporting why not.
    fn read_group<G: Group>(&mut self, docs: &[OptionDoc]) -> Option<G>;
}

/// The options that one struct declares; worked out once for each struct.
fn docs_of<G: Group>() -> Arc<[OptionDoc]> {
    static KNOWN: LazyLock<Mutex<HashMap<TypeId, Arc<[OptionDoc]>>>> =
        LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    known.entry(TypeId::of::<G>()).or_insert_with(generate_docs::<G>).clone()
}

fn generate_docs<G: Group>() -> Arc<[OptionDoc]> {
    let mut settings = schemars::generate::SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    let schema: Schema = SchemaGenerator::new(settings).into_root_schema_for::<G>();
    let properties = schema.get("properties").and_then(Json::as_object);
    properties
        .into_iter()
        .flatten()
        .map(|(name, schema)| OptionDoc { name: name.clone(), schema: schema.clone() })
        .collect()
}

macro_rules! option_groups {
    ($($group:ident)+) => {
        impl<$($group: Group),+> OptionGroups for ($($group,)+) {
            fn read(reader: &mut impl GroupReader) -> Option<Self> {
                // Every group is read, so that one run shows the errors of all.
                #[expect(non_snake_case, reason = "a variable for each type parameter")]
                let ($($group,)+) = ($(reader.read_group::<$group>(&docs_of::<$group>()),)+);
                Some(($($group?,)+))
            }
            fn docs() -> Vec<OptionDoc> {
                [$(docs_of::<$group>()),+].iter().flat_map(|docs| docs.iter().cloned()).collect()
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
