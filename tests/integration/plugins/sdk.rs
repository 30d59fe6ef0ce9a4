//! A plugin that is written with the public SDK and compiled here.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::{link, requiring, with_plugins};
use crate::support::{
    PASSWORD, Program, Sshd, WinRm, cache_dir, fixture, pause, processes_with, signal,
};

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
fn with_sources(count: usize, slow: u32) -> Option<Program> {
    let slow = format!("slow = {slow}\n  output");
    let source = |n| BOX.replace("\"web\" {", &format!("\"web{n}\" {{")).replace("output", &slow);
    let sources: String = (0..count).map(source).collect();
    let names: Vec<String> = (0..count).map(|n| format!("\"source.probe-box.web{n}\"")).collect();
    with_probe(&format!("{sources}build {{\n  sources = [{}]\n}}\n", names.join(", ")))
}

/// How long `validate` takes, and how many processes of the plugin there are at most.
fn validated(program: &Program) -> (Duration, usize) {
    let started = Instant::now();
    let mut child = program.start(["validate", "t.pkr.hcl"]);
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        // Its file names are in the directory of this test alone.
        let marker = format!("{}/plugins", program.dir().display());
        most = most.max(processes_with(&marker).len());
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

/// A template with our machine, which is `sshd`, and a provisioner of the plugin.
fn on_our_machine(sshd: &Sshd, provisioner: &str) -> String {
    format!(
        "source \"null\" \"ours\" {{\n{}\n}}\nbuild {{\n  sources = [\"source.null.ours\"]\n{provisioner}}}\n",
        sshd.hcl_options()
    )
}

/// The same with the plugin's own machine.
fn on_its_machine(provisioner: &str) -> String {
    format!("{BOX}build {{\n  sources = [\"source.probe-box.web\"]\n{provisioner}}}\n")
}

#[test]
fn a_plugins_provisioner_feeds_a_command_whosever_machine_it_is() {
    let sshd = Sshd::start();
    let feeding = "  provisioner \"probe-touch\" {\n    feed = \"fed by a plugin\"\n  }\n";
    for body in [on_our_machine(&sshd, feeding), on_its_machine(feeding)] {
        let Some(program) = with_probe(&body) else { return };
        let run = program.run(["build", "t.pkr.hcl"]).succeeded();
        assert!(run.stdout.contains("fed by a plugin-end"), "{}{}", run.stdout, run.stderr);
    }
}

#[test]
fn what_a_plugin_leaves_out_of_a_directory_is_not_uploaded() {
    let sshd = Sshd::start();
    for slash in ["", "/"] {
        let there = tempfile::tempdir().unwrap();
        let provisioner = format!(
            "  provisioner \"probe-touch\" {{\n    dir = \"from{slash}\"\n    target = \"{}\"\n    exclude = [\"secret\", \"sub/two\"]\n  }}\n",
            there.path().display()
        );
        let Some(program) = with_probe(&on_our_machine(&sshd, &provisioner)) else { return };
        for file in ["from/one", "from/secret/key", "from/sub/two", "from/sub/three"] {
            program.write(file, "x");
        }
        program.run(["build", "t.pkr.hcl"]).succeeded();
        let root = if slash.is_empty() { there.path().join("from") } else { there.path().into() };
        let is_there = |name: &str| root.join(name).exists();
        assert!(is_there("one") && is_there("sub/three"), "{slash}");
        assert!(!is_there("secret") && !is_there("sub/two"), "{slash}");
    }
}

/// It may know a part by its whole path, however it calls the directory.
#[test]
fn what_a_plugin_leaves_out_by_its_whole_path_is_not_uploaded() {
    let sshd = Sshd::start();
    let there = tempfile::tempdir().unwrap();
    let Some(program) = with_probe("") else { return };
    program.write("from/one", "x");
    program.write("from/secret/key", "x");
    let secret = program.path("from/secret").canonicalize().unwrap();
    let provisioner = format!(
        "  provisioner \"probe-touch\" {{\n    dir = \"from/\"\n    target = \"{}\"\n    exclude = [\"{}\"]\n  }}\n",
        there.path().display(),
        secret.display()
    );
    let body = on_our_machine(&sshd, &provisioner);
    program.write("t.pkr.hcl", requiring("probe", SOURCE, "~> 1.2", &body));
    program.run(["build", "t.pkr.hcl"]).succeeded();
    assert!(there.path().join("one").exists() && !there.path().join("secret").exists());
}

#[test]
fn what_a_plugin_leaves_out_of_a_directory_is_not_downloaded() {
    let sshd = Sshd::start();
    for slash in ["", "/"] {
        let there = tempfile::tempdir().unwrap();
        for file in ["one", "secret/key", "sub/two", "sub/three"] {
            let path = there.path().join("from").join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, file).unwrap();
        }
        let from = there.path().join("from").display().to_string();
        let provisioner = format!(
            "  provisioner \"probe-touch\" {{\n    fetch = \"{from}{slash}\"\n    target = \"here\"\n    exclude = [\"secret\", \"{from}/sub/two\"]\n  }}\n"
        );
        let Some(program) = with_probe(&on_our_machine(&sshd, &provisioner)) else { return };
        program.write("here/one", "old");
        program.write("here/secret/mine", "stays");
        program.run(["build", "t.pkr.hcl"]).succeeded();
        let root = program.path("here");
        let text = |name: &str| std::fs::read_to_string(root.join(name)).ok();
        assert_eq!(text("one").as_deref(), Some("one"), "{slash}");
        assert_eq!(text("sub/three").as_deref(), Some("sub/three"), "{slash}");
        assert_eq!((text("secret/key"), text("sub/two")), (None, None), "{slash}");
        assert_eq!(text("secret/mine").as_deref(), Some("stays"));
        let names = std::fs::read_dir(program.path("here")).unwrap();
        assert_eq!(names.count(), 3, "nothing of ours stays");
    }
}

#[test]
fn our_ansible_works_on_a_plugins_machine() {
    let Some(program) = with_probe(&on_its_machine(
        "  provisioner \"ansible\" {\n    playbook_file = \"site.yml\"\n  }\n",
    )) else {
        return;
    };
    program.write("from", "by Ansible\n");
    let target = program.path("there").display().to_string();
    program.write(
        "site.yml",
        format!(
            "- hosts: all\n  gather_facts: false\n  tasks:\n    - copy:\n        src: from\n        dest: {target}\n    - raw: echo raw >> {target}\n"
        ),
    );
    let run = program.run(["build", "t.pkr.hcl"]).succeeded();
    assert_eq!(program.read("there"), "by Ansible\nraw\n", "{}", run.stdout);
}

/// The plugin's machine, of which the builder tells this, too.
fn told(data: &[(&str, &str)], provisioner: &str) -> String {
    let label = |(name, value): &(&str, &str)| format!("\"data.{name}\" = {value}");
    let labels: Vec<String> = data.iter().map(label).collect();
    let labels = format!("labels = {{ {} }}", labels.join(", "));
    on_its_machine(provisioner).replace("labels = { k = \"v\" }", &labels)
}

#[test]
fn ansible_goes_to_a_plugins_machine_itself_where_it_is_told_to_and_can() {
    let sshd = Sshd::start();
    let ansible = "  provisioner \"ansible\" {\n    playbook_file = \"site.yml\"\n    use_proxy = false\n  }\n";
    let port = format!("\"{}\"", sshd.port);
    let user = format!("\"{}\"", sshd.user);
    let key = format!("file(\"{}\")", sshd.key("ed25519").display());
    let address = [("Host", "\"127.0.0.1\""), ("Port", port.as_str()), ("User", user.as_str())];
    let by_key = [&address[..], &[("SSHPrivateKey", key.as_str())]].concat();
    let over_ours = "Ansible uses imgbake's connection";
    for (data, is_direct) in [(by_key, true), (address.to_vec(), false)] {
        let Some(program) = with_probe(&told(&data, ansible)) else { return };
        program.write(
            "site.yml",
            "- hosts: all\n  gather_facts: false\n  tasks:\n    - raw: echo \"client ${SSH_CONNECTION:-none}\"\n      register: it\n    - debug:\n        var: it.stdout\n",
        );
        let run = program.run(["build", "t.pkr.hcl"]).succeeded();
        let said = format!("{}{}", run.stdout, run.stderr);
        assert_eq!(!said.contains(over_ours), is_direct, "{said}");
        assert_eq!(said.contains("Warning: Ansible cannot log in to the machine"), !is_direct);
        assert_eq!(said.contains("client 127.0.0.1"), is_direct, "{said}");
    }
}

#[test]
fn a_plugins_machine_of_windows_is_reached_by_winrm() {
    let windows = WinRm::basic();
    let password = serde_json::json!(PASSWORD).to_string();
    let ansible = "  provisioner \"ansible\" {\n    playbook_file = \"site.yml\"\n  }\n";
    let port = format!("\"{}\"", windows.port);
    let data = [
        ("ConnType", "\"winrm\""),
        ("Host", "\"127.0.0.1\""),
        ("Port", port.as_str()),
        ("User", "\"vagrant\""),
        ("WinRMPassword", password.as_str()),
    ];
    let Some(program) = with_probe(&told(&data, ansible)) else { return };
    let program = program.with([("PYTHONPATH", &*WinRm::site_packages())]);
    program.write(
        "site.yml",
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - raw: Write-Output hello\n      register: it\n    - debug:\n        var: it.stdout\n",
    );
    let run = program.run(["build", "t.pkr.hcl"]).succeeded();
    assert!(run.stdout.contains("hello"), "{}", run.stdout);
}

/// How long an upload of `mebibytes` takes that `body` makes of `here`, beside one of a byte.
fn uploaded(program: &Program, body: &str, mebibytes: usize) -> Duration {
    program.write("t.pkr.hcl", requiring("probe", SOURCE, "~> 1.2", body));
    let best_of = |content: &[u8]| {
        program.write("here", content);
        let once = |_| {
            let started = Instant::now();
            program.run(["build", "t.pkr.hcl"]).succeeded();
            started.elapsed()
        };
        (0..3).map(once).min().unwrap()
    };
    let large: Vec<u8> = (0..mebibytes << 20).map(|n| (n % 251) as u8).collect();
    best_of(&large).saturating_sub(best_of(b"x"))
}

#[test]
#[ignore = "a measurement"]
fn relays_are_nearly_as_fast_as_our_own_upload() {
    let Some(program) = with_probe("") else { return };
    let sshd = Sshd::start();
    let there = program.path("there").display().to_string();
    let ours = format!(
        "  provisioner \"file\" {{\n    source = \"here\"\n    destination = \"{there}\"\n  }}\n"
    );
    let its = format!(
        "  provisioner \"probe-touch\" {{\n    big = \"here\"\n    target = \"{there}\"\n  }}\n"
    );
    let own = uploaded(&program, &on_our_machine(&sshd, &ours), 100);
    for (what, body) in [
        ("our provisioner on a plugin's machine", on_its_machine(&ours)),
        ("a plugin's provisioner on our machine", on_our_machine(&sshd, &its)),
        ("a plugin's provisioner on a plugin's machine", on_its_machine(&its)),
    ] {
        let relayed = uploaded(&program, &body, 100);
        let ratio = own.as_secs_f64() / relayed.as_secs_f64();
        println!("100 MiB, {what}: {relayed:?}; ours over SSH {own:?}; {ratio:.2} of its speed");
    }
}

#[test]
#[ignore = "a measurement"]
fn a_template_with_one_plugin_costs_little_beside_the_plugin() {
    let Some(program) = with_sources(1, 0) else { return };
    let best = |arguments: &[&str]| {
        let once = |_| {
            let started = Instant::now();
            program.run(arguments.iter().copied()).succeeded();
            started.elapsed()
        };
        (0..20).map(once).min().unwrap()
    };
    let whole = best(&["validate", "t.pkr.hcl"]);
    let version = best(&["version"]);
    let plugin = (0..20).map(|_| started_and_prepared(&probe().unwrap())).min().unwrap();
    println!(
        "validate {whole:?}; imgbake's own start {version:?}; the plugin's start and Prepare {plugin:?}"
    );
}

/// How long the plugin takes to start and to check options, if it is asked for nothing else.
fn started_and_prepared(program: &std::path::Path) -> Duration {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let started = Instant::now();
    let mut child = Command::new(program)
        .args(["start", "builder", "--protobuf", "box"])
        .env(
            "PACKER_PLUGIN_MAGIC_COOKIE",
            "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2",
        )
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
    let socket = line.trim().rsplit('|').next().unwrap();
    runtime.block_on(async {
        let socket = tokio::net::UnixStream::connect(socket).await.unwrap();
        let session = imgbake::plugin::mux::Session::over(socket, yamux::Mode::Client);
        let client = imgbake::plugin::rpc::Client::new(session.dial(0).await.unwrap());
        let options = imgbake::plugin::pack::object([("name", "web".into())]);
        let configs = rmpv::Value::Array(vec![options]);
        let argument = imgbake::plugin::pack::object([("Configs", configs)]);
        client.call("Builder.Prepare", argument, Duration::from_secs(10)).await.unwrap();
    });
    let took = started.elapsed();
    child.kill().unwrap();
    child.wait().unwrap();
    took
}

#[test]
fn a_large_upload_arrives_through_both_relays() {
    let body = on_its_machine(
        "  provisioner \"probe-touch\" {\n    target = \"there\"\n    big = \"here\"\n  }\n",
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
