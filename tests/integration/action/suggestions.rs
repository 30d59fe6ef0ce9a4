//! What `fmt` suggests to the author of a pull request.

use serde_json::json;

use super::github::{GitHub, TOKEN};
use super::runner::Runner;

/// Three places that are not in canonical style.
const FILE: &str = "a=1\nb   = 2\n\n\n\nc = 3\nd =4\n";

/// The pull request changes the first two lines, and so shows a few more.
const PATCH: &str = "@@ -1,4 +1,5 @@\n+a=1\n+b   = 2\n \n \n ";

fn runner(github: &GitHub) -> Runner {
    let head = json!({"sha": "b2c3d4", "repo": {"full_name": "org/images"}});
    Runner::new("fmt")
        .var("GITHUB_API_URL", github.url())
        .event("pull_request", &json!({"number": 3, "pull_request": {"number": 3, "head": head}}))
        .with("github-token", TOKEN)
        .with("dry-run", "true")
        .with("working-directory", "images")
        .file("images/web.pkr.hcl", FILE)
}

#[test]
fn lines_of_a_pull_request_get_suggestions_once_and_all_lines_a_remark() {
    let github = GitHub::start();
    github.thread().files.push(("images/web.pkr.hcl".to_owned(), PATCH.to_owned()));
    let runner = runner(&github);
    let step = runner.run();
    assert_eq!(step.code, Some(3), "{step:#?}");
    let remarks = github.thread().remarks.clone();
    assert_eq!(remarks[0]["path"], "images/web.pkr.hcl");
    assert_eq!((&remarks[0]["start_line"], &remarks[0]["line"]), (&json!(1), &json!(2)));
    assert_eq!(remarks[0]["body"], "```suggestion\na = 1\nb = 2\n```");
    let lines = remarks.iter().map(|remark| remark["line"].as_u64().unwrap());
    assert!(lines.max() < Some(6), "the pull request does not show the rest: {remarks:#?}");
    // The runner is told of all of them.
    let told = &step.log.annotations;
    assert_eq!(told[0].properties["file"], "images/web.pkr.hcl");
    assert!(told.iter().any(|one| one.properties["line"] == "7"), "{told:#?}");
    runner.run();
    assert_eq!(github.thread().remarks, remarks, "the same again is no news");
}

#[test]
fn what_is_written_is_not_suggested() {
    let github = GitHub::start();
    runner(&github).with("dry-run", "false").run().succeeded();
    assert!(github.thread().asked.is_empty());
}

#[test]
fn without_permission_there_is_one_warning() {
    let github = GitHub::start();
    github.thread().read_only = true;
    github.thread().files.push(("images/web.pkr.hcl".to_owned(), PATCH.to_owned()));
    let step = runner(&github).run();
    let warned = step.log.annotations.iter().filter(|one| one.message.contains("may not"));
    assert_eq!((step.code, warned.count()), (Some(3), 1), "{step:#?}");
}
