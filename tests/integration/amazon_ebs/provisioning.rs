//! The program's builds fail: while they connect, and at the first, middle and last provisioner,
//! under each `-on-error`.

use std::collections::BTreeSet;

use serde_json::json;

use super::bed::Bed;
use super::moment::{Bake, Baked};
use crate::support::free_port;

/// Three provisioners; the one at `failing` exits with 3.
fn template(bed: &Bed, failing: usize) -> (&'static str, String) {
    let mut builder = bed.options(json!({"type": "amazon-ebs"}));
    builder["run_tags"] = json!({"Team": "images"});
    let one = |at: usize| {
        let exit = if at == failing { 3 } else { 0 };
        json!({"type": "shell", "inline": [format!("echo provisioner {at}"), format!("exit {exit}")]})
    };
    let template = json!({
        "builders": [builder],
        "provisioners": [one(0), one(1), one(2)],
        "error-cleanup-provisioner": {"type": "shell", "inline": ["echo saving the logs"]},
    });
    ("web.json", template.to_string())
}

/// Runs a build whose provisioner `failing` fails: how it ended, and what is left.
async fn fail(bed: &Bed, failing: usize, on_error: &'static str) -> (Baked, BTreeSet<String>) {
    let before = bed.inventory_of_all().await;
    let baked = Bake { bed, template: template(bed, failing), args: vec![on_error] }.run().await;
    let left = bed.inventory_of_all().await.difference(&before).cloned().collect();
    assert_eq!(baked.code, Some(1), "{:#?}", baked.said);
    for at in 0..3 {
        let ran = baked.has_said(&format!("provisioner {at}"));
        assert_eq!(ran, at <= failing, "{at}: {:#?}", baked.said);
    }
    assert!(baked.has_said("exit status: 3"), "{:#?}", baked.said);
    (baked, left)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_provisioner_leaves_nothing_wherever_it_stands() {
    let bed = Bed::new();
    for failing in 0..3 {
        let (baked, left) = fail(&bed, failing, "-on-error=cleanup").await;
        assert_eq!(left, BTreeSet::new(), "{failing}: {:#?}", baked.said);
        assert!(baked.has_said("saving the logs"), "{failing}: {:#?}", baked.said);
        for undone in ["the instance i-", "the temporary key pair", "the temporary security group"]
        {
            assert!(baked.has_said(undone), "{undone}: {:#?}", baked.said);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_on_purpose_is_there_and_listed() {
    let bed = Bed::new();
    let before = bed.inventory_of_all().await;
    for (on_error, saves) in [("abort", false), ("run-cleanup-provisioner", true)] {
        for failing in 0..3 {
            let flag = if saves { "-on-error=run-cleanup-provisioner" } else { "-on-error=abort" };
            let (baked, left) = fail(&bed, failing, flag).await;
            assert_eq!(baked.has_said("saving the logs"), saves, "{on_error}: {:#?}", baked.said);
            // A running instance, its volume, its key and its group: all but the volume are said.
            assert_eq!(left.len(), 4, "{on_error}: {left:?}");
            assert!(left.iter().any(|one| one.ends_with(" running")), "{on_error}: {left:?}");
            let list =
                baked.said.iter().position(|line| line.contains("These were left as they are"));
            let list = &baked.said[list.unwrap_or_else(|| panic!("no list: {:#?}", baked.said))..];
            for one in left.iter().filter(|one| !one.starts_with("vol-")) {
                let id = one.split(' ').next().unwrap();
                assert!(list.iter().any(|line| line.contains(id)), "{id}: {:#?}", baked.said);
            }
            bed.sweep(&before).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_never_answers_or_never_lets_us_in_leaves_nothing() {
    let bed = Bed::new();
    let before = bed.inventory_of_all().await;
    let closed = json!({"type": "amazon-ebs", "ssh_timeout": "1s", "ssh_port": free_port()});
    let locked = json!({
        "type": "amazon-ebs", "ssh_timeout": "2s", "ssh_username": "nobody-here",
        "ssh_handshake_attempts": 2,
    });
    for (changes, why) in [(closed, "timeout waiting for SSH after 1s"), (locked, "nobody-here")] {
        let template = json!({"builders": [bed.options(changes)]}).to_string();
        let baked = Bake { bed: &bed, template: ("web.json", template), args: vec![] }.run().await;
        assert_eq!(baked.code, Some(1), "{:#?}", baked.said);
        assert!(baked.has_said(why), "{why}: {:#?}", baked.said);
        assert_eq!(bed.inventory_of_all().await, before, "{why}: {:#?}", baked.said);
    }
}
