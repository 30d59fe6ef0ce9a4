//! Where sessions live: on threads of their own. A key exchange may compute for seconds without a
//! pause, and the time limits of whoever waits for it must not wait with it.

use std::io;
use std::sync::{Arc, LazyLock};

use russh::client::{Config, Handle};
use tokio::runtime::{Builder, Runtime};
use tokio_util::task::AbortOnDropHandle;

use super::handler::{ClientHandler, Error};
use crate::communicator::Transport;

static RUNTIME: LazyLock<io::Result<Runtime>> =
    LazyLock::new(|| Builder::new_multi_thread().thread_name("ssh").enable_all().build());

/// Agrees on keys with the server at the other end of `transport`.
pub(super) async fn begin(
    config: Config,
    transport: Transport,
    answers: ClientHandler,
) -> Result<Handle<ClientHandler>, Error> {
    let runtime = RUNTIME.as_ref().map_err(|error| russh::Error::IO(error.kind().into()))?;
    let connecting = russh::client::connect_stream(Arc::new(config), transport, answers);
    let connecting = AbortOnDropHandle::new(runtime.spawn(connecting));
    connecting.await.map_err(|panic| russh::Error::IO(io::Error::other(panic)))?
}
