//! The input `upload`: what a step leaves becomes an artifact of the run.

use std::io::{Cursor, Read as _};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};

use super::commands::GOOD;
use super::runner::Runner;
use crate::support::Served;

const SERVICE: &str = "/twirp/github.actions.results.api.v1.ArtifactService/";

/// What the service was told, and how it behaves.
#[derive(Default)]
struct Told {
    calls: Vec<(String, Json)>,
    archive: Vec<u8>,
    /// How often the storage has trouble before it takes something.
    trouble: usize,
    /// Whether the run has an artifact of the name.
    is_taken: bool,
    /// The address of this server.
    url: String,
}

type Shared = Arc<Mutex<Told>>;

/// GitHub's service for artifacts, and the storage behind it.
struct Artifacts {
    told: Shared,
    served: Served,
}

impl Artifacts {
    fn start() -> Self {
        let told = Shared::default();
        let router = Router::new().fallback(serve).with_state(told.clone());
        let served = Served::start(router.layer(DefaultBodyLimit::disable()));
        told.lock().unwrap().url = served.url();
        Self { told, served }
    }

    /// A step of a job that has this service.
    fn runner(&self, command: &str) -> Runner {
        Runner::new(command)
            .with("upload", "imgbake")
            .var("ACTIONS_RESULTS_URL", format!("{}/", self.served.url()))
            .var("ACTIONS_RUNTIME_TOKEN", token())
    }

    /// The files of the artifact.
    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let archive = self.told.lock().unwrap().archive.clone();
        let mut archive = zip::ZipArchive::new(Cursor::new(archive)).unwrap();
        (0..archive.len())
            .map(|at| {
                let (mut file, mut content) = (archive.by_index(at).unwrap(), Vec::new());
                file.read_to_end(&mut content).unwrap();
                (file.name().to_owned(), content)
            })
            .collect()
    }

    fn calls(&self) -> Vec<(String, Json)> {
        self.told.lock().unwrap().calls.clone()
    }
}

/// The runner's token, which names run and job.
fn token() -> String {
    let claims = json!({"scp": "Actions.GenericRead:1 Actions.Results:run-1:job-2"});
    format!("head.{}.signature", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

async fn serve(
    State(told): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    let mut told = told.lock().unwrap();
    if method == Method::PUT && uri.path() == "/storage" {
        assert_eq!(headers["x-ms-blob-type"], "BlockBlob");
        assert!(!headers.contains_key("authorization"), "the storage is no part of GitHub");
        if told.trouble > 0 {
            told.trouble -= 1;
            return (StatusCode::SERVICE_UNAVAILABLE, String::new());
        }
        told.archive = body.to_vec();
        return (StatusCode::CREATED, String::new());
    }
    let method = uri.path().strip_prefix(SERVICE).expect("a call of the service").to_owned();
    assert_eq!(headers["authorization"], format!("Bearer {}", token()));
    told.calls.push((method.clone(), serde_json::from_slice(&body).unwrap()));
    match method.as_str() {
        "CreateArtifact" if told.is_taken => {
            let refusal = json!({"code": "already_exists", "msg": "an artifact with this name"});
            (StatusCode::CONFLICT, refusal.to_string())
        }
        "CreateArtifact" => {
            let url = format!("{}/storage?sig=may-write", told.url);
            (StatusCode::OK, json!({"ok": true, "signed_upload_url": url}).to_string())
        }
        "FinalizeArtifact" => {
            (StatusCode::OK, json!({"ok": true, "artifact_id": "4242"}).to_string())
        }
        other => panic!("{other}"),
    }
}

#[test]
fn what_a_build_leaves_is_kept_with_the_run() {
    let github = Artifacts::start();
    github.told.lock().unwrap().trouble = 1;
    let step = github
        .runner("build")
        .with("report", "report.html")
        .file("web.pkr.hcl", GOOD)
        .run()
        .succeeded();
    let url = "https://github.com/org/images/actions/runs/4711/artifacts/4242";
    assert_eq!(step.outputs["artifact-url"], url);
    assert!(step.summary.contains(url), "{}", step.summary);
    let files = github.files();
    let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["imgbake-manifest.json", "report.html"]);
    assert!(files[1].1.starts_with(b"<!DOCTYPE html>"), "{:?}", &files[1].1[..40]);

    let calls = github.calls();
    let [(create, created), (finalize, finalized)] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!((create.as_str(), finalize.as_str()), ("CreateArtifact", "FinalizeArtifact"));
    let about = json!({"workflow_run_backend_id": "run-1", "workflow_job_run_backend_id": "job-2",
        "name": "imgbake"});
    let with = |more: Json| {
        let mut all = about.clone();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    assert_eq!(*created, with(json!({"version": 4})));
    let archive = github.told.lock().unwrap().archive.clone();
    let hash = format!("sha256:{}", hex::encode(Sha256::digest(&archive)));
    assert_eq!(*finalized, with(json!({"size": archive.len().to_string(), "hash": hash})));
    let all = [&step.log.raw, &step.summary, &step.stderr].map(String::as_str).concat();
    assert!(!all.contains("may-write"), "whoever has the address may write there: {all}");
}

#[test]
fn what_builds_leave_that_failed_is_kept_too() {
    let github = Artifacts::start();
    let failing = format!(
        "{GOOD}\nbuild {{\n  sources = [\"null.web\"]\n  provisioner \"shell-local\" {{\n    inline = [\"exit 3\"]\n  }}\n}}\n"
    );
    let step =
        github.runner("build").with("report", "page.html").file("web.pkr.hcl", failing).run();
    step.failed();
    let names: Vec<_> = github.files().into_iter().map(|(name, _)| name).collect();
    assert!(names.contains(&"page.html".to_owned()), "{names:?}");
}

/// The runner is in no hurry then, and people want to see how far the builds came.
#[test]
fn what_builds_leave_that_had_no_more_time_is_kept_too() {
    let github = Artifacts::start();
    let slow = format!(
        "{GOOD}\nbuild {{\n  sources = [\"null.web\"]\n  provisioner \"sleep\" {{\n    duration = \"60s\"\n  }}\n}}\n"
    );
    let runner = github.runner("build").with("report", "page.html").with("timeout", "1s");
    let step = runner.with("only", "null.web").file("web.pkr.hcl", slow).run().failed();
    assert_eq!(step.outputs["result"], "cancelled");
    let names: Vec<_> = github.files().into_iter().map(|(name, _)| name).collect();
    assert!(names.contains(&"page.html".to_owned()), "{names:?}");
}

#[test]
fn an_upload_that_is_not_taken_is_a_warning_that_says_what_to_do() {
    let taken = Artifacts::start();
    taken.told.lock().unwrap().is_taken = true;
    let step = taken.runner("build").file("web.pkr.hcl", GOOD).run().succeeded();
    let found: Vec<_> = step.log.annotations.iter().map(|one| one.message.as_str()).collect();
    assert!(found[0].contains("each job needs a name of its own"), "{found:?}");
    assert_eq!(step.outputs["artifact-url"], "");

    let nowhere = Runner::new("build").with("upload", "imgbake").file("web.pkr.hcl", GOOD);
    let step = nowhere.run().succeeded();
    let found: Vec<_> = step.log.annotations.iter().map(|one| one.message.as_str()).collect();
    assert!(found[0].contains("the runner does not say where artifacts are kept"), "{found:?}");
}

#[test]
fn a_name_that_no_artifact_can_have_is_refused_before_anything_is_built() {
    let step = Runner::new("build").with("upload", "a/b").file("web.pkr.hcl", GOOD).run().failed();
    assert!(step.log.annotations[0].message.contains("the input `upload`"), "{:#?}", step.log);
}
