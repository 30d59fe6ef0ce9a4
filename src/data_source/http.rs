//! The `http` data source: what a server answers to one request.

use anyhow::{Context as _, ensure};
use async_trait::async_trait;
use indexmap::IndexMap;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;
use url::Url;

use crate::component::{Check, Component, DataSource, OutputType, Outputs};
use crate::config::UNKNOWN;

/// Its options.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Options {
    /// What to ask for: an `http` or `https` URL.
    pub url: String,
    /// `GET`, `HEAD`, `POST`, `PUT`, `DELETE`, `OPTIONS` or `PATCH`.
    pub method: String,
    /// Headers of the request.
    pub request_headers: IndexMap<String, String>,
    /// The body of the request.
    pub request_body: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            url: String::new(),
            method: "GET".to_owned(),
            request_headers: IndexMap::new(),
            request_body: String::new(),
        }
    }
}

const METHODS: &[&str] = &["HEAD", "GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"];

/// Sends one request. An answer other than 2xx is an error.
#[derive(Debug)]
pub struct Http {
    url: String,
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
        Some(Self {
            url: options.url,
            method: method?,
            headers: headers?,
            body: options.request_body,
        })
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
        let client = Client::builder().build().context("no HTTP client")?;
        let request = client
            .request(self.method.clone(), &self.url)
            .headers(self.headers.clone())
            .body(self.body.clone());
        let answer = request.send().await.context("the request failed")?;
        let status = answer.status();
        ensure!(status.is_success(), "the server answers {status}");
        let headers = joined(answer.headers());
        if !is_text(answer.headers()) {
            tracing::warn!(url = %self.url, "the answer does not say that it is a text");
        }
        let body = answer.bytes().await.context("the answer broke off")?;
        Ok(Outputs::from([
            ("url", self.url.clone().into()),
            ("body", String::from_utf8_lossy(&body).into()),
            ("request_headers", headers.into()),
        ]))
    }
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
