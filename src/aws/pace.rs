//! How fast calls come: as fast as builds make them, until the API says that it is too fast. Then
//! they come in turn, a little slower than they were answered, and faster again with time.
//!
//! The builds of an account share one pace for each region, as EC2 counts; each call has its own,
//! as EC2 counts, too.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The pace of one API.
#[derive(Debug, Default)]
pub(super) struct Pace {
    lanes: Mutex<HashMap<&'static str, Lane>>,
    /// Whether calls come as fast as they are made, whatever the API says.
    is_off: bool,
    /// When it was last said that the API is waited for.
    said: Mutex<Option<Instant>>,
}

/// The slowest pace, in calls a second.
const SLOWEST: f64 = 0.5;
/// The pace that is as good as none.
const FASTEST: f64 = 100.0;
/// The pace after the first refusal where hardly any call was answered before it: then it was not for
/// our calls that too many came.
const GENTLE: f64 = 5.0;
/// What is left of the pace that calls were answered in, when one was refused.
const CUT: f64 = 0.8;
/// After this time without a refusal, the pace is twice as fast.
const DOUBLES_IN: Duration = Duration::from_secs(4);
/// Refusals that come this soon after one belong to it: their calls were on the way.
const SAME_REFUSAL: Duration = Duration::from_millis(500);
/// How often it is said that an API is waited for.
const SAID_EACH: Duration = Duration::from_secs(10);
/// How far back calls are counted.
const WINDOW: Duration = Duration::from_secs(1);

/// The calls of one kind.
#[derive(Debug, Default)]
struct Lane {
    /// When calls were answered, in the last [`WINDOW`].
    answered: std::collections::VecDeque<Instant>,
    /// The latest refusal, and the pace after it.
    refused: Option<(Instant, f64)>,
    /// When the next call may come.
    next: Option<Instant>,
}

impl Pace {
    /// None: `AWS_RETRY_MODE=standard` says so.
    pub fn off() -> Self {
        Self { is_off: true, ..Self::default() }
    }

    /// Whether it is time to say again that the API is waited for: many calls may wait.
    pub fn is_to_say(&self, now: Instant) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = said.is_none_or(|said| now.duration_since(said) >= SAID_EACH);
        if is_due {
            *said = Some(now);
        }
        is_due
    }

    /// How long the next call of `action` has to wait; it has its turn then.
    pub fn turn(&self, action: &'static str, now: Instant) -> Duration {
        if self.is_off {
            return Duration::ZERO;
        }
        self.lane(action, |lane| lane.turn(now))
    }

    /// A call of `action` was not refused.
    pub fn answered(&self, action: &'static str, now: Instant) {
        self.lane(action, |lane| lane.answered(now));
    }

    /// A call of `action` was refused: too many came.
    pub fn refused(&self, action: &'static str, now: Instant) {
        self.lane(action, |lane| lane.refused(now));
    }

    fn lane<T>(&self, action: &'static str, work: impl FnOnce(&mut Lane) -> T) -> T {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        work(lanes.entry(action).or_default())
    }
}

impl Lane {
    /// Calls a second, if they have to be counted.
    fn rate(&self, now: Instant) -> Option<f64> {
        let (since, rate) = self.refused?;
        let doublings = now.saturating_duration_since(since).div_duration_f64(DOUBLES_IN);
        Some(rate * doublings.exp2()).filter(|rate| *rate < FASTEST)
    }

    fn turn(&mut self, now: Instant) -> Duration {
        let Some(rate) = self.rate(now) else {
            self.next = None;
            return Duration::ZERO;
        };
        let turn = self.next.map_or(now, |next| next.max(now));
        self.next = Some(turn + Duration::from_secs_f64(1.0 / rate));
        turn.saturating_duration_since(now)
    }

    fn answered(&mut self, now: Instant) {
        self.forget(now);
        self.answered.push_back(now);
    }

    fn refused(&mut self, now: Instant) {
        if self.refused.is_some_and(|(since, _)| now.duration_since(since) < SAME_REFUSAL) {
            return;
        }
        self.forget(now);
        let answered = self.answered.len() as f64 / WINDOW.as_secs_f64();
        let rate = match self.rate(now) {
            None => answered.max(GENTLE),
            // One call a second does not say what the API would take.
            Some(rate) => rate.min(answered.max(rate / 2.0)),
        };
        self.refused = Some((now, (rate * CUT).max(SLOWEST)));
    }

    fn forget(&mut self, now: Instant) {
        while self.answered.front().is_some_and(|at| now.duration_since(*at) > WINDOW) {
            self.answered.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: &str = "DescribeInstances";

    #[test]
    fn calls_come_as_fast_as_they_are_made_until_one_is_refused() {
        let (pace, now) = (Pace::default(), Instant::now());
        for _ in 0..1000 {
            assert_eq!(pace.turn(CALL, now), Duration::ZERO);
            pace.answered(CALL, now);
        }
    }

    #[test]
    fn after_a_refusal_calls_come_in_turn_and_faster_with_time() {
        let (pace, start) = (Pace::default(), Instant::now());
        (0..10).for_each(|_| pace.answered(CALL, start));
        pace.refused(CALL, start);
        pace.refused(CALL, start + Duration::from_millis(100));
        // Ten a second were answered: now there are eight.
        let turns: Vec<_> = (0..3).map(|_| pace.turn(CALL, start).as_millis()).collect();
        assert_eq!(turns, [0, 125, 250]);
        assert_eq!(pace.turn("RunInstances", start), Duration::ZERO, "another call, another pace");
        let later = start + DOUBLES_IN;
        let turns: Vec<_> = (0..3).map(|_| pace.turn(CALL, later).as_micros()).collect();
        assert_eq!(turns, [0, 62_500, 125_000]);
        let much_later = start + DOUBLES_IN * 5;
        assert_eq!(pace.turn(CALL, much_later), Duration::ZERO);
        assert_eq!(pace.turn(CALL, much_later), Duration::ZERO);
    }

    #[test]
    fn one_refusal_of_a_few_calls_holds_nobody_up() {
        let (pace, start) = (Pace::default(), Instant::now());
        pace.refused(CALL, start);
        pace.turn(CALL, start);
        assert!(pace.turn(CALL, start) <= Duration::from_millis(250));
        let off = Pace::off();
        off.refused(CALL, start);
        assert_eq!([off.turn(CALL, start), off.turn(CALL, start)], [Duration::ZERO; 2]);
    }

    #[test]
    fn however_many_are_refused_calls_still_come() {
        let (pace, start) = (Pace::default(), Instant::now());
        (0..100).for_each(|second| pace.refused(CALL, start + Duration::from_secs(second)));
        let now = start + Duration::from_secs(99);
        pace.turn(CALL, now);
        assert!(pace.turn(CALL, now) <= Duration::from_secs(2));
    }
}
