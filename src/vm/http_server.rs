//! An HTTP server for the guest: installers and first-boot scripts fetch their answers from it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::{CancellationToken, DropGuard};
use tower_http::services::ServeDir;

use crate::component::Check;
use crate::diagnostic::did_you_mean;
use crate::vm::{MachineText, ports};

/// Files for the guest over HTTP.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("x-not-built" = [
    "http_interface", "http_network_protocol",
]))]
pub struct Options {
    /// A directory to serve to the guest over HTTP.
    pub http_directory: Option<PathBuf>,
    /// Texts to serve to the guest over HTTP, by path. `{{ .SSHPublicKey }}` stands for the key
    /// that is made for the build. Not together with `http_directory`.
    pub http_content: IndexMap<String, MachineText>,
    /// The first port to try.
    pub http_port_min: u16,
    /// The last port to try.
    pub http_port_max: u16,
    /// The address to listen on, or a name for it. A guest behind QEMU's user network needs only the
    /// default, `127.0.0.1`.
    pub http_bind_address: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            http_directory: None,
            http_content: IndexMap::new(),
            http_port_min: 8000,
            http_port_max: 9000,
            http_bind_address: Ipv4Addr::LOCALHOST.to_string(),
        }
    }
}

impl Options {
    /// Whether there is anything to serve.
    pub fn wants_server(&self) -> bool {
        self.http_directory.is_some() || !self.http_content.is_empty()
    }

    /// Reports what cannot be served.
    pub fn check(&self, check: &mut Check<'_>) {
        if self.http_port_min > self.http_port_max {
            check.error("http_port_min", "it must not be greater than `http_port_max`");
        }
        if self.http_directory.is_some() && !self.http_content.is_empty() {
            let help = "or read single files into `http_content` with the function `file`";
            let cause = "`http_directory` is given too: give one of the two";
            check.error("http_content", cause).help = Some(help.to_owned());
        }
    }

    /// Where to listen.
    pub async fn address(&self) -> anyhow::Result<(IpAddr, RangeInclusive<u16>)> {
        let name = match self.http_bind_address.as_str() {
            "" => Ipv4Addr::LOCALHOST.to_string(),
            given => given.to_owned(),
        };
        let found = tokio::net::lookup_host((name.as_str(), 0)).await;
        let found = found.with_context(|| format!("`http_bind_address`: {name}"))?;
        // QEMU's user network leads to addresses of the older kind.
        let address = found.map(|found| found.ip()).min_by_key(IpAddr::is_ipv6);
        let address = address.with_context(|| format!("`http_bind_address`: {name} has none"))?;
        Ok((address, self.http_port_min..=self.http_port_max))
    }
}

/// What is served.
#[derive(Debug)]
pub enum Site {
    /// The files of a directory.
    Directory(PathBuf),
    /// Path (with its leading slash) → text.
    Texts(IndexMap<String, String>),
}

/// A running server; dropping it ends it.
#[derive(Debug)]
pub struct HttpServer {
    /// Where it listens.
    pub address: SocketAddr,
    _stop: DropGuard,
}

impl HttpServer {
    /// Serves `site` on the first free port of a range.
    pub async fn start(
        site: Site,
        address: IpAddr,
        range: &RangeInclusive<u16>,
    ) -> anyhow::Result<Self> {
        let listener = ports::listen(address, range).await?;
        let address = listener.local_addr()?;
        let router = match site {
            Site::Directory(dir) => Router::new().fallback_service(ServeDir::new(dir)),
            Site::Texts(texts) => {
                let texts = Arc::new(texts);
                Router::new().fallback(move |uri: Uri| async move { answer(&texts, &uri) })
            }
        };
        let stop = CancellationToken::new();
        let serve = async move { axum::serve(listener, router).await };
        tokio::spawn(stop.clone().run_until_cancelled_owned(serve));
        Ok(Self { address, _stop: stop.drop_guard() })
    }
}

fn answer(texts: &IndexMap<String, String>, uri: &Uri) -> Response {
    let path = uri.path();
    if let Some(text) = texts.get(path) {
        return text.clone().into_response();
    }
    let hint = match did_you_mean(path, texts.keys().map(String::as_str)) {
        Some(meant) => format!("; did you mean {meant}?"),
        None => String::new(),
    };
    (StatusCode::NOT_FOUND, format!("{path} is not served here{hint}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn get(server: &HttpServer, path: &str) -> (u16, String) {
        let url = format!("http://{}{path}", server.address);
        let response = reqwest::get(url).await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    #[tokio::test]
    async fn an_address_to_listen_on_may_be_a_name() {
        let bound = async |text: &str| {
            let options = Options { http_bind_address: text.to_owned(), ..Options::default() };
            options.address().await.map(|(address, _)| address.to_string())
        };
        for local in ["localhost", "", "127.0.0.1"] {
            assert_eq!(bound(local).await.unwrap(), "127.0.0.1", "{local}");
        }
        assert_eq!(bound("0.0.0.0").await.unwrap(), "0.0.0.0");
        let unknown = bound("nobody.invalid").await.unwrap_err();
        assert_eq!(unknown.to_string(), "`http_bind_address`: nobody.invalid");
    }

    async fn serve(site: Site) -> HttpServer {
        HttpServer::start(site, Ipv4Addr::LOCALHOST.into(), &(8000..=9000)).await.unwrap()
    }

    #[tokio::test]
    async fn texts_are_served_and_a_near_miss_is_told() {
        let texts = IndexMap::from([("/user-data".to_owned(), "#cloud-config\n".to_owned())]);
        let server = serve(Site::Texts(texts)).await;
        assert_eq!(get(&server, "/user-data").await, (200, "#cloud-config\n".to_owned()));
        let (status, text) = get(&server, "/userdata").await;
        assert_eq!(status, 404);
        assert!(text.contains("did you mean /user-data?"), "{text}");
    }

    #[tokio::test]
    async fn a_directory_is_served_and_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("www")).unwrap();
        std::fs::write(dir.path().join("www/ks.cfg"), "lang").unwrap();
        std::fs::write(dir.path().join("secret"), "secret").unwrap();
        let server = serve(Site::Directory(dir.path().join("www"))).await;
        assert_eq!(get(&server, "/ks.cfg").await, (200, "lang".to_owned()));
        assert_eq!(get(&server, "/..%2fsecret").await.0, 404);
    }
}
