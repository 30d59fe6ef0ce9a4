//! Debian's own installer, as most templates use it: typed at, answered over HTTP, fed by a mirror.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::support::Program;

/// What `program` prints.
#[track_caller]
fn said(program: &Path, args: &[&str]) -> String {
    let output = Command::new(program).args(args).stderr(Stdio::inherit()).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    assert!(output.status.success(), "{}", program.display());
    String::from_utf8(output.stdout).expect("a text").trim().to_owned()
}

/// The proxy that this machine's apt goes through, if any, as a guest of QEMU reaches it.
fn proxy() -> String {
    let asked = ["shell", "proxy", "Acquire::http::Proxy"];
    let line = said(Path::new("apt-config"), &asked);
    let url = line.trim_start_matches("proxy=").trim_matches('\'');
    url.replace("127.0.0.1", "10.0.2.2").replace("localhost", "10.0.2.2")
}

/// What this machine knows is filled in.
fn answer(program: &Program, mirror: &str, besides: Option<&str>) {
    let mirror = mirror.strip_prefix("http://").expect("the answers are for a mirror over http");
    let (host, directory) = mirror.split_once('/').expect("a directory");
    let mut answers = program.read("http/preseed.cfg");
    if let Some(besides) = besides {
        program.copy(Path::new(besides));
        answers += &program.read("udebs.cfg");
    }
    let answers = answers.replace("@HOST@", host).replace("@DIRECTORY@", &format!("/{directory}"));
    program.write("http/preseed.cfg", answers.replace("@PROXY@", &proxy()));
}

#[test]
#[ignore = "takes long without KVM"]
fn debian_is_installed_by_preseed_and_the_image_boots() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/debian-installer");
    let made = said(&fixtures.join("make"), &[]);
    let mut made = made.lines();
    let installer = format!("installer={}", made.next().expect("a CD"));
    let program = Program::new();
    program.copy(&fixtures);
    answer(&program, made.next().expect("a mirror"), made.next());
    let begun = Instant::now();
    let args = ["build", "-color=false", "-timestamp-ui", "-var", &installer, "debian.pkr.hcl"];
    let run = program.run(args).succeeded();
    println!("{}\ninstalled, provisioned and shut down in {:?}", run.stdout, begun.elapsed());
    assert!(run.stdout.contains("baked on installed"), "{}", run.stdout);

    let begun = Instant::now();
    let run = program.run(["build", "-color=false", "second.pkr.hcl"]).succeeded();
    println!("{}\nbooted again in {:?}", run.stdout, begun.elapsed());
    for line in ["baked on installed", "this is debian"] {
        assert!(run.stdout.contains(line), "{line}: {}", run.stdout);
    }
}
