//! Several templates: what the inputs say is about all of them together.

use super::runner::{Runner, Step};

const WEB: &str = r#"variable "size" { default = "1" }
source "null" "web" { communicator = "none" }
build {
  sources = ["null.web"]
  provisioner "shell-local" { inline = ["echo ${var.size}"] }
}
"#;

const DB: &str = r#"variable "engine" { default = "x" }
source "null" "database" { communicator = "none" }
build {
  sources = ["null.database"]
  provisioner "shell-local" { inline = ["echo ${var.engine}"] }
}
"#;

fn run(command: &str, inputs: &[(&str, &str)]) -> Step {
    let runner = Runner::new(command)
        .with("templates", "*.pkr.hcl")
        .file("web.pkr.hcl", WEB)
        .file("db.pkr.hcl", DB);
    inputs.iter().fold(runner, |runner, (name, value)| runner.with(name, *value)).run()
}

fn told(step: &Step) -> Vec<&str> {
    step.log.annotations.iter().map(|one| one.message.as_str()).collect()
}

const COMMANDS: [&str; 4] = ["build", "validate", "plan", "inspect"];

#[test]
fn what_fits_one_of_them_is_no_mistake() {
    for command in COMMANDS {
        let inputs = [("variables", "size: 2\nengine: y"), ("only", "null.web, null.database")];
        let step = run(command, &inputs).succeeded();
        assert_eq!(told(&step), [""; 0], "{command}");
    }
    let step = run("build", &[("variables", "size: 2"), ("only", "null.web")]).succeeded();
    assert_eq!(told(&step), [""; 0]);
    assert_eq!(step.log.group("null.web: provision").last().map(String::as_str), Some("2"));
}

#[test]
fn what_fits_none_is_said_once_with_the_names_of_all() {
    for command in ["validate", "plan"] {
        let step = run(command, &[("only", "null.databse, null.web")]).succeeded();
        let told = told(&step);
        let [one] = told.as_slice() else { panic!("{command}: {told:#?}") };
        assert!(one.contains("`null.databse` of the input `only` matches no build"), "{one}");
        assert!(one.contains("did you mean `null.database`?"), "{one}");
        assert!(one.contains("null.web") && !one.contains("-only"), "{one}");
    }
}

#[test]
fn a_variable_without_a_value_is_told_how_a_workflow_gives_one() {
    let runner = Runner::new("validate")
        .file("web.pkr.hcl", WEB.replace("default = \"1\"", "type = list(string)"));
    let unset = runner.run().failed();
    let [one] = told(&unset)[..] else { panic!("{:#?}", told(&unset)) };
    assert!(one.contains("the input `variables`") && !one.contains("-var"), "{one}");
    let runner = runner.with("variables", "size: no list");
    let wrong = runner.run().failed();
    let [one] = told(&wrong)[..] else { panic!("{:#?}", told(&wrong)) };
    assert!(!one.contains("-var"), "{one}");
}

#[test]
fn a_variable_that_none_has_is_an_error_in_the_words_of_a_workflow() {
    for command in COMMANDS {
        let step = run(command, &[("variables", "enigne: y\nsize: 3")]).failed();
        let told = told(&step);
        let [one] = told.as_slice() else { panic!("{command}: {told:#?}") };
        assert!(one.contains("no template has a variable `enigne`"), "{one}");
        assert!(one.contains("did you mean `engine`?") && !one.contains("command line"), "{one}");
    }
}
