//! What is computed with numbers, each result rounded once.

use std::cmp::Ordering;

use dashu_base::{BitTest, Sign};
use dashu_int::IBig;

use super::{Number, NumberError, PRECISION, Repr};

impl Number {
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
