use jiff::Timestamp;

use super::*;

fn read(inputs: &[(&str, &str)]) -> Result<Inputs, Vec<String>> {
    let vars = inputs
        .iter()
        .map(|(name, value)| (format!("INPUT_{}", name.to_uppercase()), (*value).to_owned()));
    Inputs::read(&Environment::new(vars.collect(), "/".into(), Timestamp::UNIX_EPOCH))
}

#[test]
fn every_input_becomes_a_value() {
    let inputs = read(&[
        ("command", "build"),
        ("templates", "images/web.pkr.hcl\n\n  images/*.json  \n"),
        ("only", "amazon-ebs.web, qemu.*\nnull.x"),
        ("variables", "region: eu-west-1\nsize: 8\nfast: true\nzones: [a, \"${b}\"]\n"),
        ("variable_files", "a.pkrvars.hcl"),
        ("secrets", "token: s3cret"),
        ("aws-region", "eu-west-1 "),
        ("role-to-assume", "arn:aws-us-gov:iam::123456789012:role/path/baker"),
        ("role-duration", "3600"),
        ("role-session-name", "images@7"),
        ("audience", "sts.example.com"),
        ("on-error", "abort"),
        ("parallel", "3"),
        ("comment", "always"),
        ("github-token", "ghs_x"),
        ("fail-on-warnings", "True"),
        ("timeout", "1h30m"),
        ("dry-run", "false"),
    ])
    .unwrap();
    assert_eq!(inputs.command, Command::Build);
    assert_eq!(inputs.templates, ["images/web.pkr.hcl", "images/*.json"].map(PathBuf::from));
    assert_eq!(inputs.only, ["amazon-ebs.web", "qemu.*", "null.x"]);
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let zones = pair("zones", r#"["a", "$${b}"]"#);
    let variables = [pair("region", "eu-west-1"), pair("size", "8"), pair("fast", "true"), zones];
    assert_eq!(inputs.variables, variables);
    assert_eq!(inputs.variable_files, [PathBuf::from("a.pkrvars.hcl")]);
    assert_eq!(inputs.secrets, [("token".to_owned(), Secret::new("s3cret"))]);
    assert_eq!(inputs.account.region.as_deref(), Some("eu-west-1"));
    let role = inputs.account.role.unwrap();
    assert_eq!(role.arn, "arn:aws-us-gov:iam::123456789012:role/path/baker");
    assert_eq!(role.duration, Some(Duration::from_secs(3600)));
    assert_eq!(inputs.on_error, OnError::Abort);
    assert_eq!((inputs.parallel, inputs.comment), (Some(3), Comment::Always));
    assert_eq!(inputs.timeout, Some(Duration::from_secs(5400)));
    assert!(inputs.fail_on_warnings && !inputs.dry_run);
}

#[test]
fn what_is_not_given_has_a_default() {
    let inputs = read(&[("command", "validate"), ("only", ""), ("parallel", "")]).unwrap();
    assert_eq!(inputs.templates, [PathBuf::from(".")]);
    assert!(inputs.only.is_empty() && inputs.parallel.is_none() && inputs.account.role.is_none());
    assert_eq!((inputs.comment, inputs.on_error), (Comment::OnChange, OnError::Cleanup));
}

#[test]
fn all_that_is_wrong_is_said_at_once_and_no_value_is_shown() {
    let secret = "hunter2";
    let wrong = read(&[
        ("comand", "build"),
        ("command", secret),
        ("args", secret),
        ("variables", "hunter2"),
        ("secrets", "token: !x [hunter2"),
        ("role-to-assume", "arn:aws:iam::123456789012:user/hunter2"),
        ("role-session-name", "hunter2 hunter2"),
        ("role-duration", "60"),
        ("role-chaining", secret),
        ("on-error", "ask"),
        ("parallel", "0"),
        ("comment", "on-chnage"),
        ("timeout", "90"),
        ("dry-run", "yes"),
    ])
    .unwrap_err()
    .join("\n");
    assert!(!wrong.contains(secret), "{wrong}");
    insta::assert_snapshot!(wrong);
}

#[test]
fn what_is_about_a_role_needs_one() {
    let wrong = read(&[("command", "build"), ("audience", "x"), ("role-duration", "1h")]);
    assert_eq!(wrong.unwrap_err().len(), 2);
    let role = ("role-to-assume", "arn:aws:iam::123456789012:role/x");
    let wrong = read(&[("command", "build"), role, ("audience", "x"), ("role-chaining", "true")]);
    assert_eq!(wrong.unwrap_err().len(), 1);
}

#[test]
fn manifests_are_for_who_merges_them() {
    assert!(read(&[]).unwrap_err()[0].contains("say one of `build`"));
    let merge = ("command", "merge");
    let wrong = read(&[merge]).unwrap_err();
    assert_eq!(wrong, ["the input `manifests`: say it for `command: merge`"]);
    let inputs = read(&[merge, ("manifests", "a\nb/*.json"), ("matrix", "{}")]).unwrap();
    assert_eq!(inputs.manifests, ["a", "b/*.json"].map(PathBuf::from));
    assert_eq!(inputs.matrix.as_deref(), Some("{}"));
    let wrong = read(&[("command", "build"), ("manifests", "a"), ("matrix", "{}")]).unwrap_err();
    assert_eq!(wrong.len(), 2, "{wrong:?}");
}

#[test]
fn action_yml_declares_the_inputs_that_are_read() {
    let text = include_str!("../../../action.yml");
    let action: serde_yaml::Value = serde_yaml::from_str(text).unwrap();
    let declared: Vec<_> = action["inputs"].as_mapping().unwrap().keys().collect();
    assert_eq!(declared, NAMES.iter().collect::<Vec<_>>());
}

#[test]
fn who_says_yes_where_a_path_belongs_is_told_to_name_one() {
    let inputs = read(&[("command", "build"), ("sbom", " out "), ("report", "")]).unwrap();
    assert_eq!((inputs.sbom.as_deref(), inputs.report), (Some("out".as_ref()), None));
    let wrong = read(&[("command", "build"), ("sbom", "false"), ("report", "True")]).unwrap_err();
    let why = ["`sbom`: it names a directory", "`report`: it names a file"];
    let said = why.map(|why| format!("the input {why}; leave it out where none is wanted"));
    assert_eq!(wrong, said);
}

#[test]
fn a_machine_that_failed_is_kept_for_a_time_that_is_none_or_some() {
    let read = |text: &str| read(&[("command", "build"), ("keep-failed", text)]);
    let time = |text: &str| read(text).unwrap().keep_failed.map(|kept| kept.time);
    assert_eq!(time(""), None);
    assert_eq!(time(" 2h "), Some(Duration::from_secs(7200)));
    assert_eq!(time("1d"), Some(Duration::from_secs(86_400)));
    for wrong in ["0s", "0d", "-1h", "long"] {
        let why = "the input `keep-failed`: it must be a time such as `2h` or `1d`";
        assert_eq!(read(wrong).unwrap_err(), [why], "{wrong}");
    }
}

#[test]
fn checkpoints_are_of_machines_that_are_kept() {
    let read = |more: &[(&str, &str)]| {
        let given = [("command", "build"), ("checkpoints", "true")];
        read(&[&given[..], more].concat())
    };
    assert!(read(&[("keep-failed", "2h")]).unwrap().keep_failed.unwrap().checkpoints);
    let why = "the input `checkpoints`: say with `keep-failed` how long they stay";
    assert_eq!(read(&[]).unwrap_err(), [why]);
}

#[test]
fn false_is_no_name_of_an_artifact_and_no_lint() {
    let inputs = read(&[("command", "build"), ("upload", "false")]).unwrap();
    assert_eq!(inputs.upload, None);
    let inputs = read(&[("command", "validate"), ("lint", "false")]).unwrap();
    assert_eq!(inputs.lint, []);
}
