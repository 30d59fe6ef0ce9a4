//! `imgbake history`: what manifests, tags and records say of earlier runs of a template.

use std::fs;
use std::time::Duration;

#[cfg(feature = "aws")]
use crate::channels::Office;
use crate::support::changes::Changes;
use crate::support::{Program, Then, small_disk};

const HOME: &str = "us-east-1";
const ABROAD: &str = "eu-west-1";

const FILES: &str = r#"
variable "commit" { default = "" }
source "file" "notes" {
  content = "hello"
  target  = "notes.txt"
}
build {
  sources = ["file.notes"]
  post-processor "manifest" { custom_data = { git_commit = var.commit } }
}
"#;

/// The lines of a table, without the first one.
fn rows(stdout: &str) -> Vec<&str> {
    stdout.lines().skip(1).collect()
}

#[test]
fn manifests_tell_what_was_baked_and_no_cloud_is_asked() {
    let program = Program::new().with([("AWS_ENDPOINT_URL", "http://127.0.0.1:1")]);
    program.write("t.pkr.hcl", FILES);
    let run = program.run(["history", "t.pkr.hcl"]).succeeded();
    assert_eq!(run.stdout, "Nothing is known to have been baked from this template.\n");
    for commit in ["1111111111111111", "2222222222222222"] {
        let var = format!("-var=commit={commit}");
        program.run(["build", "-force", &var, "t.pkr.hcl"]).succeeded();
        // The flag `-force` takes the entries of earlier runs away.
        fs::rename(program.path("packer-manifest.json"), program.path(&format!("{commit}.json")))
            .unwrap();
    }
    let manifests = ["-manifest=1111111111111111.json", "-manifest=2222222222222222.json"];
    let run = program.run(["history", manifests[0], manifests[1], "t.pkr.hcl"]).succeeded();
    assert_eq!(rows(&run.stdout).len(), 2, "{}", run.stdout);
    for text in ["file.notes", "notes.txt", "5 B", "commit 111111111111", "commit 222222222222"] {
        assert!(run.stdout.contains(text), "{text}: {}", run.stdout);
    }
    let run = program.run(["-machine-readable", "history", manifests[0], "t.pkr.hcl"]).succeeded();
    let record = run.stdout.lines().find(|line| line.contains(",baked-image,")).unwrap();
    assert!(
        record.contains(",file.notes,baked-image,2")
            && record.ends_with(",notes.txt,,5,,,,1111111111111111,"),
        "{record}"
    );
    let run = program.run(["history", "-format=json", manifests[0], "t.pkr.hcl"]).succeeded();
    let told: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(told.as_array().map(Vec::len), Some(1), "{}", run.stdout);
    for (name, value) in [
        ("build", "file.notes".into()),
        ("image", "notes.txt".into()),
        ("size_bytes", 5.into()),
        ("commit", "1111111111111111".into()),
        ("region", serde_json::Value::Null),
        ("is_there", serde_json::Value::Null),
        ("channels", serde_json::json!([])),
    ] {
        assert_eq!(told[0][name], value, "{name}");
    }
}

#[test]
fn what_is_no_manifest_is_said_and_hostile_entries_stay_in_their_cells() {
    let program = Program::new();
    program.write("t.pkr.hcl", FILES);
    program.write(
        "m.json",
        r#"{"builds": [7, {"name": "notes", "builder_type": "file", "artifact_id": "File",
            "files": [{"name": "a\u001b[2J\nforged  row", "size": 1}], "custom_data": {"sha": "x\ny"}}]}"#,
    );
    let run = program.run(["history", "-manifest=m.json", "t.pkr.hcl"]).succeeded();
    assert_eq!(rows(&run.stdout).len(), 1, "{}", run.stdout);
    assert!(
        run.stdout.contains("a forged  row") && !run.stdout.contains('\u{1b}'),
        "{}",
        run.stdout
    );
    assert!(run.stderr.contains("m.json: 1 entries are none of a manifest"), "{}", run.stderr);
    for (text, why) in [("{", "m.json: it is no JSON"), ("{}", "m.json: it is no manifest")] {
        program.write("m.json", text);
        let run = program.run(["history", "-manifest=m.json", "t.pkr.hcl"]).failed_with(1);
        assert!(run.stderr.contains(why), "{}", run.stderr);
    }
    let run = program.run(["history", "-manifest=none.json", "t.pkr.hcl"]).failed_with(1);
    assert!(run.stderr.contains("none.json: it cannot be read"), "{}", run.stderr);
}

#[test]
fn each_disk_says_what_has_changed_since_the_one_before() {
    const TEMPLATE: &str = r#"
source "qemu" "q" {
  disk_image    = true
  disk_size     = "2M"
  memory        = 16
  headless      = true
  accelerator   = "tcg"
  vm_name       = "small.qcow2"
  communicator  = "none"
  iso_url       = "small.raw"
  iso_checksum  = "none"
  {options}
}
build {
  sources = ["qemu.q"]
  {more}
  post-processor "manifest" {}
}
"#;
    let program = Program::new();
    program.write("small.raw", small_disk(Then::PowerOff));
    let changes =
        Changes { program: &program, template: TEMPLATE, option: ("cpus", "2"), tests: false };
    changes.write("", "");
    changes.build(&["-skip-unchanged"], "").succeeded();
    changes.build(&["-skip-unchanged"], "").succeeded();
    changes.write("cpus = 2", "");
    changes.build(&["-skip-unchanged"], "").succeeded();
    let run = program.run(["history", "t.pkr.hcl"]).succeeded();
    let rows = rows(&run.stdout);
    assert_eq!(rows.len(), 2, "the run that baked nothing is no row: {}", run.stdout);
    assert!(
        rows[0].contains("output-q/small.qcow2") && rows[0].ends_with("`cpus`"),
        "{}",
        run.stdout
    );
    assert!(!rows[0].contains("gone") && rows[1].contains("gone"), "{}", run.stdout);
    fs::remove_file(program.path("output-q/small.qcow2")).unwrap();
    let run = program.run(["history", "t.pkr.hcl"]).succeeded();
    assert_eq!(run.stdout.matches("gone").count(), 2, "its record does not stand for it");
}

const AMIS: &str = r#"
source "amazon-ebs" "web" {
  region        = "us-east-1"
  ami_regions   = ["eu-west-1"]
  ami_name      = "web"
  instance_type = "t3.micro"
  source_ami    = "ami-1"
  ssh_username  = "admin"
}
build {
  sources = ["amazon-ebs.web"]
  post-processor "manifest" {}
}
"#;

/// The manifest of a run that has made `ids`.
fn manifest(ids: &str) -> String {
    let entry = format!(
        r#"{{"name": "web", "builder_type": "amazon-ebs", "build_time": 1764500000, "files": null,
            "artifact_id": "{ids}", "packer_run_uuid": "x", "custom_data": null}}"#
    );
    format!(r#"{{"builds": [{entry}], "last_run_uuid": "x"}}"#)
}

#[test]
fn manifests_add_to_what_others_say_of_an_image() {
    let program = Program::new();
    program.write("t.pkr.hcl", FILES);
    program.run(["build", "t.pkr.hcl"]).succeeded();
    program.write(
        "imgbake-manifest.json",
        r#"{"run": {"sha": "0123456789abcdef"}, "builds": {"file.notes":
            {"artifacts": [{"id": "File", "files": ["notes.txt"]}]}}}"#,
    );
    let run = program.run(["history", "t.pkr.hcl"]).succeeded();
    assert_eq!(rows(&run.stdout).len(), 1, "one file is one image: {}", run.stdout);
    assert!(!run.stdout.contains('?') && run.stdout.contains("5 B"), "{}", run.stdout);
}

#[test]
fn a_prefix_that_no_parameter_has_is_refused() {
    let program = Program::new();
    program.write("t.pkr.hcl", FILES);
    let run = program.run(["history", "-prefix=/images/*", "t.pkr.hcl"]).failed_with(1);
    assert!(run.stdout.contains("-prefix: `*` is no name"), "{}", run.stdout);
}

#[cfg(feature = "aws")]
#[tokio::test(flavor = "multi_thread")]
async fn amis_are_found_by_their_tags_and_by_manifests_with_their_channels() {
    let office = Office::new().await;
    office.program.write("t.pkr.hcl", AMIS);
    let old = office.image(HOME, "web-1").await;
    // EC2 tells when in seconds.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let new = office.image(HOME, "web-2").await;
    let far = office.image(ABROAD, "web-2").await;
    let other = office.image(HOME, "other").await;
    let parts = |digest: &str| format!("o0000{digest}");
    for (ami, number, digest) in [(&old, "1", "11111111"), (&new, "2", "22222222")] {
        office.tag(ami, "imgbake:image", "amazon-ebs.web").await;
        office.tag(ami, "imgbake:made-from", number).await;
        office.tag(ami, "imgbake:parts-0", &parts(digest)).await;
    }
    office.tag(&other, "imgbake:image", "amazon-ebs.website").await;
    office.tag(&new, "imgbake:tested", &format!("passed {new}")).await;
    office
        .ok(&format!("publish -image web -channel beta -commit 0123456789abcdef {HOME}:{new}"))
        .await;
    office
        .program
        .write("packer-manifest.json", manifest(&format!("{ABROAD}:{far},{HOME}:ami-0gone")));
    let run = office.run("history t.pkr.hcl").await.succeeded();
    let row = |ami: &str| {
        run.stdout
            .lines()
            .find(|line| line.contains(ami))
            .unwrap_or_else(|| panic!("{ami}: {}", run.stdout))
    };
    assert_eq!(rows(&run.stdout).len(), 4, "{}", run.stdout);
    for text in ["us-east-1", "tested", "beta", "an option", "commit 0123456789ab"] {
        assert!(row(&new).contains(text), "{text}: {}", run.stdout);
    }
    assert!(row(&far).contains("eu-west-1") && !row(&far).contains("gone"), "{}", run.stdout);
    assert!(row("ami-0gone").contains("gone") && !row(&old).contains("beta"), "{}", run.stdout);
    assert!(!run.stdout.contains(&other), "{}", run.stdout);

    let policy = office.ok("history -iam-policy t.pkr.hcl").await;
    for call in ["ec2:DescribeImages", "ssm:GetParametersByPath", "ssm:GetParameterHistory"] {
        assert!(policy.contains(call), "{policy}");
    }
    assert!(!policy.contains("Create") && !policy.contains("Delete"), "it only looks: {policy}");
}

#[test]
fn without_a_network_the_manifest_is_told_and_the_rest_is_not_known() {
    let endpoint = "http://127.0.0.1:1";
    let program = Program::new().with([
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    ]);
    program.write("t.pkr.hcl", AMIS);
    program.write("packer-manifest.json", manifest("us-east-1:ami-0a"));
    let run = program.run(["history", "t.pkr.hcl"]).failed_with(1);
    assert!(
        run.stderr.contains("amazon-ebs.web: what is there now is not known"),
        "{}",
        run.stderr
    );
    assert!(run.stdout.contains("ami-0a") && !run.stdout.contains("gone"), "{}", run.stdout);
}
