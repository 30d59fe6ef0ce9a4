//! A legacy template as `inspect` shows it.

use crate::event::{Message, Ui};
use crate::secret::MASK;
use crate::template::ast::{ExprKind, Template, Variable};

const NOTE: &str = "\nNote: If your build names contain user variables or template
functions such as 'timestamp', these are processed at build time,
and therefore only show in their raw form here.";

pub(super) fn inspect(ui: &Ui, template: &Template) {
    ui.say("Packer Inspect: JSON mode");
    if let Some(description) = template.description.as_ref().filter(|d| !d.value.is_empty()) {
        ui.say("Description:\n");
        ui.say(format!("{}\n", description.value));
    }
    show_variables(ui, template);
    show_builders(ui, template);
    show_provisioners(ui, template);
    ui.say(NOTE);
}

fn show_variables(ui: &Ui, template: &Template) {
    if template.variables.is_empty() {
        ui.say("Variables:\n");
        ui.say("  <No variables>");
        ui.say("");
        return;
    }
    let mut variables: Vec<&Variable> = template.variables.iter().collect();
    variables.sort_by(|a, b| a.name.value.cmp(&b.name.value));
    let width = longest(variables.iter().map(|variable| variable.name.value.as_str()));
    let (optional, required): (Vec<&Variable>, Vec<&Variable>) =
        variables.into_iter().partition(|variable| variable.default.is_some());
    if !required.is_empty() {
        ui.say("Required variables:\n");
        for variable in required {
            let name = &variable.name.value;
            record(ui, "template-variable", &[name, shown_default(variable), "1"]);
            ui.say(format!("  {name}"));
        }
        ui.say("");
    }
    ui.say("Optional variables and their defaults:\n");
    for variable in optional {
        let (name, default) = (padded(&variable.name.value, width), shown_default(variable));
        record(ui, "template-variable", &[&variable.name.value, default, "0"]);
        ui.say(format!("  {name} = {default}"));
    }
    ui.say("");
}

fn shown_default(variable: &Variable) -> &str {
    match variable.default.as_ref().map(|default| &default.kind) {
        _ if variable.sensitive => MASK,
        Some(ExprKind::String(text)) => text,
        _ => "",
    }
}

fn show_builders(ui: &Ui, template: &Template) {
    ui.say("Builders:\n");
    let mut builders: Vec<(&str, &str)> = template
        .sources
        .iter()
        .map(|source| (source.name.value.as_str(), source.kind.value.as_str()))
        .collect();
    builders.sort_unstable();
    let width = longest(builders.iter().map(|(name, _)| *name));
    for (name, kind) in &builders {
        record(ui, "template-builder", &[name, kind]);
        let kind = if name == kind { String::new() } else { format!(" ({kind})") };
        ui.say(format!("  {}{kind}", padded(name, width)));
    }
    if builders.is_empty() {
        ui.say("  <No builders>");
    }
    ui.say("");
}

fn show_provisioners(ui: &Ui, template: &Template) {
    ui.say("Provisioners:\n");
    let provisioners = template.builds.iter().flat_map(|build| &build.provisioners);
    let kinds: Vec<&str> = provisioners.map(|block| block.kind.value.as_str()).collect();
    for kind in &kinds {
        record(ui, "template-provisioner", &[kind]);
        ui.say(format!("  {kind}"));
    }
    if kinds.is_empty() {
        ui.say("  <No provisioners>");
    }
}

fn record(ui: &Ui, kind: &'static str, fields: &[&str]) {
    ui.send(Message::Record(kind.into(), fields.iter().map(|&field| field.to_owned()).collect()));
}

/// In bytes, as Packer counts its columns.
fn longest<'a>(names: impl Iterator<Item = &'a str>) -> usize {
    names.map(str::len).max().unwrap_or(0)
}

fn padded(name: &str, width: usize) -> String {
    format!("{name}{}", " ".repeat(width.saturating_sub(name.len())))
}
