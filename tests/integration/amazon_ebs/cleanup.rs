//! The program is killed at every call that changes something; `imgbake cleanup` removes what it
//! left, and nothing else.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_sdk_ec2::types::ResourceType;
use serde_json::{Value as Json, json};
use tokio::process::Command;

use super::bed::{Bed, Cloud, marked};
use super::proxy::{Fate, Proxy, Rule, passes};
use super::signals::{self, Template};
use crate::support::{ACCESS_KEY, Program, Run, SECRET_KEY};

/// How many builds are killed at a time, each in a cloud of its own.
const CLOUDS: usize = 3;

/// The calls after which a build's AMIs are finished: they are handed over, and what is not needed any
/// more is taken back.
const LAST_CALLS: [&str; 13] = [
    "DeleteObject",
    "DeleteTags",
    "TerminateInstances",
    "DeleteVolume",
    "DeleteSecurityGroup",
    "DeleteKeyPair",
    "DeleteLaunchTemplate",
    "RemoveRoleFromInstanceProfile",
    "DeleteInstanceProfile",
    "DeleteRolePolicy",
    "DeleteRole",
    "DeregisterImage",
    "DeleteSnapshot",
];

/// A cloud with things in it that look like ours.
async fn confusing_cloud() -> Cloud {
    let bed = tokio::task::spawn_blocking(Bed::new).await.unwrap();
    for region in ["us-east-1", "eu-west-1"] {
        look_alikes(&bed, region).await;
    }
    let cloud = Cloud::of(bed).await;
    // What is older than a copy of ours is so by a second, the API's measure.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    cloud
}

/// Somebody else's things: the same prefixes, the same tags with other values; abroad, even the
/// same name.
async fn look_alikes(bed: &Bed, region: &'static str) {
    let ec2 = bed.ec2(region);
    let tags = |kind: ResourceType| marked(kind, "somebody-else", "somebody-else");
    let name = "packer_6560f0a1-0000-0000-0000-000000000000";
    let key = ec2.create_key_pair().key_name(name);
    key.tag_specifications(tags(ResourceType::KeyPair)).send().await.unwrap();
    let group = ec2.create_security_group().group_name(name).description("Temporary group");
    let group = group.tag_specifications(tags(ResourceType::SecurityGroup)).send().await.unwrap();
    let id = bed.machine(region, |request| {
        request
            .security_group_ids(group.group_id().unwrap())
            .tag_specifications(tags(ResourceType::Instance))
            .tag_specifications(tags(ResourceType::Volume))
    });
    let id = id.await;
    let name = if region == "us-east-1" { "baked-before" } else { "baked" };
    ec2.create_image().instance_id(id).name(name).send().await.unwrap();
}

/// A call, and whether the program dies before it arrives or after it took effect.
#[derive(Clone, Debug)]
pub struct Moment {
    pub action: String,
    pub nth: usize,
    pub takes_effect: bool,
}

impl Moment {
    /// What has its call wait.
    pub fn rule(&self) -> Rule {
        let Self { action, nth, takes_effect } = self.clone();
        Box::new(move |called, before| match takes_effect {
            _ if called != action || before != nth => Fate::Passes,
            true => Fate::HeldAfter,
            false => Fate::Held,
        })
    }

    /// Whether the build's AMI may be finished then.
    pub fn may_be_last(&self) -> bool {
        LAST_CALLS.contains(&self.action.as_str())
    }
}

/// The moments of an undisturbed build.
async fn moments(cloud: &Cloud, template: Template) -> Vec<Moment> {
    let proxy = Proxy::start(cloud.bed.moto.endpoint(), passes()).await;
    let program = Program::new();
    let status = build(&program, &proxy, template(&cloud.bed)).wait().await.unwrap();
    assert!(status.success(), "{status}");
    assert_eq!(journals(&program), Vec::<String>::new(), "nothing is left of it");
    cloud.bed.sweep(&cloud.before).await;
    changes(&proxy)
}

/// The moments of the calls that came through `proxy` and change something.
pub fn changes(proxy: &Proxy) -> Vec<Moment> {
    let mut moments: Vec<Moment> = Vec::new();
    let is_change = |action: &str| {
        ["Describe", "Get", "Head", "List"].iter().all(|verb| !action.starts_with(verb))
    };
    for call in proxy.calls().into_iter().filter(|call| is_change(&call.action)) {
        let nth = moments.iter().filter(|one| one.action == call.action).count() / 2;
        let moment = |takes_effect| Moment { action: call.action.clone(), nth, takes_effect };
        moments.extend([moment(false), moment(true)]);
    }
    moments
}

fn build(
    program: &Program,
    proxy: &Proxy,
    template: (&'static str, String),
) -> tokio::process::Child {
    program.write(template.0, template.1);
    let mut command = Command::from(program.command(["build", template.0]));
    command
        .envs(proxy.environment())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    command.spawn().unwrap()
}

pub async fn cleanup(program: &Program, proxy: &Proxy, flags: &[&str]) -> Run {
    let mut command =
        Command::from(program.command(["cleanup"].into_iter().chain(flags.iter().copied())));
    match flags.contains(&"-template") {
        true => command.env("AWS_ENDPOINT_URL", proxy.endpoint()),
        false => command.envs(proxy.environment()),
    };
    Run::of(command.stdin(Stdio::null()).output().await.unwrap())
}

/// The journals in the program's state directory.
pub fn journal_files(program: &Program) -> Vec<PathBuf> {
    let dir = program.path(".local/state/imgbake/journal");
    let Ok(files) = std::fs::read_dir(dir) else { return Vec::new() };
    files.map(|file| file.unwrap().path()).collect()
}

/// What they say.
pub fn journals(program: &Program) -> Vec<String> {
    let files = journal_files(program).into_iter();
    files.map(|file| std::fs::read_to_string(file).unwrap()).collect()
}

/// Kills a build with SIGKILL at `moment`.
pub async fn killed(cloud: &Cloud, template: Template, moment: &Moment) -> (Program, Proxy) {
    let killed = killed_if_it_comes(cloud, template, moment).await;
    killed.unwrap_or_else(|| panic!("no call waited at {moment:?}"))
}

/// The same; `None` if the build is done without that call.
async fn killed_if_it_comes(
    cloud: &Cloud,
    template: Template,
    moment: &Moment,
) -> Option<(Program, Proxy)> {
    let proxy = Proxy::start(cloud.bed.moto.endpoint(), moment.rule()).await;
    let program = Program::new();
    let held = kill_when_held(&program, &proxy, template(&cloud.bed)).await;
    held.then_some((program, proxy))
}

/// Starts a build, and kills it with SIGKILL when a call of it waits: whether one did.
pub async fn kill_when_held(
    program: &Program,
    proxy: &Proxy,
    template: (&'static str, String),
) -> bool {
    let mut child = build(program, proxy, template);
    let held = tokio::select! {
        () = proxy.until_held() => {
            child.kill().await.unwrap();
            true
        }
        status = child.wait() => {
            assert!(status.unwrap().success(), "{:#?}", proxy.calls());
            false
        }
    };
    // The proxy hears that nobody waits for the calls any more.
    tokio::time::sleep(Duration::from_millis(50)).await;
    proxy.release();
    held
}

/// The journals are old enough for EC2 to know all that it will ever know.
pub fn age_journals(program: &Program) {
    for journal in journal_files(program) {
        let file = std::fs::File::options().write(true).open(journal).unwrap();
        file.set_modified(std::time::SystemTime::now() - Duration::from_secs(3600)).unwrap();
    }
}

/// Whatever it was killed at: nothing is left. See [`all_is_cleaned_up`].
async fn nothing_is_left(
    cloud: &Cloud,
    template: Template,
    moment: &Moment,
    is_last: bool,
    stays: &[&str],
) {
    let Some((program, proxy)) = killed_if_it_comes(cloud, template, moment).await else {
        // How often something is removed again depends on when EC2 says that it is gone.
        assert!(moment.action.starts_with("Delete") && moment.nth > 0, "no call at {moment:?}");
        cloud.bed.sweep(&cloud.before).await;
        return;
    };
    all_is_cleaned_up(cloud, (&program, &proxy), moment, (is_last, stays), || ()).await;
}

/// After a build was killed at `moment`, a cleanup leaves nothing but what was finished, and nothing else is
/// missing. `is_last`: only calls follow that take back what is not needed any more. `cleaned_once` looks
/// at what else there is after the first cleanup.
pub async fn all_is_cleaned_up(
    cloud: &Cloud,
    (program, proxy): (&Program, &Proxy),
    moment: &Moment,
    (is_last, stays): (bool, &[&str]),
    cleaned_once: impl FnOnce(),
) {
    for journal in journals(program) {
        assert!(!journal.contains(SECRET_KEY) && !journal.contains(ACCESS_KEY), "{journal}");
    }
    age_journals(program);
    let before = cloud.bed.inventory_of_all().await;
    let shown = cleanup(program, proxy, &["-dry-run"]).await.succeeded();
    assert_eq!(cloud.bed.inventory_of_all().await, before, "{moment:?}: {}", shown.stdout);
    let cleaned = cleanup(program, proxy, &[]).await;
    assert_eq!(cleaned.code, Some(0), "{moment:?}: {cleaned:#?}");
    cleaned_once();
    let left = cloud.left().await;
    // A machine that was only for a test is taken back earlier, in as many calls as it takes.
    let finished = is_last || (moment.may_be_last() && !left.is_empty());
    let is_for_good = |one: &String| stays.iter().any(|prefix| one.starts_with(prefix));
    let is_of_image =
        |one: &String| ["ami-", "snap-", "s3 image-"].iter().any(|kind| one.starts_with(kind));
    let expected = |one: &String| is_of_image(one) || is_for_good(one);
    if finished {
        assert!(!left.is_empty() && left.iter().all(expected), "{moment:?}: {left:?}");
        for image in left.iter().filter(|one| one.starts_with("ami-")) {
            let listed = |run: &Run| run.stdout.contains(&format!("AMI {image} in "));
            assert!(listed(&shown) && listed(&cleaned), "{moment:?}: {image}\n{cleaned:#?}");
        }
        cleanup(program, proxy, &["-delete-finished"]).await.succeeded();
    }
    let mut left = cloud.left().await;
    left.retain(|one| !(finished && is_for_good(one)));
    assert!(left.is_empty(), "{moment:?}: {left:?}\n{cleaned:#?}");
    let all = cloud.bed.inventory_of_all().await;
    assert!(cloud.before.is_subset(&all), "{moment:?}: {:?}\n{cleaned:#?}", cloud.before);
    assert_eq!(journals(program), Vec::<String>::new(), "{moment:?}");
    let again = cleanup(program, proxy, &[]).await.succeeded();
    assert_eq!(again.stdout, "There is nothing to clean up.\n", "{moment:?}");
    cloud.bed.sweep(&cloud.before).await;
}

/// Kills builds of `template` at every call, among which those that are `wanted` have to be. Ids that
/// begin as one that `stays` are of what finished builds leave, and no cleanup removes.
pub async fn kill_at_every_call(template: Template, wanted: &[&str], stays: &[&str]) {
    let clouds = futures::future::join_all((0..CLOUDS).map(|_| confusing_cloud())).await;
    let moments = moments(&clouds[0], template).await;
    let names: BTreeSet<_> = moments.iter().map(|moment| moment.action.as_str()).collect();
    for wanted in wanted {
        assert!(names.contains(wanted), "{names:?}");
    }
    println!("{} moments", moments.len());
    let last = moments.iter().rev().take_while(|one| one.may_be_last());
    let first_of_last = moments.len() - last.count();
    let next = AtomicUsize::new(0);
    let work = clouds.iter().map(async |cloud| {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(moment) = moments.get(index) else { break };
            nothing_is_left(cloud, template, moment, index >= first_of_last, stays).await;
        }
    });
    futures::future::join_all(work).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_json_build_that_is_killed_at_any_call_is_cleaned_up_after() {
    kill_at_every_call(
        signals::json,
        &["RunInstances", "CreateImage", "CopyImage", "DeleteKeyPair"],
        &[],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hcl_build_that_is_killed_at_any_call_is_cleaned_up_after() {
    kill_at_every_call(signals::hcl, &["RunInstances", "CreateImage"], &[]).await;
}

/// A spot instance from a fleet, with a profile of its own, and an encrypted copy of what it made.
fn spot(bed: &Bed) -> (&'static str, String) {
    let builder = bed.options(json!({
        "type": "amazon-ebs", "spot_price": "auto", "encrypt_boot": true,
        "temporary_iam_instance_profile_policy_document": {
            "Statement": [{"Effect": "Allow", "Action": ["logs:*"], "Resource": ["*"]}],
        },
    }));
    let shell = json!({"type": "shell", "inline": ["echo working"]});
    ("web.json", json!({"builders": [builder], "provisioners": [shell]}).to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spot_build_that_is_killed_at_any_call_is_cleaned_up_after() {
    let wanted = ["CreateFleet", "CreateLaunchTemplate", "CreateRole", "DeleteRole", "CopyImage"];
    kill_at_every_call(spot, &wanted, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_alive_is_left_alone() {
    let cloud = confusing_cloud().await;
    let rule = |action: &str, _| match action {
        "StopInstances" => Fate::Held,
        _ => Fate::Passes,
    };
    let proxy = Proxy::start(cloud.bed.moto.endpoint(), Box::new(rule)).await;
    let program = Program::new();
    let mut child = build(&program, &proxy, signals::hcl(&cloud.bed));
    proxy.until_held().await;
    let before = cloud.bed.inventory_of_all().await;
    let left = cleanup(&program, &proxy, &[]).await.succeeded();
    assert!(left.stdout.contains("is still alive: it is left alone."), "{left:#?}");
    assert_eq!(cloud.bed.inventory_of_all().await, before);
    proxy.release();
    assert!(child.wait().await.unwrap().success());
    assert_eq!(journals(&program), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_removed_is_said_and_tried_again_next_time() {
    let cloud = confusing_cloud().await;
    let moment = Moment { action: "StopInstances".to_owned(), nth: 0, takes_effect: true };
    let (program, proxy) = killed(&cloud, signals::hcl, &moment).await;
    // The credentials are of another account now.
    let [journal] = journal_files(&program).try_into().unwrap();
    let text = std::fs::read_to_string(&journal).unwrap();
    std::fs::write(&journal, text.replace("123456789012", "111122223333")).unwrap();
    let refused = cleanup(&program, &proxy, &[]).await.failed_with(4);
    let why = "it is in the account 111122223333, but the credentials are of 123456789012";
    assert!(refused.stderr.contains(why) || refused.stdout.contains(why), "{refused:#?}");
    assert!(!cloud.left().await.is_empty());
    let text = std::fs::read_to_string(&journal).unwrap();
    std::fs::write(&journal, text.replace("111122223333", "123456789012")).unwrap();
    cleanup(&program, &proxy, &[]).await.succeeded();
    assert_eq!(cloud.left().await, BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_credentials_may_be_those_of_a_template() {
    let cloud = confusing_cloud().await;
    let moment = Moment { action: "StopInstances".to_owned(), nth: 0, takes_effect: true };
    let (program, proxy) = killed(&cloud, signals::hcl, &moment).await;
    let mut builder = cloud.bed.options(json!({
        "type": "amazon-ebs",
        "access_key": "{{user `key`}}",
        "secret_key": SECRET_KEY,
        "skip_metadata_api_check": true,
    }));
    let template = |builder: &Json| json!({"variables": {"key": null}, "builders": [builder]});
    program.write("t.json", template(&builder).to_string());
    let key = format!("key={ACCESS_KEY}");
    let flags = ["-template", "t.json", "-var", &key];
    let cleaned = cleanup(&program, &proxy, &flags).await.succeeded();
    assert!(!cleaned.stdout.contains(SECRET_KEY), "{cleaned:#?}");
    assert_eq!(cloud.left().await, BTreeSet::new());

    let (program, proxy) = killed(&cloud, signals::hcl, &moment).await;
    for name in ["access_key", "secret_key"] {
        builder.as_object_mut().unwrap().remove(name);
    }
    program.write("t.json", template(&builder).to_string());
    // Nobody has any.
    cleanup(&program, &proxy, &flags).await.failed_with(4);
    assert!(!cloud.left().await.is_empty());
}

/// A cloud where a build was killed just before its end, and what is left of it.
async fn killed_at_its_end() -> (Cloud, Program, Proxy) {
    let cloud = confusing_cloud().await;
    let moment = Moment { action: "DeleteTags".to_owned(), nth: 0, takes_effect: true };
    let (program, proxy) = killed(&cloud, signals::hcl, &moment).await;
    (cloud, program, proxy)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ami_that_nobody_heard_of_stays_findable_until_it_is_deleted() {
    let (cloud, program, proxy) = killed_at_its_end().await;
    for _ in 0..2 {
        let kept = cleanup(&program, &proxy, &[]).await.succeeded();
        let left = cloud.left().await;
        let image = left.iter().find(|one| one.starts_with("ami-")).expect("it is kept");
        let line = format!("AMI {image} in us-east-1 (`baked`)");
        assert!(kept.stdout.contains(&line), "{kept:#?}");
        assert!(kept.stdout.contains("cleanup -delete-finished"), "{kept:#?}");
        assert!(kept.stdout.contains("Nothing else is left of the run"), "{kept:#?}");
        assert_eq!(left.len(), 2, "with its snapshot: {left:?}");
    }
    let deleted = cleanup(&program, &proxy, &["-delete-finished"]).await.succeeded();
    assert!(deleted.stdout.contains("Deregistering ami-"), "{deleted:#?}");
    assert_eq!(cloud.left().await, BTreeSet::new());
    assert_eq!(journals(&program), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_ami_that_somebody_removed_is_forgotten() {
    let (cloud, program, proxy) = killed_at_its_end().await;
    cleanup(&program, &proxy, &[]).await.succeeded();
    cloud.bed.remove_images(&cloud.left().await).await;
    let shown = cleanup(&program, &proxy, &["-dry-run"]).await.succeeded();
    assert!(!shown.stdout.contains("AMI ami-"), "{shown:#?}");
    assert_eq!(journals(&program).len(), 1, "a dry run changes nothing");
    cleanup(&program, &proxy, &[]).await.succeeded();
    assert_eq!(journals(&program), Vec::<String>::new());
}

/// A build that asks nobody whose credentials it has.
fn unasked(bed: &Bed) -> (&'static str, String) {
    let builder = bed.options(json!({"type": "amazon-ebs", "skip_credential_validation": true}));
    ("web.json", json!({"builders": [builder]}).to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_account_does_not_know_is_not_gone() {
    let cloud = confusing_cloud().await;
    let moment = Moment { action: "StopInstances".to_owned(), nth: 0, takes_effect: true };
    let (program, proxy) = killed(&cloud, unasked, &moment).await;
    assert_eq!(proxy.count("GetCallerIdentity"), 0, "the template says so");
    let [journal] = journal_files(&program).try_into().unwrap();
    let text = std::fs::read_to_string(&journal).unwrap();
    assert!(text.contains(r#""account":"123456789012""#), "{text}");
    let other = cloud_of_nobody(&program, &journal, &proxy).await;
    assert!(other.stdout.contains("but the credentials are of 123456789012"), "{other:#?}");
    // One that does not say where it was made: not to be there means nothing.
    let unknown = text.replace(r#""account":"123456789012""#, r#""account":null"#);
    let empty = tokio::task::spawn_blocking(Bed::new).await.unwrap();
    let elsewhere = Proxy::before(empty.moto.endpoint()).start().await;
    let here = text.split(r#""endpoint":""#).nth(1).unwrap().split('"').next().unwrap();
    std::fs::write(&journal, unknown.replace(here, &elsewhere.endpoint())).unwrap();
    let lost = cleanup(&program, &elsewhere, &[]).await.failed_with(4);
    assert!(lost.stdout.contains("does not say in which account"), "{lost:#?}");
    assert!(journal.exists());
    std::fs::write(&journal, text).unwrap();
    cleanup(&program, &proxy, &[]).await.succeeded();
    assert_eq!(cloud.left().await, BTreeSet::new());
}

/// What is said where the journal is of another account than the credentials.
async fn cloud_of_nobody(program: &Program, journal: &std::path::Path, proxy: &Proxy) -> Run {
    let text = std::fs::read_to_string(journal).unwrap();
    std::fs::write(journal, text.replace("123456789012", "111122223333")).unwrap();
    let refused = cleanup(program, proxy, &[]).await.failed_with(4);
    assert!(journal.exists());
    refused
}
