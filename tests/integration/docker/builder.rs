//! Containers: started, provisioned, kept.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::support::{BASE, Dockerd, Program, Run};

/// A directory from which `imgbake` finds the shared engine.
fn program() -> Program {
    Program::new().with(Dockerd::shared().environment())
}

/// A template with these options and this `build` block.
fn template(options: &str, build: &str) -> String {
    format!(
        "source \"docker\" \"c\" {{\n{options}\n}}\nbuild {{\n  sources = [\"docker.c\"]\n{build}\n}}\n"
    )
}

fn build(program: &Program, text: &str) -> Run {
    program.write("t.pkr.hcl", text);
    program.run(["build", "-color=false", "t.pkr.hcl"])
}

/// HashiCorp's tutorial, with another image.
const TUTORIAL: &str = r#"
packer {
  required_plugins {
    docker = {
      version = ">= 1.0.8"
      source  = "github.com/hashicorp/docker"
    }
  }
}

variable "docker_image" {
  type    = string
  default = "base:1"
}

source "docker" "ubuntu" {
  image  = var.docker_image
  commit = true
  pull   = false
}

build {
  name = "learn-packer"
  sources = [
    "source.docker.ubuntu"
  ]
  provisioner "shell" {
    environment_vars = [
      "FOO=hello world",
    ]
    inline = [
      "echo Adding file to Docker Container",
      "echo \"FOO is $FOO\" > example.txt",
    ]
  }
  provisioner "shell" {
    inline = ["echo Running ${var.docker_image} Docker image."]
  }
  post-processor "docker-tag" {
    repository = "learn-packer"
    tags       = ["ubuntu-jammy", "packer-rocks"]
    only       = ["docker.ubuntu"]
  }
}
"#;

#[test]
fn the_tutorials_container_becomes_an_image_with_two_names() {
    let engine = Dockerd::shared();
    let run = build(&program(), TUTORIAL).succeeded();
    for said in [
        "Starting docker container...",
        "Adding file to Docker Container",
        "Running base:1 Docker image.",
        "Committing the container",
        "Imported Docker image: learn-packer:packer-rocks with tags learn-packer:ubuntu-jammy learn-packer:packer-rocks",
    ] {
        assert!(run.stdout.contains(said), "{said}: {}", run.stdout);
    }
    assert_eq!(
        engine.run_in("learn-packer:packer-rocks", "cat /example.txt"),
        "FOO is hello world\n"
    );
    let image = engine.get("/images/learn-packer:ubuntu-jammy/json");
    assert!(image["Config"]["Labels"].as_object().is_none_or(serde_json::Map::is_empty));
    assert!(!engine.image_names().iter().any(|name| name.contains("imgbake")));
}

#[test]
fn files_and_directories_go_both_ways_as_their_modes_and_owners_say() {
    let program = program();
    program.write("tree/sub/deep/a.txt", "a");
    program.write("tree/run.sh", "#!/bin/sh\necho ran\n");
    std::fs::set_permissions(program.path("tree/run.sh"), PermissionsExt::from_mode(0o755))
        .unwrap();
    std::fs::create_dir_all(program.path("tree/empty")).unwrap();
    program.write("tree/tmp/inside", "x");
    let build_block = r#"
  provisioner "file" {
    source      = "tree"
    destination = "/srv/new"
  }
  provisioner "file" {
    source      = "tree/"
    destination = "/"
  }
  provisioner "file" {
    content     = "text"
    destination = "/etc/text"
  }
  provisioner "shell" {
    inline = [
      "/srv/new/run.sh | grep ran; cat /srv/new/sub/deep/a.txt; test -d /srv/new/empty",
      "stat -c 'mode %a of %U' /srv/new/run.sh /tmp /etc/text; id -un",
      "mkdir -p /out/d; echo one >/out/one; echo two >/out/d/two; ln -s one /out/link"
    ]
  }
  provisioner "file" {
    direction   = "download"
    source      = "/out/"
    destination = "got/"
  }
  provisioner "file" {
    direction   = "download"
    source      = "/out/link"
    destination = "linked"
  }
  provisioner "file" {
    direction   = "download"
    source      = "/out/o*"
    destination = "some/"
  }"#;
    let options = "image = \"base:1\"\npull = false\ndiscard = true";
    let run = build(&program, &template(options, build_block)).succeeded();
    for said in ["ran", "mode 755 of root", "mode 1777 of root", "mode 600 of root"] {
        assert!(run.stdout.contains(said), "{said}: {}", run.stdout);
    }
    assert_eq!(program.read("got/one"), "one\n");
    assert_eq!(program.read("got/d/two"), "two\n");
    assert_eq!(program.read("linked"), "one\n");
    assert_eq!(program.read("some/one"), "one\n");
}

#[test]
fn what_is_uploaded_belongs_to_the_containers_own_user() {
    let program = program();
    program.write("tree/a", "a");
    let files = r#"
  provisioner "file" {
    source      = "tree"
    destination = "/home/app/tree"
  }
  provisioner "shell" {
    inline = ["stat -c '%n of %U' /home/app/tree /home/app/tree/a; echo ran as $(id -un)"]
  }"#;
    let options = |more: &str| {
        format!(
            "image = \"base:1\"\npull = false\ndiscard = true\n\
             run_command = [\"-dit\", \"-u\", \"app\", \"--entrypoint=/bin/sh\", \"{{{{.Image}}}}\"]\n{more}"
        )
    };
    let run = build(&program, &template(&options(""), files)).succeeded();
    assert!(run.stdout.contains("/home/app/tree/a of app"), "{}", run.stdout);
    assert!(run.stdout.contains("ran as app"), "{}", run.stdout);
    let more = "fix_upload_owner = false\nexec_user = \"root\"";
    let run = build(&program, &template(&options(more), files)).succeeded();
    assert!(run.stdout.contains("/home/app/tree/a of root"), "{}", run.stdout);
    assert!(run.stdout.contains("ran as root"), "{}", run.stdout);
}

#[test]
fn the_committed_image_starts_what_its_source_did_and_what_changes_say() {
    let engine = Dockerd::shared();
    let options = r#"
  image   = "base:1"
  pull    = false
  commit  = true
  author  = "me"
  message = "baked"
  changes = ["CMD [\"sleep\", \"1\"]", "ENV A=1 B=2", "LABEL x=y"]"#;
    let tag = r#"
  post-processor "docker-tag" {
    repository = "changed"
  }"#;
    build(&program(), &template(options, tag)).succeeded();
    let image = engine.get("/images/changed/json");
    let config = &image["Config"];
    assert_eq!(config["Cmd"], serde_json::json!(["sleep", "1"]), "{config}");
    assert!(config["Entrypoint"].as_array().is_none_or(|words| words[0] == ""), "{config}");
    assert!(config["Env"].to_string().contains("A=1"), "{config}");
    assert_eq!(config["Labels"], serde_json::json!({"x": "y"}));
    assert_eq!((&image["Author"], &image["Comment"]), (&"me".into(), &"baked".into()));
}

#[test]
fn an_exported_container_becomes_a_file_that_others_go_on_with() {
    let engine = Dockerd::shared();
    let options = "image = \"base:1\"\npull = false\nexport_path = \"out/image.tar\"";
    let chain = r#"
  provisioner "shell" {
    inline = ["echo exported >/mark"]
  }
  post-processor "checksum" {
    checksum_types = ["sha256"]
    output         = "out/sum"
  }
  post-processors {
    post-processor "docker-import" {
      repository          = "imported"
      tag                 = "1"
      changes             = ["ENV C=3"]
      keep_input_artifact = true
    }
    post-processor "docker-tag" {
      repository = "imported"
      tags       = ["2"]
    }
    post-processor "docker-save" {
      path = "out/saved.tar"
    }
    post-processor "manifest" {}
  }"#;
    let program = program();
    let run = build(&program, &template(options, chain)).succeeded();
    assert!(run.stdout.contains("Exported Docker file: out/image.tar"), "{}", run.stdout);
    assert_eq!(engine.run_in("imported:2", "cat /mark"), "exported\n");
    let names = engine.image_names();
    assert!(names.contains(&"imported:1".to_owned()), "{names:?}");
    assert!(program.read("out/sum").contains("image.tar"));
    let manifest = program.read("packer-manifest.json");
    assert!(manifest.contains("\"artifact_id\": \"imported:2\""), "{manifest}");
    let saved = program.path("out/saved.tar");
    let listed = Command::new("tar").arg("-tf").arg(saved).output().unwrap();
    assert!(String::from_utf8_lossy(&listed.stdout).contains("manifest.json"));
}

#[test]
fn an_image_is_built_from_a_dockerfile_first() {
    let engine = Dockerd::shared();
    let program = program().with([("DOCKER_BUILDKIT", "0")]);
    program.write("ctx/Dockerfile", "FROM base:1\nARG WORD\nCOPY a /a\nRUN echo $WORD >/word\n");
    program.write("ctx/a", "copied");
    program.write("ctx/secret", "no");
    program.write("ctx/.dockerignore", "secret\n");
    let options = |keep: &str| {
        format!(
            "{keep}\nbuild {{\n  path = \"ctx/Dockerfile\"\n  build_dir = \"ctx\"\n  pull = false\n  \
             arguments = {{ WORD = \"given\" }}\n}}"
        )
    };
    let look = r#"
  provisioner "shell" {
    inline = ["cat /a /word; echo from ${build.SourceImageSha256}"]
  }"#;
    let tag =
        format!("{look}\n  post-processor \"docker-tag\" {{\n    repository = \"built\"\n  }}");
    let run = build(&program, &template(&options("commit = true"), &tag)).succeeded();
    assert!(run.stdout.contains("copied") && run.stdout.contains("given"), "{}", run.stdout);
    assert!(run.stdout.contains("from sha256:"), "{}", run.stdout);
    assert_eq!(engine.run_in("built", "cat /word"), "given\n");
    assert!(!engine.image_names().iter().any(|name| name.contains("imgbake")));
    program.write("ctx/Dockerfile", "FROM base:1\nRUN exit 7\n");
    let run = build(&program, &template(&options("discard = true"), look)).failed_with(1);
    let said = run.stdout + &run.stderr;
    assert!(said.contains("returned a non-zero code: 7"), "{said}");
}

#[test]
fn buildkit_builds_the_image_where_it_is_wanted() {
    let engine = Dockerd::start();
    let environment = engine.environment().into_iter();
    let environment = environment.chain([("DOCKER_BUILDKIT", "1".to_owned())]);
    let program = Program::new().with(environment);
    let before = engine.images();
    // Only BuildKit leaves out stages that nobody needs, and gives files a mode.
    program.write(
        "ctx/Dockerfile",
        "FROM base:1 AS unused\nRUN exit 7\nFROM base:1\nARG WORD\nLABEL word=$WORD\n\
         COPY --chmod=0751 a /a\n",
    );
    program.write("ctx/a", "copied");
    let options = "discard = true\nbuild {\n  path = \"ctx/Dockerfile\"\n  build_dir = \"ctx\"\n  \
                   pull = false\n  arguments = { WORD = \"given\" }\n}";
    let look = "  provisioner \"shell\" {\n    inline = [\"cat /a; stat -c %a /a\"]\n  }";
    let run = build(&program, &template(options, look)).succeeded();
    for says in ["[stage-1 2/2] COPY --chmod=0751 a /a", "copied", "751"] {
        assert!(run.stdout.contains(says), "{says}: {}", run.stdout);
    }
    assert!(engine.has_no_containers());
    assert_eq!(engine.images(), before, "the image goes with the build");
    program.write("ctx/Dockerfile", "FROM base:1\nCOPY missing /x\n");
    let run = build(&program, &template(options, look)).failed_with(1);
    let said = run.stdout + &run.stderr;
    assert!(said.contains("cannot build ctx/Dockerfile") && said.contains("/missing"), "{said}");
}

#[test]
fn a_failed_build_leaves_nothing_in_the_engine() {
    let engine = Dockerd::start();
    let before = (engine.images(), engine.volumes());
    let program = Program::new().with(engine.environment());
    let fails = "  provisioner \"shell\" {\n    inline = [\"exit 3\"]\n  }";
    let options = "image = \"base:1\"\npull = false\ncommit = true";
    build(&program, &template(options, fails)).failed_with(1);
    assert!(engine.has_no_containers());
    assert_eq!((engine.images(), engine.volumes()), before);
    let bad = "image = \"base:1\"\npull = false\ndiscard = true\n\
               run_command = [\"-d\", \"--entrypoint=/nothing\", \"{{.Image}}\"]";
    let run = build(&program, &template(bad, "")).failed_with(1);
    assert!((run.stdout + &run.stderr).contains("/nothing"));
    assert!(engine.has_no_containers());
}

#[test]
fn an_engine_that_is_not_there_is_explained() {
    let program = Program::new().with([("DOCKER_HOST", "unix:///nowhere.sock")]);
    let options = format!("image = \"{BASE}\"\ndiscard = true");
    let run = build(&program, &template(&options, "")).failed_with(1);
    let said = run.stdout + &run.stderr;
    assert!(said.contains("no container engine answers at unix:///nowhere.sock"), "{said}");
}
