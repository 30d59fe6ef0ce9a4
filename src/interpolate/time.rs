//! Times as texts: Go's layouts, which are written as one certain moment, and strftime's verbs.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// The layout of a time where none is asked for.
pub(crate) const RFC3339: &str = "2006-01-02T15:04:05Z07:00";

/// A part of a layout and what it prints of a time.
type Chunk = (&'static str, fn(DateTime) -> String);

/// The parts of a layout, each a part of the moment that all layouts are written as: Mon Jan 2 15:04:05 2006,
/// seven hours west of Greenwich. All times are in UTC.
const CHUNKS: &[Chunk] = &[
    ("January", |t| MONTHS[month(t)].to_owned()),
    ("Jan", |t| MONTHS[month(t)][..3].to_owned()),
    ("Monday", |t| WEEKDAYS[weekday(t)].to_owned()),
    ("Mon", |t| WEEKDAYS[weekday(t)][..3].to_owned()),
    ("MST", |_| "UTC".to_owned()),
    ("002", |t| format!("{:03}", t.day_of_year())),
    ("01", |t| format!("{:02}", t.month())),
    ("02", |t| format!("{:02}", t.day())),
    ("03", |t| format!("{:02}", hour12(t))),
    ("04", |t| format!("{:02}", t.minute())),
    ("05", |t| format!("{:02}", t.second())),
    ("06", |t| format!("{:02}", t.year().rem_euclid(100))),
    ("15", |t| format!("{:02}", t.hour())),
    ("1", |t| t.month().to_string()),
    ("2006", |t| format!("{:04}", t.year())),
    ("2", |t| t.day().to_string()),
    ("__2", |t| format!("{:3}", t.day_of_year())),
    // An underscore before a year is only itself.
    ("_2006", |t| format!("_{:04}", t.year())),
    ("_2", |t| format!("{:2}", t.day())),
    ("3", |t| hour12(t).to_string()),
    ("4", |t| t.minute().to_string()),
    ("5", |t| t.second().to_string()),
    ("PM", |t| (if t.hour() < 12 { "AM" } else { "PM" }).to_owned()),
    ("pm", |t| (if t.hour() < 12 { "am" } else { "pm" }).to_owned()),
    ("-07:00:00", |_| "+00:00:00".to_owned()),
    ("-070000", |_| "+000000".to_owned()),
    ("-07:00", |_| "+00:00".to_owned()),
    ("-0700", |_| "+0000".to_owned()),
    ("-07", |_| "+00".to_owned()),
    ("Z07:00:00", |_| "Z".to_owned()),
    ("Z070000", |_| "Z".to_owned()),
    ("Z07:00", |_| "Z".to_owned()),
    ("Z0700", |_| "Z".to_owned()),
    ("Z07", |_| "Z".to_owned()),
];

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const WEEKDAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

fn month(time: DateTime) -> usize {
    usize::try_from(time.month() - 1).unwrap_or(0)
}

fn weekday(time: DateTime) -> usize {
    usize::try_from(time.weekday().to_monday_zero_offset()).unwrap_or(0)
}

fn hour12(time: DateTime) -> i8 {
    match time.hour() % 12 {
        0 => 12,
        hour => hour,
    }
}

/// `time` in UTC as a Go `layout` shows it.
pub(crate) fn format(layout: &str, time: Timestamp) -> String {
    let time = TimeZone::UTC.to_datetime(time);
    let mut text = String::new();
    let mut rest = layout;
    while let Some(next) = rest.chars().next() {
        if let Some((chunk, show)) = chunk_at(rest) {
            text += &show(time);
            rest = &rest[chunk.len()..];
        } else if let Some((shown, length)) = fraction(rest, time) {
            text += &shown;
            rest = &rest[length..];
        } else {
            text.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    text
}

fn chunk_at(rest: &str) -> Option<&'static Chunk> {
    CHUNKS.iter().find(|(chunk, _)| {
        rest.strip_prefix(chunk).is_some_and(|after| {
            // `Month` and `Jane` are words, not a month and a day.
            let short = matches!(*chunk, "Jan" | "Mon");
            !(short && after.starts_with(|c: char| c.is_ascii_lowercase()))
        })
    })
}

/// `.000` shows that many digits of the second's fraction, `.999` leaves zeros at its end out.
fn fraction(rest: &str, time: DateTime) -> Option<(String, usize)> {
    let digit = rest.chars().nth(1).filter(|_| rest.starts_with(['.', ',']))?;
    let digits = rest[1..].len() - rest[1..].trim_start_matches(digit).len();
    let ended = !rest[1 + digits..].starts_with(|c: char| c.is_ascii_digit());
    if !matches!(digit, '0' | '9') || !ended {
        return None;
    }
    let nanoseconds = format!("{:09}", time.subsec_nanosecond());
    let shown: String = nanoseconds.chars().chain(std::iter::repeat('0')).take(digits).collect();
    let shown = if digit == '9' { shown.trim_end_matches('0') } else { &shown };
    let separator = if shown.is_empty() { "" } else { &rest[..1] };
    Some((format!("{separator}{shown}"), 1 + digits))
}

/// `time` in UTC as strftime's verbs show it. A verb that is not known stays.
pub(crate) fn strftime(format: &str, time: Timestamp) -> String {
    let mut text = String::new();
    let mut chars = format.chars();
    while let Some(next) = chars.next() {
        if next != '%' {
            text.push(next);
            continue;
        }
        match chars.next() {
            Some('%') => text.push('%'),
            Some(verb) => match layout_of(verb) {
                Some(layout) => text += &self::format(layout, time),
                None => text.extend(['%', verb]),
            },
            None => text.push('%'),
        }
    }
    text
}

/// The layout that shows what `verb` does.
fn layout_of(verb: char) -> Option<&'static str> {
    Some(match verb {
        'a' => "Mon",
        'A' => "Monday",
        'b' => "Jan",
        'B' => "January",
        'd' => "02",
        'H' => "15",
        'I' => "03",
        'L' => ".000",
        'm' => "01",
        'M' => "04",
        'p' => "PM",
        'S' => "05",
        'y' => "06",
        'Y' => "2006",
        'z' => "-0700",
        'Z' => "MST",
        _ => return None,
    })
}
