use schemars::JsonSchema;
use serde::Deserialize;

use super::*;
use crate::config::{Form, GoDuration, Late};
use crate::source::{FileId, SourceMap};

#[derive(Deserialize, JsonSchema, Debug, PartialEq)]
#[serde(default)]
struct Machine {
    ports: Vec<u16>,
    wait: Option<GoDuration>,
    disks: Vec<Disk>,
    tags: IndexMap<Late, Late>,
}

impl Default for Machine {
    fn default() -> Self {
        Self { ports: vec![22], wait: None, disks: Vec::new(), tags: IndexMap::new() }
    }
}

#[derive(Deserialize, JsonSchema, Debug, PartialEq, Default)]
#[serde(default)]
struct Disk {
    size: u32,
    fast: bool,
}

#[derive(Deserialize, JsonSchema, Debug, PartialEq, Default)]
#[serde(default)]
struct Naming {
    /// The name.
    name: String,
}

fn file() -> FileId {
    SourceMap::default().add("t.json", "")
}

/// A node from JSON, every part of it at the offset that counts nodes.
fn node(json: &serde_json::Value, at: &mut usize) -> Node {
    use serde_json::Value;
    *at += 1;
    let span = Span::new(file(), *at, *at + 1);
    let kind = match json {
        Value::Null => NodeKind::Null,
        Value::Bool(value) => NodeKind::Bool(*value),
        Value::Number(value) => NodeKind::Number(value.to_string()),
        Value::String(text) => NodeKind::String(text.clone()),
        Value::Array(items) => NodeKind::List(items.iter().map(|item| node(item, at)).collect()),
        Value::Object(map) => {
            let entry = |(k, v): (&String, &Value)| {
                (k.clone(), Entry { key: span, value: node(v, at), form: Form::Weak })
            };
            NodeKind::Map(map.iter().map(entry).collect())
        }
    };
    Node::new(span, kind)
}

fn read(json: serde_json::Value) -> Result<(Machine, Naming), Vec<String>> {
    let scope = Scope::for_tests();
    decode("machine", &["later"], &node(&json, &mut 0), &scope).map_err(|diagnostics| {
        let line =
            |d: Diagnostic| format!("{} {} / {}", d.code, d.summary, d.cause.unwrap_or_default());
        diagnostics.0.into_iter().map(line).collect()
    })
}

#[test]
fn weak_types_become_what_the_option_wants() {
    let (machine, naming) = read(serde_json::json!({
        "ports": "80,443", "wait": "5m", "disks": {"size": "10", "fast": "true"},
        "name": 12, "tags": {"a": "{{ .SourceAMI }}"}
    }))
    .unwrap();
    assert_eq!(machine.ports, [80, 443]);
    assert_eq!(machine.wait, Some(GoDuration::from_secs(300)));
    assert_eq!(machine.disks, [Disk { size: 10, fast: true }]);
    assert_eq!(machine.tags[&Late::new("a")].raw(), "{{ .SourceAMI }}");
    assert_eq!(naming.name, "12");
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let mistakes = read(serde_json::json!({
        "ports": ["x"], "wait": "5", "later": 1, "nmae": "a", "disks": [{"sise": 1}]
    }))
    .unwrap_err();
    insta::assert_snapshot!(mistakes.join("\n"), @r#"
    C004 `later` of `machine` is not built yet / imgbake refuses what it would otherwise ignore
    C002 `machine` has no option `nmae` / unknown option
    C003 the value of `ports` cannot be used / expected a whole number, found `x`
    C003 the value of `wait` cannot be used / `5` is missing its unit
    C002 there is no option `sise` here / unknown option
    "#);
}

#[test]
fn an_empty_text_or_list_is_not_given() {
    let (machine, naming) =
        read(serde_json::json!({ "ports": [], "wait": "", "disks": "", "name": "" })).unwrap();
    assert_eq!((machine, naming), (Machine::default(), Naming::default()));
}

#[test]
fn what_is_not_known_yet_fits_any_type() {
    let unknown = |name: &str| {
        let entry = Entry {
            key: span(),
            value: Node::new(span(), NodeKind::Unknown),
            form: Form::Argument,
        };
        (name.to_owned(), entry)
    };
    let body = NodeKind::Map(["wait", "name", "tags"].map(unknown).into());
    let (machine, naming) =
        decode::<(Machine, Naming)>("machine", &[], &Node::new(span(), body), &Scope::for_tests())
            .unwrap();
    assert_eq!(machine.wait, Some(GoDuration::default()));
    assert_eq!(naming.name, "<unknown>");
}

#[test]
fn hcl2_converts_less_than_json() {
    let read = |form: Form, kind: NodeKind| {
        let fast = Entry { key: span(), value: Node::new(span(), kind.clone()), form: Form::Weak };
        let disk = NodeKind::Map([("fast".to_owned(), fast)].into());
        let name = Entry { key: span(), value: Node::new(span(), kind), form };
        let disks = match form {
            Form::Weak => Form::Weak,
            _ => Form::Block,
        };
        let disks = Entry { key: span(), value: Node::new(span(), disk), form: disks };
        let body = NodeKind::Map([("disks".to_owned(), disks), ("name".to_owned(), name)].into());
        decode::<(Machine, Naming)>("machine", &[], &Node::new(span(), body), &Scope::for_tests())
            .map(|(machine, naming)| (machine.disks[0].fast, naming.name))
            .map_err(|found| found.0[0].cause.clone().unwrap_or_default())
    };
    assert_eq!(read(Form::Weak, NodeKind::Bool(true)), Ok((true, "1".to_owned())));
    assert_eq!(read(Form::Argument, NodeKind::Bool(true)), Ok((true, "true".to_owned())));
    assert_eq!(read(Form::Weak, NodeKind::Number("7".into())), Ok((true, "7".to_owned())));
    let refused = Err("expected true or false, found a number".to_owned());
    assert_eq!(read(Form::Argument, NodeKind::Number("7".into())), refused);
}

fn span() -> Span {
    Span::new(file(), 0, 1)
}
