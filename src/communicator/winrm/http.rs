//! One connection to the WinRM service: TCP, a proxy, TLS, HTTP.
//!
//! NTLM logs a connection in, not a request. So connections are made and kept here, where a pool
//! might take another one.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHORIZATION};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use crate::communicator::way::tcp;
use crate::communicator::{Transport, Way};
use crate::env::Environment;
use crate::retry::Permanent;

/// How long the machine, or the proxy, may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(15);
/// What an answer may be: envelopes are much smaller.
const LARGEST_ANSWER: usize = 16 << 20;

/// The service, and how to get to it.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    host: String,
    port: u16,
    url: Uri,
    tls: Option<Arc<ClientConfig>>,
    proxies: Arc<Matcher>,
    /// What leads to the machine, if no address of it does.
    way: Option<Arc<dyn Way>>,
}

/// How TLS is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tls {
    /// Not at all.
    Off,
    /// With a certificate that an authority of this host vouches for.
    Verified,
    /// With any certificate.
    Unverified,
}

impl Endpoint {
    /// The service on `port` of `host`.
    pub(super) fn new(
        host: &str,
        port: u16,
        tls: Tls,
        proxies: Matcher,
        way: Option<Arc<dyn Way>>,
    ) -> anyhow::Result<Self> {
        let scheme = if tls == Tls::Off { "http" } else { "https" };
        let written = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let url = format!("{scheme}://{written}:{port}/wsman");
        Ok(Self {
            host: host.to_owned(),
            port,
            url: url.parse().with_context(|| format!("`{url}` is no address"))?,
            tls: config(tls)?.map(Arc::new),
            proxies: Arc::new(proxies),
            way,
        })
    }

    /// Its address.
    pub(super) fn url(&self) -> String {
        self.url.to_string()
    }

    /// Whether nobody between can read what is sent.
    pub(super) fn is_private(&self) -> bool {
        self.tls.is_some()
    }

    /// A new connection.
    pub(super) async fn connect(&self) -> anyhow::Result<Connection> {
        if let Some(way) = &self.way {
            way.open().await?;
        }
        let connecting = self.connect_now();
        let connected = tokio::time::timeout(CONNECT, connecting).await;
        connected.with_context(|| format!("no answer within {CONNECT:?}"))?
    }

    async fn connect_now(&self) -> anyhow::Result<Connection> {
        if let Some(way) = &self.way {
            return self.over(way.dial().await?, false, None).await;
        }
        let Some(proxy) = self.proxies.intercept(&self.url) else {
            let stream = tcp(&self.host, self.port).await?;
            return self.over(Box::new(stream), false, None).await;
        };
        let (host, port) = (proxy.uri().host(), proxy.uri().port_u16());
        let host = host.context("the address of the HTTP proxy has no host")?;
        let stream = tcp(host, port.unwrap_or(80)).await;
        let stream = stream.with_context(|| format!("cannot connect to the HTTP proxy {host}"))?;
        let login = proxy.basic_auth().cloned();
        if self.tls.is_none() {
            return self.over(Box::new(stream), true, login).await;
        }
        let tunnel = self.through(stream, login).await?;
        self.over(tunnel, false, None).await
    }

    /// Asks the proxy at the other end of `stream` for a tunnel.
    async fn through(
        &self,
        stream: TcpStream,
        login: Option<HeaderValue>,
    ) -> anyhow::Result<Transport> {
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move { connection.with_upgrades().await });
        let authority = self.url.authority().context("the address has no host")?.as_str();
        let mut request = Request::builder().method(Method::CONNECT).uri(authority);
        request = request.header(HOST, authority);
        if let Some(login) = login {
            request = request.header(PROXY_AUTHORIZATION, login);
        }
        let answer = sender.send_request(request.body(Full::<Bytes>::default())?).await?;
        ensure!(answer.status().is_success(), "the HTTP proxy answers {}", answer.status());
        Ok(Box::new(TokioIo::new(hyper::upgrade::on(answer).await?)))
    }

    /// Speaks TLS if that is wanted, and HTTP. A proxy wants to know the whole address.
    async fn over(
        &self,
        transport: Transport,
        names_host: bool,
        login: Option<HeaderValue>,
    ) -> anyhow::Result<Connection> {
        let mut certificate = None;
        let transport: Transport = match &self.tls {
            None => transport,
            Some(config) => {
                let name = ServerName::try_from(self.host.clone())?;
                let secured = TlsConnector::from(config.clone()).connect(name, transport).await;
                let secured = secured.map_err(advised)?;
                let certificates = secured.get_ref().1.peer_certificates();
                certificate = certificates.and_then(|all| all.first()).map(|der| der.to_vec());
                Box::new(secured)
            }
        };
        let (sender, connection) = handshake(TokioIo::new(transport)).await?;
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!("a WinRM connection ended: {error}");
            }
        });
        let path = if names_host { self.url.clone() } else { Uri::from_static("/wsman") };
        let authority = self.url.authority().context("the address has no host")?;
        Ok(Connection {
            sender,
            path,
            host: HeaderValue::from_str(authority.as_str())?,
            proxy_login: login,
            certificate,
            _driver: AbortOnDropHandle::new(driver),
        })
    }
}

/// The proxies that the environment names; none of them if `direct`.
pub(super) fn proxies(environment: &Environment, direct: bool) -> Matcher {
    if direct {
        return Matcher::builder().build();
    }
    let var = |name: &str| {
        let small = environment.get(&name.to_lowercase());
        small.or_else(|| environment.get(name)).unwrap_or_default().to_owned()
    };
    Matcher::builder().http(var("HTTP_PROXY")).https(var("HTTPS_PROXY")).no(var("NO_PROXY")).build()
}

/// What TLS says, with what to do about a certificate that nobody vouches for.
fn advised(error: io::Error) -> anyhow::Error {
    let rustls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match rustls {
        Some(rustls::Error::InvalidCertificate(_)) => anyhow::Error::new(Permanent(format!(
            "the certificate of the machine is not trusted ({error}); with `winrm_insecure = true` \
             any is"
        ))),
        _ => anyhow::Error::new(error).context("TLS failed"),
    }
}

fn config(tls: Tls) -> anyhow::Result<Option<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions()?;
    Ok(match tls {
        Tls::Off => None,
        Tls::Verified => Some(builder.with_platform_verifier()?.with_no_client_auth()),
        Tls::Unverified => {
            let anyone = Arc::new(Anyone(provider));
            let builder = builder.dangerous().with_custom_certificate_verifier(anyone);
            Some(builder.with_no_client_auth())
        }
    })
}

/// Takes any certificate: `winrm_insecure`.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// One connection.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    path: Uri,
    host: HeaderValue,
    proxy_login: Option<HeaderValue>,
    /// The server's certificate, if TLS is spoken.
    pub(super) certificate: Option<Vec<u8>>,
    _driver: AbortOnDropHandle<()>,
}

/// An answer, read whole.
pub(super) struct HttpAnswer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Connection {
    /// Posts `body`, and reads the answer within `time`.
    pub(super) async fn post(
        &mut self,
        content_type: &str,
        header: Option<(HeaderName, HeaderValue)>,
        body: Vec<u8>,
        time: Duration,
    ) -> anyhow::Result<HttpAnswer> {
        let mut request = Request::post(self.path.clone())
            .header(HOST, self.host.clone())
            .header(CONTENT_TYPE, content_type);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        if let Some(login) = &self.proxy_login {
            request = request.header(PROXY_AUTHORIZATION, login.clone());
        }
        let request = request.body(Full::new(Bytes::from(body)))?;
        let exchange = async {
            self.sender.ready().await?;
            let (head, body) = self.sender.send_request(request).await?.into_parts();
            let body = Limited::new(body, LARGEST_ANSWER).collect().await;
            let body = body.map_err(anyhow::Error::from_boxed)?.to_bytes();
            anyhow::Ok(HttpAnswer { status: head.status, headers: head.headers, body })
        };
        match tokio::time::timeout(time, exchange).await {
            Ok(answer) => answer,
            Err(_) => bail!("no answer within {time:?}"),
        }
    }
}
