//! A component that is known only while the program runs is like any other.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use imgbake::component::{Artifact, BuildContext, Builder, Descriptor};
use imgbake::diagnostic::Diagnostics;
use imgbake::env::Environment;
use imgbake::eval::{self, Inputs};
use imgbake::explain::{self, Known};
use imgbake::plan::{self, PlanRequest};
use imgbake::registry::Registry;
use imgbake::secret::Redactor;
use imgbake::source::SourceMap;
use imgbake::template::load::{LoadRequest, load};
use imgbake::template::upgrade::upgrade;
use serde_json::{Value as Json, json};

/// Builds nothing.
struct AcmeVm;

#[async_trait]
impl Builder for AcmeVm {
    async fn build(&self, _cx: &BuildContext) -> anyhow::Result<Option<Arc<dyn Artifact>>> {
        Ok(None)
    }
}

/// What the builder was given.
type Given = Arc<Mutex<Vec<Json>>>;

/// What is built in, and `acme-vm`.
fn registry(given: &Given) -> Registry {
    let disk = json!({"type": "object", "properties": {"size": {"type": "integer"}}});
    let schema = json!({
        "type": "object",
        "required": ["image"],
        "properties": {
            "image": {"type": "string", "description": "The image to start from."},
            "cpus": {"type": "integer", "default": 2},
            "token": {"type": "string", "writeOnly": true},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "disk": {"type": "array", "items": disk},
        },
    });
    let given = given.clone();
    let acme = Descriptor::<dyn Builder>::by_schema(
        "acme-vm",
        "Makes a machine at Acme.",
        &schema,
        move |options, check| {
            if options.get("cpus").is_some_and(|cpus| *cpus == 3) {
                check.error("cpus", "Acme has machines of 2 and 4");
            }
            given.lock().unwrap().push(Json::Object(options));
            Some(Box::new(AcmeVm))
        },
    );
    let mut registry = Registry::built_in();
    registry.add(acme);
    registry
}

fn environment(dir: &Path) -> Arc<Environment> {
    Arc::new(Environment::new(BTreeMap::new(), dir.to_owned(), jiff::Timestamp::UNIX_EPOCH))
}

/// What is wrong with the source `acme-vm` that has this body: each finding with its text there.
fn plan(body: &str, given: &Given, redactor: &Redactor) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.pkr.hcl");
    let text = format!(
        "source \"acme-vm\" \"x\" {{\n{body}\n}}\nbuild {{\n  sources = [\"acme-vm.x\"]\n}}\n"
    );
    std::fs::write(&path, &text).unwrap();
    let (template, _) =
        load(&LoadRequest::new(path, Default::default()), &mut SourceMap::default()).unwrap();
    let environment = environment(dir.path());
    let inputs = Inputs {
        vars: Vec::new(),
        var_files: Vec::new(),
        environment: environment.clone(),
        data_sources: None,
        warn_undeclared: false,
        budget: Default::default(),
    };
    let (values, _) = eval::evaluate(&template, &inputs, redactor).unwrap();
    let (only, except, registry) = (Vec::new(), Vec::new(), registry(given));
    let request = PlanRequest { only, except, force: false, debug: false, environment, registry };
    let found = match plan::make(&template, values, &request, redactor) {
        Ok((plan, found)) => {
            assert_eq!(plan.builds.len(), 1);
            found
        }
        Err(found) => found,
    };
    said(&found, &text)
}

fn said(found: &Diagnostics, text: &str) -> Vec<String> {
    let line = |found: &imgbake::diagnostic::Diagnostic| {
        let span = found.span.unwrap();
        let place = &text[span.start as usize..span.end as usize];
        let place = place.lines().next().unwrap_or_default();
        let help = found.help.as_deref().unwrap_or_default();
        format!("{} {} at `{place}`: {help}", found.code, found.summary)
    };
    found.0.iter().map(line).collect()
}

#[test]
fn its_options_are_decoded_checked_and_kept_secret() {
    let (given, redactor) = (Given::default(), Redactor::default());
    let body = "image = \"debian-${1 + 12}\"\ncpus = \"4\"\ntoken = \"correct-horse\"\n\
                disk {\n  size = 10\n}\nlabels = { a = 1 }";
    assert_eq!(plan(body, &given, &redactor), [""; 0]);
    let options = json!({
        "image": "debian-13", "cpus": 4, "token": "correct-horse",
        "disk": [{"size": 10}], "labels": {"a": "1"},
    });
    assert_eq!(*given.lock().unwrap(), [options]);
    assert_eq!(redactor.redact("correct-horse"), "<sensitive>");
}

#[test]
fn its_mistakes_are_shown_where_they_are() {
    let found = |body: &str| plan(body, &Given::default(), &Redactor::default());
    let wrong = "imgae = \"x\"\ncpus = \"many\"\ndisk {\n  sise = 1\n}\nlabels {\n}";
    let said = [
        "C002 `acme-vm` has no option `imgae` at `imgae`: did you mean `image`?",
        "C003 `labels` is an argument, not a block at `labels`: write `labels = …`",
        "C006 `acme-vm` needs `image` at `{`: ",
        r#"C003 the value of `cpus` cannot be used at `"many"`: "#,
        "C002 there is no option `sise` here at `sise`: did you mean `size`?",
    ];
    assert_eq!(found(wrong), said);
    let refused = found("image = \"x\"\ncpus = 3");
    assert_eq!(refused, ["C005 the value of `cpus` cannot be used at `3`: "]);
}

#[test]
fn it_is_explained() {
    let registry = registry(&Given::default());
    let environment = environment(Path::new("/"));
    let known = Known { registry: &registry, environment: &environment };
    let text = |topic| {
        let pages = explain::find(topic, known).unwrap();
        pages.iter().map(explain::text).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(text("acme-vm"), @"
    acme-vm (builder): Makes a machine at Acme.

    Options:
      image (string, required)
        The image to start from.
      cpus (number, default 2)
      token (string)
      labels (map of strings)
      disk (blocks)
        size (number)
    ");
    assert_eq!(text("acme-vm.disk.size"), "acme-vm.disk.size (builder): number");
    let meant = |topic| explain::find(topic, known).unwrap_err().meant;
    assert_eq!(meant("acme-mv").as_deref(), Some("acme-vm"));
    assert_eq!(meant("acme-vm.imgae").as_deref(), Some("acme-vm.image"));
    let listed = explain::contents(known).builders;
    assert!(listed.iter().any(|builder| builder.name == "acme-vm"), "{listed:?}");
}

#[test]
fn it_is_upgraded_as_its_schema_says() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.json");
    let options = json!({
        "type": "acme-vm", "image": "x", "disk": {"size": 1}, "labels": {"a": "b"},
    });
    std::fs::write(&path, json!({ "builders": [options] }).to_string()).unwrap();
    let request = LoadRequest::new(path, Default::default());
    let (template, _) = load(&request, &mut SourceMap::default()).unwrap();
    let text = upgrade(&template, &registry(&Given::default()), false);
    for line in ["  disk {\n    size = 1\n  }", "  labels = {\n    a = \"b\"\n  }"] {
        assert!(text.contains(line), "{text}");
    }
}
