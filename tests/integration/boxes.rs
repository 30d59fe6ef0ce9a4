//! Post-processors that publish a Vagrant box, against a server that plays the real one and its storage.

mod vagrant_cloud;
mod vagrant_registry;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::process::Command;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value as Json, json};

use crate::support::{Program, Run, Served};

/// The server: what it answers, and what it was asked.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Answers by method and path, the first first; the last stays.
    answers: BTreeMap<String, Vec<(StatusCode, Json)>>,
    asked: Vec<Asked>,
}

#[derive(Clone, Debug)]
struct Asked {
    /// Method and path.
    what: String,
    token: String,
    body: Vec<u8>,
}

impl Server {
    fn answer(&self, what: &str, status: u16, body: Json) {
        let status = StatusCode::from_u16(status).unwrap();
        let answers = &mut self.0.lock().unwrap().answers;
        answers.entry(what.to_owned()).or_default().push((status, body));
    }

    fn asked(&self) -> Vec<Asked> {
        self.0.lock().unwrap().asked.clone()
    }

    fn whats(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.what).collect()
    }

    fn body(&self, what: &str) -> Json {
        let asked = self.asked().into_iter().find(|asked| asked.what == what).unwrap();
        serde_json::from_slice(&asked.body).unwrap()
    }

    fn serve(&self) -> Served {
        let server = self.clone();
        Served::start(Router::new().fallback(move |request: Request| {
            let server = server.clone();
            async move { server.take(request).await }
        }))
    }

    async fn take(&self, request: Request) -> Response {
        let (parts, body): (_, Body) = request.into_parts();
        let what = format!("{} {}", parts.method, parts.uri.path());
        let token = parts.headers.get("authorization").map_or("", |value| value.to_str().unwrap());
        let token = token.to_owned();
        let body = to_bytes(body, 64 << 20).await.unwrap_or_default().to_vec();
        let mut state = self.0.lock().unwrap();
        state.asked.push(Asked { what: what.clone(), token, body });
        let (status, body) = match state.answers.get_mut(&what) {
            Some(answers) if answers.len() > 1 => answers.remove(0),
            Some(answers) => answers[0].clone(),
            None => (StatusCode::NOT_FOUND, json!({ "errors": [format!("no {what}")] })),
        };
        (status, body.to_string()).into_response()
    }
}

/// A build whose box goes to the post-processor `name` with these `options`.
fn publish_with(name: &str, options: &str, variables: &[(&str, &str)]) -> Run {
    let of_box = r#"{"provider": "vmware_desktop", "architecture": "amd64"}"#;
    publish_box(name, options, variables, of_box)
}

/// The same for a box that says `of_box` of itself.
fn publish_box(name: &str, options: &str, variables: &[(&str, &str)], of_box: &str) -> Run {
    let program = Program::new();
    program.write("metadata.json", of_box);
    // Larger than what is read at a time, and what cannot be packed.
    let mut disk = vec![0; 3 << 20];
    std::fs::File::open("/dev/urandom").unwrap().read_exact(&mut disk).unwrap();
    program.write("x.vmdk", disk);
    let packed = Command::new("tar")
        .args(["czf", "x.box", "x.vmdk", "./metadata.json"])
        .current_dir(program.dir())
        .status();
    assert!(packed.unwrap().success());
    let template = format!(
        r#"
source "null" "x" {{
  communicator = "none"
}}
build {{
  sources = ["source.null.x"]
  post-processors {{
    post-processor "artifice" {{
      files = ["x.box"]
    }}
    post-processor "{name}" {{
      {options}
    }}
  }}
}}
"#
    );
    program.write("t.pkr.hcl", template);
    program.with(variables.iter().copied()).run(["build", "-color=false", "t.pkr.hcl"])
}
