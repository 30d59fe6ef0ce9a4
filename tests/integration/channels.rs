//! Channels: AMIs are published, promoted, rolled back and retired, in the parameters and the EC2 of a
//! real API (moto).

use std::collections::BTreeSet;
use std::process::Stdio;

use aws_sdk_ec2::types::{
    LaunchPermission, LaunchPermissionModifications, RequestLaunchTemplateData, Tag,
};
use tokio::process::Command;

use crate::amazon_ebs::bed::Bed;
use crate::amazon_ebs::proxy::{Fate, Proxy};
use crate::support::{Program, Run};

const HOME: &str = "us-east-1";
const ABROAD: &str = "eu-west-1";

/// An account, and somebody who publishes in it.
pub struct Office {
    bed: Bed,
    proxy: Proxy,
    pub program: Program,
}

impl Office {
    pub async fn new() -> Self {
        Self::with(|_, _| Fate::Passes).await
    }

    async fn with(rule: impl Fn(&str, usize) -> Fate + Send + Sync + 'static) -> Self {
        let bed = Bed::new();
        let proxy = Proxy::before(bed.moto.endpoint()).with_rule(Box::new(rule)).with_manners();
        Self { proxy: proxy.start().await, bed, program: Program::new() }
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::from(self.program.command(line.split_whitespace()));
        command.envs(self.proxy.environment()).env("AWS_REGION", HOME);
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    pub async fn run(&self, line: &str) -> Run {
        Run::of(self.command(line).output().await.unwrap())
    }

    pub async fn ok(&self, line: &str) -> String {
        self.run(line).await.succeeded().stdout
    }

    async fn refused(&self, line: &str) -> String {
        let run = self.run(line).await.failed_with(1);
        format!("{}{}", run.stdout, run.stderr)
    }

    /// A new AMI.
    pub async fn image(&self, region: &'static str, name: &str) -> String {
        self.bed.image(region, name).await;
        let ec2 = self.bed.ec2(region);
        let filter = aws_sdk_ec2::types::Filter::builder().name("name").values(name).build();
        let found = ec2.describe_images().owners("self").filters(filter).send().await.unwrap();
        found.images()[0].image_id().unwrap().to_owned()
    }

    pub async fn tag(&self, ami: &str, key: &str, value: &str) {
        self.tag_in(HOME, ami, key, value).await;
    }

    async fn tag_in(&self, region: &'static str, ami: &str, key: &str, value: &str) {
        let tag = Tag::builder().key(key).value(value).build();
        let ec2 = self.bed.ec2(region);
        ec2.create_tags().resources(ami).tags(tag).send().await.unwrap();
    }

    /// What a parameter says.
    async fn parameter(&self, region: &'static str, name: &str) -> Option<String> {
        let ssm = self.bed.moto.ssm(region);
        let found = ssm.get_parameter().name(name).send().await.ok()?;
        found.parameter?.value
    }

    /// The account's own AMIs and snapshots in the first region.
    async fn inventory(&self) -> BTreeSet<String> {
        let ec2 = self.bed.ec2(HOME);
        let images = ec2.describe_images().owners("self").send().await.unwrap();
        let images = images.images().iter().filter_map(|one| one.image_id.clone());
        let snapshots = ec2.describe_snapshots().owner_ids("self").send().await.unwrap();
        let snapshots = snapshots.snapshots().iter().filter_map(|one| one.snapshot_id.clone());
        images.chain(snapshots).collect()
    }

    async fn snapshot_of(&self, ami: &str) -> String {
        let found = self.bed.ec2(HOME).describe_images().image_ids(ami).send().await.unwrap();
        let disk = found.images()[0].block_device_mappings()[0].ebs().unwrap();
        disk.snapshot_id().unwrap().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_goes_from_beta_to_stable_and_back() {
    let office = Office::new().await;
    let (one, far) = (office.image(HOME, "web-1").await, office.image(ABROAD, "web-1").await);
    let two = office.image(HOME, "web-2").await;
    let both = format!("{HOME}:{one},{ABROAD}:{far}");
    let said = office
        .ok(&format!("publish -image web -channel beta -commit 0123456789abcdef {both}"))
        .await;
    assert!(said.contains(&format!("/images/web/beta in {ABROAD} is {far}")), "{said}");
    assert_eq!(office.parameter(HOME, "/images/web/beta").await, Some(one.clone()));
    // Both regions come along: the release says them. Nobody has tested it yet.
    let promote = "promote -image web -from beta -to stable";
    let refused = office.refused(promote).await;
    assert!(
        refused.contains(&format!("nothing says that {far}, {one} passed a test")),
        "{refused}"
    );
    assert_eq!(office.parameter(HOME, "/images/web/stable").await, None);
    office.ok(&format!("{promote} -untested")).await;
    assert_eq!(office.parameter(ABROAD, "/images/web/stable").await, Some(far.clone()));
    let again = office.ok(&format!("{promote} -untested")).await;
    assert!(again.contains(&format!("is {one} already")), "{again}");

    office.ok(&format!("publish -image web -channel beta {HOME}:{two}")).await;
    office.tag(&two, "imgbake:tested", &format!("passed {one}")).await;
    let copied = office.refused(promote).await;
    assert!(copied.contains(&two), "the tag is about another AMI: {copied}");
    office.tag(&two, "imgbake:tested", &format!("passed {two}")).await;
    office.ok(promote).await;
    assert_eq!(office.parameter(HOME, "/images/web/stable").await, Some(two.clone()));
    assert_eq!(office.parameter(ABROAD, "/images/web/stable").await, Some(far.clone()));

    office.ok("rollback -image web -channel stable").await;
    assert_eq!(office.parameter(HOME, "/images/web/stable").await, Some(one.clone()));
    let shown = office.ok("channels -image web").await;
    let lines: Vec<&str> = shown.lines().filter(|line| line.contains("ami-")).collect();
    let stable = lines.iter().filter(|line| line.contains("rolled back of commit 0123456789ab"));
    assert_eq!(stable.count(), 1, "{shown}");
    let promoted = lines.iter().filter(|line| line.contains("promoted from beta"));
    assert_eq!(promoted.count(), 2, "{shown}");
    // Who it was: moto says `N/A` where AWS names a user.
    assert!(lines.iter().all(|line| line.contains("(N/A)")), "{shown}");
    let lost = office.refused("rollback -image web -channel nightly").await;
    assert!(lost.contains("`nightly` had no other AMI before in us-east-1"), "{lost}");
}

/// The lines of the README.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_run_of_a_manifest_is_published() {
    let office = Office::new().await;
    let (here, far) = (office.image(HOME, "web").await, office.image(ABROAD, "web").await);
    let entry = |id: String, run: &str| {
        serde_json::json!({
            "name": "web", "builder_type": "amazon-ebs", "artifact_id": id, "files": null,
            "packer_run_uuid": run,
        })
    };
    let last = entry(format!("{ABROAD}:{far},{HOME}:{here}"), "2");
    let builds = [entry("us-east-1:ami-0123".to_owned(), "1"), last];
    let manifest = serde_json::json!({"builds": builds, "last_run_uuid": "2"});
    office.program.write("packer-manifest.json", manifest.to_string());
    let said = office.ok("publish -image web -channel beta packer-manifest.json").await;
    assert!(said.contains(&format!("/images/web/beta in {ABROAD} is {far}")), "{said}");
    for (region, ami) in [(HOME, &here), (ABROAD, &far)] {
        office.tag_in(region, ami, "imgbake:tested", &format!("passed {ami}")).await;
    }
    office.ok("promote -image web -from beta -to stable").await;
    let shown = office.ok("channels -image web").await;
    assert!(shown.contains(&here) && !shown.contains(&far), "{shown}");
    let shown = office.ok("channels -image web -region us-east-1,eu-west-1").await;
    assert!(shown.contains(&here) && shown.contains(&far), "{shown}");
    let only = office.refused("rollback -image web -channel stable").await;
    assert!(only.contains("`stable` had no other AMI before"), "{only}");
    let kept = office.ok("retire -image web -keep 5 -older-than 90d -dry-run").await;
    assert!(kept.contains("0 AMIs would go; nothing was changed."), "{kept}");
    let policy = office.ok("retire -image web -region us-east-1 -iam-policy").await;
    let policy: serde_json::Value = serde_json::from_str(&policy).unwrap();
    assert!(policy.to_string().contains("ec2:DeregisterImage"), "{policy:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_changes_in_all_regions_or_in_none() {
    let rule = |action: &str, before| match (action, before) {
        ("PutParameter", 3) => {
            Fate::Answered(400, r#"{"__type": "AccessDeniedException", "message": "no"}"#)
        }
        _ => Fate::Passes,
    };
    let office = Office::with(rule).await;
    let publish = async |names: [&str; 2]| {
        let here = office.image(HOME, names[0]).await;
        let far = office.image(ABROAD, names[1]).await;
        let line = format!("publish -image web -channel stable {HOME}:{here},{ABROAD}:{far}");
        (here, far, office.run(&line).await)
    };
    let (here, far, first) = publish(["a", "b"]).await;
    first.succeeded();
    let (_, _, second) = publish(["c", "d"]).await;
    let second = second.failed_with(1);
    let said = format!("{}{}", second.stdout, second.stderr);
    assert!(said.contains("/images/web/stable cannot be written in "), "{said}");
    assert!(said.contains(" again"), "{said}");
    assert_eq!(office.parameter(HOME, "/images/web/stable").await, Some(here));
    assert_eq!(office.parameter(ABROAD, "/images/web/stable").await, Some(far));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ami_that_comes_to_more_regions_is_promoted_to_all_of_them() {
    let office = Office::new().await;
    let (here, far) = (office.image(HOME, "web").await, office.image(ABROAD, "web").await);
    office.ok(&format!("publish -image web -channel beta {HOME}:{here}")).await;
    let both = format!("{HOME}:{here},{ABROAD}:{far}");
    let said = office.ok(&format!("publish -image web -channel beta {both}")).await;
    assert!(said.contains(&format!("is {here}, as before, in the release ")), "{said}");
    office.ok("promote -image web -from beta -to stable -untested").await;
    assert_eq!(office.parameter(HOME, "/images/web/stable").await, Some(here));
    assert_eq!(office.parameter(ABROAD, "/images/web/stable").await, Some(far));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parameter_of_somebody_else_is_neither_written_nor_shown() {
    let office = Office::new().await;
    let ami = office.image(HOME, "web").await;
    put(&office, "/images/web/password", "hunter2").await;
    put(&office, "/images/web/team/deep", "::error::forged").await;
    let said = office.refused(&format!("publish -image web -channel password {HOME}:{ami}")).await;
    assert!(said.contains("is no channel: what it says is no AMI") && !said.contains("hunter2"));
    assert_eq!(office.parameter(HOME, "/images/web/password").await.as_deref(), Some("hunter2"));
    office.ok(&format!("publish -image web -channel beta {HOME}:{ami}")).await;
    let shown = office.ok("channels -image web").await;
    assert!(shown.contains(&ami) && shown.contains("(no AMI)"), "{shown}");
    assert!(!shown.contains("hunter2") && !shown.contains("forged"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_cannot_be_made_is_not_removed_again() {
    let rule = |action: &str, _| match action {
        "PutParameter" => {
            Fate::Answered(400, r#"{"__type": "AccessDeniedException", "message": "no"}"#)
        }
        _ => Fate::Passes,
    };
    let office = Office::with(rule).await;
    let ami = office.image(HOME, "web").await;
    let said = office.refused(&format!("publish -image web -channel beta {HOME}:{ami}")).await;
    assert!(said.contains("cannot be written") && !said.contains("removed"), "{said}");
    assert_eq!(office.proxy.count("DeleteParameter"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_publish_leaves_no_channel_in_half_of_its_regions() {
    let rule = |action: &str, before| match (action, before) {
        ("PutParameter", 0) => Fate::Held,
        _ => Fate::Passes,
    };
    let office = Office::with(rule).await;
    let (here, far) = (office.image(HOME, "web").await, office.image(ABROAD, "web").await);
    let line = format!("publish -image web -channel beta {HOME}:{here},{ABROAD}:{far}");
    let mut child = office.command(&line).stdout(Stdio::null()).spawn().unwrap();
    office.proxy.until_held().await;
    let process = rustix::process::Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    // It has time to notice before the call that it waits for goes on.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    office.proxy.release();
    assert_eq!(child.wait().await.unwrap().code(), Some(130));
    assert_eq!(office.parameter(HOME, "/images/web/beta").await, None);
    assert_eq!(office.parameter(ABROAD, "/images/web/beta").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_ami_that_is_there_is_published() {
    let office = Office::new().await;
    let own = office.image(HOME, "own").await;
    let ec2 = office.bed.ec2(HOME);
    let others = ec2.describe_images().owners("099720109477").send().await.unwrap();
    let other = others.images()[0].image_id().unwrap();
    for (artifact, why) in [
        (format!("{HOME}:{own},{ABROAD}:ami-0123"), "eu-west-1 has no AMI ami-0123"),
        (format!("{HOME}:{other}"), "of this account"),
        ("missing.json".to_owned(), "the manifest missing.json cannot be read"),
        (format!("evil.example.com/:{own}"), "`evil.example.com/` is no region"),
    ] {
        let said = office.refused(&format!("publish -image web -channel beta {artifact}")).await;
        assert!(said.contains(why), "{artifact}: {said}");
    }
    let said = office.refused(&format!("publish -image ../x -channel beta {HOME}:{own}")).await;
    assert!(said.contains("-image: `../x` is no name"), "{said}");
    assert_eq!(office.proxy.count("PutParameter"), 0);
}

/// An AMI that was published as `web`, and is in no channel any more.
async fn published(office: &Office, name: &str) -> String {
    let ami = office.image(HOME, name).await;
    office.tag(&ami, "imgbake:published", &format!("{ami} /images/web")).await;
    ami
}

type Staying = Vec<(String, &'static str)>;

async fn put(office: &Office, name: &str, ami: &str) {
    let ssm = office.bed.moto.ssm(HOME);
    let put = ssm.put_parameter().name(name).value(ami).overwrite(true);
    put.r#type(aws_sdk_ssm::types::ParameterType::String).send().await.unwrap();
}

/// AMIs that channels have, or go back to.
async fn in_channels(office: &Office) -> Staying {
    let current = office.image(HOME, "current").await;
    let earlier = office.image(HOME, "earlier").await;
    for ami in [&earlier, &current] {
        office.ok(&format!("publish -image web -channel stable {HOME}:{ami}")).await;
    }
    let other_image = published(office, "other-image").await;
    put(office, "/images/proxy/stable", &other_image).await;
    vec![
        (current, "in the channel /images/web/stable"),
        (earlier, "what the channel stable goes back to"),
        (other_image, "in the channel /images/proxy/stable"),
    ]
}

/// A launch template whose first version uses `image`, and its second another.
async fn template(office: &Office, name: &str, image: &str) {
    let ec2 = office.bed.ec2(HOME);
    let data = |image: &str| RequestLaunchTemplateData::builder().image_id(image).build();
    let made = ec2.create_launch_template().launch_template_name(name);
    made.launch_template_data(data(image)).send().await.unwrap();
    let newer = ec2.create_launch_template_version().launch_template_name(name);
    newer.launch_template_data(data("ami-00000000")).send().await.unwrap();
}

/// AMIs that machines are started from, or may be.
async fn in_use(office: &Office) -> Staying {
    let old_version = published(office, "old-version").await;
    template(office, "pinned", &old_version).await;
    let named = published(office, "named").await;
    for ami in [named.as_str(), "ami-00000000"] {
        put(office, "/elsewhere/base", ami).await;
    }
    template(office, "resolving", "resolve:ssm:/elsewhere/base:1").await;
    let configured = published(office, "configured").await;
    let auto_scaling = office.bed.moto.auto_scaling(HOME);
    let made = auto_scaling.create_launch_configuration().launch_configuration_name("old-fleet");
    made.image_id(&configured).instance_type("t3.micro").send().await.unwrap();
    let mut stays = vec![
        (old_version, "used by launch template pinned (version 1)"),
        (named, "through /elsewhere/base:1"),
        (configured, "used by launch configuration old-fleet"),
    ];
    let ec2 = office.bed.ec2(HOME);
    for (name, state) in [("running", "(running)"), ("stopped", "(stopped)")] {
        let ami = published(office, name).await;
        let started = ec2.run_instances().image_id(&ami).min_count(1).max_count(1).send().await;
        let id = started.unwrap().instances()[0].instance_id().unwrap().to_owned();
        if name == "stopped" {
            ec2.stop_instances().instance_ids(id).send().await.unwrap();
        }
        stays.push((ami, state));
    }
    stays
}

/// AMIs that are not ours: without a tag, with one that came along with a copy of `copied`, of another
/// image; and one that uses the snapshot of `needed`.
async fn strangers(office: &Office, copied: &str, needed: &str) -> Vec<String> {
    let mut others = vec![office.image(HOME, "web-look-alike").await];
    for (name, value) in [("copied", format!("{copied} /images/web")), ("db", "web-db".to_owned())]
    {
        let ami = office.image(HOME, name).await;
        office.tag(&ami, "imgbake:published", &value).await;
        others.push(ami);
    }
    let snapshot = office.snapshot_of(needed).await;
    let disk = aws_sdk_ec2::types::EbsBlockDevice::builder().snapshot_id(&snapshot).build();
    let disk = aws_sdk_ec2::types::BlockDeviceMapping::builder().device_name("/dev/sda1").ebs(disk);
    // What moto forgets of it, the proxy knows.
    let config = office.bed.ec2(HOME).config().to_builder();
    let config = config.endpoint_url(office.proxy.endpoint()).build();
    let user = aws_sdk_ec2::Client::from_conf(config).register_image().name("registered");
    let user = user.root_device_name("/dev/sda1").block_device_mappings(disk.build());
    others.push(user.send().await.unwrap().image_id().unwrap().to_owned());
    others
}

#[tokio::test(flavor = "multi_thread")]
async fn what_anybody_uses_stays_and_the_rest_goes_with_its_snapshots() {
    let office = Office::new().await;
    let free = [published(&office, "free-1").await, published(&office, "free-2").await];
    let mut stays = in_channels(&office).await;
    stays.extend(in_use(&office).await);
    let shared = published(&office, "shared").await;
    let user = LaunchPermission::builder().user_id("210987654321").build();
    let add = LaunchPermissionModifications::builder().add(user).build();
    let share = office.bed.ec2(HOME).modify_image_attribute().image_id(&shared);
    share.launch_permission(add).send().await.unwrap();
    stays.push((shared.clone(), "shared with 210987654321"));
    let needed = published(&office, "needed").await;
    // EC2's times are seconds.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    stays.push((published(&office, "newest").await, "one of the newest 1"));
    let others = strangers(&office, &free[0], &needed).await;

    let before = office.inventory().await;
    let nothing = office.refused("retire -image web").await;
    assert!(nothing.contains("give -keep, -older-than or both"), "{nothing}");
    let shown = office.ok("retire -image web -keep 1 -dry-run").await;
    assert_eq!(office.inventory().await, before, "{shown}");
    for (ami, why) in &stays {
        let line = shown.lines().find(|line| line.contains(&format!("--> {ami} ")));
        let line = line.unwrap_or_else(|| panic!("{ami}: {shown}"));
        assert!(line.contains("stays: ") && line.contains(why), "{line}");
    }
    let young = office.ok("retire -image web -older-than 1h -dry-run").await;
    assert!(young.contains("0 AMIs would go") && young.contains("too young"), "{young}");

    let mut gone: BTreeSet<String> = free.iter().cloned().collect();
    gone.insert(needed);
    for ami in &free {
        gone.insert(office.snapshot_of(ami).await);
    }
    let done = office.ok("retire -image web -keep 1").await;
    assert!(done.contains("3 AMIs are gone."), "{done}");
    let after = office.inventory().await;
    assert_eq!(before.difference(&after).cloned().collect::<BTreeSet<_>>(), gone, "{done}");
    assert!(others.iter().all(|ami| after.contains(ami)));

    let done = office.ok("retire -image web -keep 1 -shared").await;
    assert!(done.contains("1 AMIs are gone.") && !office.inventory().await.contains(&shared));
}

/// AMIs are described as made and deprecated then, and deprecating one, which moto cannot, works.
fn described_as(dates: &'static str) -> impl Fn(&str, usize) -> Fate {
    move |action, before| match (action, before) {
        ("EnableImageDeprecation", _) => Fate::Done,
        ("DescribeImages", 1..) => Fate::Rewritten("<creationDate>[^<]*</creationDate>", dates),
        _ => Fate::Passes,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ami_may_be_deprecated_before_it_goes() {
    let office = Office::with(described_as(
        "<creationDate>2026-01-01T00:00:00.000Z</creationDate>\
         <deprecationTime>2026-02-01T00:00:00.000Z</deprecationTime>",
    ))
    .await;
    let ami = published(&office, "old").await;
    let first = office.ok("retire -image web -keep 0 -grace 14d").await;
    assert!(first.contains("is deprecated now, and goes later"), "{first}");
    assert_eq!(office.proxy.count("EnableImageDeprecation"), 1);
    assert!(office.inventory().await.contains(&ami));
    let later = office.ok("retire -image web -older-than 90d -grace 14d").await;
    assert!(later.contains("1 AMIs are gone.") && !office.inventory().await.contains(&ami));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ami_that_will_be_deprecated_some_day_is_deprecated_now() {
    let office = Office::with(described_as(
        "<creationDate>2026-01-01T00:00:00.000Z</creationDate>\
         <deprecationTime>2999-01-01T00:00:00.000Z</deprecationTime>",
    ))
    .await;
    let ami = published(&office, "old").await;
    let said = office.ok("retire -image web -keep 0 -grace 14d").await;
    assert!(said.contains("is deprecated now, and goes later"), "{said}");
    assert_eq!(office.proxy.count("EnableImageDeprecation"), 1);
    assert!(office.inventory().await.contains(&ami));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_run_was_retiring_is_finished_by_cleanup() {
    let rule = |action: &str, before| match (action, before) {
        ("DeleteSnapshot", 0) => Fate::Held,
        _ => Fate::Passes,
    };
    let office = Office::with(rule).await;
    let ami = published(&office, "old").await;
    let snapshot = office.snapshot_of(&ami).await;
    let mut child =
        office.command("retire -image web -keep 0").stdout(Stdio::null()).spawn().unwrap();
    office.proxy.until_held().await;
    child.kill().await.unwrap();
    let left = office.inventory().await;
    assert!(left.contains(&snapshot) && !left.contains(&ami));
    office.proxy.release();
    let said = office.ok("cleanup").await;
    assert!(!office.inventory().await.contains(&snapshot), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_if_it_is_not_known_who_uses_it() {
    let rule = |action: &str, _| match action {
        "DescribeAutoScalingGroups" => Fate::Refused("AccessDenied"),
        _ => Fate::Passes,
    };
    let office = Office::with(rule).await;
    let ami = published(&office, "old").await;
    let said = office.refused("retire -image web -keep 0").await;
    assert!(said.contains("it is not known who uses AMIs in us-east-1"), "{said}");
    assert!(office.inventory().await.contains(&ami));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: 500 AMIs"]
async fn five_hundred_amis_are_retired() {
    let office = Office::new().await;
    for index in 0..500 {
        published(&office, &format!("web-{index}")).await;
    }
    let (calls, since) = (office.proxy.calls().len(), std::time::Instant::now());
    let said = office.ok("retire -image web -keep 5").await;
    assert!(said.contains("495 AMIs are gone."), "{said}");
    let calls = office.proxy.calls().len() - calls;
    println!("495 of 500 AMIs retired: {calls} calls in {:?}", since.elapsed());
    // Three for each AMI (who may use it, the AMI, its snapshot), and few for all.
    assert!(calls < 1550, "{calls}");
}
