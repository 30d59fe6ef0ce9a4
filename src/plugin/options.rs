//! The options of a template's block → what a plugin is told.
//!
//! HCL2 options go as one value of exactly the type that the plugin's options have: what is not
//! given is null, what is not known yet is a stand-in. Options of legacy JSON go as they are written.

use std::collections::BTreeMap;

use rmpv::Value;
use serde_json::{Map, Number, Value as Json, json};

use super::pack;
use super::spec::{Item, Spec, Type, object_type};
use crate::component::{Facts, OnError};
use crate::config::{
    Entry, Form, Node, NodeKind, OptionSchema, UNKNOWN, bool_of_text, unknown_options,
};
use crate::diagnostic::{Diagnostic, Diagnostics, code};
use crate::env::PACKER_VERSION;
use crate::interpolate::BuildData;
use crate::secret::Redactor;
use crate::template::ast::Role;

/// The value of `body`, an HCL2 block of `component`; everything that is wrong with it at once.
pub fn typed(component: &str, spec: &Spec, body: &Node) -> Result<Json, Diagnostics> {
    let mut found = Diagnostics::default();
    let value = nested(component, spec, body, &mut found);
    found.into_result(value).map(|(value, _)| value)
}

/// The same with its type, as plugins read it.
pub fn with_type(spec: &Spec, value: &Json) -> Value {
    let value = json!({ "value": value, "type": object_type(spec).to_json() });
    Value::Binary(value.to_string().into_bytes())
}

fn block(spec: &Spec, body: &Node, found: &mut Diagnostics) -> Json {
    let value = |(name, item): &(String, Item)| {
        let value = match body.get(name) {
            Some(entry) => option(name, item, entry, found),
            None => absent(name, item, body, found),
        };
        (name.clone(), value)
    };
    Json::Object(spec.iter().map(value).collect())
}

fn absent(name: &str, item: &Item, body: &Node, found: &mut Diagnostics) -> Json {
    match item {
        Item::Argument { required: true, .. } => {
            let missing = Diagnostic::error(code::MISSING_OPTION, format!("`{name}` is missing"));
            found.push(missing.at(body.span).because("the plugin requires it"));
            Json::Null
        }
        Item::Argument { .. } | Item::Block(_) => Json::Null,
        Item::Blocks(_) => json!([]),
    }
}

fn option(name: &str, item: &Item, entry: &Entry, found: &mut Diagnostics) -> Json {
    let wrong_form = match (item, entry.form) {
        (Item::Argument { .. }, Form::Block) => Some("an argument: write `name = …`"),
        (Item::Block(_) | Item::Blocks(_), Form::Argument) => Some("a block: write `name { … }`"),
        _ => None,
    };
    if let Some(meant) = wrong_form {
        let summary = format!("`{name}` is {}", meant.replace("name", name));
        found.push(Diagnostic::error(code::OPTION_TYPE, summary).at(entry.key));
        return Json::Null;
    }
    let node = &entry.value;
    match item {
        Item::Argument { ty, .. } => convert(name, ty, node, found),
        Item::Block(spec) => match node.items() {
            [] => nested(name, spec, node, found),
            [one] => nested(name, spec, one, found),
            [_, second, ..] => {
                let twice = format!("there may be only one block `{name}`");
                found.push(Diagnostic::error(code::DUPLICATE, twice).at(second.span));
                Json::Null
            }
        },
        Item::Blocks(spec) => match &node.kind {
            NodeKind::List(items) => {
                items.iter().map(|item| nested(name, spec, item, found)).collect()
            }
            NodeKind::Null | NodeKind::Unknown => json!([]),
            _ => json!([nested(name, spec, node, found)]),
        },
    }
}

/// One block, with what its options do not have said.
fn nested(name: &str, spec: &Spec, node: &Node, found: &mut Diagnostics) -> Json {
    let Some(entries) = node.entries() else { return Json::Null };
    if !entries.keys().all(|name| spec.iter().any(|(known, _)| known == name)) {
        let given = entries.iter().map(|(name, entry)| (name.as_str(), entry.key));
        let schema = OptionSchema::of_json(&super::spec::schema(spec));
        found.extend(unknown_options(name, &schema, given));
    }
    block(spec, node, found)
}

/// `node` as a value of the type `ty`, as HCL2 converts; `name` is the option that it belongs to.
fn convert(name: &str, ty: &Type, node: &Node, found: &mut Diagnostics) -> Json {
    let value = match (&node.kind, ty) {
        (NodeKind::Null, _) => Some(Json::Null),
        (NodeKind::Unknown, ty) => Some(stand_in(ty)),
        (_, Type::Any) => Some(untyped(node)),
        (NodeKind::String(text), Type::String) => Some(Json::from(text.as_str())),
        (NodeKind::Number(text), Type::String) => Some(Json::from(text.as_str())),
        (NodeKind::Bool(value), Type::String) => Some(Json::from(value.to_string())),
        (NodeKind::Number(text), Type::Number) => number(text),
        (NodeKind::String(text), Type::Number) if text == UNKNOWN => Some(json!(0)),
        (NodeKind::String(text), Type::Number) => number(text),
        (NodeKind::Bool(value), Type::Bool) => Some(json!(value)),
        (NodeKind::String(text), Type::Bool) if text == UNKNOWN => Some(json!(false)),
        (NodeKind::String(text), Type::Bool) => bool_of_text(text).map(Json::from),
        (NodeKind::List(items), Type::List(of) | Type::Set(of)) => {
            Some(items.iter().map(|item| convert(name, of, item, found)).collect())
        }
        (NodeKind::List(items), Type::Tuple(types)) if items.len() == types.len() => {
            let each = items.iter().zip(types);
            Some(each.map(|(item, of)| convert(name, of, item, found)).collect())
        }
        (NodeKind::Map(entries), Type::Map(of)) => {
            let entry = |(key, entry): (&String, &Entry)| {
                (key.clone(), convert(name, of, &entry.value, found))
            };
            Some(Json::Object(entries.iter().map(entry).collect()))
        }
        (NodeKind::Map(entries), Type::Object(fields)) => {
            let field = |(key, of): &(String, Type)| {
                let value = entries.get(key).map(|entry| convert(name, of, &entry.value, found));
                (key.clone(), value.unwrap_or_default())
            };
            Some(Json::Object(fields.iter().map(field).collect()))
        }
        _ => None,
    };
    value.unwrap_or_else(|| {
        let summary = format!("`{name}` must be {}, not {}", called(ty), node.kind_name());
        found.push(Diagnostic::error(code::OPTION_TYPE, summary).at(node.span));
        Json::Null
    })
}

/// What an error calls a type.
fn called(ty: &Type) -> &'static str {
    match ty {
        Type::String => "a string",
        Type::Number => "a number",
        Type::Bool => "a bool",
        Type::List(_) | Type::Set(_) | Type::Tuple(_) => "a list",
        Type::Map(_) | Type::Object(_) => "a map",
        Type::Any => "a value",
    }
}

/// What stands for a value that is not known yet.
fn stand_in(ty: &Type) -> Json {
    match ty {
        Type::String | Type::Any => json!(UNKNOWN),
        Type::Number => json!(0),
        Type::Bool => json!(false),
        Type::List(_) | Type::Set(_) => json!([]),
        Type::Map(_) => json!({}),
        Type::Tuple(types) => types.iter().map(stand_in).collect(),
        Type::Object(fields) => {
            fields.iter().map(|(name, ty)| (name.clone(), stand_in(ty))).collect()
        }
    }
}

/// A number as it is written, if it is one.
fn number(text: &str) -> Option<Json> {
    text.parse::<Number>().ok().map(Json::Number)
}

/// The value as it is.
fn untyped(node: &Node) -> Json {
    match &node.kind {
        NodeKind::Null => Json::Null,
        NodeKind::Unknown => json!(UNKNOWN),
        NodeKind::Bool(value) => json!(value),
        NodeKind::Number(text) => number(text).unwrap_or_else(|| json!(text)),
        NodeKind::String(text) => json!(text),
        NodeKind::List(items) => items.iter().map(untyped).collect(),
        NodeKind::Map(entries) => {
            let entry = |(key, entry): (&String, &Entry)| (key.clone(), untyped(&entry.value));
            Json::Object(entries.iter().map(entry).collect::<Map<_, _>>())
        }
    }
}

/// How the names of options end that hold a secret, without case and underscores. Others speak of one:
/// `secret_name`, `password_timeout`.
const SECRETS: [&str; 11] = [
    "accesskey",
    "apikey",
    "credentialsjson",
    "jwt",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "secret",
    "secretkey",
    "token",
];

/// Whether what is called `name` is a secret: an option, an output, or what a machine says of itself,
/// whose names are written like `SSHPrivateKey`.
pub fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "");
    SECRETS.iter().any(|end| name.ends_with(end))
}

/// Has `redactor` hide the secrets in what a machine says of itself.
pub fn hide_secret_data(data: &BuildData, redactor: &Redactor) {
    let secrets = data.iter().filter(|(name, _)| is_secret(name));
    let texts = secrets.filter_map(|(_, value)| value.as_str()).filter(|text| !text.is_empty());
    texts.for_each(|text| redactor.register(text));
}

/// Has `redactor` hide what is a secret by its option's name: plugins do not say which options hold
/// one.
pub fn hide_secrets(body: &Node, redactor: &Redactor) {
    for (name, entry) in body.entries().into_iter().flatten() {
        match &entry.value.kind {
            NodeKind::String(text) if is_secret(name) && text != UNKNOWN => redactor.register(text),
            NodeKind::List(items) => items.iter().for_each(|item| hide_secrets(item, redactor)),
            _ => hide_secrets(&entry.value, redactor),
        }
    }
}

/// A body of legacy JSON as it is.
pub fn plain(body: &Node) -> Value {
    pack::from_json(&untyped(body))
}

/// What a component is told beside its options.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// The build.
    pub facts: &'a Facts,
    /// What the component is.
    pub role: Role,
    /// `-on-error`, where it is known.
    pub on_error: OnError,
}

impl Told<'_> {
    /// All that is given to the component: its options `body`, and what is told, in the order of its
    /// language.
    pub fn with(self, body: Value) -> Vec<Value> {
        let is_legacy = self.facts.scope.user_variables.is_some();
        match (self.role, is_legacy) {
            (Role::DataSource, _) => vec![body],
            (_, false) => vec![self.of_build(), body],
            (Role::Builder, true) => vec![body, self.of_build()],
            (_, true) => vec![body, self.of_build(), self.stand_ins()],
        }
    }

    /// The words that a plugin knows the build by.
    fn of_build(self) -> Value {
        let Facts { builder_type, force, debug, scope, .. } = self.facts;
        let legacy = scope.user_variables.as_deref();
        let flag = |flag: bool| match legacy {
            Some(_) => Value::Boolean(flag),
            None => Value::from(flag.to_string()),
        };
        let mut told = vec![
            ("packer_build_name", Value::from(self.facts.source_name())),
            ("packer_builder_type", builder_type.as_str().into()),
            ("packer_core_version", PACKER_VERSION.into()),
            ("packer_debug", flag(*debug)),
            ("packer_force", flag(*force)),
            ("packer_on_error", on_error(self.on_error).into()),
        ];
        if legacy.is_some() || self.role != Role::Builder {
            let names = self.facts.sensitive_variables.iter();
            let names = names.map(|name| name.as_str().into()).collect();
            told.push(("packer_sensitive_variables", Value::Array(names)));
        }
        if let Some(variables) = legacy {
            told.push(("packer_user_variables", texts(variables)));
            // A file in the template's directory: which one nobody asks.
            let path = scope.template_dir.as_ref().map(|dir| dir.join("template.json"));
            let path = path.map(|path| path.to_string_lossy().into_owned());
            told.push(("packer_template_path", path.unwrap_or_default().into()));
        }
        Value::Map(told.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }

    /// What a legacy `{{ build `X` }}` may ask for, by which a plugin knows that it is for later.
    fn stand_ins(self) -> Value {
        let stand_in = |name: &str| {
            let value = match name {
                "WinRMPassword" => "{{.WinRMPassword}}".to_owned(),
                _ => format!(
                    "Build_{name}. To set this dynamically in the Packer template, you must use the \
                     `build` function"
                ),
            };
            (name.into(), value.into())
        };
        Value::Map(self.facts.scope.build_names().map(stand_in).collect())
    }
}

fn texts(all: &BTreeMap<String, String>) -> Value {
    Value::Map(
        all.iter().map(|(name, text)| (name.as_str().into(), text.as_str().into())).collect(),
    )
}

fn on_error(on_error: OnError) -> &'static str {
    match on_error {
        OnError::Cleanup => "cleanup",
        OnError::Abort => "abort",
        OnError::Ask => "ask",
        OnError::RunCleanupProvisioner => "run-cleanup-provisioner",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn spec() -> Spec {
        let argument = |ty| Item::Argument { ty, required: false };
        let texts = Type::List(Box::new(Type::String));
        vec![
            ("matrix".to_owned(), argument(Type::List(Box::new(texts)))),
            ("number".to_owned(), argument(Type::Number)),
            ("on".to_owned(), argument(Type::Bool)),
            ("part".to_owned(), Item::Blocks(vec![("path".to_owned(), argument(Type::String))])),
            ("root".to_owned(), Item::Block(vec![("path".to_owned(), argument(Type::String))])),
            ("text".to_owned(), argument(Type::String)),
        ]
    }

    #[test]
    fn a_provisioner_is_told_which_variables_are_secret() {
        let scope = crate::interpolate::Scope::for_tests();
        let mut facts = Facts::without_build("null", scope);
        facts.sensitive_variables = ["password".to_owned()].into();
        let names = |facts: &Facts, role| {
            let told = Told { facts, role, on_error: OnError::Cleanup }.with(Value::Nil);
            let told = told.iter().find_map(|map| pack::field(map, "packer_sensitive_variables"));
            told.map(pack::texts)
        };
        let password = Some(vec!["password".to_owned()]);
        assert_eq!(names(&facts, Role::Provisioner), password);
        assert_eq!(names(&facts, Role::PostProcessor), password);
        assert_eq!(names(&facts, Role::Builder), None);
        facts.scope.user_variables = Some(Arc::default());
        assert_eq!(names(&facts, Role::Builder), password, "the legacy language tells all");
    }

    fn typed_json(body: &Json) -> Result<Json, Vec<String>> {
        let found = typed("x", &spec(), &Node::for_tests(body));
        found.map_err(|found| found.0.into_iter().map(|one| one.summary).collect())
    }

    #[test]
    fn options_become_exactly_what_the_plugin_has() {
        let body = json!({
            "text": 5, "number": "7", "matrix": [["a"], []], "part": {"path": "p"}, "root": [{}]
        });
        let value = json!({
            "matrix": [["a"], []], "number": 7, "on": null, "part": [{"path": "p"}],
            "root": {"path": null}, "text": "5"
        });
        assert_eq!(typed_json(&body).unwrap(), value);
        let nothing = json!({
            "matrix": null, "number": null, "on": null, "part": [], "root": null, "text": null
        });
        assert_eq!(typed_json(&json!({})).unwrap(), nothing);
    }

    #[test]
    fn all_that_does_not_fit_is_said_at_once() {
        let body = json!({
            "number": "seven", "on": [], "txet": "", "root": [{}, {}], "part": [{"pth": 1}]
        });
        let mut found = typed_json(&body).unwrap_err();
        found.sort();
        assert_eq!(
            found,
            [
                "`number` must be a number, not a string",
                "`on` must be a bool, not a list",
                "`part` has no option `pth`",
                "`x` has no option `txet`",
                "there may be only one block `root`",
            ]
        );
    }

    #[test]
    fn what_is_not_known_yet_has_a_stand_in_of_its_type() {
        let mut body = Node::for_tests(&json!({"number": 0, "on": 0, "matrix": 0, "text": 0}));
        let NodeKind::Map(entries) = &mut body.kind else { unreachable!() };
        entries.values_mut().for_each(|entry| entry.value.kind = NodeKind::Unknown);
        let value = typed("x", &spec(), &body).unwrap();
        assert_eq!(value["text"], UNKNOWN);
        assert_eq!((&value["number"], &value["on"]), (&json!(0), &json!(false)));
        assert_eq!(value["matrix"], json!([]));
    }
}
