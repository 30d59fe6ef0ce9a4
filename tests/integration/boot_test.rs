//! Images are tested before anybody else sees them: in containers, and in machines that boot.

use crate::support::{Program, Run, debian_disk, debian_source, processes_with};

fn build(program: &Program) -> Run {
    program.run(["build", "-color=false", "t.pkr.hcl"])
}

#[cfg(feature = "docker")]
mod containers {
    use super::*;
    use crate::support::Dockerd;

    fn template(check: &str) -> String {
        format!(
            r#"source "docker" "web" {{
  image  = "base:1"
  pull   = false
  commit = true
}}
build {{
  sources = ["docker.web"]
  provisioner "shell" {{
    inline = ["echo baked >/baked"]
  }}
  post-processor "boot-test" {{
{check}
  }}
  post-processor "docker-tag" {{
    repository = "tested"
    tags       = ["1"]
  }}
}}
"#
        )
    }

    #[test]
    fn a_good_image_is_tested_and_goes_on() {
        let engine = Dockerd::start();
        let program = Program::new().with(engine.environment());
        program
            .write("t.pkr.hcl", template("    inline = [\"grep baked /baked && echo it holds\"]"));
        let run = build(&program).succeeded();
        assert!(
            run.stdout.contains("it holds") && run.stdout.contains("has passed"),
            "{}",
            run.stdout
        );
        assert!(
            engine.image_names().contains(&"tested:1".to_owned()),
            "{:?}",
            engine.image_names()
        );
        assert!(engine.has_no_containers());
    }

    #[test]
    fn a_bad_image_gets_no_name_and_is_removed_unless_it_is_to_stay() {
        let engine = Dockerd::start();
        let before = engine.images();
        let program = Program::new().with(engine.environment());
        let bad = "    inline = [\"test -e /missing\"]\n    http = [\"http://127.0.0.1:1/\"]\n    patience = \"1s\"";
        program.write("t.pkr.hcl", template(bad));
        let run = build(&program).failed_with(1);
        let said = "the image did not pass boot-test: 2 of 2 checks failed: http://127.0.0.1:1/: not within 1s";
        assert!(run.stdout.contains(said), "{}", run.stdout);
        assert!(run.stdout.contains("t.pkr.hcl:11:18"), "{}", run.stdout);
        assert_eq!(engine.images(), before);
        assert!(engine.has_no_containers());
        program.write("t.pkr.hcl", template(&format!("{bad}\n    keep_failed = true")));
        let run = build(&program).failed_with(1);
        assert!(run.stdout.contains("stays, as `keep_failed` asks"), "{}", run.stdout);
        assert_eq!(engine.images().len(), before.len() + 1);
        assert!(!engine.image_names().contains(&"tested:1".to_owned()));
    }

    #[test]
    fn an_image_that_is_there_is_tested_by_itself() {
        let engine = Dockerd::shared();
        let program = Program::new().with(engine.environment());
        program.write("t.pkr.hcl", template("    inline = [\"test -d /home/app\"]"));
        let run = program.run(["test", "-image", "base:1", "t.pkr.hcl"]).succeeded();
        assert!(run.stdout.contains("base:1 has passed"), "{}", run.stdout);
        program.write("t.pkr.hcl", template("    inline = [\"test -d /none\"]"));
        program.run(["test", "-image", "base:1", "t.pkr.hcl"]).failed_with(1);
    }

    #[test]
    fn the_comment_says_which_check_failed() {
        use crate::action::{GitHub, Runner, TOKEN};
        let github = GitHub::start();
        let head = serde_json::json!({"repo": {"full_name": "org/images"}});
        let event = serde_json::json!({"number": 3, "pull_request": {"number": 3, "head": head}});
        let step = Runner::new("build")
            .vars(Dockerd::shared().environment())
            .var("GITHUB_API_URL", github.url())
            .event("pull_request", &event)
            .with("github-token", TOKEN)
            .file("t.pkr.hcl", template("    inline = [\"test -e /missing\"]"))
            .run()
            .failed();
        let comment = github.thread().comments[0].2.clone();
        println!("{comment}");
        for text in [&step.summary, &comment] {
            assert!(text.contains("failed in test&#58; boot-test"), "{text}");
            assert!(text.contains("did not pass boot-test"), "{text}");
        }
    }
}

#[test]
fn what_cannot_be_tested_is_refused_before_anything_starts() {
    let program = Program::new();
    program.write(
        "t.pkr.hcl",
        r#"source "file" "f" {
  content = "x"
  target  = "out"
}
build {
  sources = ["file.f"]
  post-processor "boot-test" {}
}
"#,
    );
    let run = program.run(["validate", "t.pkr.hcl"]).failed_with(1);
    assert!((run.stdout + &run.stderr).contains("`boot-test` cannot test what this `file` makes"));
    program.write(
        "t.pkr.hcl",
        r#"source "qemu" "q" {
  iso_url      = "x.img"
  iso_checksum = "none"
  ssh_username = "u"
  ssh_password = "p"
}
build {
  sources = ["qemu.q"]
  post-processors {
    post-processor "checksum" {}
    post-processor "boot-test" {
      goss_program = "t.pkr.hcl"
      http         = ["localhost"]
    }
  }
}
"#,
    );
    let run = program.run(["validate", "t.pkr.hcl"]).failed_with(1);
    let said = run.stdout + &run.stderr;
    for wrong in ["`goss_file`", "`localhost` is no URL of HTTP"] {
        assert!(said.contains(wrong), "{wrong}: {said}");
    }
    let text = program.read("t.pkr.hcl");
    let text = text.replace("goss_program = \"t.pkr.hcl\"", "").replace("[\"localhost\"]", "[]");
    program.write("t.pkr.hcl", text);
    let run = program.run(["validate", "t.pkr.hcl"]).failed_with(1);
    assert!(
        (run.stdout + &run.stderr).contains("`boot-test` is not the first of its post-processors")
    );
}

/// A Debian that is started twice: cloud-init lets each build's key in.
fn debian(check: &str) -> String {
    let source = debian_source(&debian_disk(), "out", "");
    format!(
        r#"{source}build {{
  sources = ["qemu.debian"]
  provisioner "shell" {{
    inline = ["echo baked | sudo tee /etc/baked", "sudo cloud-init clean"]
  }}
  post-processor "boot-test" {{
{check}
  }}
}}
"#
    )
}

/// Nothing of the test runs or lies around.
#[track_caller]
fn assert_nothing_of_the_test(program: &Program) {
    let scratch = program.path(".local/state/imgbake/tmp");
    let left: Vec<_> = std::fs::read_dir(&scratch).into_iter().flatten().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
    let mine = processes_with(&program.dir().display().to_string());
    assert!(mine.iter().all(|line| !line.contains("qemu-system")), "{mine:?}");
}

#[test]
fn a_debian_that_boots_passes_and_stays_as_it_was_made() {
    let program = Program::new();
    program.write(
        "t.pkr.hcl",
        debian("    inline = [\"grep baked /etc/baked\", \"sudo touch /written\"]\n    listening = [22]"),
    );
    let run = build(&program).succeeded();
    assert!(run.stdout.contains("The image has passed"), "{}", run.stdout);
    assert_nothing_of_the_test(&program);
    let disk = program.path("out/disk.qcow2");
    let before = std::fs::read(&disk).unwrap();
    program
        .write("t.pkr.hcl", debian("    inline = [\"test -e /written\"]\n    keep_failed = true"));
    // What the first test has written is not in the image.
    let run = program.run(["test", "-image", "out/disk.qcow2", "t.pkr.hcl"]).failed_with(1);
    assert!(run.stdout.contains("did not pass boot-test"), "{}", run.stdout);
    assert!(
        run.stdout.contains("The last lines of the machine's serial console:"),
        "{}",
        run.stdout
    );
    let pictures = std::fs::read_dir(program.path("out.test.screens")).unwrap().count();
    assert!(pictures > 0, "there is a picture of the failure");
    assert!(std::fs::read(&disk).unwrap() == before, "the image is as it was");
    assert_nothing_of_the_test(&program);
}

/// A Debian whose only disk is that of `qemuargs`, and which asks this host for its key.
fn debian_of_rows(check: &str) -> String {
    let source = debian_source(
        &debian_disk(),
        "out",
        r#"  qemuargs = [
    ["-drive", "file=out/disk.qcow2,if=virtio,format=qcow2"],
    ["-smbios", "type=1,serial=ds=nocloud-net;s=http://10.0.2.2:{{ .HTTPPort }}/"],
  ]"#,
    );
    let source =
        source.replace("  cd_label     = \"cidata\"\n", "").replace("cd_content", "http_content");
    let source = source
        .replace("\"meta-data\"", "\"/meta-data\"")
        .replace("\"user-data\"", "\"/user-data\"");
    format!(
        "{source}build {{\n  sources = [\"qemu.debian\"]\n  post-processor \"boot-test\" {{\n{check}\n  }}\n}}\n"
    )
}

#[test]
fn a_disk_that_rows_attach_is_tested_and_stays_as_it_was_made() {
    let program = Program::new();
    program.write("t.pkr.hcl", debian_of_rows("    inline = [\"sudo touch /written\", \"sync\"]"));
    let disk = program.path("out/disk.qcow2");
    std::fs::create_dir(program.path("out")).unwrap();
    std::fs::copy(debian_disk(), &disk).unwrap();
    let before = std::fs::read(&disk).unwrap();
    let run = program.run(["test", "-image", "out/disk.qcow2", "t.pkr.hcl"]).succeeded();
    assert!(run.stdout.contains("The image has passed"), "{}", run.stdout);
    assert!(std::fs::read(&disk).unwrap() == before, "the image is as it was");
    assert_nothing_of_the_test(&program);
}

#[test]
fn a_debian_that_fails_its_test_is_taken_back() {
    let program = Program::new();
    program.write("t.pkr.hcl", debian("    listening = [22, 8080]\n    patience = \"2s\""));
    let run = build(&program).failed_with(1);
    let said = "the image did not pass boot-test: 1 of 2 checks failed: port 8080: not within 2s: nobody listens there";
    assert!(run.stdout.contains(said), "{}", run.stdout);
    assert!(!program.path("out").exists());
    assert_nothing_of_the_test(&program);
}
