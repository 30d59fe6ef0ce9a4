//! GitHub's REST interface, as far as the action uses it. Each request is held against GitHub's own
//! description of it, and so is what is answered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri};
use regex::Regex;
use serde_json::{Value as Json, json};

use crate::support::{Served, fixture};

pub const TOKEN: &str = "ghs_token-of-this-job";

/// The server; it ends with the value.
pub struct GitHub {
    shared: Arc<Shared>,
    served: Served,
}

struct Shared {
    rest: Json,
    state: Mutex<Thread>,
}

/// The pull request, and how the server behaves.
#[derive(Default)]
pub struct Thread {
    /// Id, whether a bot wrote it, text.
    pub comments: Vec<(u64, bool, String)>,
    /// The operations that were asked for.
    pub asked: Vec<String>,
    /// Whether the token only reads.
    pub read_only: bool,
    /// How many requests fail before one is served.
    pub fails: usize,
    /// With what status.
    pub status: u16,
    /// What another job writes at the moment of our first comment, before it.
    pub at_the_same_time: Option<String>,
    /// The token is that of a person with this id.
    pub viewer: Option<u64>,
    /// The notes of the release, and its assets: id, name, content.
    pub notes: String,
    pub assets: Vec<(u64, String, String)>,
    /// The files that the pull request changes, and their patches.
    pub files: Vec<(String, String)>,
    /// What reviews have said beside lines.
    pub remarks: Vec<Json>,
    next: u64,
}

impl GitHub {
    pub fn start() -> Self {
        let text = std::fs::read_to_string(fixture("github/rest.json")).unwrap();
        let rest = serde_json::from_str(&text).unwrap();
        let state = Mutex::new(Thread { next: 1000, ..Thread::default() });
        let shared = Arc::new(Shared { rest, state });
        let served = Served::start(Router::new().fallback(serve).with_state(shared.clone()));
        Self { shared, served }
    }

    pub fn url(&self) -> String {
        // As on an own GitHub server, the interface is not at the root.
        format!("{}/api/v3", self.served.url())
    }

    /// A release, as its event tells it.
    pub fn release(&self) -> Json {
        json!({"release": {"id": 77, "upload_url": upload_url(&self.served.url())}})
    }

    pub fn thread(&self) -> MutexGuard<'_, Thread> {
        self.shared.state.lock().unwrap()
    }
}

async fn serve(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let request = Request::checked(&shared.rest, &method, &uri, &body);
    assert_eq!(headers["authorization"], format!("Bearer {TOKEN}"));
    let mut thread = shared.state.lock().unwrap();
    thread.asked.push(request.operation["operationId"].as_str().unwrap().to_owned());
    if thread.fails > 0 {
        thread.fails -= 1;
        let status = StatusCode::from_u16(thread.status).unwrap();
        let mut response =
            answer(status, Some(json!({"message": "try again", "documentation_url": ""})));
        response.headers_mut().insert("retry-after", "1".parse().unwrap());
        return response;
    }
    let host = format!("http://{}", headers["host"].to_str().unwrap());
    let (status, json, next) = thread.answer(&request, &uri, &host);
    if status.is_success() {
        request.check_answer(status, json.as_ref());
    }
    let mut response = answer(status, json);
    if let Some(next) = next {
        let link = format!("<{host}/api/v3{next}>; rel=\"next\"");
        response.headers_mut().insert("link", link.parse().unwrap());
    }
    response
}

fn answer(status: StatusCode, json: Option<Json>) -> Response<Body> {
    let mut response =
        Response::new(json.map_or(Body::empty(), |json| Body::from(json.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", "application/json".parse().unwrap());
    response
}

/// A status, a body, and the path of the next page.
type Answer = (StatusCode, Option<Json>, Option<String>);

/// A request that GitHub's description knows.
struct Request<'a> {
    operation: &'a Json,
    path: HashMap<String, String>,
    query: HashMap<String, String>,
    body: Json,
}

impl<'a> Request<'a> {
    fn checked(rest: &'a Json, method: &Method, uri: &Uri, body: &[u8]) -> Self {
        let path = uri.path().strip_prefix("/api/v3").or(uri.path().strip_prefix("/api/uploads"));
        let (operation, path) = find(rest, method, path.unwrap_or_else(|| panic!("{uri}")));
        let uploads = operation["operationId"] == "repos/upload-release-asset";
        assert_eq!(uploads, uri.path().starts_with("/api/uploads"), "{uri}");
        let query: HashMap<String, String> =
            url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
        let body: Json = match body {
            [] => Json::Null,
            body if uploads => String::from_utf8(body.to_vec()).unwrap().into(),
            body => serde_json::from_slice(body).unwrap(),
        };
        let request = Self { operation, path, query, body };
        request.check();
        request
    }

    fn check(&self) {
        let parameters = self.operation["parameters"].as_array().unwrap();
        for (place, given) in [("path", &self.path), ("query", &self.query)] {
            for (name, value) in given {
                let known =
                    parameters.iter().find(|one| one["name"] == **name && one["in"] == place);
                let known = known.unwrap_or_else(|| panic!("no {place} parameter {name}"));
                if known["schema"]["type"] == "integer" {
                    value.parse::<u64>().unwrap_or_else(|_| panic!("{name}={value}"));
                }
            }
        }
        let described = &self.operation["requestBody"];
        assert_eq!(described.is_null(), self.body.is_null(), "a body: {}", self.body);
        for name in described["required"].as_array().into_iter().flatten() {
            assert!(self.body.get(name.as_str().unwrap()).is_some(), "{name} is missing");
        }
        check_object(described, &self.body);
    }

    fn check_answer(&self, status: StatusCode, json: Option<&Json>) {
        let described = &self.operation["responses"][status.as_str()];
        assert!(!described.is_null(), "{status} is no answer to {}", self.operation["operationId"]);
        let objects = match json {
            Some(Json::Array(all)) => all.iter().collect(),
            one => one.into_iter().collect::<Vec<_>>(),
        };
        for object in objects {
            for name in described["required"].as_array().unwrap() {
                assert!(object.get(name.as_str().unwrap()).is_some(), "{name} is missing");
            }
        }
    }
}

/// Fields of `json` that are not described, or of another type than described.
fn check_object(described: &Json, json: &Json) {
    for (name, value) in json.as_object().into_iter().flatten() {
        let described = &described["properties"][name];
        let is_it = match described["type"].as_str() {
            Some("string") => value.is_string(),
            Some("integer") => value.is_u64(),
            Some("array") => {
                value.as_array().unwrap().iter().for_each(|one| {
                    check_object(&described["items"], one);
                    for name in described["items"]["required"].as_array().unwrap() {
                        assert!(one.get(name.as_str().unwrap()).is_some(), "{name} is missing");
                    }
                });
                true
            }
            other => panic!("{name} is {other:?}"),
        };
        assert!(is_it, "{name}: {value}");
    }
}

fn find<'a>(rest: &'a Json, method: &Method, path: &str) -> (&'a Json, HashMap<String, String>) {
    let names = Regex::new(r"\{(\w+)\}").unwrap();
    let as_pattern = |template: &str| {
        Regex::new(&format!("^{}$", names.replace_all(template, "(?P<$1>[^/]+)"))).unwrap()
    };
    for (template, operations) in rest["paths"].as_object().unwrap() {
        let Some(found) = as_pattern(template).captures(path).map(|found| {
            let names = names.captures_iter(template).map(|name| name[1].to_owned());
            names.map(|name| (name.clone(), found[name.as_str()].to_owned())).collect()
        }) else {
            continue;
        };
        let operation = &operations[method.as_str().to_lowercase()];
        if !operation.is_null() {
            return (operation, found);
        }
    }
    panic!("GitHub has no {method} {path}");
}

impl Thread {
    fn answer(&mut self, request: &Request<'_>, uri: &Uri, host: &str) -> Answer {
        let forbidden = || {
            let message = "Resource not accessible by integration";
            (
                StatusCode::FORBIDDEN,
                Some(json!({"message": message, "documentation_url": ""})),
                None,
            )
        };
        match request.operation["operationId"].as_str().unwrap() {
            "users/get-authenticated" => match self.viewer {
                Some(id) => (StatusCode::OK, Some(author(id, false)), None),
                None => forbidden(),
            },
            "issues/list-comments" => {
                let number = |name: &str, default: usize| {
                    request.query.get(name).map_or(default, |text| text.parse().unwrap())
                };
                let (size, page) = (number("per_page", 30).min(100), number("page", 1));
                let all: Vec<_> =
                    self.comments.iter().map(|one| comment(one, self.viewer)).collect();
                let shown = all.iter().skip(size * (page - 1)).take(size).cloned().collect();
                let more = all.len() > size * page;
                let next = more.then(|| {
                    format!(
                        "{}?per_page={size}&page={}",
                        uri.path().replace("/api/v3", ""),
                        page + 1
                    )
                });
                (StatusCode::OK, Some(Json::Array(shown)), next)
            }
            _ if self.read_only => forbidden(),
            "issues/create-comment" => {
                if let Some(text) = self.at_the_same_time.take() {
                    self.add(text);
                }
                let one = self.add(text_of(request));
                (StatusCode::CREATED, Some(comment(&one, self.viewer)), None)
            }
            "issues/update-comment" => {
                let id: u64 = request.path["comment_id"].parse().unwrap();
                let one = self.comments.iter_mut().find(|one| one.0 == id).unwrap();
                one.2 = text_of(request);
                let one = one.clone();
                (StatusCode::OK, Some(comment(&one, self.viewer)), None)
            }
            "issues/delete-comment" => {
                let id: u64 = request.path["comment_id"].parse().unwrap();
                self.comments.retain(|one| one.0 != id);
                (StatusCode::NO_CONTENT, None, None)
            }
            name if name.starts_with("repos/") => self.answer_of_release(request, host),
            name if name.starts_with("pulls/") => self.answer_of_pull(request),
            other => panic!("{other}"),
        }
    }

    fn answer_of_release(&mut self, request: &Request<'_>, host: &str) -> Answer {
        match request.operation["operationId"].as_str().unwrap() {
            "repos/get-release" => (StatusCode::OK, Some(self.release(host)), None),
            "repos/update-release" => {
                self.notes = text_of(request);
                (StatusCode::OK, Some(self.release(host)), None)
            }
            "repos/delete-release-asset" => {
                let id: u64 = request.path["asset_id"].parse().unwrap();
                self.assets.retain(|one| one.0 != id);
                (StatusCode::NO_CONTENT, None, None)
            }
            "repos/upload-release-asset" => {
                let name = request.query["name"].clone();
                let is_there = self.assets.iter().any(|one| one.1 == name);
                assert!(!is_there, "GitHub takes no second asset of a name");
                self.next += 1;
                let content = request.body.as_str().unwrap().to_owned();
                self.assets.push((self.next, name, content));
                let asset = asset(self.assets.last().unwrap());
                (StatusCode::CREATED, Some(asset), None)
            }
            other => panic!("{other}"),
        }
    }

    fn answer_of_pull(&mut self, request: &Request<'_>) -> Answer {
        match request.operation["operationId"].as_str().unwrap() {
            "pulls/list-files" => {
                let files = self.files.iter().map(|(name, patch)| file(name, patch)).collect();
                (StatusCode::OK, Some(Json::Array(files)), None)
            }
            "pulls/list-review-comments" => {
                (StatusCode::OK, Some(Json::Array(self.remarks.clone())), None)
            }
            "pulls/create-review" => self.review(&request.body),
            other => panic!("{other}"),
        }
    }

    fn release(&self, host: &str) -> Json {
        let url = "https://github.com/org/images/releases/tag/v1";
        json!({
            "id": 77, "node_id": "RE_1", "url": url, "html_url": url, "assets_url": url,
            "upload_url": upload_url(host), "tarball_url": null, "zipball_url": null,
            "tag_name": "v1", "target_commitish": "main", "name": "v1", "body": self.notes,
            "draft": false, "prerelease": false, "created_at": "2026-01-01T00:00:00Z",
            "published_at": "2026-01-01T00:00:00Z", "author": author(7, false),
            "assets": self.assets.iter().map(asset).collect::<Vec<_>>(),
        })
    }

    /// All remarks, or none: GitHub refuses those beside lines that the pull request does not show.
    fn review(&mut self, review: &Json) -> Answer {
        for remark in review["comments"].as_array().unwrap() {
            let is_shown = |(name, patch): &(String, String)| {
                let lines = shown(patch);
                let (first, last) = (&remark["start_line"], remark["line"].as_u64().unwrap());
                let first = first.as_u64().unwrap_or(last);
                *name == remark["path"] && (first..=last).all(|line| lines.contains(&line))
            };
            if !self.files.iter().any(is_shown) {
                let message = "pull_request_review_thread.line must be part of the diff";
                let json = json!({"message": message, "documentation_url": ""});
                return (StatusCode::UNPROCESSABLE_ENTITY, Some(json), None);
            }
            let mut remark = remark.clone();
            remark.as_object_mut().unwrap().extend(about_remark());
            self.remarks.push(remark);
        }
        let url = "https://github.com/org/images/pull/3";
        let review = json!({
            "id": 5, "node_id": "PRR_1", "user": author(7, true), "body": review["body"],
            "state": "COMMENTED", "commit_id": review["commit_id"], "html_url": url,
            "pull_request_url": url, "_links": {}, "author_association": "CONTRIBUTOR",
        });
        (StatusCode::OK, Some(review), None)
    }

    fn add(&mut self, text: String) -> (u64, bool, String) {
        self.next += 1;
        let one = (self.next, self.viewer.is_none(), text);
        self.comments.push(one.clone());
        one
    }
}

/// GitHub refuses a text that is too long.
fn text_of(request: &Request<'_>) -> String {
    let text = request.body["body"].as_str().unwrap();
    assert!(text.chars().count() <= 65_536, "{} characters", text.chars().count());
    text.to_owned()
}

fn comment((id, bot, text): &(u64, bool, String), viewer: Option<u64>) -> Json {
    let url = "https://github.com/org/images/pull/3";
    let user = if *bot { 41_898_282 } else { viewer.unwrap_or(7) };
    json!({
        "id": id, "node_id": "IC_1", "url": url, "html_url": format!("{url}#issuecomment-{id}"),
        "issue_url": url, "body": text, "user": author(user, *bot),
        "author_association": "CONTRIBUTOR",
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
    })
}

fn upload_url(host: &str) -> String {
    format!("{host}/api/uploads/repos/org/images/releases/77/assets{{?name,label}}")
}

fn asset((id, name, content): &(u64, String, String)) -> Json {
    let url = format!("https://github.com/org/images/releases/download/v1/{name}");
    json!({
        "id": id, "node_id": "RA_1", "name": name, "label": null, "state": "uploaded",
        "content_type": "application/octet-stream", "size": content.len(), "digest": null,
        "download_count": 0, "url": url, "browser_download_url": url,
        "uploader": author(7, true), "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
    })
}

fn file(name: &str, patch: &str) -> Json {
    let url = format!("https://github.com/org/images/blob/a1b2c3/{name}");
    json!({
        "sha": "1", "filename": name, "status": "modified", "additions": 1, "deletions": 1,
        "changes": 2, "blob_url": url, "raw_url": url, "contents_url": url, "patch": patch,
    })
}

/// What GitHub adds to a remark.
fn about_remark() -> serde_json::Map<String, Json> {
    let url = "https://github.com/org/images/pull/3";
    let more = json!({
        "url": url, "id": 9, "node_id": "PRRC_1", "pull_request_review_id": 5, "diff_hunk": "",
        "commit_id": "a1b2c3", "original_commit_id": "a1b2c3", "user": author(7, true),
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
        "html_url": url, "pull_request_url": url, "author_association": "CONTRIBUTOR",
        "_links": {},
    });
    more.as_object().unwrap().clone()
}

/// The numbers of the lines of the new file that a patch of one hunk shows.
fn shown(patch: &str) -> Vec<u64> {
    let (head, lines) = patch.split_once('\n').unwrap();
    let first: u64 = Regex::new(r"\+(\d+)").unwrap().captures(head).unwrap()[1].parse().unwrap();
    let count = lines.lines().filter(|line| line.starts_with([' ', '+'])).count();
    (first..first + u64::try_from(count).unwrap()).collect()
}

fn author(id: u64, bot: bool) -> Json {
    let url = "https://api.github.com/users/x";
    let mut author = json!({
        "login": if bot { "github-actions[bot]" } else { "somebody" }, "id": id, "node_id": "U_1",
        "gravatar_id": "", "type": if bot { "Bot" } else { "User" }, "site_admin": false,
        "email": null, "name": null, "company": null, "blog": null, "location": null,
        "hireable": null, "bio": null, "public_repos": 0, "public_gists": 0, "followers": 0,
        "following": 0, "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
    });
    for name in [
        "avatar_url",
        "url",
        "html_url",
        "followers_url",
        "following_url",
        "gists_url",
        "starred_url",
        "subscriptions_url",
        "organizations_url",
        "repos_url",
        "events_url",
        "received_events_url",
    ] {
        author[name] = url.into();
    }
    author
}
