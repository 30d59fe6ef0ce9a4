//! Channels: what a job has built is published, and old AMIs are shown before they go.

use super::outputs::amazon;
use super::runner::Runner;
use crate::amazon_ebs::bed::Bed;
use crate::amazon_ebs::proxy::Proxy;

#[test]
fn what_a_job_has_built_is_published_and_nothing_goes_unless_it_is_said() {
    let bed = Bed::new();
    let runner = Runner::new("build").vars(bed.moto.environment()).with("aws-region", "us-east-1");
    let runner = runner.file("web.pkr.hcl", amazon(&bed, "uname"));
    let built = runner.run().succeeded();
    let runner = runner.with("command", "publish").with("image", "web").with("channel", "beta");
    let published = runner.run().succeeded();
    for region in ["us-east-1", "eu-west-1"] {
        let ami = &built.outputs[&format!("ami-{region}")];
        let said = format!("/images/web/beta in {region} is {ami}");
        assert!(published.log.raw.contains(&said), "{}", published.log.raw);
    }
    let runner = runner.with("command", "channels").with("channel", "");
    let listed = runner.run().succeeded();
    assert!(listed.log.raw.contains(&built.outputs["ami-us-east-1"]), "{}", listed.log.raw);
    let runner = runner.with("command", "rollback").with("channel", "beta");
    let first = runner.run().failed();
    assert!(first.log.raw.contains("`beta` had no other AMI before in us-east-1"), "{first:#?}");

    let runner = runner.with("command", "retire").with("channel", "").with("older-than", "0s");
    let shown = runner.run().succeeded();
    assert!(shown.log.raw.contains("nothing was changed"), "{}", shown.log.raw);
    assert!(shown.log.raw.contains("stays: in the channel /images/web/beta"), "{shown:#?}");
    let done = runner.with("dry-run", "false").run().succeeded();
    assert!(done.log.raw.contains("0 AMIs are gone."), "{}", done.log.raw);
}

#[test]
fn a_release_comes_back_and_old_images_go_in_each_region() {
    const REGIONS: [&str; 2] = ["us-east-1", "eu-west-1"];
    let bed = Bed::new();
    let runner = Runner::new("build").vars(bed.moto.environment()).with("aws-region", REGIONS[0]);
    let mut runner = runner.file("web.pkr.hcl", amazon(&bed, "uname"));
    let mut built = Vec::new();
    for _ in 0..3 {
        runner = runner.with("command", "build").with("image", "").with("channel", "");
        built.push(runner.run().succeeded().outputs);
        runner = runner.with("command", "publish").with("image", "web").with("channel", "beta");
        runner.run().succeeded();
    }
    let ami = |number: usize, region: &str| built[number][&format!("ami-{region}")].clone();
    let runner = runner.with("command", "channels").with("channel", "");
    let listed = runner.run().succeeded().log.raw;
    let (_, first) = listed.split_once(&ami(0, REGIONS[0])).expect("the first AMI");
    let release = first.trim_start().split("  ").nth(1).expect("its release").to_owned();
    let runner =
        runner.with("command", "rollback").with("channel", "beta").with("release", release);
    let back = runner.run().succeeded().log.raw;
    for region in REGIONS {
        let said = format!("/images/web/beta in {region} is {}", ami(0, region));
        assert!(back.contains(&said), "{back}");
    }
    let runner = runner.with("command", "retire").with("channel", "").with("release", "");
    let runner = runner.with("older-than", "0s").with("regions", REGIONS.join(", "));
    let gone = runner.with("dry-run", "false").run().succeeded().log.raw;
    for region in REGIONS {
        assert!(gone.contains(&ami(1, region)), "{gone}");
    }
    assert!(gone.contains("4 AMIs are gone."), "{gone}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_there_is_tested_by_its_template() {
    let bed = tokio::task::spawn_blocking(Bed::new).await.unwrap();
    bed.image("us-east-1", "there").await;
    let found = bed.ec2("us-east-1").describe_images().owners("self").send().await.unwrap();
    let image = found.images()[0].image_id().unwrap().to_owned();
    // It answers what moto does not know.
    let proxy = Proxy::before(bed.moto.endpoint()).with_manners().start().await;
    let vars = proxy.environment();
    let test = move |check: &str| {
        let text = amazon(&bed, "uname");
        let end = text.trim_end().strip_suffix('}').unwrap();
        let text = format!("{end}post-processor \"boot-test\" {{ inline = [\"{check}\"] }}\n}}\n");
        let runner = Runner::new("test").vars(vars.clone()).with("aws-region", "us-east-1");
        runner.file("web.pkr.hcl", text).with("image", &image).run()
    };
    let (bad, good) =
        tokio::task::spawn_blocking(move || (test("exit 7"), test("test -d /"))).await.unwrap();
    let said = bad.failed().log.raw;
    assert!(said.contains("non-zero exit status: 7"), "{said}");
    let said = good.succeeded().log.raw;
    assert!(said.contains("has passed"), "{said}");
}

#[test]
fn what_only_some_commands_take_is_refused_by_the_others() {
    let refused = |runner: Runner| runner.run().failed().log.raw;
    for (input, value) in [
        ("sbom", "dir"),
        ("parallel", "2"),
        ("skip-unchanged", "true"),
        ("explain-changes", "true"),
        ("keep-failed", "2h"),
        ("timeout", "1h"),
        ("report", "report.html"),
        ("regions", "us-east-1"),
        ("untested", "true"),
        ("shared", "true"),
        ("prefix", "/x"),
        ("release", "3"),
    ] {
        let said = refused(Runner::new("validate").with(input, value));
        let why = format!("the input `{input}`: it is not for `command: validate`");
        assert!(said.contains(&why), "{why}: {said}");
    }
    let said = refused(Runner::new("reap"));
    assert!(said.contains("the input `older-than`: say it for `command: reap`"), "{said}");
    let said = refused(Runner::new("test"));
    assert!(said.contains("the input `image`: say it for `command: test`"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_in_an_account_is_reaped_also_without_a_journal() {
    let bed = tokio::task::spawn_blocking(Bed::new).await.unwrap();
    // It answers what moto does not know.
    let proxy = Proxy::before(bed.moto.endpoint()).with_manners().start().await;
    let vars = proxy.environment();
    let reap = move || {
        let runner = Runner::new("reap").vars(vars).with("aws-region", "us-east-1");
        runner.with("older-than", "6h").with("regions", "us-east-1, eu-west-1").run()
    };
    let reaped = tokio::task::spawn_blocking(reap).await.unwrap().succeeded();
    assert!(reaped.log.raw.contains("Nothing is left that is old enough."), "{}", reaped.log.raw);
}

#[test]
fn each_command_takes_the_inputs_about_channels_that_it_needs() {
    let refused = |runner: Runner| runner.run().failed().log.raw;
    let said = refused(Runner::new("promote").with("image", "web").with("keep", "5"));
    for why in [
        "the input `channel`: say it for `command: promote`",
        "the input `from-channel`: say it for `command: promote`",
        "the input `keep`: it is not for `command: promote`",
    ] {
        assert!(said.contains(why), "{why}: {said}");
    }
    let said = refused(Runner::new("build").with("image", "web"));
    assert!(said.contains("the input `image`: it is not for `command: build`"), "{said}");
}
