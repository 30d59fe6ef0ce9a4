use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::env::Environment;
use crate::eval::{self, Inputs};
use crate::interpolate::BuildData;
use crate::registry::Registry;
use crate::secret::Redactor;
use crate::source::SourceMap;
use crate::template::load::{LoadRequest, load};

/// Plans the template `text` in a file called `name`, with `-only` and `-except`.
fn plan(name: &str, text: &str, only: &[&str], except: &[&str]) -> (Option<Plan>, Diagnostics) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    let request = LoadRequest::new(path, Default::default());
    let (template, _) = load(&request, &mut SourceMap::default()).unwrap();
    let environment =
        Arc::new(Environment::new(BTreeMap::new(), PathBuf::from("/"), Timestamp::UNIX_EPOCH));
    let inputs = Inputs {
        vars: Vec::new(),
        var_files: Vec::new(),
        environment: environment.clone(),
        data_sources: None,
        warn_undeclared: false,
        budget: Default::default(),
    };
    let redactor = Redactor::default();
    let (values, _) = eval::evaluate(&template, &inputs, &redactor).unwrap();
    let own = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    let (only, except) = (own(only), own(except));
    let registry = Registry::built_in();
    let request = PlanRequest { only, except, force: false, debug: false, environment, registry };
    match make(&template, values, &request, &redactor) {
        Ok((plan, warnings)) => (Some(plan), warnings),
        Err(errors) => (None, errors),
    }
}

#[test]
fn a_legacy_override_may_be_empty_in_any_way() {
    for over in ["[]", "null", "{}", r#"{"null": null}"#] {
        let template = format!(
            r#"{{"builders": [{{"type": "null", "communicator": "none"}}],
            "provisioners": [{{"type": "shell-local", "inline": ["true"], "override": {over}}}]}}"#
        );
        let (plan, found) = json(&template);
        assert!(plan.is_some(), "{over}: {found:?}");
    }
}

#[test]
fn a_build_needs_a_source() {
    let (plan, found) = hcl("build {\n}\n");
    assert!(plan.is_none());
    assert_eq!(summaries(&found), ["this build has no source"]);
}

/// What the plan finds where `chain` follows `builder`, each with its options.
fn found_after(builder: &str, chain: &[&str]) -> Vec<String> {
    let chain: Vec<_> = chain.iter().map(|one| format!("{{{one}}}")).collect();
    let (_, found) = json(&format!(
        r#"{{"builders": [{{{builder}}}], "post-processors": [[{}]]}}"#,
        chain.join(", ")
    ));
    let line = |found: &Diagnostic| {
        let cause = found.cause.clone().unwrap_or_default();
        format!("{}: {}", found.summary, cause.lines().next().unwrap_or_default())
    };
    found.0.iter().map(line).collect()
}

#[test]
fn what_a_post_processor_cannot_take_is_told_before_the_build() {
    let null = r#""type": "null", "communicator": "none""#;
    let file = r#""type": "file", "content": "x", "target": "x.txt""#;
    let artifice = r#""type": "artifice", "files": ["x.vmx"]"#;
    let (vagrant, manifest) = (r#""type": "vagrant""#, r#""type": "manifest""#);
    let tag = r#""type": "docker-tag", "repository": "acme/web""#;
    for (builder, chain, wanted) in [
        (null, vec![vagrant], "Unknown artifact type, can't build box: fnoeding.null"),
        (null, vec![manifest, vagrant], "Unknown artifact type, can't build box: fnoeding.null"),
        (null, vec![artifice, vagrant], "name it in `provider_override`"),
        (file, vec![vagrant, vagrant], "mitchellh.post-processor.vagrant"),
        (file, vec![tag], "Unknown artifact type: packer.file"),
    ] {
        let found = found_after(builder, &chain);
        assert!(found.len() == 1 && found[0].contains(wanted), "{chain:?}: {found:?}");
        assert!(found[0].contains("can make nothing of what comes before it"), "{found:?}");
    }
    let named = r#""type": "vagrant", "provider_override": "vmware""#;
    for (builder, chain) in [
        (file, vec![vagrant, manifest]),
        (null, vec![artifice, named]),
        // A post-processor that is wrong itself is not blamed for those after it.
        (null, vec![r#""type": "artifice""#, vagrant]),
    ] {
        let found = found_after(builder, &chain);
        let misfit = found.iter().any(|found| found.contains("comes before it"));
        assert!(!misfit, "{chain:?}: {found:?}");
    }
}

fn json(text: &str) -> (Option<Plan>, Diagnostics) {
    plan("t.json", text, &[], &[])
}

fn hcl(text: &str) -> (Option<Plan>, Diagnostics) {
    plan("t.pkr.hcl", text, &[], &[])
}

fn summaries(found: &Diagnostics) -> Vec<&str> {
    found.0.iter().map(|found| found.summary.as_str()).collect()
}

const LEGACY: &str = r#"{
  "variables": {"zone": "b"},
  "builders": [
    {"type": "null", "communicator": "none"},
    {"type": "null", "name": "in-{{user `zone`}}", "communicator": "none"}
  ],
  "provisioners": [
    {"type": "shell-local", "inline": ["true"], "only": ["in-{{user `zone`}}"],
     "max_retries": "-1", "pause_before": "5s", "timeout": "1m"}
  ],
  "post-processors": [["manifest", {"type": "checksum", "name": "sums"}, "manifest"]]
}"#;

#[test]
fn a_legacy_build_is_shown_with_its_type_and_selected_by_its_rendered_name() {
    let (built, _) = json(LEGACY);
    let names: Vec<_> = built.unwrap().builds.into_iter().map(|build| build.name).collect();
    assert_eq!(names, ["null", "null.in-b"]);
    let (built, _) = plan("t.json", LEGACY, &["in-b"], &[]);
    let builds = built.unwrap().builds;
    assert_eq!(builds.len(), 1);
    assert_eq!(builds[0].facts.build_name, "in-b");
}

#[test]
fn legacy_blocks_know_builders_by_the_names_that_are_written() {
    let builds = json(LEGACY).0.unwrap().builds;
    assert!(builds[0].provisioners.is_empty());
    let provisioner = &builds[1].provisioners[0];
    assert_eq!(provisioner.max_retries, 0);
    assert_eq!(provisioner.pause_before, Duration::from_secs(5));
    assert_eq!(provisioner.timeout, Some(Duration::from_secs(60)));
}

#[test]
fn except_takes_a_post_processor_and_the_rest_of_its_chain() {
    let (built, _) = plan("t.json", LEGACY, &[], &["sums"]);
    let chains = &built.unwrap().builds[0].post_processors;
    assert_eq!(chains.len(), 1);
    assert_eq!(chains[0].len(), 1);
    let (built, _) = plan("t.json", LEGACY, &[], &["manifest"]);
    assert!(built.unwrap().builds[0].post_processors.is_empty());
}

const HCL: &str = r#"
source "null" "a" {
  communicator = "none"
}
build {
  name    = "web"
  sources = ["source.null.a"]
  source "null.a" {
    name = "twin"
  }
  provisioner "shell-local" {
    name              = "greet"
    inline            = ["echo ${build.ID} ${source.name}"]
    except            = ["null.twin"]
    continue_on_error = true
  }
}
"#;

#[test]
fn each_build_of_a_run_has_a_name_of_its_own_for_the_journal() {
    let text = r#"
    source "null" "web" { communicator = "none" }
    source "file" "web" { target = "x" }
    build { sources = ["source.null.web", "source.file.web"] }
    build { sources = ["source.null.web"] }
    "#;
    let builds = hcl(text).0.unwrap().builds;
    let own: Vec<_> = builds.iter().map(|build| build.facts.build_name.as_str()).collect();
    assert_eq!(own, ["web", "web", "web"]);
    let unique: Vec<_> = builds.iter().map(|build| build.facts.unique_name.as_str()).collect();
    assert_eq!(unique, ["null.web", "file.web", "null.web (2)"]);
}

#[test]
fn an_hcl_build_is_called_build_type_and_local_name() {
    let builds = hcl(HCL).0.unwrap().builds;
    let names: Vec<_> = builds.iter().map(|build| build.name.as_str()).collect();
    assert_eq!(names, ["web.null.a", "web.null.twin"]);
    assert_eq!(builds[1].facts.build_name, "twin");
    assert!(builds[1].provisioners.is_empty());
    let provisioner = &builds[0].provisioners[0];
    assert_eq!(provisioner.name.as_deref(), Some("greet"));
    assert!(provisioner.continue_on_error);
}

#[test]
fn a_provisioner_is_made_again_when_the_machine_is_known() {
    let builds = hcl(HCL).0.unwrap().builds;
    let data = BuildData::from([("ID".to_owned(), "i-1".into())]);
    assert!((builds[0].provisioners[0].recipe)(&data).is_ok());
}

#[test]
fn continue_on_error_is_no_meta_argument_of_legacy_templates() {
    let (_, found) = json(
        r#"{"builders": [{"type": "null", "communicator": "none"}], "provisioners": [
            {"type": "shell-local", "inline": ["true"], "continue_on_error": true}]}"#,
    );
    assert_eq!(summaries(&found), ["`shell-local` has no option `continue_on_error`"]);
}

#[test]
fn an_error_in_a_block_that_builds_share_is_said_once() {
    let (built, found) = json(
        r#"{"builders": [{"type": "null", "communicator": "none"},
                         {"type": "null", "name": "b", "communicator": "none"},
                         {"type": "nul", "name": "c"}],
            "provisioners": [{"type": "shell-local", "inlien": ["true"]}],
            "post-processors": ["vsphere-template"]}"#,
    );
    assert!(built.is_none());
    assert_eq!(
        summaries(&found),
        [
            "`shell-local` has no option `inlien`",
            "the post-processor `vsphere-template` is of the plugin `github.com/hashicorp/vsphere`",
            "there is no builder `nul`",
        ]
    );
    assert_eq!(found.0[2].help.as_deref(), Some("did you mean `null`?"));
}

#[test]
fn an_override_goes_over_the_options_of_its_build_only() {
    let text = |name: &str| {
        format!(
            r#"{{"builders": [{{"type": "null", "communicator": "none"}},
                             {{"type": "null", "name": "b", "communicator": "none"}}],
                "provisioners": [{{"type": "shell-local", "inline": ["true"],
                                   "override": {{"{name}": {{"inline": []}}}}}}]}}"#
        )
    };
    let (built, found) = json(&text("b"));
    assert!(built.is_none());
    assert_eq!(found.0.len(), 1, "{:?}", summaries(&found));
    let (_, found) = json(&text("c"));
    assert_eq!(summaries(&found), ["no source of this build is called `c` here"]);
}

#[test]
fn an_unknown_name_in_only_is_an_error_in_json_and_a_warning_in_hcl() {
    let (built, _) = json(
        r#"{"builders": [{"type": "null", "communicator": "none"}], "provisioners": [
            {"type": "shell-local", "inline": ["true"], "only": ["nul"]}]}"#,
    );
    assert!(built.is_none());
    let (built, found) = hcl(&HCL.replace("null.twin", "null.twn"));
    assert!(built.is_some());
    assert_eq!(found.0[0].severity, Severity::Warning);
    assert_eq!(found.0[0].help.as_deref(), Some("did you mean `null.twin`?"));
}

#[test]
fn a_build_adds_to_its_source_and_overrides_nothing() {
    let (built, found) = hcl(&HCL.replace("name = \"twin\"", "communicator = \"ssh\""));
    assert!(built.is_none());
    assert!(summaries(&found).contains(&"`communicator` is given twice"));
}

#[test]
fn a_template_with_nothing_to_build_is_refused() {
    assert!(json(r#"{"builders": []}"#).0.is_none());
    assert!(hcl("locals {\n  a = 1\n}\n").0.is_none());
}
