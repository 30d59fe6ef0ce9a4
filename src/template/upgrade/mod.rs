//! A legacy template → the same template in HCL2.
//!
//! The result is what Packer writes, but for four things: `only`, `except` and `override`
//! name the sources as HCL2 does, `{{build_name}}` is the name of the source and not of the
//! `build` block, a name that HCL2 cannot take is changed, and a map of objects is no block, which
//! HCL2 would refuse.

mod build;
mod data;
mod names;
mod options;
#[cfg(test)]
mod tests;
mod text;
mod variables;
mod write;

use self::build::Upgraded;
use std::sync::Arc;

use self::data::Images;
use self::names::Names;
use self::options::Known;
use self::text::Texts;
use self::write::{Block, Item, Value, quoted};
use crate::config::OptionSchema;
use crate::template::ast::{Build, Dialect, Role, Template};

/// Plugins whose components a template can use only if it requires them.
const PLUGINS: &[&str] = &[
    "amazon",
    "ansible",
    "azure",
    "docker",
    "googlecompute",
    "qemu",
    "vagrant",
    "virtualbox",
    "vmware",
    "vsphere",
];

/// The components that there are: they know which of their options are blocks.
pub trait Components {
    /// The options of the component `name`, if it is one of them.
    fn options(&self, role: Role, name: &str) -> Option<Arc<OptionSchema>>;
    /// Whether any of them has a block of this name.
    fn have_block(&self, option: &str) -> bool;
}

impl Known<'_> {
    /// Calls `work` with what is known of a component's options.
    fn of<T>(
        components: &dyn Components,
        role: Role,
        name: &str,
        work: impl FnOnce(Known<'_>) -> T,
    ) -> T {
        match components.options(role, name) {
            Some(options) => work(Known::Component(&options)),
            None => work(Known::Nothing(components)),
        }
    }
}

/// The HCL2 text that means `template`, which must be a legacy one; with a comment on each part if
/// `annotate`.
pub fn upgrade(template: &Template, components: &dyn Components, annotate: bool) -> String {
    debug_assert_eq!(template.dialect, Dialect::Json);
    let names = Names::of(template);
    let mut texts = Texts::new(&names);
    let mut images = Images::default();
    let (variables, locals) = variables::blocks(template, &mut texts);
    let sources = build::sources(template, components, &mut texts, &mut images);
    let build = template.builds.first().filter(|build| !build.sources.is_empty());
    let build = build.map(|build| (build::build(template, build, components, &mut texts), None));

    let needs = &texts.needs;
    let data = |kind| move |(at, body, problems)| (data::block(kind, at, body), problems);
    let secrets = needs.secrets.iter().enumerate();
    let secrets = secrets.map(|(at, secret)| (at + 1, data::secret(secret), None));
    let images = images.found.into_iter().enumerate();
    let images = images.map(|(at, (body, problems))| (at + 1, body, problems));

    let mut file = File { items: Vec::new(), annotate };
    file.comment(INTRODUCTION);
    file.packer(template);
    file.section(ABOUT_VARIABLES, variables);
    file.section(ABOUT_SECRETS, secrets.map(data("amazon-secretsmanager")));
    file.section(ABOUT_IMAGES, images.map(data("amazon-ami")));
    file.times(needs.timestamp.then(|| names.timestamp()), needs.legacy_time);
    file.section(ABOUT_LOCALS, locals);
    file.section(ABOUT_SOURCES, sources);
    file.section(ABOUT_BUILD, build);
    write::write(&file.items)
}

const INTRODUCTION: &str = "Written by `hcl2_upgrade` from a legacy JSON template. Read it before you rely on it.\n\
     The blocks may be moved to other files of the same folder that are named *.pkr.hcl.";
const ABOUT_VARIABLES: &str =
    "The variables of a JSON template are strings; here they may have other types.";
const ABOUT_SECRETS: &str = "The secrets that the template function `aws_secretsmanager` read.";
const ABOUT_IMAGES: &str = "The images that a `source_ami_filter` looked up.";
const ABOUT_TIMESTAMP: &str = "In the place of the template function `timestamp`.";
const ABOUT_LOCALS: &str =
    "Variables whose defaults are computed: a default in HCL2 may only read the environment.";
const ABOUT_SOURCES: &str = "A source is what was a builder. A build names those that it uses.";
const ABOUT_BUILD: &str = "A build runs provisioners and post-processors for its sources.";

/// As Packer says and spells it.
const LEGACY_TIME: &str = "The \"legacy_isotime\" function has been provided for backwards compatability, \
     but we recommend switching to the timestamp and formatdate functions.";

/// The file that is written.
struct File {
    items: Vec<Item>,
    annotate: bool,
}

impl File {
    fn comment(&mut self, text: &str) {
        if self.annotate {
            self.items.push(Item::Comment(text.to_owned()));
        }
    }

    /// Blocks with empty lines between them.
    fn section(&mut self, about: &str, blocks: impl IntoIterator<Item = Upgraded>) {
        for (at, (block, problems)) in blocks.into_iter().enumerate() {
            self.items.push(Item::Blank);
            if at == 0 {
                self.comment(about);
                self.items.extend(problems.map(Item::Comment));
                self.items.push(Item::Block(block));
            } else {
                self.items.extend(build::explained((block, problems)));
            }
        }
    }

    /// What the template requires.
    fn packer(&mut self, template: &Template) {
        let version = template.required_versions.first();
        let version = version.map(|version| attribute("required_version", &version.value));
        let plugins: Vec<Item> = PLUGINS
            .iter()
            .filter(|plugin| uses(template, plugin))
            .map(|name| plugin(name))
            .collect();
        let plugins = (!plugins.is_empty())
            .then(|| Item::Block(Block::new("required_plugins", &[], plugins)));
        let body: Vec<Item> = version.into_iter().chain(plugins).collect();
        if !body.is_empty() {
            self.items.push(Item::Block(Block::new("packer", &[], body)));
        }
    }

    /// The local that holds the time, and a word on the old way to format times.
    fn times(&mut self, timestamp: Option<&'static str>, legacy: bool) {
        if timestamp.is_some() || legacy {
            self.items.push(Item::Blank);
        }
        if let Some(name) = timestamp {
            self.comment(ABOUT_TIMESTAMP);
            let line =
                format!("locals {{ {name} = regex_replace(timestamp(), \"[- TZ:]\", \"\") }}");
            self.items.push(Item::Line(line));
        }
        if legacy {
            self.items.push(Item::Comment(LEGACY_TIME.to_owned()));
        }
    }
}

fn attribute(name: &str, text: &str) -> Item {
    Item::Attribute(name.to_owned(), Value::Expression(quoted(text)))
}

/// Whether a component of `template` comes with `plugin`.
fn uses(template: &Template, plugin: &str) -> bool {
    let builders = template.sources.iter().map(|source| &source.kind);
    let blocks = template.builds.iter().flat_map(Build::components);
    let is_of = |kind: &str| {
        kind.strip_prefix(plugin).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    builders.chain(blocks.map(|block| &block.kind)).any(|kind| is_of(&kind.value))
}

fn plugin(name: &str) -> Item {
    let member = |key: &str, text: &str| (key.to_owned(), Value::Expression(quoted(text)));
    let source = format!("github.com/hashicorp/{name}");
    let members = vec![member("source", &source), member("version", "~> 1")];
    Item::Attribute(name.to_owned(), Value::Object(members))
}
