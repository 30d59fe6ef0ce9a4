//! What a template asks of the program: its version and its plugins.

use crate::diagnostic::{Diagnostic, Diagnostics, code, did_you_mean};
use crate::env::PACKER_VERSION;
use crate::plan::version::{Constraints, Version};
use crate::source::Spanned;
use crate::template::ast::{RequiredPlugin, Template};

/// Plugins of the usual tool whose components are built in, and the versions that they follow.
const BUILT_IN_PLUGINS: &[(&str, &str)] =
    &[("amazon", "1.8.3"), ("ansible", "1.1.7"), ("qemu", "1.1.5"), ("vagrant", "1.1.7")];

/// Where the built-in plugins come from in `required_plugins`.
const PLUGIN_HOME: &str = "github.com/hashicorp/";

/// Finds the requirements of `template` that this program does not meet.
pub fn requirements(template: &Template) -> Diagnostics {
    let versions = template.required_versions.iter().filter_map(check_version);
    let plugins = template.required_plugins.iter().filter_map(check_plugin);
    Diagnostics(versions.chain(plugins).collect())
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

fn check_plugin(plugin: &RequiredPlugin) -> Option<Diagnostic> {
    let source = plugin.source.value.as_str();
    let name = source.strip_prefix(PLUGIN_HOME).unwrap_or(source);
    let Some((_, version)) = BUILT_IN_PLUGINS.iter().find(|(built_in, _)| *built_in == name) else {
        return Some(unknown_plugin(plugin, name));
    };
    if plugin.name.value != name {
        let summary = format!("the plugin `{name}` under another name is not built yet");
        return Some(
            Diagnostic::error(code::NOT_BUILT, summary)
                .at(plugin.name.span)
                .because("its components would get other names")
                .help(format!("call it `{name}`")),
        );
    }
    let constraints = match constraints(&plugin.version) {
        Ok(constraints) => constraints,
        Err(diagnostic) => return Some(*diagnostic),
    };
    (!constraints.allow(&Version::parse(version).ok()?)).then(|| {
        let summary = format!("the plugin `{name}` is built in as version {version}");
        Diagnostic::error(code::REQUIREMENT, summary)
            .at(plugin.version.span)
            .because(format!("{version} does not meet this"))
            .help("widen the constraint if the template needs nothing newer")
    })
}

fn unknown_plugin(plugin: &RequiredPlugin, name: &str) -> Diagnostic {
    let built_in = BUILT_IN_PLUGINS.iter().map(|(built_in, _)| *built_in);
    let names: Vec<_> = built_in.clone().collect();
    let diagnostic = Diagnostic::error(
        code::REQUIREMENT,
        format!("the plugin `{}` is not built in", plugin.source.value),
    )
    .at(plugin.source.span)
    .because("imgbake loads no plugins")
    .note(format!("built in: {}", names.join(", ")));
    match did_you_mean(name, built_in) {
        Some(meant) => diagnostic.help(format!("did you mean `{PLUGIN_HOME}{meant}`?")),
        None => diagnostic.help("remove it if no component of it is used"),
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
