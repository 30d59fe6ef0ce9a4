//! Waiting for a state. An end is seen soon after it comes, without asking the API more than it
//! likes: a wait learns from the progress that the API reports, from waits of its kind before it,
//! and from how long it took so far.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::bail;
use tokio_util::sync::CancellationToken;

use crate::event::{Message, SpentBy, Ui};
use crate::retry::{self, or_cancelled};

/// What a look at a thing shows.
#[derive(Debug)]
pub enum Seen<T> {
    /// It is as it should be.
    Ready(T),
    /// Not yet.
    Pending {
        /// The API's word, e.g. `pending`.
        state: String,
        /// Percent done, where the API says.
        progress: Option<u8>,
    },
}

impl<T> Seen<T> {
    /// Not yet; the API calls it `state`.
    pub fn pending(state: impl Into<String>) -> Self {
        Self::Pending { state: state.into(), progress: None }
    }
}

/// How long waits took before, by what they waited for. Shared by the builds of an account.
#[derive(Debug, Default)]
pub struct Memory(Mutex<HashMap<&'static str, Duration>>);

impl Memory {
    fn recall(&self, kind: &'static str) -> Option<Duration> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).get(kind).copied()
    }

    fn keep(&self, kind: &'static str, took: Duration) {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).insert(kind, took);
    }
}

/// A wait for one thing.
#[derive(Clone, Copy, Debug)]
pub struct Wait<'a> {
    /// What waits like this one are called, e.g. `instance running`.
    pub kind: &'static str,
    /// The thing, e.g. `ami-0123456789abcdef0`.
    pub what: &'a str,
    /// How long nothing may change before the wait is given up. Progress counts as change: a slow
    /// but healthy image is never given up.
    pub patience: Duration,
    /// Where to learn from.
    pub memory: &'a Memory,
}

impl Wait<'_> {
    /// Looks until the thing is ready.
    ///
    /// # Errors
    /// Those of `look`, [`Cancelled`](crate::retry::Cancelled), and the end of patience.
    pub async fn until<T, F>(
        self,
        ui: &Ui,
        cancel: &CancellationToken,
        mut look: impl FnMut() -> F,
    ) -> anyhow::Result<T>
    where
        F: Future<Output = anyhow::Result<Seen<T>>>,
    {
        let started = Instant::now();
        let mut said = Said::new(started);
        let mut changed = (started, String::new(), None);
        loop {
            let (state, progress) = match or_cancelled(cancel, look()).await?? {
                Seen::Ready(value) => {
                    let took = started.elapsed();
                    self.memory.keep(self.kind, took);
                    ui.send(Message::Spent { whose: SpentBy::Clouds, what: self.kind, took });
                    return Ok(value);
                }
                Seen::Pending { state, progress } => (state, progress),
            };
            if (&changed.1, changed.2) != (&state, progress) {
                changed = (Instant::now(), state.clone(), progress);
            }
            if changed.0.elapsed() >= self.patience {
                bail!(
                    "{} is still {state}: nothing changed for {} s (see `aws_polling`)",
                    self.what,
                    self.patience.as_secs()
                );
            }
            if let Some(elapsed) = said.is_due() {
                ui.say(progress_line(self.what, &state, progress, elapsed));
            }
            let pause = next_look(started.elapsed(), progress, self.memory.recall(self.kind));
            retry::sleep(cancel, pause).await?;
        }
    }
}

const SHORTEST: Duration = Duration::from_millis(250);
/// An end is seen a second too late, on average.
const LONGEST: Duration = Duration::from_secs(2);

/// How long to wait before the next look: the shorter the nearer the end is, as progress or the
/// last wait of its kind foretell it; where nothing does, longer with time.
fn next_look(elapsed: Duration, progress: Option<u8>, before: Option<Duration>) -> Duration {
    let percent = progress.filter(|percent| (1..=99).contains(percent)).map(f64::from);
    let by_progress = percent.map(|percent| elapsed.mul_f64(100.0 / percent));
    let pause = match by_progress.or(before) {
        Some(end) => end.abs_diff(elapsed) / 4,
        None => elapsed / 20,
    };
    pause.clamp(SHORTEST, LONGEST)
}

/// When something was last said about a wait: after 10 s, 20 s, 40 s, then each minute.
struct Said {
    started: Instant,
    next: Duration,
}

impl Said {
    fn new(started: Instant) -> Self {
        Self { started, next: Duration::from_secs(10) }
    }

    fn is_due(&mut self) -> Option<Duration> {
        let elapsed = self.started.elapsed();
        if elapsed < self.next {
            return None;
        }
        self.next = elapsed + elapsed.min(Duration::from_secs(60));
        Some(elapsed)
    }
}

fn progress_line(what: &str, state: &str, progress: Option<u8>, elapsed: Duration) -> String {
    let percent = progress.map(|percent| format!(", {percent} %")).unwrap_or_default();
    format!("{what}: {state}{percent} ({} s)", elapsed.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn looks_become_rarer_but_an_end_is_seen_soon() {
        assert_eq!(next_look(secs(0.0), None, None), SHORTEST);
        assert_eq!(next_look(secs(20.0), None, None), secs(1.0));
        assert_eq!(next_look(secs(3600.0), None, None), LONGEST);
    }

    #[test]
    fn looks_come_often_when_the_end_is_near() {
        assert_eq!(next_look(secs(10.0), Some(50), None), LONGEST);
        assert_eq!(next_look(secs(10.0), Some(99), None), SHORTEST);
        assert_eq!(next_look(secs(0.0), None, Some(secs(30.0))), LONGEST);
        assert_eq!(next_look(secs(26.0), None, Some(secs(30.0))), secs(1.0));
        assert_eq!(next_look(secs(30.5), None, Some(secs(30.0))), SHORTEST);
        assert_eq!(next_look(secs(34.0), None, Some(secs(30.0))), secs(1.0));
    }

    #[test]
    fn progress_is_said_in_one_line() {
        assert_eq!(
            progress_line("ami-1", "pending", Some(42), secs(80.4)),
            "ami-1: pending, 42 % (80 s)"
        );
    }
}
