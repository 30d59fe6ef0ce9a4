//! The tutorial's projects, baked unchanged: moto is the cloud, a Debian root file system the
//! machine behind its instances.

use sha2::Digest as _;

use crate::support::{Cloud, Program, Run, fixture, kickstart_installer};

/// A project of the tutorial in a working directory, with a cloud to bake in.
struct Project {
    cloud: Cloud,
    program: Program,
}

impl Project {
    fn new(name: &str) -> Self {
        let cloud = Cloud::start();
        let program = Program::new().with(cloud.environment());
        program.copy(&fixture("tutorial").join(name));
        Self { cloud, program }
    }

    #[track_caller]
    fn bake<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Run {
        let run = self.program.run(["build", "-color=false"].into_iter().chain(args)).succeeded();
        assert!(run.stdout.contains("AMIs were created:"), "{}", run.stdout);
        run
    }

    fn in_machine(&self, script: &str) -> String {
        self.cloud.instance().sh(script, &[])
    }

    fn manifest(&self, name: &str) -> serde_json::Value {
        serde_json::from_str(&self.program.read(name)).expect("a manifest")
    }
}

#[test]
fn project_01_bakes_and_its_key_is_gone_from_the_image() {
    let project = Project::new("01-first");
    project.bake(["mended.json"]);
    assert_eq!(project.in_machine("cat /home/ec2-user/.ssh/authorized_keys"), "");
}

#[test]
fn project_02_installs_nginx_by_inline_commands() {
    let project = Project::new("02-nginx-inline");
    project.bake(["nginx.json"]);
    project.in_machine("nginx -t");
}

#[test]
fn project_03_installs_nginx_by_a_script() {
    let project = Project::new("03-nginx-script");
    project.bake(["nginx.json"]);
    project.in_machine(
        "nginx -t && test -e /etc/systemd/system/multi-user.target.wants/nginx.service",
    );
}

#[test]
fn project_04_serves_its_own_page() {
    let project = Project::new("04-custom-page");
    project.bake(["nginx.json"]);
    assert!(project.in_machine("cat /var/www/html/index.html").contains("Baked into the image"));
}

#[test]
fn project_05_appends_to_its_manifest_and_makes_a_box() {
    let project = Project::new("05-post-processors");
    project.bake(["nginx.json"]);
    project.bake(["-force", "nginx.json"]);
    let builds = project.manifest("out.json")["builds"].as_array().expect("builds").len();
    // `-force` starts a manifest of another run anew, as templates know it.
    assert_eq!(builds, 1);
    assert!(project.program.path("vagrant.tar.gz").exists());
}

#[test]
fn project_06_takes_its_subnet_from_a_variable() {
    let project = Project::new("06-variables-and-filter");
    let subnet = project.cloud.moto().default_subnet("us-east-1");
    project.bake(["-var", &format!("aws_subnet_id={subnet}"), "packer.json"]);
}

#[test]
fn project_07_runs_ansible_on_the_machine() {
    let project = Project::new("07-ansible-local");
    project.bake(["packer.json"]);
    assert_eq!(
        project.in_machine("cat /home/ubuntu/app/app.txt"),
        "hello from the app directory\n"
    );
    assert_eq!(project.in_machine("cat /var/www/html/index.html"), "baked by ansible\n");
}

#[test]
fn project_08_enables_its_service() {
    let project = Project::new("08-node-exporter");
    let tarball = "mkdir node_exporter-1 && echo '#!/bin/sh' > node_exporter-1/node_exporter \
                   && tar -czf files/node_exporter.tar.gz node_exporter-1";
    let made = std::process::Command::new("sh")
        .args(["-euc", tarball])
        .current_dir(project.program.dir())
        .status();
    assert!(made.expect("sh").success());
    project.bake(["packer.json"]);
    project.in_machine(
        "test -e /usr/local/bin/node_exporter \
         && test -e /etc/systemd/system/multi-user.target.wants/node_exporter.service",
    );
}

/// Boots the image of project 09 as a template of its own does, and says what is in it.
const SECOND: &str = r#"source "qemu" "second" {
  disk_image       = true
  iso_url          = "output_tutorial/tutorial.qcow2"
  iso_checksum     = "none"
  skip_resize_disk = true
  use_backing_file = true
  accelerator      = "tcg"
  memory           = 512
  headless         = true
  ssh_username     = "root"
  ssh_password     = "s0mething-else"
  ssh_timeout      = "10m"
  shutdown_command = "sync; poweroff -f"
}
build {
  sources = ["qemu.second"]
  provisioner "shell" {
    inline = ["cat /etc/motd /etc/baked"]
  }
}
"#;

#[test]
fn project_09_installs_from_an_iso_by_kickstart_and_the_image_boots() {
    let program = Program::new();
    program.copy(&fixture("tutorial/09-kickstart"));
    let installer = kickstart_installer();
    let content = std::fs::read(&installer).expect("a CD");
    let name = installer.file_name().expect("a name").to_string_lossy();
    let sum = hex::encode(sha2::Sha256::digest(content));
    program.write("SHA256SUMS", format!("{sum}  {name}\n"));
    let iso = format!("iso_url={}", installer.display());
    program.run(["build", "-color=false", "-var", &iso, "packer.json"]).succeeded();

    program.write("second.pkr.hcl", SECOND);
    let run = program.run(["build", "-color=false", "second.pkr.hcl"]).succeeded();
    for line in ["installed by kickstart", "baked by the tutorial on tutorial"] {
        assert!(run.stdout.contains(line), "{line}: {}", run.stdout);
    }
}

#[test]
fn project_10_bakes_from_hcl2() {
    let project = Project::new("10-hcl2");
    project.bake(["nginx.pkr.hcl"]);
    assert_eq!(project.in_machine("cat /var/www/html/index.html"), "hello\n");
    let manifest = project.manifest("manifest.json");
    let id = manifest["builds"][0]["artifact_id"].as_str().expect("an id");
    assert!(id.starts_with("us-east-1:ami-"), "{id}");
}

#[test]
fn project_11_bakes_two_at_once_with_an_override() {
    let project = Project::new("11-parallel");
    let run = project.bake(["packer.json"]);
    assert!(run.stdout.contains("baking east"), "{}", run.stdout);
    assert!(run.stdout.contains("west has its own"), "{}", run.stdout);
    let manifest = project.manifest("packer-manifest.json");
    assert_eq!(manifest["builds"].as_array().expect("builds").len(), 2);
}
