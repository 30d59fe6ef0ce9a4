//! An HTTP server for the guest: installers and first-boot scripts fetch their answers from it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use smart_default::SmartDefault;
use tokio_util::sync::{CancellationToken, DropGuard};
use tower_http::services::ServeDir;
use tower_http::services::fs::{Backend, TokioBackend};

use crate::component::Check;
use crate::diagnostic::did_you_mean;
use crate::reach::Reach;
use crate::vm::{MachineText, neighbor, ports};

/// Files for the guest over HTTP.
#[derive(Clone, Debug, SmartDefault, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Options {
    /// A directory to serve to the guest over HTTP.
    pub http_directory: Option<PathBuf>,
    /// Texts to serve to the guest over HTTP, by path. `{{ .SSHPublicKey }}` stands for the key
    /// that is made for the build. Not together with `http_directory`.
    pub http_content: IndexMap<String, MachineText>,
    /// The first port to try.
    #[default(8000)]
    pub http_port_min: u16,
    /// The last port to try.
    #[default(9000)]
    pub http_port_max: u16,
    /// The address to listen on, or a name for it. If not given: the one of `http_interface`, or the
    /// one where the machine finds this host: `127.0.0.1` behind QEMU's user network, and all addresses where
    /// `qemuargs` give it another one.
    pub http_bind_address: String,
    /// The network interface to listen on. Not together with `http_bind_address`.
    pub http_interface: String,
    /// What the server speaks: `tcp`, or `tcp4` or `tcp6` for addresses of one kind only.
    #[schemars(extend("enum" = ["tcp", "tcp4", "tcp6"]))]
    #[default("tcp".into())]
    pub http_network_protocol: String,
}

impl Options {
    /// Whether there is anything to serve.
    pub fn wants_server(&self) -> bool {
        self.http_directory.is_some() || !self.http_content.is_empty()
    }

    /// Reports what cannot be served.
    pub fn check(&self, check: &mut Check<'_>) {
        if let Some(dir) = &self.http_directory {
            check.may_read("http_directory", dir);
        }
        if self.http_port_min > self.http_port_max {
            check.error("http_port_min", "it must not be greater than `http_port_max`");
        }
        if !self.http_interface.is_empty() && !self.http_bind_address.is_empty() {
            let cause = "`http_bind_address` is given too: give one of the two";
            check.error("http_interface", cause);
        }
        let protocol = self.http_network_protocol.as_str();
        if !["tcp", "tcp4", "tcp6"].contains(&protocol) {
            let cause = format!("no machine reaches a server that speaks `{protocol}`");
            let found = check.error("http_network_protocol", cause);
            found.help = Some("use tcp, tcp4 or tcp6".to_owned());
        }
        if self.http_directory.is_some() && !self.http_content.is_empty() {
            let help = "or read single files into `http_content` with the function `file`";
            let cause = "`http_directory` is given too: give one of the two";
            check.error("http_content", cause).help = Some(help.to_owned());
        }
    }

    /// Where to listen; at `usual` if the template does not say.
    pub async fn address(&self, usual: IpAddr) -> anyhow::Result<(IpAddr, RangeInclusive<u16>)> {
        let address = match (self.http_bind_address.as_str(), self.http_interface.as_str()) {
            ("", "") => usual,
            ("", interface) => neighbor::own_address(interface).context("`http_interface`")?,
            (name, _) => self.resolve(name).await?,
        };
        ensure!(
            self.speaks(&address),
            "`http_network_protocol`: {address} is no address of {}; give one as `http_bind_address`",
            self.http_network_protocol
        );
        Ok((address, self.http_port_min..=self.http_port_max))
    }

    /// Whether `address` is of the kind that is wanted.
    fn speaks(&self, address: &IpAddr) -> bool {
        match self.http_network_protocol.as_str() {
            "tcp4" => address.is_ipv4(),
            "tcp6" => address.is_ipv6(),
            _ => true,
        }
    }

    /// An address that `name` has, of the kind that is wanted.
    async fn resolve(&self, name: &str) -> anyhow::Result<IpAddr> {
        let found = tokio::net::lookup_host((name, 0)).await;
        let found = found.with_context(|| format!("`http_bind_address`: {name}"))?;
        // QEMU's user network leads to IPv4 addresses.
        let addresses = found.map(|found| found.ip()).filter(|address| self.speaks(address));
        let address = addresses.min_by_key(IpAddr::is_ipv6);
        address.with_context(|| format!("`http_bind_address`: {name} has none"))
    }
}

/// What is served.
#[derive(Debug)]
pub enum Site {
    /// The files of a directory, as far as a template may have them read.
    Directory(PathBuf, Reach),
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
            Site::Directory(dir, reach) => {
                let files = ServeDir::with_backend(dir, InReach(reach));
                Router::new().fallback_service(files)
            }
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

/// The files that may be read: a link in the directory may lead out of it.
#[derive(Clone, Debug)]
struct InReach(Reach);

impl InReach {
    fn check(&self, path: &Path) -> io::Result<()> {
        self.0.check(path)?;
        let facts = std::fs::metadata(path)?;
        match facts.is_file() || facts.is_dir() {
            true => Ok(()),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl Backend for InReach {
    type File = <TokioBackend as Backend>::File;
    type Metadata = <TokioBackend as Backend>::Metadata;
    type OpenFuture = <TokioBackend as Backend>::OpenFuture;
    type MetadataFuture = <TokioBackend as Backend>::MetadataFuture;

    fn open(&self, path: PathBuf) -> Self::OpenFuture {
        match self.check(&path) {
            Ok(()) => TokioBackend.open(path),
            Err(refused) => Box::pin(async { Err(refused) }),
        }
    }

    fn metadata(&self, path: PathBuf) -> Self::MetadataFuture {
        match self.check(&path) {
            Ok(()) => TokioBackend.metadata(path),
            Err(refused) => Box::pin(async { Err(refused) }),
        }
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
    use std::net::Ipv4Addr;

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
            let usual = Ipv4Addr::LOCALHOST.into();
            options.address(usual).await.map(|(address, _)| address.to_string())
        };
        for local in ["localhost", "", "127.0.0.1"] {
            assert_eq!(bound(local).await.unwrap(), "127.0.0.1", "{local}");
        }
        assert_eq!(bound("0.0.0.0").await.unwrap(), "0.0.0.0");
        let options = Options { http_network_protocol: "tcp6".to_owned(), ..Options::default() };
        let refused = options.address(Ipv4Addr::LOCALHOST.into()).await.unwrap_err().to_string();
        assert!(refused.contains("127.0.0.1 is no address of tcp6"), "{refused}");
        let unknown = bound("nobody.invalid").await.unwrap_err();
        assert_eq!(unknown.to_string(), "`http_bind_address`: nobody.invalid");
    }

    #[tokio::test]
    async fn an_interface_to_listen_on_is_taken_for_its_address() {
        let of = |interface: &str| Options {
            http_interface: interface.to_owned(),
            ..Options::default()
        };
        let usual = Ipv4Addr::new(192, 0, 2, 1).into();
        assert_eq!(of("").address(usual).await.unwrap().0, usual);
        assert_eq!(of("lo").address(usual).await.unwrap().0, IpAddr::V4(Ipv4Addr::LOCALHOST));
        let unknown = of("nothing0").address(usual).await.unwrap_err();
        assert!(format!("{unknown:#}").starts_with("`http_interface`: there is no network"));
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
        std::os::unix::fs::symlink("../secret", dir.path().join("www/link")).unwrap();
        let www = || dir.path().join("www");
        let server = serve(Site::Directory(www(), Reach::within([www()]))).await;
        assert_eq!(get(&server, "/ks.cfg").await, (200, "lang".to_owned()));
        assert_eq!(get(&server, "/..%2fsecret").await.0, 404);
        assert_ne!(get(&server, "/link").await.0, 200, "it leads to where nothing may be read");
        let server = serve(Site::Directory(www(), Reach::default())).await;
        assert_eq!(get(&server, "/link").await, (200, "secret".to_owned()));
    }
}
