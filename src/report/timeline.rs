//! Where the time of a build went: what each step took, how much of it was waiting for the cloud,
//! and what is left when that and the template's own work are taken away: ours.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;

use crate::event::SpentBy;

/// Builds that take less need no explanation.
const WORTH_TELLING: Duration = Duration::from_secs(5);
/// Steps that take less are not listed.
const WORTH_A_LINE: Duration = Duration::from_millis(500);

/// What a build has told so far.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    steps: Vec<(String, Span)>,
    spent: Vec<(SpentBy, Span)>,
}

/// From a moment to another one.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Span {
    from: Timestamp,
    to: Timestamp,
}

impl Span {
    /// What took `took` and ended at `to`.
    fn ended(to: Timestamp, took: Duration) -> Self {
        Self { from: to.checked_sub(took).unwrap_or(to), to }
    }

    fn length(self) -> Duration {
        self.to.duration_since(self.from).try_into().unwrap_or_default()
    }

    /// The part of it that is in `other`, too.
    fn within(self, other: Self) -> Option<Self> {
        let common = Self { from: self.from.max(other.from), to: self.to.min(other.to) };
        (common.from < common.to).then_some(common)
    }
}

impl Timeline {
    /// `step` ended at `at`.
    pub fn step(&mut self, step: String, at: Timestamp, took: Duration) {
        self.steps.push((step, Span::ended(at, took)));
    }

    /// Time of somebody else ended at `at`.
    pub fn spent(&mut self, whose: SpentBy, at: Timestamp, took: Duration) {
        self.spent.push((whose, Span::ended(at, took)));
    }

    /// What is told of a build that took `took`, if it is worth telling.
    pub fn text(&self, took: Duration) -> Option<String> {
        if took < WORTH_TELLING || !self.spent.iter().any(|(whose, _)| *whose == SpentBy::Clouds) {
            return None;
        }
        let mut text = "Where the time went:".to_owned();
        let mut steps: Vec<_> = self.steps.iter().collect();
        steps.sort_by_key(|(_, span)| span.from);
        for (name, span) in steps.into_iter().filter(|(_, span)| span.length() >= WORTH_A_LINE) {
            let waited = self.total(*span, |whose| whose == SpentBy::Clouds);
            // Writing to a string cannot fail.
            let _ = write!(text, "\n{:>8} s  {name}", seconds(span.length()));
            if waited >= WORTH_A_LINE {
                let _ = write!(text, ", {} s of them waiting for the cloud", seconds(waited));
            }
        }
        let always = Span { from: Timestamp::MIN, to: Timestamp::MAX };
        let ours = took.saturating_sub(self.total(always, |_| true));
        let _ = write!(text, "\n{:>8} s  imgbake itself", seconds(ours));
        Some(text)
    }

    /// How much of `span` was spent by those that `counts`; what happened at the same time counts
    /// once.
    fn total(&self, span: Span, counts: impl Fn(SpentBy) -> bool) -> Duration {
        let spent = self.spent.iter().filter(|(whose, _)| counts(*whose));
        let mut parts: Vec<_> = spent.filter_map(|(_, part)| part.within(span)).collect();
        parts.sort_by_key(|part| part.from);
        let (mut total, mut seen) = (Duration::ZERO, Timestamp::MIN);
        for part in parts {
            let new = Span { from: part.from.max(seen), to: part.to };
            if new.from < new.to {
                total += new.length();
                seen = new.to;
            }
        }
        total
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:.1}", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Timestamp {
        Timestamp::UNIX_EPOCH + Duration::from_secs_f64(seconds)
    }

    fn secs(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn each_step_says_what_it_took_and_the_end_says_what_was_ours() {
        let mut timeline = Timeline::default();
        timeline.step("check the account".into(), at(0.2), secs(0.2));
        timeline.spent(SpentBy::Clouds, at(8.0), secs(7.0));
        timeline.step("run the instance".into(), at(8.1), secs(7.5));
        timeline.spent(SpentBy::Templates, at(9.0), secs(0.9));
        timeline.step("connect".into(), at(9.0), secs(0.9));
        // Two copies at the same time are waited for once.
        timeline.spent(SpentBy::Clouds, at(22.0), secs(12.0));
        timeline.spent(SpentBy::Clouds, at(23.0), secs(12.0));
        timeline.step("copy the AMI".into(), at(23.5), secs(13.5));
        insta::assert_snapshot!(timeline.text(secs(24.0)).unwrap(), @r"
        Where the time went:
             7.5 s  run the instance, 7.0 s of them waiting for the cloud
             0.9 s  connect
            13.5 s  copy the AMI, 13.0 s of them waiting for the cloud
             3.1 s  imgbake itself
        ");
    }

    #[test]
    fn short_builds_and_those_without_a_cloud_tell_nothing() {
        let mut timeline = Timeline::default();
        timeline.spent(SpentBy::Templates, at(8.0), secs(7.0));
        assert_eq!(timeline.text(secs(8.0)), None);
        timeline.spent(SpentBy::Clouds, at(8.0), secs(1.0));
        assert_eq!(timeline.text(secs(4.0)), None);
        assert!(timeline.text(secs(8.0)).is_some());
    }
}
