//! A matrix: a job that plans, one for each build, and one that joins what they have made.

use serde_json::{Value as Json, json};

use super::github::{GitHub, TOKEN};
use super::outputs::amazon;
use super::runner::{Runner, Step};
use crate::amazon_ebs::bed::Bed;

const DB: &str = r#"source "null" "db" { communicator = "none" }
build {
  sources = ["null.db"]
  provisioner "shell-local" { inline = ["exit 1"] }
}
"#;

/// Templates of which two call their builds the same: one file, and one directory of several.
fn checkout(runner: Runner, bed: &Bed) -> Runner {
    let web = "source \"null\" \"db\" { communicator = \"none\" }\nbuild {\n  sources = [\"null.db\"]\n  provisioner \"shell-local\" { inline = [\"echo ${var.greeting}\"] }\n}\n";
    runner
        .file("images/ami.pkr.hcl", amazon(bed, "true"))
        .file("images/db.pkr.hcl", DB)
        .file("images/web/web.pkr.hcl", web)
        .file("images/web/variables.pkr.hcl", "variable \"greeting\" { default = \"hi\" }\n")
}

fn plan(bed: &Bed) -> Step {
    let templates = "images/ami.pkr.hcl\nimages/db.pkr.hcl\nimages/web";
    checkout(Runner::new("plan"), bed).with("templates", templates).run().succeeded()
}

/// The job of an entry, on a machine of its own.
fn job(bed: &Bed, entry: &Json) -> Step {
    let text = |name: &str| entry[name].as_str().unwrap().to_owned();
    checkout(Runner::new("build"), bed)
        .vars(bed.moto.environment())
        .with("templates", text("templates"))
        .with("only", text("only"))
        .run()
}

/// The job that merges, with the manifests as `actions/download-artifact` lays them out.
fn merge<'a>(manifests: impl IntoIterator<Item = &'a Step>) -> Runner {
    let manifests = manifests.into_iter().enumerate();
    let runner = Runner::new("merge").with("manifests", "manifests");
    manifests.fold(runner, |runner, (at, step)| {
        let name = format!("manifests/manifest-{at}/imgbake-manifest.json");
        runner.file(&name, &step.outputs["manifest"])
    })
}

#[test]
fn what_the_jobs_of_a_matrix_make_becomes_one() {
    let (bed, github) = (Bed::new(), GitHub::start());
    let planned = plan(&bed);
    let matrix = planned.json("matrix");
    let entries = matrix["include"].as_array().unwrap();
    let names: Vec<_> = entries.iter().map(|one| one["name"].as_str().unwrap()).collect();
    let (good, bad) = ("images/web: null.db", "images/db.pkr.hcl: null.db");
    assert_eq!(names, ["amazon-ebs.web", bad, good]);
    let steps: Vec<_> = entries.iter().map(|entry| job(&bed, entry)).collect();
    assert_eq!(steps.iter().map(|step| step.code).collect::<Vec<_>>(), [0, 1, 0].map(Some));

    let runner = merge(&steps)
        .with("matrix", planned.outputs["matrix"].clone())
        .with("github-token", TOKEN)
        .var("GITHUB_API_URL", github.url())
        .event("pull_request", &json!({"number": 3, "pull_request": {"number": 3}}));
    let merged = runner.run().failed();
    assert_eq!(merged.outputs["ami-id"], steps[0].outputs["ami-id"]);
    assert_eq!(merged.json("ami-ids"), steps[0].json("ami-ids"));
    assert_eq!(merged.json("failed-builds"), json!([bad]));
    assert_eq!(merged.outputs["result"], "failure");
    let builds = &merged.json("manifest")["builds"];
    assert_eq!(builds.as_object().unwrap().keys().collect::<Vec<_>>(), names);
    assert_eq!(builds[good]["result"], "success");
    let thread = github.thread();
    let [(_, _, comment)] = thread.comments.as_slice() else { panic!("{:#?}", thread.comments) };
    for text in [comment, &merged.summary] {
        assert!(text.contains("2 of 3 builds succeeded"), "{text}");
        assert!(text.contains(&merged.outputs["ami-id"]), "{text}");
    }
}

#[test]
fn a_job_that_left_no_manifest_has_failed() {
    let bed = Bed::new();
    let planned = plan(&bed);
    let db = job(&bed, &planned.json("matrix")["include"][2]);
    let runner = merge([&db]);
    runner.run().succeeded();
    let merged = runner.with("matrix", planned.outputs["matrix"].clone()).run().failed();
    assert_eq!(
        merged.json("failed-builds"),
        json!(["amazon-ebs.web", "images/db.pkr.hcl: null.db"])
    );
    assert!(merged.log.open().contains("its job left no manifest"), "{:#?}", merged.log);
}

#[test]
fn manifests_that_cannot_be_merged_are_refused() {
    let good = Runner::new("build").file("web.pkr.hcl", super::commands::GOOD).run().succeeded();
    let twice = merge([&good, &good]).run().failed();
    let told = |step: &Step| step.log.annotations[0].message.clone();
    assert!(told(&twice).contains("is in two manifests"), "{}", told(&twice));
    let none = Runner::new("merge").with("manifests", "nowhere").run().failed();
    assert!(told(&none).contains("there is no `imgbake-manifest.json`"), "{}", told(&none));
    let broken = merge([]).file("manifests/x/imgbake-manifest.json", "{}").run().failed();
    assert!(told(&broken).contains("is no manifest"), "{}", told(&broken));
    let matrix = merge([&good]).with("matrix", "[]").run().failed();
    assert!(told(&matrix).contains("the output `matrix`"), "{}", told(&matrix));
}
