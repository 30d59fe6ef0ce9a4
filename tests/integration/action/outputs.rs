//! What later steps read.

use serde_json::json;

use super::runner::{Runner, Step};
use crate::amazon_ebs::bed::Bed;

/// The environment that points AWS clients at `endpoint`, with no credentials in it.
pub fn aws(endpoint: &str) -> [(&'static str, String); 2] {
    [("AWS_ENDPOINT_URL", endpoint.to_owned()), ("AWS_EC2_METADATA_DISABLED", "true".to_owned())]
}

/// A template with one build, which runs `script` on the machine.
pub fn amazon(bed: &Bed, script: &str) -> String {
    let (port, user) = (bed.sshd.port, &bed.sshd.user);
    format!(
        r#"source "amazon-ebs" "web" {{
  region        = "us-east-1"
  ami_name      = "web-{{{{uuid}}}}"
  ami_regions   = ["eu-west-1"]
  instance_type = "t3.micro"
  source_ami_filter {{
    filters     = {{ name = "ubuntu/images/*ubuntu-xenial-16.04-amd64-server-*" }}
    owners      = ["099720109477"]
    most_recent = true
  }}
  ssh_host      = "127.0.0.1"
  ssh_port      = {port}
  ssh_username  = "{user}"
}}
build {{
  sources = ["source.amazon-ebs.web"]
  provisioner "shell" {{ inline = ["{script}"] }}
}}
"#
    )
}

#[test]
fn a_build_gives_its_amis_to_later_steps() {
    let bed = Bed::new();
    let runner = Runner::new("build").vars(bed.moto.environment());
    let step = runner.file("web.pkr.hcl", amazon(&bed, "uname")).run().succeeded();
    let ids = &step.json("ami-ids")["amazon-ebs.web"];
    assert_eq!(ids["us-east-1"], step.outputs["ami-id"]);
    assert_eq!(ids["eu-west-1"], step.outputs["ami-eu-west-1"]);
    assert!(step.outputs["ami-id"].starts_with("ami-"), "{:?}", step.outputs);
    assert_eq!(step.outputs["changed"], "true");
    assert_eq!(step.outputs["result"], "success");
    assert_eq!(step.outputs["manifest-path"], "imgbake-manifest.json");
    let manifest = step.json("manifest");
    let artifact = &manifest["builds"]["amazon-ebs.web"]["artifacts"][0];
    assert_eq!(artifact["images"], *ids);
    assert_eq!(artifact["facts"]["BuildRegion"], "us-east-1");
    let groups: Vec<_> = step.log.groups();
    let parts = ["prepare", "launch", "connect", "provision: shell", "image", "cleanup"];
    assert_eq!(groups, parts.map(|part| format!("amazon-ebs.web: {part}")));
}

#[test]
fn two_templates_with_builds_of_one_name_are_told_apart() {
    let template = r#"source "null" "web" { communicator = "none" }
build { sources = ["null.web"] }
"#;
    let step = Runner::new("build")
        .with("templates", "*.pkr.hcl")
        .file("a.pkr.hcl", template)
        .file("b.pkr.hcl", template)
        .run()
        .succeeded();
    let open = step.log.open();
    assert!(open.contains("✓ a.pkr.hcl: null.web finished"), "{open}");
    assert!(open.contains("✓ b.pkr.hcl: null.web finished"), "{open}");
}

#[test]
fn nothing_starts_while_anything_is_wrong_with_any_template() {
    let step = Runner::new("build")
        .with("templates", "*.pkr.hcl")
        .file("a.pkr.hcl", super::commands::GOOD)
        .file("b.pkr.hcl", super::commands::GOOD.replace("communicator", "comunicator"))
        .run()
        .failed();
    assert!(!step.log.open().contains("finished after"), "{:#?}", step.log);
    assert_eq!(step.json("ami-ids"), json!({}));
}

#[test]
fn an_output_that_a_mask_would_swallow_is_reported() {
    let step = Runner::new("build")
        .file("web.pkr.hcl", format!("{}variable \"password\" {{}}\n", super::commands::GOOD))
        .with("secrets", "password: imgbake-manifest.json")
        .run();
    let warned = step.log.annotations.iter().find(|one| one.message.contains("secret"));
    assert!(warned.is_some_and(|one| one.message.contains("manifest-path")), "{:#?}", step.log);
}

#[test]
fn all_outputs_are_there_and_json_is_json_where_nothing_could_be_done() {
    for runner in [
        Runner::new("build").with("parallel", "no"),
        Runner::new("build").with("working-directory", "nowhere"),
        Runner::new("build").file("web.pkr.hcl", "no template"),
        Runner::new("validate").file("web.pkr.hcl", super::commands::GOOD),
    ] {
        let step = runner.run();
        let result = if step.code == Some(0) { "success" } else { "failure" };
        assert_eq!(step.outputs["result"], result);
        assert_eq!(step.outputs["changed"], "false");
        let refused = json!([{"build": "", "fault": "template", "can-retry": false}]);
        let failures = if result == "success" { json!([]) } else { refused };
        assert_eq!(step.json("failures"), failures);
        assert_eq!(step.outputs["can-retry"], "false");
        for (name, value) in [
            ("ami-ids", json!({})),
            ("artifacts", json!([])),
            ("failed-builds", json!([])),
            ("manifest", json!({})),
            ("matrix", json!({"include": []})),
        ] {
            assert_eq!(step.json(name), value, "{name}");
        }
    }
}

const FILES: &str = r#"source "file" "web" {
  content = "x"
  target  = "web.txt"
}
source "null" "db" { communicator = "none" }
build { sources = ["file.web", "null.db"] }
"#;

#[test]
fn nothing_has_changed_where_nothing_was_made() {
    let runner = Runner::new("build").file("web.pkr.hcl", FILES).with("only", "null.db");
    assert_eq!(runner.run().succeeded().outputs["changed"], "false");
    let runner = runner.with("only", "file.web");
    assert_eq!(runner.run().succeeded().outputs["changed"], "true");
}

#[test]
fn a_second_build_step_adds_to_the_manifest_of_its_job() {
    let runner = Runner::new("build").file("web.pkr.hcl", FILES).with("only", "file.web");
    runner.run().succeeded();
    let runner = runner.with("only", "null.db");
    let builds = |step: Step| -> Vec<String> {
        let manifest = step.json("manifest");
        manifest["builds"].as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(builds(runner.run().succeeded()), ["file.web", "null.db"]);
    // That of another job or run is another one.
    let runner = runner.var("GITHUB_RUN_ID", "4712");
    assert_eq!(builds(runner.run().succeeded()), ["null.db"]);
}

#[test]
fn the_last_line_of_a_build_names_what_it_made() {
    let bed = Bed::new();
    let runner = Runner::new("build").vars(bed.moto.environment());
    let step = runner.file("web.pkr.hcl", amazon(&bed, "uname")).run().succeeded();
    let open = step.log.open();
    let last = open.lines().find(|line| line.starts_with("✓ amazon-ebs.web")).unwrap();
    let amis = format!(
        "{} in eu-west-1, {} in us-east-1",
        step.outputs["ami-eu-west-1"], step.outputs["ami-id"]
    );
    assert!(last.ends_with(&amis), "{last}");
}

#[test]
fn later_steps_are_told_whose_fault_a_failure_is_and_whether_to_try_again() {
    let template = r#"source "null" "web" { communicator = "none" }
build {
  sources = ["null.web"]
  provisioner "shell-local" { inline = ["exit 3"] }
}
"#;
    let step = Runner::new("build").file("web.pkr.hcl", template).run().failed();
    let failure = json!({"build": "null.web", "fault": "template", "can-retry": false});
    assert_eq!(step.json("failures"), json!([failure]));
    assert_eq!(step.outputs["can-retry"], "false");
    let words =
        "the cause is the template or a value that it was given; trying again without a change";
    let annotations = &step.log.annotations;
    assert!(annotations.iter().any(|one| one.message.contains(words)), "{annotations:#?}");
    assert!(step.summary.contains(&words.replacen('t', "**T", 1)), "{}", step.summary);
    let fault = &step.json("manifest")["builds"]["null.web"]["fault"];
    assert_eq!(*fault, json!({"kind": "template", "can_retry": false}));

    // What passes by itself: nobody is at the other end.
    let unreachable = format!(
        "source \"null\" \"web\" {{\n  ssh_host = \"127.0.0.1\"\n  ssh_port = {}\n  \
         ssh_username = \"x\"\n  ssh_password = \"password-1\"\n  ssh_timeout = \"1s\"\n}}\n\
         build {{ sources = [\"null.web\"] }}\n",
        crate::support::free_port()
    );
    let step = Runner::new("build").file("web.pkr.hcl", unreachable).run().failed();
    let failure = json!({"build": "null.web", "fault": "guest", "can-retry": true});
    assert_eq!(step.json("failures"), json!([failure]));
    assert_eq!(step.outputs["can-retry"], "true");
}

#[test]
fn the_page_of_a_run_is_where_the_workflow_wants_it_however_the_run_ends() {
    let sources = "build { sources = [\"file.web\", \"null.db\"] }\n";
    let failing = FILES.replace(
        sources,
        r#"build {
  sources = ["file.web", "null.db"]
  provisioner "shell-local" {
    only   = ["null.db"]
    inline = ["exit 3"]
  }
}
"#,
    );
    assert_ne!(failing, FILES);
    let runner = Runner::new("build").with("report", "report.html");
    let runner = runner.file("web.pkr.hcl", failing);
    let step = runner.run().failed();
    assert_eq!(step.outputs["report"], "report.html");
    let page = runner.program.read("report.html");
    for text in ["1 of 2 builds succeeded", "provision: shell-local", "web.txt"] {
        assert!(page.contains(text), "{text}: {page}");
    }
    let runner = runner.file("web.pkr.hcl", FILES.replace("content", "contents"));
    let step = runner.run().failed();
    assert_eq!(step.outputs["report"], "report.html");
    let page = runner.program.read("report.html");
    assert!(page.contains("Nothing was built") && page.contains("web.pkr.hcl:2:3"), "{page}");
    assert_eq!(page.matches("<li class=\"bad\">").count(), 1, "a finding is told once: {page}");
    let runner = runner.file("web.pkr.hcl", FILES).with("report", "no/report.html");
    let step = runner.run().failed();
    assert_eq!(step.outputs["report"], "");
    assert!(step.log.open().contains("no/report.html cannot be written"), "{:#?}", step.log);
    let step = Runner::new("validate").with("report", "report.html").run().failed();
    assert!(step.log.open().contains("it is not for `command: validate`"), "{:#?}", step.log);
}
