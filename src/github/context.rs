//! The run of a workflow that this process is a step of.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use crate::env::Environment;
use crate::peer;

/// GitHub cuts events at 25 MB.
const LARGEST_EVENT: u64 = 64 << 20;

/// What the runner says of the run. Where it says nothing, texts are empty.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// `owner/name`.
    pub repository: String,
    /// The run's number.
    pub run_id: String,
    /// Which try of it this is.
    pub run_attempt: String,
    /// Who started it.
    pub actor: String,
    /// The workflow's name.
    pub workflow: String,
    /// The job's id.
    pub job: String,
    /// What started it, e.g. `pull_request`.
    pub event_name: String,
    /// The commit.
    pub sha: String,
    /// Where people look at it, e.g. `https://github.com`.
    pub server_url: String,
    /// The REST interface, e.g. `https://api.github.com`.
    pub api_url: String,
    /// The directory of the checkout.
    pub workspace: Option<PathBuf>,
    /// Where runners keep programs from one job to the next.
    pub tool_cache: Option<PathBuf>,
    /// A directory that is there until the job ends.
    pub temp: Option<PathBuf>,
    /// Whether the runner shows what is for whoever looks for a mistake.
    pub debug: bool,
    /// The event itself.
    event: Json,
}

impl Context {
    /// What the runner says in `environment`.
    pub fn of(environment: &Environment) -> Self {
        let text = |name: &str| environment.get(name).unwrap_or_default().to_owned();
        let event = environment.get("GITHUB_EVENT_PATH");
        let event = event.map(|path| peer::read_regular(Path::new(path), LARGEST_EVENT));
        // Without the event we know less; nothing that a build needs is in it.
        let event = event.and_then(|read| serde_json::from_slice(&read.ok()?).ok());
        Self {
            repository: text("GITHUB_REPOSITORY"),
            run_id: text("GITHUB_RUN_ID"),
            run_attempt: text("GITHUB_RUN_ATTEMPT"),
            actor: text("GITHUB_ACTOR"),
            workflow: text("GITHUB_WORKFLOW"),
            job: text("GITHUB_JOB"),
            event_name: text("GITHUB_EVENT_NAME"),
            sha: text("GITHUB_SHA"),
            server_url: text("GITHUB_SERVER_URL"),
            api_url: text("GITHUB_API_URL"),
            workspace: environment.get("GITHUB_WORKSPACE").map(PathBuf::from),
            temp: environment.get("RUNNER_TEMP").map(PathBuf::from),
            tool_cache: environment.get("RUNNER_TOOL_CACHE").map(PathBuf::from),
            debug: environment.get("RUNNER_DEBUG") == Some("1"),
            event: event.unwrap_or_default(),
        }
    }

    /// The page of this run.
    pub fn run_url(&self) -> String {
        format!("{}/{}/actions/runs/{}", self.server_url, self.repository, self.run_id)
    }

    /// The pull request that the event is about. For `workflow_run` of a fork GitHub says none.
    pub fn pull_request(&self) -> Option<u64> {
        let event = &self.event;
        match self.event_name.as_str() {
            "pull_request" | "pull_request_target" | "pull_request_review" => {
                event["pull_request"]["number"].as_u64().or_else(|| event["number"].as_u64())
            }
            "issue_comment" => {
                event["issue"].get("pull_request")?;
                event["issue"]["number"].as_u64()
            }
            "workflow_run" => event["workflow_run"]["pull_requests"][0]["number"].as_u64(),
            // `refs/heads/gh-readonly-queue/BASE/pr-NUMBER-SHA`
            "merge_group" => {
                let last = event["merge_group"]["head_ref"].as_str()?.rsplit('/').next()?;
                last.strip_prefix("pr-")?.split('-').next()?.parse().ok()
            }
            _ => None,
        }
    }

    /// The repository that the pull request comes from, if it is another one: then the run has no
    /// secrets, may write nothing, and gets no identity token.
    pub fn fork(&self) -> Option<&str> {
        if !self.event_name.starts_with("pull_request") {
            return None;
        }
        let head = self.event["pull_request"]["head"]["repo"]["full_name"].as_str()?;
        (head != self.repository).then_some(head)
    }

    /// The newest commit of the pull request; what is checked out may be its merge.
    pub fn head(&self) -> Option<&str> {
        let heads =
            [&self.event["pull_request"]["head"]["sha"], &self.event["workflow_run"]["head_sha"]];
        heads.into_iter().find_map(Json::as_str)
    }

    /// The release that the event is about: its number, and where its files go.
    pub fn release(&self) -> Option<(u64, &str)> {
        let release = &self.event["release"];
        let is_it = self.event_name == "release";
        is_it.then_some((release["id"].as_u64()?, release["upload_url"].as_str()?))
    }

    /// The directory of the checkout; where the runner says none, that of the step.
    pub fn workspace<'a>(&'a self, environment: &'a Environment) -> &'a Path {
        self.workspace.as_deref().unwrap_or(&environment.cwd)
    }

    /// `path` as the repository calls it, if it is in the checkout.
    pub fn in_repository<'a>(&self, path: &'a Path) -> &'a Path {
        let workspace = self.workspace.as_deref();
        workspace.and_then(|root| path.strip_prefix(root).ok()).unwrap_or(path)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;
    use serde_json::json;

    use super::*;

    fn context(event_name: &str, event: &Json) -> Context {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), event.to_string()).unwrap();
        let vars = [
            ("GITHUB_EVENT_NAME", event_name),
            ("GITHUB_EVENT_PATH", file.path().to_str().unwrap()),
            ("GITHUB_REPOSITORY", "org/images"),
            ("GITHUB_RUN_ID", "7"),
            ("GITHUB_SERVER_URL", "https://github.com"),
            ("GITHUB_WORKSPACE", "/github/workspace"),
        ];
        let vars = vars.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Context::of(&Environment::new(BTreeMap::from(vars), "/".into(), Timestamp::UNIX_EPOCH))
    }

    #[test]
    fn each_event_names_its_pull_request() {
        for (name, event, number) in [
            ("pull_request", json!({"number": 3, "pull_request": {"number": 3}}), Some(3)),
            ("pull_request_target", json!({"pull_request": {"number": 4}}), Some(4)),
            ("issue_comment", json!({"issue": {"number": 5, "pull_request": {}}}), Some(5)),
            ("issue_comment", json!({"issue": {"number": 5}}), None),
            ("workflow_run", json!({"workflow_run": {"pull_requests": [{"number": 6}]}}), Some(6)),
            ("workflow_run", json!({"workflow_run": {"pull_requests": []}}), None),
            (
                "merge_group",
                json!({"merge_group": {"head_ref": "refs/heads/gh-readonly-queue/a/b/pr-8-abc"}}),
                Some(8),
            ),
            ("push", json!({"number": 9}), None),
        ] {
            assert_eq!(context(name, &event).pull_request(), number, "{name} {event}");
        }
    }

    #[test]
    fn a_fork_is_told_from_the_repository_itself() {
        let from = |name: &str| json!({"pull_request": {"head": {"repo": {"full_name": name}}}});
        assert_eq!(context("pull_request", &from("org/images")).fork(), None);
        assert_eq!(context("pull_request", &from("me/images")).fork(), Some("me/images"));
        assert_eq!(context("push", &json!({})).fork(), None);
    }

    #[test]
    fn paths_are_told_as_the_repository_has_them() {
        let context = context("push", &json!({}));
        assert_eq!(context.run_url(), "https://github.com/org/images/actions/runs/7");
        let path = Path::new("/github/workspace/images/web.pkr.hcl");
        assert_eq!(context.in_repository(path), Path::new("images/web.pkr.hcl"));
        assert_eq!(context.in_repository(Path::new("/etc/x")), Path::new("/etc/x"));
    }
}
