//! Moments and calendars.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

use super::{Call, CallError, Function, Outcome, Param, Want};
use crate::eval::value::Value;
use crate::interpolate::time as clock;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new(
        "formatdate",
        "A time in a form of `YYYY MM DD hh mm ss ZZZZ` and the like; text stands in single quotes.",
        &[Param::string("format"), Param::string("time")],
        |call| {
            let at = Moment::parse(call.text(1)).map_err(|cause| {
                CallError::argument(1, format!("not a valid RFC3339 timestamp: {cause}"))
            })?;
            format_date(call.text(0), &at)
                .map(Value::string)
                .map_err(|cause| CallError::argument(0, cause))
        },
    )
    .result(Want::String),
    Function::variadic(
        "legacy_isotime",
        "The start of this run, in a layout as Go has them (`2006-01-02`). Better: `timestamp` and `formatdate`.",
        &[],
        Param::string("format"),
        |call| started(call, clock::format),
    )
    .result(Want::String),
    Function::variadic(
        "legacy_strftime",
        "The start of this run, in a form of `%Y-%m-%d`. Better: `timestamp` and `formatdate`.",
        &[],
        Param::string("format"),
        |call| started(call, clock::strftime),
    )
    .result(Want::String),
    Function::new(
        "rfc3339_parse",
        "The parts of a time: `year`, `month`, `day`, `hour`, `unix`, `weekday_name` and more.",
        &[Param::string("timestamp")],
        rfc3339_parse,
    ),
    Function::new(
        "timeadd",
        "The time that is a duration (`1h30m`, `-5s`) later.",
        &[Param::string("timestamp"), Param::string("duration")],
        timeadd,
    )
    .result(Want::String),
    Function::new("timestamp", "The time now, in UTC, as RFC 3339 writes it.", &[], |call| {
        Ok(Value::string(clock::format(clock::RFC3339, call.host.environment.now())))
    })
    .result(Want::String),
    Function::new(
        "unix_timestamp_parse",
        "The parts of a time that is given in seconds since 1970.",
        &[Param::number("unix_timestamp")],
        unix_timestamp_parse,
    ),
];

/// A local time and its distance from UTC.
struct Moment {
    local: DateTime,
    /// In seconds, east of Greenwich.
    offset: i32,
}

impl Moment {
    /// Reads RFC 3339; what is wrong is said as HCL says it.
    fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Parts { text, rest: text };
        let year = parts.year()?;
        parts.separator('-', "year")?;
        let month = parts.number("month", 2, 1, 12)?;
        parts.separator('-', "month")?;
        let day = parts.number("day", 2, 1, 31)?;
        if !parts.rest.starts_with('T') {
            return Err("missing required time introducer 'T'".to_owned());
        }
        parts.rest = &parts.rest[1..];
        let hour = parts.number("hour", 2, 0, 23)?;
        parts.separator(':', "hour")?;
        let minute = parts.number("minute", 2, 0, 59)?;
        parts.separator(':', "minute")?;
        let second = parts.second()?;
        let nanos = parts.fraction();
        let offset = parts.offset()?;
        let date = Date::new(year, month, day).map_err(|_| "day out of range".to_owned())?;
        let time =
            Time::new(hour, minute, second, nanos).map_err(|_| "time out of range".to_owned())?;
        Ok(Self { local: DateTime::from_parts(date, time), offset })
    }

    fn of(at: Timestamp) -> Self {
        Self { local: Offset::UTC.to_datetime(at), offset: 0 }
    }

    fn instant(&self) -> Result<Timestamp, CallError> {
        let offset = Offset::from_seconds(self.offset).map_err(CallError::failed)?;
        offset.to_timestamp(self.local).map_err(CallError::failed)
    }

    /// `±hh` and `mm`, with `separator` between.
    fn zone(&self, separator: &str) -> String {
        let sign = if self.offset < 0 { '-' } else { '+' };
        let minutes = self.offset.unsigned_abs() / 60;
        format!("{sign}{:02}{separator}{:02}", minutes / 60, minutes % 60)
    }

    fn rfc3339(&self) -> String {
        let zone = if self.offset == 0 { "Z".to_owned() } else { self.zone(":") };
        format!("{}{zone}", self.local.strftime("%Y-%m-%dT%H:%M:%S"))
    }
}

/// The parts of a timestamp, read one by one.
struct Parts<'a> {
    text: &'a str,
    rest: &'a str,
}

impl Parts<'_> {
    fn digits(&self) -> usize {
        self.rest.bytes().take_while(u8::is_ascii_digit).count()
    }

    fn year(&mut self) -> Result<i16, String> {
        if self.digits() != 4 {
            return Err(format!("cannot use {:?} as year", self.text));
        }
        let year = self.rest[..4].parse().map_err(|_| "year out of range".to_owned())?;
        self.rest = &self.rest[4..];
        Ok(year)
    }

    fn number(&mut self, what: &str, width: usize, least: i8, most: i8) -> Result<i8, String> {
        let found = self.digits();
        if self.rest.is_empty() {
            return Err(format!("end of string before {what}"));
        }
        if found != width {
            return Err(format!("{what} must have exactly two digits"));
        }
        let value: i8 = self.rest[..width].parse().map_err(|_| format!("{what} out of range"))?;
        if !(least..=most).contains(&value) {
            return Err(format!("{what} out of range"));
        }
        self.rest = &self.rest[width..];
        Ok(value)
    }

    /// A leap second is refused, in words that blame what follows it.
    fn second(&mut self) -> Result<i8, String> {
        if self.digits() == 2 && self.rest[..2].parse::<u8>().is_ok_and(|second| second > 59) {
            return Err(format!("cannot use {:?} as second", &self.rest[2..]));
        }
        self.number("second", 2, 0, 59)
    }

    fn separator(&mut self, separator: char, after: &str) -> Result<(), String> {
        self.rest =
            self.rest.strip_prefix(separator).ok_or_else(|| match self.rest.chars().next() {
                Some(_) => format!("missing separator {separator:?} after {after}"),
                None => format!("end of string before {separator:?}"),
            })?;
        Ok(())
    }

    fn fraction(&mut self) -> i32 {
        let Some(rest) = self.rest.strip_prefix('.') else { return 0 };
        let count = rest.bytes().take_while(u8::is_ascii_digit).count();
        if count == 0 {
            return 0;
        }
        let digits = format!("{:0<9}", &rest[..count]);
        self.rest = &rest[count..];
        digits[..9].parse().unwrap_or(0)
    }

    fn offset(&mut self) -> Result<i32, String> {
        const MISSING: &str = "end of string before UTC offset";
        if self.rest == "Z" {
            return Ok(0);
        }
        let sign = match self.rest.chars().next() {
            Some('+') => 1,
            Some('-') => -1,
            Some('.' | 'z') => return Err(format!("cannot use {:?} as UTC offset", self.rest)),
            _ => return Err(MISSING.to_owned()),
        };
        let parsed = self.rest[1..].split_once(':').and_then(|(hours, minutes)| {
            let hours: i32 = hours.parse().ok().filter(|_| hours.len() == 2)?;
            let minutes: i32 = minutes.parse().ok().filter(|_| minutes.len() == 2)?;
            (hours < 24 && minutes < 60).then_some((hours * 60 + minutes) * 60)
        });
        parsed.map(|seconds| sign * seconds).ok_or_else(|| MISSING.to_owned())
    }
}

/// `at` in the verbs of `formatdate`.
fn format_date(format: &str, at: &Moment) -> Result<String, String> {
    let mut text = String::new();
    let mut rest = format;
    while let Some(first) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("''") {
            text.push('\'');
            rest = after;
            continue;
        }
        if first == '\'' {
            rest = quoted(&rest[1..], &mut text)?;
            continue;
        }
        if !first.is_ascii_alphabetic() {
            text.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let length = rest.chars().take_while(|character| *character == first).count();
        let (verb, after) = rest.split_at(length);
        let written = date_verb(verb, at).map_err(|why| {
            format!(
                "invalid date format verb {verb:?}{}{why}",
                if why.is_empty() { "" } else { ": " }
            )
        })?;
        text.push_str(&written);
        rest = after;
    }
    Ok(text)
}

/// A literal up to its closing quote; two quotes are one, and at the very end close it, too.
fn quoted<'a>(mut rest: &'a str, text: &mut String) -> Result<&'a str, String> {
    loop {
        let (part, after) = rest.split_once('\'').ok_or("unterminated literal '")?;
        text.push_str(part);
        match after.strip_prefix('\'') {
            Some(after) => {
                text.push('\'');
                rest = after;
                if rest.is_empty() {
                    return Ok(rest);
                }
            }
            None => return Ok(after),
        }
    }
}

fn date_verb(verb: &str, at: &Moment) -> Result<String, &'static str> {
    let time = at.local;
    let hour12 = match time.hour() % 12 {
        0 => 12,
        hour => hour,
    };
    Ok(match verb {
        "YYYY" => format!("{:04}", time.year()),
        "YY" => format!("{:02}", time.year() % 100),
        "MMMM" => time.strftime("%B").to_string(),
        "MMM" => time.strftime("%b").to_string(),
        "MM" => format!("{:02}", time.month()),
        "M" => time.month().to_string(),
        "DD" => format!("{:02}", time.day()),
        "D" => time.day().to_string(),
        "EEEE" => time.strftime("%A").to_string(),
        "EEE" => time.strftime("%a").to_string(),
        "hh" => format!("{:02}", time.hour()),
        "h" => time.hour().to_string(),
        "HH" => format!("{hour12:02}"),
        "H" => hour12.to_string(),
        "AA" => if time.hour() < 12 { "AM" } else { "PM" }.to_owned(),
        "aa" => if time.hour() < 12 { "am" } else { "pm" }.to_owned(),
        "mm" => format!("{:02}", time.minute()),
        "m" => time.minute().to_string(),
        "ss" => format!("{:02}", time.second()),
        "s" => time.second().to_string(),
        "Z" if at.offset == 0 => "Z".to_owned(),
        "ZZZ" if at.offset == 0 => "UTC".to_owned(),
        "ZZZZ" | "ZZZ" => at.zone(""),
        "ZZZZZ" | "Z" => at.zone(":"),
        _ => return Err(verb_rule(verb)),
    })
}

fn verb_rule(verb: &str) -> &'static str {
    match verb.as_bytes().first() {
        Some(b'Y') => "year must either be \"YY\" or \"YYYY\"",
        Some(b'M') => "month must be \"M\", \"MM\", \"MMM\", or \"MMMM\"",
        Some(b'D') => "day of month must either be \"D\" or \"DD\"",
        Some(b'E') => "day of week must either be \"EEE\" or \"EEEE\"",
        Some(b'h') => "24-hour must either be \"h\" or \"hh\"",
        Some(b'H') => "12-hour must either be \"H\" or \"HH\"",
        Some(b'A') => "must be \"AA\"",
        Some(b'a') => "must be \"aa\"",
        Some(b'm') => "minute must either be \"m\" or \"mm\"",
        Some(b's') => "second must either be \"s\" or \"ss\"",
        Some(b'Z') => "timezone must be Z, ZZZZ, or ZZZZZ",
        _ => "",
    }
}

/// The start of this run, as `write` does it for the layout that may be given.
fn started(call: &Call<'_>, write: fn(&str, Timestamp) -> String) -> Outcome {
    let started = call.host.environment.started;
    match call.args.len() {
        0 => Ok(Value::string(clock::format(clock::RFC3339, started))),
        1 => Ok(Value::string(write(call.text(0), started))),
        _ => Err(CallError::failed("too many values, 1 needed")),
    }
}

fn timeadd(call: &Call<'_>) -> Outcome {
    let at = Moment::parse(call.text(0)).map_err(|cause| {
        CallError::argument(0, format!("not a valid RFC3339 timestamp: {cause}"))
    })?;
    let distance = duration(call.text(1)).map_err(CallError::failed)?;
    match at.local.checked_add(distance) {
        Ok(local) => Ok(Value::string(Moment { local, ..at }.rfc3339())),
        Err(_) => beyond_9999(&at, distance).map(Value::string),
    }
}

/// The time that is `distance` later, in a year that this calendar does not have. All repeats every
/// 400 years.
fn beyond_9999(at: &Moment, distance: SignedDuration) -> Result<String, CallError> {
    const CYCLE: i64 = 400;
    const CYCLE_DAYS: i64 = 146_097;
    let out_of_range = |_| CallError::failed("the result is out of range");
    let earlier = SignedDuration::from_hours(-24 * CYCLE_DAYS);
    let local = at.local.checked_add(earlier).map_err(out_of_range)?;
    let local = local.checked_add(distance).map_err(out_of_range)?;
    let shown = Moment { local, ..*at }.rfc3339();
    let (year, rest) = shown.split_at(4);
    let year: i64 = year.parse().map_err(|_| CallError::failed("the result is out of range"))?;
    Ok(format!("{}{rest}", year + CYCLE))
}

/// Go's durations, with Go's words for what is wrong.
fn duration(text: &str) -> Result<SignedDuration, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(SignedDuration::ZERO);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total = SignedDuration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let number: f64 = number.parse().map_err(|_| invalid())?;
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "" => return Err(format!("time: missing unit in duration {text:?}")),
            _ => return Err(format!("time: unknown unit {unit:?} in duration {text:?}")),
        };
        let part = SignedDuration::try_from_secs_f64(number * seconds).map_err(|_| invalid())?;
        total = total.checked_add(part).ok_or_else(invalid)?;
        // Go counts nanoseconds in 64 bits.
        i64::try_from(total.as_nanos()).map_err(|_| invalid())?;
        rest = after;
    }
    Ok(if negative { -total } else { total })
}

/// The calendar of a moment, and one more way to write it.
fn calendar(at: &Moment, name: &'static str, value: Value) -> Value {
    let time = at.local;
    let week = time.date().iso_week_date();
    let number = |value: i64| Value::from(value);
    Value::object([
        ("year", number(time.year().into())),
        ("year_day", number(time.day_of_year().into())),
        ("day", number(time.day().into())),
        ("month", number(time.month().into())),
        ("month_name", Value::string(time.strftime("%B").to_string())),
        ("weekday", number(time.weekday().to_sunday_zero_offset().into())),
        ("weekday_name", Value::string(time.strftime("%A").to_string())),
        ("hour", number(time.hour().into())),
        ("minute", number(time.minute().into())),
        ("second", number(time.second().into())),
        ("iso_year", number(week.year().into())),
        ("iso_week", number(week.week().into())),
        (name, value),
    ])
}

/// A blank may stand for the `T`.
fn rfc3339_parse(call: &Call<'_>) -> Outcome {
    let text = call.text(0);
    let at = Moment::parse(&text.replacen(' ', "T", 1)).map_err(|_| {
        CallError::argument(0, format!("{text:?} is not a valid RFC3339 timestamp"))
    })?;
    let unix = at.instant()?.as_second();
    Ok(calendar(&at, "unix", unix.into()))
}

fn unix_timestamp_parse(call: &Call<'_>) -> Outcome {
    let seconds = call.number(0).to_i64().map_err(|error| {
        let cause = format!(
            "unix_timestamp must be a whole number of seconds representable as a 64-bit integer: \
             {error}"
        );
        CallError::argument(0, cause)
    })?;
    let at = Timestamp::from_second(seconds)
        .map_err(|_| CallError::argument(0, "the year is beyond what a calendar covers"))?;
    Ok(calendar(&Moment::of(at), "rfc3339", Value::string(clock::format(clock::RFC3339, at))))
}
