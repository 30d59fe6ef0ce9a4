//! Nothing keeps an interrupted program from ending its machines, and itself: neither a machine that
//! hears nothing, nor a provisioner, nor the API, nor whoever should read the output.

use std::collections::BTreeSet;
use std::process::Child;
use std::time::{Duration, Instant};

use super::bed::{Bed, Cloud};
use super::proxy::{Fate, Proxy};
use crate::support::{Program, Relay, Run, signal};

/// A build whose machine is reached on `port`.
fn template(bed: &Bed, port: u16, provisioners: &str) -> String {
    format!(
        r#"
        source "amazon-ebs" "web" {{
          region        = "us-east-1"
          ami_name      = "baked"
          instance_type = "t3.micro"
          source_ami_filter {{
            filters     = {{ name = "ubuntu/images/*ubuntu-xenial-16.04-amd64-server-*" }}
            owners      = ["099720109477"]
            most_recent = true
          }}
          ssh_host      = "127.0.0.1"
          ssh_port      = {port}
          ssh_username  = "{}"
        }}
        build {{
          sources = ["source.amazon-ebs.web"]
          {provisioners}
        }}
        "#,
        bed.sshd.user,
    )
}

/// A provisioner that takes longer than anybody waits, and says when it begins.
const ENDLESS: &str = r#"provisioner "shell-local" { inline = ["touch ready; exec sleep 300"] }"#;

/// Waits until the endless provisioner runs.
async fn until_ready(program: &Program) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !program.path("ready").exists() {
        assert!(Instant::now() < deadline, "the provisioner never began");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What is left of a program, and how long it took from now on.
async fn ended(child: Child) -> (Run, Duration) {
    let asked = Instant::now();
    let run = tokio::task::spawn_blocking(move || Program::finish(child)).await.unwrap();
    (run, asked.elapsed())
}

/// The same, where nobody reads what it says.
async fn ended_unread(mut child: Child) -> (Option<i32>, Duration) {
    let asked = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return (status.code(), asked.elapsed());
        }
        if asked.elapsed() > Duration::from_secs(60) {
            signal(&child, "KILL");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_is_deaf_in_the_middle_of_an_upload_is_ended() {
    let cloud = Cloud::start().await;
    let program = Program::new().with(cloud.bed.moto.environment());
    program.write("big", vec![0; 64 << 20]);
    let to = program.path("uploaded").display().to_string();
    let (budget, own_limit) = (Duration::from_secs(8), Duration::from_secs(25));
    for (name, timeout, limit) in
        [("INT", "", budget), ("TERM", "", budget), ("", "timeout = \"2s\"", own_limit)]
    {
        let relay = Relay::before(cloud.bed.sshd.port, 1 << 20).await;
        let upload = format!(
            "provisioner \"file\" {{\n source = \"big\"\n destination = \"{to}\"\n {timeout}\n }}"
        );
        program.write("web.pkr.hcl", template(&cloud.bed, relay.port, &upload));
        let child = program.start(["build", "-cleanup-timeout=8s", "web.pkr.hcl"]);
        relay.until_deaf().await;
        if !name.is_empty() {
            signal(&child, name);
        }
        let (run, took) = ended(child).await;
        let run = run.failed_with(1);
        assert!(took < limit, "{name}: {took:?}\n{}", run.stdout);
        assert_eq!(cloud.left().await, BTreeSet::new(), "{name}: {}", run.stdout);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_cleanup_provisioner_that_hangs_does_not_use_up_the_time_of_an_interrupted_run() {
    let cloud = Cloud::start().await;
    let program = Program::new().with(cloud.bed.moto.environment());
    let hangs = r#"error-cleanup-provisioner "shell-local" { inline = ["exec sleep 300"] }"#;
    let provisioners = format!("{ENDLESS}\n{hangs}");
    program.write("web.pkr.hcl", template(&cloud.bed, cloud.bed.sshd.port, &provisioners));
    let child = program.start(["build", "-cleanup-timeout=6s", "web.pkr.hcl"]);
    until_ready(&program).await;
    signal(&child, "INT");
    let (run, took) = ended(child).await;
    let run = run.failed_with(1);
    let why = "the error-cleanup provisioner failed, too: an interrupted run has no more time";
    assert!(run.stdout.contains(why), "{}", run.stdout);
    assert!(took < Duration::from_secs(7), "{took:?}");
    assert_eq!(cloud.left().await, BTreeSet::new(), "{}", run.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_stalls_leaves_what_is_named_and_what_cleanup_removes() {
    let cloud = Cloud::start().await;
    let passes = Box::new(|_: &str, _| Fate::Passes);
    let proxy = Proxy::start(cloud.bed.moto.endpoint(), passes).await;
    let program = Program::new().with(proxy.environment());
    program.write("web.pkr.hcl", template(&cloud.bed, cloud.bed.sshd.port, ENDLESS));
    let child = program.start(["build", "-state-dir=state", "-cleanup-timeout=5s", "web.pkr.hcl"]);
    until_ready(&program).await;
    proxy.hold();
    signal(&child, "INT");
    let (run, took) = ended(child).await;
    let run = run.failed_with(4);
    assert!(took < Duration::from_secs(7), "{took:?}");
    let said = &run.stdout;
    for text in [
        "Waiting for the cleanup of step \"run the instance\": instance i-",
        "instance i-",
        "in us-east-1 (the time to clean up was over)",
        "`imgbake cleanup -run ",
    ] {
        assert!(said.contains(text), "{text}: {said}");
    }
    assert!(!said.contains("Cleanly cancelled"), "{said}");
    proxy.release();
    let child = program.start(["cleanup", "-state-dir=state"]);
    let (run, _) = ended(child).await;
    run.succeeded();
    assert_eq!(cloud.left().await, BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_who_reads_nothing_keeps_nobody_from_undoing_and_ending() {
    let cloud = Cloud::start().await;
    for (signals, code) in [(1, 1), (2, 130)] {
        let program = Program::new().with(cloud.bed.moto.environment());
        let floods = r#"provisioner "shell-local" { inline = ["touch ready; exec yes"] }"#;
        program.write("web.pkr.hcl", template(&cloud.bed, cloud.bed.sshd.port, floods));
        let mut child = program.start(["build", "-cleanup-timeout=6s", "web.pkr.hcl"]);
        let unread = (child.stdout.take(), child.stderr.take());
        until_ready(&program).await;
        // By then the pipe is full, and all that waits for it.
        tokio::time::sleep(Duration::from_secs(2)).await;
        for _ in 0..signals {
            signal(&child, "INT");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let (exit, took) = ended_unread(child).await;
        assert_eq!(exit, Some(code));
        assert!(took < Duration::from_secs(8), "{took:?}");
        drop(unread);
        if signals == 1 {
            assert_eq!(cloud.left().await, BTreeSet::new());
        }
    }
    cloud.bed.sweep(&cloud.before).await;
}
