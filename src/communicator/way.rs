//! A connection that the builder provides, to a machine that no address leads to (`session_manager`).

use std::{fmt, io};

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A connection before anything is said on it.
pub trait Bytes: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Bytes for T {}

/// Any of them.
pub type Transport = Box<dyn Bytes>;

/// A way to a port of a machine that its builder keeps.
#[async_trait]
pub trait Way: fmt::Debug + Send + Sync {
    /// Waits until it is open.
    ///
    /// # Errors
    /// When it never will be.
    async fn open(&self) -> anyhow::Result<()>;

    /// Whether it is open; it may close at any time, and be opened again.
    fn is_open(&self) -> bool;

    /// Why it is not open yet.
    fn trouble(&self) -> Option<String>;

    /// A new connection, if it is open.
    async fn dial(&self) -> io::Result<Transport>;
}

/// A TCP connection on which nothing waits for more to send.
pub(super) async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
