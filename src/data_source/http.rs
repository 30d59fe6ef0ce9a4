//! The `http` data source: what a server answers to one request.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use async_trait::async_trait;
use indexmap::IndexMap;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Method, Response, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;
use smart_default::SmartDefault;
use url::Url;

use crate::budget::Limit;
use crate::component::{Check, Component, DataSource, OutputType, Outputs};
use crate::config::UNKNOWN;
use crate::peer::Allowance;
use crate::web;

/// The answer becomes a text of the template.
const ANSWER: Allowance =
    Allowance::new("the answer", Limit::TEXT.most as u64, Duration::from_secs(60));
/// How often a server may send the request elsewhere.
const REDIRECTS: usize = 10;

/// Its options.
#[derive(Clone, Debug, SmartDefault, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Options {
    /// What to ask for: an `http` or `https` URL.
    pub url: String,
    /// `GET`, `HEAD`, `POST`, `PUT`, `DELETE`, `OPTIONS` or `PATCH`.
    #[default("GET".to_owned())]
    pub method: String,
    /// Headers of the request. A redirect to another server does not take them there.
    pub request_headers: IndexMap<String, String>,
    /// The body of the request.
    pub request_body: String,
}

const METHODS: &[&str] = &["HEAD", "GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"];

/// Sends one request. An answer other than 2xx is an error.
#[derive(Debug)]
pub struct Http {
    url: String,
    request: Request,
}

/// What is sent.
#[derive(Clone, Debug)]
struct Request {
    method: Method,
    headers: HeaderMap,
    body: String,
}

impl Component for Http {
    const TYPE: &'static str = "http";
    const ABOUT: &'static str = "Sends one HTTP request, and gives the answer to the template.";
    const OUTPUTS: &'static [(&'static str, OutputType)] = &[
        ("body", OutputType::String),
        ("request_headers", OutputType::Strings),
        ("url", OutputType::String),
    ];
    type Options = (Options,);

    fn prepare((options,): Self::Options, check: &mut Check<'_>) -> Option<Self> {
        check_url(&options.url, check);
        let method = checked_method(&options.method, check);
        let headers = checked_headers(&options.request_headers, check);
        let request = Request { method: method?, headers: headers?, body: options.request_body };
        Some(Self { url: options.url, request })
    }
}

fn check_url(text: &str, check: &mut Check<'_>) {
    if text.is_empty() {
        check.missing("url", "say what to ask for");
    // What another data source answers is not known before it is asked.
    } else if !text.contains(UNKNOWN)
        && let Err(error) = Url::parse(text)
    {
        check.error("url", format!("this is no URL such as `https://example.com`: {error}"));
    }
}

fn checked_method(text: &str, check: &mut Check<'_>) -> Option<Method> {
    if METHODS.contains(&text) {
        return text.parse().ok();
    }
    check.error("method", "unknown method").help = Some(format!("one of {}", METHODS.join(", ")));
    None
}

fn checked_headers(headers: &IndexMap<String, String>, check: &mut Check<'_>) -> Option<HeaderMap> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(value)) => {
                map.insert(name, value);
            }
            (Err(error), _) => {
                check.error("request_headers", format!("`{name}` is no header's name: {error}"));
            }
            (_, Err(error)) => {
                check.error("request_headers", format!("the value of `{name}`: {error}"));
            }
        }
    }
    (map.len() == headers.len()).then_some(map)
}

#[async_trait]
impl DataSource for Http {
    async fn look_up(&self) -> anyhow::Result<Outputs> {
        ANSWER.in_time(self.ask()).await?
    }
}

impl Http {
    async fn ask(&self) -> anyhow::Result<Outputs> {
        let answer = web::success(self.request.clone().send(&self.url).await?)?;
        let headers = joined(answer.headers());
        if !is_text(answer.headers()) {
            tracing::warn!(url = %self.url, "the answer does not say that it is a text");
        }
        let body = web::body(answer, ANSWER).await?;
        Ok(Outputs::from([
            ("url", self.url.clone().into()),
            ("body", String::from_utf8_lossy(&body).into()),
            ("request_headers", headers.into()),
        ]))
    }
}

impl Request {
    /// The answer, after all redirects.
    async fn send(mut self, url: &str) -> anyhow::Result<Response> {
        // Redirects are followed here: the client would take the template's headers along.
        let client = web::client().redirect(Policy::none()).build().context("no HTTP client")?;
        let mut url = Url::parse(url)?;
        for _ in 0..=REDIRECTS {
            let Self { method, headers, body } = self.clone();
            let request = client.request(method, url.clone()).headers(headers).body(body);
            let answer = request.send().await.map_err(web::cause)?;
            let Some(next) = redirect(&url, &answer)? else { return Ok(answer) };
            self = self.redirected(answer.status(), &url, &next)?;
            url = next;
        }
        bail!("the server redirects more than {REDIRECTS} times")
    }

    /// The request that follows a redirect. What the template says to one server is nothing for
    /// another: headers stay behind, and a body is not sent.
    fn redirected(self, status: StatusCode, from: &Url, to: &Url) -> anyhow::Result<Self> {
        let is_same_server = from.origin() == to.origin();
        let headers = if is_same_server { self.headers } else { HeaderMap::new() };
        let keeps_method = [StatusCode::TEMPORARY_REDIRECT, StatusCode::PERMANENT_REDIRECT]
            .contains(&status)
            || [Method::GET, Method::HEAD].contains(&self.method);
        if !keeps_method {
            return Ok(Self { method: Method::GET, headers, body: String::new() });
        }
        ensure!(
            is_same_server || self.body.is_empty(),
            "the server redirects to {}, which does not get the body that is meant for {}",
            to.origin().ascii_serialization(),
            from.origin().ascii_serialization(),
        );
        Ok(Self { headers, ..self })
    }
}

/// Where `answer` of the server at `url` sends the request.
fn redirect(url: &Url, answer: &Response) -> anyhow::Result<Option<Url>> {
    let location = match answer.status().as_u16() {
        301 | 302 | 303 | 307 | 308 => answer.headers().get(LOCATION),
        _ => None,
    };
    let Some(location) = location else { return Ok(None) };
    let next = location.to_str().ok().and_then(|location| url.join(location).ok());
    let next = next.filter(|next| ["http", "https"].contains(&next.scheme()));
    next.map(Some).context("the server redirects to what is no address")
}

/// The headers by name; what is given several times, with commas between.
fn joined(headers: &HeaderMap) -> Json {
    let value = |name: &HeaderName| {
        let values = headers.get_all(name).iter();
        values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect::<Vec<_>>().join(", ")
    };
    headers.keys().map(|name| (canonical(name.as_str()), Json::from(value(name)))).collect()
}

/// A header's name as templates know it: `Content-Type`.
fn canonical(name: &str) -> String {
    let word = |word: &str| match word.split_at_checked(1) {
        Some((first, rest)) => first.to_uppercase() + rest,
        None => String::new(),
    };
    name.split('-').map(word).collect::<Vec<_>>().join("-")
}

fn is_text(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.starts_with("text/")
        || kind.starts_with("application/json")
        || kind.starts_with("application/samlmetadata+xml")
}
