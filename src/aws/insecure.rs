//! Connections that trust any certificate (`insecure_skip_tls_verify`): the SDK's own cannot.

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;

/// A client for all services, which asks nobody for a good certificate.
///
/// # Errors
/// When there is no TLS to be had at all.
pub(super) fn client() -> reqwest::Result<SharedHttpClient> {
    let client = reqwest::Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let connector = SharedHttpConnector::new(Connector(client));
    Ok(http_client_fn(move |_, _| connector.clone()))
}

#[derive(Clone, Debug)]
struct Connector(reqwest::Client);

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move { send(&client, &request).await })
    }
}

async fn send(
    client: &reqwest::Client,
    request: &HttpRequest,
) -> Result<HttpResponse, ConnectorError> {
    let wrong = |error: Box<dyn std::error::Error + Send + Sync>| ConnectorError::user(error);
    let method = request.method().parse().map_err(|error| wrong(Box::new(error)))?;
    let mut sent: reqwest::Request = reqwest::Request::new(
        method,
        request.uri().parse().map_err(|error| wrong(Box::new(error)))?,
    );
    for (name, value) in request.headers() {
        let name: reqwest::header::HeaderName =
            name.parse().map_err(|error| wrong(Box::new(error)))?;
        sent.headers_mut().append(name, value.parse().map_err(|error| wrong(Box::new(error)))?);
    }
    // What these services are sent is in memory.
    *sent.body_mut() = request.body().bytes().map(|bytes| bytes.to_vec().into());
    let answer = client.execute(sent).await.map_err(connector_error)?;
    let status = answer.status().as_u16().try_into().map_err(|error| wrong(Box::new(error)))?;
    let headers = answer.headers().clone();
    let body = answer.bytes().await.map_err(connector_error)?;
    let mut response = HttpResponse::new(status, SdkBody::from(body.to_vec()));
    for (name, value) in &headers {
        if let Ok(value) = value.to_str() {
            // A header that cannot be kept is one that nobody reads.
            let _ = response.headers_mut().try_append(name.to_string(), value.to_owned());
        }
    }
    Ok(response)
}

fn connector_error(error: reqwest::Error) -> ConnectorError {
    match error.is_timeout() {
        true => ConnectorError::timeout(error.into()),
        false => ConnectorError::io(error.into()),
    }
}
