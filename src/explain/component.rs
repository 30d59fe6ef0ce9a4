//! Components and their options.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value as Json;

use super::{Listed, NotBuilt, Page, schema};
use crate::component::{Facts, Registered, needs};
use crate::config::{Node, OptionDoc};
use crate::diagnostic::{code, did_you_mean};
use crate::env::Environment;
use crate::interpolate::Scope;
use crate::plan::meta_arguments;
use crate::registry::{BUILDER, DATA_SOURCE, Kind, POST_PROCESSOR, PROVISIONER};
use crate::secret::Redactor;
use crate::source::{SourceMap, Span};

/// A component.
#[derive(Clone, Debug, Serialize)]
pub struct ComponentPage {
    /// `builder`, `provisioner` or `post-processor`.
    pub kind: &'static str,
    /// `amazon-ebs`.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// In the order of their declaration.
    pub options: Vec<OptionPage>,
    /// Those that all components of this kind have.
    pub meta_arguments: Vec<OptionPage>,
    /// Options of the usual tool that are refused by name.
    pub not_built: &'static [&'static str],
    /// Names that it adds to `build.*`.
    pub build_data: &'static [&'static str],
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
pub fn pages(topic: &str, environment: &Arc<Environment>) -> Vec<Page> {
    [
        pages_of(&BUILDER, topic, environment),
        pages_of(&PROVISIONER, topic, environment),
        pages_of(&POST_PROCESSOR, topic, environment),
        pages_of(&DATA_SOURCE, topic, environment),
    ]
    .concat()
}

fn pages_of<T: ?Sized>(kind: &Kind<T>, topic: &str, environment: &Arc<Environment>) -> Vec<Page> {
    let (name, path) = match topic.split_once('.') {
        Some((name, path)) => (name, Some(path)),
        None => (topic, None),
    };
    let not_built = |kind: String, name: &str| Page::NotBuilt(NotBuilt { kind, name: name.into() });
    let Some(registered) = kind.built.iter().find(|registered| registered.name == name) else {
        let known = path.is_none() && kind.not_built.contains(&name);
        return known.then(|| not_built(kind.name.to_owned(), name)).into_iter().collect();
    };
    let page = page_of(kind.name, registered, environment);
    let Some(path) = path else { return vec![Page::Component(page)] };
    if page.not_built.contains(&path) {
        return vec![not_built(format!("option of the {} {name}", kind.name), path)];
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

fn page_of<T: ?Sized>(
    kind: &'static str,
    registered: &Registered<T>,
    environment: &Arc<Environment>,
) -> ComponentPage {
    let name = registered.name;
    let page = |doc: &OptionDoc| OptionPage::of(kind, name, doc);
    let mut options: Vec<OptionPage> = (registered.options)().iter().map(page).collect();
    let required = required(registered, environment);
    for option in &mut options {
        option.required |= required.contains(&needs(name, option.name()));
    }
    let own: Vec<String> = options.iter().map(|option| option.path.clone()).collect();
    let meta_arguments = meta_arguments(kind);
    let meta_arguments = meta_arguments.iter().map(page);
    ComponentPage {
        kind,
        name,
        about: registered.about,
        meta_arguments: meta_arguments.filter(|option| !own.contains(&option.path)).collect(),
        options,
        not_built: registered.not_built,
        build_data: registered.build_data,
    }
}

/// What the component says it needs when it is given nothing.
fn required<T: ?Sized>(registered: &Registered<T>, environment: &Arc<Environment>) -> Vec<String> {
    let nowhere = Span::new(SourceMap::default().add("", ""), 0, 0);
    let facts = Facts {
        build_name: String::new(),
        builder_type: String::new(),
        force: false,
        debug: false,
        scope: Scope::new(environment.clone()),
    };
    match (registered.prepare)(&Node::empty(nowhere), &facts, &Redactor::default()) {
        Ok(_) => Vec::new(),
        Err(found) => {
            let missing = found.0.into_iter().filter(|found| found.code == code::MISSING_OPTION);
            missing.map(|found| found.summary).collect()
        }
    }
}

/// All components by name.
pub fn names() -> impl Iterator<Item = &'static str> {
    fn of<T: ?Sized>(kind: &'static Kind<T>) -> impl Iterator<Item = &'static str> {
        let built = kind.built.iter().map(|registered| registered.name);
        built.chain(kind.not_built.iter().copied())
    }
    of(&BUILDER).chain(of(&PROVISIONER)).chain(of(&POST_PROCESSOR)).chain(of(&DATA_SOURCE))
}

/// The components by kind.
pub fn listed() -> [Vec<Listed>; 4] {
    fn of<T: ?Sized>(kind: &'static Kind<T>) -> Vec<Listed> {
        let line = |registered: &Registered<T>| Listed {
            name: registered.name,
            title: registered.about.to_owned(),
        };
        kind.built.iter().map(line).collect()
    }
    [of(&BUILDER), of(&PROVISIONER), of(&POST_PROCESSOR), of(&DATA_SOURCE)]
}

/// For `component.option` with an option that does not exist: the nearest that does.
pub fn nearest_option(topic: &str) -> Option<String> {
    fn options<T: ?Sized>(kind: &'static Kind<T>, name: &str) -> Vec<String> {
        let found = kind.built.iter().find(|registered| registered.name == name);
        let Some(registered) = found else { return Vec::new() };
        let docs = (registered.options)();
        let names = docs.iter().map(|doc| doc.name.as_str());
        names.chain(registered.not_built.iter().copied()).map(str::to_owned).collect()
    }
    let (name, path) = topic.split_once('.')?;
    let all = [
        options(&BUILDER, name),
        options(&PROVISIONER, name),
        options(&POST_PROCESSOR, name),
        options(&DATA_SOURCE, name),
    ];
    let meant = did_you_mean(path, all.iter().flatten().map(String::as_str))?;
    Some(format!("{name}.{meant}"))
}
