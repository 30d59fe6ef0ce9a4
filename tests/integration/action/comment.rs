//! The comment on a pull request.

use serde_json::json;

use super::commands::GOOD;
use super::github::{GitHub, TOKEN};
use super::runner::{Runner, Step};

/// A step in a run for the pull request 3.
fn runner(github: &GitHub, command: &str) -> Runner {
    let head = json!({"repo": {"full_name": "org/images"}});
    Runner::new(command)
        .var("GITHUB_API_URL", github.url())
        .event("pull_request", &json!({"number": 3, "pull_request": {"number": 3, "head": head}}))
        .with("github-token", TOKEN)
        .file("web.pkr.hcl", GOOD)
}

fn bad() -> String {
    GOOD.replace("communicator", "comunicator")
}

#[track_caller]
fn only(github: &GitHub) -> String {
    match github.thread().comments.as_slice() {
        [(_, _, text)] => text.clone(),
        other => panic!("{other:#?}"),
    }
}

fn warning(step: &Step) -> Option<&str> {
    let found = step.log.annotations.iter().find(|one| one.properties["title"] == "no comment");
    found.map(|one| one.message.as_str())
}

#[test]
fn a_comment_is_created_then_updated_and_never_repeated() {
    let github = GitHub::start();
    let runner = runner(&github, "validate").file("web.pkr.hcl", bad());
    let step = runner.run().failed();
    assert!(step.log.open().contains("Commented: https://github.com/org/images/pull/3"));
    let first = only(&github);
    assert!(first.contains("did you mean") && first.contains("❌"), "{first}");
    assert!(first.contains("/blob/a1b2c3/web.pkr.hcl#L2"), "{first}");
    // The same again is no news.
    let step = runner.run().failed();
    assert!(step.log.open().contains("says so already"), "{:#?}", step.log);
    assert_eq!(only(&github), first);
    // What is mended is.
    let step = runner.file("web.pkr.hcl", GOOD).run().succeeded();
    assert!(step.log.open().contains("Updated the comment"), "{:#?}", step.log);
    assert!(only(&github).contains("✅"), "{}", only(&github));
}

#[test]
fn where_there_is_nothing_to_say_there_is_no_comment_unless_it_is_always_wanted() {
    let github = GitHub::start();
    runner(&github, "validate").run().succeeded();
    runner(&github, "build").with("comment", "never").run().succeeded();
    assert!(github.thread().comments.is_empty());
    let always = runner(&github, "validate").with("comment", "always");
    always.run().succeeded();
    always.run().succeeded();
    let asked = github.thread().asked.clone();
    assert_eq!(asked.iter().filter(|one| *one == "issues/create-comment").count(), 1);
    assert_eq!(asked.iter().filter(|one| *one == "issues/update-comment").count(), 1);
}

#[test]
fn a_build_says_what_became_of_each_build() {
    let github = GitHub::start();
    runner(&github, "build").run().succeeded();
    let text = only(&github);
    assert!(text.contains("2 of 2 builds succeeded") && text.contains("null.web"), "{text}");
    assert!(text.contains("https://github.com/org/images/actions/runs/4711"), "{text}");
}

#[test]
fn jobs_and_templates_have_comments_of_their_own() {
    let github = GitHub::start();
    runner(&github, "build").run().succeeded();
    runner(&github, "build").var("GITHUB_JOB", "other").run().succeeded();
    runner(&github, "build").with("only", "null.web").run().succeeded();
    assert_eq!(github.thread().comments.len(), 3);
}

#[test]
fn a_run_does_not_write_over_what_a_later_one_has_said() {
    let github = GitHub::start();
    let later = runner(&github, "build").var("GITHUB_RUN_ID", "4712");
    later.run().succeeded();
    let said = only(&github);
    let step = runner(&github, "build").with("comment", "always").run().succeeded();
    assert!(step.log.open().contains("A later run has commented already."), "{:#?}", step.log);
    assert_eq!(only(&github), said);
}

#[test]
fn two_jobs_that_comment_at_the_same_time_agree_on_one_comment() {
    let github = GitHub::start();
    let build = runner(&github, "build");
    build.run().succeeded();
    let other = only(&github).replace("run=4711.1", "run=4710.1");
    github.thread().comments.clear();
    github.thread().at_the_same_time = Some(other);
    build.run().succeeded();
    assert!(only(&github).contains("run=4711.1"), "{}", only(&github));
}

#[test]
fn a_comment_is_found_behind_hundreds_of_others_and_a_planted_one_is_left_alone() {
    let github = GitHub::start();
    let build = runner(&github, "build").with("comment", "always");
    build.run().succeeded();
    let ours = github.thread().comments.pop().unwrap();
    let planted = (1, false, ours.2.clone());
    let others = (2..250).map(|id| (id, false, format!("comment {id}")));
    github.thread().comments = std::iter::once(planted.clone()).chain(others).collect();
    github.thread().comments.push(ours.clone());
    let count = github.thread().comments.len();
    build.run().succeeded();
    assert_eq!(github.thread().comments.len(), count);
    assert_eq!(github.thread().comments[0], planted);
    let pages = github.thread().asked.iter().filter(|one| *one == "issues/list-comments").count();
    assert!(pages >= 3, "{pages}");
}

#[test]
fn the_token_of_a_person_knows_its_own_comments() {
    let github = GitHub::start();
    github.thread().viewer = Some(42);
    let build = runner(&github, "build").with("comment", "always");
    build.run().succeeded();
    build.run().succeeded();
    only(&github);
}

#[test]
fn a_token_that_only_reads_costs_one_warning_and_no_build() {
    let github = GitHub::start();
    github.thread().read_only = true;
    let step = runner(&github, "build").run().succeeded();
    assert!(warning(&step).is_some_and(|text| text.contains("`pull-requests: write`")));
    assert!(step.summary.contains("builds succeeded"), "{}", step.summary);
    let head = json!({"repo": {"full_name": "stranger/images"}});
    let event = json!({"number": 3, "pull_request": {"number": 3, "head": head}});
    let step = runner(&github, "build").event("pull_request", &event).run().succeeded();
    assert!(warning(&step).is_some_and(|text| text.contains("the fork stranger/images")));
}

#[test]
fn rate_limits_and_servers_that_fail_are_waited_for() {
    let github = GitHub::start();
    for status in [403, 429, 500, 502] {
        github.thread().comments.clear();
        (github.thread().fails, github.thread().status) = (2, status);
        let step = runner(&github, "build").run().succeeded();
        assert_eq!(warning(&step), None, "{status}: {:#?}", step.log);
        only(&github);
    }
}

#[test]
fn a_long_text_is_cut_below_githubs_limit_and_leads_to_the_rest() {
    let github = GitHub::start();
    let sources: String = (0..2000)
        .map(|n| format!("source \"null\" \"a{n}\" {{ comunicator = \"none\" }}\n"))
        .collect();
    let names: Vec<_> = (0..2000).map(|n| format!("\"null.a{n}\"")).collect();
    let text = format!("{sources}build {{ sources = [{}] }}\n", names.join(", "));
    runner(&github, "validate").file("web.pkr.hcl", text).run().failed();
    assert!(only(&github).contains("actions/runs/4711"), "{}", only(&github).len());
}

#[test]
fn nothing_in_a_comment_mentions_anybody_or_leaves_its_place() {
    let github = GitHub::start();
    let name = "Web\\\"@octocat |x <img> `y` ```";
    let template = format!(
        "variable \"a\" {{\n  validation {{\n    condition = var.a == 2\n    error_message = \"{name} is wrong.\"\n  }}\n  default = 1\n}}\nsource \"null\" \"x\" {{ communicator = \"none\" }}\nbuild {{ sources = [\"null.x\"] }}\n"
    );
    runner(&github, "validate").file("web.pkr.hcl", template).run().failed();
    let text = only(&github);
    assert!(text.contains("octocat"), "{text}");
    for markup in ["@octocat", "<img>", "`y`", "|x"] {
        assert!(!text.contains(markup), "{markup}: {text}");
    }
}

#[test]
fn without_a_pull_request_nobody_asks_github() {
    let github = GitHub::start();
    runner(&github, "build").event("push", &json!({})).run().succeeded();
    assert!(github.thread().asked.is_empty());
}

#[test]
fn a_comment_names_the_head_of_the_pull_request_and_not_its_merge() {
    let github = GitHub::start();
    let head = json!({"sha": "feedbee5", "repo": {"full_name": "org/images"}});
    let event = json!({"number": 3, "pull_request": {"number": 3, "head": head}});
    runner(&github, "build").event("pull_request", &event).run().succeeded();
    assert!(only(&github).contains("of feedbee has the rest"), "{}", only(&github));
}

#[test]
fn a_dry_run_that_finds_nothing_comments_nothing_and_says_nothing_of_it() {
    let github = GitHub::start();
    for runner in [runner(&github, "build").with("dry-run", "true"), runner(&github, "validate")] {
        let step = runner.run().succeeded();
        assert!(!step.log.open().contains("omment"), "{:#?}", step.log);
    }
    assert!(github.thread().comments.is_empty());
}
