//! `validate -format`: the same findings for programs.

use std::process::Command;

use serde_json::Value as Json;

use crate::support::{Program, fixture};

/// Two errors and a warning, one of them behind characters of several bytes and code units.
const TEMPLATE: &str = r#"
variable "unused" {
  default = 1
}
locals {
  a = "𝒳é" == local.nope
}
source "null" "x" {
  comunicator = "none"
}
build {
  sources = ["null.x"]
  provisioner "shell-local" {
    only = ["null.z"]
  }
}
"#;

fn validate(template: &str, format: &str) -> (Program, String, Option<i32>) {
    let program = Program::new();
    program.write("a, 100% dir/t.pkr.hcl", template);
    let run = program.run(["validate", &format!("-format={format}"), "a, 100% dir/t.pkr.hcl"]);
    assert_eq!(run.stderr, "", "all goes to standard output");
    (program, run.stdout, run.code)
}

/// Without what is wrong before components are looked at.
fn planned() -> String {
    TEMPLATE.replace(" == local.nope", "")
}

#[test]
fn json_has_every_finding_with_its_place() {
    let (_, stdout, code) = validate(&planned(), "json");
    assert_eq!(code, Some(1));
    insta::assert_snapshot!(stdout);
    let (_, stdout, code) = validate(TEMPLATE, "json");
    let report: Json = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!((code, &report["valid"]), (Some(1), &Json::Bool(false)));
    assert_eq!(report["diagnostics"][0]["start"]["column"], 20, "{stdout}");
}

#[test]
fn a_valid_template_has_a_report_too() {
    let valid = planned().replace("comunicator", "communicator").replace("only = ", "inline = ");
    let (_, stdout, code) = validate(&valid, "json");
    let report: Json = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!((code, &report["valid"]), (Some(0), &Json::Bool(true)), "{stdout}");
    assert_eq!(report["error_count"], 0);
}

#[test]
fn github_shows_annotations() {
    let (_, stdout, code) = validate(&planned(), "github");
    assert_eq!(code, Some(1));
    insta::assert_snapshot!(stdout);
}

#[test]
fn sarif_keeps_to_its_schema() {
    for template in [TEMPLATE, &planned(), "locals {"] {
        let (program, stdout, code) = validate(template, "sarif");
        assert_eq!(code, Some(1));
        let log = program.write("log.sarif", &stdout);
        // moto brings this validator along.
        let checked = Command::new("jsonschema")
            .args(["-i".as_ref(), log.as_os_str()])
            .arg(fixture("sarif/sarif-schema-2.1.0.json"))
            .output()
            .expect("jsonschema, which tests/run installs with moto");
        let said = String::from_utf8_lossy(&checked.stdout).into_owned()
            + &String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success(), "{said}\n{stdout}");
    }
}

#[test]
fn sarif_counts_in_utf16_and_knows_a_finding_again() {
    let results = |template: &str| -> Json {
        let (_, stdout, _) = validate(template, "sarif");
        let log: Json = serde_json::from_str(&stdout).expect("JSON");
        assert_eq!(log["runs"][0]["columnKind"], "utf16CodeUnits");
        log["runs"][0]["results"].clone()
    };
    let first = results(TEMPLATE);
    let place = &first[0]["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "a,%20100%25%20dir/t.pkr.hcl");
    assert_eq!(place["artifactLocation"]["uriBaseId"], "%SRCROOT%");
    assert_eq!(place["region"]["startColumn"], 21, "a letter of two code units stands before it");
    let later = results(&format!("# a line more\n{TEMPLATE}"));
    let print = |results: &Json| results[0]["partialFingerprints"]["imgbakeFinding/v1"].clone();
    assert_eq!(print(&first), print(&later));
    assert_ne!(print(&first), print(&results("locals {")));
}
