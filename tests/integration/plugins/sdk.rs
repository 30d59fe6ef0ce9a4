//! A plugin that is written with the public SDK and compiled here.

use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::machines::{on_its_machine, on_our_machine};
use super::{link, requiring, with_plugins};
use crate::support::{Program, Sshd, cache_dir, fixture, pause, processes_with, signal};

pub(super) const SOURCE: &str = "github.com/acme/probe";

/// The plugin's program; `None`, and said, where there is no Go.
pub(super) fn probe() -> Option<PathBuf> {
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
pub(super) fn with_probe(body: &str) -> Option<Program> {
    let program = with_plugins();
    link(&program, SOURCE, "1.2.3", &probe()?);
    program.write("t.pkr.hcl", requiring("probe", SOURCE, "~> 1.2", body));
    Some(program)
}

pub(super) const BOX: &str = r#"
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
fn what_a_plugins_machine_and_data_source_tell_in_secret_is_not_shown() {
    let body = r#"
data "probe-facts" "it" {
  key = "k"
}
build {
  sources = ["source.probe-box.web"]
  provisioner "shell" {
    inline        = ["echo data ${data.probe-facts.it.api_token}, machine ${build.Password}."]
    remote_folder = "."
  }
}
"#;
    let Some(program) = with_probe(&format!("{BOX}{body}")) else { return };
    let run = program.run(["build", "t.pkr.hcl"]).succeeded();
    let said = format!("{}{}", run.stdout, run.stderr);
    assert!(said.contains("data <sensitive>, machine <sensitive>."), "{said}");
    assert!(!said.contains("made-by-the-machine") && !said.contains("token-of-the-source"));
}

#[test]
fn a_plugins_provisioner_finds_all_that_it_takes_for_granted_of_our_machine() {
    let sshd = Sshd::start();
    let touch = "  provisioner \"probe-touch\" {\n    feed = \"x\"\n  }\n";
    let Some(program) = with_probe(&on_our_machine(&sshd, touch)) else { return };
    let run = program.run(["build", "t.pkr.hcl"]).succeeded();
    let known = format!("ssh port={} agent=false file=true", sshd.port);
    assert!(run.stdout.contains(&known), "{known}: {}{}", run.stdout, run.stderr);
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
}

#[test]
fn a_plugins_components_are_explained_and_completed() {
    let Some(program) = with_probe("") else { return };
    let explained = |topic| program.run(["explain", topic]);
    let matrix = explained("probe-box.matrix").succeeded().stdout;
    assert!(matrix.contains("list of lists of strings"), "{matrix}");
    let refused = explained("probe-bxo").failed_with(1);
    assert!(refused.stderr.contains("did you mean `probe-box`?"), "{}", refused.stderr);
    let listed = program.run(["explain"]).succeeded().stdout;
    assert!(listed.contains("probe-touch") && listed.contains(SOURCE), "{listed}");
    let completed = |word| program.run(["__complete", "--", "explain", word]).succeeded().stdout;
    let names = completed("probe-");
    for name in ["probe-box\t", "probe-facts\t", "probe-label\t", "probe-touch\t"] {
        assert!(names.contains(name), "{name}: {names}");
    }
    assert!(completed("probe-box.la").starts_with("probe-box.labels\t"));
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
    assert!(log.contains("A second interrupt ends it at once"), "{log}");
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

/// A build of the plugin's machine, with a provisioner of `options`, and what is to be done `beside`.
fn touched(options: &str, beside: &str) -> String {
    on_its_machine(&format!("  provisioner \"probe-touch\" {{\n{options}\n  }}\n{beside}"))
}

#[test]
fn a_plugin_is_told_what_a_failure_leads_to() {
    let label = "  post-processor \"probe-label\" {}\n";
    let Some(program) = with_probe(&touched("target = \"t\"", label)) else { return };
    for (flags, word) in [
        (&[][..], "cleanup"),
        (&["-on-error=abort"], "abort"),
        (&["-on-error=run-cleanup-provisioner"], "run-cleanup-provisioner"),
    ] {
        let arguments = ["-machine-readable", "build"].iter().chain(flags).chain(&["t.pkr.hcl"]);
        let said = program.run(arguments.copied()).succeeded().stdout;
        let record = format!(",probe-box.web,probe-fact,a%!(PACKER_COMMA)b,on-error {word}\n");
        assert!(said.contains(&record), "{record}: {said}");
        assert!(said.contains(&format!("on_error={word}")), "{said}");
    }
}

#[test]
fn the_error_cleanup_provisioner_works_on_a_plugins_machine_unless_all_is_to_stay() {
    let cleanup = "  error-cleanup-provisioner \"probe-touch\" {\n    note   = \"cleaning\"\n    target = \"x\"\n  }\n";
    let Some(program) = with_probe(&touched("fail = true", cleanup)) else { return };
    for (flag, cleans) in [
        ("-on-error=cleanup", true),
        ("-on-error=run-cleanup-provisioner", true),
        ("-on-error=abort", false),
    ] {
        let run = program.run(["build", flag, "t.pkr.hcl"]).failed_with(1);
        let said = format!("{}{}", run.stdout, run.stderr);
        assert_eq!(said.contains("note=cleaning ID=box-1"), cleans, "{flag}: {said}");
        assert!(said.contains("asked to fail"), "{said}");
    }
}

#[test]
fn a_debug_run_waits_before_a_plugins_provisioner() {
    let sshd = Sshd::start();
    let provisioner = "  provisioner \"probe-touch\" {\n    command = \"true\"\n  }\n";
    let Some(program) = with_probe(&on_our_machine(&sshd, provisioner)) else { return };
    let run = program.run(["build", "-color=false", "-debug", "t.pkr.hcl"]).succeeded();
    let said = format!("{}{}", run.stdout, run.stderr);
    assert!(said.contains("Pausing before the next provisioner"), "{said}");
    assert!(said.contains("note= ID="), "{said}");
}

#[test]
fn the_options_of_a_plugins_provisioner_differ_by_source_where_the_template_says_so() {
    let options = "    note   = \"for all\"\n    target = \"t\"\n    override = {\n      web = {\n        note = \"for web\"\n      }\n    }";
    let body = touched(options, "").replace(
        "sources = [\"source.probe-box.web\"]",
        "sources = [\"source.probe-box.web\", \"source.probe-box.other\"]",
    ) + &BOX.replace("\"web\" {", "\"other\" {");
    let Some(program) = with_probe(&body) else { return };
    let said = program.run(["build", "-parallel-builds=1", "t.pkr.hcl"]).succeeded().stdout;
    for line in ["probe-box.web: note=for web", "probe-box.other: note=for all"] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert_eq!(said.matches("note=for").count(), 2, "{said}");
}

#[test]
fn a_plugins_provisioner_has_as_long_as_the_template_says() {
    let sshd = Sshd::start();
    let slow =
        "  provisioner \"probe-touch\" {\n    command = \"sleep 60\"\n    timeout = \"1s\"\n  }\n";
    for body in [on_our_machine(&sshd, slow), on_its_machine(slow)] {
        let Some(program) = with_probe(&body) else { return };
        let begun = Instant::now();
        let run = program.run(["build", "t.pkr.hcl"]).failed_with(1);
        assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(said.to_lowercase().contains("timeout") || said.contains("1s"), "{said}");
    }
}

#[test]
fn what_one_plugin_tells_another_of_an_artifact_stays_as_it_is() {
    let chain = "  post-processors {\n    post-processor \"probe-label\" {\n      suffix = \"-1\"\n    }\n    post-processor \"probe-label\" {\n      suffix = \"-2\"\n    }\n  }\n";
    let Some(program) = with_probe(&on_its_machine(chain)) else { return };
    let said = program.run(["build", "t.pkr.hcl"]).succeeded().stdout;
    assert_eq!(said.matches("blob=[]uint8 [255 0 127]").count(), 2, "{said}");
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
    program.write("t.json", template.replace("\"matrix\"", "\"outptu\": 1, \"matrix\""));
    let run = program.run(["validate", "t.json"]).failed_with(1);
    let said = format!("{}{}", run.stdout, run.stderr);
    assert!(said.contains("unknown configuration key"), "{said}");
    assert!(said.contains("did you mean `output`?"), "{said}");
}

#[test]
fn what_a_machine_says_reaches_a_plugin_in_a_legacy_template() {
    let Some(program) = with_probe("") else { return };
    let template = r#"{
  "variables": {"who": "me"},
  "builders": [{"type": "file", "content": "x", "target": "f.txt"}],
  "provisioners": [],
  "post-processors": [{"type": "probe-label", "suffix": "{{user `who`}} {{template_dir}}"}]
}"#;
    program.write("t.json", template);
    let run = program.run(["build", "t.json"]).succeeded();
    let dir = program.dir().canonicalize().unwrap();
    let label = format!("the artifact Fileme {}", dir.display());
    assert!(run.stdout.contains(&label), "{label}: {}", run.stdout);
    let template = r#"{
  "builders": [{"type": "null", "ssh_host": "127.0.0.1", "ssh_username": "x", "ssh_password": "x"}],
  "provisioners": [{"type": "probe-touch", "note": "{{build `ID`}} {{build `PackerHTTPAddr`}}", "target": "t"}]
}"#;
    program.write("t.json", template);
    program.run(["validate", "t.json"]).succeeded();
    program.write("t.json", template.replace("`ID`", "`Nonsense`"));
    program.run(["validate", "t.json"]).failed_with(1);
}

/// A program whose template has `count` sources of the plugin; each takes `slow` milliseconds to be
/// checked.
pub(super) fn with_sources(count: usize, slow: u32) -> Option<Program> {
    let slow = format!("slow = {slow}\n  output");
    let source = |n| BOX.replace("\"web\" {", &format!("\"web{n}\" {{")).replace("output", &slow);
    let sources: String = (0..count).map(source).collect();
    let names: Vec<String> = (0..count).map(|n| format!("\"source.probe-box.web{n}\"")).collect();
    with_probe(&format!("{sources}build {{\n  sources = [{}]\n}}\n", names.join(", ")))
}

/// How long `validate` takes, and how many processes of the plugin there are at most.
fn validated(program: &Program) -> (Duration, usize) {
    // Its file names are in the directory of this test alone.
    let marker = format!("{}/plugins", program.dir().display());
    watched(program.start(["validate", "t.pkr.hcl"]), &marker)
}

/// How long `child` takes, which must succeed, and how many processes with `marker` in their command lines
/// there are at most meanwhile.
pub(super) fn watched(mut child: Child, marker: &str) -> (Duration, usize) {
    let started = Instant::now();
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        most = most.max(processes_with(marker).len());
        pause(2);
    }
    let took = started.elapsed();
    Program::finish(child).succeeded();
    (took, most)
}

#[test]
fn two_hundred_sources_are_checked_by_few_processes() {
    let Some(program) = with_sources(200, 0) else { return };
    program.run(["validate", "t.pkr.hcl"]).succeeded();
    let (took, most) = validated(&program);
    println!("200 sources of a plugin: {took:?}, {most} processes at most");
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert!(most <= 8, "{most}");
}

#[test]
fn sources_that_take_long_to_check_are_checked_side_by_side() {
    let Some(program) = with_sources(24, 500) else { return };
    program.run(["validate", "t.pkr.hcl"]).succeeded();
    let (took, most) = validated(&program);
    println!("24 sources of half a second each: {took:?}, {most} processes at most");
    // One after the other they take twelve seconds.
    assert!(took < Duration::from_secs(8), "{took:?}");
    assert!(most <= 8, "{most}");
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
