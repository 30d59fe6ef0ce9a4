//! When what happened, as a Mermaid diagram.

use jiff::Timestamp;

use super::record::{Interval, RunRecord};
use crate::report::words;

/// GitHub draws no diagram whose text is longer than 50,000 characters.
const LONGEST: usize = 45_000;

/// Which part of the whole is too short to be seen.
const INVISIBLE: i64 = 200;

/// The diagram; `None` if there is nothing to draw, or too much. What has not ended is drawn until
/// `now`.
pub(super) fn diagram(record: &RunRecord, now: Timestamp) -> Option<String> {
    let longest = record.builds.keys().map(|name| plain(name).chars().count()).max()?;
    let all = || record.builds.values().flat_map(|build| &build.intervals);
    let begin = all().map(|interval| interval.from).min()?.as_millisecond();
    let whole = all().map(|interval| end(interval, now)).max()? - begin;
    // Names stand left of the bars, and not under them.
    let room = (longest * 7 + 24).clamp(75, 400);
    // Seconds would be the same at each tick of a short time.
    let axis = if whole < 10_000 { "%S.%L" } else { "%H:%M:%S" };
    let mut text = format!(
        "%%{{init: {{\"gantt\": {{\"leftPadding\": {room}}}}}}}%%\ngantt\n  dateFormat x\n  axisFormat {axis}\n"
    );
    let head = text.len();
    for (name, build) in &record.builds {
        let is_visible = |interval: &&Interval| {
            let took = end(interval, now) - interval.from.as_millisecond();
            interval.failed || took * INVISIBLE >= whole
        };
        let intervals = build.intervals.iter().filter(|interval| !interval.contains);
        let mut intervals: Vec<_> = intervals.filter(is_visible).collect();
        if intervals.is_empty() {
            continue;
        }
        intervals.sort_by_key(|interval| interval.from);
        text.push_str(&format!("  section {}\n", plain(name)));
        for interval in intervals {
            text.push_str(&bar(interval, now));
        }
    }
    let is_drawn = text.len() > head && text.len() <= LONGEST;
    is_drawn.then_some(text)
}

/// When a bar ends; each is a bit long.
fn end(interval: &Interval, now: Timestamp) -> i64 {
    let from = interval.from.as_millisecond();
    interval.until.unwrap_or(now).as_millisecond().max(from + 1)
}

fn bar(interval: &Interval, now: Timestamp) -> String {
    let (mark, what) = match (interval.failed, interval.waiting) {
        (true, _) => ("crit", plain(&interval.what)),
        (false, true) => ("active", format!("waiting for {}", plain(interval.what.trim()))),
        (false, false) => ("done", plain(&interval.what)),
    };
    let from = interval.from.as_millisecond();
    format!("  {what} :{mark}, {from}, {}\n", end(interval, now))
}

/// `text` without what means something in a diagram.
fn plain(text: &str) -> String {
    let keep = |next: char| match next {
        next if next.is_alphanumeric() || " .-_/()".contains(next) => next,
        '\'' => '’',
        _ => ' ',
    };
    let text: String = words::shortened(text, 80).chars().map(keep).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
