//! What each `command` does, and what is refused.

use serde_json::json;

use super::runner::Runner;

pub const GOOD: &str = r#"
source "null" "web" { communicator = "none" }
source "null" "db" { communicator = "none" }
build { sources = ["null.web", "null.db"] }
"#;

#[test]
fn inputs_that_are_wrong_are_refused_all_at_once_and_no_value_is_shown() {
    let step = Runner::new("buidl")
        .with("tempaltes", "hunter2")
        .with("dry-run", "hunter2")
        .with("secrets", "[hunter2")
        .run()
        .failed();
    let said: Vec<_> = step.log.annotations.iter().map(|one| one.message.as_str()).collect();
    assert_eq!(said.len(), 4, "{said:?}");
    assert!(said.iter().any(|one| one.contains("did you mean `templates`?")), "{said:?}");
    assert!(said.iter().any(|one| one.contains("did you mean `build`?")), "{said:?}");
    let shown = [&step.log.raw, &step.summary];
    assert!(shown.iter().all(|text| !text.contains("hunter2")), "{shown:?}");
    assert!(step.summary.contains("did you mean <code>templates</code>?"), "{}", step.summary);
}

#[test]
fn validate_says_what_is_wrong_beside_the_lines_that_it_is_about() {
    let bad = GOOD.replace("communicator", "comunicator");
    let step = Runner::new("validate")
        .with("templates", "a.pkr.hcl\n*/b.pkr.hcl")
        .with("working-directory", "images")
        .file("images/a.pkr.hcl", GOOD)
        .file("images/sub/b.pkr.hcl", bad)
        .run()
        .failed();
    let found = &step.log.annotations;
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(found[0].properties["file"], "images/sub/b.pkr.hcl");
    assert_eq!((found[0].properties["line"].as_str(), found[0].kind.as_str()), ("2", "error"));
    assert!(found[0].message.contains("did you mean `communicator`?"), "{found:?}");
    assert!(step.log.open().contains("sub/b.pkr.hcl:2:23"), "{:#?}", step.log);
    assert_eq!(step.outputs["result"], "failure");
}

#[test]
fn validate_needs_no_credentials_even_where_a_role_is_given() {
    let head = json!({"repo": {"full_name": "stranger/images"}});
    let step = Runner::new("validate")
        .event("pull_request", &json!({"number": 3, "pull_request": {"number": 3, "head": head}}))
        .with("role-to-assume", "arn:aws:iam::123456789012:role/baker")
        .file("web.pkr.hcl", GOOD)
        .run()
        .succeeded();
    assert_eq!(step.outputs["result"], "success");
    assert!(step.log.open().contains("The configuration is valid."), "{:#?}", step.log);
}

#[test]
fn a_warning_fails_the_step_where_that_is_asked_for() {
    let unused = format!("{GOOD}\nvariable \"unused\" {{ default = \"\" }}\n");
    let runner = Runner::new("validate").file("web.pkr.hcl", unused);
    let step = runner.run().succeeded();
    assert_eq!(step.log.annotations[0].kind, "warning");
    runner.with("fail-on-warnings", "true").run().failed();
}

#[test]
fn plan_lists_the_builds_for_a_matrix() {
    let step = Runner::new("plan")
        .with("templates", "images/*.pkr.hcl")
        .with("except", "null.db")
        .file("images/web.pkr.hcl", GOOD)
        .run()
        .succeeded();
    let entry = json!({"name": "null.web", "only": "null.web", "templates": "images/web.pkr.hcl"});
    assert_eq!(step.json("matrix"), json!({"include": [entry]}));
}

#[test]
fn fmt_writes_what_changes_and_a_dry_run_only_fails() {
    let runner = Runner::new("fmt").file("web.pkr.hcl", "a=1\n");
    let dry = Runner::new("fmt").with("dry-run", "true").file("web.pkr.hcl", "a=1\n");
    let step = dry.run();
    assert_eq!(step.code, Some(3), "{step:#?}");
    assert!(step.log.open().contains("+a = 1"), "{step:#?}");
    assert_eq!(dry.program.read("web.pkr.hcl"), "a=1\n");
    runner.run().succeeded();
    assert_eq!(runner.program.read("web.pkr.hcl"), "a = 1\n");
}

#[test]
fn inspect_shows_what_a_template_consists_of() {
    let step = Runner::new("inspect").file("web.pkr.hcl", GOOD).run().succeeded();
    assert!(step.log.open().contains("null.web"), "{:#?}", step.log);
}

#[test]
fn a_key_that_is_stored_is_warned_of() {
    let step = Runner::new("validate")
        .file("web.pkr.hcl", GOOD)
        .var("AWS_ACCESS_KEY_ID", crate::support::ACCESS_KEY)
        .with("variables", format!("key: {}", crate::support::ACCESS_KEY))
        .run();
    let found: Vec<_> = step.log.annotations.iter().map(|one| one.message.as_str()).collect();
    assert!(found[0].contains("AWS_ACCESS_KEY_ID") && found[0].contains("role-to-assume"));
    assert!(found[1].contains("`key`"), "{found:?}");
}

#[test]
fn history_lists_what_was_baked_before() {
    let template = "source \"file\" \"notes\" {\n  content = \"x\"\n  target = \"notes.txt\"\n}\nbuild { sources = [\"file.notes\"] }\n";
    let runner = Runner::new("history").file("web.pkr.hcl", template);
    let step = runner.run().succeeded();
    assert!(step.log.open().contains("Nothing is known to have been baked"), "{:#?}", step.log);
    let manifest = json!({"builds": [{
        "name": "notes", "builder_type": "file", "artifact_id": "File", "build_time": 1_790_000_000,
        "files": [{"name": "notes.txt", "size": 1}], "packer_run_uuid": "u", "custom_data": null,
    }], "last_run_uuid": "u"});
    let runner = runner.with("manifests", "m.json").file("m.json", manifest.to_string());
    let step = runner.run().succeeded();
    assert!(step.log.open().contains("notes.txt"), "{:#?}", step.log);
    let step = runner.with("manifests", "*.json").run().succeeded();
    assert!(step.log.open().contains("notes.txt"), "{:#?}", step.log);
}

#[test]
fn validate_takes_the_lints_that_count() {
    let unlocked = "packer {\n  required_plugins {\n    docker = {\n      version = \">= 1\"\n      source = \"github.com/hashicorp/docker\"\n    }\n  }\n}\n";
    let runner = Runner::new("validate").file("web.pkr.hcl", format!("{unlocked}{GOOD}"));
    let count = |step: super::runner::Step| step.log.annotations.len();
    let all = count(runner.with("lint", "pedantic").run());
    let none = Runner::new("validate").with("lint", "off");
    let none = count(none.file("web.pkr.hcl", format!("{unlocked}{GOOD}")).run());
    assert!(all > none, "{all} {none}");
    let wrong = Runner::new("validate").with("lint", "L9999").file("web.pkr.hcl", GOOD).run();
    assert!(wrong.failed().log.annotations[0].message.contains("the input `lint`"));
}

/// GitHub evaluates every text of `action.yml`: an expression that is only an example in a description
/// keeps the whole action from being loaded.
#[test]
fn no_text_of_the_action_is_an_expression_but_the_default_of_the_token() {
    fn expressions(at: &str, value: &serde_yaml::Value, found: &mut Vec<String>) {
        match value {
            serde_yaml::Value::String(text) if text.contains("${{") => found.push(at.to_owned()),
            serde_yaml::Value::Mapping(fields) => fields.iter().for_each(|(name, value)| {
                expressions(&format!("{at}/{}", name.as_str().unwrap()), value, found);
            }),
            serde_yaml::Value::Sequence(items) => {
                items.iter().for_each(|item| expressions(at, item, found));
            }
            _ => {}
        }
    }
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("action.yml")).unwrap();
    let mut found = Vec::new();
    expressions("", &serde_yaml::from_str(&text).unwrap(), &mut found);
    assert_eq!(found, ["/inputs/github-token/default"]);
}

#[test]
fn the_problem_matcher_reads_what_validate_draws() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("examples/workflows/problem-matcher.json"));
    let json: serde_json::Value = serde_json::from_str(&text.unwrap()).unwrap();
    let patterns = json["problemMatcher"][0]["pattern"].as_array().unwrap();
    let [first, second] = [&patterns[0], &patterns[1]]
        .map(|pattern| regex::Regex::new(pattern["regexp"].as_str().unwrap()).unwrap());
    let program = crate::support::Program::new();
    program.write("web.pkr.hcl", GOOD.replace("communicator", "comunicator"));
    let drawn = program.run(["validate", "web.pkr.hcl"]).failed_with(1).stderr;
    // The lines of a problem follow each other.
    let lines: Vec<_> = drawn.lines().collect();
    let found: Vec<_> = lines
        .windows(2)
        .filter_map(|pair| Some((first.captures(pair[0])?, second.captures(pair[1])?)))
        .collect();
    assert_eq!(found.len(), 2, "{drawn}");
    let (what, place) = &found[0];
    assert_eq!((&what[1], &what[2]), ("error", "C002"));
    assert_eq!((&place[1], &place[2], &place[3]), ("web.pkr.hcl", "2", "23"));
}

/// The errors beside the run.
fn errors(step: &super::runner::Step) -> Vec<&str> {
    let errors = step.log.annotations.iter().filter(|one| one.kind == "error");
    errors.map(|one| one.message.as_str()).collect()
}

#[test]
fn a_step_that_is_red_says_why_beside_the_run_and_in_the_summary() {
    let unused = format!("{GOOD}\nvariable \"unused\" {{ default = \"\" }}\n");
    let bad = GOOD.replace("communicator", "comunicator");
    let fails = r#"source "null" "web" { communicator = "none" }
build {
  sources = ["null.web"]
  provisioner "shell-local" { inline = ["exit 1"] }
}
"#;
    let run = |command: &str, template: &str| {
        let runner = Runner::new(command).file("web.pkr.hcl", template);
        runner.with("fail-on-warnings", "true").with("dry-run", "true")
    };
    for (step, why) in [
        (run("fmt", "a=1\n"), "1 file is not in canonical style"),
        (run("fmt", "a = = 1\n"), "web.pkr.hcl"),
        (run("validate", &unused), "a warning fails the step, as `fail-on-warnings` asks"),
        (run("validate", &bad), "did you mean"),
        (run("plan", &bad), "did you mean"),
        (run("inspect", "a = = 1\n"), ""),
        (run("build", fails).with("dry-run", "false"), "exit"),
        (
            run("build", GOOD).with("only", "nothing").with("fail-on-warnings", "false"),
            "leave none",
        ),
    ] {
        let step = step.run();
        assert_ne!(step.code, Some(0), "{step:#?}");
        let errors = errors(&step);
        assert!(!errors.is_empty(), "{step:#?}");
        let places: Vec<_> =
            step.log.annotations.iter().filter_map(|one| one.properties.get("file")).collect();
        assert!(
            errors.iter().any(|one| one.contains(why)) || places.contains(&&why.to_owned()),
            "{errors:#?}"
        );
        assert!(
            step.summary.contains("❌") && step.summary.lines().count() > 2,
            "{}",
            step.summary
        );
    }
}

#[test]
fn a_summary_of_refused_inputs_says_which_command_they_are_of() {
    let step = Runner::new("build").with("parallel", "no").run().failed();
    assert!(step.summary.starts_with("## ❌ imgbake build\n"), "{}", step.summary);
}
