//! A plugin that works, and is told to stop.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use async_trait::async_trait;
use rmpv::Value;
use tokio_util::sync::CancellationToken;

use super::process::Process;
use super::rpc::Service;
use crate::config::GoDuration;
use crate::event::Ui;
use crate::retry::Cancelled;

/// How long to wait for a plugin to begin before it is told to stop. Told before, it dies.
const BEGIN: Duration = Duration::from_millis(250);

/// How long it may take to hear that it shall stop.
const HEAR: Duration = Duration::from_secs(10);

/// A service that notes when it is called first: then the plugin has begun.
pub struct Noting {
    service: Arc<dyn Service>,
    begun: CancellationToken,
}

impl Noting {
    /// Passes all on to `service`; `begun` fires at the first call.
    pub fn new(service: Arc<dyn Service>, begun: CancellationToken) -> Arc<Self> {
        Arc::new(Self { service, begun })
    }
}

#[async_trait]
impl Service for Noting {
    async fn call(&self, service: &str, method: &str, argument: Value) -> Result<Value, String> {
        self.begun.cancel();
        self.service.call(service, method, argument).await
    }
}

/// Work of a plugin that can be stopped.
pub struct Work<'a> {
    /// Who works.
    pub process: &'a Process,
    /// What tells it to stop: `Builder.Cancel`.
    pub stop: &'a str,
    /// Fires when it has begun.
    pub begun: CancellationToken,
    /// Fires when it shall stop.
    pub cancel: &'a CancellationToken,
    /// How long it may take to stop.
    pub patience: Duration,
}

impl Work<'_> {
    /// Awaits `work`. One that was told to stop may end in its own way, and fails with [`Cancelled`].
    pub async fn done(
        self,
        work: impl Future<Output = anyhow::Result<Value>>,
    ) -> anyhow::Result<Value> {
        let mut work = pin!(work);
        tokio::select! {
            answer = &mut work => return answer,
            () = self.cancel.cancelled() => {}
        }
        let stopped = async {
            // One that never calls us begins, too.
            let _ = tokio::time::timeout(BEGIN, self.begun.cancelled()).await;
            let told = self.process.call(self.stop, Value::Nil, HEAR).await;
            told.inspect_err(|error| tracing::debug!("{}: {error:#}", self.stop)).ok();
            tokio::time::sleep(self.patience).await;
        };
        tokio::select! {
            answer = &mut work => match answer {
                Ok(value) => Ok(value),
                Err(_) if self.process.is_alive() => Err(Cancelled.into()),
                Err(death) => Err(death),
            },
            () = stopped => bail!(
                "{} was told to stop and did not within {}; it was ended",
                self.process.called(),
                GoDuration::from(self.patience)
            ),
        }
    }
}

/// Says that a plugin was ended in the middle of its work, unless it came to an end of its own: what it
/// made is known to nobody else.
pub struct Unfinished {
    ui: Ui,
    /// Empty when it has ended.
    called: String,
}

impl Unfinished {
    /// For the plugin that is `called` so.
    pub fn new(ui: Ui, called: &str) -> Self {
        Self { ui, called: called.to_owned() }
    }

    /// It has ended by itself.
    pub fn ended(mut self) {
        self.called.clear();
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.called.is_empty() {
            self.ui.error(format!(
                "{} ended before it had cleaned up. What it had made (machines, disks, keys) may still be \
                 there, and `imgbake cleanup` does not know of it: look for it by hand.",
                self.called
            ));
        }
    }
}
