//! The program is interrupted by real signals, at every moment that an undisturbed build has.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::bed::{Bed, Cloud};
use super::moment::{Bake, Baked, Moment, Signals};

/// How many builds are disturbed at a time, each in a cloud of its own.
const CLOUDS: usize = 3;

pub fn json(bed: &Bed) -> (&'static str, String) {
    let builder = bed.options(serde_json::json!({
        "type": "amazon-ebs",
        "ami_regions": ["eu-west-1"],
        "ami_users": ["111122223333"],
        "ena_support": true,
        "tags": {"Name": "web"},
        "launch_block_device_mappings": [{"device_name": "/dev/sdh", "volume_size": 8}],
    }));
    let template = serde_json::json!({
        "builders": [builder],
        "provisioners": [
            {"type": "shell", "inline": ["echo working", "sleep 0.1", "echo done"]},
            {"type": "shell-local", "inline": ["echo here"]},
        ],
        "post-processors": ["manifest"],
    });
    ("web.json", template.to_string())
}

pub fn hcl(bed: &Bed) -> (&'static str, String) {
    let text = format!(
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
          ssh_port      = {}
          ssh_username  = "{}"
          snapshot_tags = {{ Kind = "snapshot" }}
        }}
        build {{
          sources = ["source.amazon-ebs.web"]
          provisioner "shell" {{
            inline = ["echo working", "sleep 0.1", "echo done"]
          }}
        }}
        "#,
        bed.sshd.port, bed.sshd.user,
    );
    ("web.pkr.hcl", text)
}

/// Makes a template for a cloud.
pub type Template = fn(&Bed) -> (&'static str, String);

/// Disturbs builds of `template` at every moment that an undisturbed one has and `which` wants.
async fn disturb(
    template: Template,
    which: fn(&Moment) -> bool,
    signals: Signals,
    check: impl AsyncFn(&Cloud, &Moment, Baked, &Baked),
) {
    let clouds = futures::future::join_all((0..CLOUDS).map(|_| Cloud::start())).await;
    let undisturbed = bake(&clouds[0].bed, template).run().await;
    assert_eq!(undisturbed.code, Some(0), "{:#?}", undisturbed.said);
    clouds[0].bed.remove_images(&undisturbed.told(AMI)).await;
    let moments: Vec<_> = undisturbed.moments.iter().filter(|moment| which(moment)).collect();
    let steps = moments.iter().filter(|moment| moment.is_step()).count();
    assert_eq!(steps, 23, "{moments:#?}");
    println!("{signals:?}: {} moments, {steps} of them the starts of steps", moments.len());
    let next = AtomicUsize::new(0);
    let work = clouds.iter().map(async |cloud| {
        while let Some(moment) = moments.get(next.fetch_add(1, Ordering::Relaxed)) {
            let baked = bake(&cloud.bed, template).disturbed(moment, signals).await;
            check(cloud, moment, baked, &undisturbed).await;
        }
    });
    futures::future::join_all(work).await;
}

fn bake(bed: &Bed, template: Template) -> Bake<'_> {
    Bake { bed, template: template(bed), args: Vec::new() }
}

/// An image in the list at the end of a run.
const AMI: &str = r"^(?:--> .*)?[a-z]+-[a-z]+-\d: (ami-\w+)$";

/// What a build says when it makes something, and when it takes it back.
const UNDONE: [(&str, &str); 5] = [
    (r"^Creating the temporary key pair (\S+)", r"^Deleting the temporary key pair (\S+)"),
    (
        r"^Creating the temporary security group (\S+)",
        r"^Deleting the temporary security group (\S+)",
    ),
    (r"^Instance: (\S+)", r"^Terminating the instance (\S+)"),
    (r"^AMI: (\S+)", r"^Deregistering (\S+) and deleting its snapshots"),
    (r"^Copying \S+ to (\S+):", r"^Removing the copy in (\S+):"),
];

/// Nothing is left but images that the program lists, and it has said what it took back.
async fn leaves_nothing(cloud: &Cloud, moment: &Moment, baked: Baked, undisturbed: &Baked) {
    let said = &baked.said;
    if baked.has_said("Cancelling build after receiving") {
        assert_eq!(baked.code, Some(1), "{moment:?}: {said:#?}");
        assert!(baked.has_said("Cleanly cancelled builds"), "{moment:?}: {said:#?}");
    } else {
        // Nothing was left to cancel: all builds were finished.
        assert_eq!(baked.code, Some(0), "{moment:?}: {said:#?}");
    }
    let kept = baked.told(AMI);
    cloud.bed.remove_images(&kept).await;
    assert_eq!(cloud.left().await, BTreeSet::new(), "{moment:?}: {said:#?}");
    assert!(
        kept.is_empty() || baked.was_whole_when_cancelled(undisturbed),
        "{moment:?}: {said:#?}"
    );
    // A post-processor that is interrupted takes what was made along.
    let whole = !kept.is_empty() || baked.has_said("Destroying the artifact ");
    let rules = if whole { &UNDONE[..3] } else { &UNDONE[..] };
    for (made, undone) in rules {
        assert_eq!(baked.told(made), baked.told(undone), "{moment:?}: {said:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_at_any_moment_of_an_hcl_build_leaves_nothing() {
    disturb(hcl, |_| true, Signals::Once("INT"), leaves_nothing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_termination_at_any_moment_of_a_json_build_leaves_nothing() {
    disturb(json, |_| true, Signals::Once("TERM"), leaves_nothing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_at_any_step_says_what_it_leaves() {
    let check = async |cloud: &Cloud, moment: &Moment, baked: Baked, _: &Baked| {
        let said = &baked.said;
        // Where nothing was there to undo, the run ends before a second signal can come.
        let gave_up = baked.has_said("Giving up after receiving interrupt again");
        assert_eq!(baked.code, Some(if gave_up { 130 } else { 1 }), "{moment:?}: {said:#?}");
        let list = said.iter().position(|line| line.contains("These may still exist:"));
        for id in cloud.left().await {
            // Volumes and snapshots come and go with what they belong to.
            if id.starts_with("vol-") || id.starts_with("snap-") {
                continue;
            }
            let (id, name) = id.split_once(' ').unwrap_or((&id, &id));
            // Where the API's answer did not arrive any more, the id is not known.
            let names = match id.split_once('-') {
                Some(("i", _)) => [id, "instance with the tag imgbake:build="],
                Some(("ami", _)) => [id, "AMI `baked`"],
                _ => [id, name],
            };
            let is_it = |line: &String| names.iter().any(|name| line.contains(name));
            let listed = list.is_some_and(|at| said[at..].iter().any(is_it));
            assert!(listed, "{moment:?}: {id} is left and not listed: {said:#?}");
        }
        cloud.bed.sweep(&cloud.before).await;
    };
    disturb(json, Moment::is_step, Signals::Twice("INT"), check).await;
}
