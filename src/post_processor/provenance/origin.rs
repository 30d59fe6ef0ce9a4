//! Where a template comes from, and which run builds: what the environment or Git says.

use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::process::Command;
use url::Url;

use crate::component::PostProcessContext;
use crate::env::Environment;
use crate::guest::Capture;
use crate::peer::Allowance;
use crate::script::child::{self, Input};

/// Git answers with a line.
const ANSWER: Allowance = Allowance::new("the answer of `git`", 64 << 10, Duration::from_secs(10));

/// The first of these variables that is set.
fn first<'a>(environment: &'a Environment, names: &[&str]) -> Option<&'a str> {
    let set = |name: &&str| environment.get(name).map(str::trim).filter(|text| !text.is_empty());
    names.iter().find_map(set)
}

/// Who builds: the workflow or the job.
pub(super) fn builder(environment: &Environment) -> &str {
    let names = ["GITHUB_WORKFLOW_REF", "CI_JOB_URL", "CI_PIPELINE_URL", "BUILD_URL"];
    first(environment, &names).unwrap_or("https://packer.io/local-build")
}

/// Which of its runs this is.
pub(super) fn invocation(environment: &Environment) -> String {
    let names = ["GITHUB_RUN_ID", "CI_PIPELINE_ID", "CI_JOB_ID", "BUILD_ID"];
    match first(environment, &names) {
        Some(known) => known.to_owned(),
        None => environment.new_uuid().to_string(),
    }
}

/// The source of the build as a dependency; `given` goes over what is found of its address.
pub(super) async fn source(cx: &PostProcessContext, given: &str) -> anyhow::Result<Option<Json>> {
    let environment = &cx.facts.scope.environment;
    let found = match github(environment).or_else(|| gitlab(environment)) {
        Some(found) => Some(found),
        None => local(cx).await?,
    };
    let (uri, commit) = match (given, found) {
        ("", None) => {
            cx.ui.say("No Git repository is found here: the statement names no source. `source_uri` can name it.");
            return Ok(None);
        }
        ("", Some((uri, commit))) => (uri, Some(commit)),
        (given, found) => (given.to_owned(), found.map(|(_, commit)| commit)),
    };
    let mut source = json!({ "uri": cx.redactor.clean(uri) });
    if let Some(commit) = commit {
        source["digest"] = json!({ "gitCommit": commit });
    }
    Ok(Some(source))
}

/// An address, and a commit.
type Found = (String, String);

fn github(environment: &Environment) -> Option<Found> {
    let repository = first(environment, &["GITHUB_REPOSITORY"])?;
    let commit = first(environment, &["GITHUB_SHA"])?;
    let server = first(environment, &["GITHUB_SERVER_URL"]).unwrap_or("https://github.com");
    let at = first(environment, &["GITHUB_REF"]).map(|name| format!("@{name}"));
    let server = server.trim_end_matches('/');
    let uri = format!("git+{server}/{repository}{}", at.unwrap_or_default());
    Some((uri, commit.to_owned()))
}

fn gitlab(environment: &Environment) -> Option<Found> {
    let project = first(environment, &["CI_PROJECT_URL"])?;
    let commit = first(environment, &["CI_COMMIT_SHA"])?;
    let at = first(environment, &["CI_COMMIT_REF_NAME"]).map(|name| format!("@refs/heads/{name}"));
    let uri = format!("git+{}{}", project.trim_end_matches('/'), at.unwrap_or_default());
    Some((uri, commit.to_owned()))
}

/// What Git says of the working directory.
async fn local(cx: &PostProcessContext) -> anyhow::Result<Option<Found>> {
    let Some(commit) = git(cx, &["rev-parse", "HEAD"]).await? else { return Ok(None) };
    let remote = match git(cx, &["config", "--get", "remote.origin.url"]).await? {
        Some(remote) => Some(without_credentials(&remote)),
        None => {
            git(cx, &["rev-parse", "--show-toplevel"]).await?.map(|dir| format!("file://{dir}"))
        }
    };
    let branch = git(cx, &["symbolic-ref", "--quiet", "HEAD"]).await?;
    let at = branch.map(|name| format!("@{name}")).unwrap_or_default();
    Ok(remote.map(|remote| (format!("git+{remote}{at}"), commit)))
}

/// What `git` prints; nothing if it fails or prints nothing, or is not there.
async fn git(cx: &PostProcessContext, arguments: &[&str]) -> anyhow::Result<Option<String>> {
    let environment = &cx.facts.scope.environment;
    let needed = |(name, _): &(&str, &str)| {
        ["HOME", "PATH", "XDG_CONFIG_HOME"].contains(name) || name.starts_with("GIT_")
    };
    let mut command = Command::new("git");
    command.args(arguments).current_dir(&environment.cwd);
    command.env_clear().envs(environment.vars().filter(needed)).env("GIT_TERMINAL_PROMPT", "0");
    let mut printed = Capture::default();
    let run = child::run_into(command, Input::Nothing, &mut printed, &cx.cancel);
    let ended = ANSWER.in_time(run).await?;
    if cx.cancel.is_cancelled() {
        return ended.map(|_| None);
    }
    let is_answer =
        ended.is_ok_and(|status| status.success()) && ANSWER.check(printed.printed()).is_ok();
    let text = String::from_utf8_lossy(&printed.stdout).trim().to_owned();
    Ok((is_answer && !text.is_empty()).then_some(text))
}

/// `remote` without the user and the password of a URL; the user of SSH is no secret.
fn without_credentials(remote: &str) -> String {
    let Ok(mut url) = Url::parse(remote) else { return remote.to_owned() };
    // One that can have neither has none to lose.
    let _ = url.set_password(None);
    if url.scheme() != "ssh" {
        let _ = url.set_username("");
    }
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_loses_its_credentials_only() {
        for (remote, kept) in [
            ("https://me:secret@example.com/a.git", "https://example.com/a.git"),
            ("https://token@example.com/a.git", "https://example.com/a.git"),
            ("ssh://git:secret@example.com/a.git", "ssh://git@example.com/a.git"),
            ("git@example.com:a/b.git", "git@example.com:a/b.git"),
        ] {
            assert_eq!(without_credentials(remote), kept);
        }
    }
}
