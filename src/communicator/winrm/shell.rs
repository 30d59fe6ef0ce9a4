//! Commands: a shell of the service for each, which ends with it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt as _};
use hyper::body::Bytes;
use tokio_util::task::TaskTracker;

use super::service::Service;
use super::soap::{Answer, LARGEST_INPUT, Received, Request, SMALLEST_INPUT, SoapFault};
use crate::component::Exit;
use crate::guest::GuestOutput;
use crate::retry::Permanent;

/// How long a receiver waits for output before it asks again.
const WAIT: Duration = Duration::from_secs(20);
/// How long the service may take for everything else.
const WORK: Duration = Duration::from_secs(60);
/// For how long a machine that is out of reach may come back, and go on with the command: a network
/// has its moments, and a machine that reboots forgets it.
const OUT_OF_REACH: Duration = Duration::from_secs(60);
/// How long to wait before another try to reach it.
const BETWEEN_TRIES: Duration = Duration::from_secs(1);

/// What a command reads.
pub(super) type Chunks<'a> =
    std::pin::Pin<Box<dyn Stream<Item = anyhow::Result<Bytes>> + Send + 'a>>;

/// A shell. It is deleted when it is dropped, and its command with it.
pub(super) struct ServiceShell {
    service: Arc<Service>,
    id: String,
    ends: TaskTracker,
}

impl Drop for ServiceShell {
    fn drop(&mut self) {
        let (service, id) = (self.service.clone(), std::mem::take(&mut self.id));
        self.ends.spawn(async move {
            let deletion = service.ask(Request::Delete { shell: &id }, WAIT);
            if let Err(error) = deletion.await {
                tracing::debug!("a WinRM shell was not deleted: {error:#}");
            }
        });
    }
}

impl ServiceShell {
    /// A new one, whose end is one of `ends`.
    pub(super) async fn open(service: &Arc<Service>, ends: &TaskTracker) -> anyhow::Result<Self> {
        let text = service.ask(Request::Create, WORK).await?;
        let id = Answer::parse(&text)?.shell_id()?;
        Ok(Self { service: service.clone(), id, ends: ends.clone() })
    }

    /// Runs `line` in `cmd`; `output` gets what it prints as it comes. Dropping the future ends it.
    pub(super) async fn run(
        self,
        line: &str,
        input: Option<Chunks<'_>>,
        output: &mut dyn GuestOutput,
    ) -> anyhow::Result<Exit> {
        let takes_input = input.is_some();
        let request = Request::Command { shell: &self.id, line, takes_input };
        let text = self.service.ask(request, WORK).await?;
        let command = Answer::parse(&text)?.command_id()?;
        let Some(input) = input else { return receive(&self, &command, output).await };
        tokio::select! {
            exit = receive(&self, &command, output) => exit,
            // Where all is sent, only the end of the command is waited for.
            Err(error) = send(&self, &command, input) => Err(error),
        }
    }
}

/// Takes what `command` prints until it ends.
async fn receive(
    shell: &ServiceShell,
    command: &str,
    output: &mut dyn GuestOutput,
) -> anyhow::Result<Exit> {
    let request = Request::Receive { shell: &shell.id, command };
    let mut lost_at: Option<Instant> = None;
    loop {
        let received = match shell.service.ask(request, WAIT).await {
            Ok(text) => Answer::parse(&text).and_then(|answer| answer.received()),
            Err(error) => Err(error),
        };
        let received: Received = match received {
            Ok(received) => received,
            Err(error) => match (error.downcast_ref::<SoapFault>(), lost_at) {
                (Some(fault), _) if fault.is_timeout() => Received::default(),
                (Some(fault), _) if fault.is_gone() => return Ok(Exit::Disconnected),
                (Some(_), _) => return Err(error),
                (None, _) if error.is::<Permanent>() => return Err(error),
                (None, Some(since)) if since.elapsed() > OUT_OF_REACH => {
                    tracing::info!("the command is given up: {error:#}");
                    return Ok(Exit::Disconnected);
                }
                (None, _) => {
                    tracing::info!("the connection is lost, trying again: {error:#}");
                    lost_at.get_or_insert_with(Instant::now);
                    shell.service.hang_up();
                    tokio::time::sleep(BETWEEN_TRIES).await;
                    continue;
                }
            },
        };
        lost_at = None;
        for (stream, bytes) in received.printed {
            output.chunk(stream, &bytes).await;
        }
        if let Some(status) = received.status {
            return Ok(Exit::Status(status));
        }
    }
}

/// Whether it may be the size that a service refuses.
fn is_too_large(error: &anyhow::Error) -> bool {
    let fault = error.downcast_ref::<SoapFault>();
    fault.is_some_and(|fault| !fault.is_timeout() && !fault.is_gone())
}

/// Gives `command` all of `input`, in envelopes as large as the service takes: its administrator may have
/// set less than is usual. What it refuses it has not read.
async fn send(shell: &ServiceShell, command: &str, mut input: Chunks<'_>) -> anyhow::Result<()> {
    let mut most = LARGEST_INPUT;
    let mut ready = Vec::with_capacity(most);
    let mut is_open = true;
    loop {
        while is_open && ready.len() <= most {
            match input.next().await {
                Some(bytes) => ready.extend_from_slice(&bytes?),
                None => is_open = false,
            }
        }
        let rest = ready.split_off(ready.len().min(most));
        let last = !is_open && rest.is_empty();
        let request = Request::Send { shell: &shell.id, command, input: &ready, last };
        let text = shell.service.ask(request, WORK).await?;
        match Answer::parse(&text) {
            Ok(_) if last => return Ok(()),
            Ok(_) => ready = rest,
            Err(error) if is_too_large(&error) && ready.len() > SMALLEST_INPUT => {
                tracing::info!("the service takes no {} bytes at once: {error:#}", ready.len());
                most = ready.len() / 2;
                ready.extend(rest);
            }
            Err(error) => return Err(error),
        }
    }
}
