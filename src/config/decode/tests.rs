use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::*;
use crate::config::{Form, GoDuration, Late};
use crate::secret::Secret;
use crate::source::{FileId, SourceMap};

#[derive(Deserialize, JsonSchema, Debug, PartialEq)]
#[serde(default)]
#[schemars(extend("x-not-built" = ["later"]))]
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
    /// What only it knows.
    passwords: IndexMap<String, Secret>,
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
    decoded(&node(&json, &mut 0)).map_err(lines)
}

fn decoded(body: &Node) -> Result<(Machine, Naming), Diagnostics> {
    with(&Redactor::default(), |decoding| decode(body, decoding))
}

fn with<T>(redactor: &Redactor, work: impl FnOnce(Decoding<'_>) -> T) -> T {
    work(Decoding { component: "machine", scope: &Scope::for_tests(), redactor, beside: &[] })
}

fn lines(found: Diagnostics) -> Vec<String> {
    let line =
        |d: Diagnostic| format!("{} {} / {}", d.code, d.summary, d.cause.unwrap_or_default());
    found.0.into_iter().map(line).collect()
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
    let (machine, naming) = decoded(&Node::new(span(), body)).unwrap();
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
        decoded(&Node::new(span(), body))
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

#[test]
fn what_the_schema_calls_secret_is_masked_wherever_it_stands() {
    let redactor = Redactor::default();
    let body = json!({"name": "open", "passwords": {"root": "{{ upper `correct-horse` }}"}});
    let (_, naming): (Machine, Naming) =
        with(&redactor, |decoding| decode(&node(&body, &mut 0), decoding)).unwrap();
    assert_eq!(naming.passwords["root"].expose(), "CORRECT-HORSE");
    assert_eq!(redactor.redact("open CORRECT-HORSE"), "open <sensitive>");
    // Also if the component never gets to see it.
    let body = json!({"passwords": {"root": 4711_4711}, "ports": "x"});
    let decoded =
        with(&redactor, |decoding| decode::<(Machine, Naming)>(&node(&body, &mut 0), decoding));
    assert!(decoded.is_err());
    assert_eq!(redactor.redact("47114711"), "<sensitive>");
}

/// What a plugin may say of its options.
fn plugin_schema() -> OptionSchema {
    OptionSchema::of_json(&json!({
        "type": "object",
        "required": ["image"],
        "properties": {
            "image": {"type": "string"},
            "cpus": {"type": "integer"},
            "price": {"type": ["number", "null"]},
            "fast": {"type": "boolean"},
            "wait": {"type": "string", "format": "duration"},
            "size": {"enum": ["small", "large"], "type": "string"},
            "token": {"type": "string", "writeOnly": true},
            "command": {"type": "string", "format": "late-template"},
            "rows": {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
            "tags": {"type": "object", "additionalProperties": {"type": "string"}},
            "disk": {"type": "array", "items": {
                "type": "object", "properties": {"size": {"type": "integer"}}
            }},
            "place": {"type": "object", "x-argument": true, "properties": {
                "zone": {"type": "string"}
            }},
            "anything": {},
        },
    }))
}

fn by_schema(body: &Node, redactor: &Redactor) -> Result<Json, Vec<String>> {
    let decoded = with(redactor, |decoding| decode_by_schema(&plugin_schema(), body, decoding));
    decoded.map(Json::Object).map_err(lines)
}

#[test]
fn a_schema_alone_decodes_as_structs_do() {
    let redactor = Redactor::default();
    let body = json!({
        "image": "{{ lower `Debian` }}", "cpus": "2", "price": "0.5", "fast": 1, "wait": "5m",
        "size": "large", "token": "correct-horse", "command": "{{ .Vars }} x", "rows": [["1"], 2],
        "tags": {"a": true}, "disk": {"size": "10"}, "place": {"zone": "a"},
        "anything": {"deep": [1, "x"]}, "packer_build_name": "x",
    });
    let wanted = json!({
        "image": "debian", "cpus": 2, "price": 0.5, "fast": true, "wait": "5m",
        "size": "large", "token": "correct-horse", "command": "{{ .Vars }} x", "rows": [[1], [2]],
        "tags": {"a": "1"}, "disk": [{"size": 10}], "place": {"zone": "a"},
        "anything": {"deep": [1, "x"]},
    });
    assert_eq!(by_schema(&node(&body, &mut 0), &redactor), Ok(wanted));
    assert_eq!(redactor.redact("correct-horse"), "<sensitive>");
}

#[test]
fn a_schema_alone_finds_every_mistake() {
    let body = json!({
        "cpu": 2, "cpus": "two", "wait": "5", "size": "huge", "disk": [{"sise": 1}],
        "command": "{{ x", "rows": [["a"]],
    });
    let mistakes = by_schema(&node(&body, &mut 0), &Redactor::default()).unwrap_err();
    insta::assert_snapshot!(mistakes.join("\n"), @r#"
    C002 `machine` has no option `cpu` / unknown option
    T301 the `{{ … }}` text of `command` cannot be used / this `{{` lacks its `}}`
    C006 `machine` needs `image` / required here
    C003 the value of `cpus` cannot be used / expected a whole number, found `two`
    C003 the value of `wait` cannot be used / `5` is missing its unit
    C003 the value of `size` cannot be used / expected one of small, large, found `huge`
    C003 the value of `rows` cannot be used / expected a whole number, found `a`
    C002 there is no option `sise` here / unknown option
    "#);
}

#[test]
fn a_schema_alone_tells_blocks_from_arguments() {
    let object = |form| {
        let entry = |value, form| Entry { key: span(), value: Node::new(span(), value), form };
        let zone = entry(NodeKind::String("a".into()), Form::Argument);
        let place = entry(NodeKind::Map([("zone".to_owned(), zone)].into()), form);
        let image = entry(NodeKind::Unknown, Form::Argument);
        let body = NodeKind::Map([("image".to_owned(), image), ("place".to_owned(), place)].into());
        by_schema(&Node::new(span(), body), &Redactor::default())
    };
    let wanted = json!({"image": "<unknown>", "place": {"zone": "a"}});
    assert_eq!(object(Form::Argument), Ok(wanted));
    let refused = "C003 `place` is an argument, not a block / ";
    assert_eq!(object(Form::Block), Err(vec![refused.to_owned()]));
}
