//! A component that is known only while the program runs is like any other: a builder, and a connector
//! that builders take.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use imgbake::communicator::{Connector, Pause, Target};
use imgbake::component::{Artifact, BuildContext, Builder, Check, Communicator, Descriptor};
use imgbake::diagnostic::Diagnostics;
use imgbake::env::Environment;
use imgbake::eval::{self, Inputs};
use imgbake::event::Ui;
use imgbake::explain::{self, Known};
use imgbake::interpolate::BuildData;
use imgbake::plan::{self, PlanRequest};
use imgbake::registry::Registry;
use imgbake::secret::Redactor;
use imgbake::source::SourceMap;
use imgbake::template::load::{LoadRequest, load};
use imgbake::template::upgrade::upgrade;
use serde_json::{Value as Json, json};

use crate::support::build_context;

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
    registry.add(line());
    registry
}

/// Reaches no machine.
#[derive(Debug)]
struct AcmeLine(String);

#[async_trait]
impl Connector for AcmeLine {
    fn check(&self, check: &mut Check<'_>) {
        if self.0.contains(' ') {
            check.error("acme_line", "a name has no blanks");
        }
    }

    fn check_machine_is_known(&self, _: &mut Check<'_>) {}

    fn port(&self) -> Option<u16> {
        None
    }

    async fn connect(
        &self,
        _: &BuildContext,
        _: Target,
        _: Pause,
    ) -> anyhow::Result<Arc<dyn Communicator>> {
        anyhow::bail!("nobody answers on {}", self.0)
    }

    async fn build_data(&self, _: &Target) -> BuildData {
        BuildData::new()
    }
}

/// A connector that needs an option of its own.
fn line() -> Descriptor<dyn Connector> {
    let schema = json!({
        "type": "object",
        "required": ["acme_line"],
        "properties": {
            "acme_line": {"type": "string", "description": "The line to the machine."},
            "acme_code": {"type": "string", "writeOnly": true},
        },
    });
    Descriptor::<dyn Connector>::by_schema(
        "acme",
        "Connects over a line of Acme.",
        &schema,
        |options, _| {
            let line = options.get("acme_line").and_then(Json::as_str).unwrap_or_default();
            Some(Box::new(AcmeLine(line.to_owned())))
        },
    )
}

fn environment(dir: &Path) -> Arc<Environment> {
    Arc::new(Environment::new(BTreeMap::new(), dir.to_owned(), jiff::Timestamp::UNIX_EPOCH))
}

/// What is wrong with the source `acme-vm` that has this body: each finding with its text there.
fn plan(body: &str, given: &Given, redactor: &Redactor) -> Vec<String> {
    planned("acme-vm", body, given, redactor).1
}

/// The builder of the only source, of the type `builder` with this body, and what is wrong with it.
fn planned(
    builder: &str,
    body: &str,
    given: &Given,
    redactor: &Redactor,
) -> (Option<imgbake::plan::Plan>, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.pkr.hcl");
    let text = format!(
        "source \"{builder}\" \"x\" {{\n{body}\n}}\nbuild {{\n  sources = [\"{builder}.x\"]\n}}\n"
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
    match plan::make(&template, values, &request, redactor) {
        Ok((plan, found)) => {
            assert_eq!(plan.builds.len(), 1);
            (Some(plan), said(&found, &text))
        }
        Err(found) => (None, said(&found, &text)),
    }
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

/// What `imgbake explain` says of `topic`.
fn explained(topic: &str, known: Known<'_>) -> String {
    let pages = explain::find(topic, known).unwrap();
    pages.iter().map(explain::text).collect::<Vec<_>>().join("\n")
}

#[test]
fn it_is_explained() {
    let registry = registry(&Given::default());
    let environment = environment(Path::new("/"));
    let known = Known { registry: &registry, environment: &environment };
    let text = |topic| explained(topic, known);
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
    let listed = explain::contents(known).components["builders"].clone();
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

#[test]
fn a_connector_is_explained_with_the_builders_that_take_it() {
    let registry = registry(&Given::default());
    let environment = environment(Path::new("/"));
    let known = Known { registry: &registry, environment: &environment };
    let text = |topic| explained(topic, known);
    insta::assert_snapshot!(text("acme"), @"
    acme (communicator): Connects over a line of Acme.

    Options:
      acme_line (string, required)
        The line to the machine.
      acme_code (string)
    ");
    let line = "(builder): string\n\nThe line to the machine.";
    for builder in ["null", "qemu"] {
        let topic = format!("{builder}.acme_line");
        let pages = explain::find(&topic, known).unwrap();
        let texts: Vec<_> = pages.iter().map(explain::text).collect();
        assert_eq!(texts, [format!("{topic} {line}")]);
    }
    assert!(explain::find("file.acme_line", known).is_err());
    let meant = |topic| explain::find(topic, known).unwrap_err().meant;
    assert_eq!(meant("acmee").as_deref(), Some("acme"));
    let listed = &explain::contents(known).components["communicators"];
    let names: Vec<_> = listed.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["ssh", "winrm", "none", "acme"]);
}

#[test]
fn builders_take_a_connector_with_its_options() {
    let redactor = Redactor::default();
    let found = |body: &str| planned("null", body, &Given::default(), &redactor).1;
    let acme = |rest: &str| found(&format!("communicator = \"acme\"\n{rest}"));
    assert_eq!(acme("acme_line = \"blue\"\nacme_code = \"correct-horse\""), [""; 0]);
    assert_eq!(redactor.redact("correct-horse"), "<sensitive>");
    // Who does not choose it, does not need its options.
    assert_eq!(found("communicator = \"none\""), [""; 0]);
    assert_eq!(
        acme("acme_line = \"a b\""),
        ["C005 the value of `acme_line` cannot be used at `\"a b\"`: "]
    );
    assert_eq!(acme(""), ["C006 `acme` needs `acme_line` at `{`: "]);
    assert_eq!(
        acme("acme_lin = \"blue\""),
        ["C002 `null` has no option `acme_lin` at `acme_lin`: did you mean `acme_line`?",]
    );
    // One run shows the errors of all.
    assert_eq!(
        found("communicator = \"none\"\nssh_port = \"many\"\nacme_line = [1]"),
        [
            "C003 the value of `ssh_port` cannot be used at `\"many\"`: ",
            "C003 the value of `acme_line` cannot be used at `[1]`: ",
        ]
    );
    assert_eq!(
        found("communicator = \"amce\""),
        ["C005 the value of `communicator` cannot be used at `\"amce\"`: did you mean \"acme\"?",]
    );
    assert_eq!(
        found("communicator = \"docker\""),
        [
            "C005 the value of `communicator` cannot be used at `\"docker\"`: use \"ssh\" or \"winrm\" or \"none\" or \"acme\"",
        ]
    );
}

#[tokio::test]
async fn a_build_connects_with_it() {
    let body = "communicator = \"acme\"\nacme_line = \"blue\"";
    let (plan, found) = planned("null", body, &Given::default(), &Redactor::default());
    let plan = plan.unwrap_or_else(|| panic!("{found:?}"));
    let (ui, _said) = Ui::new();
    let environment = Environment::clone(&environment(Path::new("/")));
    let cx = build_context("null", environment, ui);
    let ended = plan.builds[0].builder.build(&cx).await;
    let error = ended.map(drop).unwrap_err();
    assert!(format!("{error:#}").contains("nobody answers on blue"), "{error:#}");
}
