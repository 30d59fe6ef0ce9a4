//! Both sites that publish plugins, on one loopback port, with all that can go wrong there.

use std::collections::BTreeMap;
use std::io::{Cursor, Write as _};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use sha2::{Digest as _, Sha256};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::{file_name, platform};
use crate::support::{Program, Served};

/// The files that are served, and what was asked for.
#[derive(Clone, Default)]
pub(super) struct Files {
    files: Arc<Mutex<BTreeMap<String, Answer>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

/// What is answered for a path.
type Answer = (StatusCode, Vec<u8>);

/// A plugin's program: a script that only describes itself.
pub(super) fn script(version: &str) -> Vec<u8> {
    let description = format!(
        r#"{{"version":"{version}","sdk_version":"0.6.10","api_version":"x5.0","builders":[],"post_processors":[],"provisioners":["-packer-default-plugin-name-"],"datasources":[],"protocol_version":"v2"}}"#
    );
    format!("#!/bin/sh\necho '{description}'\n").into_bytes()
}

/// An archive with one file.
pub(super) fn zipped(name: &str, content: &[u8]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file(name, SimpleFileOptions::default()).unwrap();
    zip.write_all(content).unwrap();
    zip.finish().unwrap().into_inner()
}

impl Files {
    pub(super) fn put(&self, path: &str, content: impl Into<Vec<u8>>) {
        self.answer(path, StatusCode::OK, content);
    }

    pub(super) fn answer(&self, path: &str, status: StatusCode, content: impl Into<Vec<u8>>) {
        self.files.lock().unwrap().insert(path.to_owned(), (status, content.into()));
    }

    pub(super) fn content(&self, path: &str) -> Vec<u8> {
        self.files.lock().unwrap()[path].1.clone()
    }

    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    pub(super) fn serve(&self) -> Served {
        let files = self.clone();
        Served::start(Router::new().fallback(move |request: Request| {
            let files = files.clone();
            async move { files.found(request.uri().path(), request.headers()) }
        }))
    }

    fn found(&self, path: &str, headers: &HeaderMap) -> impl IntoResponse + use<> {
        let token = headers.get("authorization").map_or("", |value| value.to_str().unwrap());
        self.asked.lock().unwrap().push(format!("{path} {token}").trim().to_owned());
        let files = self.files.lock().unwrap();
        files.get(path).cloned().unwrap_or((StatusCode::NOT_FOUND, Vec::new()))
    }

    /// Publishes a release of `acme/packer-plugin-x` at GitHub: its archive, and its sums.
    pub(super) fn publish(&self, version: &str, archive: &[u8]) {
        let base = format!("/acme/packer-plugin-x/releases/download/v{version}");
        let zip = format!("{}.zip", file_name("x", version));
        let sums = format!(
            "{}  {zip}\n{}  packer-plugin-x_v{version}_x5.0_plan9_mips.zip\n",
            hex::encode(Sha256::digest(archive)),
            "0".repeat(64),
        );
        self.put(&format!("{base}/packer-plugin-x_v{version}_SHA256SUMS"), sums);
        self.put(&format!("{base}/{zip}"), archive);
        let tags = r#"[{"ref":"refs/tags/v1.0.0"},{"ref":"refs/tags/v1.1.0"},{"ref":"refs/tags/v2.0.0-rc1"},{"ref":"refs/tags/nightly"}]"#;
        self.put("/repos/acme/packer-plugin-x/git/matching-refs/tags", tags);
    }

    /// All that `acme` has published at GitHub, `owner` has, too.
    pub(super) fn also_of(&self, owner: &str) {
        let mut files = self.files.lock().unwrap();
        let theirs: Vec<_> = files
            .iter()
            .map(|(path, answer)| (path.replace("/acme/", &format!("/{owner}/")), answer.clone()))
            .collect();
        files.extend(theirs);
    }

    /// Publishes a release of `hashicorp/packer-plugin-x` at HashiCorp's site.
    pub(super) fn publish_there(&self, version: &str, archive: &[u8]) {
        let base = "/packer-plugin-x";
        let zip = format!("packer-plugin-x_{version}_{}.zip", platform());
        let sum = hex::encode(Sha256::digest(archive));
        self.put(&format!("{base}/index.json"), format!(r#"{{"versions":{{"{version}":{{}}}}}}"#));
        self.put(
            &format!("{base}/{version}/packer-plugin-x_{version}_SHA256SUMS"),
            format!("{sum}  {zip}\n"),
        );
        let manifest = r#"{"version":1,"metadata":{"protocol_version":"5.0"}}"#;
        self.put(&format!("{base}/{version}/packer-plugin-x_{version}_manifest.json"), manifest);
        self.put(&format!("{base}/{version}/{zip}"), archive);
    }
}

/// A program for which `server` is all sites.
pub(super) fn asking(server: &Served) -> Program {
    super::with_plugins().with([
        ("IMGBAKE_RELEASES_URL", server.url()),
        ("IMGBAKE_GITHUB_API_URL", server.url()),
        ("IMGBAKE_GITHUB_URL", server.url()),
    ])
}
