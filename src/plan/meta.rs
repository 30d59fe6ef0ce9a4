//! Meta-arguments: what a provisioner or post-processor block says about how and where it runs,
//! beside the options of its component.

use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::{
    Decoding, Entry, Form, GoDuration, Late, Node, NodeKind, OptionDoc, OptionGroups, OptionSchema,
    decode,
};
use crate::diagnostic::{Diagnostic, Diagnostics, code};
use crate::source::Spanned;
use crate::template::ast::{Body, Dialect};

/// How a provisioner runs.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct ProvisionerMeta {
    /// A label for messages.
    pub(super) name: Option<String>,
    /// A pause before each run.
    pub(super) pause_before: GoDuration,
    /// The time that it may take.
    pub(super) timeout: GoDuration,
    /// How often it is tried again.
    pub(super) max_retries: i64,
    /// Whether the build goes on when it fails.
    pub(super) continue_on_error: bool,
}

impl ProvisionerMeta {
    pub(super) fn timeout(&self) -> Option<Duration> {
        (!self.timeout.is_zero()).then(|| self.timeout.get())
    }

    /// A negative number means none, as templates expect.
    pub(super) fn max_retries(&self) -> u32 {
        u32::try_from(self.max_retries.max(0)).unwrap_or(u32::MAX)
    }
}

/// What a provisioner does for one source only. It is read before the options are, as
/// [`read_overrides`] does it: this is its documentation.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct Override {
    /// Options that count for one source only, by the source's name, over those of the block:
    /// `override = { web = { execute_command = "…" } }`.
    r#override: IndexMap<String, serde_json::Map<String, serde_json::Value>>,
}

/// What becomes of a post-processor's input.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct PostProcessorMeta {
    /// A label for messages and for `-except`.
    pub(super) name: Option<String>,
    /// Whether the input stays; unset: as the post-processor wants.
    pub(super) keep_input_artifact: Option<bool>,
}

/// For which sources a block runs.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct Filter {
    /// The sources that it runs for, and no others; all if not given.
    pub(super) only: Vec<Late>,
    /// The sources that it does not run for.
    pub(super) except: Vec<Late>,
}

impl Filter {
    pub(super) fn takes(&self, source: &str) -> bool {
        let named = |names: &[Late]| names.iter().any(|name| name.raw() == source);
        (self.only.is_empty() || named(&self.only)) && !named(&self.except)
    }
}

/// The meta-arguments that a block may have.
pub(super) struct MetaArguments {
    schema: Arc<OptionSchema>,
    /// What is an option of the component where it has one of that name.
    but: &'static [&'static str],
}

impl MetaArguments {
    pub(super) fn of_provisioner(dialect: Dialect) -> Self {
        let but: &[_] = match dialect {
            Dialect::Json => &["name", "continue_on_error"],
            Dialect::Hcl => &[],
        };
        Self { schema: <(ProvisionerMeta, Override, Filter)>::schema(), but }
    }

    pub(super) fn of_post_processor() -> Self {
        Self { schema: <(PostProcessorMeta, Filter)>::schema(), but: &[] }
    }

    fn include(&self, name: &str) -> bool {
        self.schema.get(name).is_some() && !self.but.contains(&name)
    }
}

/// The meta-arguments of a block of the kind `kind` (`provisioner`, `post-processor`) in HCL2.
pub fn meta_arguments(kind: &str) -> Vec<OptionDoc> {
    let all = match kind {
        "provisioner" => MetaArguments::of_provisioner(Dialect::Hcl),
        "post-processor" => MetaArguments::of_post_processor(),
        _ => return Vec::new(),
    };
    all.schema.options().to_vec()
}

/// Parts `body` into its meta-arguments and the component's own options.
pub(super) fn split(body: &Body, arguments: &MetaArguments) -> (Body, Body) {
    let part = |meta: bool| {
        let wanted = |(name, _): &(&String, _)| arguments.include(name) == meta;
        body.attributes
            .iter()
            .filter(wanted)
            .map(|(name, attribute)| (name.clone(), attribute.clone()))
            .collect()
    };
    let meta = Body { attributes: part(true), ..Body::empty(body.span, body.syntax) };
    let empty = Body::empty(body.span, body.syntax);
    let own = Body { attributes: part(false), blocks: body.blocks.clone(), ..empty };
    (meta, own)
}

/// Evaluated meta-arguments: `M` and what both kinds of blocks have.
#[derive(Debug)]
pub(super) struct Meta<M> {
    pub(super) own: M,
    pub(super) filter: Filter,
    /// All names in `only` and `except`.
    pub(super) filter_names: Vec<Spanned<String>>,
    /// Options for single sources, by the source's name.
    pub(super) overrides: IndexMap<String, Entry>,
}

/// Reads evaluated meta-arguments.
pub(super) fn read<M>(node: &Node, with: Decoding<'_>) -> Result<Meta<M>, Diagnostics>
where
    (Filter, M): OptionGroups,
{
    let mut entries = node.entries().cloned().unwrap_or_default();
    let overrides = entries.shift_remove("override");
    let filter_names = ["only", "except"]
        .iter()
        .filter_map(|key| entries.get(*key))
        .flat_map(|entry| names_in(&entry.value))
        .collect();
    let mut found = Diagnostics::default();
    if let (Some(only), Some(except)) = (entries.get("only"), entries.get("except")) {
        found.push(
            Diagnostic::error(code::OPTION_VALUE, "`only` and `except` exclude each other")
                .at(except.key)
                .because("give one of them")
                .label(only.key, "the other"),
        );
    }
    let overrides = read_overrides(overrides, &mut found);
    let node = Node::new(node.span, NodeKind::Map(entries));
    match decode::<(Filter, M)>(&node, with) {
        Ok((filter, own)) => {
            let meta = Meta { own, filter, filter_names, overrides };
            found.into_result(meta).map(|(meta, _)| meta)
        }
        Err(errors) => {
            found.extend(errors);
            Err(found)
        }
    }
}

/// The strings of a list, with their places.
fn names_in(list: &Node) -> Vec<Spanned<String>> {
    let items = match &list.kind {
        NodeKind::List(items) => items.as_slice(),
        _ => std::slice::from_ref(list),
    };
    items
        .iter()
        .filter_map(|item| Some(Spanned::new(item.as_str()?.to_owned(), item.span)))
        .collect()
}

/// Legacy templates may write `[]` and `null` for a map with nothing in it.
fn read_overrides(overrides: Option<Entry>, found: &mut Diagnostics) -> IndexMap<String, Entry> {
    let Some(overrides) = overrides else { return IndexMap::new() };
    let is_weak = overrides.form == Form::Weak;
    let refuse = |node: &Node, what: &str| {
        Diagnostic::error(code::OPTION_TYPE, format!("{what} must be a map of options"))
            .at(node.span)
            .because(format!("this is {}", node.kind_name()))
    };
    match overrides.value.kind {
        NodeKind::Null => IndexMap::new(),
        NodeKind::List(items) if is_weak && items.is_empty() => IndexMap::new(),
        NodeKind::Map(entries) => {
            for (name, entry) in &entries {
                let is_empty = is_weak && matches!(entry.value.kind, NodeKind::Null);
                if entry.value.entries().is_none() && !is_empty {
                    found.push(refuse(&entry.value, &format!("`override` of `{name}`")));
                }
            }
            entries
        }
        _ => {
            found.push(refuse(&overrides.value, "`override`"));
            IndexMap::new()
        }
    }
}

/// `body` with the options of `over` put in the place of its own.
pub(super) fn merge(body: Node, over: Option<&Node>) -> Node {
    let Some(over) = over.and_then(Node::entries) else { return body };
    let NodeKind::Map(mut entries) = body.kind else { return body };
    entries.extend(over.iter().map(|(name, entry)| (name.clone(), entry.clone())));
    Node::new(body.span, NodeKind::Map(entries))
}
