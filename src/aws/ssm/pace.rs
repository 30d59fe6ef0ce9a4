//! Not more messages than the service takes: it ends connections on which more than a thousand a
//! second come for longer than two seconds.

use std::time::Duration;

use tokio::time::Instant;

/// The time that one message takes at 900 a second.
const EACH: Duration = Duration::from_micros(1_111);
/// How far ahead of its time a message may go, so that a burst need not wait.
const AHEAD: Duration = Duration::from_millis(100);

/// When the next message may go.
#[derive(Debug)]
pub(super) struct Pace {
    /// When it would go if all went evenly.
    due: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { due: now }
    }

    /// From when on a message may go.
    pub(super) fn next(&self) -> Instant {
        self.due.checked_sub(AHEAD).unwrap_or(self.due)
    }

    /// A message went.
    pub(super) fn went(&mut self, now: Instant) {
        self.due = self.due.max(now) + EACH;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_a_stream_at_900_a_second() {
        let start = Instant::now();
        let (mut pace, mut now, mut burst) = (Pace::new(start), start, 0);
        while pace.next() <= now {
            pace.went(now);
            burst += 1;
        }
        assert!((85..=95).contains(&burst), "{burst}");
        for _ in 0..9_000 {
            now = now.max(pace.next());
            pace.went(now);
        }
        let took = (now - start).as_secs_f64();
        assert!((9.9..=10.1).contains(&took), "{took} s for ten seconds' worth");
    }
}
