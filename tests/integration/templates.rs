//! What `validate` and `inspect` say about whole templates: the tutorial's, and those that the
//! usual tool was asked about (`tests/fixtures/oracle`).

mod oracle;

use std::path::{Path, PathBuf};

use crate::support::Program;

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(path)
}

/// A program in a copy of one tutorial project.
fn tutorial(project: &str) -> Program {
    let program = Program::new();
    program.copy(&fixture(&format!("tutorial/{project}")));
    program
}

#[test]
fn every_tutorial_project_validates() {
    for (project, template) in [
        ("01-first", "mended.json"),
        ("02-nginx-inline", "nginx.json"),
        ("03-nginx-script", "nginx.json"),
        ("04-custom-page", "nginx.json"),
        ("05-post-processors", "nginx.json"),
        ("06-variables-and-filter", "packer.json"),
        ("07-ansible-local", "packer.json"),
        ("08-node-exporter", "packer.json"),
        ("10-hcl2", "."),
        ("10-hcl2", "nginx.pkr.hcl"),
        ("11-parallel", "packer.json"),
    ] {
        let run = tutorial(project).run(["validate", template]);
        let said = format!("{project}/{template}: {}{}", run.stdout, run.stderr);
        assert_eq!(run.code, Some(0), "{said}");
        assert!(run.stdout.ends_with("The configuration is valid.\n"), "{said}");
    }
}

#[test]
fn the_tutorials_missing_colons_are_both_shown() {
    for command in ["validate", "build"] {
        let run = tutorial("01-first").run([command, "first.json"]).failed_with(1);
        let line = |number: usize| format!("first.json:{number}:");
        assert!(run.stdout.contains(&line(10)), "{}", run.stdout);
        assert!(run.stdout.contains('`'), "{}", run.stdout);
    }
}

#[test]
fn an_installer_iso_is_refused_by_name() {
    let program = Program::new();
    program.write(
        "kickstart.pkr.hcl",
        r#"
source "qemu" "debian" {
  iso_url          = "https://images.example.org/netinst.iso"
  iso_checksum     = "none"
  ssh_username     = "root"
  ssh_password     = "root"
  headless         = true
  boot_command     = ["<esc><wait>auto<enter>"]
  shutdown_command = "poweroff"
}
build {
  sources = ["source.qemu.debian"]
}
"#,
    );
    let run = program.run(["validate", "kickstart.pkr.hcl"]).failed_with(1);
    assert!(run.stdout.contains("boot_command"), "{}", run.stdout);
    assert!(run.stdout.contains("not built yet"), "{}", run.stdout);
}
