//! The plugins that are installed here, and those of their components that a session uses.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::cache::Cache;
use super::installed::{self, Description, Installed};
use super::lock::Lock;
use super::remote::{Identity, Remote};
use super::runtime::guard;
use super::version::Constraints;
use crate::env::Environment;
use crate::template::ast::Role;

/// What is installed, and all components that were asked for: whoever asks again gets the same, with
/// the processes that it has.
#[derive(Debug, Default)]
pub struct Programs {
    opened: Mutex<HashMap<PathBuf, Result<Cache, String>>>,
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

/// A plugin that a template asks for.
#[derive(Clone, Copy, Debug)]
pub struct Sought<'a> {
    /// What the template calls it.
    pub accessor: &'a str,
    /// Where it comes from.
    pub source: &'a str,
    /// The versions that the template allows.
    pub constraints: &'a Constraints,
    /// The versions that the run allows.
    pub choice: Choice,
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

impl Programs {
    /// The best installed plugin that is `sought`, and that `locked` knows if it knows the source.
    pub fn find(
        &self,
        Sought { accessor, source, constraints, choice }: Sought<'_>,
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
        let mut opened = guard(&self.opened);
        let ask = || Cache::of(&found, environment).map_err(|error| format!("{error:#}"));
        let cache = opened.entry(found.path.clone()).or_insert_with(ask).clone();
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
