//! From the options to a [`Server`].

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context as _;
use russh::keys::Certificate;
use russh::{Preferred, compression};

use super::algorithm;
use super::auth::Method;
use super::dial::{Bastion, Proxy, Route};
use super::host_key::HostKeys;
use super::options::SshOptions;
use super::options::given;
use super::server::{LoginError, Patience, Protocol, Server};
use super::tunnel::Tunnel;
use super::words::Words;
use crate::communicator::{HostKey, Target, key};
use crate::component::BuildContext;
use crate::env::Environment;

/// After how much silence a server that answers no keep-alive is given up: a machine that is busy
/// or paused must not lose its connection.
const LONGEST_SILENCE: Duration = Duration::from_secs(60);

/// The machine at `target`.
pub(super) async fn server(
    options: &SshOptions,
    cx: &BuildContext,
    target: &Target,
) -> anyhow::Result<Server> {
    let environment = &cx.facts.scope.environment;
    let (host, port) = options.address(target);
    let remote_tunnels: Result<Vec<_>, _> =
        options.ssh_remote_tunnels.iter().map(|text| Tunnel::parse(text)).collect();
    let agent = environment.get("SSH_AUTH_SOCK").map(PathBuf::from);
    // Only where the template says so in as many words.
    let forwarded_agent = agent.filter(|_| options.ssh_disable_agent_forwarding == Some(false));
    Ok(Server {
        host: host.to_owned(),
        port,
        route: match &target.way {
            Some(way) => Route::Way(way.clone()),
            None => route(options, cx).await?,
        },
        user: options.ssh_username.clone(),
        methods: methods(options, environment, target).await?,
        host_keys: Arc::new(HostKeys::new(target.host_key.clone())),
        protocol: protocol(options)?,
        remote_tunnels: remote_tunnels.map_err(anyhow::Error::msg)?.into(),
        forwarded_agent,
        boots: target.boots,
        is_windows: AtomicBool::default(),
        words: Arc::new(Words::new(cx.ui.clone(), host.to_owned())),
        ui: cx.ui.clone(),
    })
}

/// When to stop waiting.
pub(super) fn patience(options: &SshOptions) -> Patience {
    let timeout = if options.ssh_wait_timeout.is_zero() {
        options.ssh_timeout
    } else {
        options.ssh_wait_timeout
    };
    let refusals = options.ssh_handshake_attempts;
    match (timeout.is_zero(), refusals) {
        (true, 0) => Patience { timeout: Some(Duration::from_secs(300)), refusals: Some(10) },
        (true, refusals) => Patience { timeout: None, refusals: Some(refusals) },
        (false, refusals) => {
            Patience { timeout: Some(timeout.get()), refusals: (refusals > 0).then_some(refusals) }
        }
    }
}

/// What to do about `error`.
pub(super) fn advice(error: &LoginError) -> &'static str {
    match error {
        LoginError::HostKey(_) => {
            "if the machine renewed its host keys while it booted, connect later with `pause_before_connecting`"
        }
        LoginError::Refused(_) => {
            "check `ssh_username` and the key or password; a machine that sets up its users late needs a larger `ssh_timeout` or `ssh_handshake_attempts`"
        }
        LoginError::Bastion { .. } => "check the `ssh_bastion_…` options",
        LoginError::NoWay(_) => "more time would not help",
        LoginError::NoCommonAlgorithm(_) => {
            "see `ssh_ciphers` and `ssh_key_exchange_algorithms`; for message authentication there is no option"
        }
        LoginError::Handshake(_) => "see the server's log for the reason",
        LoginError::Timeout { .. } => {
            "check that the machine runs, that this host may reach that port, and that SSH is on; a slow machine needs a larger `ssh_timeout`"
        }
    }
}

fn protocol(options: &SshOptions) -> anyhow::Result<Protocol> {
    let interval = options.ssh_keep_alive_interval;
    let silence = options.ssh_read_write_timeout;
    let keepalive = (!interval.is_negative() && !interval.is_zero()).then(|| interval.get());
    let unanswered = keepalive
        .map_or(0, |interval| LONGEST_SILENCE.as_millis().div_ceil(interval.as_millis().max(1)));
    Ok(Protocol {
        preferred: Preferred {
            cipher: algorithm::ciphers(&options.ssh_ciphers).map_err(anyhow::Error::msg)?,
            kex: algorithm::key_exchanges(&options.ssh_key_exchange_algorithms)
                .map_err(anyhow::Error::msg)?,
            mac: algorithm::macs(),
            compression: (&[compression::NONE]).into(),
            ..Preferred::DEFAULT
        },
        keepalive,
        keepalive_max: usize::try_from(unanswered)?.max(3),
        silence: (!silence.is_zero()).then(|| silence.get()),
    })
}

/// The ways to log in, those that the template names first. The agent's keys are tried even if the
/// template does not ask for them, but last: servers stop listening after a few.
async fn methods(
    options: &SshOptions,
    environment: &Environment,
    target: &Target,
) -> anyhow::Result<Vec<Method>> {
    let mut methods = Vec::new();
    let agent = environment.get("SSH_AUTH_SOCK").map(|socket| Method::Agent(socket.into()));
    if options.ssh_agent_auth {
        methods.extend(agent.clone());
    }
    if let Some(path) = &options.ssh_private_key_file {
        let certificate = options.ssh_certificate_file.as_deref();
        methods.extend(key_file(path, certificate, environment).await?);
    }
    if let Some(key) = &target.key {
        methods.push(Method::Key("temporary key".into(), Arc::new(key.key().clone())));
    }
    if let Some(password) = given(options.ssh_password.as_ref()) {
        methods.push(Method::Password(password.clone()));
        methods.push(Method::Questions(password.clone()));
    }
    if !options.ssh_agent_auth && options.ssh_disable_agent_forwarding != Some(true) {
        methods.extend(agent);
    }
    Ok(methods)
}

async fn key_file(
    path: &Path,
    certificate: Option<&Path>,
    environment: &Environment,
) -> anyhow::Result<Vec<Method>> {
    let path = environment.expand_home(path);
    let text = key::read(&path).await?;
    let parsed = key::parse(&text).with_context(|| path.display().to_string())?;
    let parsed = Arc::new(parsed);
    let origin = format!("key file {}", path.display());
    let mut methods = Vec::new();
    if let Some(certificate) = certificate {
        let certificate = environment.expand_home(certificate);
        let text = key::read(&certificate).await?;
        let read = Certificate::from_openssh(text.trim())
            .with_context(|| format!("cannot read the certificate {}", certificate.display()))?;
        methods.push(Method::Certificate(origin.clone(), parsed.clone(), Box::new(read)));
    }
    methods.push(Method::Key(origin, parsed));
    Ok(methods)
}

async fn route(options: &SshOptions, cx: &BuildContext) -> anyhow::Result<Route> {
    if !options.ssh_proxy_host.is_empty() {
        return Ok(Route::Socks5(Proxy {
            host: options.ssh_proxy_host.clone(),
            port: options.ssh_proxy_port,
            user: options.ssh_proxy_username.clone(),
            password: options.ssh_proxy_password.clone(),
        }));
    }
    if options.ssh_bastion_host.is_empty() {
        return Ok(Route::Direct);
    }
    let server = Server {
        host: options.ssh_bastion_host.clone(),
        port: options.ssh_bastion_port,
        route: Route::Direct,
        user: options.ssh_bastion_username.clone(),
        methods: bastion_methods(options, cx).await?,
        host_keys: Arc::new(HostKeys::new(HostKey::FirstUse)),
        protocol: protocol(options)?,
        remote_tunnels: [].into(),
        forwarded_agent: None,
        boots: false,
        is_windows: AtomicBool::default(),
        words: Arc::new(Words::new(cx.ui.clone(), options.ssh_bastion_host.clone())),
        ui: cx.ui.clone(),
    };
    Ok(Route::Bastion(Box::new(Bastion { server, connection: tokio::sync::Mutex::new(None) })))
}

async fn bastion_methods(options: &SshOptions, cx: &BuildContext) -> anyhow::Result<Vec<Method>> {
    let environment = &cx.facts.scope.environment;
    let mut methods = Vec::new();
    if options.ssh_bastion_agent_auth {
        let agent = environment.get("SSH_AUTH_SOCK");
        methods.extend(agent.map(|socket| Method::Agent(socket.into())));
    }
    if let Some(path) = options.bastion_key_file() {
        let own = options.ssh_bastion_private_key_file.is_some();
        let certificate = match &options.ssh_bastion_certificate_file {
            None if !own => options.ssh_certificate_file.as_deref(),
            given => given.as_deref(),
        };
        methods.extend(key_file(path, certificate, environment).await?);
    }
    if let Some(password) = given(options.ssh_bastion_password.as_ref()) {
        methods.push(Method::Password(password.clone()));
        methods.push(Method::Questions(password.clone()));
    }
    if options.ssh_bastion_interactive {
        methods.push(Method::Ask(cx.ui.clone()));
    }
    Ok(methods)
}
