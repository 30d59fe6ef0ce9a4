//! `imgbake fix` as a command: what it reads, prints, refuses, and how it ends. What the fixers do is
//! tested beside them; what Packer prints, in `templates/oracle.rs`.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::Stdio;

use imgbake::registry::Registry;
use imgbake::source::SourceMap;
use imgbake::template::fix::{Document, fix};
use serde_json::{Value as Json, json};

use crate::support::{Program, fixture};

const OLD: &str = r#"{"builders": [{"type": "null", "ssh_wait_timeout": "5m"}]}"#;
const FIXED: &str = "{
  \"builders\": [
    {
      \"ssh_timeout\": \"5m\",
      \"type\": \"null\"
    }
  ]
}

";

#[test]
fn a_template_is_read_from_standard_input_too() {
    let program = Program::new();
    let mut child = program
        .command(["fix", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("imgbake");
    child.stdin.take().expect("a pipe").write_all(OLD.as_bytes()).expect("a reader");
    let run = Program::finish(child).succeeded();
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), (FIXED, ""));
}

#[test]
fn the_file_itself_stays_as_it_is() {
    let program = Program::new();
    program.write("old.json", OLD);
    assert_eq!(program.run(["fix", "old.json"]).succeeded().stdout, FIXED);
    assert_eq!(program.read("old.json"), OLD);
}

#[test]
fn a_result_that_cannot_be_right_is_printed_and_fails() {
    let program = Program::new();
    for (template, why) in [
        (r#"{"builders": []}"#, "has no builder"),
        (r#"{"builders": [{}]}"#, "lacks its `type`"),
        (
            r#"{"builders": [{"type": "null"}], "provisioners": [{"type": "shell", "only": ["nul"]}]}"#,
            "did you mean `null`?",
        ),
        (
            r#"{"builders": [{"type": "null"}], "provisioners": [{"type": "shell", "override": {"x": {}}}]}"#,
            "called `x`",
        ),
        (
            r#"{"builders": [{"type": "null"}], "post-processors": [{"type": "manifest", "only": ["null"], "except": ["null"]}]}"#,
            "exclude each other",
        ),
    ] {
        program.write("t.json", template);
        let run = program.run(["fix", "t.json"]).failed_with(1);
        assert!(run.stdout.starts_with("{\n  \"builders\": ["), "{}", run.stdout);
        assert!(run.stderr.contains(why), "{template}: {}", run.stderr);
        let run = program.run(["fix", "-validate=false", "t.json"]).succeeded();
        assert_eq!(run.stderr, "");
    }
}

#[test]
fn components_that_do_not_exist_here_are_fixed_all_the_same() {
    let program = Program::new();
    program.write("t.json", r#"{"builders": [{"type": "virtualbox", "ssh_key_path": "k"}]}"#);
    let run = program.run(["fix", "t.json"]).succeeded();
    assert!(run.stdout.contains("\"type\": \"virtualbox-iso\""), "{}", run.stdout);
}

#[test]
fn what_is_no_legacy_template_is_refused_and_nothing_is_printed() {
    let program = Program::new();
    program.write("t.pkr.json", "{}");
    program.write("bad.json", "{\"builders\": 1}");
    program.write("broken.json", "{\"builders\" []}");
    program
        .write("ip.json", r#"{"builders": [{"type": "amazon-ebs", "ssh_private_ip": "perhaps"}]}"#);
    for (file, why) in [
        ("t.pkr.json", "imgbake fix only works with JSON files for now."),
        (".", "imgbake fix only works with JSON files for now."),
        ("bad.json", "bad.json:1:14"),
        ("broken.json", "broken.json:1:13"),
        ("nowhere.json", "`nowhere.json` cannot be read"),
        ("ip.json", "amazon-private-ip: `ssh_private_ip` is neither true nor false: \"perhaps\""),
    ] {
        let run = program.run(["fix", file]).failed_with(1);
        assert!(run.stdout.contains(why) || run.stderr.contains(why), "{file}: {run:?}");
        assert!(!run.stdout.contains('{'), "{file}: {run:?}");
    }
}

#[test]
fn the_help_lists_the_fixers_in_their_order() {
    let help = Program::new().run(["fix", "-help"]).succeeded().stdout;
    let at = |name: &str| help.find(name).unwrap_or_else(|| panic!("{name}: {help}"));
    assert!(at("iso-md5") < at("createtime") && at("createtime") < at("proxmox-type"));
}

#[test]
fn the_tutorials_template_needs_no_fixing() {
    let program = Program::new();
    program.copy(&fixture("tutorial/06-variables-and-filter"));
    let run = program.run(["fix", "packer.json"]).succeeded();
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
    assert_eq!(value(&run.stdout), value(&program.read("packer.json")));
}

#[test]
fn what_comes_behind_the_template_is_left_out_with_a_warning() {
    let program = Program::new();
    program.write("old.json", format!("{OLD}\n]"));
    let run = program.run(["fix", "old.json"]).succeeded();
    assert_eq!(run.stdout, FIXED);
    assert!(
        run.stderr.contains("warning[T101]: the template has ended before this"),
        "{}",
        run.stderr
    );
}

/// The only component of `list` in a template, after all fixers.
fn fixed(list: &str, component: &Json) -> Json {
    let mut template = json!({ "builders": [], "post-processors": [{ "type": "manifest" }] });
    template[list] = json!([component]);
    let mut sources = SourceMap::default();
    let file = sources.add("template.json", template.to_string());
    let (mut document, _) = Document::read(file, &sources).expect("a template");
    // What is no truth value stops some fixers.
    let Ok(()) = fix(&mut document) else { return component.clone() };
    let mut fixed: Json = serde_json::from_str(&document.to_text()).expect("JSON");
    fixed[list][0].take()
}

#[test]
#[cfg_attr(not(feature = "aws"), ignore = "it is about components of Amazon")]
fn whatever_decoding_calls_deprecated_is_fixed() {
    let (registry, mut seen) = (Registry::built_in(), BTreeSet::new());
    // A connector's options stand in builders.
    for kind in registry.kinds().filter(|kind| kind.name() != "communicator") {
        let list = format!("{}s", kind.name());
        for component in kind.components() {
            let name = &component.description().name;
            let schema = registry.options_of(component);
            for (old, today) in schema.all_renamed() {
                seen.insert(old.to_owned());
                let is_right = |value: Json| {
                    let mut options = json!({ "type": name, old: value });
                    if old == "iso_checksum_type" {
                        options["iso_checksum"] = "0123".into();
                    }
                    let fixed = fixed(&list, &options);
                    let has_today = today.is_none_or(|today| fixed.get(today).is_some());
                    fixed.get(old).is_none() && has_today
                };
                let values = [json!("md5"), json!(true), json!({ "a": "b" })];
                assert!(values.into_iter().any(is_right), "no fixer knows `{old}` of `{name}`");
            }
        }
    }
    assert_eq!(seen.len(), 18, "{seen:?}");
}
