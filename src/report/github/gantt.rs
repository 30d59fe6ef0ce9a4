//! When what happened, as a Mermaid diagram.

use jiff::Timestamp;

use super::story::{Story, Stretch};
use crate::report::words;

/// GitHub draws no diagram whose text is longer than 50,000 characters.
const LONGEST: usize = 45_000;

/// Which part of the whole is too short to be seen.
const INVISIBLE: i64 = 200;

/// The diagram; `None` if there is nothing to draw, or too much. What has not ended is drawn until
/// `now`.
pub(super) fn diagram(story: &Story, now: Timestamp) -> Option<String> {
    let longest = story.builds.keys().map(|name| plain(name).chars().count()).max()?;
    let all = || story.builds.values().flat_map(|build| &build.stretches);
    let begin = all().map(|stretch| stretch.from).min()?.as_millisecond();
    let whole = all().map(|stretch| end(stretch, now)).max()? - begin;
    // Names stand left of the bars, and not under them.
    let room = (longest * 7 + 24).clamp(75, 400);
    // Seconds would be the same at each tick of a short time.
    let axis = if whole < 10_000 { "%S.%L" } else { "%H:%M:%S" };
    let mut text = format!(
        "%%{{init: {{\"gantt\": {{\"leftPadding\": {room}}}}}}}%%\ngantt\n  dateFormat x\n  axisFormat {axis}\n"
    );
    let head = text.len();
    for (name, build) in &story.builds {
        let is_visible = |stretch: &&Stretch| {
            let took = end(stretch, now) - stretch.from.as_millisecond();
            stretch.failed || took * INVISIBLE >= whole
        };
        let stretches = build.stretches.iter().filter(|stretch| !stretch.contains);
        let mut stretches: Vec<_> = stretches.filter(is_visible).collect();
        if stretches.is_empty() {
            continue;
        }
        stretches.sort_by_key(|stretch| stretch.from);
        text.push_str(&format!("  section {}\n", plain(name)));
        for stretch in stretches {
            text.push_str(&bar(stretch, now));
        }
    }
    let is_drawn = text.len() > head && text.len() <= LONGEST;
    is_drawn.then_some(text)
}

/// When a bar ends; each is a bit long.
fn end(stretch: &Stretch, now: Timestamp) -> i64 {
    let from = stretch.from.as_millisecond();
    stretch.until.unwrap_or(now).as_millisecond().max(from + 1)
}

fn bar(stretch: &Stretch, now: Timestamp) -> String {
    let (mark, what) = match (stretch.failed, stretch.waiting) {
        (true, _) => ("crit", plain(&stretch.what)),
        (false, true) => ("active", format!("waiting for {}", plain(stretch.what.trim()))),
        (false, false) => ("done", plain(&stretch.what)),
    };
    let from = stretch.from.as_millisecond();
    format!("  {what} :{mark}, {from}, {}\n", end(stretch, now))
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
