//! A run for a release.

use super::github::{GitHub, TOKEN};
use super::outputs::amazon;
use super::runner::Runner;
use crate::amazon_ebs::bed::Bed;

fn runner(bed: &Bed, github: &GitHub) -> Runner {
    Runner::new("build")
        .vars(bed.moto.environment())
        .var("GITHUB_API_URL", github.url())
        .event("release", &github.release())
        .with("github-token", TOKEN)
        .file("web.pkr.hcl", amazon(bed, "true"))
}

#[test]
fn a_release_gets_the_images_of_its_run_and_the_manifest() {
    let (bed, github) = (Bed::new(), GitHub::start());
    github.thread().notes = "What is new\n".to_owned();
    let runner = runner(&bed, &github);
    let step = runner.run().succeeded();
    let first = step.outputs["ami-id"].clone();
    let notes = github.thread().notes.clone();
    assert!(notes.starts_with("What is new\n"), "{notes}");
    for told in [first.as_str(), "eu-west-1", "amazon-ebs.web", "console.aws.amazon.com"] {
        assert!(notes.contains(told), "{told}: {notes}");
    }
    let (_, name, content) = github.thread().assets[0].clone();
    assert_eq!((name.as_str(), &content), ("manifest.json", &step.outputs["manifest"]));
    // What runs again says it again, and not twice.
    let step = runner.run().succeeded();
    let thread = github.thread();
    assert!(thread.notes.contains(&step.outputs["ami-id"]) && !thread.notes.contains(&first));
    assert_eq!(thread.assets.len(), 1);
    assert_eq!(thread.assets[0].2, step.outputs["manifest"]);
}

#[test]
fn a_release_that_cannot_be_written_costs_one_warning_and_no_build() {
    let (bed, github) = (Bed::new(), GitHub::start());
    github.thread().read_only = true;
    let step = runner(&bed, &github).run().succeeded();
    let title = "no images in the release";
    let warned = step.log.annotations.iter().filter(|one| one.properties["title"] == title);
    let warned: Vec<_> = warned.map(|one| one.message.as_str()).collect();
    assert!(warned.len() == 1 && warned[0].contains("`contents: write`"), "{warned:?}");
    let asked = github.thread().asked.len();
    runner(&bed, &github).with("comment", "never").run().succeeded();
    assert_eq!(github.thread().asked.len(), asked);
}
