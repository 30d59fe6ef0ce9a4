//! Components of installed plugins, beside those that are built in.
//!
//! What is built in wins where its version is one that the template allows. Where it is not, or another
//! plugin of the same name is asked for, the installed plugin is used.

use std::sync::Arc;

use super::Registry;
use super::plugins::{self, Plugins, Served, is_of};
use crate::env::Environment;
use crate::plugin::lock::{self, Lock};
use crate::plugin::version::{Constraints, Version};
use crate::plugin::{Plugin, Sought};
use crate::template::ast::{RequiredPlugin, Role, Template};

/// Adds what `template` uses of installed plugins; how those are served that it asks for.
pub(super) fn add(
    registry: &mut Registry,
    template: &Template,
    environment: &Arc<Environment>,
) -> Plugins {
    let programs = registry.programs.clone();
    let used = template.components();
    let locked = Lock::read(&lock::path_for(&environment.cwd.join(&template.dir)));
    let served = Plugins::of(template, |required| {
        if !lacks(registry, &used, required) {
            return Served::BuiltIn;
        }
        let found = locked
            .as_ref()
            .map_err(|error| anyhow::anyhow!("{error:#}"))
            .and_then(|locked| find(registry, required, locked, environment));
        match found {
            Ok(Some(plugin)) => {
                // What is built in wins where the template allows it.
                let keeps = is_built_in(required).then_some(required);
                serve(registry, &plugin, &used, environment, |registry, role, name| {
                    keeps.is_some_and(|required| has_own(registry, required, role, name))
                });
                Served::Installed(listed(registry, &plugin))
            }
            Ok(None) => Served::BuiltIn,
            Err(error) => Served::Unusable(format!("{error:#}")),
        }
    });
    let unasked = |source: &str| {
        template.required_plugins.iter().all(|required| required.source.value != source)
    };
    // A program is neither read nor run for what is there without it.
    let mut missing = used;
    missing.retain(|(role, name)| !has(registry, *role, name));
    if missing.is_empty() {
        return served;
    }
    for found in programs
        .newest(registry.choice, environment)
        .into_iter()
        .filter(|found| unasked(&found.source))
    {
        let name = found.name.clone();
        if !missing.iter().any(|(_, missing)| is_of(missing, &name)) {
            continue;
        }
        match programs.open(found, &name, environment) {
            Ok(plugin) => serve(registry, &plugin, &missing, environment, has),
            Err(error) => tracing::warn!("an installed plugin is not used: {error:#}"),
        }
    }
    served
}

/// Adds the components that are called `name`.
pub(super) fn add_named(registry: &mut Registry, name: &str, environment: &Arc<Environment>) {
    let programs = registry.programs.clone();
    for found in programs.newest(registry.choice, environment) {
        let accessor = found.name.clone();
        if !is_of(name, &accessor) {
            continue;
        }
        if let Ok(plugin) = programs.open(found, &accessor, environment) {
            let used: Vec<_> = Role::ALL.into_iter().map(|role| (role, name.to_owned())).collect();
            serve(registry, &plugin, &used, environment, has);
        }
    }
}

/// The components of installed plugins that nothing else is called as: what they are, and of which
/// plugin.
pub(super) fn installed(
    registry: &Registry,
    environment: &Environment,
) -> Vec<(Role, String, String)> {
    let mut all = Vec::new();
    for found in registry.programs.newest(registry.choice, environment) {
        let (accessor, source) = (found.name.clone(), found.source.clone());
        // One that cannot be used says so where it is used.
        let Ok(plugin) = registry.programs.open(found, &accessor, environment) else { continue };
        for role in Role::ALL {
            let names = plugin.names(role).into_iter();
            let new = names.filter(|name| !has(registry, role, name));
            all.extend(new.map(|name| (role, name, source.clone())));
        }
    }
    all
}

/// Whether what is built in is what the template asks for, or is all that there is.
fn is_built_in(required: &RequiredPlugin) -> bool {
    let built_in = plugins::built_in(&required.source.value);
    let version = built_in.and_then(|built_in| Version::parse(built_in.version).ok());
    let constraints = Constraints::parse(&required.version.value).ok();
    version.zip(constraints).is_some_and(|(version, constraints)| constraints.allow(&version))
}

fn find(
    registry: &Registry,
    required: &RequiredPlugin,
    locked: &Lock,
    environment: &Environment,
) -> anyhow::Result<Option<Plugin>> {
    // A constraint that cannot be read is an error of the template, which others say.
    let Ok(constraints) = Constraints::parse(&required.version.value) else { return Ok(None) };
    let (name, source) = (&required.name.value, &required.source.value);
    let sought =
        Sought { accessor: name, source, constraints: &constraints, choice: registry.choice };
    registry.programs.find(sought, locked, environment)
}

/// Whether `registry` has a component that is called `name`.
fn has(registry: &Registry, role: Role, name: &str) -> bool {
    registry.kind_of(role).component(name).is_some()
}

/// Whether what the template calls `name` is a component of the plugin `required` that is built in.
fn has_own(registry: &Registry, required: &RequiredPlugin, role: Role, name: &str) -> bool {
    let rest = name.strip_prefix(required.name.value.as_str());
    let own = plugins::built_in(&required.source.value).zip(rest);
    own.is_some_and(|(plugin, rest)| has(registry, role, &format!("{}{rest}", plugin.name)))
}

/// Whether `template` cannot do with what is built in of the plugin `required`.
pub(super) fn needs_program(
    registry: &Registry,
    template: &Template,
    required: &RequiredPlugin,
) -> bool {
    lacks(registry, &template.components(), required)
}

fn lacks(registry: &Registry, used: &[(Role, String)], required: &RequiredPlugin) -> bool {
    let is_missing = |(role, name): &(Role, String)| {
        is_of(name, &required.name.value) && !has_own(registry, required, *role, name)
    };
    !is_built_in(required) || used.iter().any(is_missing)
}

/// Adds those of `used` that `plugin` has, but those that `keeps` says are there already.
fn serve(
    registry: &mut Registry,
    plugin: &Plugin,
    used: &[(Role, String)],
    environment: &Arc<Environment>,
    keeps: impl Fn(&Registry, Role, &str) -> bool,
) {
    let programs = registry.programs.clone();
    for (role, name) in used {
        if keeps(registry, *role, name) {
            continue;
        }
        let Some(remote) = programs.component(plugin, *role, name, environment) else { continue };
        match role {
            Role::Builder => registry.add(remote.builder()),
            Role::Provisioner => registry.add(remote.provisioner()),
            Role::PostProcessor => registry.add(remote.post_processor()),
            Role::DataSource => registry.add(remote.data_source()),
        }
    }
}

/// What `plugin` has, for messages.
fn listed(registry: &Registry, plugin: &Plugin) -> String {
    let names = Role::ALL.map(|role| {
        let names = plugin.names(role);
        let kind = registry.kind_of(role).name();
        names.into_iter().map(move |name| format!("the {kind} `{name}`"))
    });
    names.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
