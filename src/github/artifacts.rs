//! Artifacts: files that the page of a run offers for download, as `actions/upload-artifact` keeps them
//! (the fourth version of its service). The runner gives the actions of a job, and nobody else, what that
//! takes.

use std::fmt;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};
use tokio_util::io::ReaderStream;
use url::Url;

use super::{Context, payload};
use crate::env::Environment;
use crate::guest::harmless;
use crate::peer::{Allowance, open_regular};
use crate::retry::{Backoff, Try, retry};
use crate::secret::{Redactor, Secret};
use crate::web;

/// What the service answers has a few hundred bytes.
const ANSWER: Allowance = Allowance::new("the answer", 1 << 20, Duration::from_secs(10));

const BACKOFF: Backoff =
    Backoff { first: Duration::from_millis(500), factor: 2.0, longest: Duration::from_secs(5) };
const TRIES: usize = 5;

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// More than this is for a step of its own.
const LARGEST: u64 = 1 << 30;

const SERVICE: &str = "github.actions.results.api.v1.ArtifactService";

/// What no name of an artifact, and no file in it, may have: not every file system could keep it.
const FORBIDDEN: &str = "\":<>|*?\r\n";

/// The name of an artifact. A run has each only once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactName(String);

impl FromStr for ArtifactName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_name = |c: char| !FORBIDDEN.contains(c) && c != '/' && c != '\\';
        match !text.is_empty() && text.chars().all(is_name) {
            true => Ok(Self(text.to_owned())),
            false => Err("the name of an artifact has none of \" : < > | * ? / \\ and no line end"),
        }
    }
}

impl fmt::Display for ArtifactName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A file for an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enclosed {
    /// How it is called there: a path without `..`.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
}

/// Where the artifacts of this run are kept.
#[derive(Debug)]
pub struct ArtifactService {
    client: Client,
    url: Url,
    token: Secret,
    /// The run and the job, as the service knows them.
    run: String,
    job: String,
    /// The page of the run.
    page: String,
}

#[derive(Deserialize)]
struct Created {
    ok: bool,
    #[serde(alias = "signedUploadUrl")]
    signed_upload_url: Secret,
}

#[derive(Deserialize)]
struct Finalized {
    ok: bool,
    /// A number, as JSON has it or as a text.
    #[serde(alias = "artifactId")]
    artifact_id: Json,
}

/// What the service says where it refuses.
#[derive(Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    msg: String,
}

impl ArtifactService {
    /// The service of this run.
    ///
    /// # Errors
    /// Where there is none: a server of one's own may have an older one, which takes other calls.
    pub fn of(
        environment: &Environment,
        context: &Context,
        redactor: &Redactor,
    ) -> anyhow::Result<Self> {
        let url = environment.get("ACTIONS_RESULTS_URL").filter(|url| !url.is_empty());
        let token = environment.get("ACTIONS_RUNTIME_TOKEN").filter(|token| !token.is_empty());
        let (Some(url), Some(token)) = (url, token) else {
            bail!("the runner does not say where artifacts are kept");
        };
        redactor.register(token);
        let (run, job) = backends(token).context("the runner's token names no run")?;
        Ok(Self {
            client: web::client().build()?,
            url: web::safe(url).context("ACTIONS_RESULTS_URL")?,
            token: Secret::new(token),
            run,
            job,
            page: context.run_url(),
        })
    }

    /// Keeps `files` as the artifact `name`: where people find it.
    ///
    /// # Errors
    /// When a file cannot be read, or the service does not take them.
    pub async fn upload(
        &self,
        name: &ArtifactName,
        files: Vec<Enclosed>,
    ) -> anyhow::Result<String> {
        let all = async {
            let archive = tokio::task::spawn_blocking(move || Archive::of(&files)).await??;
            let about = json!({
                "workflow_run_backend_id": self.run,
                "workflow_job_run_backend_id": self.job,
                "name": name.0,
            });
            let created: Created =
                self.call("CreateArtifact", &about, json!({"version": 4})).await?;
            ensure!(created.ok, "GitHub does not take it");
            self.send(&archive, &created.signed_upload_url).await?;
            let (size, hash) = (archive.size.to_string(), format!("sha256:{}", archive.sha256));
            let whole = json!({"size": size, "hash": hash});
            let done: Finalized = self.call("FinalizeArtifact", &about, whole).await?;
            ensure!(done.ok, "GitHub does not keep it");
            let id = number(&done.artifact_id).context("GitHub gives it no number")?;
            Ok(format!("{}/artifacts/{id}", self.page))
        };
        let ended = tokio::time::timeout(PATIENCE, all).await;
        ended.with_context(|| format!("GitHub did not take it within {PATIENCE:?}"))?
    }

    /// One call of the service, about an artifact.
    async fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        about: &Json,
        more: Json,
    ) -> anyhow::Result<T> {
        let mut asked = about.clone();
        if let (Some(asked), Json::Object(more)) = (asked.as_object_mut(), more) {
            asked.extend(more);
        }
        let url = self.url.join(&format!("/twirp/{SERVICE}/{method}"))?;
        retry(BACKOFF, TRIES, || {
            let request = self.client.post(url.clone()).timeout(ANSWER.time);
            let request = request.header(CONTENT_TYPE, "application/json").body(asked.to_string());
            ask(request.bearer_auth(self.token.expose()))
        })
        .await
        .context(method.to_owned())
    }

    /// Sends the archive to the storage, whose address says who may.
    async fn send(&self, archive: &Archive, to: &Secret) -> anyhow::Result<()> {
        let url = web::safe(to.expose())?;
        let sent = retry(BACKOFF, TRIES, || async {
            let body = match archive.content() {
                Ok(body) => body,
                Err(error) => return Try::Failed(error.into()),
            };
            let request = self
                .client
                .put(url.clone())
                .header("x-ms-blob-type", "BlockBlob")
                .header(CONTENT_TYPE, "application/zip")
                .header(CONTENT_LENGTH, archive.size);
            match request.body(body).send().await.map_err(web::cause) {
                Err(error) => Try::Again(error),
                Ok(answer) if answer.status().is_success() => Try::Done(()),
                Ok(answer) => refused(answer.status(), String::new()),
            }
        });
        sent.await.context("its storage")
    }
}

/// What the service answers to `request`.
async fn ask<T: DeserializeOwned>(request: RequestBuilder) -> Try<T, anyhow::Error> {
    let answer = match request.send().await.map_err(web::cause) {
        Ok(answer) => answer,
        Err(error) => return Try::Again(error),
    };
    let status = answer.status();
    let body = match web::body(answer, ANSWER).await {
        Ok(body) => body,
        Err(error) => return Try::Again(error),
    };
    if !status.is_success() {
        let refusal: Refusal = serde_json::from_slice(&body).unwrap_or_default();
        return refused(status, refusal.msg);
    }
    match serde_json::from_slice(&body) {
        Ok(answer) => Try::Done(answer),
        // The error's own words may repeat an address that lets anybody write.
        Err(_) => Try::Failed(anyhow!("it answered something else")),
    }
}

/// A refusal, and whether another try can help.
fn refused<T>(status: StatusCode, said: String) -> Try<T, anyhow::Error> {
    let fault = web::fault(status);
    let error = match status {
        StatusCode::CONFLICT => anyhow!(
            "the run has an artifact of that name: each job needs a name of its own, e.g. \
             `imgbake-${{{{ matrix.name }}}}`"
        ),
        status if said.is_empty() => anyhow!("it answers {status}"),
        status => anyhow!("it answers {status}: {}", harmless(said.as_bytes())),
    };
    match fault.can_retry {
        true => Try::Again(fault.mark(error)),
        false => Try::Failed(fault.mark(error)),
    }
}

/// The run and the job that `token` is for: `… Actions.Results:RUN:JOB …` is one of its scopes.
fn backends(token: &str) -> Option<(String, String)> {
    payload(token)["scp"].as_str()?.split(' ').find_map(|scope| {
        let (run, job) = scope.strip_prefix("Actions.Results:")?.split_once(':')?;
        (!job.contains(':')).then(|| (run.to_owned(), job.to_owned()))
    })
}

fn number(id: &Json) -> Option<u64> {
    id.as_u64().or_else(|| id.as_str()?.parse().ok())
}

/// All files in one, as the service takes them.
struct Archive {
    file: std::fs::File,
    size: u64,
    sha256: String,
}

impl Archive {
    fn of(files: &[Enclosed]) -> anyhow::Result<Self> {
        let mut archive = zip::ZipWriter::new(tempfile::tempfile()?);
        let mut total = 0;
        for Enclosed { name, path } in files {
            let read = || format!("cannot read {}", path.display());
            let file = open_regular(path).with_context(read)?;
            archive.start_file(storable(name), zip::write::SimpleFileOptions::default())?;
            let mut content = file.take(LARGEST - total + 1);
            total += std::io::copy(&mut content, &mut archive).with_context(read)?;
            ensure!(total <= LARGEST, "there are more than {LARGEST} bytes");
        }
        let mut file = archive.finish()?;
        file.seek(SeekFrom::Start(0))?;
        let mut sum = Sha256::new();
        let size = std::io::copy(&mut file, &mut sum)?;
        Ok(Self { file, size, sha256: hex::encode(sum.finalize()) })
    }

    /// All of it, from its start.
    fn content(&self) -> std::io::Result<reqwest::Body> {
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(0))?;
        let chunks = ReaderStream::new(tokio::fs::File::from_std(file));
        Ok(reqwest::Body::wrap_stream(chunks))
    }
}

/// `name` as every file system can keep it.
fn storable(name: &str) -> String {
    name.replace(|c| FORBIDDEN.contains(c), "_")
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    #[test]
    fn names_that_some_file_system_cannot_keep_are_refused() {
        assert_eq!("imgbake-web 1".parse::<ArtifactName>().unwrap().to_string(), "imgbake-web 1");
        for wrong in ["", "a/b", "a\\b", "a:b", "a\nb", "who?"] {
            wrong.parse::<ArtifactName>().unwrap_err();
        }
    }

    #[test]
    fn the_runners_token_says_which_job_it_is_for() {
        let token = |scope: &str| {
            let claims = json!({"scp": scope}).to_string();
            format!("head.{}.signature", URL_SAFE_NO_PAD.encode(claims))
        };
        let found = backends(&token("Actions.Other Actions.Results:run-1:job-2"));
        assert_eq!(found, Some(("run-1".to_owned(), "job-2".to_owned())));
        for other in ["", "Actions.Results:a", "Actions.Results:a:b:c", "Actions.Resultss:a:b"] {
            assert_eq!(backends(&token(other)), None, "{other}");
        }
        assert_eq!(backends("no token"), None);
    }
}
