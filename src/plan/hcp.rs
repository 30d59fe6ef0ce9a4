//! `hcp_packer_registry`: what of a build is published in HashiCorp's registry. It is checked;
//! publishing itself is not built.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::{Decoding, Late, Node, decode};
use crate::diagnostic::{Diagnostic, Diagnostics, code};
use crate::env::Environment;
use crate::eval::{Place, Values};
use crate::interpolate::Scope;
use crate::provisioner::hcp_sbom::is_hcp_name;
use crate::secret::Redactor;
use crate::template::ast::{Block, Template};

/// Its type, as templates name it.
const TYPE: &str = "hcp_packer_registry";

/// The longest description, in bytes.
const MAX_DESCRIPTION: usize = 255;

/// Its arguments. What is in `{{ … }}` stays as it is.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Options {
    bucket_name: Option<Late>,
    description: Option<Late>,
    /// The old name of `bucket_labels`.
    labels: BTreeMap<String, Late>,
    bucket_labels: BTreeMap<String, Late>,
    build_labels: BTreeMap<String, Late>,
    channels: Vec<Late>,
}

/// What is wrong with the registry blocks of `template`.
pub(super) fn check(
    template: &Template,
    values: &Values,
    scope: &Scope,
    redactor: &Redactor,
) -> Diagnostics {
    let mut found = Diagnostics::default();
    for block in blocks(template) {
        match values.body(&block.body, &Place::default()) {
            Ok(node) => found.extend(check_options(
                &node,
                Decoding { component: TYPE, scope, redactor, beside: &[] },
            )),
            Err(errors) => found.extend(errors),
        }
    }
    found
}

/// Says that what the template or the environment wants published would not be, if so.
pub fn refuse_publishing(template: &Template, environment: &Environment) -> Option<Diagnostic> {
    if matches!(environment.get("HCP_PACKER_REGISTRY"), Some("off" | "0")) {
        return None;
    }
    let wished = blocks(template).next();
    let bucket = environment.get("HCP_PACKER_BUCKET_NAME").filter(|name| !name.is_empty());
    let cause = match (wished, bucket) {
        (Some(_), _) => "this asks for it",
        (None, Some(_)) => "HCP_PACKER_BUCKET_NAME asks for it",
        (None, None) => return None,
    };
    let summary = "publishing in the HCP Packer registry is not built yet";
    Some(
        Diagnostic::error(code::NOT_BUILT, summary)
            .at(wished.map(|block| block.span))
            .because(cause)
            .help("set HCP_PACKER_REGISTRY=off to build without publishing"),
    )
}

fn blocks(template: &Template) -> impl Iterator<Item = &Block> {
    let of_builds = template.builds.iter().filter_map(|build| build.hcp_registry.as_ref());
    template.hcp_registry.iter().chain(of_builds)
}

fn check_options(node: &Node, with: Decoding<'_>) -> Diagnostics {
    let options = match decode::<(Options,)>(node, with) {
        Ok((options,)) => options,
        Err(errors) => return errors,
    };
    let mut found = Diagnostics::default();
    let mut refuse = |option: &str, cause: &str| {
        let summary = format!("the value of `{option}` cannot be used");
        let span = node.get(option).map(|entry| entry.value.span);
        found.push(Diagnostic::error(code::OPTION_VALUE, summary).at(span).because(cause));
    };
    if options.bucket_name.is_some_and(|name| !is_hcp_name(name.raw())) {
        refuse("bucket_name", "3 to 36 letters, digits and `-` name a bucket");
    }
    if options.description.is_some_and(|text| text.raw().len() > MAX_DESCRIPTION) {
        refuse("description", &format!("it is longer than {MAX_DESCRIPTION} bytes"));
    }
    if !options.labels.is_empty() && !options.bucket_labels.is_empty() {
        refuse("labels", "it is the old name of `bucket_labels`, which is given too");
    }
    found
}
