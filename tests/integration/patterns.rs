//! A command takes a pattern for the template, and does its work for each that fits.

use crate::support::Program;

const GOOD: &str = "source \"null\" \"x\" {\n  communicator = \"none\"\n}\nbuild {\n  name    = \"NAME\"\n  sources = [\"null.x\"]\n}\n";

/// Two good templates and a bad one, and a legacy one in a folder.
fn templates() -> Program {
    let program = Program::new();
    program.write("a.pkr.hcl", GOOD.replace("NAME", "alba"));
    program.write("b.pkr.hcl", GOOD.replace("NAME", "brno"));
    program.write("bad/c.pkr.hcl", "biuld {\n}\n");
    program.write("old/d.json", r#"{"builders": [{"type": "null", "communicator": "none"}]}"#);
    program
}

#[test]
fn validate_says_which_templates_are_valid() {
    let said = templates().run(["validate", "*.pkr.hcl"]).succeeded().stdout;
    let valid = "The configuration is valid.";
    assert_eq!(said, format!("a.pkr.hcl: {valid}\nb.pkr.hcl: {valid}\n"));
    let said = templates().run(["validate", "[a]*.hcl"]).succeeded().stdout;
    assert_eq!(said, format!("{valid}\n"));
}

#[test]
fn one_bad_template_is_enough_to_fail() {
    let run = templates().run(["validate", "**/*.pkr.hcl"]).failed_with(1);
    assert!(run.stdout.starts_with("a.pkr.hcl: "), "{}", run.stdout);
    assert!(run.stderr.contains("bad/c.pkr.hcl:1:1\n"), "{}", run.stderr);
    let run = templates().run(["inspect", "**/*.pkr.hcl"]).failed_with(1);
    assert!(run.stdout.contains("> alba:") && run.stdout.contains("> brno:"), "{}", run.stdout);
}

#[test]
fn findings_for_programs_are_one_document() {
    let run = templates().run(["validate", "-format=json", "**/*.pkr.hcl"]).failed_with(1);
    serde_json::from_str::<serde_json::Value>(&run.stdout).expect("one document");
}

#[test]
fn legacy_templates_are_fixed_and_upgraded_by_pattern() {
    let program = templates();
    program.write("old/e.json", r#"{"builders": [{"type": "null", "communicator": "none"}]}"#);
    let said = program.run(["fix", "old/*.json"]).succeeded().stdout;
    assert_eq!(said.matches("\"builders\"").count(), 2, "{said}");
    let args = ["hcl2_upgrade", "-output-file=x.pkr.hcl", "old/*.json"];
    let said = program.run(args).failed_with(1).stderr;
    assert!(said.contains("`old/*.json` fits 2 templates"), "{said}");
    program.run(["hcl2_upgrade", "old/*.json"]).succeeded();
    program.run(["validate", "old/*.pkr.hcl"]).succeeded();
}

#[test]
fn build_takes_no_more_than_one() {
    let run = templates().run(["build", "*.pkr.hcl"]).failed_with(1);
    assert!(run.stderr.contains("they are: a.pkr.hcl, b.pkr.hcl"), "{}", run.stderr);
    templates().run(["build", "a*.pkr.hcl"]).succeeded();
}

#[test]
fn a_pattern_that_nothing_fits_is_an_error() {
    for command in ["validate", "inspect", "build", "fix"] {
        let run = templates().run([command, "*.absent"]).failed_with(1);
        assert!(run.stderr.contains("no file fits `*.absent`"), "{command}: {}", run.stderr);
    }
}
