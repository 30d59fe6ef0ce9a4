//! What there is to know of a diagnostic's code, a component, an option or a function, read off
//! the place that declares it.

mod component;
mod schema;
mod text;

use std::sync::Arc;

use indexmap::IndexMap;
use serde::Serialize;

use crate::diagnostic::{Code, code, did_you_mean};
use crate::env::Environment;
use crate::eval::{self, Signature};
use crate::registry::Registry;

pub use self::component::{ComponentPage, OptionPage, OutputPage};
pub use self::text::{contents_text, text};

/// One answer.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "topic", rename_all = "kebab-case")]
pub enum Page {
    /// A diagnostic's code.
    Code(CodePage),
    /// A component: a builder, a provisioner, a communicator, …
    Component(ComponentPage),
    /// One option of a component.
    Option(OptionPage),
    /// A component of a plugin that is not installed, or what Packer has and imgbake refuses by name.
    NotBuilt(NotBuilt),
    /// A function of HCL2 templates.
    Function(Signature),
}

/// A code and its page.
#[derive(Clone, Debug, Serialize)]
pub struct CodePage {
    /// `T101`.
    pub code: &'static str,
    /// In one sentence.
    pub title: &'static str,
    /// Markdown; see [`Code::page`].
    pub page: &'static str,
}

/// What imgbake knows of, but does not have.
#[derive(Clone, Debug, Serialize)]
pub struct NotBuilt {
    /// `builder`, or `option of the builder amazon-ebs`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The source of the plugin that has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
}

/// All topics.
#[derive(Clone, Debug, Serialize)]
pub struct Contents {
    /// The codes with their titles.
    pub codes: Vec<Listed>,
    /// The components by kind: `builders`, `post_processors`, …
    #[serde(flatten)]
    pub components: IndexMap<String, Vec<Listed>>,
    /// The functions, with their signatures.
    pub functions: Vec<Listed>,
}

/// A topic in one line.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    /// What to ask for.
    pub name: String,
    /// What it is.
    pub title: String,
}

/// Nothing is called like that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// The name nearest to it.
    pub meant: Option<String>,
}

/// What answers are read off.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The components that there are.
    pub registry: &'a Registry,
    /// What a component may look at to say what it needs.
    pub environment: &'a Arc<Environment>,
}

/// All that is called `topic`: a code, a component, `component.option` (and so on into blocks), or
/// a function.
pub fn find(topic: &str, known: Known<'_>) -> Result<Vec<Page>, Unknown> {
    let mut pages = Vec::new();
    pages.extend(Code::find(topic).map(|code| Page::Code(CodePage::of(code))));
    pages.extend(component::pages(topic, known));
    pages.extend(eval::signature(topic).map(Page::Function));
    if pages.is_empty() { Err(Unknown { meant: nearest(topic, known) }) } else { Ok(pages) }
}

fn nearest(topic: &str, known: Known<'_>) -> Option<String> {
    let registry = known.registry;
    if let Some(option) = component::nearest_option(topic, registry) {
        return Some(option);
    }
    let mut names: Vec<&str> = code::ALL.iter().map(|code| code.name()).collect();
    names.extend(component::names(registry));
    let installed = registry.installed(known.environment);
    names.extend(installed.iter().map(|(_, name, _)| name.as_str()));
    names.extend(eval::function_names().map(|name| -> &str { name }));
    did_you_mean(topic, names).map(str::to_owned)
}

/// What a topic that begins with `start` can become: once it names a component and a point, its
/// options.
pub fn topics(start: &str, known: Known<'_>) -> Vec<Listed> {
    if let Some((component, _)) = start.split_once('.') {
        let registry = known.registry.with_installed(component, known.environment);
        return component::options_listed(start, &registry);
    }
    let Contents { codes, components, functions } = contents(known);
    codes.into_iter().chain(components.into_values().flatten()).chain(functions).collect()
}

/// The table of contents.
pub fn contents(known: Known<'_>) -> Contents {
    let code =
        |code: &Code| Listed { name: code.name().to_owned(), title: code.title().to_owned() };
    let function = |name: &str| {
        Some(Listed { name: name.to_owned(), title: eval::signature(name)?.to_string() })
    };
    Contents {
        codes: code::ALL.iter().map(code).collect(),
        components: component::listed(known),
        functions: eval::function_names().filter_map(function).collect(),
    }
}

impl CodePage {
    fn of(code: Code) -> Self {
        Self { code: code.name(), title: code.title(), page: code.page() }
    }
}
