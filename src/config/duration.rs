//! Durations as Go writes them: `5m`, `1h30m`, `1.5s`, `-5s`.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

use crate::config::node::UNKNOWN;

/// A signed length of time; option values are written `"5m"`. A bare number is refused: whoever
/// writes `5` means seconds or minutes, and Packer would take nanoseconds where it takes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoDuration {
    nanos: i64,
}

impl GoDuration {
    /// `seconds` seconds.
    pub const fn from_secs(seconds: i64) -> Self {
        Self { nanos: seconds * 1_000_000_000 }
    }

    /// Parses a length of time: Go's notation, not below zero.
    pub fn parse_length(text: &str) -> Result<Self, String> {
        Self::parse(text)?.not_below_zero(text)
    }

    /// Parses an age: whole days (`7d`), or a [length of time](Self::parse_length).
    pub fn parse_age(text: &str) -> Result<Self, String> {
        let days = text.strip_suffix('d').filter(|days| is_whole(days));
        let given = match days {
            Some(days) => Self::of_days(days).ok_or(Refusal::TooLarge),
            None => Self::read(text),
        };
        given.map_err(|refusal| refusal.of_age(text))?.not_below_zero(text)
    }

    fn not_below_zero(self, text: &str) -> Result<Self, String> {
        if self.is_negative() { Err(format!("`{text}` is below zero")) } else { Ok(self) }
    }

    fn of_days(days: &str) -> Option<Self> {
        let nanos = days.parse::<i64>().ok()?.checked_mul(86_400_000_000_000)?;
        Some(Self { nanos })
    }

    /// Parses how long something may live: an [age](Self::parse_age) that is not zero.
    pub fn parse_time_to_live(text: &str) -> Result<Self, String> {
        match Self::parse_age(text)? {
            given if given.is_zero() => Err(format!("`{text}` is no time at all")),
            given => Ok(given),
        }
    }

    /// Parses Go's notation. The second line of an error is what to do.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::read(text).map_err(|refusal| refusal.of_duration(text))
    }

    fn read(text: &str) -> Result<Self, Refusal> {
        let refused = || match !text.is_empty() && text.parse::<f64>().is_ok() {
            true => Refusal::NoUnit,
            false => Refusal::NoDuration,
        };
        let (sign, rest) = match text.strip_prefix('-') {
            Some(rest) => (-1.0, rest),
            None => (1.0, text.strip_prefix('+').unwrap_or(text)),
        };
        if rest == "0" {
            return Ok(Self::default());
        }
        let mut nanos = 0.0;
        let mut rest = rest;
        while !rest.is_empty() {
            let digits =
                rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(refused)?;
            let number: f64 = rest[..digits].parse().map_err(|_| refused())?;
            let unit_end = rest[digits..]
                .find(|c: char| c.is_ascii_digit() || c == '.')
                .map_or(rest.len(), |end| digits + end);
            nanos += number * unit_nanos(&rest[digits..unit_end]).ok_or_else(refused)?;
            rest = &rest[unit_end..];
        }
        let empty = text.trim_start_matches(['-', '+']).is_empty();
        if empty {
            return Err(refused());
        }
        if nanos > i64::MAX as f64 {
            return Err(Refusal::TooLarge);
        }
        #[expect(clippy::cast_possible_truncation, reason = "bounded by i64::MAX just above")]
        Ok(Self { nanos: (sign * nanos) as i64 })
    }

    /// The length, or zero if it is negative.
    pub fn get(self) -> Duration {
        Duration::from_nanos(u64::try_from(self.nanos).unwrap_or(0))
    }

    /// Whether it is exactly zero.
    pub fn is_zero(self) -> bool {
        self.nanos == 0
    }

    /// Whether it is below zero, which some options use for "off".
    pub fn is_negative(self) -> bool {
        self.nanos < 0
    }
}

/// Why a text is no duration.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    NoUnit,
    NoDuration,
    TooLarge,
}

impl Refusal {
    /// Where Go's units are wanted.
    fn of_duration(self, text: &str) -> String {
        match self {
            Self::NoUnit => {
                format!("`{text}` is missing its unit\nwrite \"{text}s\" for seconds")
            }
            Self::NoDuration => format!(
                "`{text}` is not a duration\nwrite a number and a unit (ns, us, ms, s, m, h), \
                 e.g. \"5m\" or \"1h30m\""
            ),
            Self::TooLarge => format!("`{text}` is too large\n292 years are the most"),
        }
    }

    /// Where days are a unit, too.
    fn of_age(self, text: &str) -> String {
        match self {
            Self::NoUnit => format!(
                "`{text}` is missing its unit\nwrite \"{text}d\" for days, or \"{text}h\" for hours"
            ),
            Self::NoDuration => format!(
                "`{text}` is not an age\nwrite whole days, e.g. \"7d\", or numbers with units (ms, \
                 s, m, h), e.g. \"36h\" or \"1h30m\""
            ),
            Self::TooLarge => self.of_duration(text),
        }
    }
}

fn is_whole(number: &str) -> bool {
    !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())
}

fn unit_nanos(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1.0,
        "us" | "µs" | "μs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" => 60e9,
        "h" => 3600e9,
        _ => return None,
    })
}

impl From<Duration> for GoDuration {
    fn from(duration: Duration) -> Self {
        Self { nanos: i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX) }
    }
}

impl fmt::Display for GoDuration {
    /// As Go prints it: `5m0s`, `1.5s`, `300ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos < 0 {
            f.write_str("-")?;
        }
        let nanos = self.nanos.unsigned_abs();
        if nanos == 0 {
            return f.write_str("0s");
        }
        if nanos < 1_000_000_000 {
            let (unit, scale) = match nanos {
                0..1_000 => ("ns", 1.0),
                1_000..1_000_000 => ("µs", 1e3),
                _ => ("ms", 1e6),
            };
            return write!(f, "{}{unit}", nanos as f64 / scale);
        }
        let seconds = nanos / 1_000_000_000;
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if seconds >= 60 {
            write!(f, "{minutes}m")?;
        }
        write!(f, "{}s", (nanos % 60_000_000_000) as f64 / 1e9)
    }
}

/// As documentation shows it.
impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl Visitor<'_> for Written {
            type Value = GoDuration;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as \"5m\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<GoDuration, E> {
                match text {
                    UNKNOWN => Ok(GoDuration::default()),
                    _ => GoDuration::parse(text).map_err(E::custom),
                }
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<GoDuration, E> {
                self.visit_str(&number.to_string())
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<GoDuration, E> {
                self.visit_str(&number.to_string())
            }
        }
        deserializer.deserialize_any(Written)
    }
}

impl JsonSchema for GoDuration {
    fn schema_name() -> Cow<'static, str> {
        "duration".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "duration" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints_what_go_does() {
        for (text, printed) in [
            ("5m", "5m0s"),
            ("1h30m", "1h30m0s"),
            ("1.5s", "1.5s"),
            ("300ms", "300ms"),
            ("-5s", "-5s"),
            ("0", "0s"),
            ("100h", "100h0m0s"),
        ] {
            assert_eq!(GoDuration::parse(text).unwrap().to_string(), printed);
        }
        for wrong in ["", "5", "m", "5 m", "1d", "-"] {
            assert!(GoDuration::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_number_without_a_unit_is_told_how_to_have_one() {
        for bare in ["5", "-5", "1.5"] {
            let refused = GoDuration::parse(bare).unwrap_err();
            let expected = format!("`{bare}` is missing its unit\nwrite \"{bare}s\" for seconds");
            assert_eq!(refused, expected);
        }
    }

    #[test]
    fn an_age_may_be_in_days_and_what_is_wrong_with_one_says_so() {
        for (text, printed) in [("7d", "168h0m0s"), ("106751d", "2562024h0m0s"), ("36h", "36h0m0s")]
        {
            assert_eq!(GoDuration::parse_age(text).unwrap().to_string(), printed);
        }
        for (text, said) in [
            ("1w", "`1w` is not an age\nwrite whole days, e.g. \"7d\", or"),
            ("90", "`90` is missing its unit\nwrite \"90d\" for days, or \"90h\" for hours"),
            ("106752d", "`106752d` is too large"),
            ("99999999999999999999d", "`99999999999999999999d` is too large"),
            ("9999999999h", "`9999999999h` is too large"),
            ("-1h", "`-1h` is below zero"),
        ] {
            let refused = GoDuration::parse_age(text).unwrap_err();
            assert!(refused.starts_with(said), "{refused}");
        }
    }
}
