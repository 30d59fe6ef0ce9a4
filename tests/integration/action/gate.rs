//! What stands between a job and AWS: GitHub's identity provider, whose tokens are really signed, and
//! STS, whose sessions really end. What it lets through goes on to moto.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey,
};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use regex::Regex;
use serde_json::{Value as Json, json};

use crate::support::{Served, fixture};

/// The role that the job may take on.
pub const ROLE: &str = "arn:aws:iam::123456789012:role/image-baker";
pub const BEARER: &str = "bearer-of-this-job";
const ISSUER: &str = "https://token.actions.githubusercontent.com";
const SUBJECT: &str = "repo:org/images:ref:refs/heads/main";

/// The servers; they end with the value.
pub struct Gate {
    shared: Arc<Shared>,
    served: Served,
}

struct Shared {
    upstream: String,
    key: RsaKeyPair,
    http: reqwest::Client,
    state: Mutex<Seen>,
    rules: Rules,
}

/// How the gate behaves.
#[derive(Clone, Default)]
pub struct Rules {
    /// How long sessions last, whatever is asked for.
    pub lifetime: Option<Duration>,
    /// What STS answers instead of credentials: a code and a message.
    pub refusal: Option<(&'static str, &'static str)>,
    /// After how many tokens the job may have no more.
    pub tokens: Option<usize>,
}

/// What came through.
#[derive(Default)]
pub struct Seen {
    /// The audiences that tokens were asked for.
    pub audiences: Vec<String>,
    /// What STS was asked for.
    pub sessions: Vec<HashMap<String, String>>,
    /// The secret halves of keys, and the tokens of sessions.
    pub given: Vec<String>,
    /// When each session's key ends.
    ends: HashMap<String, Instant>,
    /// Calls that were signed with a key that had ended or that nobody knows.
    pub too_late: usize,
    /// Calls that were let through.
    pub calls: usize,
}

impl Gate {
    pub fn start(upstream: String, rules: Rules) -> Self {
        let pem = std::fs::read_to_string(fixture("oracle/fixtures/keys/test-only.pem")).unwrap();
        let der: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let shared = Arc::new(Shared {
            upstream,
            key: RsaKeyPair::from_der(&STANDARD.decode(der).unwrap()).unwrap(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            state: Mutex::default(),
            rules,
        });
        let app = Router::new().route("/id-token", get(token)).fallback(aws);
        let served = Served::start(app.with_state(shared.clone()));
        Self { shared, served }
    }

    pub fn endpoint(&self) -> String {
        self.served.url()
    }

    /// What the runner says to a job with `id-token: write`.
    pub fn permission(&self) -> [(&'static str, String); 2] {
        [
            ("ACTIONS_ID_TOKEN_REQUEST_URL", format!("{}/id-token?api-version=2", self.endpoint())),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", BEARER.to_owned()),
        ]
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.shared.state.lock().unwrap()
    }
}

impl Shared {
    fn sign(&self, claims: &Json) -> String {
        let encode = |json: &Json| URL_SAFE_NO_PAD.encode(json.to_string());
        let head = json!({"alg": "RS256", "typ": "JWT", "kid": "test"});
        let text = format!("{}.{}", encode(&head), encode(claims));
        let mut signature = vec![0; self.key.public_modulus_len()];
        let random = SystemRandom::new();
        self.key.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature).unwrap();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn verify(&self, token: &str) -> Json {
        let (text, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, self.key.public_key());
        key.verify(text.as_bytes(), &signature).unwrap();
        let claims = text.split_once('.').unwrap().1;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

async fn token(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
) -> (StatusCode, String) {
    let query = uri.query().unwrap_or_default().as_bytes();
    let query: HashMap<String, String> = url::form_urlencoded::parse(query).into_owned().collect();
    assert_eq!(query["api-version"], "2");
    let mut seen = shared.state.lock().unwrap();
    let is_permitted = headers["authorization"] == format!("Bearer {BEARER}");
    if !is_permitted || shared.rules.tokens.is_some_and(|most| seen.audiences.len() >= most) {
        return (StatusCode::UNAUTHORIZED, String::new());
    }
    let audience = &query["audience"];
    seen.audiences.push(audience.clone());
    let count = seen.audiences.len();
    let claims = json!({
        "iss": ISSUER, "aud": audience, "sub": SUBJECT, "exp": now() + 300, "jti": count,
        "repository": "org/images",
    });
    (StatusCode::OK, json!({"count": count, "value": shared.sign(&claims)}).to_string())
}

async fn aws(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let form: HashMap<String, String> = url::form_urlencoded::parse(&body).into_owned().collect();
    let assumes = form.get("Action").is_some_and(|action| action == "AssumeRoleWithWebIdentity");
    if assumes {
        let claims = shared.verify(&form["WebIdentityToken"]);
        assert!(claims["exp"].as_u64().unwrap() > now(), "the token has ended");
        shared.state.lock().unwrap().sessions.push(form);
        if let Some((code, message)) = shared.rules.refusal {
            return refusal(code, message);
        }
    } else if !is_in_time(&shared, &headers) {
        shared.state.lock().unwrap().too_late += 1;
        return refusal("RequestExpired", "Request has expired.");
    }
    let mut headers = headers;
    headers.remove("host");
    headers.remove("content-length");
    let url = format!("{}{uri}", shared.upstream);
    let answer = shared.http.request(method, url).headers(headers).body(body).send().await;
    let answer = answer.unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    let text = if assumes { limited(&shared, &text) } else { text };
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
}

/// Whether the key that a call is signed with has not ended.
fn is_in_time(shared: &Shared, headers: &HeaderMap) -> bool {
    let signature = headers.get("authorization").and_then(|value| value.to_str().ok());
    let key = signature.and_then(|value| value.split("Credential=").nth(1)?.split('/').next());
    let mut seen = shared.state.lock().unwrap();
    let ends = key.and_then(|key| seen.ends.get(key).copied());
    let in_time = ends.is_some_and(|end| Instant::now() < end);
    seen.calls += usize::from(in_time);
    in_time
}

/// The answer with a session that lasts as long as the rules say.
fn limited(shared: &Shared, text: &str) -> String {
    let lifetime = shared.rules.lifetime.unwrap_or(Duration::from_secs(3600));
    let end = jiff::Timestamp::now() + jiff::SignedDuration::try_from(lifetime).unwrap();
    let end = end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let key = Regex::new("<AccessKeyId>([^<]+)<").unwrap().captures(text).unwrap()[1].to_owned();
    let secret = Regex::new("<(?:SecretAccessKey|SessionToken)>([^<]+)<").unwrap();
    let mut seen = shared.state.lock().unwrap();
    seen.given.extend(secret.captures_iter(text).map(|found| found[1].to_owned()));
    seen.ends.insert(key, Instant::now() + lifetime);
    let expiration = Regex::new("<Expiration>[^<]+<").unwrap();
    expiration.replace(text, format!("<Expiration>{end}<")).into_owned()
}

fn refusal(code: &str, message: &str) -> Response<Body> {
    let text = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>1</RequestId></ErrorResponse>"
    );
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = StatusCode::FORBIDDEN;
    response
}
