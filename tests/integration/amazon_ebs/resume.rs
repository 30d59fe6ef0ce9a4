//! `-keep-failed`: a machine on which a provisioner has failed stays, and another run goes on there.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use aws_sdk_ec2::types::Tag;
use tokio::process::Command;

use super::bed::Cloud;
use super::cleanup::{age_journals, cleanup, journals};
use super::policy::{actions_of, printed};
use super::proxy::{Fate, Proxy};
use super::reap;
use crate::support::{Program, Run};

/// A cloud whose machines are one, and a template whose third provisioner fails until somebody mends it.
struct Room {
    cloud: Cloud,
    /// What provisioners write on the machine: a file for each, a line for each time.
    guest: tempfile::TempDir,
    more: &'static str,
}

impl Room {
    async fn new() -> Self {
        Self::with("").await
    }

    /// `more` are options of the builder.
    async fn with(more: &'static str) -> Self {
        let guest = tempfile::tempdir().unwrap();
        Self { cloud: Cloud::start().await, guest, more }
    }

    async fn calm(&self) -> Proxy {
        reap::calm(&self.cloud.bed).await
    }

    fn template(&self, first: &str) -> String {
        let (bed, guest) = (&self.cloud.bed, self.guest.path().display());
        let (port, user, more) = (bed.sshd.port, &bed.sshd.user, self.more);
        format!(
            r#"
            source "amazon-ebs" "web" {{
              region        = "us-east-1"
              ami_name      = "baked"
              instance_type = "t3.micro"
              ssh_host      = "127.0.0.1"
              ssh_port      = {port}
              ssh_username  = "{user}"
              source_ami_filter {{
                filters     = {{ name = "ubuntu/images/*ubuntu-xenial-16.04-amd64-server-*" }}
                owners      = ["099720109477"]
                most_recent = true
              }}
              {more}
            }}
            build {{
              sources = ["source.amazon-ebs.web"]
              provisioner "shell" {{ inline = ["{first}", "echo run >> {guest}/1"] }}
              provisioner "shell" {{ script = "second.sh" }}
              provisioner "shell" {{ inline = ["echo run >> {guest}/3", "test -e {guest}/mended"] }}
              provisioner "shell" {{ inline = ["echo run >> {guest}/4"] }}
            }}
            "#
        )
    }

    /// A runner that has nothing but the template, whose first provisioner does `first`.
    fn runner_of(&self, first: &str) -> Program {
        let program = Program::new();
        program.write("web.pkr.hcl", self.template(first));
        program.write("second.sh", format!("echo run >> {}/2\n", self.guest.path().display()));
        program
    }

    fn runner(&self) -> Program {
        self.runner_of("true")
    }

    fn command(&self, program: &Program, proxy: &Proxy, flags: &[&str]) -> Command {
        let args = ["build"].iter().chain(flags).chain([&"web.pkr.hcl"]).copied();
        let mut command = Command::from(program.command(args));
        command.envs(proxy.environment()).kill_on_drop(true);
        command
    }

    async fn build(&self, program: &Program, proxy: &Proxy, flags: &[&str]) -> Run {
        Run::of(self.command(program, proxy, flags).output().await.unwrap())
    }

    /// A run of another runner that fails and keeps its machine: that runner, its way to the API, and the
    /// machine.
    async fn kept(&self, time: &str) -> (Program, Proxy, String) {
        let (program, proxy) = (self.runner(), self.calm().await);
        let flag = format!("-keep-failed={time}");
        let run = self.build(&program, &proxy, &[&flag]).await.failed_with(1);
        let left: Vec<_> = self.cloud.left().await.into_iter().collect();
        let kept = left.iter().find_map(|one| one.strip_suffix(" stopped"));
        let kept = kept.unwrap_or_else(|| panic!("{left:?}: {run:#?}")).to_owned();
        let others = left.iter().filter(|one| !one.starts_with("i-") && !one.starts_with("vol-"));
        assert_eq!(others.count(), 0, "only the machine stays: {left:?}");
        assert!(said(&run).contains(&format!("The instance {kept} is kept until 20")), "{run:#?}");
        (program, proxy, kept)
    }

    fn mend(&self) {
        fs::write(self.guest.path().join("mended"), "").unwrap();
    }

    /// How often each of the four provisioners has run.
    fn counts(&self) -> [usize; 4] {
        [1, 2, 3, 4].map(|nth| {
            let file: PathBuf = self.guest.path().join(nth.to_string());
            fs::read_to_string(file).unwrap_or_default().lines().count()
        })
    }

    async fn tags(&self, id: &str) -> Vec<Tag> {
        let found = self.cloud.bed.ec2("us-east-1").describe_instances().instance_ids(id).send();
        found.await.unwrap().reservations()[0].instances()[0].tags().to_vec()
    }

    async fn tag(&self, id: &str, key: &str, value: &str) {
        let tag = Tag::builder().key(key).value(value).build();
        let ec2 = self.cloud.bed.ec2("us-east-1");
        ec2.create_tags().resources(id).tags(tag).send().await.unwrap();
    }

    /// What is left beside AMIs and their snapshots.
    async fn left(&self) -> BTreeSet<String> {
        let mut left = self.cloud.left().await;
        left.retain(|one| !one.starts_with("ami-") && !one.starts_with("snap-"));
        left
    }
}

/// All that a run has said.
fn said(run: &Run) -> String {
    format!("{}{}", run.stdout, run.stderr)
}

#[tokio::test(flavor = "multi_thread")]
async fn another_runner_goes_on_at_the_provisioner_that_failed() {
    let room = Room::new().await;
    let (first, its_proxy, kept) = room.kept("2h").await;
    assert_eq!(room.counts(), [1, 1, 1, 0]);
    let proxy = room.calm().await;
    // Nobody removes it before its time.
    let spared = cleanup(&first, &its_proxy, &[]).await.succeeded();
    assert!(
        said(&spared).contains(&format!("instance {kept} in us-east-1, until 20")),
        "{spared:#?}"
    );
    reap::run(&room.runner(), &proxy, &["reap", "-older-than=0s"]).await.succeeded();
    let found = room.cloud.left().await;
    assert!(found.contains(&format!("{kept} stopped")), "{found:?}");

    room.mend();
    let run = room.build(&room.runner(), &proxy, &["-keep-failed=2h"]).await.succeeded();
    let says = format!("Going on with the instance {kept}: the first 2 provisioners have done");
    assert!(said(&run).contains(&says), "{run:#?}");
    assert_eq!(room.counts(), [1, 1, 2, 1], "only the third and later ones run again");
    assert_eq!(proxy.count("RunInstances"), 0);
    assert_eq!(proxy.count("CreateImage"), 1);
    assert_eq!(room.left().await, BTreeSet::new());
    // The first runner's journal speaks of a machine that is gone.
    cleanup(&first, &its_proxy, &["-delete-kept"]).await.succeeded();
    assert_eq!(journals(&first), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_kept_again_and_again_and_a_new_key_opens_it_each_time() {
    let room = Room::with("user_data = \"#cloud-config\"").await;
    let (_first, _, kept) = room.kept("2h").await;
    let proxy = room.calm().await;
    let mut data = BTreeSet::new();
    for times in 2..=3 {
        let second = room.runner();
        room.build(&second, &proxy, &["-keep-failed=2h"]).await.failed_with(1);
        assert_eq!(room.counts(), [1, 1, times, 0]);
        assert!(room.cloud.left().await.contains(&format!("{kept} stopped")));
        let ec2 = room.cloud.bed.ec2("us-east-1");
        let seen = ec2.describe_instance_attribute().instance_id(&kept);
        let seen = seen.attribute("userData".into()).send().await.unwrap();
        let seen = seen.user_data().unwrap().value().unwrap().to_owned();
        assert!(!seen.contains("PRIVATE KEY"));
        data.insert(seen);
        let said = journals(&second).concat();
        assert!(!said.contains("PRIVATE KEY") && said.contains(&kept), "{said}");
    }
    assert_eq!(data.len(), 2, "each run has a key of its own");
    assert_eq!((proxy.count("RunInstances"), proxy.count("CreateKeyPair")), (0, 0));
    let runner = room.runner();
    let mut policy = Command::from(runner.command(["iam-policy", "-keep-failed", "web.pkr.hcl"]));
    let policy = Run::of(policy.envs(proxy.environment()).output().await.unwrap()).succeeded();
    let allowed = printed(&serde_json::from_str(&policy.stdout).unwrap());
    let made = actions_of(&proxy.calls());
    assert!(made.is_subset(&allowed), "{:?}", made.difference(&allowed));
    room.mend();
    room.build(&room.runner(), &proxy, &["-keep-failed=2h"]).await.succeeded();
    assert_eq!(room.counts(), [1, 1, 4, 1]);
    assert_eq!(room.left().await, BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_earlier_part_is_a_clean_start_and_is_named() {
    let room = Room::new().await;
    let (_first, _, kept) = room.kept("2h").await;
    room.mend();
    let proxy = room.calm().await;
    for (runner, flags, says) in [
        (room.runner_of("date"), ["-keep-failed=2h", "-force"], "provisioner 1 (shell) changed"),
        (room.runner(), ["-keep-failed=2h", "-force"], "second.sh changed since"),
    ] {
        if says.starts_with("second") {
            runner.write("second.sh", "true\n");
        }
        let run = room.build(&runner, &proxy, &flags[..1]).await.succeeded();
        assert!(said(&run).contains(&format!("A clean start: {says}")), "{says}: {run:#?}");
        let images = room.cloud.left().await;
        let images = images.into_iter().filter(|one| one.starts_with("ami-")).collect();
        room.cloud.bed.remove_images(&images).await;
    }
    // Who forces a build wants it anew, and who does not ask does not look.
    for flags in [&["-keep-failed=2h", "-force"][..], &["-force"][..]] {
        let run = room.build(&room.runner(), &proxy, flags).await.succeeded();
        assert!(!said(&run).contains(&kept), "{run:#?}");
    }
    assert_eq!(proxy.count("RunInstances"), 4);
    let left = room.left().await;
    assert!(left.contains(&format!("{kept} stopped")), "it may be of use to others: {left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_is_reaped_and_what_others_forged_is_left_alone() {
    let room = Room::new().await;
    let (_first, _, kept) = room.kept("2h").await;
    let proxy = room.calm().await;
    // Somebody else's machine with the same tags.
    let other =
        room.cloud.bed.machine("us-east-1", |request| request.client_token("another token")).await;
    for tag in room.tags(&kept).await {
        room.tag(&other, tag.key().unwrap(), tag.value().unwrap()).await;
    }
    let ec2 = room.cloud.bed.ec2("us-east-1");
    ec2.stop_instances().instance_ids(&other).send().await.unwrap();
    room.tag(&kept, "imgbake:kept-until", "2026-01-01T00:00:00Z").await;
    room.tag(&other, "imgbake:kept-until", "2026-01-01T00:00:00Z").await;
    room.mend();
    let run = room.build(&room.runner(), &proxy, &["-keep-failed=2h"]).await.succeeded();
    assert!(!said(&run).contains("Going on"), "neither may live any more: {run:#?}");
    // However long builds may take: its time is over.
    let reaped = reap::run(&room.runner(), &proxy, &["reap", "-older-than=90h"]).await.succeeded();
    let left = room.left().await;
    assert!(!left.iter().any(|one| one.starts_with(&kept)), "{left:?}: {reaped:#?}");
    assert!(left.contains(&format!("{other} stopped")), "{left:?}: {reaped:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_run_has_claimed_is_left_to_it() {
    let room = Room::new().await;
    let (first, its_proxy, kept) = room.kept("2h").await;
    room.mend();
    // Another run claims it while the first one waits to read its claim back.
    let rule = |action: &str, before: usize| match (action, before) {
        ("DeleteTags", 0) => Fate::Slow(Duration::from_millis(1500)),
        _ => Fate::Passes,
    };
    let proxy = Proxy::before(room.cloud.bed.moto.endpoint()).with_rule(Box::new(rule));
    let proxy = proxy.with_manners().start().await;
    let runner = room.runner();
    let run = room.build(&runner, &proxy, &["-keep-failed=2h"]);
    let claim = async {
        while proxy.count("DeleteTags") == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let token = "6560f0a1-1111-4111-8111-111111111111";
        room.tag(&kept, "imgbake:resumed-by", token).await;
    };
    let (run, ()) = tokio::join!(run, claim);
    let run = run.succeeded();
    assert!(said(&run).contains("another run goes on with it"), "{run:#?}");
    assert_eq!(room.counts(), [2, 2, 2, 1]);
    assert!(room.left().await.contains(&format!("{kept} stopped")), "nobody else touches it");
    cleanup(&first, &its_proxy, &["-delete-kept"]).await.succeeded();
    assert!(room.left().await.contains(&format!("{kept} stopped")), "its first run neither");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_gone_on_with_is_not_kept() {
    let spot = r#"spot_price = "auto""#;
    let role = r#"
        temporary_iam_instance_profile_policy_document {
          Version = "2012-10-17"
          Statement {
            Action   = ["logs:*"]
            Effect   = "Allow"
            Resource = ["*"]
          }
        }
    "#;
    for (more, why) in [(spot, "it is a spot instance"), (role, "its temporary instance profile")] {
        let room = Room::with(more).await;
        let (runner, proxy) = (room.runner(), room.calm().await);
        let run = room.build(&runner, &proxy, &["-keep-failed=2h"]).await.failed_with(1);
        assert!(said(&run).contains(&format!("The instance is not kept: {why}")), "{run:#?}");
        assert_eq!(room.left().await, BTreeSet::new(), "{why}");
        assert_eq!(journals(&runner), Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ami_of_a_machine_that_was_gone_on_with_is_reaped_though_no_journal_is_left() {
    let room = Room::new().await;
    let (_first, _, kept) = room.kept("2h").await;
    room.mend();
    let rule = |action: &str, _| match action {
        "CreateImage" => Fate::HeldAfter,
        _ => Fate::Passes,
    };
    let proxy = Proxy::before(room.cloud.bed.moto.endpoint()).with_rule(Box::new(rule));
    let proxy = proxy.with_manners().start().await;
    let runner = room.runner();
    let mut command = room.command(&runner, &proxy, &["-keep-failed=2h"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    proxy.until_held().await;
    child.kill().await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let left = room.cloud.left().await;
    assert!(left.iter().any(|one| one.starts_with("ami-")), "{left:?}");
    assert!(left.iter().any(|one| one.starts_with(&kept)), "{left:?}");
    // The journal goes with its runner.
    drop((runner, proxy));
    let reaped = reap::run(&room.runner(), &room.calm().await, &reap::ALL).await.succeeded();
    assert_eq!(room.cloud.left().await, BTreeSet::new(), "{reaped:#?}");
}

/// Removes the machine `id`, whose time is over.
async fn end_of_time(room: &Room, runner: &Program, proxy: &Proxy, id: &str) -> Run {
    let tags = room.tags(id).await;
    if tags.iter().any(|tag| tag.key() == Some("imgbake:kept-until")) {
        room.tag(id, "imgbake:kept-until", "2026-01-01T00:00:00Z").await;
        return reap::run(runner, proxy, &["reap", "-older-than=90h"]).await;
    }
    // The journal knows its time.
    cleanup(runner, proxy, &["-delete-kept"]).await
}

/// Whatever a run that keeps a machine, or goes on with it, was killed at: nothing is left beyond the
/// time.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_at_any_call_of_keeping_or_going_on_leaves_nothing_beyond_the_time() {
    let room = Room::new().await;
    let keeping = ["StopInstances", "ModifyInstanceAttribute", "CreateTags", "DeleteKeyPair"];
    let going_on = [
        "CreateSecurityGroup",
        "CreateTags",
        "DeleteTags",
        "ModifyInstanceAttribute",
        "StartInstances",
        "StopInstances",
        "CreateImage",
    ];
    let keeping = keeping.iter().map(|action| (false, *action, 0));
    let going_on = going_on.iter().map(|action| (true, *action, 0));
    let moments = keeping.chain(going_on).chain([(true, "ModifyInstanceAttribute", 1)]);
    for (is_second, action, nth) in moments {
        for takes_effect in [false, true] {
            let when = format!("{action} {nth}, second run: {is_second}, effect: {takes_effect}");
            let _ = fs::remove_file(room.guest.path().join("mended"));
            if is_second {
                room.kept("2h").await;
                room.mend();
            }
            let rule = move |called: &str, before: usize| match takes_effect {
                _ if called != action || before != nth => Fate::Passes,
                true => Fate::HeldAfter,
                false => Fate::Held,
            };
            let proxy = Proxy::before(room.cloud.bed.moto.endpoint()).with_rule(Box::new(rule));
            let proxy = proxy.with_manners().start().await;
            let runner = room.runner();
            let mut command = room.command(&runner, &proxy, &["-keep-failed=2h"]);
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            tokio::select! {
                () = proxy.until_held() => child.kill().await.unwrap(),
                status = child.wait() => panic!("{when}: {status:?}: {:?}", proxy.calls()),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            proxy.release();
            age_journals(&runner);
            let cleaned = cleanup(&runner, &proxy, &[]).await;
            assert_eq!(cleaned.code, Some(0), "{when}: {cleaned:#?}");
            // Only a machine that may live still is left, and it goes with its time.
            let ec2 = room.cloud.bed.ec2("us-east-1");
            let left = room.left().await;
            let machines: Vec<_> = left.iter().filter(|one| one.starts_with("i-")).collect();
            assert!(machines.len() <= 1, "{when}: {left:?}: {cleaned:#?}");
            let others = left.iter().find(|one| !one.starts_with("i-") && !one.starts_with("vol-"));
            assert_eq!(others, None, "{when}: {left:?}: {cleaned:#?}");
            for one in machines {
                let run = end_of_time(&room, &runner, &proxy, one.split(' ').next().unwrap()).await;
                assert_eq!(run.code, Some(0), "{when}: {run:#?}");
            }
            assert_eq!(room.left().await, BTreeSet::new(), "{when}: {cleaned:#?}");
            let images = ec2.describe_images().owners("self").send().await.unwrap();
            let ids = images.images().iter().filter_map(|image| image.image_id.clone());
            room.cloud.bed.remove_images(&ids.collect()).await;
        }
    }
}
