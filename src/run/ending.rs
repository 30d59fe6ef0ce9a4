//! How work ends: by itself, in time, or dropped; and how its errors are written.

use std::fmt::Display;
use std::pin::pin;
use std::time::Duration;

use anyhow::anyhow;
use tokio_util::sync::CancellationToken;

use crate::config::GoDuration;
use crate::diagnostic::Diagnostics;
use crate::fault::{Fault, Kind};
use crate::retry::Cancelled;
use crate::stop::{Share, Stop};

/// How long a provisioner may take to stop by itself before it is dropped.
const GRACE: Duration = Duration::from_secs(10);

/// Awaits `work` until it is done, interrupted or out of time; then it may stop by itself for a
/// while, and is dropped.
pub(super) async fn limited(
    work: impl Future<Output = anyhow::Result<()>>,
    cancel: &CancellationToken,
    limit: Option<Duration>,
    stop: &Stop,
) -> anyhow::Result<()> {
    let mut work = pin!(work);
    let time_is_up = async {
        match limit {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    let error = tokio::select! {
        result = &mut work => return result,
        () = time_is_up => timed_out(limit),
        () = cancel.cancelled() => Cancelled.into(),
    };
    cancel.cancel();
    // What it says while it stops follows from being stopped.
    let _ = or_dropped(work, cancel, stop).await;
    Err(error)
}

/// `work`'s output; `None` if it has not stopped by itself a while after it was cancelled.
pub(super) async fn or_dropped<T>(
    work: impl Future<Output = T>,
    cancel: &CancellationToken,
    stop: &Stop,
) -> Option<T> {
    let patience = async {
        cancel.cancelled().await;
        tokio::select! {
            () = tokio::time::sleep(GRACE) => {}
            () = stop.used(Share::Stopping) => {}
        }
    };
    tokio::select! {
        output = work => Some(output),
        () = patience => None,
    }
}

fn timed_out(limit: Option<Duration>) -> anyhow::Error {
    let limit = GoDuration::from(limit.unwrap_or_default());
    let error = anyhow!("it was not done within its `timeout` of {limit}");
    Fault::passing(Kind::Guest).mark(error)
}

/// The error of a component that cannot be made with the data of the machine that runs.
pub(super) fn unusable(found: Diagnostics) -> anyhow::Error {
    let texts: Vec<String> = found
        .0
        .into_iter()
        .map(|one| {
            let part = |text: Option<String>| text.map(|text| format!(": {text}"));
            let (cause, help) = (part(one.cause), part(one.help));
            [Some(one.summary), cause, help].into_iter().flatten().collect()
        })
        .collect();
    Fault::lasting(Kind::Template).mark(anyhow!(bullet_list(&texts)))
}

/// One text as it is; several as a list.
pub(super) fn bullet_list<T: Display>(texts: &[T]) -> String {
    match texts {
        [one] => one.to_string(),
        all => {
            let lines: String = all.iter().map(|text| format!("\n* {text}")).collect();
            format!("{} errors:{lines}", all.len())
        }
    }
}
