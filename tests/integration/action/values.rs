//! Values of the inputs `variables` and `secrets` arrive as they are written.

use serde_json::{Value as Json, json};

use super::engine::Image;
use super::runner::{Runner, Step};

/// Values that YAML would change, or would not take.
const VALUES: [&str; 12] = [
    "1.2345678e5",
    "1234567.10",
    "0x1FFFFFFF",
    "12345678901234567890123",
    "2026-11-29T10:00:00Z",
    "Sup3rPass #9x",
    "!Passw0rd x",
    "p@ss: word",
    "@tsign-first",
    "%percent-first",
    "*star & [more]",
    "null",
];

/// A template that writes all it is given into a file, and prints it.
fn template() -> String {
    let names: Vec<_> =
        (0..VALUES.len()).flat_map(|at| [format!("v{at}"), format!("s{at}")]).collect();
    let declared: String =
        names.iter().map(|one| format!("variable \"{one}\" {{ type = string }}\n")).collect();
    let given: String = names.iter().map(|one| format!("    {one} = var.{one}\n")).collect();
    format!(
        r#"{declared}
locals {{
  given = jsonencode({{
{given}  }})
}}
source "file" "given" {{
  content = local.given
  target  = "given.json"
}}
build {{
  sources = ["file.given"]
  post-processor "shell-local" {{ inline = ["cat given.json"] }}
}}
"#
    )
}

fn runner() -> Runner {
    let lines = |prefix: &str, rest: &str| -> String {
        let lines = VALUES.iter().enumerate();
        lines.map(|(at, value)| format!("{prefix}{at}: {value}{rest}\n")).collect()
    };
    Runner::new("build")
        .file("web.pkr.hcl", template())
        .with("variables", lines("v", ""))
        // Another text than the variable's, so that it is masked for its own sake.
        .with("secrets", lines("s", "-as a secret"))
}

#[track_caller]
fn arrived(runner: &Runner, step: &Step) {
    let given: Json = serde_json::from_str(&runner.program.read("given.json")).unwrap();
    for (at, value) in VALUES.iter().enumerate() {
        let secret = format!("{value}-as a secret");
        assert_eq!(given[format!("v{at}")], json!(value));
        assert_eq!(given[format!("s{at}")], json!(secret));
        assert!(step.log.masks.contains(&secret), "{secret}: {:?}", step.log.masks);
        let printed = step.log.raw.lines().filter(|line| !line.starts_with("::add-mask::"));
        assert!(!printed.clone().any(|line| line.contains(&secret)), "{secret}");
        assert!(!step.summary.contains(&secret), "{secret}");
    }
}

#[test]
fn values_that_yaml_would_change_arrive_as_written_and_secrets_are_masked_as_a_whole() {
    let runner = runner();
    let step = runner.run().succeeded();
    arrived(&runner, &step);
    let remarks: Vec<_> = step.log.annotations.iter().map(|one| one.message.as_str()).collect();
    let [remark] = remarks.as_slice() else { panic!("{remarks:#?}") };
    assert!(remark.contains("`v5`") && remark.contains("a comment has a line of its own"));
}

#[test]
fn they_do_in_a_container_too() {
    let runner = runner().in_container(Image::slim());
    let step = runner.run().succeeded();
    arrived(&runner, &step);
}

const ONE: &str = r#"variable "password" { type = string }
source "null" "web" { communicator = "none" }
build {
  sources = ["null.web"]
  provisioner "shell-local" { inline = ["echo it is ${var.password}"] }
}
"#;

#[test]
fn a_secret_that_a_fork_does_not_get_is_an_empty_text_that_validates() {
    for secrets in ["password: ", "password: \"\"", "{\"password\": \"\"}"] {
        let step = Runner::new("validate").file("web.pkr.hcl", ONE).with("secrets", secrets);
        step.run().succeeded();
    }
}

#[test]
fn a_secret_of_several_lines_or_in_a_list_is_masked_in_all_its_parts() {
    let list =
        ONE.replace("= string", "= list(string)").replace("${var.password}", "${var.password[1]}");
    let step = Runner::new("build")
        .file("web.pkr.hcl", list)
        .with("secrets", "password: [hunter2-first, hunter2-second]")
        .run()
        .succeeded();
    assert!(step.log.masks.contains(&"hunter2-second".to_owned()), "{:?}", step.log.masks);
    let printed = step.log.raw.lines().filter(|line| !line.starts_with("::add-mask::"));
    assert!(!printed.clone().any(|line| line.contains("hunter2-second")), "{}", step.log.raw);
}

#[test]
fn what_yaml_cannot_hold_is_refused_with_the_way_out() {
    let step = Runner::new("validate")
        .file("web.pkr.hcl", ONE)
        .with("secrets", "password: -----BEGIN KEY\nhunter2hunter2\n-----END KEY")
        .run()
        .failed();
    let told = &step.log.annotations[0].message;
    assert!(told.contains("line 2") && told.contains("toJSON(secrets.NAME)"), "{told}");
    assert!(!step.log.raw.contains("hunter2"), "{}", step.log.raw);
    let json = serde_json::to_string("-----BEGIN KEY\nhunter2hunter2\n-----END KEY").unwrap();
    let step = Runner::new("validate").file("web.pkr.hcl", ONE);
    step.with("secrets", format!("password: {json}")).run().succeeded();
}
