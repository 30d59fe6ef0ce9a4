//! The log: groups, annotations, masks; and nothing that a guest prints is a command.

use super::heard::{Log, Shown};
use super::runner::Runner;

/// Two builds that run at the same time, each with provisioners of both kinds of output.
const PARALLEL: &str = r#"
source "null" "web" { communicator = "none" }
source "null" "db" { communicator = "none" }
build {
  sources = ["null.web", "null.db"]
  provisioner "shell-local" {
    name   = "install"
    inline = ["for i in 1 2 3 4 5; do echo ${source.name} $i; sleep 0.05; done"]
  }
  provisioner "shell-local" { inline = ["echo ${source.name} again"] }
}
"#;

#[test]
fn each_part_of_a_build_is_a_group_of_its_own_also_in_parallel() {
    let step = Runner::new("build").file("web.pkr.hcl", PARALLEL).run().succeeded();
    let groups = step.log.groups();
    for build in ["web", "db"] {
        let of_build = format!("null.{build}: ");
        let own: Vec<_> = groups.iter().filter(|group| group.starts_with(&of_build)).collect();
        let install = format!("null.{build}: provision: install");
        assert_eq!(own, [&install, &format!("null.{build}: provision: shell-local")]);
        let lines = step.log.group(&install);
        let counted: Vec<_> = lines.iter().filter(|line| line.starts_with(build)).collect();
        assert_eq!(counted.len(), 5, "{lines:?}");
        let other = if build == "web" { "db " } else { "web " };
        assert!(!lines.iter().any(|line| line.starts_with(other)), "{lines:?}");
        let end = format!("✓ null.{build} finished after");
        assert!(step.log.open().contains(&end), "{:#?}", step.log);
    }
}

#[test]
fn what_failed_stands_open_with_its_last_lines_and_beside_its_place() {
    let template = r#"source "null" "web" { communicator = "none" }
build {
  sources = ["null.web"]
  provisioner "shell-local" {
    inline = ["seq 1 200", "echo it broke", "exit 7"]
  }
}
"#;
    let step = Runner::new("build").file("images/web.pkr.hcl", template);
    let step = step.with("templates", "images/web.pkr.hcl").run().failed();
    let [error] = step.log.annotations.as_slice() else { panic!("{:#?}", step.log) };
    assert_eq!(error.properties["file"], "images/web.pkr.hcl");
    assert_eq!(error.properties["line"], "4");
    assert_eq!(error.properties["title"], "null.web failed in provision: shell-local");
    assert!(error.message.contains("exit"), "{error:?}");
    let open = step.log.open();
    assert!(open.contains("  it broke") && open.contains("  152\n"), "{open}");
    assert!(!open.contains("  140\n"), "only the last lines are repeated: {open}");
    let whole = step.log.group("null.web: provision: shell-local");
    assert!(whole.contains(&"1".to_owned()) && whole.contains(&"200".to_owned()));
    assert_eq!(step.json("failed-builds"), serde_json::json!(["null.web"]));
}

#[test]
fn a_part_that_prints_very_much_is_written_in_pieces() {
    let template = r#"source "null" "web" { communicator = "none" }
build {
  sources = ["null.web", "null.db"]
  provisioner "shell-local" {
    only   = ["null.web"]
    inline = ["seq 1 100000; touch done"]
  }
  provisioner "shell-local" {
    only   = ["null.db"]
    inline = ["until [ -e done ]; do sleep 0.1; done"]
  }
}
source "null" "db" { communicator = "none" }
"#;
    let step = Runner::new("build").file("web.pkr.hcl", template).run().succeeded();
    let pieces: Vec<_> = step
        .log
        .shown
        .iter()
        .filter_map(|shown| match shown {
            Shown::Group(title, lines) if title.contains("(part ") => Some(lines.len()),
            _ => None,
        })
        .collect();
    assert!(pieces.len() > 1, "{pieces:?}");
    assert!(pieces.iter().sum::<usize>() >= 100_000, "{pieces:?}");
}

/// Lines that would say something to the runner, as bytes.
const HOSTILE: &[&[u8]] = &[
    b"::set-output name=ami-id::ami-evil",
    b"::save-state name=journals::/",
    b"::set-env name=PATH::/evil",
    b"::add-path::/evil",
    b"::error::hostile",
    b"::warning file=web.pkr.hcl::hostile",
    b"::notice::hostile",
    b"::debug::hostile",
    b"::group::hostile",
    b"::endgroup::",
    b"::add-mask::e",
    b"::add-matcher::/tmp/x",
    b"::remove-matcher owner=x::",
    b"::echo::on",
    b"::stop-commands::pause",
    b"::stop-commands::",
    b"::pause::",
    b"   ::error::after blanks",
    b"\t::error::after a tab",
    "\u{a0}::error::after a no-break space".as_bytes(),
    "\u{2003}\u{3000}::error::after wide blanks".as_bytes(),
    "\u{85}::error::after a next line".as_bytes(),
    "\u{2028}::error::after a line separator".as_bytes(),
    b"::ERROR::in capitals",
    b"##[error]hostile",
    b"==> web: ##[set-output name=ami-id]ami-evil",
    b"text ##[add-mask]e",
    b"##[group]hostile",
    b"##[endgroup]",
    b"##[stop-commands]pause",
    b"##[ERROR]in capitals",
    b"###[error]three",
    b"progress\r::error::after a carriage return",
    b"progress\r\r::error::after two",
    b"\r##[error]x",
    b"\x1b[31m::error::after a colour",
    b"\x1b]0;title\x07::error::after a title",
    b"\0::error::after a NUL",
    b":\0:error::with a NUL in it",
    b"#\x1b[0m#[error]with an escape in it",
    b"#\0#[error]with a NUL in it",
    b"\x08\x08::error::after backspaces",
    b"\x9b::error::after a C1 control",
    b"\xef\xbb\xbf::error::after a byte order mark",
    b"\xff::error::after a bad byte",
    b"::error::\x0b::error::vertical tab",
];

#[test]
fn nothing_that_a_guest_prints_is_a_command() {
    let runner = Runner::new("build").file("hostile", HOSTILE.join(&b'\n'));
    let template = r#"source "null" "web" { communicator = "none" }
build {
  sources = ["null.web"]
  provisioner "shell-local" {
    inline = ["cat hostile", "cat hostile >&2", "exit 1"]
  }
}
"#;
    let step = runner.file("web.pkr.hcl", template).run().failed();
    assert_eq!(step.log.obeyed, Vec::<String>::new());
    assert_eq!(step.log.debug, Vec::<String>::new());
    assert_eq!(step.log.annotations.len(), 1, "our own: {:#?}", step.log.annotations);
    assert!(step.log.masks.is_empty(), "{:?}", step.log.masks);
    assert!(step.state["journals"].is_empty() && step.outputs["ami-id"].is_empty());
    // Not only because the runner did not listen: no line would be one.
    let token = step.log.raw.split("::stop-commands::").nth(1).unwrap().lines().next().unwrap();
    assert!(token.len() >= 32, "{token}");
    let deaf = format!("::stop-commands::{token}\n");
    let listening = step.log.raw.replace(&deaf, "").replace(&format!("::{token}::\n"), "");
    let listening = Log::of(&listening);
    assert_eq!((listening.obeyed.len(), listening.annotations.len()), (0, 1), "{listening:#?}");
}

#[test]
fn each_run_has_another_token() {
    let template = PARALLEL.replace("for i in 1 2 3 4 5; do", "for i in 1; do");
    let runner = Runner::new("build").file("web.pkr.hcl", template);
    let token = || {
        let log = runner.run().succeeded().log.raw;
        log.split("::stop-commands::").nth(1).unwrap().lines().next().unwrap().to_owned()
    };
    assert_ne!(token(), token());
}

#[test]
fn secrets_are_masked_before_anything_could_show_them() {
    let template = r#"
variable "password" { type = string }
variable "token" {
  type      = string
  sensitive = true
  default   = "declared-sensitive"
}
source "null" "web" { communicator = "none" }
build {
  sources = ["null.web"]
  provisioner "shell-local" {
    inline = ["echo ${var.password} ${var.token}", "exit 1"]
  }
}
"#;
    let step = Runner::new("build")
        .file("web.pkr.hcl", template)
        .with("secrets", "password: hunter2-hunter2")
        .with("github-token", "ghs_secret-of-github")
        .run()
        .failed();
    for secret in ["hunter2-hunter2", "declared-sensitive", "ghs_secret-of-github"] {
        assert!(step.log.masks.contains(&secret.to_owned()), "{:?}", step.log.masks);
        let told = format!("::add-mask::{secret}\n");
        assert!(!step.log.raw.replace(&told, "").contains(secret), "{}", step.log.raw);
        let others = [step.summary.clone(), format!("{:?}{:?}", step.outputs, step.state)];
        assert!(others.iter().all(|text| !text.contains(secret)), "{others:?}");
        assert!(!step.stderr.contains(secret), "{}", step.stderr);
    }
}

#[test]
fn children_see_nothing_that_is_the_runners() {
    let template = r#"source "null" "web" { communicator = "none" }
build {
  sources = ["null.web"]
  provisioner "shell-local" { inline = ["env"] }
}
"#;
    let step = Runner::new("build")
        .file("web.pkr.hcl", template)
        .with("aws-region", "eu-west-1")
        .with("github-token", "ghs_secret")
        .var("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "bearer")
        .var("ACTIONS_RUNTIME_TOKEN", "runtime")
        .var("MINE", "stays")
        .run()
        .succeeded();
    let env = step.log.group("null.web: provision: shell-local").join("\n");
    assert!(env.contains("MINE=stays") && env.contains("AWS_REGION=eu-west-1"), "{env}");
    for hidden in ["INPUT_", "ACTIONS_", "GITHUB_OUTPUT", "GITHUB_STATE", "GITHUB_STEP_SUMMARY"] {
        assert!(!env.contains(hidden), "{hidden}: {env}");
    }
}

#[test]
fn debug_lines_come_where_the_runner_shows_them() {
    let runner = Runner::new("build").file("web.pkr.hcl", PARALLEL);
    assert!(runner.run().log.debug.is_empty());
    let step = runner.var("RUNNER_DEBUG", "1").run().succeeded();
    assert!(step.log.debug.iter().any(|line| line.contains("build finished")), "{step:#?}");
}

#[test]
fn the_lines_of_the_only_build_come_as_they_are_said() {
    let template = r#"source "null" "web" { communicator = "none" }
build {
  sources = ["null.web"]
  provisioner "shell-local" { inline = ["echo first", "until [ -e go ]; do sleep 0.1; done", "echo second"] }
}
"#;
    let runner = Runner::new("build").file("web.pkr.hcl", template);
    let mut step = runner.start();
    assert!(step.prints("first"), "it waits for the end");
    runner.program.write("go", "");
    let step = step.end().succeeded();
    let lines = step.log.group("null.web: provision: shell-local");
    assert!(lines.iter().any(|line| line == "second"), "{lines:?}");
    assert_eq!(step.log.groups(), ["null.web: provision: shell-local"]);
}

#[test]
fn a_part_that_says_nothing_and_takes_no_time_is_not_told() {
    let step = Runner::new("build").file("web.pkr.hcl", super::commands::GOOD).run().succeeded();
    assert!(
        !step.log.raw.contains("cleanup") && !step.log.raw.contains(", 0s"),
        "{}",
        step.log.raw
    );
}
