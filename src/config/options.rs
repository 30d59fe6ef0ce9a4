//! A component's options, as its structs declare them: data that everyone reads the same way.

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

/// A struct of options: names, types and defaults from its fields, documentation from its comments,
/// and the names that are `x-not-built` from an attribute.
pub trait Group: DeserializeOwned + JsonSchema + 'static {}
impl<T: DeserializeOwned + JsonSchema + 'static> Group for T {}

/// Where the schema of a group lists the options of the reference that are refused by name:
/// `#[schemars(extend("x-not-built" = ["vault_aws_engine"]))]`.
const NOT_BUILT: &str = "x-not-built";
/// What marks a text that no output may show in an option's schema, as JSON Schema has it: it is
/// written, and never read back.
const SECRET: &str = "writeOnly";
/// What marks an object that a template writes as an argument although its members are named.
const ARGUMENT: &str = "x-argument";
/// What marks a group after which the options come that others bring: of connectors, which are
/// registered while the program runs.
const SLOT: &str = "x-slot";
/// Where the schema of a group says what its options were called once, and are today; `null`: nothing
/// needs it any more. `#[schemars(extend("x-renamed" = {"ssh_key_path": "ssh_private_key_file"}))]`.
const RENAMED: &str = "x-renamed";

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
        block_properties(&self.schema).is_some()
    }

    /// The schema of a value that is there: without `null`, which only says that it may be missing.
    pub fn value_schema(&self) -> &Json {
        without_null(&self.schema)
    }

    /// The options of the block that it is, if it is one.
    pub fn inside(&self) -> Vec<Self> {
        docs_in(item_schema(&self.schema))
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

/// The schema of each item where `schema` is that of a list; else of the value itself, which stands
/// for a list of one.
pub(super) fn item_schema(schema: &Json) -> &Json {
    let schema = without_null(schema);
    without_null(schema.get("items").unwrap_or(schema))
}

/// The options inside of what a template writes as a block.
pub fn block_properties(schema: &Json) -> Option<&Json> {
    let schema = item_schema(schema);
    schema.get("properties").filter(|_| schema.get(ARGUMENT).is_none())
}

/// The type that `schema` names, where it is one beside `null`.
pub fn plain_type(schema: &Json) -> Option<&str> {
    match schema.get("type")? {
        Json::String(name) => Some(name),
        Json::Array(names) => names.iter().filter_map(Json::as_str).find(|name| *name != "null"),
        _ => None,
    }
}

/// Whether a text of this schema is one that no output may show.
pub(super) fn is_secret(schema: &Json) -> bool {
    schema.get(SECRET).is_some_and(|is| is == true)
}

/// All options of a component.
#[derive(Clone, Debug, Default)]
pub struct OptionSchema {
    options: Vec<OptionDoc>,
    /// Where each is in `options`.
    places: HashMap<String, usize>,
    not_built: Vec<String>,
    /// Names of another time, and today's.
    renamed: Vec<(String, Option<String>)>,
    /// Before which of `options` those of others come.
    slot: Option<usize>,
}

impl OptionSchema {
    /// The options that the JSON schema of an object lists as its `properties`. Subschemas must be
    /// in their places: `$ref` leads nowhere.
    pub fn of_json(schema: &Json) -> Self {
        let not_built = schema.get(NOT_BUILT).and_then(Json::as_array).into_iter().flatten();
        let not_built = not_built.filter_map(Json::as_str).map(str::to_owned).collect();
        let renamed = schema.get(RENAMED).and_then(Json::as_object).into_iter().flatten();
        let today =
            |(name, today): (&String, &Json)| (name.clone(), today.as_str().map(str::to_owned));
        let renamed = renamed.map(today).collect();
        let options = docs_in(schema);
        let slot = schema.get(SLOT).map(|_| options.len());
        Self { not_built, renamed, slot, ..Self::new(options) }
    }

    fn new(options: Vec<OptionDoc>) -> Self {
        let places = options.iter().enumerate().map(|(at, option)| (option.name.clone(), at));
        let places: HashMap<_, _> = places.collect();
        debug_assert_eq!(places.len(), options.len(), "two groups declare the same option");
        Self { options, places, ..Self::default() }
    }

    /// The options of several groups as those of one component.
    pub fn joined(groups: &[Arc<Self>]) -> Self {
        let options = groups.iter().flat_map(|group| group.options.iter().cloned()).collect();
        let mut before = 0;
        let mut slot = None;
        for group in groups {
            slot = slot.or(group.slot.map(|slot| before + slot));
            before += group.options.len();
        }
        Self {
            not_built: groups.iter().flat_map(|group| group.not_built.iter().cloned()).collect(),
            renamed: groups.iter().flat_map(|group| group.renamed.iter().cloned()).collect(),
            slot,
            ..Self::new(options)
        }
    }

    /// Whether the options of others belong to the component, too.
    pub fn takes_others(&self) -> bool {
        self.slot.is_some()
    }

    /// These options with those of `others`, where they take them.
    pub fn filled(self: Arc<Self>, others: &[Arc<Self>]) -> Arc<Self> {
        let Some(slot) = self.slot.filter(|_| !others.is_empty()) else { return self };
        let mut options = self.options.clone();
        let (mut not_built, mut renamed) = (self.not_built.clone(), self.renamed.clone());
        // What one of them needs, is needed only where it is chosen.
        let theirs = others.iter().flat_map(|other| &other.options);
        options.splice(slot..slot, theirs.map(|one| OptionDoc { required: false, ..one.clone() }));
        for other in others {
            not_built.extend_from_slice(&other.not_built);
            renamed.extend_from_slice(&other.renamed);
        }
        Arc::new(Self { not_built, renamed, ..Self::new(options) })
    }

    /// In the order of their declaration.
    pub fn options(&self) -> &[OptionDoc] {
        &self.options
    }

    /// The option `name`.
    pub fn get(&self, name: &str) -> Option<&OptionDoc> {
        self.options.get(*self.places.get(name)?)
    }

    /// Options of the reference that are refused by name.
    pub fn not_built(&self) -> &[String] {
        &self.not_built
    }

    /// What the option of another time is called today, `None` if nothing needs it any more.
    pub fn renamed(&self, name: &str) -> Option<Option<&str>> {
        let known = self.renamed.iter().find(|(old, _)| old == name);
        known.map(|(_, today)| today.as_deref())
    }

    /// All names of another time, with today's. For tests that hold `fix` against them.
    pub fn all_renamed(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.renamed.iter().map(|(old, today)| (old.as_str(), today.as_deref()))
    }

    /// Whether there is an option at `path` (`ami_name`, `source_ami_filter.owners`), or could be: in
    /// a map anything may be a key, and a number is the place in a list.
    pub fn has(&self, path: &str) -> bool {
        let mut keys = path.split('.');
        let Some(option) = keys.next().and_then(|name| self.get(name)) else { return false };
        let mut schema = &option.schema;
        for key in keys {
            let is_place = key.bytes().all(|byte| byte.is_ascii_digit());
            match item_schema(schema).get("properties") {
                Some(_) if is_place => schema = item_schema(schema),
                Some(properties) => match properties.get(key) {
                    Some(inner) => schema = inner,
                    None => return false,
                },
                None => return true,
            }
        }
        true
    }
}

/// A part of a component's options: one struct, or several that belong together.
pub trait Part: Sized + 'static {
    /// Fills it with what `reader` reads; `None` if anything could not be read.
    fn read(reader: &mut impl GroupReader) -> Option<Self>;
    /// Its options.
    fn schema() -> Arc<OptionSchema>;
}

impl<G: Group> Part for G {
    fn read(reader: &mut impl GroupReader) -> Option<Self> {
        reader.read_group(&Self::schema())
    }

    fn schema() -> Arc<OptionSchema> {
        made_once::<Self>(generate_schema::<Self>)
    }
}

/// A tuple of parts that together make a component's options.
pub trait OptionGroups: Sized {
    /// Fills each part with what `reader` reads for it; `None` if any could not be read.
    fn read(reader: &mut impl GroupReader) -> Option<Self>;
    /// The options of all parts. Every component of a type asks for them, so they are made once and
    /// shared.
    fn schema() -> Arc<OptionSchema>;
}

/// Reads one group; see [`OptionGroups::read`].
pub trait GroupReader {
    /// The group, or `None` after reporting why not.
    fn read_group<G: Group>(&mut self, schema: &OptionSchema) -> Option<G>;
}

/// The options of `T`, which `make` works out the first time that somebody asks.
fn made_once<T: 'static>(make: impl FnOnce() -> OptionSchema) -> Arc<OptionSchema> {
    static KNOWN: LazyLock<Mutex<HashMap<TypeId, Arc<OptionSchema>>>> =
        LazyLock::new(Mutex::default);
    let known = || KNOWN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(schema) = known().get(&TypeId::of::<T>()) {
        return schema.clone();
    }
    // Not under the lock: the options of a tuple are made of those of its structs.
    let schema = Arc::new(make());
    known().entry(TypeId::of::<T>()).or_insert(schema).clone()
}

fn generate_schema<G: Group>() -> OptionSchema {
    let mut settings = schemars::generate::SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    let schema: Schema = SchemaGenerator::new(settings).into_root_schema_for::<G>();
    OptionSchema::of_json(schema.as_value())
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
            fn schema() -> Arc<OptionSchema> {
                made_once::<Self>(|| OptionSchema::joined(&[$($part::schema()),+]))
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
option_groups!(A B C D E F G H I J);
option_groups!(A B C D E F G H I J K);
option_groups!(A B C D E F G H I J K L);
