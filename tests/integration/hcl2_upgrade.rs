//! `imgbake hcl2_upgrade` as a command: what it writes can be used at once. What it writes, word by
//! word, is tested beside it and in `templates/oracle.rs`.

use crate::support::{Program, fixture};

const TEMPLATE: &str = r#"{
  "variables": {"word": "x", "stamp": "{{timestamp}}", "path": "{{template_dir}}/{{user `word`}}"},
  "builders": [
    {"type": "null", "communicator": "none"},
    {"type": "null", "name": "second one", "communicator": "none"},
    {"type": "file", "content": "{{user `stamp`}} {{build_name}} ${x}", "target": "{{user `path`}}.txt"}
  ],
  "provisioners": [{
    "type": "shell-local",
    "inline": ["echo {{build_name}} {{isotime `2006`}} {{build `ID`}}"],
    "only": ["null", "second one"],
    "max_retries": 2,
    "pause_before": "1s",
    "override": {"second one": {"inline": ["true"]}}
  }],
  "post-processors": [[{"type": "manifest", "output": "m.json", "except": ["null"]}, "artifice"], "manifest"]
}"#;

/// A program beside `template.json`, and what was written for that.
#[track_caller]
fn upgraded(template: &str, flags: &[&str]) -> (Program, String) {
    let program = Program::new();
    program.write("template.json", template);
    let args = ["hcl2_upgrade"].into_iter().chain(flags.iter().copied()).chain(["template.json"]);
    let run = program.run(args).succeeded();
    assert_eq!(run.stdout, "Successfully created template.json.pkr.hcl. Exit 0\n");
    let text = program.read("template.json.pkr.hcl");
    (program, text)
}

#[test]
fn what_is_written_validates() {
    for flags in [[].as_slice(), &["-with-annotations"]] {
        let template = TEMPLATE.replace(", \"artifice\"", "");
        let (program, text) = upgraded(&template, flags);
        let run = program.run(["validate", "template.json.pkr.hcl"]);
        assert_eq!(run.code, Some(0), "{}{}{text}", run.stdout, run.stderr);
        assert_eq!(text.starts_with("# "), !flags.is_empty(), "{text}");
    }
}

#[test]
fn what_is_written_builds_the_same() {
    let (program, _) = upgraded(
        r#"{
          "variables": {"word": "$x%", "more": "{{user `word`}}!"},
          "builders": [{"type": "file", "name": "one", "content": "{{user `more`}} ${y}\n", "target": "one.txt"}],
          "provisioners": [{"type": "shell-local", "inline": ["exit 1"], "except": ["one"]}],
          "post-processors": [{"type": "shell-local", "inline": ["echo {{build_name}} > name.txt"]}]
        }"#,
        &[],
    );
    program.run(["build", "template.json.pkr.hcl"]).succeeded();
    assert_eq!(program.read("one.txt"), "$x%! ${y}\n");
    assert_eq!(program.read("name.txt"), "one\n");
}

#[test]
#[cfg_attr(not(feature = "aws"), ignore = "it is about components of Amazon")]
fn the_tutorials_templates_validate_when_they_are_upgraded() {
    for (project, template) in [
        ("03-nginx-script", "nginx.json"),
        ("05-post-processors", "nginx.json"),
        ("08-node-exporter", "packer.json"),
        ("11-parallel", "packer.json"),
    ] {
        let program = Program::new();
        program.copy(&fixture(&format!("tutorial/{project}")));
        program.run(["hcl2_upgrade", "-output-file=new.pkr.hcl", template]).succeeded();
        let run = program.run(["validate", "new.pkr.hcl"]);
        let written = program.read("new.pkr.hcl");
        assert_eq!(run.code, Some(0), "{project}: {}{written}", run.stderr);
    }
}

/// Of the templates that Packer was asked about. A variable that nobody declares is empty
/// in a legacy template, and must be set in HCL2; one text for a list is a list there, and an error
/// in HCL2.
#[test]
fn what_validates_still_does_when_it_is_upgraded() {
    let mut upgraded = 0;
    for entry in std::fs::read_dir(fixture("oracle/templates")).expect("the oracle") {
        let case = entry.expect("a case").path();
        let means_less = case.ends_with("584-undeclared-user-is-empty-in-builder")
            || case.ends_with("018-ebs-weakly-typed");
        if !case.join("template.json").exists() || means_less {
            continue;
        }
        let program = Program::new();
        program.copy(&case);
        if program.run(["validate", "template.json"]).code != Some(0) {
            continue;
        }
        program.run(["hcl2_upgrade", "template.json"]).succeeded();
        let run = program.run(["validate", "template.json.pkr.hcl"]);
        assert_eq!(run.code, Some(0), "{}: {}", case.display(), run.stderr);
        program.run(["fmt", "-check", "template.json.pkr.hcl"]).succeeded();
        upgraded += 1;
    }
    assert!(upgraded >= 30, "{upgraded}");
}

#[test]
fn the_folders_of_the_output_are_made() {
    let program = Program::new();
    program.write("t.json", TEMPLATE);
    let run = program.run(["hcl2_upgrade", "-output-file", "a/b/c.pkr.hcl", "t.json"]).succeeded();
    assert_eq!(run.stdout, "Successfully created a/b/c.pkr.hcl. Exit 0\n");
    assert!(program.read("a/b/c.pkr.hcl").contains("build {"));
}

#[test]
fn an_unknown_component_is_written_and_fails() {
    let program = Program::new();
    program.write("t.json", r#"{"builders": [{"type": "potatoes", "a": 1}]}"#);
    let run = program.run(["hcl2_upgrade", "t.json"]).failed_with(1);
    assert!(run.stdout.contains("there is no builder `potatoes`"), "{}", run.stdout);
    assert!(
        run.stdout.ends_with("Successfully created t.json.pkr.hcl. Exit 1\n"),
        "{}",
        run.stdout
    );
    assert!(
        program
            .read("t.json.pkr.hcl")
            .contains("source \"potatoes\" \"autogenerated_1\" {\n  a = 1\n")
    );
}

#[test]
fn what_is_no_legacy_template_makes_no_file() {
    let program = Program::new();
    program.write("t.pkr.hcl", "");
    program.write("broken.json", "{");
    for (file, why) in [
        ("t.pkr.hcl", "the template is HCL2 already"),
        ("broken.json", "broken.json:1:2"),
        ("nowhere.json", "`nowhere.json` cannot be read"),
        ("-", "say with -output-file"),
    ] {
        let run = program.run(["hcl2_upgrade", file]).failed_with(1);
        assert!(run.stdout.contains(why) || run.stderr.contains(why), "{file}: {run:?}");
        assert!(!program.path(&format!("{file}.pkr.hcl")).exists(), "{file}");
    }
}
