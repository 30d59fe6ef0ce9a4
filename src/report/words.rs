//! Numbers in words, and words that are too many.

use std::borrow::Cow;
use std::time::Duration;

/// The units of a duration in nanoseconds, the largest first.
const UNITS: &[(u128, &str)] = &[
    (7 * 24 * 3_600_000_000_000, "week"),
    (24 * 3_600_000_000_000, "day"),
    (3_600_000_000_000, "hour"),
    (60_000_000_000, "minute"),
    (1_000_000_000, "second"),
    (1_000_000, "millisecond"),
    (1_000, "microsecond"),
];

/// The two largest units of `duration`: `1 minute 3 seconds`.
pub(super) fn duration(duration: Duration) -> String {
    let mut rest = duration.as_nanos();
    let mut parts = Vec::new();
    for (size, unit) in UNITS {
        let count = rest / size;
        rest %= size;
        if count > 0 {
            parts.push(format!("{count} {unit}{}", if count == 1 { "" } else { "s" }));
        }
    }
    parts.truncate(2);
    if parts.is_empty() { "0 seconds".to_owned() } else { parts.join(" ") }
}

/// The same, short: `1m 3s`, in whole seconds.
pub(super) fn short(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m {seconds}s"),
        _ => format!("{hours}h {minutes}m"),
    }
}

/// `text`, or so much of it that there are `most` characters with the `…` that says that there was
/// more. Only for what events bring: it is masked already, and a part of a secret looks like none.
pub(super) fn shortened(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        None => Cow::Borrowed(text),
        Some(_) => Cow::Owned(text.chars().take(most.saturating_sub(1)).chain(['…']).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_seen() {
        assert_eq!(shortened("éabc", 4), "éabc");
        assert_eq!(shortened("éabcd", 4), "éab…");
    }

    #[test]
    fn the_two_largest_units_are_said() {
        for (millis, words) in [
            (63_500, "1 minute 3 seconds"),
            (3_600_000, "1 hour"),
            (3_661_001, "1 hour 1 minute"),
            (1_144, "1 second 144 milliseconds"),
            (700_000_000, "1 week 1 day"),
            (0, "0 seconds"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), words);
        }
        assert_eq!(duration(Duration::from_nanos(17_650_999)), "17 milliseconds 650 microseconds");
        for (seconds, words) in [(0, "0s"), (63, "1m 3s"), (7384, "2h 3m")] {
            assert_eq!(short(Duration::from_secs(seconds)), words);
        }
    }
}
