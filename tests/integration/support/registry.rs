//! A registry of container images: what of the protocol an engine needs to push and to pull.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::Served;

/// A running registry with nothing in it.
pub struct Registry {
    /// `127.0.0.1:PORT`.
    pub host: String,
    store: Arc<Store>,
    _served: Served,
}

#[derive(Default)]
struct Store {
    /// Who is let in.
    login: String,
    /// By digest, `upload/NUMBER`, or `manifest/REPOSITORY/REFERENCE`.
    blobs: Mutex<BTreeMap<String, Bytes>>,
    /// What was asked for.
    calls: Mutex<Vec<String>>,
}

impl Registry {
    /// One for `user:password`.
    pub fn start_with_login(login: &str) -> Self {
        let login = format!("Basic {}", STANDARD.encode(login));
        let store = Arc::new(Store { login, ..Store::default() });
        let app = Router::new().fallback(answer).with_state(store.clone());
        let served = Served::start(app.layer(axum::extract::DefaultBodyLimit::disable()));
        let host = served.url().trim_start_matches("http://").to_owned();
        Self { host, store, _served: served }
    }

    /// What it has: `manifest/REPOSITORY/TAG`.
    pub fn manifests(&self) -> Vec<String> {
        let blobs = self.store.blobs.lock().expect("nobody panicked");
        let names = blobs.keys().filter_map(|name| name.strip_prefix("manifest/"));
        names.filter(|name| !name.contains("sha256:")).map(str::to_owned).collect()
    }

    /// How often something was asked for whose method and path begin so.
    pub fn calls(&self, begin: &str) -> usize {
        let calls = self.store.calls.lock().expect("nobody panicked");
        calls.iter().filter(|call| call.starts_with(begin)).count()
    }
}

async fn answer(
    State(store): State<Arc<Store>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    store.calls.lock().expect("nobody panicked").push(format!("{method} {}", uri.path()));
    let given = headers.get("authorization").and_then(|value| value.to_str().ok());
    if given != Some(store.login.as_str()) {
        let ask = [("www-authenticate", "Basic realm=\"test\"".to_owned())];
        let why = r#"{"errors":[{"code":"UNAUTHORIZED","message":"who are you?"}]}"#;
        return reply(401, ask, why.into());
    }
    let path = uri.path().trim_start_matches("/v2/").to_owned();
    let mut blobs = store.blobs.lock().expect("nobody panicked");
    if path == "/v2" || path.is_empty() {
        return reply(200, [], Bytes::new());
    }
    if let Some((name, rest)) = path.split_once("/blobs/uploads/") {
        let upload = format!("upload/{rest}");
        let old = blobs.get(&upload).cloned().unwrap_or_default();
        let whole = Bytes::from([old, body].concat());
        let to = |number: &str| format!("/v2/{name}/blobs/uploads/{number}");
        return match method {
            Method::POST => {
                let number = blobs.len().to_string();
                blobs.insert(format!("upload/{number}"), Bytes::new());
                reply(202, [("location", to(&number)), ("range", "0-0".into())], Bytes::new())
            }
            Method::PATCH => {
                let range = format!("0-{}", whole.len().saturating_sub(1));
                blobs.insert(upload, whole);
                reply(202, [("location", to(rest)), ("range", range)], Bytes::new())
            }
            _ => {
                let digest = digest(&whole);
                blobs.remove(&upload);
                blobs.insert(digest.clone(), whole);
                let location = format!("/v2/{name}/blobs/{digest}");
                reply(
                    201,
                    [("location", location), ("docker-content-digest", digest)],
                    Bytes::new(),
                )
            }
        };
    }
    if let Some((name, reference)) = path.split_once("/manifests/") {
        let key = |reference: &str| format!("manifest/{name}/{reference}");
        if method == Method::PUT {
            let digest = digest(&body);
            blobs.insert(key(&digest), body.clone());
            blobs.insert(key(reference), body);
            return reply(201, [("docker-content-digest", digest)], Bytes::new());
        }
        return found(blobs.get(&key(reference)), &method);
    }
    let digest = path.rsplit('/').next().unwrap_or_default();
    found(blobs.get(digest), &method)
}

/// What is asked for, if it is there.
fn found(blob: Option<&Bytes>, method: &Method) -> Response<Body> {
    let Some(blob) = blob else {
        return reply(404, [], r#"{"errors":[{"code":"UNKNOWN","message":"no"}]}"#.into());
    };
    let kind = match serde_json::from_slice::<serde_json::Value>(blob) {
        Ok(json) => json["mediaType"].as_str().unwrap_or("application/octet-stream").to_owned(),
        Err(_) => "application/octet-stream".to_owned(),
    };
    let headers = [
        ("content-type", kind),
        ("docker-content-digest", digest(blob)),
        ("content-length", blob.len().to_string()),
    ];
    reply(200, headers, if method == Method::HEAD { Bytes::new() } else { blob.clone() })
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn reply<const N: usize>(
    status: u16,
    headers: [(&'static str, String); N],
    body: Bytes,
) -> Response<Body> {
    let mut response = Response::builder()
        .status(status)
        .header("docker-distribution-api-version", "registry/2.0");
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(Body::from(body)).expect("a response")
}
