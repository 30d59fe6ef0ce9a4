//! What is promised of any text: one function for each language that people write. Each panics where
//! a promise is broken. The fuzzer looks for such texts, and `tests/integration/fuzz.rs` goes through
//! those that it has found so far.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use imgbake::budget::Budget;
use imgbake::config::{Node, OptionSchema};
use imgbake::diagnostic::Diagnostics;
use imgbake::env::Environment;
use imgbake::eval::{self, Inputs, Place, Values};
use imgbake::guest::{self, archive, listing};
use imgbake::interpolate::{self, BuildData, Dot, Scope};
use imgbake::journal::store;
use imgbake::secret::Redactor;
use imgbake::source::{FileId, SourceMap};
use imgbake::template::ast::{Body, Dialect, Role, Template};
use imgbake::template::fix::{self, Document};
use imgbake::template::format::format;
use imgbake::template::hcl::{self, Origin};
use imgbake::template::load::{self, ConfigType, LoadRequest};
use imgbake::template::upgrade::{Components, upgrade};

/// What is done with a text.
pub type Target = fn(&str);

/// All targets, by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("hcl", hcl_template),
    ("json", legacy_template),
    ("pkr_json", json_template),
    ("interpolation", interpolation),
    ("expression", expression),
    ("fmt", formatting),
    ("fix", fixing),
    ("upgrade", upgrading),
    ("variables", variables),
    ("guest", guest),
    ("journal", dead_journal),
];

/// Texts are small, so little is enough for them. What is beyond is refused, and so is tested, too.
const UNITS: usize = 200_000;

/// The world is nowhere: texts that read files find none.
fn environment() -> Arc<Environment> {
    let vars = [("HOME", "/nowhere/home"), ("PKR_VAR_x", "[1]"), ("USER", "fuzz")];
    let vars = vars.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let nowhere = PathBuf::from("/nowhere");
    Arc::new(Environment::new(BTreeMap::from(vars), nowhere, jiff::Timestamp::UNIX_EPOCH))
}

fn inputs() -> Inputs {
    Inputs {
        vars: Vec::new(),
        var_files: Vec::new(),
        environment: environment(),
        data_sources: None,
        warn_undeclared: true,
        budget: Budget::of(UNITS),
    }
}

fn request(name: &str) -> LoadRequest {
    LoadRequest::new(Path::new("/nowhere").join(name), ConfigType::Json)
}

/// Every place is in a text, and can be shown.
fn check_places(found: &Diagnostics, sources: &SourceMap) {
    for one in &found.0 {
        for span in one.span.into_iter().chain(one.labels.iter().map(|label| label.span)) {
            let length = sources.file(span.file).text.len();
            assert!(span.start <= span.end && span.end as usize <= length, "{one:?}");
            let _ = sources.locate(span);
        }
    }
}

/// Values of all bodies that components would be given.
fn evaluate(template: Template, sources: &SourceMap) {
    let (values, found) = eval::evaluate_partly(&template, &inputs(), &Redactor::default());
    check_places(&found, sources);
    let _ = values.listing();
    let (template, values, found) = eval::unroll(template, values);
    check_places(&found, sources);
    let body = |body: &Body, place: &Place<'_>| match values.body(body, place) {
        Ok(node) => render(&node, &scope(&values)),
        Err(found) => check_places(&found, sources),
    };
    for source in &template.sources {
        let source_place = Some((source.kind.value.as_str(), source.name.value.as_str()));
        body(&source.body, &Place { source: source_place, ..Place::default() });
    }
    let place = Place { build_name: Some("build"), ..Place::default() };
    for build in &template.builds {
        let post_processors = build.post_processors.iter().flatten();
        for block in build.provisioners.iter().chain(&build.error_cleanup).chain(post_processors) {
            body(&block.body, &place);
        }
    }
}

fn scope(values: &Values) -> Scope {
    Scope {
        user_variables: values.user_variables(),
        build_name: Some("name".to_owned()),
        build_type: Some("amazon-ebs".to_owned()),
        budget: Budget::of(UNITS),
        ..Scope::new(environment())
    }
}

/// Renders every text in `node`.
fn render(node: &Node, scope: &Scope) {
    if let Some(text) = node.as_str() {
        render_text(text, scope);
    }
    node.items().iter().for_each(|item| render(item, scope));
    for entry in node.entries().into_iter().flat_map(|entries| entries.values()) {
        render(&entry.value, scope);
    }
}

fn render_text(text: &str, scope: &Scope) {
    let rendered = interpolate::Template::parse(text)
        .and_then(|template| template.render(scope, &Dot::default()));
    if let Err(error) = rendered {
        assert!(error.offset <= text.len(), "{error:?}");
    }
}

/// An HCL2 template is read and evaluated, or refused with places.
fn hcl_template(text: &str) {
    template_of("t.pkr.hcl", text);
}

/// The same in HCL's JSON syntax.
fn json_template(text: &str) {
    template_of("t.pkr.json", text);
}

fn template_of(name: &str, text: &str) {
    let mut sources = SourceMap::default();
    let file = sources.add(name, text);
    match load::hcl2(&[file], Diagnostics::default(), &request(name), &sources) {
        Ok((template, found)) => {
            check_places(&found, &sources);
            evaluate(template, &sources);
        }
        Err(found) => {
            assert!(found.has_errors());
            check_places(&found, &sources);
        }
    }
}

/// A legacy template.
fn legacy_template(text: &str) {
    let mut sources = SourceMap::default();
    let file = sources.add("t.json", text);
    match load::legacy(file, &request("t.json"), &sources) {
        Ok((template, found)) => {
            check_places(&found, &sources);
            evaluate(template, &sources);
        }
        Err(found) => check_places(&found, &sources),
    }
}

/// A `{{ … }}` text, where the machine is known and where it is not.
fn interpolation(text: &str) {
    assert_eq!(interpolate::parts(text).is_ok(), interpolate::Template::parse(text).is_ok());
    let scope = scope(&Values::default());
    render_text(text, &scope);
    let build_data = Some(BuildData::from([("ID".to_owned(), "i-1".into())]));
    let values = serde_json::json!({"a": ["x", 2, null], "b": {"c": 1.5}, "Path": "/tmp"});
    let dot: Dot =
        values.as_object().into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
    let scope = Scope { build_data, in_variables: true, ..scope };
    if let Ok(template) = interpolate::Template::parse(text) {
        let _ = template.render(&scope, &dot);
    }
}

/// The scope of expressions: values of all types.
const SCOPE: &str = r#"
variable "text" { default = "some text" }
variable "secret" {
  default   = "hunter22"
  sensitive = true
}
variable "numbers" { default = [1, 2.5, -3] }
variable "nothing" {
  type    = map(list(string))
  default = null
}
variable "set" {
  type    = set(string)
  default = ["b", "a"]
}
variable "object" {
  type    = object({ a = number, b = optional(list(bool), [true]) })
  default = { a = 1 }
}
locals {
  nested = { list = [[1, "x"], [null, true]], map = { a = { b = "c" } } }
  text   = "${var.text}: ${var.secret}"
}
"#;

static VALUES: LazyLock<Values> = LazyLock::new(|| {
    let mut sources = SourceMap::default();
    let file = sources.add("scope.pkr.hcl", SCOPE);
    let template = load::hcl2(&[file], Diagnostics::default(), &request("scope.pkr.hcl"), &sources);
    let (template, _) = template.expect("the scope is right");
    eval::evaluate(&template, &inputs(), &Redactor::default()).expect("it has values").0
});

/// An expression: what it is printed as never shows the secret.
fn expression(text: &str) {
    let mut sources = SourceMap::default();
    let file = sources.add("console", text);
    let budget = Budget::of(UNITS);
    let parsed = hcl::parse_expression(text, Origin::File(file, 0), &budget);
    match parsed.and_then(|expr| VALUES.printed(&expr, &Place::default(), &budget)) {
        Ok(printed) => assert!(!printed.contains("hunter22"), "{printed}"),
        Err(found) => check_places(&found, &sources),
    }
}

/// A body without its places, so that two texts can be compared; and how many mistakes it has.
fn meaning(text: &str) -> (String, usize) {
    let mut sources = SourceMap::default();
    let file = sources.add("t.pkr.hcl", text);
    let (body, found) = hcl::parse_file(file, &sources);
    let written = format!("{body:?}");
    let mut meaning = String::new();
    // `Span { file: FileId(0), start: 1, end: 2 }`
    for part in written.split("Span { file: FileId(0), start: ") {
        let after = part.trim_start_matches(|c: char| c.is_ascii_digit() || ", end: ".contains(c));
        meaning.push_str(after);
    }
    (meaning, found.0.len())
}

/// The canonical style is its own style and changes no meaning.
fn formatting(text: &str) {
    let formatted = format(text);
    // One that was not at the start of the text is a mistake there, and none here: Packer
    // formats such a text twice, too.
    if !formatted.starts_with('\u{feff}') {
        assert_eq!(format(&formatted), formatted, "the style of the style");
    }
    let (given, now) = (meaning(text), meaning(&formatted));
    if given.1 == 0 {
        assert_eq!(now, given);
    }
}

/// What is fixed is JSON, and needs no fixing.
fn fixing(text: &str) {
    let Some(fixed) = fixed(text) else { return };
    let parsed: Result<serde_json::Value, _> = serde_json::from_str(&fixed);
    assert!(parsed.is_ok_and(|value| value.is_object()), "{fixed}");
}

fn fixed(text: &str) -> Option<String> {
    let mut sources = SourceMap::default();
    let file: FileId = sources.add("t.json", text);
    let (mut document, found) = Document::read(file, &sources).ok()?;
    check_places(&found, &sources);
    fix::fix(&mut document).ok()?;
    Some(document.to_text())
}

/// Nobody knows any component.
struct NoComponents;

impl Components for NoComponents {
    fn options(&self, _: Role, _: &str) -> Option<Arc<OptionSchema>> {
        None
    }

    fn have_block(&self, _: &str) -> bool {
        false
    }
}

/// A legacy template in HCL2 is HCL2.
fn upgrading(text: &str) {
    let mut sources = SourceMap::default();
    let file = sources.add("t.json", text);
    let Ok((template, _)) = load::legacy(file, &request("t.json"), &sources) else { return };
    for annotate in [false, true] {
        let written = upgrade(&template, &NoComponents, annotate);
        let mut sources = SourceMap::default();
        let file = sources.add("t.pkr.hcl", written.as_str());
        let (_, found) = hcl::parse_file(file, &sources);
        assert!(!found.has_errors(), "{:?}\n{written}", found.0.first());
        assert_eq!(format(&written), written, "it is in canonical style");
    }
}

/// Variable files of all three syntaxes, and the values that they give.
fn variables(text: &str) {
    for (name, dialect) in [
        ("v.pkrvars.hcl", Dialect::Hcl),
        ("v.pkrvars.json", Dialect::Hcl),
        ("v.json", Dialect::Json),
    ] {
        let mut sources = SourceMap::default();
        let file = sources.add(name, text);
        let assignments = match load::assignments(file, dialect, &sources) {
            Ok(assignments) => assignments,
            Err(found) => {
                check_places(&found, &sources);
                continue;
            }
        };
        let scope = sources.add("scope.pkr.hcl", SCOPE);
        let scope =
            load::hcl2(&[scope], Diagnostics::default(), &request("scope.pkr.hcl"), &sources);
        let (template, _) = scope.expect("the scope is right");
        let template = Template { dialect, ..template };
        let inputs = Inputs { var_files: vec![assignments], ..inputs() };
        let (values, found) = eval::evaluate_partly(&template, &inputs, &Redactor::default());
        check_places(&found, &sources);
        let _ = values.listing();
    }
}

/// What a machine sends: as output, as answers, and as an archive.
fn guest(text: &str) {
    let shown = guest::harmless(text.as_bytes());
    assert!(!shown.contains(|c: char| c.is_control() && c != '\n' && c != '\t'), "{shown:?}");
    let _ = listing::size(text);
    let bytes = text.replace('\n', "\0").into_bytes();
    for found in listing::matches(&bytes).unwrap_or_default() {
        assert_eq!(found.name.components().count(), 1, "{found:?}");
        stays_inside(&found.name);
    }
    let below = listing::below(&bytes).unwrap_or_default();
    below.directories.iter().chain(&below.files).for_each(|name| stays_inside(name));
    unpacking(&packed(text));
    unpacking(&bytes);
}

fn stays_inside(name: &Path) {
    let is_name = |part| matches!(part, std::path::Component::Normal(_));
    assert!(name.components().all(is_name), "{name:?}");
}

/// An archive of a text: each line is an entry, `KIND|NAME|LINK|SIZE|CONTENT`, with a right checksum.
/// The last header may be a broken one.
fn packed(text: &str) -> Vec<u8> {
    let mut archive = Vec::new();
    for line in text.lines() {
        let mut fields = line.splitn(5, '|');
        let mut field = || fields.next().unwrap_or_default().as_bytes();
        let (kind, name, link, size, content) = (field(), field(), field(), field(), field());
        let mut header = tar::Header::new_gnu();
        let raw = header.as_mut_bytes();
        for (from, to) in [(name, 0..100), (size, 124..135), (kind, 156..157), (link, 157..257)] {
            let length = from.len().min(to.len());
            raw[to][..length].copy_from_slice(&from[..length]);
        }
        if size.is_empty() {
            header.set_size(content.len() as u64);
        }
        header.set_cksum();
        archive.extend_from_slice(header.as_bytes());
        archive.extend_from_slice(content);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive
}

/// Nothing is written but below the directory that is given.
fn unpacking(packed: &[u8]) {
    let dir = tempfile::tempdir().expect("a directory");
    let to = dir.path().join("around/to");
    std::fs::create_dir_all(&to).expect("a directory");
    let _ = archive::unpack(packed, &to);
    for above in [dir.path(), &dir.path().join("around")] {
        let around = std::fs::read_dir(above).expect("the directory").count();
        assert_eq!(around, 1, "something was written around {}", to.display());
    }
    for entry in walkdir::WalkDir::new(&to) {
        let kind = entry.expect("an entry").file_type();
        assert!(kind.is_dir() || kind.is_file(), "{kind:?}");
    }
}

/// A journal that anybody may have written: each thing is one harmless line, has an id that something
/// may have, and can be settled.
fn dead_journal(text: &str) {
    let Ok(journal) = store::read(text.as_bytes()) else { return };
    let (entries, kept) = (journal.entries(), journal.product_entries());
    assert!(kept.iter().all(|entry| entry.thing.is_product() && entry.thing.is_finished()));
    for entry in entries.iter().chain(&kept) {
        let (id, shown) = (entry.thing.id().unwrap_or("none"), entry.thing.in_full());
        assert!(!id.is_empty() && !id.contains(char::is_control), "{id:?}");
        assert!(!shown.contains(char::is_control), "{shown:?}");
    }
    journal.give_up_products();
    assert_eq!(journal.entry_texts().len(), entries.len() + kept.len());
    assert!(journal.entry_texts().iter().all(|line| !line.contains(char::is_control)));
    journal.entries().iter().for_each(|entry| journal.gone(&entry.thing));
    assert!(journal.close().is_none() && journal.entry_texts().is_empty());
}
