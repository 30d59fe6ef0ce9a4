//! Ports of loopback, on which other programs of this machine get to another one.

use std::ops::RangeInclusive;

use anyhow::Context as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

/// Where only programs of this machine connect to.
pub(super) const LOOPBACK: &str = "127.0.0.1";
/// How many ports are tried, from the wanted one on.
const PORTS: u16 = 10;

/// Has every connection to a port of loopback served, for as long as the handle lives.
pub(super) async fn listen<S: Clone + Send + 'static, F>(
    state: S,
    wanted: u16,
    serve: impl Fn(S, TcpStream) -> F + Send + 'static,
) -> anyhow::Result<(u16, AbortOnDropHandle<()>)>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let ports = wanted..=if wanted == 0 { 0 } else { wanted.saturating_add(PORTS - 1) };
    let listener = bind(ports).await.context("no port is free on this machine to listen on")?;
    let port = listener.local_addr()?.port();
    let accept = async move {
        let mut open = JoinSet::new();
        while let Ok((local, _)) = listener.accept().await {
            let serving = serve(state.clone(), local);
            open.spawn(async move {
                if let Err(error) = serving.await {
                    tracing::warn!("a connection to port {port}: {error:#}");
                }
            });
            while open.try_join_next().is_some() {}
        }
    };
    Ok((port, AbortOnDropHandle::new(tokio::spawn(accept))))
}

/// The first of `ports` that is free.
async fn bind(ports: RangeInclusive<u16>) -> std::io::Result<TcpListener> {
    let mut refused = std::io::ErrorKind::AddrInUse.into();
    for port in ports {
        match TcpListener::bind((LOOPBACK, port)).await {
            Ok(listener) => return Ok(listener),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}
