//! What `validate` and `inspect` say about whole templates: the tutorial's, and those that
//! Packer was asked about (`tests/fixtures/oracle`).

mod oracle;

use crate::support::{Program, fixture};

/// A program in a copy of one tutorial project.
fn tutorial(project: &str) -> Program {
    let program = Program::new();
    program.copy(&fixture(&format!("tutorial/{project}")));
    program
}

#[test]
#[cfg_attr(not(feature = "aws"), ignore = "it is about components of Amazon")]
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
        for place in ["first.json:10:29", "first.json:11:28"] {
            assert!(run.stderr.contains(place), "{}", run.stderr);
        }
        assert_eq!(run.stderr.matches("`:` expected").count(), 2, "{}", run.stderr);
    }
}

#[test]
fn an_installer_iso_with_a_boot_command_is_valid() {
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
    program.run(["validate", "kickstart.pkr.hcl"]).succeeded();
}
