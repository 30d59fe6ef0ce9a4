//! A server of ours, on a thread of its own: it answers while a test blocks.

use std::net::Ipv4Addr;

use axum::Router;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

/// What answers on a loopback port until the value is dropped.
#[derive(Debug)]
pub struct Served {
    port: u16,
    _runtime: Runtime,
}

impl Served {
    /// Serves `app`.
    pub fn start(app: Router) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
        let listener = listener.expect("a free port");
        let port = listener.local_addr().expect("a bound address").port();
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self { port, _runtime: runtime }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}
