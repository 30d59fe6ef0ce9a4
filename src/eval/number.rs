//! Numbers: binary floating point of up to 512 bits, with HCL's infinities and negative zero.
//!
//! A number remembers how many bits it is exact to, because that decides how many digits its text
//! has: `1/3` has 154 of them, the result of `log` only 17.

use std::cmp::Ordering;
use std::fmt;

use dashu_base::{Abs, BitTest, DivRem, Sign, Signed, UnsignedAbs};
use dashu_int::IBig;

use super::digits::{parse_exponent, round_shortest, trim_digits};
use crate::budget::Limit;

/// The bits of a literal, and the most that any number has.
const PRECISION: usize = 512;
/// Beyond this binary exponent a number is infinite or zero: in full, it would have 20,000 digits.
const MAX_EXPONENT: i64 = 1 << 16;

/// A number.
#[derive(Clone, Debug)]
pub struct Number {
    repr: Repr,
    precision: usize,
}

#[derive(Clone, Debug, PartialEq)]
enum Repr {
    /// `significand × 2^exponent`; the significand is odd, or zero with exponent zero.
    Finite {
        significand: IBig,
        exponent: i64,
    },
    NegativeZero,
    Infinite {
        negative: bool,
    },
}

/// An operation without a result, in HCL's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// `0 / 0`.
    #[error("can't divide zero by zero or infinity by infinity")]
    Division,
    /// `0 * inf`.
    #[error("can't multiply zero by infinity")]
    Multiplication,
    /// `inf + -inf`.
    #[error("can't compute sum of opposing infinities")]
    Sum,
    /// `inf - inf`.
    #[error("can't subtract infinity from itself")]
    Difference,
    /// A whole number of 64 bits was needed.
    #[error("value must be a whole number, between {} and {}", i64::MIN, i64::MAX)]
    NotWhole,
}

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

    fn times_power_of_two(self, power: i64) -> Self {
        let repr = match self.repr {
            Repr::Finite { significand, exponent } => {
                let (sign, magnitude) = significand.into_parts();
                Repr::normal(sign, magnitude.into(), exponent.saturating_add(power))
            }
            other => other,
        };
        Self { repr, precision: self.precision }
    }

    /// `significand × 10^scale`, rounded once.
    fn from_decimal(significand: IBig, scale: i64) -> Self {
        // log2(10) > 3: beyond this the result is infinite or zero anyway.
        let limit = MAX_EXPONENT / 3;
        let digits = i64::try_from(significand.bit_len() / 3).unwrap_or(i64::MAX);
        if significand.is_zero() || scale < -limit - digits {
            return Self::from(0);
        }
        if scale > limit {
            return Self::infinite(significand.is_negative());
        }
        let power = IBig::from(10u8).pow(usize::try_from(scale.unsigned_abs()).unwrap_or(0));
        if scale >= 0 {
            Self::rounded(significand * power, 0, false, PRECISION)
        } else {
            Self::quotient(&significand, &power, 0, PRECISION)
        }
    }

    /// `dividend / divisor × 2^exponent`, rounded once.
    fn quotient(dividend: &IBig, divisor: &IBig, exponent: i64, precision: usize) -> Self {
        let shift = (precision + 2 + divisor.bit_len()).saturating_sub(dividend.bit_len());
        let (quotient, rest) = (dividend << shift).div_rem(divisor);
        let exponent = exponent - i64::try_from(shift).unwrap_or(i64::MAX);
        Self::rounded(quotient, exponent, !rest.is_zero(), precision)
    }

    /// Rounds to `precision` bits, half to even; `sticky` says that a bit below was lost.
    fn rounded(significand: IBig, exponent: i64, sticky: bool, precision: usize) -> Self {
        let (sign, magnitude) = significand.into_parts();
        let mut magnitude = IBig::from(magnitude);
        let mut exponent = exponent;
        let excess = magnitude.bit_len().saturating_sub(precision);
        if excess > 0 {
            let half = IBig::ONE << (excess - 1);
            let kept = &magnitude >> excess;
            let lost = &magnitude - (&kept << excess);
            let up = match lost.cmp(&half) {
                Ordering::Less => false,
                Ordering::Equal => sticky || kept.bit(0),
                Ordering::Greater => true,
            };
            magnitude = if up { kept + IBig::ONE } else { kept };
            exponent += i64::try_from(excess).unwrap_or(i64::MAX);
        }
        Self { repr: Repr::normal(sign, magnitude, exponent), precision }
    }

    fn infinite(negative: bool) -> Self {
        Self { repr: Repr::Infinite { negative }, precision: PRECISION }
    }

    /// A float; NaN, which HCL does not have, is `None`.
    pub fn from_f64(value: f64) -> Option<Self> {
        if value.is_nan() {
            return None;
        }
        if value.is_infinite() {
            return Some(Self::infinite(value < 0.0));
        }
        let mut number = Self::parse(&format!("{value:e}"))?;
        if let Repr::Finite { significand, exponent } = number.repr {
            // The text is exact to 53 bits only.
            number = Self::rounded(significand, exponent, false, 53);
        }
        number.precision = 53;
        Some(number)
    }

    /// A whole number of any size.
    pub fn from_integer(value: IBig) -> Self {
        let precision = value.bit_len().clamp(64, PRECISION);
        Self::rounded(value, 0, false, precision)
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

    /// The nearest float.
    pub fn to_f64(&self) -> f64 {
        let (significand, exponent) = match &self.repr {
            Repr::NegativeZero => return -0.0,
            Repr::Infinite { negative: true } => return f64::NEG_INFINITY,
            Repr::Infinite { negative: false } => return f64::INFINITY,
            Repr::Finite { significand, exponent } => (significand, *exponent),
        };
        let top = exponent + i64::try_from(significand.bit_len()).unwrap_or(i64::MAX);
        if top > 1024 {
            return if significand.is_negative() { f64::NEG_INFINITY } else { f64::INFINITY };
        }
        // Subnormal floats have fewer bits.
        let bits = usize::try_from((top + 1074).clamp(0, 53)).unwrap_or(53);
        if bits == 0 && top < -1074 {
            return if significand.is_negative() { -0.0 } else { 0.0 };
        }
        match Self::rounded(significand.clone(), exponent, false, bits).repr {
            Repr::Finite { significand, exponent } => {
                let whole = i64::try_from(significand).unwrap_or(0) as f64;
                let half = i32::try_from(exponent / 2).unwrap_or(0);
                let rest = i32::try_from(exponent - exponent / 2).unwrap_or(0);
                whole * 2f64.powi(half) * 2f64.powi(rest)
            }
            _ => 0.0,
        }
    }

    /// The whole number that this is.
    pub fn to_integer(&self) -> Option<IBig> {
        match &self.repr {
            Repr::NegativeZero => Some(IBig::ZERO),
            Repr::Finite { significand, exponent: 0.. } => {
                let Repr::Finite { exponent, .. } = self.repr else { return None };
                Some(significand << usize::try_from(exponent).ok()?)
            }
            _ => None,
        }
    }

    /// The whole number of 64 bits that this is.
    pub fn to_i64(&self) -> Result<i64, NumberError> {
        let whole = self.to_integer().ok_or(NumberError::NotWhole)?;
        i64::try_from(whole).map_err(|_| NumberError::NotWhole)
    }

    /// Whether it is infinite.
    pub fn is_infinite(&self) -> bool {
        matches!(self.repr, Repr::Infinite { .. })
    }

    /// Whether it is zero, of either sign.
    pub fn is_zero(&self) -> bool {
        match &self.repr {
            Repr::NegativeZero => true,
            Repr::Finite { significand, .. } => significand.is_zero(),
            Repr::Infinite { .. } => false,
        }
    }

    /// Whether it is below zero or negative zero.
    pub fn is_negative(&self) -> bool {
        match &self.repr {
            Repr::NegativeZero | Repr::Infinite { negative: true } => true,
            Repr::Infinite { negative: false } => false,
            Repr::Finite { significand, .. } => significand.is_negative(),
        }
    }

    /// `-x`.
    pub fn negate(&self) -> Self {
        let repr = match &self.repr {
            Repr::NegativeZero => Repr::ZERO,
            Repr::Infinite { negative } => Repr::Infinite { negative: !negative },
            Repr::Finite { significand, .. } if significand.is_zero() => Repr::NegativeZero,
            Repr::Finite { significand, exponent } => {
                Repr::Finite { significand: -significand, exponent: *exponent }
            }
        };
        Self { repr, precision: self.precision }
    }

    /// `|x|`.
    pub fn abs(&self) -> Self {
        if self.is_negative() { self.negate() } else { self.clone() }
    }

    /// `x + y`.
    pub fn add(&self, other: &Self) -> Result<Self, NumberError> {
        let precision = self.precision.max(other.precision);
        match (&self.repr, &other.repr) {
            (Repr::Infinite { negative: a }, Repr::Infinite { negative: b }) if a != b => {
                Err(NumberError::Sum)
            }
            (Repr::Infinite { .. }, _) => Ok(self.clone()),
            (_, Repr::Infinite { .. }) => Ok(other.clone()),
            (Repr::NegativeZero, Repr::NegativeZero) => Ok(self.clone()),
            (a, b) => Ok(Self::sum(a.parts(), b.parts(), precision)),
        }
    }

    /// The sum of two finite numbers, rounded once.
    fn sum(a: (IBig, i64), b: (IBig, i64), precision: usize) -> Self {
        let ((large, high), (small, low)) = if top(&a) >= top(&b) { (a, b) } else { (b, a) };
        let spare = (precision + 3).saturating_sub(large.bit_len());
        let spare_exponent = high - i64::try_from(spare).unwrap_or(i64::MAX);
        if !small.is_zero() && top(&(small.clone(), low)) < spare_exponent {
            // It lies below the last bit, and only says in which direction to round.
            let (sign, magnitude) = (large << spare).into_parts();
            let away = sign == small.sign();
            let magnitude = IBig::from(magnitude) - IBig::from(u8::from(!away));
            let significand = if sign == Sign::Negative { -magnitude } else { magnitude };
            return Self::rounded(significand, spare_exponent, true, precision);
        }
        let exponent = high.min(low);
        let large = large << usize::try_from(high - exponent).unwrap_or(0);
        let small = small << usize::try_from(low - exponent).unwrap_or(0);
        Self::rounded(large + small, exponent, false, precision)
    }

    /// `x - y`.
    pub fn subtract(&self, other: &Self) -> Result<Self, NumberError> {
        self.add(&other.negate()).map_err(|_| NumberError::Difference)
    }

    /// `x × y`; the result has as many bits as it needs to be exact, up to 512.
    pub fn multiply(&self, other: &Self) -> Result<Self, NumberError> {
        let negative = self.is_negative() != other.is_negative();
        if self.is_infinite() || other.is_infinite() {
            let undefined = self.is_zero() || other.is_zero();
            return if undefined {
                Err(NumberError::Multiplication)
            } else {
                Ok(Self::infinite(negative))
            };
        }
        let ((a, a_exponent), (b, b_exponent)) = (self.repr.parts(), other.repr.parts());
        let product = a * b;
        let precision = self.precision.max(other.precision).max(product.bit_len().min(PRECISION));
        let result = Self::rounded(product, a_exponent + b_exponent, false, precision);
        Ok(if negative && result.is_zero() { Self::from(0).negate() } else { result })
    }

    /// `x / y`.
    pub fn divide(&self, other: &Self) -> Result<Self, NumberError> {
        let negative = self.is_negative() != other.is_negative();
        let precision = self.precision.max(other.precision);
        match (self.is_infinite(), other.is_infinite()) {
            (true, true) => Err(NumberError::Division),
            (true, false) => Ok(Self::infinite(negative)),
            (false, true) => Ok(Self::signed_zero(negative)),
            (false, false) if other.is_zero() && self.is_zero() => Err(NumberError::Division),
            (false, false) if other.is_zero() => Ok(Self::infinite(negative)),
            (false, false) if self.is_zero() => Ok(Self::signed_zero(negative)),
            (false, false) => {
                let ((a, a_exponent), (b, b_exponent)) = (self.repr.parts(), other.repr.parts());
                Ok(Self::quotient(&a, &b, a_exponent - b_exponent, precision))
            }
        }
    }

    /// `x % y`: what is left after dividing towards zero; `x % 0` is `x`.
    pub fn modulo(&self, other: &Self) -> Result<Self, NumberError> {
        if other.is_zero() {
            return Ok(self.clone());
        }
        let times = self.divide(other)?.truncate();
        self.subtract(&other.multiply(&times)?)
    }

    /// Towards zero.
    fn truncate(&self) -> Self {
        match &self.repr {
            Repr::Finite { significand, exponent } if *exponent < 0 => {
                let (sign, magnitude) = significand.clone().into_parts();
                let whole = magnitude >> usize::try_from(exponent.unsigned_abs()).unwrap_or(0);
                let repr = Repr::normal(sign, IBig::from(whole), 0);
                Self { repr, precision: self.precision }
            }
            _ => self.clone(),
        }
    }

    /// The next whole number below.
    pub fn floor(&self) -> Self {
        let whole = self.truncate();
        let below = whole.is_greater_than(self);
        if below { whole.subtract(&Self::from(1)).unwrap_or(whole) } else { whole }
    }

    /// The next whole number above.
    pub fn ceil(&self) -> Self {
        self.negate().floor().negate()
    }

    fn is_greater_than(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Greater
    }

    fn signed_zero(negative: bool) -> Self {
        if negative { Self::from(0).negate() } else { Self::from(0) }
    }

    /// As Go's `%g` prints the nearest float, and whole numbers of 64 bits in full: how values are
    /// shown to people.
    pub fn shown(&self) -> String {
        match self.to_i64() {
            Ok(whole) => whole.to_string(),
            Err(_) => super::go_format::float_shortest(self.to_f64()),
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

/// The exponent of the first power of two above it; zero is below all.
fn top((significand, exponent): &(IBig, i64)) -> i64 {
    match significand.bit_len() {
        0 => i64::MIN,
        bits => exponent + i64::try_from(bits).unwrap_or(i64::MAX),
    }
}

/// Compares finite numbers. Those of different size are never written out beside one another.
fn compare(a: (IBig, i64), b: (IBig, i64)) -> Ordering {
    let signum = |(significand, _): &(IBig, i64)| match significand.sign() {
        _ if significand.is_zero() => 0,
        Sign::Positive => 1,
        Sign::Negative => -1,
    };
    let size = match signum(&a) {
        -1 => top(&b).cmp(&top(&a)),
        _ => top(&a).cmp(&top(&b)),
    };
    signum(&a).cmp(&signum(&b)).then(size).then_with(|| {
        let exponent = a.1.min(b.1);
        let write = |(significand, own): (IBig, i64)| {
            significand << usize::try_from(own - exponent).unwrap_or(0)
        };
        write(a).cmp(&write(b))
    })
}

impl Repr {
    const ZERO: Self = Self::Finite { significand: IBig::ZERO, exponent: 0 };

    fn normal(sign: Sign, magnitude: IBig, exponent: i64) -> Self {
        let Some(zeros) = magnitude.trailing_zeros() else { return Self::ZERO };
        let significand = magnitude >> zeros;
        let exponent = exponent + i64::try_from(zeros).unwrap_or(0);
        let negative = sign == Sign::Negative;
        if exponent > MAX_EXPONENT {
            return Self::Infinite { negative };
        }
        if exponent < -2 * MAX_EXPONENT {
            return Self::ZERO;
        }
        let significand = if negative { -significand } else { significand };
        Self::Finite { significand, exponent }
    }

    /// Significand and exponent; infinities, which callers deal with first, as zero.
    fn parts(&self) -> (IBig, i64) {
        match self {
            Self::Finite { significand, exponent } => (significand.clone(), *exponent),
            _ => (IBig::ZERO, 0),
        }
    }
}

impl From<i32> for Number {
    fn from(value: i32) -> Self {
        Self::from_integer(IBig::from(value))
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Self::from_integer(IBig::from(value))
    }
}

impl From<usize> for Number {
    fn from(value: usize) -> Self {
        Self::from_integer(IBig::from(value))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number {}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = |number: &Self| match number.repr {
            Repr::Infinite { negative: true } => -1,
            Repr::Infinite { negative: false } => 1,
            _ => 0,
        };
        match (rank(self), rank(other)) {
            (0, 0) => compare(self.repr.parts(), other.repr.parts()),
            (a, b) => a.cmp(&b),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        Number::parse(text).unwrap()
    }

    #[test]
    fn fractions_are_exact_enough_to_be_what_they_look_like() {
        assert_eq!(number("0.1").add(&number("0.2")).unwrap(), number("0.3"));
        let third = number("1").divide(&number("3")).unwrap();
        assert_eq!(third.multiply(&number("3")).unwrap(), number("1"));
        assert_eq!(third.to_string(), format!("0.{}5", "3".repeat(154)));
        assert_eq!(number("1e-7").to_string(), "0.0000001");
        assert_eq!(number("123456789.125").to_string(), "123456789.125");
        assert_eq!(number("-0").to_string(), "-0");
        assert_eq!(number("1.5p3").to_string(), "12");
        assert_eq!(number("-1p-1").to_string(), "-0.5");
    }

    #[test]
    fn numbers_far_apart_add_up_and_compare_without_being_written_out() {
        let (large, small) = (number("1e5000"), number("1e-5000"));
        assert_eq!(large.add(&small).unwrap(), large);
        assert_eq!(large.subtract(&small).unwrap(), large);
        assert_eq!(large.negate().add(&small).unwrap(), large.negate());
        assert!(small < large && large.negate() < small.negate() && small > number("0"));
        // One bit below the last one still decides in which direction to round.
        let power = |exponent: i64| Number::rounded(IBig::ONE, exponent, false, PRECISION);
        let (last, below) = (power(-511), power(-512));
        let sum = |a: &Number, b: &Number| a.add(b).unwrap();
        assert_eq!(sum(&power(0), &below), power(0));
        assert_eq!(sum(&sum(&power(0), &last), &below), sum(&power(0), &power(-510)));
        assert_eq!(sum(&sum(&power(0), &below), &power(-600)), power(0));
        assert_eq!(sum(&power(0), &power(-600).negate()), power(0));
    }

    #[test]
    fn infinities_follow_hcl() {
        assert_eq!(number("10").divide(&number("0")).unwrap().to_string(), "+Inf");
        assert_eq!(number("0").divide(&number("0")), Err(NumberError::Division));
        assert_eq!(number("7").modulo(&number("0")).unwrap(), number("7"));
        assert_eq!(number("1e400").to_f64(), f64::INFINITY);
    }

    #[test]
    fn floats_survive_the_way_there_and_back() {
        for value in [0.1, 1.5e300, 5e-324, 2.2250738585072014e-308, -7.25, 1e22] {
            assert_eq!(Number::from_f64(value).unwrap().to_f64(), value);
            assert_eq!(number(&format!("{value:e}")).to_f64(), value);
        }
    }
}
