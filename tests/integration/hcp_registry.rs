//! `hcp_packer_registry` is checked, and nobody is left to believe that something was published.

use crate::support::{Program, Run};

const BUILD: &str = "source \"null\" \"probe\" {\n  communicator = \"none\"\n}\nbuild {\n  sources = [\"null.probe\"]\n}\n";

fn run(command: &str, registry: &str, vars: &[(&str, &str)]) -> Run {
    let program = Program::new().with(vars.iter().copied());
    let path = program.write("t.pkr.hcl", format!("{BUILD}{registry}\n"));
    program.run([command, path.to_str().expect("a path")])
}

const REGISTRY: &str = "hcp_packer_registry {\n  bucket_name = \"one\"\n}";

#[test]
fn validate_warns_that_nothing_would_be_published() {
    let said = run("validate", REGISTRY, &[]).succeeded().stderr;
    assert!(said.contains("warning[C004]: publishing in the HCP Packer registry"), "{said}");
    let said = run("validate", REGISTRY, &[("HCP_PACKER_REGISTRY", "off")]).succeeded().stderr;
    assert_eq!(said, "");
}

#[test]
fn build_refuses_what_it_could_not_publish() {
    for (registry, vars) in [(REGISTRY, [].as_slice()), ("", &[("HCP_PACKER_BUCKET_NAME", "one")])]
    {
        let run = run("build", registry, vars).failed_with(1);
        assert!(run.stderr.contains("error[C004]: publishing"), "{}", run.stderr);
        assert!(run.stderr.contains("HCP_PACKER_REGISTRY=off"), "{}", run.stderr);
    }
}

#[test]
fn build_builds_where_publishing_is_switched_off() {
    for off in ["off", "0"] {
        run("build", REGISTRY, &[("HCP_PACKER_REGISTRY", off)]).succeeded();
    }
}

#[test]
fn its_arguments_are_checked() {
    let wrong = "hcp_packer_registry {\n  bucket_name = \"a_b\"\n  description = join(\"\", [for i in range(256) : \"x\"])\n  labels = { a = \"b\" }\n  bucket_labels = { a = \"b\" }\n}";
    let said = run("validate", wrong, &[]).failed_with(1).stderr;
    for place in ["8:17", "9:17", "10:12"] {
        assert!(said.contains(&format!("t.pkr.hcl:{place}\n")), "{place}: {said}");
    }
}

#[test]
fn a_second_one_in_the_same_place_is_refused() {
    let said = run("validate", &format!("{REGISTRY}\n{REGISTRY}"), &[]).failed_with(1).stderr;
    assert!(said.contains("a template has only one `hcp_packer_registry`"), "{said}");
}
