//! `-skip-unchanged` for `docker`: an image says in labels what it was made from.

use std::process::Command;

use crate::support::changes::{Changes, SAME, entry, explained};
use crate::support::{Dockerd, Program};

/// `{options}` and `{more}` are for tests to change.
const TEMPLATE: &str = r#"
source "docker" "c" {
  image  = "base:1"
  pull   = false
  commit = true
  {options}
}
build {
  sources = ["docker.c"]
  {more}
  post-processors {
    post-processor "manifest" {}
    post-processor "docker-tag" {
      repository = "web"
      tags       = ["1"]
    }
  }
}
"#;

const FILES: &str = r#"
    provisioner "shell" { inline = ["echo ${var.greeting} >/mark"] }
    provisioner "shell" { script = "setup.sh" }
    provisioner "file" {
      source      = "site/"
      destination = "/tmp/site"
    }
"#;

fn program(engine: &Dockerd) -> Program {
    let program = Program::new().with(engine.environment());
    program.write("setup.sh", "true\n");
    program.write("site/index.html", "hello");
    program
}

fn changes<'a>(program: &'a Program, template: &'a str) -> Changes<'a> {
    Changes { program, template, option: ("author", "\"me\""), tests: template.contains("commit") }
}

#[test]
fn an_image_that_is_unchanged_is_not_baked_again() {
    let engine = Dockerd::start();
    let program = program(&engine);
    let changes = changes(&program, TEMPLATE);
    changes.write("", FILES);
    let first = changes.build(&["-skip-unchanged"], "").succeeded();
    assert!(first.stdout.contains("Baked: no finished image of this build was found"));
    let (made, images) = (entry(&program), engine.images());
    assert!(made["artifact_id"].as_str().is_some_and(|id| id.starts_with("sha256:")), "{made}");
    assert!(made["made_from"]["number"].as_str().is_some_and(|number| number.len() == 64));
    let second = changes.build(&["-skip-unchanged"], "").succeeded();
    assert!(second.stdout.contains("Not baked: web:1 was made from the same"), "{second:#?}");
    assert_eq!(entry(&program), made, "the manifest says the same image");
    assert_eq!(engine.images(), images);
    let again = changes.build(&["-skip-unchanged", "-force"], "").succeeded();
    assert!(!again.stdout.contains(SAME), "{again:#?}");
    assert_ne!(entry(&program)["artifact_id"], made["artifact_id"]);
    let young = changes.build(&["-skip-unchanged", "-max-age=7d"], "").succeeded();
    assert!(young.stdout.contains(SAME), "{young:#?}");
}

#[test]
fn each_change_is_named_as_what_it_is() {
    let engine = Dockerd::start();
    let program = program(&engine);
    let changes = changes(&program, TEMPLATE);
    changes.each_is_named(FILES);
    let is = |what: &str| assert_eq!(changes.explain(&[], "red"), what);
    assert!(changes.explain(&["-var", "greeting=bye"], "red").contains("provisioner 1 (shell)"));
    program.write("setup.sh", "false\n");
    is("setup.sh");
    program.write("setup.sh", "true\n");
    program.write("site/new.html", "");
    is("site/");
    std::fs::remove_file(program.path("site/new.html")).unwrap();
    assert!(changes.explain(&[], "red").ends_with(SAME));
    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("x"), "").unwrap();
    engine.import(other.path(), "base:1");
    is("the source image");
    assert!(engine.has_no_containers());
}

#[test]
fn an_image_that_somebody_makes_from_ours_is_not_taken_for_it() {
    let engine = Dockerd::start();
    let program = program(&engine);
    let changes = changes(&program, TEMPLATE);
    changes.write("", FILES);
    changes.build(&["-skip-unchanged"], "").succeeded();
    let made = entry(&program);
    program.write("Dockerfile", "FROM web:1\nLABEL theirs=1\n");
    let built = Command::new("docker")
        .args(["build", "-q", "-t", "theirs:1", "."])
        .current_dir(program.dir())
        .envs(engine.environment())
        .env("DOCKER_BUILDKIT", "0")
        .output()
        .unwrap();
    assert!(built.status.success(), "{built:?}");
    let theirs = engine.get("/images/theirs:1/json");
    assert_eq!(theirs["Config"]["Labels"]["imgbake.image"], "docker.c", "it inherits the labels");
    let again = changes.build(&["-skip-unchanged"], "").succeeded();
    assert!(again.stdout.contains("Not baked: web:1 "), "{again:#?}");
    assert_eq!(entry(&program), made);
    engine.call("DELETE", "/images/web:1?force=true");
    assert_eq!(changes.explain(&[], ""), "no finished image of this build was found");
}

#[test]
fn history_tells_which_images_the_engine_still_has() {
    let engine = Dockerd::start();
    let program = program(&engine);
    let changes = changes(&program, TEMPLATE);
    changes.write("", FILES);
    let bake = || {
        changes.build(&["-skip-unchanged"], "").succeeded();
        entry(&program)["artifact_id"].as_str().unwrap().to_owned()
    };
    let old = bake();
    program.write("setup.sh", "true # again\n");
    // The engine tells when in seconds.
    crate::support::pause(1100);
    let new = bake();
    let told = || {
        let run = program.run(["history", "-format=json", "t.pkr.hcl"]).succeeded();
        let rows: Vec<serde_json::Value> = serde_json::from_str(&run.stdout).unwrap();
        let told = |row: &serde_json::Value| {
            let size = row["size_bytes"].as_u64().is_some_and(|size| size > 0);
            (row["image"].clone(), row["is_there"].clone(), row["changes"].clone(), size)
        };
        rows.iter().map(told).collect::<Vec<_>>()
    };
    let row = |id: &str, changes: serde_json::Value| (id.into(), true.into(), changes, true);
    let expected = [row(&new, "setup.sh".into()), row(&old, serde_json::Value::Null)];
    assert_eq!(told(), expected);
    // Labels tell the same without a manifest.
    std::fs::remove_file(program.path("packer-manifest.json")).unwrap();
    assert_eq!(told(), expected);
    engine.call("DELETE", "/images/web:1?force=true");
    assert_eq!(told().len(), 1, "what is gone is not told by its labels");
}

#[test]
fn an_image_without_the_flag_has_no_labels_of_ours() {
    let engine = Dockerd::shared();
    let program = program(engine);
    let template = TEMPLATE.replace("\"web\"", "\"unlabelled\"");
    let changes = changes(&program, &template);
    changes.write("", FILES);
    changes.build(&[], "").succeeded();
    let image = engine.get("/images/unlabelled:1/json");
    assert!(image["Config"]["Labels"].as_object().is_none_or(serde_json::Map::is_empty));
    assert_eq!(entry(&program).get("made_from"), None);
}

#[test]
fn an_exported_container_has_its_record_beside_it() {
    let engine = Dockerd::shared();
    let program = program(engine);
    let template = TEMPLATE.replace("commit = true", "export_path = \"out/image.tar\"");
    let (template, _) = template.split_once("post-processors").unwrap();
    let template = format!("{template}\n  post-processor \"manifest\" {{}}\n}}\n");
    let changes = changes(&program, &template);
    changes.write("", FILES);
    changes.build(&["-skip-unchanged"], "").succeeded();
    let made = entry(&program);
    let again = changes.build(&["-skip-unchanged"], "").succeeded();
    assert!(again.stdout.contains("Not baked: out/image.tar was made from the same"), "{again:#?}");
    assert_eq!(entry(&program), made);
    program.write("out/image.tar", "another");
    assert_eq!(changes.explain(&[], ""), "out/image.tar is not as it was made");
}

#[test]
fn what_cannot_be_compared_is_baked_each_time_and_named() {
    let program = program(Dockerd::shared());
    for (options, said) in [
        ("", "`discard = true` leaves nothing to compare"),
        ("volumes = { \"/srv\" = \"/srv\" }", "directories of this host (`volumes`)"),
    ] {
        let kept = if options.is_empty() { "discard = true" } else { "commit = true" };
        let template = TEMPLATE.replace("commit = true", kept);
        let (template, _) = template.split_once("post-processors").unwrap();
        let template = format!("{template}}}\n");
        let changes = changes(&program, &template);
        changes.write(options, FILES);
        let run = changes.build(&["-explain-changes"], "").succeeded();
        let text = format!("{}{}", run.stdout, run.stderr);
        assert!(text.contains("it cannot be known whether anything has changed"), "{run:#?}");
        assert!(text.contains(said), "{run:#?}");
    }
}

#[test]
fn an_image_is_unchanged_while_its_dockerfile_makes_the_same() {
    let engine = Dockerd::start();
    let program = program(&engine);
    program.write("ctx/Dockerfile", "FROM base:1\nCOPY a /a\nRUN echo built >/built\n");
    program.write("ctx/a", "copied");
    let block = "build {\n path = \"ctx/Dockerfile\"\n build_dir = \"ctx\"\n pull = false\n }";
    let template = TEMPLATE.replace("image  = \"base:1\"\n  pull   = false", block);
    let changes = changes(&program, &template);
    changes.write("", FILES);
    changes.build(&["-skip-unchanged"], "").succeeded();
    let again = changes.build(&["-skip-unchanged"], "").succeeded();
    assert!(explained(&again).ends_with(SAME), "{again:#?}");
    program.write("ctx/a", "another");
    assert_eq!(changes.explain(&[], ""), "the source image");
    program.write("ctx/Dockerfile", "FROM base:1\nCOPY a /b\n");
    assert_eq!(changes.explain(&[], ""), "ctx/Dockerfile and the source image");
}
