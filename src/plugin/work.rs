//! A component's work: it may call us while it lasts, and it may be told to stop.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rmpv::Value;
use tokio_util::sync::CancellationToken;

use super::process::Process;
use super::remote;
use super::rpc::{Served, Service};
use crate::config::GoDuration;
use crate::event::Ui;
use crate::retry::Cancelled;
use crate::template::ast::Role;

/// How long to wait for a plugin to begin before it is told to stop. Told before, it dies.
const BEGIN: Duration = Duration::from_millis(250);

/// How long it may take to hear that it shall stop.
const HEAR: Duration = Duration::from_secs(10);

/// A plugin that did not stop when it was told to.
#[derive(Debug, thiserror::Error)]
#[error("{called} was told to stop and did not within {patience}; it was ended")]
pub struct Deaf {
    called: String,
    patience: GoDuration,
}

/// A service that notes when it is called first: then the plugin has begun.
struct Noting {
    service: Arc<dyn Service>,
    begun: CancellationToken,
}

#[async_trait]
impl Service for Noting {
    async fn call(&self, service: &str, method: &str, argument: Value) -> Result<Value, String> {
        self.begun.cancel();
        self.service.call(service, method, argument).await
    }
}

/// What a kind of component does when its time has come.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// The kind.
    pub role: Role,
    /// The method that does it.
    pub method: &'static str,
    /// How long it may take to stop when it is told to.
    pub patience: Duration,
}

impl Work {
    /// Has the component in `process` do it, with what `argument` makes of the number of the stream on
    /// which it may call `service`: meanwhile, and as long as what comes beside the answer lives. When
    /// `cancel` fires it is told to stop; it may end in its own way then, and fails with [`Cancelled`].
    pub async fn run(
        self,
        process: &Process,
        service: Arc<dyn Service>,
        argument: impl FnOnce(u32) -> Value,
        cancel: &CancellationToken,
    ) -> anyhow::Result<(Value, Served)> {
        let name = remote::service(self.role);
        let begun = CancellationToken::new();
        let stream = process.session.accept();
        let argument = argument(stream.id);
        let served = Served::on(stream, Arc::new(Noting { service, begun: begun.clone() }));
        let method = format!("{name}.{}", self.method);
        let mut answer = pin!(process.call_unlimited(&method, argument));
        tokio::select! {
            answer = &mut answer => return Ok((answer?, served)),
            () = cancel.cancelled() => {}
        }
        let stopped = async {
            // One that never calls us begins, too.
            let _ = tokio::time::timeout(BEGIN, begun.cancelled()).await;
            let stop = format!("{name}.Cancel");
            let told = process.call(&stop, Value::Nil, HEAR).await;
            told.inspect_err(|error| tracing::debug!("{stop}: {error:#}")).ok();
            tokio::time::sleep(self.patience).await;
        };
        tokio::select! {
            answer = &mut answer => match answer {
                Ok(value) => Ok((value, served)),
                Err(_) if process.is_alive() => Err(Cancelled.into()),
                Err(death) => Err(death),
            },
            () = stopped => {
                let (called, patience) = (process.called().to_owned(), self.patience.into());
                Err(Deaf { called, patience }.into())
            }
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

    /// Says what another interruption means, once there was one.
    pub async fn warns_when(&self, cancel: &CancellationToken) -> Infallible {
        cancel.cancelled().await;
        self.ui.say(format!(
            "{} is told to stop, and removes what it has made. A second interrupt ends it at once: what is \
             left then, `imgbake cleanup` does not know.",
            self.called
        ));
        std::future::pending().await
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
