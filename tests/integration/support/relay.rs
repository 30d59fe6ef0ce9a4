//! A machine that hears nothing any more.

use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt as _, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// A relay before a server. Of each client it reads only so many bytes, and then nothing: neither
/// side sees the connection end.
#[derive(Debug)]
pub struct Relay {
    /// On 127.0.0.1.
    pub port: u16,
    is_deaf: watch::Receiver<bool>,
    _task: AbortOnDropHandle<()>,
}

impl Relay {
    /// Before the server on `port`; deaf after so many `bytes`.
    pub async fn before(port: u16, bytes: u64) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let own = listener.local_addr().expect("an address").port();
        let (deaf, is_deaf) = watch::channel(false);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, port, bytes, deaf.clone()));
            }
        });
        Self { port: own, is_deaf, _task: AbortOnDropHandle::new(task) }
    }

    /// Waits until it has read all that it reads of a client.
    pub async fn until_deaf(&self) {
        self.is_deaf.clone().wait_for(|deaf| *deaf).await.expect("a relay");
    }
}

async fn serve(client: TcpStream, port: u16, bytes: u64, deaf: watch::Sender<bool>) {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.expect("a server");
    let (from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let mut heard = from_client.take(bytes);
    let there = async {
        let _ = copy(&mut heard, &mut to_server).await;
        deaf.send_replace(true);
        std::future::pending::<()>().await;
    };
    tokio::join!(there, async { drop(copy(&mut from_server, &mut to_client).await) });
}
