//! What both provisioners of Ansible share: a list of requirements, and what playbooks are told.

use std::path::Path;

use anyhow::Context as _;
use serde_json::Map;
use serde_json::Value as Json;

use crate::component::Facts;
use crate::peer;
use crate::script;

/// A list of roles and collections is short.
const LARGEST_LIST: u64 = 16 << 20;

/// What a `requirements.yml` asks for.
pub(in crate::provisioner) struct Requirements {
    pub(in crate::provisioner) roles: bool,
    pub(in crate::provisioner) collections: bool,
}

impl Requirements {
    /// The old form is a list of roles; the new one a map with `roles` and `collections`.
    pub(in crate::provisioner) fn read(path: &Path) -> anyhow::Result<Self> {
        let context = || format!("`galaxy_file` {} cannot be read", path.display());
        let text = peer::read_regular_text(path, LARGEST_LIST).with_context(context)?;
        let content: serde_yaml::Value = serde_yaml::from_str(&text).with_context(context)?;
        let collections = content.get("collections").is_some();
        Ok(Self { roles: content.get("roles").is_some() || !collections, collections })
    }
}

/// What playbooks are told of the build: as JSON, so that any name arrives whole.
pub(in crate::provisioner) fn extra_vars(facts: &Facts) -> String {
    let mut variables = Map::new();
    variables.insert("packer_build_name".into(), facts.source_name().into());
    variables.insert("packer_builder_type".into(), facts.builder_type.as_str().into());
    if let Some(address) = script::served(facts, "PackerHTTPAddr") {
        variables.insert("packer_http_addr".into(), address.into());
    }
    Json::Object(variables).to_string()
}
