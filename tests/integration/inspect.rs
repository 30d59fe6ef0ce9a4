//! `inspect`: what can be known of a template is shown, and nobody is asked for the rest.

use std::net::{Ipv4Addr, TcpListener};

use crate::support::{ACCESS_KEY, Program, SECRET_KEY};

/// What `inspect` says of a template with this name and text.
fn inspected(name: &str, text: &str) -> String {
    let program = Program::new();
    program.write(name, text);
    program.run(["inspect", name]).succeeded().stdout
}

/// The lines of variables and locals.
fn values(shown: &str) -> Vec<&str> {
    shown.lines().filter(|line| line.starts_with("var.") || line.starts_with("local.")).collect()
}

const BUILD: &str = "source \"null\" \"n\" { communicator = \"none\" }\n\
                     build { sources = [\"source.null.n\"] }\n";

#[test]
fn a_value_that_cannot_be_known_hides_no_other() {
    let shown = inspected(
        "t.pkr.hcl",
        &format!(
            "variable \"v\" {{ type = string }}\nlocals {{\n  a = \"x\"\n  b = \"${{var.v}}-y\"\n}}\n{BUILD}"
        ),
    );
    let lines = ["var.v: \"<unknown>\"", "local.a: \"x\"", "local.b: \"<unknown>\""];
    assert_eq!(values(&shown), lines);
    let shown = inspected(
        "t.pkr.hcl",
        &format!(
            "locals {{\n  m = {{ a = 1 }}\n  x = local.m[\"z\"]\n  y = \"k\"\n  \
             z = upper(local.x)\n}}\n{BUILD}"
        ),
    );
    let lines = [
        "local.m: \"{\\n  \\\"a\\\" = 1\\n}\"",
        "local.x: \"<unknown>\"",
        "local.y: \"k\"",
        "local.z: \"<unknown>\"",
    ];
    assert_eq!(values(&shown), lines);
}

#[test]
fn each_local_that_has_no_value_is_said_once() {
    let program = Program::new();
    let locals = "locals {\n  a = nothing.a\n  b = upper(local.a)\n  c = nothing.c\n}\n";
    program.write("t.pkr.hcl", format!("variable \"v\" {{}}\n{locals}{BUILD}"));
    let run = program.run(["validate", "t.pkr.hcl"]).failed_with(1);
    for said in ["Unset variable", "t.pkr.hcl:3:7", "t.pkr.hcl:5:7"] {
        assert_eq!(run.stderr.matches(said).count(), 1, "{said}: {}", run.stderr);
    }
    assert_eq!(run.stderr.matches("error[").count(), 3, "{}", run.stderr);
}

#[test]
fn no_data_source_is_asked() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.set_nonblocking(true).expect("an option");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let data = format!("data \"http\" \"d\" {{ url = \"{url}\" }}\n");
    let locals = "locals {\n  body = data.http.d.body\n  plain = 1\n}\n";
    let shown = inspected("t.pkr.hcl", &format!("{data}{locals}{BUILD}"));
    assert_eq!(values(&shown), ["local.body: \"<unknown>\"", "local.plain: \"1\""]);
    assert!(listener.accept().is_err(), "somebody asked");
}

#[test]
fn no_store_of_secrets_is_asked() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.set_nonblocking(true).expect("an option");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let inspected = |name: &str, text: &str| {
        let vars = [("AWS_ENDPOINT_URL", url.as_str()), ("AWS_REGION", "us-east-1")];
        let keys = [("AWS_ACCESS_KEY_ID", ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", SECRET_KEY)];
        let program = Program::new().with(vars).with(keys);
        program.write(name, text);
        program.run(["inspect", name]).succeeded().stdout
    };
    let locals = "locals {\n  s = aws_secretsmanager(\"a\", null)\n  plain = 1\n}\n";
    let shown = inspected("t.pkr.hcl", &format!("{locals}{BUILD}"));
    assert_eq!(values(&shown), ["local.plain: \"1\"", "local.s: \"<unknown>\""]);
    let variables = r#"{"s": "{{aws_secretsmanager `a`}}"}"#;
    let builders = r#"[{"type": "null", "communicator": "none"}]"#;
    inspected("t.json", &format!(r#"{{"variables": {variables}, "builders": {builders}}}"#));
    assert!(listener.accept().is_err(), "somebody asked");
}

#[test]
fn a_legacy_template_has_the_usual_columns() {
    let shown = inspected(
        "t.json",
        r#"{"variables": {"long_required_name": null, "a": "1"},
            "builders": [{"type": "null", "communicator": "none"}]}"#,
    );
    let expected = "Packer Inspect: JSON mode\nRequired variables:\n\n  long_required_name\n\n\
                    Optional variables and their defaults:\n\n  a                  = 1\n\n\
                    Builders:\n\n  null\n";
    assert!(shown.starts_with(expected), "{shown}");
    let shown = inspected(
        "t.json",
        r#"{"variables": {"b": null, "a": null},
            "builders": [{"type": "null", "communicator": "none"}]}"#,
    );
    let expected = "Required variables:\n\n  a\n  b\n\nOptional variables and their defaults:\n\n\n\
                    Builders:\n";
    assert!(shown.contains(expected), "{shown}");
}

#[test]
fn a_secret_is_masked_inside_of_other_values() {
    let shown = inspected(
        "t.json",
        r#"{"variables": {"pw": "hunter2-long", "url": "https://u:hunter2-long@h"},
            "sensitive-variables": ["pw"],
            "builders": [{"type": "null", "communicator": "none"}]}"#,
    );
    assert!(shown.contains("  pw  = <sensitive>\n"), "{shown}");
    assert!(shown.contains("  url = https://u:<sensitive>@h\n"), "{shown}");
    let shown = inspected(
        "t.pkr.hcl",
        &format!(
            "variable \"pw\" {{\n  default   = \"hunter2-long\"\n  sensitive = true\n}}\n\
             locals {{ list = [\"plain\", \"x-${{var.pw}}\"] }}\n{BUILD}"
        ),
    );
    assert!(shown.contains("local.list: \"[\\n  \\\"plain\\\",\\n  \\\"x-<sensitive>\\\",\\n]\""));
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn an_empty_list_ends_with_a_line_of_its_own() {
    let program = Program::new();
    program.write("t.json", r#"{"builders": [{"type": "null", "communicator": "none"}]}"#);
    let said = program.run(["inspect", "-machine-readable", "t.json"]).succeeded().stdout;
    let lines: Vec<_> = said.lines().filter_map(|line| line.split_once(",ui,say,")).collect();
    let none = lines.iter().position(|(_, text)| *text == "  <No variables>").expect("the line");
    assert_eq!(lines[none + 1].1, "");
}
