//! The plugins that are installed here, and their components as ours.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::builder::PluginBuilder;
use super::cache::Cache;
use super::data_source::PluginDataSource;
use super::installed::{self, Description, Installed};
use super::lock::Lock;
use super::login::WinRm;
use super::options;
use super::post_processor::PluginPostProcessor;
use super::prepare::{self, Accepted, Options};
use super::provisioner::PluginProvisioner;
use super::remote::{Identity, Remote};
use super::runtime::guard;
use super::spec::{self, Item, Spec, Type};
use super::version::Constraints;
use crate::component::Facts;
use crate::component::{
    Builder, DataSource, Declared, Description as About, Descriptor, OutputType, PostProcessor,
    Provisioner,
};
use crate::config::{Node, OptionSchema};
use crate::diagnostic::Diagnostics;
use crate::env::Environment;
use crate::template::ast::Role;

/// What is installed, and all components that were asked for: whoever asks again gets the same, with
/// the processes that it has.
#[derive(Debug, Default)]
pub struct Host {
    programs: Mutex<HashMap<PathBuf, Result<Cache, String>>>,
    remotes: Mutex<HashMap<(PathBuf, Role, String), Remote>>,
}

/// Which of the installed versions count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// All of them.
    #[default]
    All,
    /// Releases: none whose version ends in `-dev` or the like.
    Releases,
}

impl Choice {
    fn has(self, found: &Installed) -> bool {
        self == Self::All || !found.version.is_prerelease()
    }
}

/// An installed plugin as one template calls it.
#[derive(Clone, Debug)]
pub struct Plugin {
    /// Its file.
    pub found: Installed,
    /// The word that its components begin with.
    pub accessor: String,
    cache: Cache,
}

/// The name that stands for the plugin's own.
const DEFAULT_NAME: &str = "-packer-default-plugin-name-";

impl Plugin {
    /// What its program says of itself.
    pub fn description(&self) -> Description {
        self.cache.description()
    }

    /// The SHA-256 of its program.
    pub fn sum(&self) -> String {
        self.cache.sum()
    }

    /// What templates call its components that act as `role`.
    pub fn names(&self, role: Role) -> Vec<String> {
        let own = own_names(&self.description(), role);
        own.iter().map(|own| self.name_of(own)).collect()
    }

    fn name_of(&self, own: &str) -> String {
        match own {
            DEFAULT_NAME => self.accessor.clone(),
            own => format!("{}-{own}", self.accessor),
        }
    }
}

fn own_names(description: &Description, role: Role) -> Vec<String> {
    match role {
        Role::Builder => description.builders.clone(),
        Role::Provisioner => description.provisioners.clone(),
        Role::PostProcessor => description.post_processors.clone(),
        Role::DataSource => description.datasources.clone(),
    }
}

impl Host {
    /// The best installed plugin of `source` that `constraints` allow, and that `locked` knows if it
    /// knows the source; called `accessor`.
    pub fn find(
        &self,
        accessor: &str,
        source: &str,
        constraints: &Constraints,
        choice: Choice,
        locked: &Lock,
        environment: &Environment,
    ) -> anyhow::Result<Option<Plugin>> {
        let pinned = locked.of(source);
        if let Some(pinned) = pinned {
            pinned.check_constraints(source, constraints)?;
        }
        let mut fitting = installed::fitting(source, constraints, environment)?;
        fitting.retain(|found| {
            let is_locked = pinned.is_none_or(|pinned| pinned.version == found.version.text());
            is_locked && choice.has(found)
        });
        let Some(found) = fitting.pop() else { return Ok(None) };
        let plugin = self.open(found, accessor, environment)?;
        if let Some(pinned) = pinned {
            pinned.check_sum(source, &plugin.sum())?;
        }
        Ok(Some(plugin))
    }

    /// The best of each plugin that is installed, by its own name.
    pub fn newest(&self, choice: Choice, environment: &Environment) -> Vec<Installed> {
        let Ok(root) = installed::directory(environment) else { return Vec::new() };
        let mut all = installed::all(&root);
        all.retain(|found| choice.has(found));
        all.reverse();
        all.dedup_by(|a, b| a.source == b.source);
        all
    }

    /// Checks the file `found`, and asks what it is.
    pub fn open(
        &self,
        found: Installed,
        accessor: &str,
        environment: &Environment,
    ) -> anyhow::Result<Plugin> {
        let mut programs = guard(&self.programs);
        let ask = || Cache::of(&found, environment).map_err(|error| format!("{error:#}"));
        let cache = programs.entry(found.path.clone()).or_insert_with(ask).clone();
        let cache = cache.map_err(|why| anyhow::anyhow!("{}: {why}", found.path.display()))?;
        Ok(Plugin { found, accessor: accessor.to_owned(), cache })
    }

    /// Whether a template uses any component of a plugin.
    pub fn has_components(&self) -> bool {
        !guard(&self.remotes).is_empty()
    }

    /// The component of `plugin` that a template calls `name`.
    pub fn component(
        &self,
        plugin: &Plugin,
        role: Role,
        name: &str,
        environment: &Arc<Environment>,
    ) -> Option<Remote> {
        let description = plugin.description();
        let own_name =
            own_names(&description, role).into_iter().find(|own| plugin.name_of(own) == name)?;
        let key = (plugin.found.path.clone(), role, name.to_owned());
        let make = || {
            let identity = Identity {
                program: plugin.found.path.clone(),
                source: plugin.found.source.clone(),
                version: plugin.found.version.text().to_owned(),
                role,
                own_name,
                name: name.to_owned(),
                speaks_protobuf: description.protocol_version == "v2",
            };
            Remote::new(identity, environment.clone(), Some(plugin.cache.clone()))
        };
        Some(guard(&self.remotes).entry(key).or_insert_with(make).clone())
    }
}

impl Remote {
    /// As the registry knows a builder.
    pub fn builder(&self) -> Descriptor<dyn Builder> {
        self.descriptor(|remote, options, accepted, body| {
            let winrm = WinRm::of(body);
            Box::new(PluginBuilder::new(remote, options, winrm, accepted.generated))
        })
    }

    /// As the registry knows a provisioner.
    pub fn provisioner(&self) -> Descriptor<dyn Provisioner> {
        self.descriptor(|remote, options, _, _| Box::new(PluginProvisioner::new(remote, options)))
    }

    /// As the registry knows a post-processor.
    pub fn post_processor(&self) -> Descriptor<dyn PostProcessor> {
        self.descriptor(|remote, options, _, _| Box::new(PluginPostProcessor::new(remote, options)))
    }

    /// As the registry knows a data source.
    pub fn data_source(&self) -> Descriptor<dyn DataSource> {
        let mut descriptor: Descriptor<dyn DataSource> = self
            .descriptor(|remote, options, _, _| Box::new(PluginDataSource::new(remote, options)));
        match self.output_spec() {
            Ok(outputs) => {
                let outputs = outputs.iter().map(|(name, item)| (name.clone(), output_type(item)));
                descriptor.description.outputs = outputs.collect();
            }
            // Nobody knows what may be asked of it: that is said where it stands.
            Err(error) => {
                let name = self.identity().name.clone();
                descriptor.prepare =
                    Arc::new(move |body, _, _| Err(prepare::unusable(&name, body.span, &error)));
            }
        }
        descriptor
    }

    /// The component with its schema. One whose schema cannot be had says so where it is used.
    fn descriptor<T: ?Sized + 'static>(
        &self,
        make: fn(Self, Options, Accepted, &Node) -> Box<T>,
    ) -> Descriptor<T> {
        let spec = self.spec().unwrap_or_default();
        let Identity { name, source, version, .. } = self.identity();
        let description = About {
            name: name.clone(),
            about: format!("A component of the plugin {source} {version}."),
            options: Declared::BySchema(Arc::new(schema(&spec))),
            build_data: std::sync::Arc::default(),
            outputs: std::sync::Arc::default(),
        };
        let remote = self.clone();
        let prepare = move |body: &Node, facts: &Facts| -> Result<_, Diagnostics> {
            let options = Options::of(&remote, body, facts)?;
            // Once the machine is known, the component checks them where it works.
            let (accepted, warnings) = match options.know_the_machine() {
                true => Default::default(),
                false => options.check(&remote, body)?,
            };
            Ok((make(remote.clone(), options, accepted, body), warnings))
        };
        Descriptor {
            description,
            prepare: Arc::new(move |body, facts, redactor| {
                options::hide_secrets(body, redactor);
                prepare(body, facts)
            }),
        }
    }
}

/// The options that people give. Specs list, too, what a plugin is told of its build.
fn schema(spec: &Spec) -> OptionSchema {
    let given = spec.iter().filter(|(name, _)| !name.starts_with("packer_"));
    OptionSchema::of_json(&spec::schema(&given.cloned().collect()))
}

fn output_type(item: &Item) -> OutputType {
    match item.ty() {
        Type::String => OutputType::String,
        Type::Map(of) if *of == Type::String => OutputType::Strings,
        _ => OutputType::Any,
    }
}
