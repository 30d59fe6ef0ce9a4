//! Between the program and moto: a proxy that gives moto's instances a machine behind them.
//!
//! It forwards every call. On the way it lets the key of a key pair into the [`Instance`], as EC2's
//! first boot does, and answers with that instance's address instead of moto's invented one.

use std::process::Command;
use std::sync::Arc;
use std::sync::Mutex;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, Uri};
use regex::Regex;

use super::{ACCESS_KEY, Instance, Moto, SECRET_KEY, Served, fixture};

/// A cloud whose instances are one [`Instance`].
#[derive(Debug)]
pub struct Cloud {
    shared: Arc<Shared>,
    served: Served,
}

#[derive(Debug)]
struct Shared {
    moto: Moto,
    instance: Instance,
    http: reqwest::Client,
    actions: Mutex<Vec<String>>,
}

impl Cloud {
    /// Starts moto, the instance and the proxy.
    pub fn start() -> Self {
        let moto = Moto::start_with([("MOTO_AMIS_PATH", fixture("tutorial-amis.json"))]);
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let instance = Instance::start();
        let shared = Arc::new(Shared { moto, instance, http, actions: Mutex::default() });
        let served = Served::start(Router::new().fallback(forward).with_state(shared.clone()));
        Self { shared, served }
    }

    /// The machine behind its instances.
    pub fn instance(&self) -> &Instance {
        &self.shared.instance
    }

    /// moto itself, to be asked what is left.
    pub fn moto(&self) -> &Moto {
        &self.shared.moto
    }

    /// The EC2 actions that were called, in order.
    pub fn actions(&self) -> Vec<String> {
        self.shared.actions.lock().expect("no panic in the proxy").clone()
    }

    /// The environment that points the program here.
    pub fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("AWS_ENDPOINT_URL", self.served.url()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ]
    }
}

async fn forward(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    mut headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let form: Vec<(String, String)> = url::form_urlencoded::parse(&body).into_owned().collect();
    let field = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value);
    if let Some(action) = field("Action") {
        shared.actions.lock().expect("no panic in the proxy").push(action.clone());
    }
    headers.remove("host");
    headers.remove("content-length");
    let url = format!("{}{uri}", shared.moto.endpoint());
    let answer = shared.http.request(method, url).headers(headers).body(body).send().await;
    let answer = answer.expect("moto answers");
    let status = answer.status();
    let text = answer.text().await.expect("a text");
    if let Some(private_key) = between(&text, "<keyMaterial>", "</keyMaterial>") {
        let name = between(&text, "<keyName>", "</keyName>").expect("a key pair has a name");
        shared.instance.authorize(&format!("{} {name}", public_half(private_key)));
    }
    let address = shared.instance.address;
    let invented =
        Regex::new(r"<(ipAddress|dnsName|publicIp|publicDnsName)>[^<]+<").expect("a pattern");
    let text = invented.replace_all(&text, format!("<$1>{address}<"));
    let mut response = Response::new(Body::from(text.into_owned()));
    *response.status_mut() = status;
    response
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    Some(text.split_once(start)?.1.split_once(end)?.0)
}

/// The line for `authorized_keys` that lets the holder of a private key in.
fn public_half(private_key: &str) -> String {
    let file = tempfile::NamedTempFile::new().expect("a file that only we can read");
    std::fs::write(file.path(), format!("{}\n", private_key.trim())).expect("a key");
    let output =
        Command::new("ssh-keygen").arg("-yf").arg(file.path()).output().expect("ssh-keygen");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
