//! Where a secret could get out, and does not.

use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::TempDir;

use super::gate::{Gate, ROLE, Rules};
use super::github::{GitHub, TOKEN};
use super::outputs::{amazon, aws};
use super::runner::{Runner, Step};
use crate::amazon_ebs::bed::Bed;

const SECRET: &str = "hunter2-hunter2";

/// A place that somebody or something reads, and what stands in it where the secret would: so it
/// did get there.
struct Place {
    name: &'static str,
    text: String,
    stands: &'static str,
}

fn place(name: &'static str, text: impl Into<String>, stands: &'static str) -> Place {
    Place { name, text: text.into(), stands }
}

/// None of `secrets` is in any of `places`, but what should be.
#[track_caller]
fn hidden<'a>(places: &[Place], secrets: impl IntoIterator<Item = &'a str>) {
    let secrets: Vec<_> = secrets.into_iter().collect();
    for Place { name, text, stands } in places {
        assert!(text.contains(stands), "{name}: `{stands}` never got there: {text}");
        for secret in &secrets {
            assert!(!text.contains(secret), "{name}: {secret}: {text}");
        }
    }
}

/// What was printed, but for what tells the runner what to hide.
fn printed(step: &Step) -> String {
    let lines = step.log.raw.lines().filter(|line| !line.starts_with("::add-mask::"));
    lines.collect::<Vec<_>>().join("\n")
}

fn debug_lines(step: &Step) -> String {
    printed(step).lines().filter(|line| line.starts_with("::debug::")).collect()
}

fn group_titles(step: &Step) -> String {
    printed(step).lines().filter(|line| line.starts_with("::group::")).collect()
}

fn annotations(step: &Step, part: &str) -> String {
    let found = step.log.annotations.iter();
    found.map(|one| format!("{} {:?}\n", one.message, one.properties.get(part))).collect()
}

fn runner(github: &GitHub, command: &str) -> Runner {
    let head = json!({"sha": "a1b2c3", "repo": {"full_name": "org/images"}});
    Runner::new(command)
        .with("github-token", TOKEN)
        .with("secrets", format!("password: {SECRET}"))
        .var("GITHUB_API_URL", github.url())
        .event("pull_request", &json!({"number": 3, "pull_request": {"number": 3, "head": head}}))
}

const TEMPLATE: &str = r#"
variable "password" { type = string }
source "null" "web" { communicator = "none" }
source "file" "made" {
  content = "x"
  target  = "made-${var.password}.txt"
}
source "file" "broken" {
  content = "x"
  target  = "web.pkr.hcl/broken-${var.password}/x"
}
build {
  sources = ["null.web", "file.made", "file.broken"]
  provisioner "shell-local" {
    only   = ["null.web"]
    name   = "named ${var.password}"
    inline = [
      "echo as output ${var.password}",
      "echo as an error ${var.password} >&2",
      "printf 'in two pieces hunter2-'; sleep 0.3; printf 'hunter2\n'",
      "printf 'carriage\rreturned ${var.password}\n'",
      "env > env.txt",
      "echo last words ${var.password}; exit 1",
    ]
  }
}
"#;

#[test]
fn a_build_shows_no_secret_wherever_one_is_looked_for() {
    let github = GitHub::start();
    let runner = runner(&github, "build")
        .var("RUNNER_DEBUG", "1")
        .var("PACKER_LOG_PATH", "all.log")
        .var("MINE", "stays")
        .file("web.pkr.hcl", TEMPLATE);
    let step = runner.run().failed();
    let (log, summary) = (printed(&step), &step.summary);
    let comment = github.thread().comments[0].2.clone();
    let file = |name: &str| runner.program.read(name);
    let places = [
        place("output of a script", &log, "as output <sensitive>"),
        place("error stream of a script", &log, "as an error <sensitive>"),
        place("a line that comes in two pieces", &log, "in two pieces <sensitive>"),
        place("behind a carriage return", &log, "returned <sensitive>"),
        place("titles of groups", group_titles(&step), "named <sensitive>"),
        place("the last lines of what failed", step.log.open(), "last words <sensitive>"),
        place("messages of annotations", annotations(&step, "title"), "broken-<sensitive>"),
        place("titles of annotations", annotations(&step, "title"), "named <sensitive>"),
        place("debug lines", debug_lines(&step), "broken-<sensitive>"),
        place("the log file", file("all.log"), "as output <sensitive>"),
        place("summary: errors", summary, "broken-&#60;sensitive&#62;"),
        place("summary: last lines", summary, "last words <sensitive>"),
        place("summary: timeline", summary, "provision named sensitive :crit"),
        place("summary: files", summary, "made-&#60;sensitive&#62;.txt"),
        place("comment: errors", &comment, "broken-&#60;sensitive&#62;"),
        place("comment: last lines", &comment, "last words <sensitive>"),
        place("output `artifacts`", &step.outputs["artifacts"], "made-<sensitive>.txt"),
        place("output `manifest`", &step.outputs["manifest"], "made-<sensitive>.txt"),
        place("the manifest's file", file("imgbake-manifest.json"), "broken-<sensitive>"),
        place("the environment of scripts", file("env.txt"), "MINE=stays"),
        place("state for the end of the job", format!("{:?}", step.state), "journals"),
    ];
    hidden(&places, [SECRET, TOKEN]);
}

#[test]
fn other_commands_show_no_secret_either() {
    let github = GitHub::start();
    let bad = format!(
        "variable \"password\" {{ type = string }}\nsource \"null\" \"web\" {{\n  comunicator = \"{SECRET}\"\n  ssh_timeout = \"x${{var.password}}\"\n}}\nbuild {{ sources = [\"null.web\"] }}\n"
    );
    let checked = runner(&github, "validate").file("web.pkr.hcl", &bad).run().failed();
    let comment = github.thread().comments[0].2.clone();
    let good = bad.replace("comunicator", "communicator").replace(SECRET, "none");
    let good = good.replace("x${var.password}", "5s");
    let inspected = runner(&github, "inspect").file("web.pkr.hcl", &good).run().succeeded();
    let unformatted = format!("password=\"{SECRET}\"\n");
    let patch = format!("@@ -1 +1 @@\n+{}", unformatted.trim_end());
    github.thread().files.push(("a.pkrvars.hcl".to_owned(), patch));
    let formatted = runner(&github, "fmt").with("dry-run", "true");
    let formatted = formatted.file("a.pkrvars.hcl", unformatted).run();
    let refused = Runner::new("validate").with("dry-run", SECRET).run().failed();
    let malformed = Runner::new("validate").with("secrets", format!("[{SECRET}")).run().failed();
    let places = [
        place(
            "a line of the template in the log",
            printed(&checked),
            "comunicator = \"<sensitive>\"",
        ),
        place("a value in a message", annotations(&checked, "file"), "x<sensitive>"),
        place("summary: findings", &checked.summary, "x&#60;sensitive&#62;"),
        place("comment: findings", &comment, "x&#60;sensitive&#62;"),
        place("`inspect`", printed(&inspected), "password"),
        place("what `fmt` changes", printed(&formatted), "+password = \"<sensitive>\""),
        place("what `fmt` remarks", annotations(&formatted, "file"), "password = \"<sensitive>\""),
        place("an input that is refused", printed(&refused), "the input `dry-run`"),
        place("secrets that are malformed", printed(&malformed), "the input `secrets`"),
    ];
    hidden(&places, [SECRET, TOKEN]);
    // What would have to hold a mask is not suggested.
    assert_eq!(github.thread().remarks.len(), 0);
}

#[test]
fn credentials_are_shown_nowhere_and_kept_nowhere() {
    let bed = Bed::new();
    let gate = Gate::start(bed.moto.endpoint(), Rules::default());
    let runner = Runner::new("build")
        .vars(aws(&gate.endpoint()))
        .vars(gate.permission())
        .with("role-to-assume", ROLE)
        .with("on-error", "abort")
        .with("github-token", TOKEN)
        // Nobody answers there, and an error says so.
        .var("GITHUB_API_URL", "http://127.0.0.1:9")
        .event("pull_request", &json!({"number": 3, "pull_request": {"number": 3}}))
        .var("RUNNER_DEBUG", "1")
        .var("PACKER_LOG_PATH", "all.log")
        .file("web.pkr.hcl", amazon(&bed, "env; exit 1"));
    let step = runner.run().failed();
    let warned = step.log.annotations.iter().find(|one| one.message.contains("no comment"));
    let warned = warned.map(|one| one.message.clone()).unwrap_or_default();
    let journals = glob::glob(&format!("{}/**/*", runner.program.path("_temp/imgbake").display()));
    let journals = journals.unwrap().filter_map(|path| std::fs::read_to_string(path.ok()?).ok());
    let places = [
        place("the log", printed(&step), "amazon-ebs.web: connect"),
        place("debug lines", debug_lines(&step), "credentials are valid"),
        place("the log file", runner.program.read("all.log"), "credentials are valid"),
        place(
            "the environment of the machine's scripts",
            step.log.group("amazon-ebs.web: prov").join("\n"),
            "PACKER_BUILD_NAME",
        ),
        place("journals", journals.collect::<String>(), "us-east-1"),
        place("why there is no comment", warned, "Connection refused"),
        place("the summary", &step.summary, "the build failed"),
    ];
    let seen = gate.seen();
    let tokens = seen.sessions.iter().map(|one| one["WebIdentityToken"].as_str());
    let given = seen.given.iter().map(String::as_str);
    assert!(seen.given.len() >= 2, "a key and a token: {:?}", seen.given);
    hidden(&places, tokens.chain(given).chain([TOKEN, super::gate::BEARER]));
}

/// A template whose only local is `value`.
fn reading(value: &str) -> String {
    format!(
        "locals {{\n  leak = {value}\n}}\nsource \"null\" \"web\" {{ communicator = \"none\" }}\nbuild {{\n  sources = [\"null.web\"]\n  provisioner \"shell-local\" {{ inline = [\"echo ${{local.leak}}\"] }}\n}}\n"
    )
}

/// A file outside of all workspaces, and the directory that it is in.
fn file_of_the_machine() -> (TempDir, PathBuf) {
    let outside = tempfile::tempdir().unwrap();
    let file = outside.path().join("key");
    std::fs::write(&file, "a file of the machine").unwrap();
    (outside, file)
}

/// Validates `text` in a workspace with links that lead out of it, one of them to `file`.
fn validating(text: &str, file: &Path) -> Runner {
    let runner = Runner::new("validate").with("github-token", TOKEN);
    let runner = runner.file("web.pkr.hcl", text).file("sub/own.txt", "own");
    std::os::unix::fs::symlink(file, runner.program.path("link")).unwrap();
    std::os::unix::fs::symlink("/proc/self", runner.program.path("self")).unwrap();
    runner
}

#[test]
fn a_template_reads_no_file_outside_of_the_workspace() {
    let (outside, file) = file_of_the_machine();
    let path = file.display();
    let validate = |text: &str| validating(text, &file);
    let values = [
        "filebase64(\"/proc/self/environ\")".to_owned(),
        "file(\"self/environ\")".to_owned(),
        "file(\"link\")".to_owned(),
        format!("file(\"{path}\")"),
        format!("templatefile(\"{path}\", {{}})"),
        format!("fileexists(\"{path}\")"),
        "join(\",\", fileset(\"/etc\", \"*\"))".to_owned(),
        "file(\"sub/../../outside\")".to_owned(),
    ];
    for value in values {
        let step = validate(&reading(&value)).run().failed();
        let (log, summary) = (printed(&step), step.summary.replace("&#45;", "-"));
        let why = match value.contains("environ") {
            true => "never allowed",
            false => "outside of the workspace",
        };
        for text in [&log, &summary] {
            assert!(text.contains(why), "{value}: {text}");
            assert!(!text.contains("a file of the machine") && !text.contains("PATH="), "{text}");
        }
    }
    for provisioner in [
        format!("provisioner \"shell-local\" {{ script = \"{path}\" }}"),
        "provisioner \"file\" {\n source = \"link\"\n destination = \"/x\"\n }".to_owned(),
        format!("provisioner \"ansible-local\" {{ playbook_file = \"{path}\" }}"),
        format!(
            "provisioner \"ansible\" {{\n playbook_file = \"{path}\"\n skip_version_check = true\n }}"
        ),
    ] {
        let text = reading("1").replace("provisioner", &format!("{provisioner}\n  provisioner"));
        let step = validate(&text).run().failed();
        assert!(printed(&step).contains("outside of the workspace"), "{}", printed(&step));
    }
    // A template that is itself a link to somewhere else.
    let runner =
        Runner::new("validate").file("web/a.pkr.hcl", reading("1")).with("templates", "web");
    std::os::unix::fs::symlink(&file, runner.program.path("web/b.pkr.hcl")).unwrap();
    let step = runner.run().failed();
    assert!(printed(&step).contains("outside of the workspace"), "{}", printed(&step));
    assert!(!printed(&step).contains("a file of the machine"), "{}", printed(&step));

    validate(&reading("file(\"sub/own.txt\")")).run().succeeded();
    validate(&reading("join(\",\", fileset(\".\", \"*\"))")).run().succeeded();
    let allowed = validate(&reading(&format!("file(\"{path}\")")));
    allowed.with("allow-files", outside.path().display().to_string()).run().succeeded();
    let never = validate(&reading("filebase64(\"/proc/self/environ\")"));
    never.with("allow-files", "/\n/proc").run().failed();
}

#[test]
fn no_option_of_a_builder_names_a_file_outside_of_the_workspace() {
    let (_outside, file) = file_of_the_machine();
    let path = file.display();
    let validate = |text: &str| validating(text, &file);
    let builders = [
        "amazon-chroot\" \"web\" {\n copy_files = [\"PATH\"]",
        "amazon-chroot\" \"web\" {\n chroot_mounts = [[\"bind\", \"PATH\", \"/mnt\"]]",
        "amazon-instance\" \"web\" {\n account_id = \"123456789012\"\n s3_bucket = \"b\"\n x509_cert_path = \"PATH\"\n x509_key_path = \"sub/own.txt\"",
        "amazon-instance\" \"web\" {\n account_id = \"123456789012\"\n s3_bucket = \"b\"\n x509_cert_path = \"sub/own.txt\"\n x509_key_path = \"link\"",
        "amazon-ebs\" \"web\" {\n user_data_file = \"PATH\"",
        "amazon-ebs\" \"web\" {\n ssh_private_key_file = \"PATH\"",
        "amazon-ebs\" \"web\" {\n shared_credentials_file = \"PATH\"",
        "qemu\" \"web\" {\n floppy_files = [\"PATH\"]",
        "qemu\" \"web\" {\n cd_files = [\"s*/../../PATH\"]",
        "file\" \"web\" {\n source = \"PATH\"\n target = \"x\"",
        "docker\" \"web\" {\n discard = true\n build {\n path = \"PATH\"\n }",
    ];
    for builder in builders {
        let builder = builder.replace("PATH", &path.to_string());
        let text = format!(
            "source \"{builder}\n}}\nbuild {{\n  sources = [\"{}.web\"]\n}}\n",
            builder.split('"').next().unwrap()
        );
        let step = validate(&text).run().failed();
        let said = printed(&step);
        assert!(said.contains("outside of the workspace"), "{text}: {said}");
        assert!(!said.contains("a file of the machine"), "{said}");
    }
    let text = format!("{}\n", reading("1").trim_end().strip_suffix('}').unwrap());
    let text = format!("{text}post-processor \"artifice\" {{ files = [\"{path}\"] }}\n}}\n");
    let step = validate(&text).run().failed();
    assert!(printed(&step).contains("outside of the workspace"), "{}", printed(&step));
}

#[test]
fn no_process_has_a_secret_in_its_environment() {
    let text = "source \"null\" \"web\" { communicator = \"none\" }\nbuild {\n  sources = [\"null.web\"]\n  provisioner \"shell-local\" {\n    inline = [\n      \"P=$(cut -d' ' -f4 /proc/$PPID/stat)\",\n      \"cat /proc/$P/environ /proc/self/environ > seen.txt\",\n      \"wc -c < /proc/$P/fd/0 > left.txt\",\n    ]\n  }\n}\n";
    let runner = Runner::new("build")
        .with("github-token", TOKEN)
        .with("secrets", format!("password: {SECRET}"))
        .var("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "oidc-request-token")
        .var("MINE", "stays")
        .file("web.pkr.hcl", text.replace("build {", "variable \"password\" {\n}\nbuild {"));
    runner.run().succeeded();
    let seen = runner.program.read("seen.txt");
    assert!(seen.contains("IMGBAKE_SEALED=1") && seen.contains("MINE=stays"), "{seen}");
    for secret in [TOKEN, SECRET, "oidc-request-token", "INPUT_"] {
        assert!(!seen.contains(secret), "{secret}: {seen}");
    }
    assert_eq!(runner.program.read("left.txt").trim(), "0");
}

#[test]
fn what_stands_beside_a_secret_is_not_masked() {
    let text = r#"
variable "pw" {
  type      = string
  sensitive = true
}
source "null" "web" { communicator = "none" }
build {
  sources = ["null.web"]
  provisioner "shell-local" {
    environment_vars = ["REGION=us-east-1", "PW=${var.pw}"]
    inline           = ["echo --tags web of $REGION", "echo pw=$PW $(printf %s $PW | base64)"]
  }
}
"#;
    let runner = Runner::new("build").with("secrets", "pw: hunter22").file("web.pkr.hcl", text);
    let step = runner.run().succeeded();
    let masks: Vec<_> =
        step.log.raw.lines().filter(|line| line.starts_with("::add-mask")).collect();
    assert_eq!(masks, ["::add-mask::hunter22"]);
    let log = printed(&step);
    assert!(log.contains("--tags web of us-east-1"), "{log}");
    assert!(log.contains("pw=<sensitive> <sensitive>"), "{log}");
}

#[test]
fn a_secret_that_cannot_be_masked_is_said() {
    let runner = Runner::new("validate").with("secrets", "pw: vagrant").file(
        "web.pkr.hcl",
        "variable \"pw\" {\n}\nsource \"null\" \"x\" { communicator = \"none\" }\nbuild { sources = [\"null.x\"] }\n",
    );
    let step = runner.run().succeeded();
    let said = annotations(&step, "title");
    assert_eq!(
        said.matches("`pw` is not masked: it is a word that any output may have").count(),
        1,
        "{said}"
    );
}

#[test]
fn no_finding_repeats_the_content_of_a_file() {
    for value in [
        "tonumber(local.read)",
        "tonumber(\"x ${local.read}\")",
        "tonumber(base64encode(upper(local.read)))",
        "templatefile(\"bad.tpl\", {})",
    ] {
        let runner = Runner::new("validate")
            .file(
                "web.pkr.hcl",
                format!("{}locals {{\n  read = file(\"own.txt\")\n}}\n", reading(value)),
            )
            .file("own.txt", "first content line\nsecond content line\n")
            .file("bad.tpl", "${unknown_content_name}");
        let step = runner.run().failed();
        let (log, summary) = (printed(&step).to_lowercase(), step.summary.to_lowercase());
        for text in [&log, &summary] {
            assert!(
                !text.contains("content line") && !text.contains("content_name"),
                "{value}: {text}"
            );
            assert!(!text.contains("rklsu1q"), "{value}: {text}");
        }
    }
    let text =
        reading("1").replace("inline = [\"echo ${local.leak}\"]", "script = file(\"own.txt\")");
    let runner =
        Runner::new("validate").file("web.pkr.hcl", text).file("own.txt", "first content line");
    let step = runner.run().failed();
    assert!(printed(&step).contains("cannot read <content of a file>"), "{}", printed(&step));
}
