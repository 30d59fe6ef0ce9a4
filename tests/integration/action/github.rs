//! GitHub's REST interface, as far as comments go. Each request is held against GitHub's own
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
    let (status, json, next) = thread.answer(&request, &uri);
    if status.is_success() {
        request.check_answer(status, json.as_ref());
    }
    let mut response = answer(status, json);
    if let Some(next) = next {
        let link =
            format!("<http://{}/api/v3{next}>; rel=\"next\"", headers["host"].to_str().unwrap());
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

/// A request that GitHub's description knows.
struct Request<'a> {
    operation: &'a Json,
    path: HashMap<String, String>,
    query: HashMap<String, String>,
    body: Json,
}

impl<'a> Request<'a> {
    fn checked(rest: &'a Json, method: &Method, uri: &Uri, body: &[u8]) -> Self {
        let path = uri.path().strip_prefix("/api/v3").unwrap_or_else(|| panic!("{uri}"));
        let (operation, path) = find(rest, method, path);
        let query: HashMap<String, String> =
            url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
        let body: Json = match body {
            [] => Json::Null,
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
        for (name, value) in self.body.as_object().into_iter().flatten() {
            assert_eq!(described["properties"][name]["type"], "string", "{name}");
            assert!(value.is_string(), "{name}");
        }
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
    fn answer(
        &mut self,
        request: &Request<'_>,
        uri: &Uri,
    ) -> (StatusCode, Option<Json>, Option<String>) {
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
            other => panic!("{other}"),
        }
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
