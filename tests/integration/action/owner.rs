//! What is made in the workspace belongs to whom the workspace belongs, whatever made it. (These tests
//! run as root, as the container does.)

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};

use super::runner::Runner;

/// Somebody who is not root.
const OWNER: u32 = 1001;

const TEMPLATE: &str = r#"
source "file" "n" {
  content = "hi"
  target  = "out/a.txt"
}
build {
  sources = ["file.n"]
  post-processor "manifest" { output = "m.json" }
  post-processor "checksum" {
    output              = "sums/{{.ChecksumType}}.txt"
    keep_input_artifact = true
  }
  post-processor "shell-local" { inline = ["mkdir -p deep/er; echo x > deep/er/x; echo x > script.txt; chmod 600 script.txt; ln -s /etc/hostname link"] }
  post-processor "shell-local" { inline = ["exit ${var.code}"] }
}
variable "code" { default = "0" }
"#;

fn runner(command: &str) -> Runner {
    let runner = Runner::new(command).file("web.pkr.hcl", TEMPLATE).file("of-another-step", "x");
    let dir = runner.program.dir().to_owned();
    for path in [dir, runner.program.path("web.pkr.hcl")] {
        chown(path, Some(OWNER), Some(OWNER)).unwrap();
    }
    // What others have made as root is not ours to give.
    let old = filetime_before(&runner);
    assert_eq!(fs::symlink_metadata(old).unwrap().uid(), 0);
    runner
}

/// A file that was changed some time before the step.
fn filetime_before(runner: &Runner) -> std::path::PathBuf {
    crate::support::pause(1200);
    runner.program.path("of-another-step")
}

#[test]
fn all_that_a_build_makes_is_given_to_the_owner_also_when_it_fails() {
    for code in ["0", "1"] {
        let runner = runner("build").with("variables", format!("code: {code}"));
        let before = fs::metadata("/etc/hostname").unwrap().uid();
        let step = runner.run();
        assert_eq!(step.code, Some(code.parse().unwrap()), "{step:#?}");
        let owner = |name: &str| fs::symlink_metadata(runner.program.path(name)).unwrap().uid();
        for name in [
            "out",
            "out/a.txt",
            "deep/er",
            "deep/er/x",
            "m.json",
            "script.txt",
            "link",
            "imgbake-manifest.json",
        ] {
            assert_eq!(owner(name), OWNER, "{name}");
        }
        assert_eq!(owner("sums/md5.txt"), OWNER);
        assert_eq!(owner("of-another-step"), 0);
        assert_eq!(fs::metadata("/etc/hostname").unwrap().uid(), before, "links are not followed");
        assert!(!runner.program.path("_temp/imgbake").exists());
    }
}

#[test]
fn fmt_keeps_owner_and_mode() {
    let runner = Runner::new("fmt").file("web.pkr.hcl", "a=1\n");
    let path = runner.program.path("web.pkr.hcl");
    chown(&path, Some(OWNER), Some(OWNER + 1)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    symlink("web.pkr.hcl", runner.program.path("link.pkr.hcl")).unwrap();
    let runner = runner.with("templates", "link.pkr.hcl");
    runner.run().succeeded();
    let made = fs::metadata(&path).unwrap();
    assert_eq!((made.uid(), made.gid(), made.mode() & 0o777), (OWNER, OWNER + 1, 0o640));
    assert_eq!(fs::read_to_string(&path).unwrap(), "a = 1\n");
}

#[test]
fn what_a_killed_step_has_made_the_end_of_the_job_gives_to_the_owner() {
    let template = TEMPLATE.replace("exit ${var.code}", "sleep 60; exit ${var.code}");
    let runner = runner("build").file("web.pkr.hcl", template);
    let running = runner.start();
    let made = runner.program.path("script.txt");
    while !made.exists() {
        crate::support::pause(20);
    }
    let step = running.kill();
    assert_eq!(fs::metadata(&made).unwrap().uid(), 0);
    runner.post(&step).succeeded();
    assert_eq!(fs::metadata(&made).unwrap().uid(), OWNER);
}
