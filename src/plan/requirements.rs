//! What a template asks of the program: its version and its plugins.

use crate::diagnostic::{Diagnostic, Diagnostics, code, did_you_mean};
use crate::env::PACKER_VERSION;
use crate::plan::candidate::Candidate;
use crate::plugin::version::{Constraints, Version};
use crate::registry::plugins::{self, BuiltIn, Plugins, Served, is_of};
use crate::source::Spanned;
use crate::template::ast::{Build, RequiredPlugin, Template};

/// Finds the requirements of `template` that are not met, whatever is built; `served` says which
/// plugins it has.
pub fn requirements(template: &Template, served: &Plugins) -> Diagnostics {
    let mut found = versions(template);
    let lacks = template.required_plugins.iter().filter_map(|plugin| lack(plugin, served));
    found.extend(lacks.map(|lack| lack.diagnostic));
    found
}

/// Finds the versions of the program that `template` asks for and that this is not.
pub fn versions(template: &Template) -> Diagnostics {
    Diagnostics(template.required_versions.iter().filter_map(check_version).collect())
}

/// What there is to say of the plugins of `template` if only `chosen` are built.
pub(super) fn plugins(
    template: &Template,
    chosen: &[&Candidate<'_>],
    served: &Plugins,
) -> Diagnostics {
    let wanted = |plugin: &RequiredPlugin| {
        let mut builds = chosen.iter();
        builds
            .any(|one| is_of(&one.source.kind.value, &plugin.name.value) || uses(one.build, plugin))
    };
    let found = template.required_plugins.iter().filter_map(|plugin| {
        let Unmet { diagnostic, is_absent } = lack(plugin, served)?;
        match is_absent {
            // A fork of what is built in: nothing else refuses its components.
            true if wanted(plugin) && built_in_namesake(plugin).is_some() => Some(diagnostic),
            // Each of its components is refused where it stands.
            true if is_used(template, plugin) => None,
            true => Some(diagnostic.into_warning()),
            false if wanted(plugin) => Some(diagnostic),
            false => Some(diagnostic.into_warning()),
        }
    });
    Diagnostics(found.collect())
}

/// Whether any component in `template` is of `plugin`.
fn is_used(template: &Template, plugin: &RequiredPlugin) -> bool {
    let sources = template.sources.iter().map(|source| &source.kind.value);
    let data = template.data.iter().filter_map(|block| Some(&block.labels.first()?.value));
    sources.chain(data).any(|kind| is_of(kind, &plugin.name.value))
        || template.builds.iter().any(|build| uses(build, plugin))
}

/// Whether a provisioner or post-processor of `build` is of `plugin`.
fn uses(build: &Build, plugin: &RequiredPlugin) -> bool {
    build.components().any(|block| is_of(&block.kind.value, &plugin.name.value))
}

fn check_version(required: &Spanned<String>) -> Option<Diagnostic> {
    let constraints = match constraints(required) {
        Ok(constraints) => constraints,
        Err(diagnostic) => return Some(*diagnostic),
    };
    (!constraints.allow(&Version::parse(PACKER_VERSION).ok()?)).then(|| {
        let summary = format!("the template asks for another version than {PACKER_VERSION}");
        Diagnostic::error(code::REQUIREMENT, summary)
            .at(required.span)
            .because(format!("{PACKER_VERSION} does not meet this"))
            .note(format!(
                "imgbake {} understands the templates of Packer {PACKER_VERSION}",
                env!("CARGO_PKG_VERSION")
            ))
            .help("widen the constraint if the template needs nothing newer")
    })
}

/// What a required plugin is not.
struct Unmet {
    diagnostic: Diagnostic,
    /// Whether nothing of the plugin is here.
    is_absent: bool,
}

fn lack(plugin: &RequiredPlugin, served: &Plugins) -> Option<Unmet> {
    match served.served(&plugin.name.value) {
        Some(Served::Installed(_)) => return None,
        Some(Served::Unusable(why)) => {
            return Some(Unmet { diagnostic: unusable(plugin, why), is_absent: true });
        }
        Some(Served::BuiltIn) | None => {}
    }
    let Some(built_in) = plugins::built_in(&plugin.source.value) else {
        return Some(Unmet { diagnostic: unknown_plugin(plugin), is_absent: true });
    };
    let diagnostic = match constraints(&plugin.version) {
        Ok(constraints) => other_version(built_in, plugin, &constraints)?,
        Err(diagnostic) => *diagnostic,
    };
    Some(Unmet { diagnostic, is_absent: false })
}

/// What is built in serves those who pinned an older version and have not installed it.
fn other_version(
    BuiltIn { name, version }: &BuiltIn,
    plugin: &RequiredPlugin,
    constraints: &Constraints,
) -> Option<Diagnostic> {
    let version = Version::parse(version).ok()?;
    if constraints.allow(&version) {
        return None;
    }
    let summary = format!("the plugin `{name}` is built in as version {version}");
    let found = Diagnostic::error(code::REQUIREMENT, summary).at(plugin.version.span);
    Some(if constraints.want_newer_than(&version) {
        found
            .because(format!("{version} does not meet this"))
            .help("widen the constraint if the template needs nothing newer; or install the plugin: `imgbake init`")
    } else {
        found
            .because(format!("this asks for an older one; {version} is used"))
            .help(format!(
                "write `~> {version}` once the template is known to work with it; or install the plugin: `imgbake init`"
            ))
            .into_warning()
    })
}

fn unusable(plugin: &RequiredPlugin, why: &str) -> Diagnostic {
    let source = plugin.source.value.as_str();
    Diagnostic::error(code::REQUIREMENT, format!("the plugin `{source}` cannot be used"))
        .at(plugin.source.span)
        .because(why)
        .help("`imgbake init -force` fetches it anew")
}

/// The name of the built-in plugin that the template's components of `plugin` seem to be of.
fn built_in_namesake(plugin: &RequiredPlugin) -> Option<&'static str> {
    let mut names = plugins::BUILT_IN.iter().map(|built_in| built_in.name);
    names.find(|name| *name == plugin.name.value)
}

fn unknown_plugin(plugin: &RequiredPlugin) -> Diagnostic {
    let source = plugin.source.value.as_str();
    let names: Vec<_> = plugins::BUILT_IN.iter().map(|built_in| built_in.name).collect();
    let diagnostic =
        Diagnostic::error(code::REQUIREMENT, format!("the plugin `{source}` is not installed"))
            .at(plugin.source.span)
            .because("no installed version of it is one that the template allows")
            .note(format!("built in: {}", names.join(", ")));
    let name = source.strip_prefix(plugins::HOME).unwrap_or(source);
    let namesake = built_in_namesake(plugin).filter(|_| !source.starts_with(plugins::HOME));
    match (namesake, did_you_mean(name, names)) {
        (Some(own), _) => diagnostic.help(format!(
            "`imgbake init` installs it; or write `{}{own}`, which is built in",
            plugins::HOME
        )),
        (None, Some(meant)) => diagnostic.help(format!("did you mean `{}{meant}`?", plugins::HOME)),
        (None, None) => diagnostic
            .help("`imgbake init` installs it; or remove it if no component of it is used"),
    }
}

fn constraints(text: &Spanned<String>) -> Result<Constraints, Box<Diagnostic>> {
    Constraints::parse(&text.value).map_err(|cause| {
        Box::new(
            Diagnostic::error(code::REQUIREMENT, "this version constraint cannot be read")
                .at(text.span)
                .because(cause)
                .help("write it like `>= 1.2.8, < 2.0`, with =, !=, >, >=, <, <= or ~>"),
        )
    })
}
