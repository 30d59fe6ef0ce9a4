//! Texts of numbers, both ways.

use std::cmp::Ordering;
use std::fmt;

use dashu_base::{Abs, BitTest, Signed, UnsignedAbs};
use dashu_int::IBig;

use super::digits::{parse_exponent, round_shortest, trim_digits};
use super::{Number, Repr};
use crate::budget::Limit;
use crate::eval::go_format;

impl Number {
    /// Reads a decimal number as HCL and Go write it: `-1.5e3`, `.5`, `1p3`, `Inf`.
    pub fn parse(text: &str) -> Option<Self> {
        Limit::DIGITS.check(text.len()).ok()?;
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        if digits == "Inf" || digits == "inf" {
            return Some(Self::infinite(negative));
        }
        let (mantissa, exponent) = match digits.split_once(['e', 'E', 'p', 'P']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
            None => (digits, 0),
        };
        // After a `p` it is one of two.
        let (exponent, power) = match digits.contains(['p', 'P']) {
            true => (0, exponent),
            false => (exponent, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let significand: IBig = digits.parse().ok()?;
        let scale = exponent.checked_sub(i64::try_from(fraction.len()).ok()?)?;
        let positive = Self::from_decimal(significand, scale).times_power_of_two(power);
        Some(if negative { positive.negate() } else { positive })
    }

    /// Reads a whole number in `base` (2 to 62; above 36 upper case letters follow lower case ones).
    pub fn parse_integer(text: &str, base: u32) -> Option<Self> {
        Limit::DIGITS.check(text.len()).ok()?;
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        if digits.is_empty() {
            return None;
        }
        let mut value = IBig::ZERO;
        for digit in digits.bytes() {
            let digit = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'z' => digit - b'a' + 10,
                b'A'..=b'Z' if base <= 36 => digit - b'A' + 10,
                b'A'..=b'Z' => digit - b'A' + 36,
                _ => return None,
            };
            if u32::from(digit) >= base {
                return None;
            }
            value = value * IBig::from(base) + IBig::from(digit);
        }
        Some(Self::from_integer(if negative { -value } else { value }))
    }

    /// As Go's `%g` prints the nearest float, and whole numbers of 64 bits in full: how values are
    /// shown to people.
    pub fn shown(&self) -> String {
        match self.to_i64() {
            Ok(whole) => whole.to_string(),
            Err(_) => go_format::float_shortest(self.to_f64()),
        }
    }

    /// With `digits` decimals, the last one rounded half to even.
    pub fn fixed(&self, digits: usize) -> String {
        let (significand, exponent) = self.repr.parts();
        let scaled = significand.abs() * IBig::from(10u8).pow(digits);
        let shift = usize::try_from(exponent.unsigned_abs()).unwrap_or(0);
        let whole = if exponent >= 0 {
            scaled << shift
        } else {
            let kept = &scaled >> shift;
            let twice_lost = (&scaled - (&kept << shift)) << 1usize;
            let up = match twice_lost.cmp(&(IBig::ONE << shift)) {
                Ordering::Less => false,
                Ordering::Equal => kept.bit(0),
                Ordering::Greater => true,
            };
            if up { kept + IBig::ONE } else { kept }
        };
        let text = format!("{:0>width$}", whole.to_string(), width = digits + 1);
        let (whole, fraction) = text.split_at(text.len() - digits);
        let sign = if self.is_negative() { "-" } else { "" };
        let point = if digits == 0 { "" } else { "." };
        format!("{sign}{whole}{point}{fraction}")
    }

    /// As Go's `%g` prints a big float: the fewest digits, with an exponent from a million on.
    pub fn general(&self) -> String {
        let (significand, exponent) = match &self.repr {
            Repr::Finite { significand, exponent } if !significand.is_zero() => {
                (significand, *exponent)
            }
            _ => return self.to_string(),
        };
        let (digits, point) = Self::shortest_digits(significand, exponent, self.precision);
        if (-3..=6).contains(&point) {
            return self.to_string();
        }
        let sign = if significand.is_negative() { "-" } else { "" };
        let (first, rest) = digits.split_at(1);
        let dot = if rest.is_empty() { "" } else { "." };
        let exponent = point - 1;
        let exponent_sign = if exponent < 0 { '-' } else { '+' };
        format!("{sign}{first}{dot}{rest}e{exponent_sign}{:0>2}", exponent.unsigned_abs())
    }

    /// The decimal digits (without leading or trailing zeros), where the point stands relative to
    /// their start, and the sign: the fewest digits that name this number among those of its
    /// precision.
    fn shortest_digits(significand: &IBig, exponent: i64, precision: usize) -> (String, i64) {
        let magnitude = significand.unsigned_abs();
        let spare = precision.saturating_sub(magnitude.bit_len());
        // Scaled so that half of a last-bit step is the whole number 1.
        let middle = IBig::from(magnitude) << (spare + 1);
        let exponent = exponent - i64::try_from(spare + 1).unwrap_or(0);
        let even = !(&middle >> 1usize).bit(0);
        let (below, above) = (&middle - IBig::ONE, &middle + IBig::ONE);
        let scale = |value: IBig| {
            let steps = usize::try_from(exponent.unsigned_abs()).unwrap_or(0);
            if exponent >= 0 { value << steps } else { value * IBig::from(5u8).pow(steps) }
        };
        let digits = [scale(middle), scale(below), scale(above)].map(|value| value.to_string());
        let fraction = if exponent < 0 { exponent.unsigned_abs() } else { 0 };
        let width = digits.iter().map(String::len).max().unwrap_or(0);
        let padded = digits.map(|text| "0".repeat(width - text.len()) + &text);
        // Rounding up may have made it one digit longer.
        let rounded = round_shortest(&padded, even);
        let point =
            i64::try_from(rounded.len()).unwrap_or(0) - i64::try_from(fraction).unwrap_or(0);
        trim_digits(rounded, point)
    }
}

/// In full, without an exponent: what a number converted to a string is.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (significand, exponent) = match &self.repr {
            Repr::NegativeZero => return f.write_str("-0"),
            Repr::Infinite { negative: true } => return f.write_str("-Inf"),
            Repr::Infinite { negative: false } => return f.write_str("+Inf"),
            Repr::Finite { significand, .. } if significand.is_zero() => return f.write_str("0"),
            Repr::Finite { significand, exponent } => (significand, *exponent),
        };
        if significand.is_negative() {
            f.write_str("-")?;
        }
        if (0..512).contains(&exponent) {
            let whole = significand.clone().abs() << usize::try_from(exponent).unwrap_or(0);
            if whole.bit_len() <= self.precision {
                return write!(f, "{whole}");
            }
        }
        let (digits, point) = Self::shortest_digits(significand, exponent, self.precision);
        let length = i64::try_from(digits.len()).unwrap_or(0);
        let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or(0));
        if point <= 0 {
            write!(f, "0.{}{digits}", zeros(-point))
        } else if point >= length {
            write!(f, "{digits}{}", zeros(point - length))
        } else {
            let (whole, fraction) = digits.split_at(usize::try_from(point).unwrap_or(0));
            write!(f, "{whole}.{fraction}")
        }
    }
}
