//! Services that are called too rarely for a client of their own: in JSON, each call signed as all of AWS's
//! are. The calls go through [`Api`] as all others do.

use std::error::Error;
use std::fmt;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::{ConnectorError, SdkError};
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::error::ErrorMetadata;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use reqwest::{Client, Request};
use serde_json::Value as Json;
use tokio_util::sync::CancellationToken;

use crate::aws::account::Account;
use crate::aws::call::Api;
use crate::aws::error::ApiError;
use crate::aws::keys::Keys;
use crate::peer::Allowance;
use crate::web;

/// What all these services speak.
const CONTENT_TYPE: &str = "application/x-amz-json-1.1";

/// What a service may answer, and when.
const ANSWER: Allowance = Allowance::new("the answer", 1 << 20, Duration::from_secs(60));

/// A service that is called in JSON.
#[derive(Debug)]
pub(super) struct Service {
    /// What it is called in the names of hosts.
    pub api: &'static str,
    /// What it is called where calls are signed.
    pub signed_as: &'static str,
    /// What stands before the names of its calls.
    pub target: &'static str,
}

/// Calls a [`Service`] in one region.
#[derive(Clone, Debug)]
pub(super) struct JsonClient {
    http: Client,
    keys: Keys,
    service: &'static Service,
    region: String,
    url: String,
}

/// A service, as one build calls it.
pub(super) type JsonApi = Api<JsonClient>;

impl JsonClient {
    /// `service`, seen from `account`; at `url`, if that is given.
    pub fn of(
        account: &Account,
        service: &'static Service,
        url: Option<String>,
        cancel: &CancellationToken,
    ) -> anyhow::Result<JsonApi> {
        let http = web::client().redirect(reqwest::redirect::Policy::none());
        let http = http.timeout(ANSWER.time).build().context("no HTTP client")?;
        let (keys, region) = (account.keys().clone(), account.region().to_owned());
        let url = url.unwrap_or_else(|| account.url_of(service.api));
        Ok(account.api(service.api, &Self { http, keys, service, region, url }, cancel))
    }

    /// The answer to one try of `call` with this `input`.
    async fn once(
        self,
        call: &'static str,
        input: Json,
    ) -> Result<Json, SdkError<Refused, HttpResponse>> {
        let keys = self.keys.provide_credentials().await;
        let keys = keys.map_err(|error| lost(ConnectorError::other(error.into(), None)))?;
        let request = self.request(call, input.to_string(), keys);
        let request = request.map_err(SdkError::construction_failure)?;
        let answer = self.http.execute(request).await.map_err(|error| {
            let is_late = error.is_timeout() && !error.is_connect();
            let error = error.without_url();
            if is_late {
                SdkError::timeout_error(error)
            } else {
                lost(ConnectorError::io(error.into()))
            }
        })?;
        let status = answer.status().as_u16();
        let body = web::body(answer, ANSWER).await;
        let body = body.map_err(|error| lost(ConnectorError::io(error.into())))?;
        understood(status, &body)
    }

    /// The request, signed with `keys`.
    fn request(&self, call: &str, body: String, keys: Credentials) -> anyhow::Result<Request> {
        let identity = keys.into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(self.service.signed_as)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()?;
        let target = format!("{}.{call}", self.service.target);
        let headers = [("content-type", CONTENT_TYPE), ("x-amz-target", target.as_str())];
        let bytes = SignableBody::Bytes(body.as_bytes());
        let signable = SignableRequest::new("POST", &self.url, headers.into_iter(), bytes)?;
        let (signature, _) = sign(signable, &parameters.into())?.into_parts();
        let request = headers.into_iter().chain(signature.headers());
        let request = request
            .fold(self.http.post(&self.url), |request, (name, value)| request.header(name, value));
        Ok(request.body(body).build()?)
    }
}

impl JsonApi {
    /// The answer to `call` with this `input`, tried again where that can help.
    pub async fn ask(&self, call: &'static str, input: Json) -> Result<Json, ApiError> {
        self.call(call, |client| client.clone().once(call, input.clone())).await
    }
}

/// What an answer says.
fn understood(status: u16, body: &[u8]) -> Result<Json, SdkError<Refused, HttpResponse>> {
    let refused = |refused: ErrorMetadata| {
        let number = StatusCode::try_from(status).or(StatusCode::try_from(500));
        let status = number.map_err(SdkError::construction_failure);
        status.map(|status| {
            let raw = HttpResponse::new(status, SdkBody::from(body.to_vec()));
            SdkError::service_error(Refused(refused), raw)
        })
    };
    let answer: Option<Json> = serde_json::from_slice(body).ok();
    match answer {
        Some(answer) if (200..300).contains(&status) => Ok(answer),
        Some(answer) => Err(refused(why(&answer))?),
        None => Err(refused(ErrorMetadata::builder().build())?),
    }
}

/// What a refusal says: its type is the code, with a name space before it or without.
fn why(answer: &Json) -> ErrorMetadata {
    let text = |name: &str| answer.get(name).and_then(Json::as_str);
    let mut why = ErrorMetadata::builder();
    if let Some(code) = text("__type").map(|code| code.rsplit('#').next().unwrap_or(code)) {
        why = why.code(code);
    }
    if let Some(message) = text("message").or_else(|| text("Message")) {
        why = why.message(message);
    }
    why.build()
}

fn lost(error: ConnectorError) -> SdkError<Refused, HttpResponse> {
    SdkError::dispatch_failure(error)
}

/// That a service refuses a call.
#[derive(Debug)]
pub(super) struct Refused(ErrorMetadata);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.message().unwrap_or("no, in words that are no JSON"))
    }
}

impl Error for Refused {}

impl ProvideErrorMetadata for Refused {
    fn meta(&self) -> &ErrorMetadata {
        &self.0
    }
}
