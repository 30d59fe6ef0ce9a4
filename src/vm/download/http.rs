//! Images on web servers, and in Google Cloud Storage, which is one.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use futures::StreamExt as _;
use jiff::fmt::rfc2822::DateTimePrinter;
use reqwest::{Client, RequestBuilder, StatusCode};
use url::Url;

use super::place::GcsObject;
use super::transfer::Opened;
use crate::component::BuildContext;
use crate::env::Environment;
use crate::web::{self, netrc};

/// A server that is silent for this long is given up.
const SILENCE: Duration = Duration::from_secs(60);

/// Where Google Cloud Storage is, unless the environment says it.
const GCS: &str = "https://storage.googleapis.com";
/// The variable that says it, as in Google's own libraries.
const GCS_VARIABLE: &str = "STORAGE_EMULATOR_HOST";
/// The variable with a token for it, as go-getter reads it.
const GCS_TOKEN: &str = "GOOGLE_OAUTH_ACCESS_TOKEN";

/// What is at `url`; `None` if what was downloaded at `since` is still the same.
pub(super) async fn open(
    url: &Url,
    since: Option<SystemTime>,
    cx: &BuildContext,
) -> anyhow::Result<Option<Opened>> {
    asked(|client| get(client, url, cx), since).await
}

/// The same for an object in Google Cloud Storage; whoever has no token gets what is public.
pub(super) async fn open_gcs(
    object: &GcsObject,
    since: Option<SystemTime>,
    cx: &BuildContext,
) -> anyhow::Result<Option<Opened>> {
    let environment = &cx.facts.scope.environment;
    let url = object.url(environment)?;
    let get = |client: &Client| -> anyhow::Result<RequestBuilder> {
        let request = client.get(url.clone());
        let Some(token) = environment.get(GCS_TOKEN) else { return Ok(request) };
        cx.redactor.register(token);
        web::safe(url.as_str()).context(GCS_TOKEN)?;
        Ok(request.bearer_auth(token))
    };
    asked(get, since).await
}

impl GcsObject {
    fn url(&self, environment: &Environment) -> anyhow::Result<Url> {
        let base = match environment.get(GCS_VARIABLE) {
            Some(given) if given.contains("://") => given.to_owned(),
            Some(given) => format!("http://{given}"),
            None => GCS.to_owned(),
        };
        let mut url = Url::parse(&base).context(GCS_VARIABLE)?;
        let mut path =
            url.path_segments_mut().map_err(|()| anyhow::anyhow!("{base} is no host"))?;
        path.pop_if_empty().push(&self.bucket).extend(self.name.split('/'));
        drop(path);
        Ok(url)
    }
}

/// The answer to the request that `get` makes.
async fn asked(
    get: impl Fn(&Client) -> anyhow::Result<RequestBuilder>,
    since: Option<SystemTime>,
) -> anyhow::Result<Option<Opened>> {
    let client = web::client().read_timeout(SILENCE).build().context("no HTTP client")?;
    let mut request = get(&client)?;
    if let Some(since) = since {
        let since = jiff::Timestamp::try_from(since)?;
        let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&since)?;
        request = request.header("if-modified-since", date);
    }
    let response = request.send().await.map_err(web::cause)?;
    if response.status() == StatusCode::NOT_MODIFIED {
        return Ok(None);
    }
    let response = web::success(response)?;
    let total = response.content_length();
    let chunks = response.bytes_stream();
    let chunks = chunks.map(|chunk| chunk.map(Vec::<u8>::from).map_err(web::cause));
    Ok(Some(Opened { chunks: chunks.boxed(), total }))
}

/// A request for `url`, with the login that `.netrc` has for its server. It goes nowhere in the clear.
fn get(client: &Client, url: &Url, cx: &BuildContext) -> anyhow::Result<RequestBuilder> {
    let request = client.get(url.clone());
    let (environment, redactor) = (&cx.facts.scope.environment, &cx.redactor);
    let Some(login) = netrc::login(url, environment, redactor)? else { return Ok(request) };
    if web::safe(url.as_str()).is_err() {
        let server = url.host_str().unwrap_or_default();
        cx.ui.say(format!(
            "The login that .netrc has for {server} is not sent over {}",
            url.scheme()
        ));
        return Ok(request);
    }
    Ok(request.basic_auth(login.user, Some(login.password.expose())))
}

/// Makes sure that the server of `url` is there and gives out parts of files.
pub(super) async fn gives_parts(url: &Url) -> anyhow::Result<()> {
    let asked = async {
        let client = web::client().read_timeout(SILENCE).build().context("no HTTP client")?;
        web::success(client.head(url.clone()).send().await.map_err(web::cause)?)
    };
    let response = asked.await.with_context(|| format!("cannot read {url}"))?;
    let parts = response.headers().get(reqwest::header::ACCEPT_RANGES);
    if parts.is_none_or(|parts| parts != "bytes") {
        bail!("the server of {url} gives out no parts of files, which `iso_skip_cache` needs");
    }
    Ok(())
}
