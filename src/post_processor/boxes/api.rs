//! Requests to a server that has boxes, and the upload of one.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{anyhow, bail};
use futures::StreamExt as _;
use reqwest::header::CONTENT_LENGTH;
use reqwest::{Body, Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::Value as Json;
use tokio_util::io::ReaderStream;

use crate::event::{Message, Progress, Ui};
use crate::guest::harmless;
use crate::peer::{Allowance, open_regular};
use crate::retry::{self, Backoff, Try};
use crate::secret::Secret;
use crate::web;

/// The largest box that goes straight to the storage.
pub(in crate::post_processor) const LARGEST_DIRECT: u64 = 5 << 30;

const ANSWER: Allowance = Allowance::new("the answer", 16 << 20, Duration::from_secs(60));

/// How often an upload is tried, and how long is waited between.
const TRIES: usize = 3;
const BETWEEN: Backoff =
    Backoff { first: Duration::from_secs(10), factor: 1.0, longest: Duration::from_secs(10) };

/// How much is read at a time, and how often the progress is told.
const CHUNK: usize = 256 * 1024;
const STEP: u64 = 1 << 20;

/// How long a server may take nothing of an upload.
const STALLED: Duration = Duration::from_secs(600);

/// A server, and what lets us in.
pub(in crate::post_processor) struct Api {
    base: String,
    token: Option<Secret>,
    client: Client,
}

/// Where a box goes.
pub(in crate::post_processor) struct Upload {
    pub(in crate::post_processor) url: String,
    /// Whether the URL itself lets in: it is that of a storage, which knows no token of the server.
    pub(in crate::post_processor) is_presigned: bool,
}

impl Api {
    pub(in crate::post_processor) fn new(
        base: &str,
        token: Option<Secret>,
        insecure: bool,
    ) -> anyhow::Result<Self> {
        let client = web::client().tls_danger_accept_invalid_certs(insecure).build()?;
        Ok(Self { base: base.to_owned(), token, client })
    }

    /// A request; it gets the token only if `url` is on the server that the token is for.
    fn request(&self, method: Method, url: &str) -> RequestBuilder {
        let request = self.client.request(method, url);
        match &self.token {
            Some(token) if self.is_own(url) => request.bearer_auth(token.expose()),
            _ => request,
        }
    }

    async fn ask(&self, request: RequestBuilder) -> anyhow::Result<Json> {
        let (status, body) = answer(request).await?;
        read(status, &body)
    }

    fn path(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }

    pub(in crate::post_processor) async fn get(&self, path: &str) -> anyhow::Result<Json> {
        self.ask(self.request(Method::GET, &self.path(path))).await
    }

    /// What is at `path`; `None` if nothing is.
    pub(in crate::post_processor) async fn find(&self, path: &str) -> anyhow::Result<Option<Json>> {
        let (status, body) = answer(self.request(Method::GET, &self.path(path))).await?;
        match status {
            StatusCode::NOT_FOUND => Ok(None),
            _ => read(status, &body).map(Some),
        }
    }

    pub(in crate::post_processor) async fn post(
        &self,
        path: &str,
        body: &Json,
    ) -> anyhow::Result<Json> {
        self.ask(with(body, self.request(Method::POST, &self.path(path)))).await
    }

    /// Replaces what is at `path` by `body`.
    pub(in crate::post_processor) async fn replace(
        &self,
        path: &str,
        body: &Json,
    ) -> anyhow::Result<()> {
        self.ask(with(body, self.request(Method::PUT, &self.path(path)))).await.map(drop)
    }

    pub(in crate::post_processor) async fn put(&self, path: &str) -> anyhow::Result<()> {
        self.ask(self.request(Method::PUT, &self.path(path))).await.map(drop)
    }

    pub(in crate::post_processor) async fn delete(&self, path: &str) -> anyhow::Result<()> {
        self.ask(self.request(Method::DELETE, &self.path(path))).await.map(drop)
    }

    /// Says that an upload is complete, at the URL that the server has named for that.
    pub(in crate::post_processor) async fn confirm(&self, callback: &str) -> anyhow::Result<()> {
        self.ask(self.request(Method::PUT, callback)).await.map(drop)
    }

    /// Whether `url` is on the server that the token is for.
    fn is_own(&self, url: &str) -> bool {
        let origin = |url: &str| url::Url::parse(url).ok().map(|url| url.origin());
        origin(url).is_some_and(|one| Some(one) == origin(&self.base))
    }

    /// Uploads `file`, again from its start where that fails.
    pub(in crate::post_processor) async fn upload(
        &self,
        to: &Upload,
        file: &Path,
        ui: &Ui,
    ) -> anyhow::Result<()> {
        let mut tries = 0;
        retry::retry(BETWEEN, TRIES, || {
            tries += 1;
            let is_last = tries == TRIES;
            async move {
                match self.upload_once(to, file, ui).await {
                    Ok(()) => Try::Done(()),
                    Err(error) if is_last => Try::Failed(error),
                    Err(error) => {
                        ui.error(format!("Error uploading box! It is tried again: {error:#}"));
                        Try::Again(error)
                    }
                }
            }
        })
        .await
    }

    async fn upload_once(&self, to: &Upload, file: &Path, ui: &Ui) -> anyhow::Result<()> {
        let opened = open_regular(file)?;
        let size = opened.metadata()?.len();
        let sent = Arc::new(Sent { bytes: AtomicU64::new(0), total: size });
        let what = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();
        sent.tell(ui, &what, false);
        let chunks = ReaderStream::with_capacity(tokio::fs::File::from_std(opened), CHUNK);
        let (counted, told, name) = (sent.clone(), ui.clone(), what.clone());
        let chunks = chunks.inspect(move |chunk| {
            let length = chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
            let before = counted.bytes.fetch_add(length, Ordering::Relaxed);
            if before / STEP != (before + length) / STEP {
                counted.tell(&told, &name, false);
            }
        });
        let request = match to.is_presigned {
            true => self.client.put(&to.url),
            false => self.request(Method::PUT, &to.url),
        };
        let request = request.header(CONTENT_LENGTH, size).body(Body::wrap_stream(chunks));
        let done = tokio::select! {
            response = request.send() => accepted(response.map_err(web::cause)?).await,
            () = sent.stalled() => bail!("the server has taken nothing for {STALLED:?}"),
        };
        sent.tell(ui, &what, true);
        done
    }
}

/// How much of an upload has been sent.
struct Sent {
    bytes: AtomicU64,
    total: u64,
}

impl Sent {
    fn tell(&self, ui: &Ui, what: &str, finished: bool) {
        let (done, total) = (self.bytes.load(Ordering::Relaxed), Some(self.total));
        let what = what.to_owned();
        ui.send(Message::Progress(Progress { what, done, total, finished }));
    }

    /// Returns when nothing has been sent for too long.
    async fn stalled(&self) {
        let mut before = self.bytes.load(Ordering::Relaxed);
        loop {
            tokio::time::sleep(STALLED).await;
            let now = self.bytes.load(Ordering::Relaxed);
            if now == before {
                return;
            }
            before = now;
        }
    }
}

fn with(body: &Json, request: RequestBuilder) -> RequestBuilder {
    request.header("Content-Type", "application/json").body(body.to_string())
}

async fn answer(request: RequestBuilder) -> anyhow::Result<(StatusCode, Vec<u8>)> {
    let asked = async {
        let response = request.send().await.map_err(web::cause)?;
        Ok((response.status(), web::body(response, ANSWER).await?))
    };
    ANSWER.in_time(asked).await?
}

/// What a server says, or why it refuses.
fn read(status: StatusCode, body: &[u8]) -> anyhow::Result<Json> {
    match status.is_success() {
        true => Ok(serde_json::from_slice(body).unwrap_or_default()),
        false => Err(refusal(status, body)),
    }
}

async fn accepted(response: Response) -> anyhow::Result<()> {
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let body = web::body(response, ANSWER).await.unwrap_or_default();
    Err(refusal(status, &body))
}

/// Why a server refuses, in its own words where it has some.
fn refusal(status: StatusCode, body: &[u8]) -> anyhow::Error {
    let said: Json = serde_json::from_slice(body).unwrap_or_default();
    let several = said.get("errors").and_then(Json::as_array);
    let words: Vec<String> =
        several.into_iter().flatten().chain(said.get("message")).map(words).collect();
    let error = match words.is_empty() {
        true => anyhow!("the server answers {status}"),
        false => anyhow!("the server answers {status}: {}", harmless(words.join(". ").as_bytes())),
    };
    web::fault(status).mark(error)
}

/// One of its errors: a text, or texts by what they are about.
fn words(error: &Json) -> String {
    match error {
        Json::String(text) => text.clone(),
        Json::Object(about) => {
            let texts = about.iter().map(|(name, text)| match text.as_str() {
                Some(text) => format!("{name} {text}"),
                None => format!("{name} {text}"),
            });
            texts.collect::<Vec<_>>().join(". ")
        }
        other => other.to_string(),
    }
}
