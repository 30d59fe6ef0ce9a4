//! Trying again: waits that grow, and that end when the run is cancelled.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// The run was interrupted; whoever sees this stops and lets the undoing begin.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Cancelled;

/// An error that no other try would change: whoever was asked has understood, and refuses.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Permanent(pub String);

/// `future`'s output, or [`Cancelled`] as soon as the run is interrupted.
pub async fn or_cancelled<F: Future>(
    cancel: &CancellationToken,
    future: F,
) -> Result<F::Output, Cancelled> {
    cancel.run_until_cancelled(future).await.ok_or(Cancelled)
}

/// Waits for `duration`, unless the run is interrupted first.
pub async fn sleep(cancel: &CancellationToken, duration: Duration) -> Result<(), Cancelled> {
    or_cancelled(cancel, tokio::time::sleep(duration)).await
}

/// A wait that is longer than this is told to people.
pub const SILENT_WAIT: Duration = Duration::from_secs(2);

/// `work`'s output; `tell` says what is waited for, once, where that takes a while.
pub async fn told<F: Future>(work: F, tell: impl FnOnce()) -> F::Output {
    let mut work = pin!(work);
    match tokio::time::timeout(SILENT_WAIT, &mut work).await {
        Ok(output) => output,
        Err(_) => {
            tell();
            work.await
        }
    }
}

/// Waits that grow: `first`, then each `factor` times the one before, never above `longest`.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// The first wait.
    pub first: Duration,
    /// By how much each wait grows.
    pub factor: f64,
    /// What no wait exceeds.
    pub longest: Duration,
}

impl Backoff {
    /// All waits, without end.
    pub fn waits(self) -> impl Iterator<Item = Duration> {
        std::iter::successors(Some(self.first), move |wait| {
            Some(wait.mul_f64(self.factor).min(self.longest))
        })
    }

    /// The same, each shortened at random by up to a half: those who failed together do not all
    /// come back together.
    pub fn jittered(self) -> impl Iterator<Item = Duration> {
        self.waits().map(|wait| wait.mul_f64(0.5 + fastrand::f64() / 2.0))
    }
}

/// What one try says.
#[derive(Debug)]
pub enum Try<T, E> {
    /// It worked.
    Done(T),
    /// It may work later.
    Again(E),
    /// It never will.
    Failed(E),
}

/// Tries up to `tries` times with `backoff`'s waits between, until it is done or failed. The last
/// error comes back when the tries are used up.
pub async fn retry<T, E, F>(
    backoff: Backoff,
    tries: usize,
    mut attempt: impl FnMut() -> F,
) -> Result<T, E>
where
    F: Future<Output = Try<T, E>>,
{
    let mut waits = backoff.jittered().take(tries.saturating_sub(1));
    loop {
        let error = match attempt().await {
            Try::Done(value) => return Ok(value),
            Try::Failed(error) => return Err(error),
            Try::Again(error) => error,
        };
        match waits.next() {
            Some(wait) => tokio::time::sleep(wait).await,
            None => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_longest() {
        let backoff = Backoff {
            first: Duration::from_millis(200),
            factor: 2.0,
            longest: Duration::from_millis(500),
        };
        let waits: Vec<_> = backoff.waits().take(4).map(|wait| wait.as_millis()).collect();
        assert_eq!(waits, [200, 400, 500, 500]);
        for (shorter, whole) in backoff.jittered().zip(backoff.waits()).take(100) {
            assert!(whole / 2 <= shorter && shorter <= whole, "{shorter:?} of {whole:?}");
        }
    }
}
