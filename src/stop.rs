//! How a run is told to stop before its end: why, and how long it may clean up then.
//!
//! Whoever interrupts a run waits for its end, and has one budget of time for all that is still
//! done. What matters more has more of it:
//!
//! ```text
//! interrupted ──▶ a quarter ──▶ half ──────────────────▶ all
//!     provisioners stop │           │                     │
//!     calls that are under way end, │                     │
//!     the error-cleanup provisioner │                     │
//!     everything is undone; what is not, stays in the journal
//! ```
//!
//! A run that has reached its own time limit cleans up for as long as that takes.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Why a run was stopped before its end; what was stopped fails with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// Somebody interrupted it.
    #[error("interrupted")]
    Interrupted,
    /// It had had the time that it was given.
    #[error("stopped at its time limit")]
    TimeLimit,
}

/// A part of the time that an interrupted run has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// For what stops by itself when it is asked to.
    Stopping,
    /// For what must come to its end before anything is undone.
    Working,
    /// All of it.
    Everything,
}

impl Share {
    fn of(self, budget: Duration) -> Duration {
        match self {
            Self::Stopping => budget / 4,
            Self::Working => budget / 2,
            Self::Everything => budget,
        }
    }
}

/// Tells a run to stop. Clones tell the same run.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    token: CancellationToken,
    cause: Arc<OnceLock<Cause>>,
    /// Since when the run has which budget; `None`: nobody is in a hurry.
    budget: watch::Sender<Option<(Instant, Duration)>>,
}

impl Stop {
    /// Fires when the run shall stop.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Why it shall; `None` as long as it goes on.
    pub fn cause(&self) -> Option<Cause> {
        self.cause.get().copied()
    }

    /// The run has had its time.
    pub fn at_time_limit(&self) {
        self.because_of(Cause::TimeLimit);
    }

    /// Somebody wants the run to end, and to be done with cleaning up when `budget` is used; `None`
    /// waits for as long as it takes.
    pub fn interrupt(&self, budget: Option<Duration>) {
        self.budget.send_replace(budget.map(|budget| (Instant::now(), budget)));
        self.because_of(Cause::Interrupted);
    }

    fn because_of(&self, cause: Cause) {
        self.cause.get_or_init(|| cause);
        self.token.cancel();
    }

    /// Waits until `share` of the budget is used: for ever while nobody is in a hurry.
    pub async fn used(&self, share: Share) {
        let mut budget = self.budget.subscribe();
        let given = budget.wait_for(Option::is_some).await.ok().and_then(|given| *given);
        match given {
            Some((since, budget)) => tokio::time::sleep_until(since + share.of(budget)).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_budget_begins_with_the_interruption_and_the_first_cause_counts() {
        let stop = Stop::default();
        let moment = Duration::from_millis(20);
        tokio::time::timeout(moment, stop.used(Share::Stopping)).await.unwrap_err();
        stop.at_time_limit();
        tokio::time::timeout(moment, stop.used(Share::Stopping)).await.unwrap_err();
        let interrupted = Instant::now();
        stop.interrupt(Some(4 * moment));
        for (share, moments) in [(Share::Stopping, 1), (Share::Working, 2), (Share::Everything, 4)]
        {
            stop.used(share).await;
            assert!(interrupted.elapsed() >= moments * moment, "{share:?}");
        }
        assert_eq!(stop.cause(), Some(Cause::TimeLimit));
    }
}
