//! What the blocks of an HCL2 template mean: bodies of files → [`Template`].
//!
//! Both syntaxes of HCL come here with the same bodies. What is not part of the language is refused
//! here; what components make of their own bodies is the plan's matter.

mod build;
mod plugin;
mod reader;
#[cfg(test)]
mod tests;
mod variable;

use std::path::Path;

pub(super) use reader::BlockShape;
use reader::Reader;

use crate::diagnostic::{Diagnostic, Diagnostics, code};
use crate::template::ast::{Attribute, Block, Body, Build, Dialect, Local, Source, Template};
use crate::template::load::Reading;

/// The blocks at the root of a file and how many labels each has.
pub(super) const ROOT_BLOCKS: &[BlockShape] = &[
    BlockShape::new("packer", &[]),
    BlockShape::new("variable", &["name"]),
    BlockShape::new("variables", &[]),
    BlockShape::new("local", &["name"]),
    BlockShape::new("locals", &[]),
    BlockShape::new("data", &["type", "name"]),
    BlockShape::new("source", &["type", "name"]),
    BlockShape::new("build", &[]),
    BlockShape::new("communicator", &["type", "name"]),
    BlockShape::new("hcp_packer_registry", &[]),
];
pub use build::BUILD_ARGUMENTS;
pub(super) use build::{BUILD_BLOCKS, CHAIN_BLOCKS};
pub(super) use plugin::PACKER_BLOCKS;
pub(super) use variable::VARIABLE_BLOCKS;

/// All files of a template, in order, as one. `incomplete` says that parts of them could not be
/// read.
pub(super) fn template(
    bodies: Vec<Body>,
    dir: &Path,
    incomplete: bool,
    reading: Reading,
) -> (Template, Diagnostics) {
    let mut template = Template {
        dialect: Dialect::Hcl,
        dir: dir.to_owned(),
        description: None,
        required_versions: Vec::new(),
        required_plugins: Vec::new(),
        variables: Vec::new(),
        locals: Vec::new(),
        data: Vec::new(),
        sources: Vec::new(),
        builds: Vec::new(),
        hcp_registry: None,
    };
    let mut reader = Reader::new(incomplete, reading);
    for mut body in bodies {
        reader.check(&mut body, "a template", &[], ROOT_BLOCKS);
        for block in body.blocks {
            root_block(block, &mut template, &mut reader);
        }
    }
    (template, reader.diagnostics)
}

/// A `build` block, once its `dynamic` blocks have been unrolled.
pub fn build_of(block: Block) -> (Build, Diagnostics) {
    let mut reader = Reader::default();
    let build = build::build(block, &mut reader);
    (build, reader.diagnostics)
}

fn root_block(block: Block, template: &mut Template, reader: &mut Reader) {
    match block.kind.value.as_str() {
        "packer" => plugin::packer(block, template, reader),
        "variable" => variable::variable(block, template, reader),
        "variables" => variable::variables(block, template, reader),
        "local" => local(block, template, reader),
        "locals" => locals(block, template, reader),
        "data" => {
            reader.define_pair(&block, "data source");
            template.data.push(block);
        }
        "source" => source(block, template, reader),
        "build" => {
            let build = reader.as_far_as_needed(|reader| build::build(block, reader));
            template.builds.push(build);
        }
        "communicator" => {
            let summary = "a `communicator` block has no effect";
            let warning = Diagnostic::warning(code::HCL_STRUCTURE, summary).at(block.span);
            reader.say(warning.help("set `communicator` and `ssh_*` in the source itself"));
        }
        _ => reader.as_far_as_needed(|reader| {
            reader.only_one(&mut template.hcp_registry, block, "a template");
        }),
    }
}

fn source(block: Block, template: &mut Template, reader: &mut Reader) {
    reader.as_far_as_needed(|reader| reader.define_pair(&block, "source"));
    if let [kind, name] = block.labels.as_slice() {
        let (kind, name) = (kind.clone(), name.clone());
        template.sources.push(Source { kind, name, body: block.body });
    }
}

fn local(mut block: Block, template: &mut Template, reader: &mut Reader) {
    reader.check(&mut block.body, "a `local` block", &["expression", "sensitive"], &[]);
    let sensitive = reader.take_bool(&mut block.body, "sensitive").unwrap_or(false);
    let Some(name) = block.labels.pop() else { return };
    reader.identifier(&name, "a local");
    reader.define("local", &name.value, name.span);
    match block.body.attributes.swap_remove("expression") {
        Some(Attribute { value, .. }) => template.locals.push(Local { name, value, sensitive }),
        None => reader.missing(block.span, "expression", "the value of the local"),
    }
}

fn locals(mut block: Block, template: &mut Template, reader: &mut Reader) {
    reader.no_blocks(&mut block.body, "a `locals` block");
    for (name, Attribute { name: span, value }) in block.body.attributes {
        reader.define("local", &name, span);
        let name = crate::source::Spanned::new(name, span);
        template.locals.push(Local { name, value, sensitive: false });
    }
}
