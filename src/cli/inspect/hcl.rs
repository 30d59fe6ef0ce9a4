//! An HCL2 template as `inspect` shows it.

use crate::eval::{Listed, Listing, Place, Values};
use crate::event::Ui;
use crate::template::ast::{Build, ComponentBlock, Template};

/// Shows all parts. What cannot be known is `<unknown>`.
pub(super) fn inspect(ui: &Ui, template: &Template, values: &Values) {
    ui.say("Packer Inspect: HCL2 mode\n");
    ui.say(self::values(&values.listing()));
    let builds: String = template
        .builds
        .iter()
        .filter(|build| !build.sources.is_empty())
        .enumerate()
        .map(|(index, build)| show_build(index, build, values))
        .collect();
    ui.say(format!("> builds:\n{builds}"));
}

/// All variables and locals.
pub fn values(listing: &Listing) -> String {
    format!(
        "> input-variables:\n\n{}\n> local-variables:\n\n{}",
        assignments("var", &listing.variables),
        assignments("local", &listing.locals),
    )
}

fn assignments(root: &str, listed: &[Listed]) -> String {
    // Whatever reads this splits at line ends: quotes and breaks of the value are escaped.
    listed.iter().map(|one| format!("{root}.{}: {}\n", one.name, one.value)).collect()
}

fn show_build(index: usize, build: &Build, values: &Values) -> String {
    let name = match build.name.as_ref().filter(|name| !name.value.is_empty()) {
        Some(name) => name.value.clone(),
        None => format!("<unnamed build {index}>"),
    };
    let description = match build.description.as_ref().filter(|d| !d.value.is_empty()) {
        Some(description) => format!("\n  > Description: {}\n", description.value),
        None => String::new(),
    };
    let sources: String = build
        .sources
        .iter()
        .map(|usage| {
            let own = usage.local_name.as_ref().unwrap_or(&usage.name);
            format!("\n      {}.{}\n", usage.kind.value, own.value)
        })
        .collect();
    let label = |block: &ComponentBlock| label(block, build, values);
    let provisioners = match build.provisioners.as_slice() {
        [] => "      <no provisioner>\n".to_owned(),
        blocks => blocks.iter().map(|block| format!("      {}\n", label(block))).collect(),
    };
    let chain = |(index, chain): (usize, &Vec<ComponentBlock>)| {
        let blocks: String =
            chain.iter().map(|block| format!("        {}\n", label(block))).collect();
        format!("      {index}:\n{blocks}")
    };
    let post_processors = match build.post_processors.as_slice() {
        [] => "      <no post-processor>\n".to_owned(),
        chains => chains.iter().enumerate().map(chain).collect::<Vec<_>>().join("\n"),
    };
    format!(
        "\n  > {name}:\n{description}\n    sources:\n{sources}\n    provisioners:\n\n{provisioners}\n    post-processors:\n\n{post_processors}"
    )
}

/// `type` or `type.name`.
fn label(block: &ComponentBlock, build: &Build, values: &Values) -> String {
    let build_name = build.name.as_ref().map(|name| name.value.as_str());
    let place = Place { build_name, ..Place::default() };
    let name = block.body.attributes.get("name").and_then(|name| {
        let name = values.expr(&name.value, &place).ok()?;
        Some(name.as_str()?.to_owned()).filter(|name| !name.is_empty())
    });
    match name {
        Some(name) => format!("{}.{name}", block.kind.value),
        None => block.kind.value.clone(),
    }
}
