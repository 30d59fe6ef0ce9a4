//! HTTP requests to servers of others: how long a connection may take, and what went wrong, in the
//! words of whoever has to mend it.

pub mod netrc;

use std::error::Error;
use std::io;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use reqwest::{Client, ClientBuilder, Response, StatusCode};
use url::Url;

use crate::fault::{Fault, Kind};
use crate::peer::Allowance;

/// A server is connected to within this time, or it counts as out of reach.
const CONNECT: Duration = Duration::from_secs(3);

/// A client to be completed.
pub fn client() -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("imgbake/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
}

/// `url`, if what is secret may be sent there: not in the clear, but for servers of this machine.
pub fn safe(url: &str) -> anyhow::Result<Url> {
    let url = Url::parse(url).context("no URL")?;
    let is_local = matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
    ensure!(url.scheme() == "https" || is_local, "the token is not sent over {}", url.scheme());
    Ok(url)
}

/// All of the body of `response`, if it is as small and as quick as it must be.
pub async fn body(response: Response, allowance: Allowance) -> anyhow::Result<Vec<u8>> {
    if let Some(length) = response.content_length() {
        allowance.check(length)?;
    }
    let chunks = futures::StreamExt::map(response.bytes_stream(), |chunk| chunk.map_err(cause));
    allowance.collect(chunks).await
}

/// `response`, or that it is a refusal, and whose fault that is.
pub fn success(response: Response) -> anyhow::Result<Response> {
    let status = response.status();
    match status.is_success() {
        true => Ok(response),
        false => Err(fault(status).mark(anyhow::anyhow!("the server answers {status}"))),
    }
}

/// Whose fault it is that a server refuses with `status`: it has trouble of its own or too much to do,
/// it does not know who asks, or the address is wrong.
pub fn fault(status: StatusCode) -> Fault {
    match status {
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
            Fault::passing(Kind::Environment)
        }
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::PROXY_AUTHENTICATION_REQUIRED => Fault::lasting(Kind::Environment),
        status if status.is_server_error() => Fault::passing(Kind::Environment),
        _ => Fault::lasting(Kind::Template),
    }
}

/// What kept a request from its answer: the network, which may be better the next time. Of the URL only
/// the server is said: the rest may hold what is secret.
pub fn cause(error: reqwest::Error) -> anyhow::Error {
    let server = error.url().map(|url| url.origin().ascii_serialization());
    let server = server.unwrap_or_else(|| "the server".to_owned());
    let error = error.without_url();
    let root = root(&error);
    let said = match (error.is_connect(), error.is_timeout()) {
        (true, true) => format!("cannot connect to {server}: no answer within {CONNECT:?}"),
        (true, _) if is_about_name(&error) => {
            format!("the name in {server} does not resolve: {root}")
        }
        (true, _) => format!("cannot connect to {server}: {root}"),
        (_, true) => format!("{server} is silent"),
        _ if error.is_body() || error.is_decode() => {
            format!("the answer of {server} broke off: {root}")
        }
        _ => format!("{server} gave no answer: {root}"),
    };
    Fault::passing(Kind::Environment).mark(anyhow::Error::msg(said))
}

/// `error` and what is behind it.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// What was wrong at first.
fn root(error: &reqwest::Error) -> String {
    let refused = chain(error)
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::ConnectionRefused);
    match refused {
        true => "nobody listens there (connection refused)".to_owned(),
        false => chain(error).last().map(ToString::to_string).unwrap_or_default(),
    }
}

/// Whether a name has no address. The library has no type for it that could be asked.
fn is_about_name(error: &reqwest::Error) -> bool {
    chain(error).any(|error| error.to_string() == "dns error")
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    async fn asked(url: &str) -> String {
        let client = client().no_proxy().read_timeout(Duration::from_secs(1)).build().unwrap();
        let allowance = Allowance::new("the answer", 4, Duration::from_millis(300));
        let answer = async {
            let response = client.get(url).send().await.map_err(cause)?;
            body(success(response)?, allowance).await
        };
        match answer.await {
            Ok(body) => String::from_utf8(body).unwrap(),
            Err(error) => format!("{error:#}"),
        }
    }

    /// The URL of a server that answers `text`, and then nothing.
    async fn saying(text: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/secret", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let mut connected = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0, "a request comes first");
                stream.write_all(text.as_bytes()).await.unwrap();
                connected.push(stream);
            }
        });
        url
    }

    #[test]
    fn a_refusal_says_whose_fault_it_is_and_whether_trying_again_can_help() {
        for (status, kind, can_retry) in [
            (503, Kind::Environment, true),
            (429, Kind::Environment, true),
            (401, Kind::Environment, false),
            (404, Kind::Template, false),
        ] {
            let said = fault(StatusCode::from_u16(status).unwrap());
            assert_eq!(said, Fault { kind, can_retry }, "{status}");
        }
    }

    #[tokio::test]
    async fn each_failure_has_its_own_words() {
        let name = asked("http://nobody.invalid/secret").await;
        assert!(name.starts_with("the name in http://nobody.invalid does not resolve: "), "{name}");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let refused = asked(&format!("http://{address}/secret")).await;
        let words = "nobody listens there (connection refused)";
        assert_eq!(refused, format!("cannot connect to http://{address}: {words}"));
        for (text, words) in [
            ("", "is silent"),
            ("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", "the server answers 503 "),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "the answer is larger than 4 bytes"),
            ("HTTP/1.1 200 OK\r\n\r\n12345", "the answer is larger than 4 bytes"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n123", "the answer did not come within"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok"),
        ] {
            let said = asked(&saying(text).await).await;
            assert!(said.contains(words) && !said.contains("secret"), "{text}: {said}");
        }
    }
}
