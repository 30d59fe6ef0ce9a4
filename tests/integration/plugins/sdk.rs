//! A plugin that is written with the public SDK and compiled here.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::{link, requiring, with_plugins};
use crate::support::{Program, cache_dir, fixture, pause, signal};

const SOURCE: &str = "github.com/acme/probe";

/// The plugin's program; `None`, and said, where there is no Go.
fn probe() -> Option<PathBuf> {
    static PROBE: OnceLock<Option<PathBuf>> = OnceLock::new();
    PROBE.get_or_init(build).clone()
}

fn build() -> Option<PathBuf> {
    let go = ["/usr/local/go/bin/go", "go"].into_iter().find(|go| {
        Command::new(go).arg("version").output().is_ok_and(|output| output.status.success())
    });
    let Some(go) = go else {
        println!("no Go here: the plugin of the SDK is not tested");
        return None;
    };
    let program = cache_dir().join("packer-plugin-probe");
    let built = Command::new(go)
        .args(["build", "-buildvcs=false", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(fixture("plugin-sdk"))
        .output()
        .unwrap();
    if built.status.success() {
        return Some(program);
    }
    println!("the plugin of the SDK is not tested: {}", String::from_utf8_lossy(&built.stderr));
    None
}

/// A program that has the plugin, and the template `t.pkr.hcl` with `body`.
fn with_probe(body: &str) -> Option<Program> {
    let program = with_plugins();
    link(&program, SOURCE, "1.2.3", &probe()?);
    program.write("t.pkr.hcl", requiring("probe", SOURCE, "~> 1.2", body));
    Some(program)
}

const BOX: &str = r#"
source "probe-box" "web" {
  name   = "web"
  output = "out.txt"
  matrix = [["a", "b"], ["c"]]
  labels = { k = "v" }
  root {
    path = "/"
    size = "7"
  }
  part {
    path = "one"
  }
  part {
    path = "two"
  }
}
"#;

const EVERY_KIND: &str = r#"
data "probe-facts" "it" {
  key = "k"
}
build {
  sources = ["source.probe-box.web"]
  provisioner "shell" {
    inline = ["echo ours on ${build.ID} ${build.Colour}", "cat up.txt"]
    remote_folder = "."
  }
  provisioner "file" {
    content     = "ours"
    destination = "uploaded.txt"
  }
  provisioner "probe-touch" {
    note   = "${data.probe-facts.it.value} ${data.probe-facts.it.count} ${build.Colour}"
    target = "touched.txt"
  }
  post-processors {
    post-processor "probe-label" {
      suffix = "-labelled"
    }
    post-processor "manifest" {
      output = "manifest.json"
    }
    post-processor "checksum" {
      checksum_types = ["sha256"]
      output         = "sum.txt"
    }
  }
}
"#;

#[test]
fn every_kind_of_a_plugins_components_works_with_ours() {
    let Some(program) = with_probe(&format!("{BOX}{EVERY_KIND}")) else { return };
    program.write("up.txt", "from the machine\n");
    let program = program.with([
        ("GITHUB_TOKEN", "ghs_never"),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "never"),
        ("INPUT_SECRETS", "never"),
        ("OWN", "passed on"),
    ]);
    let run = program.run(["build", "t.pkr.hcl"]).succeeded();
    for said in [
        "name=web matrix=[[a b] [c]] labels=map[k:v] nothing=<nil>",
        "parts=[{one 0} {two 0}]",
        "GITHUB_TOKEN=\"\"",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN=\"\"",
        "INPUT_SECRETS=\"\"",
        "OWN=\"passed on\"",
        "ours on box-1 green",
        "from the machine",
        "note=value of k 42 green ID=box-1",
        "status=3 down=\"up\\n\"",
        "given box-1 of imgbake.test with [out.txt]",
    ] {
        assert!(run.stdout.contains(said), "{said}: {}{}", run.stdout, run.stderr);
    }
    assert_eq!(program.read("out.txt"), "made by a plugin\n");
    assert_eq!(program.read("uploaded.txt"), "ours");
    assert!(program.read("manifest.json").contains("box-1-labelled"));
    assert!(program.read("sum.txt").contains("out.txt"));
}

#[test]
fn a_plugins_post_processor_takes_an_artifact_of_ours_and_may_give_it_back() {
    let body = r#"
source "file" "f" {
  content = "x"
  target  = "f.txt"
}
build {
  sources = ["source.file.f"]
  post-processors {
    post-processor "probe-label" {
      same = true
    }
    post-processor "manifest" {
      output = "manifest.json"
    }
  }
}
"#;
    let Some(program) = with_probe(body) else { return };
    let run = program.run(["build", "t.pkr.hcl"]).succeeded();
    assert!(run.stdout.contains("with [f.txt]"), "{}", run.stdout);
    assert!(program.read("manifest.json").contains("f.txt"));
}

#[test]
fn a_plugins_own_errors_stand_at_the_options_that_they_name() {
    let body = "source \"probe-box\" \"web\" {\n  output = \"/\"\n  nam = \"x\"\n}\nbuild {\n  sources = [\"source.probe-box.web\"]\n}\n";
    let Some(program) = with_probe(body) else { return };
    let run = program.run(["validate", "t.pkr.hcl"]).failed_with(1);
    let said = format!("{}{}", run.stdout, run.stderr);
    assert!(said.contains("has no option `nam`"), "{said}");
    assert!(said.contains("did you mean `name`?"), "{said}");
    program.write(
        "t.pkr.hcl",
        requiring("probe", SOURCE, "~> 1.2", &body.replace("  nam = \"x\"\n", "")),
    );
    let run = program.run(["validate", "t.pkr.hcl"]).failed_with(1);
    let said = format!("{}{}", run.stdout, run.stderr);
    assert!(said.contains("output cannot be the root directory"), "{said}");
    assert!(said.contains("t.pkr.hcl:10:12"), "{said}");
    assert!(said.contains("name must be given"), "{said}");
    let run = program.run(["explain", "probe-box.matrix"]).succeeded();
    assert!(run.stdout.contains("list of lists of strings"), "{}", run.stdout);
}

#[test]
fn an_interrupted_plugin_undoes_its_part() {
    let body = BOX.replace("name   = \"web\"", "name = \"web\"\n  wait = true")
        + "build {\n  sources = [\"source.probe-box.web\"]\n}\n";
    let Some(program) = with_probe(&body) else { return };
    let mut child = program.command(["build", "-color=false", "t.pkr.hcl"]);
    let log = std::fs::File::create(program.path("log")).unwrap();
    let child = child.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !program.read("log").contains("waiting to be stopped") {
        assert!(Instant::now() < deadline, "{}", program.read("log"));
        pause(50);
    }
    signal(&child, "INT");
    assert_eq!(Program::finish(child).code, Some(1));
    let log = program.read("log");
    assert!(log.contains("undone") && !log.contains("look for it by hand"), "{log}");
}

#[test]
fn a_failed_provisioner_of_a_plugin_fails_the_build() {
    let body = format!(
        "{BOX}build {{\n  sources = [\"source.probe-box.web\"]\n  provisioner \"probe-touch\" {{\n    target = \"x\"\n    fail = true\n    max_retries = 1\n  }}\n}}\n"
    );
    let Some(program) = with_probe(&body) else { return };
    let run = program.run(["build", "t.pkr.hcl"]).failed_with(1);
    let said = format!("{}{}", run.stdout, run.stderr);
    assert_eq!(said.matches("note= ID=box-1").count(), 2, "{said}");
    assert!(said.contains("asked to fail"), "{said}");
}

#[test]
fn a_legacy_template_has_a_plugins_components() {
    let Some(program) = with_probe("") else { return };
    let template = r#"{
  "variables": {"who": "me"},
  "builders": [{"type": "probe-box", "output": "", "labels": {"x": "{{user `who`}}"}, "matrix": [["a"]]}],
  "provisioners": [{"type": "probe-touch", "note": "{{user `who`}} {{build `ID`}}", "target": "t.txt"}]
}"#;
    // The builder wants a name, which a legacy template cannot give: `name` is that of the build.
    program.write("t.json", template);
    let run = program.run(["validate", "t.json"]).failed_with(1);
    let said = format!("{}{}", run.stdout, run.stderr);
    assert!(said.contains("t.json:3:16") && said.contains("name must be given"), "{said}");
    program.write("t.json", template.replace("\"matrix\"", "\"nam\": 1, \"matrix\""));
    let run = program.run(["validate", "t.json"]).failed_with(1);
    let said = format!("{}{}", run.stdout, run.stderr);
    assert!(said.contains("unknown configuration key"), "{said}");
}

#[test]
fn two_hundred_sources_are_checked_by_few_processes() {
    let sources: String =
        (0..200).map(|n| BOX.replace("\"web\" {", &format!("\"web{n}\" {{"))).collect();
    let names: Vec<String> = (0..200).map(|n| format!("\"source.probe-box.web{n}\"")).collect();
    let body = format!("{sources}build {{\n  sources = [{}]\n}}\n", names.join(", "));
    let Some(program) = with_probe(&body) else { return };
    program.run(["validate", "t.pkr.hcl"]).succeeded();
    let started = Instant::now();
    program.run(["validate", "t.pkr.hcl"]).succeeded();
    println!("200 sources of a plugin: {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[test]
fn a_large_upload_arrives_through_both_relays() {
    let body = format!(
        "{BOX}build {{\n  sources = [\"source.probe-box.web\"]\n  provisioner \"probe-touch\" {{\n    target = \"there\"\n    big = \"here\"\n  }}\n}}\n"
    );
    let Some(program) = with_probe(&body) else { return };
    let large: Vec<u8> = (0..16_u32 << 20).map(|n| (n % 251) as u8).collect();
    program.write("here", &large);
    let started = Instant::now();
    program.run(["build", "t.pkr.hcl"]).succeeded();
    println!("16 MiB through both relays: {:?}", started.elapsed());
    assert!(std::fs::read(program.path("there")).unwrap() == large);
}

#[test]
fn options_of_one_legacy_builder_are_not_those_of_the_next() {
    let Some(program) = with_probe("") else { return };
    let text = r#"{"builders": [
        {"type": "probe-box", "name": "a", "output": "/", "matrix": [["a"]]},
        {"type": "probe-box", "name": "b", "matrix": [["a"]]}
    ]}"#;
    program.write("t.json", text);
    let run = program.run(["validate", "t.json"]).failed_with(1);
    let said = format!("{}{}", run.stdout, run.stderr);
    assert_eq!(said.matches("output cannot be the root directory").count(), 1, "{said}");
}
