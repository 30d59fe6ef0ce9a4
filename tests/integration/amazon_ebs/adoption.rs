//! A run is killed while its AMI is made; the next run of the same build finishes that AMI.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};
use tokio::process::Command;

use super::bed::{Bed, Cloud};
use super::cleanup::{Moment, cleanup, journals, kill_when_held, killed};
use super::proxy::{Fate, Proxy};
use super::signals::Template;
use crate::support::{Program, Run};

fn hcl(bed: &Bed) -> (&'static str, String) {
    let text = format!(
        r#"
        variable "greeting" {{
          default = "hello"
        }}
        data "amazon-ami" "base" {{
          region      = "us-east-1"
          filters     = {{ name = "ubuntu/images/*ubuntu-xenial-16.04-amd64-server-*" }}
          owners      = ["099720109477"]
          most_recent = true
        }}
        source "amazon-ebs" "web" {{
          region        = "us-east-1"
          ami_name      = "baked ${{formatdate("hh-mm-ss", timestamp())}}"
          instance_type = "t3.micro"
          source_ami    = data.amazon-ami.base.id
          ssh_host      = "127.0.0.1"
          ssh_port      = {}
          ssh_username  = "{}"
          tags          = {{ Built = timestamp(), Id = uuidv4() }}
        }}
        build {{
          sources = ["source.amazon-ebs.web"]
          provisioner "shell" {{
            inline = ["echo ${{var.greeting}}"]
          }}
          post-processor "manifest" {{}}
        }}
        "#,
        bed.sshd.port, bed.sshd.user,
    );
    ("web.pkr.hcl", text)
}

fn with(bed: &Bed, changes: Json) -> (&'static str, String) {
    let mut builder = bed.options(changes);
    builder["type"] = json!("amazon-ebs");
    let provisioner = json!({"type": "shell", "inline": ["echo {{user `greeting`}}"]});
    let template = json!({
        "variables": {"greeting": "hello", "password": "hunter22"},
        "sensitive-variables": ["password"],
        "builders": [builder],
        "provisioners": [provisioner],
    });
    ("web.json", template.to_string())
}

fn copied(bed: &Bed) -> (&'static str, String) {
    with(bed, json!({"ami_name": "baked {{uuid}}", "ami_regions": ["eu-west-1"]}))
}

fn encrypted(bed: &Bed) -> (&'static str, String) {
    with(bed, json!({"encrypt_boot": true}))
}

fn of_one_name(bed: &Bed) -> (&'static str, String) {
    with(bed, json!({}))
}

fn secret(bed: &Bed) -> (&'static str, String) {
    let (name, text) = with(bed, json!({"ami_name": "baked {{timestamp}}"}));
    (name, text.replace("user `greeting`", "user `password`"))
}

fn elsewhere(bed: &Bed) -> (&'static str, String) {
    let (name, text) = with(bed, json!({"ami_name": "baked {{timestamp}}"}));
    (name, text.replace(r#""type":"shell""#, r#""type":"shell-local""#))
}

/// A moment after `action` took effect, before anybody heard of it.
fn after(action: &str) -> Moment {
    Moment { action: action.to_owned(), nth: 0, takes_effect: true }
}

/// Bakes what is in the program's directory, undisturbed: also how many machines were started, and
/// how many images made of them.
async fn next(program: &Program, proxy: &Proxy, flags: &[&str], file: &str) -> (Run, [usize; 2]) {
    // The API's clock, and that of names, count seconds.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let calls = || ["RunInstances", "CreateImage"].map(|action| proxy.count(action));
    let before = calls();
    let args = ["build"].iter().chain(flags).chain([&file]).copied();
    let mut command = Command::from(program.command(args));
    let run = Run::of(command.envs(proxy.environment()).output().await.unwrap()).succeeded();
    let after = calls();
    (run, [after[0] - before[0], after[1] - before[1]])
}

fn images(left: &BTreeSet<String>) -> Vec<&String> {
    left.iter().filter(|one| one.starts_with("ami-")).collect()
}

/// The next run has no machine started, and in the end there is what one run leaves.
async fn is_adopted(template: Template, moment: Moment, expected: usize) -> (Run, Program) {
    let cloud = Cloud::start().await;
    let (program, proxy) = killed(&cloud, template, &moment).await;
    let first = cloud.left().await;
    let (run, calls) = next(&program, &proxy, &[], template(&cloud.bed).0).await;
    assert!(run.stdout.contains("Adopting ami-"), "{run:#?}");
    assert_eq!(calls, [0, 0], "{run:#?}");
    let left = cloud.left().await;
    assert!(left.iter().all(|one| one.starts_with("ami-") || one.starts_with("snap-")), "{left:?}");
    assert_eq!(images(&left).len(), expected, "{left:?}");
    assert!(images(&left).iter().all(|image| run.stdout.contains(*image)), "{left:?} {run:#?}");
    let is_kept = images(&left).iter().any(|image| first.contains(*image));
    assert_eq!(is_kept, template as usize != encrypted as Template as usize, "{left:?} {first:?}");
    for region in ["us-east-1", "eu-west-1"] {
        let found = cloud.bed.ec2(region).describe_images().owners("self").send().await.unwrap();
        for image in found.images() {
            let tags = image.tags().iter().filter(|tag| tag.key().unwrap().starts_with("imgbake"));
            assert_eq!(tags.count(), 0, "{image:?}");
        }
    }
    assert_eq!(journals(&program), Vec::<String>::new());
    (run, program)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ami_of_a_killed_run_is_finished_by_the_next() {
    let (_, program) = is_adopted(hcl, after("CreateImage"), 1).await;
    assert!(program.read("packer-manifest.json").contains("us-east-1:ami-"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ami_that_has_its_name_already_is_adopted_with_it() {
    is_adopted(of_one_name, after("DeleteTags"), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ami_that_was_finished_before_anybody_heard_of_it_is_adopted() {
    is_adopted(hcl, after("DeleteTags"), 1).await;
    is_adopted(copied, after("TerminateInstances"), 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_of_an_adopted_ami_are_made_anew() {
    is_adopted(copied, after("CopyImage"), 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intermediary_ami_is_adopted_too() {
    is_adopted(encrypted, after("CreateImage"), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_killed_while_adopting_leaves_an_ami_to_adopt() {
    let cloud = Cloud::start().await;
    let rule = |action: &str, before: usize| match (action, before) {
        ("CreateImage", 0) => Fate::HeldAfter,
        ("CreateTags", 0) => Fate::Held,
        _ => Fate::Passes,
    };
    let proxy = Proxy::start(cloud.bed.moto.endpoint(), Box::new(rule)).await;
    let program = Program::new();
    for _ in 0..2 {
        assert!(kill_when_held(&program, &proxy, hcl(&cloud.bed)).await);
    }
    assert_eq!(journals(&program).len(), 2, "both list something");
    let (run, calls) = next(&program, &proxy, &[], "web.pkr.hcl").await;
    assert!(run.stdout.contains("Adopting ami-"), "{run:#?}");
    assert_eq!(calls, [0, 0], "{run:#?}");
    cleanup(&program, &proxy, &[]).await.succeeded();
    let left = cloud.left().await;
    assert!(left.iter().all(|one| one.starts_with("ami-") || one.starts_with("snap-")), "{left:?}");
    assert_eq!(images(&left).len(), 1, "{left:?}");
}

/// The next run, with `flags`, bakes; the AMI of the dead run is for whoever cleans up.
async fn is_not_adopted(template: Template, flags: &[&str]) {
    let cloud = Cloud::start().await;
    let (program, proxy) = killed(&cloud, template, &after("CreateImage")).await;
    let (run, calls) = next(&program, &proxy, flags, template(&cloud.bed).0).await;
    assert!(!run.stdout.contains("Adopting"), "{run:#?}");
    assert_eq!(calls, [1, 1], "{run:#?}");
    assert_eq!(images(&cloud.left().await).len(), 2);
    cleanup(&program, &proxy, &[]).await.succeeded();
    let left = cloud.left().await;
    assert_eq!(images(&left).len(), 1, "{left:?}");
    assert!(run.stdout.contains(images(&left)[0]), "{left:?} {run:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_from_something_else_is_baked_again() {
    is_not_adopted(hcl, &["-var", "greeting=goodbye"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_want_an_adopted_ami_says_so() {
    is_not_adopted(hcl, &["-adopt=false"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_secret_went_into_is_baked_again() {
    is_not_adopted(secret, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_with_this_machines_help_is_baked_again() {
    is_not_adopted(elsewhere, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ami_that_is_gone_is_baked_again() {
    let cloud = Cloud::start().await;
    let (program, proxy) = killed(&cloud, hcl, &after("CreateImage")).await;
    let left = cloud.left().await;
    cloud.bed.remove_images(&images(&left).into_iter().cloned().collect()).await;
    let (run, calls) = next(&program, &proxy, &[], "web.pkr.hcl").await;
    assert!(!run.stdout.contains("Adopting"), "{run:#?}");
    assert_eq!(calls, [1, 1], "{run:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_and_no_file_is_in_what_a_journal_says_of_an_origin() {
    let cloud = Cloud::start().await;
    let (program, _) = killed(&cloud, hcl, &after("CreateImage")).await;
    let [journal] = journals(&program).try_into().unwrap();
    let origin = |line: &str| {
        let record: Json = serde_json::from_str(line).ok()?;
        record.pointer("/intent/thing/clue/ec2/image/origin").cloned()
    };
    let origin = journal.lines().find_map(origin).unwrap_or_else(|| panic!("{journal}"));
    let keys: Vec<_> = origin.as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["number", "source", "token"]);
    assert_eq!(origin["number"].as_str().unwrap().len(), 64);
}
