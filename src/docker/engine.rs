//! The connection to an engine, and the errors of its calls.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use bollard::query_parameters::BuilderVersion;
use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use hyper::header::HeaderValue;

use super::buildkit;
use super::endpoint::Endpoint;
use super::over_ssh::{Address, Tunnel};
use super::podman::Service;
use crate::component::Check;
use crate::env::Environment;
use crate::fault::{Fault, Kind};
use crate::guest::harmless;

/// How long an engine may take to answer what is quick, in seconds.
const QUICK: u64 = 120;

/// How long it may take to answer what moves or makes a whole image.
const PATIENT: Duration = Duration::from_secs(6 * 60 * 60);

/// The program that a template's `docker_path` names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Program {
    /// Docker's own, which we do without: we speak with its engine.
    #[default]
    Docker,
    /// Podman's, which is asked to be an engine.
    Podman(PathBuf),
}

impl Program {
    /// The one that the option `docker_path` of a template names.
    pub fn check(docker_path: &str, check: &mut Check<'_>) -> Option<Self> {
        Self::at(docker_path).map_err(|cause| check.error("docker_path", cause).severity).ok()
    }

    /// The one at `path`.
    ///
    /// # Errors
    /// When it is another program.
    fn at(path: &str) -> Result<Self, String> {
        let name = Path::new(path).file_name().unwrap_or_default().to_string_lossy().into_owned();
        match name.as_str() {
            "" | "docker" => Ok(Self::Docker),
            "podman" => Ok(Self::Podman(PathBuf::from(path))),
            _ => Err(format!(
                "imgbake speaks with the engine itself, and runs no `{name}`: it knows `docker` \
                 and `podman`"
            )),
        }
    }
}

/// An engine that has answered.
#[derive(Clone, Debug)]
pub struct Engine {
    pub(super) client: Docker,
    pub(super) endpoint: Endpoint,
    /// Who builds images of Dockerfiles there.
    pub(super) builder: BuilderVersion,
    /// Ends with the last clone.
    _way: Option<Way>,
}

/// What must live as long as an engine is spoken with.
#[derive(Clone, Debug)]
#[expect(dead_code, reason = "held for its end")]
enum Way {
    Podman(Arc<Service>),
    Ssh(Arc<Tunnel>),
}

impl Engine {
    /// The engine that `program` would use.
    ///
    /// # Errors
    /// When there is none, or when it does not answer.
    pub async fn open(environment: &Environment, program: &Program) -> anyhow::Result<Self> {
        match program {
            Program::Docker => Self::at(Endpoint::usual(environment)?, environment).await,
            Program::Podman(path) => Self::of_podman(path, environment).await,
        }
    }

    /// Where it listens, as `DOCKER_HOST` says it; `podman` if Podman is asked to be the engine.
    pub fn host(&self) -> &str {
        &self.endpoint.0
    }

    /// The engine that the journal calls `endpoint`.
    pub(super) async fn of_journal(
        endpoint: &Endpoint,
        environment: &Environment,
    ) -> anyhow::Result<Self> {
        match endpoint.0 == PODMAN {
            true => Self::of_podman(Path::new("podman"), environment).await,
            false => Self::at(endpoint.clone(), environment).await,
        }
    }

    async fn of_podman(program: &Path, environment: &Environment) -> anyhow::Result<Self> {
        let service = Service::start(program).await?;
        let engine = Self::at(Endpoint::of_socket(service.socket()), environment).await?;
        let endpoint = Endpoint(PODMAN.to_owned());
        Ok(Self { endpoint, _way: Some(Way::Podman(Arc::new(service))), ..engine })
    }

    async fn at(endpoint: Endpoint, environment: &Environment) -> anyhow::Result<Self> {
        let opened = match endpoint.0.starts_with("ssh://") {
            true => Self::over_ssh(&endpoint, environment).await,
            false => Self::reached(&endpoint, environment).await,
        };
        let engine = opened.map_err(|error| out_of_reach(&endpoint, error))?;
        Ok(Self { endpoint, ..engine })
    }

    async fn over_ssh(endpoint: &Endpoint, environment: &Environment) -> anyhow::Result<Self> {
        let tunnel = Tunnel::open(Address::parse(&endpoint.0)?, environment)?;
        let engine = Self::reached(&Endpoint::of_socket(tunnel.socket()), environment).await;
        let engine = engine.map_err(|error| tunnel.explain(error))?;
        Ok(Self { _way: Some(Way::Ssh(Arc::new(tunnel))), ..engine })
    }

    async fn reached(endpoint: &Endpoint, environment: &Environment) -> anyhow::Result<Self> {
        let client = connect(endpoint, environment)?.with_request_modifier(url_safe);
        let version = client.version().await.map_err(EngineError::from)?;
        let builder = buildkit::builder(&version, environment)?;
        Ok(Self { client, endpoint: endpoint.clone(), builder, _way: None })
    }

    /// The client for calls that take as long as an image is large.
    pub(super) fn patient(&self) -> Docker {
        self.client.clone().with_timeout(PATIENT)
    }
}

/// What the journal calls an engine that Podman is asked to be.
const PODMAN: &str = "podman";

fn out_of_reach(endpoint: &Endpoint, error: anyhow::Error) -> anyhow::Error {
    let error = error.context(format!(
        "no container engine answers at {endpoint}; start it, let this user use it, or say with \
         DOCKER_HOST where it is"
    ));
    Fault::lasting(Kind::Environment).mark(error)
}

fn connect(endpoint: &Endpoint, environment: &Environment) -> anyhow::Result<Docker> {
    let host = endpoint.0.as_str();
    let scheme = host.split_once("://").map_or("", |(scheme, _)| scheme);
    let own = super::endpoint::certificates(endpoint, environment);
    let wants_tls = own.is_some() || environment.get("DOCKER_TLS_VERIFY").is_some();
    match scheme {
        "unix" => Ok(Docker::connect_with_unix(host, QUICK, API_DEFAULT_VERSION)?),
        "tcp" | "https" if wants_tls || scheme == "https" => connect_by_tls(host, own, environment),
        "tcp" | "http" => Ok(Docker::connect_with_http(host, QUICK, API_DEFAULT_VERSION)?),
        _ => bail!("this is no address such as unix:///var/run/docker.sock"),
    }
}

fn connect_by_tls(
    host: &str,
    own: Option<PathBuf>,
    environment: &Environment,
) -> anyhow::Result<Docker> {
    let given = || environment.get("DOCKER_CERT_PATH").map(|dir| environment.cwd.join(dir));
    let dir = own.or_else(given).or_else(|| super::endpoint::config_dir(environment));
    let dir = dir.context("nobody says where the certificates are: set DOCKER_CERT_PATH")?;
    let file = |name| dir.join(name);
    let (key, certificate, authority) = (file("key.pem"), file("cert.pem"), file("ca.pem"));
    let client =
        Docker::connect_with_ssl(host, &key, &certificate, &authority, QUICK, API_DEFAULT_VERSION);
    client.with_context(|| format!("cannot use the certificates in {}", dir.display()))
}

/// Engines read the credentials for registries as base64 that is safe in addresses.
fn url_safe(mut request: BollardRequest) -> BollardRequest {
    for name in ["x-registry-auth", "x-registry-config"] {
        let written = request.headers().get(name).and_then(|value| value.to_str().ok());
        let Some(written) = written else { continue };
        let safe = written.replace('+', "-").replace('/', "_");
        if let Ok(mut value) = HeaderValue::from_str(&safe) {
            value.set_sensitive(true);
            request.headers_mut().insert(name, value);
        }
    }
    request
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The engine has understood, and refuses.
    #[error("the engine says: {message}")]
    Refused {
        /// As HTTP says it; 0 if the call had begun well.
        status: u16,
        /// Why.
        message: String,
    },
    /// There was no answer in time.
    #[error("the engine does not answer")]
    Late,
    /// The answer did not arrive.
    #[error("the connection to the engine failed: {0}")]
    Lost(String),
}

impl EngineError {
    /// Whether it is about something that is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    /// Whether something else stands in the way now.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { status: 409, .. })
    }

    /// Whether nobody knows what became of the call.
    pub fn is_unsure(&self) -> bool {
        matches!(self, Self::Late | Self::Lost(_))
    }
}

impl From<bollard::errors::Error> for EngineError {
    fn from(error: bollard::errors::Error) -> Self {
        use bollard::errors::Error;
        let refused = |status, message: &str| Self::Refused {
            status,
            message: harmless(message.trim().as_bytes()),
        };
        match error {
            Error::DockerResponseServerError { status_code, message } => match message.is_empty() {
                true => refused(status_code, &format!("no, with status {status_code}")),
                false => refused(status_code, &message),
            },
            Error::DockerStreamError { error } => refused(0, &error),
            Error::RequestTimeoutError => Self::Late,
            other => Self::Lost(format!("{:#}", anyhow!(other))),
        }
    }
}

/// What a call gave, or nothing where what it is about is not there.
pub(super) fn if_there<T>(
    answer: Result<T, bollard::errors::Error>,
) -> Result<Option<T>, EngineError> {
    match answer.map_err(EngineError::from) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_known_by_its_name() {
        assert_eq!(Program::at("docker"), Ok(Program::Docker));
        assert_eq!(Program::at("/usr/local/bin/docker"), Ok(Program::Docker));
        let podman = Program::Podman("/opt/podman".into());
        assert_eq!(Program::at("/opt/podman"), Ok(podman));
        assert!(Program::at("nerdctl").unwrap_err().contains("runs no `nerdctl`"));
    }

    #[test]
    fn credentials_are_written_as_engines_read_them() {
        let mut request = BollardRequest::new(bollard::body_full(Default::default()));
        request.headers_mut().insert("x-registry-auth", HeaderValue::from_static("a+b/c="));
        let request = url_safe(request);
        assert_eq!(request.headers()["x-registry-auth"], "a-b_c=");
        assert!(request.headers()["x-registry-auth"].is_sensitive());
    }
}
