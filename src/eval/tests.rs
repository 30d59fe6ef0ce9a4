//! What names mean: variables with their precedence, locals in their order, legacy variables.

use std::path::PathBuf;

use jiff::Timestamp;

use super::*;
use crate::diagnostic::Diagnostic;
use crate::source::SourceMap;
use crate::template::load::{LoadRequest, load};

/// The template `text` in a file called `name`, given `-var`s and variables of the environment.
fn evaluated(
    name: &str,
    text: &str,
    vars: &[(&str, &str)],
    environment: &[(&str, &str)],
) -> (Values, Diagnostics) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    let request = LoadRequest::new(path, Default::default());
    let (template, _) = load(&request, &mut SourceMap::default()).unwrap();
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let environment = environment.iter().map(own).collect();
    let environment = Environment::new(environment, PathBuf::from("/"), Timestamp::UNIX_EPOCH);
    let inputs = Inputs {
        vars: vars.iter().map(own).collect(),
        var_files: Vec::new(),
        environment: Arc::new(environment),
        data_sources: None,
        warn_undeclared: false,
        budget: Default::default(),
    };
    evaluate_partly(&template, &inputs, &Redactor::default())
}

/// What is wrong with the `locals` in the action, where `var.pw` is a secret and `q.txt` a file: each with
/// its notes.
fn refused_in_the_action(locals: &str) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.pkr.hcl");
    let variable = "variable \"pw\" {\n  sensitive = true\n}\n";
    std::fs::write(&path, format!("{variable}locals {{\n{locals}\n}}\n")).unwrap();
    std::fs::write(dir.path().join("q.txt"), "MyContent").unwrap();
    let request = LoadRequest::new(path, Default::default());
    let (template, _) = load(&request, &mut SourceMap::default()).unwrap();
    let environment =
        Environment::new(BTreeMap::new(), dir.path().to_owned(), Timestamp::UNIX_EPOCH)
            .reaching(crate::reach::Reach::within([dir.path()]));
    let inputs = Inputs {
        vars: vec![("pw".to_owned(), "MyS3cretValue99".to_owned())],
        var_files: Vec::new(),
        environment: Arc::new(environment),
        data_sources: None,
        warn_undeclared: false,
        budget: Default::default(),
    };
    let (_, found) = evaluate_partly(&template, &inputs, &Redactor::default());
    let told = |one: &Diagnostic| {
        let cause = one.cause.as_deref().unwrap_or_default();
        format!("{}: {cause} {}", one.summary, one.notes.join("; "))
    };
    found.0.iter().map(told).collect()
}

#[test]
fn an_error_repeats_no_part_of_a_secret_and_of_a_files_content() {
    for expression in [
        r#"file("q${substr(var.pw, 0, 3)}")"#,
        r#"file("q${substr(file("q.txt"), 0, 3)}")"#,
        r#"{ for i, c in split("", var.pw) : c => i }"#,
        r#"{ for i, c in split("", file("q.txt")) : c => i }"#,
        r#"formatdate(var.pw, timestamp())"#,
        r#"formatdate(file("q.txt"), timestamp())"#,
        r#"try(file("q${substr(var.pw, 0, 3)}"))"#,
        r#"true ? { for i, c in split("", substr(var.pw, 0, 3)) : c => i } : { x = [] }"#,
        // Where a local stands between them, too.
        "\"\"\n  b = \"q${substr(var.pw, 0, 3)}\"\n  c = file(local.b)",
        "\"\"\n  b = \"q${substr(var.pw, 0, 3)}\"\n  c = file(upper(local.b))",
    ] {
        let found = refused_in_the_action(&format!("  a = {expression}"));
        assert_eq!(found.len(), 1, "{expression}: {found:?}");
        assert!(found[0].contains("the value is sensitive, so it is not shown"), "{found:?}");
        let shown = found[0].to_lowercase();
        for part in ["qmys", "myc", "\"e\"", "\"n\"", "\"m\"", "verb"] {
            assert!(!shown.contains(part), "{expression}: {found:?}");
        }
    }
}

#[test]
fn an_error_that_no_secret_is_in_shows_its_values() {
    for (expression, said) in [
        (r#"file("nothing")"#, "no file exists at nothing"),
        (r#""${file("nothing")} ${var.pw}""#, "no file exists at nothing"),
        (r#"{ for i, c in ["e", "e"] : c => i }"#, "produced the key \"e\""),
        (r#"formatdate("y", timestamp())"#, "invalid date format verb \"y\""),
        (r#"upper(var.pw, 1)"#, "expects only 1 argument(s)"),
    ] {
        let found = refused_in_the_action(&format!("  a = {expression}"));
        assert!(found.len() == 1 && found[0].contains(said), "{expression}: {found:?}");
    }
}

fn hcl(text: &str) -> (Values, Diagnostics) {
    evaluated("t.pkr.hcl", text, &[], &[])
}

/// `name = value` of each.
fn shown(listed: Vec<Listed>) -> Vec<String> {
    listed.into_iter().map(|one| format!("{} = {}", one.name, one.value)).collect()
}

fn summaries(found: &Diagnostics) -> Vec<&str> {
    found.0.iter().map(|one| one.summary.as_str()).collect()
}

#[test]
fn the_command_line_wins_over_the_environment_and_that_over_the_default() {
    let text = "variable \"a\" { default = \"d\" }\nvariable \"b\" { default = \"d\" }\n\
                variable \"c\" { default = \"d\" }\n";
    let environment = [("PKR_VAR_a", "e"), ("PKR_VAR_b", "e"), ("PKR_VAR_other", "e")];
    let vars = [("a", "x"), ("a", "v")];
    let (values, found) = evaluated("t.pkr.hcl", text, &vars, &environment);
    assert!(found.0.is_empty(), "{found:?}");
    assert_eq!(shown(values.listing().variables), ["a = \"v\"", "b = \"e\"", "c = \"d\""]);
}

#[test]
fn a_given_text_is_an_expression_only_where_the_type_is_no_string_or_number() {
    let text = "variable \"any\" {\n}\nvariable \"list\" { type = list(number) }\n\
                variable \"number\" { type = number }\n";
    let vars = [("any", "[1]"), ("list", "[1, 2]"), ("number", "0x10")];
    let (values, found) = evaluated("t.pkr.hcl", text, &vars, &[]);
    assert_eq!(found.0.len(), 1, "{found:?}");
    let variables = shown(values.listing().variables);
    assert_eq!(variables[..2], ["any = \"[1]\"", "list = \"[\\n  1,\\n  2,\\n]\""]);
}

#[test]
fn every_variable_without_a_value_is_said() {
    let (_, found) = hcl("variable \"a\" {\n}\nvariable \"b\" {\n}\nlocals { c = var.a }\n");
    assert_eq!(found.0.len(), 2, "{found:?}");
}

#[test]
fn locals_come_in_the_order_in_which_they_need_each_other() {
    let (values, found) = hcl("locals {\n  a = local.b + 1\n  b = local.c + 1\n  c = 1\n}\n");
    assert!(found.0.is_empty(), "{found:?}");
    assert_eq!(shown(values.listing().locals), ["a = \"3\"", "b = \"2\"", "c = \"1\""]);
}

#[test]
fn a_cycle_is_said_once_as_its_path() {
    let (_, found) =
        hcl("locals {\n  a = local.b\n  b = local.c\n  c = local.a\n  d = local.a\n}\n");
    assert_eq!(summaries(&found), ["locals need each other"]);
    assert_eq!(found.0[0].cause.as_deref(), Some("local.a → local.b → local.c → local.a"));
}

#[test]
fn a_name_that_a_for_binds_needs_nothing() {
    let (values, found) = hcl("locals {\n  a = [for local in [{ a = 1 }] : local.a]\n}\n");
    assert!(found.0.is_empty(), "{found:?}");
    assert_eq!(shown(values.listing().locals), ["a = \"[\\n  1,\\n]\""]);
}

#[test]
fn a_long_chain_of_locals_does_not_need_the_stack() {
    let links: String = (1..20_000).map(|n| format!("  l{n} = local.l{}\n", n - 1)).collect();
    let (values, found) = hcl(&format!("locals {{\n{links}  l0 = 1\n}}\n"));
    assert!(found.0.is_empty(), "{}", found.0.len());
    assert_eq!(values.listing().locals.len(), 20_000);
}

#[test]
fn what_needs_a_failed_local_is_not_said_to_be_wrong() {
    let (values, found) = hcl("locals {\n  a = upper(1, 2)\n  b = local.a\n  c = 1\n}\n");
    assert_eq!(found.0.len(), 1, "{found:?}");
    let unknown = ["a = \"<unknown>\"", "b = \"<unknown>\"", "c = \"1\""];
    assert_eq!(shown(values.listing().locals), unknown);
}

/// A legacy template with these variables.
fn legacy(variables: &str, vars: &[(&str, &str)]) -> Result<BTreeMap<String, String>, Diagnostics> {
    let text = format!("{{\"variables\": {variables}, \"builders\": []}}");
    let (values, found) = evaluated("t.json", &text, vars, &[("HERE", "env")]);
    if found.has_errors() { Err(found) } else { Ok((*values.user_variables().unwrap()).clone()) }
}

#[test]
fn legacy_variables_refer_to_each_other_and_to_the_environment() {
    let variables = r#"{"a": "{{user `b`}}!", "b": "{{user `c`}}-{{env `HERE`}}", "c": "x"}"#;
    let values = legacy(variables, &[("c", "{{upper `given`}}"), ("more", "m")]).unwrap();
    let values: Vec<_> = values.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(values, ["a=GIVEN-env!", "b=GIVEN-env", "c=GIVEN", "more=m"]);
}

#[test]
fn legacy_variables_without_a_value_and_in_a_circle_are_errors() {
    assert_eq!(legacy(r#"{"a": null, "b": null}"#, &[]).unwrap_err().0.len(), 2);
    assert!(legacy(r#"{"a": "{{user `b`}}", "b": "{{user `a`}}"}"#, &[]).is_err());
    assert!(legacy(r#"{"a": "{{user `nope`}}"}"#, &[]).is_err());
    assert!(legacy(r#"{"a": null}"#, &[("a", "")]).is_ok());
}

/// What the body of `source "null" "x"` with `option` hides, of all texts that could be one.
fn hidden(variables: &str, option: &str, texts: &[&str]) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.pkr.hcl");
    std::fs::write(&path, format!("{variables}\nlocals {{\n  option = {option}\n}}\n")).unwrap();
    let request = LoadRequest::new(path, Default::default());
    let (template, _) = load(&request, &mut SourceMap::default()).unwrap();
    let environment = Environment::new(BTreeMap::new(), PathBuf::from("/"), Timestamp::UNIX_EPOCH);
    let inputs = Inputs {
        vars: Vec::new(),
        var_files: Vec::new(),
        environment: Arc::new(environment),
        data_sources: None,
        warn_undeclared: false,
        budget: Default::default(),
    };
    let redactor = Redactor::default();
    let (values, found) = evaluate_partly(&template, &inputs, &redactor);
    assert!(!found.has_errors(), "{found:?}");
    // What becomes of an option is looked at where it becomes one.
    let body = &template.locals.iter().find(|local| local.name.value == "option").unwrap().value;
    let _node = values.expr(body, &Place::default()).unwrap();
    let hides = |text: &&&str| redactor.redact(text) != **text;
    texts.iter().filter(hides).map(|text| (*text).to_owned()).collect()
}

const PASSWORD: &str = "variable \"pw\" {\n  default   = \"hunter22\"\n  sensitive = true\n}\n";

#[test]
fn only_the_sensitive_part_of_a_value_is_a_secret() {
    let texts = ["--extra-vars", "-vvv", "REGION=us-east-1", "pw=", "hunter22", "HUNTER22"];
    for option in [
        r#"["--extra-vars", "pw=${var.pw}", "-vvv", "REGION=us-east-1"]"#,
        r#"concat(["--extra-vars", "-vvv"], [var.pw], ["REGION=us-east-1"])"#,
        r#"compact(flatten([["--extra-vars"], "-vvv", ["pw=${var.pw}", "REGION=us-east-1"]]))"#,
        r#"merge({ a = "--extra-vars", b = "REGION=us-east-1" }, { pw = var.pw })"#,
        r#"element(["--extra-vars", var.pw, "-vvv"], 0)"#,
        r#"[for one in ["--extra-vars", var.pw, "-vvv"] : "pw=${one}"]"#,
        r#"var.pw == "x" ? "--extra-vars" : "-vvv""#,
        r#"keys({ "--extra-vars" = var.pw, "-vvv" = 1 })"#,
    ] {
        assert_eq!(hidden(PASSWORD, option, &texts), ["hunter22"], "{option}");
    }
    // What is made of a secret is one.
    let both = ["hunter22", "HUNTER22"];
    assert_eq!(hidden(PASSWORD, r#"concat(["-vvv"], [upper(var.pw)])"#, &texts), both);
}

#[test]
fn a_weak_secret_is_said_and_makes_no_secret_of_what_is_around_it() {
    let weak =
        |value: &str| format!("variable \"x\" {{\n  default = {value}\n  sensitive = true\n}}\n");
    for value in ["\"p\"", "\"root\"", "22"] {
        let text = weak(value);
        assert!(
            hidden(
                &text,
                "\"ssh_private_key_file of ${var.x}\"",
                &["ssh_private_key_file of root", "root", "p", "22"]
            )
            .is_empty()
        );
        let (_, found) = hcl(&text);
        assert_eq!(summaries(&found), ["the value of the sensitive variable `x` is not masked"]);
        let (_, found) =
            hcl(&format!("local \"x\" {{\n  expression = {value}\n  sensitive = true\n}}\n"));
        assert_eq!(summaries(&found), ["the value of the sensitive local `x` is not masked"]);
    }
    assert!(hcl(&weak("\"\"")).1.0.is_empty(), "nothing is hidden by nothing");
    let number = weak("123456");
    assert_eq!(hidden(&number, "[var.x]", &["123456"]), ["123456"]);
}
