//! Numbers: binary floating point of up to 512 bits, with HCL's infinities and negative zero.
//!
//! A number remembers how many bits it is exact to, because that decides how many digits its text
//! has: `1/3` has 154 of them, the result of `log` only 17.

//!
//! Each result is rounded half to even, as Go's `big.Float` does. The floats of `dashu-float` only
//! promise to be less than one last bit away, and their sums may have one bit too many: values would
//! differ from those of Packer in their last digit.

mod arithmetic;
mod digits;
mod text;

use std::cmp::Ordering;

use dashu_base::{BitTest, DivRem, Sign, Signed};
use dashu_int::IBig;

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
