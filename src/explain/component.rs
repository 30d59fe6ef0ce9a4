//! Components and their options.

use indexmap::IndexMap;
use serde::Serialize;
use serde_json::Value as Json;

use super::{Known, Listed, NotBuilt, Page, schema};
use crate::component::{Described, Facts, OutputType};
use crate::config::{Node, OptionDoc, needs_message};
use crate::diagnostic::{code, did_you_mean};
use crate::interpolate::Scope;
use crate::plan::meta_arguments;
use crate::registry::{AnyKind, Registry};
use crate::secret::Redactor;
use crate::source::{SourceMap, Span};

/// A component.
#[derive(Clone, Debug, Serialize)]
pub struct ComponentPage {
    /// `builder`, `provisioner`, `post-processor`, `data source` or `communicator`.
    pub kind: &'static str,
    /// `amazon-ebs`.
    pub name: String,
    /// What it does.
    pub about: String,
    /// In the order of their declaration.
    pub options: Vec<OptionPage>,
    /// Those that all components of this kind have.
    pub meta_arguments: Vec<OptionPage>,
    /// Options of Packer that are refused by name.
    pub not_built: Vec<String>,
    /// Names that it adds to `build.*`.
    pub build_data: Vec<String>,
    /// What a data source answers: names and their types.
    pub outputs: Vec<OutputPage>,
}

/// What a data source answers by one name.
#[derive(Clone, Debug, Serialize)]
pub struct OutputPage {
    /// The name.
    pub name: String,
    /// In words.
    pub r#type: &'static str,
}

impl OutputPage {
    fn of((name, output): &(String, OutputType)) -> Self {
        let r#type = match output {
            OutputType::Any => "any value",
            OutputType::String => "string",
            OutputType::Strings => "map of strings",
        };
        Self { name: name.clone(), r#type }
    }
}

/// An option.
#[derive(Clone, Debug, Serialize)]
pub struct OptionPage {
    /// The kind of its component.
    pub kind: &'static str,
    /// What to ask for: `amazon-ebs.source_ami_filter.owners`.
    pub path: String,
    /// In words.
    pub r#type: String,
    /// Whether the component refuses a template without it. What is needed only beside another
    /// option is not.
    pub required: bool,
    /// What counts where it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Json>,
    /// What it is for.
    pub text: String,
    /// The options of a block.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<OptionPage>,
}

impl OptionPage {
    /// The last part of the path.
    pub fn name(&self) -> &str {
        self.path.rsplit('.').next().unwrap_or(&self.path)
    }

    fn of(kind: &'static str, parent: &str, doc: &OptionDoc) -> Self {
        let path = format!("{parent}.{}", doc.name);
        Self {
            kind,
            r#type: schema::type_of(doc),
            required: doc.required,
            default: schema::default_of(doc),
            text: schema::text_of(doc),
            options: doc.inside().iter().map(|inner| Self::of(kind, &path, inner)).collect(),
            path,
        }
    }
}

/// The pages of all components, or of options of all components, that `topic` names.
pub fn pages(topic: &str, known: Known<'_>) -> Vec<Page> {
    known.registry.kinds().flat_map(|kind| pages_of(kind, topic, known)).collect()
}

fn pages_of(kind: &dyn AnyKind, topic: &str, known: Known<'_>) -> Vec<Page> {
    let (name, path) = match topic.split_once('.') {
        Some((name, path)) => (name, Some(path)),
        None => (topic, None),
    };
    let not_built = |kind: String, name: &str, plugin: Option<&str>| {
        Page::NotBuilt(NotBuilt { kind, name: name.into(), plugin: plugin.map(str::to_owned) })
    };
    let Some(component) = kind.component(name) else {
        let is_known = path.is_none() && kind.not_built().contains(&name);
        let plugin = known.registry.plugins().source_of(name);
        let page = is_known.then(|| not_built(kind.name().to_owned(), name, plugin));
        return page.into_iter().collect();
    };
    let page = page_of(kind.name(), component, known);
    let Some(path) = path else { return vec![Page::Component(page)] };
    if page.not_built.iter().any(|name| name == path) {
        return vec![not_built(format!("option of the {} {name}", kind.name()), path, None)];
    }
    let all = page.options.iter().chain(&page.meta_arguments);
    all.filter_map(|option| inside(option, topic)).map(Page::Option).collect()
}

/// `option` itself or the one in its blocks that is called `path`.
fn inside(option: &OptionPage, path: &str) -> Option<OptionPage> {
    if option.path == path {
        return Some(option.clone());
    }
    option.options.iter().find_map(|option| inside(option, path))
}

fn page_of(kind: &'static str, component: &dyn Described, known: Known<'_>) -> ComponentPage {
    let description = component.description();
    let (name, schema) = (description.name.as_str(), known.registry.options_of(component));
    let page = |doc: &OptionDoc| OptionPage::of(kind, name, doc);
    let mut options: Vec<OptionPage> = schema.options().iter().map(page).collect();
    let required = required(component, known);
    for option in &mut options {
        option.required |= required.contains(&needs_message(name, option.name()));
    }
    let meta_arguments = meta_arguments(kind).into_iter();
    let meta_arguments = meta_arguments.filter(|option| schema.get(&option.name).is_none());
    ComponentPage {
        kind,
        name: name.to_owned(),
        about: description.about.clone(),
        meta_arguments: meta_arguments.map(|option| page(&option)).collect(),
        options,
        not_built: schema.not_built().to_vec(),
        build_data: description.build_data.to_vec(),
        outputs: description.outputs.iter().map(OutputPage::of).collect(),
    }
}

/// What the component says it needs when it is given nothing.
fn required(component: &dyn Described, known: Known<'_>) -> Vec<String> {
    let nowhere = Span::new(SourceMap::default().add("", ""), 0, 0);
    let facts = Facts::without_build("", Scope::new(known.environment.clone()))
        .with_connectors(known.registry.connectors());
    let found = component.find_faults(&Node::empty(nowhere), &facts, &Redactor::default());
    let missing = found.0.into_iter().filter(|found| found.code == code::MISSING_OPTION);
    missing.map(|found| found.summary).collect()
}

/// All components by name.
pub fn names(registry: &Registry) -> impl Iterator<Item = &str> {
    registry.kinds().flat_map(|kind| {
        let built = kind.components().map(|component| component.description().name.as_str());
        built.chain(kind.not_built().iter().copied())
    })
}

/// The components by kind, under the names that lists of them have.
pub fn listed(known: Known<'_>) -> IndexMap<String, Vec<Listed>> {
    let line = |component: &dyn Described| {
        let description = component.description();
        Listed { name: description.name.clone(), title: description.about.clone() }
    };
    let list = |kind: &dyn AnyKind| (list_name(kind), kind.components().map(line).collect());
    let mut listed: IndexMap<_, Vec<_>> = known.registry.kinds().map(list).collect();
    // Those of installed plugins: to know their options, the plugins would have to be started.
    for (role, name, source) in known.registry.installed(known.environment) {
        let title = format!("A component of the plugin {source}.");
        let list = listed.entry(list_name(known.registry.kind_of(role))).or_default();
        list.push(Listed { name, title });
    }
    listed
}

/// What the list of all of a kind is called: `data_sources`.
fn list_name(kind: &dyn AnyKind) -> String {
    kind.name().replace(['-', ' '], "_") + "s"
}

/// How people read the name of a list: `Data sources` of `data_sources`.
pub fn heading(list: &str) -> String {
    let words = match list {
        "post_processors" => "post-processors".to_owned(),
        other => other.replace('_', " "),
    };
    let (first, rest) = words.split_at(words.len().min(1));
    first.to_uppercase() + rest
}

/// The options of the component that `topic` begins with.
pub fn options_listed(topic: &str, registry: &Registry) -> Vec<Listed> {
    let name = topic.split_once('.').map_or(topic, |(name, _)| name);
    let components = registry.kinds().filter_map(|kind| kind.component(name));
    let options =
        components.flat_map(|component| registry.options_of(component).options().to_vec());
    let line = |option: OptionDoc| Listed {
        name: format!("{name}.{}", option.name),
        title: schema::text_of(&option),
    };
    options.map(line).collect()
}

/// For `component.option` with an option that does not exist: the nearest that does.
pub fn nearest_option(topic: &str, registry: &Registry) -> Option<String> {
    let (name, path) = topic.split_once('.')?;
    let components = registry.kinds().filter_map(|kind| kind.component(name));
    let schemas: Vec<_> = components.map(|component| registry.options_of(component)).collect();
    let names = schemas.iter().flat_map(|schema| {
        let built = schema.options().iter().map(|option| &option.name);
        built.chain(schema.not_built()).map(String::as_str)
    });
    Some(format!("{name}.{}", did_you_mean(path, names)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heading_of_a_list_is_the_kind_as_messages_call_it() {
        let registry = Registry::built_in();
        for kind in registry.kinds() {
            let heading = heading(&list_name(kind));
            assert_eq!(heading.to_lowercase(), format!("{}s", kind.name()));
        }
    }
}
