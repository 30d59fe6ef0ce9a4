//! Logarithms and powers as Go computes them, to the last bit: their values are printed in full.

/// The natural logarithm, by the algorithm of FreeBSD's `e_log.c`.
pub fn ln(value: f64) -> f64 {
    const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    const EVEN: [f64; 3] =
        [3.999_999_999_940_942e-1, 2.222_219_843_214_978_4e-1, 1.531_383_769_920_937_3e-1];
    const ODD: [f64; 4] = [
        6.666_666_666_666_735e-1,
        2.857_142_874_366_239e-1,
        1.818_357_216_161_805e-1,
        1.479_819_860_511_658_6e-1,
    ];
    if !value.is_finite() || value <= 0.0 {
        return value.ln();
    }
    let (mut fraction, mut exponent) = split(value);
    if fraction < std::f64::consts::FRAC_1_SQRT_2 {
        fraction *= 2.0;
        exponent -= 1;
    }
    let f = fraction - 1.0;
    let k = f64::from(exponent);
    let s = f / (2.0 + f);
    let s2 = s * s;
    let s4 = s2 * s2;
    let t1 = s2 * (ODD[0] + s4 * (ODD[1] + s4 * (ODD[2] + s4 * ODD[3])));
    let t2 = s4 * (EVEN[0] + s4 * (EVEN[1] + s4 * EVEN[2]));
    let half_square = 0.5 * f * f;
    k * LN2_HIGH - ((half_square - (s * (half_square + t1 + t2) + k * LN2_LOW)) - f)
}

/// `e` to the power of `value`, which is between -400 and 400, by Shibata's method for vector units. Go
/// has it on x86-64, with fused multiplications.
fn exp(value: f64) -> f64 {
    const LN2_UPPER: f64 = 0.693_147_180_559_662_956_511_601_805_686_950_683_593_75;
    const LN2_LOWER: f64 = 0.282_352_905_630_315_771_225_884_481_750_134_360_255_254_120_68e-12;
    const TAYLOR: [f64; 8] = [
        2.480_158_730_158_73e-5,
        1.984_126_984_126_984e-4,
        1.388_888_888_888_889e-3,
        8.333_333_333_333_333e-3,
        4.166_666_666_666_666_4e-2,
        1.666_666_666_666_666_6e-1,
        0.5,
        1.0,
    ];
    let k = (value * std::f64::consts::LOG2_E).round_ties_even();
    let rest = (-k).mul_add(LN2_UPPER, value);
    let rest = (-k).mul_add(LN2_LOWER, rest) / 16.0;
    let series = TAYLOR.into_iter().reduce(|sum, next| sum.mul_add(rest, next));
    let mut less_one = rest * series.unwrap_or(1.0);
    // (1 + x)² - 1 = x × (x + 2): four times for the division by 16.
    for _ in 0..3 {
        less_one *= less_one + 2.0;
    }
    (less_one + 2.0).mul_add(less_one, 1.0) * 2f64.powi(k as i32)
}

/// `base` to the power of `exponent`: by squaring for the whole part of the exponent.
pub fn pow(base: f64, exponent: f64) -> f64 {
    let is_usual = base.is_finite() && exponent.is_finite() && base != 0.0 && exponent != 0.0;
    let (mut fraction, mut whole) = (exponent.abs().fract(), exponent.abs().trunc());
    if !is_usual || base == 1.0 || (fraction != 0.0 && base < 0.0) || whole >= 2f64.powi(53) {
        return base.powf(exponent);
    }
    if exponent == 0.5 {
        return base.sqrt();
    }
    if exponent == -0.5 {
        return 1.0 / base.sqrt();
    }
    let mut result = (1.0, 0_i64);
    if fraction != 0.0 {
        if fraction > 0.5 {
            fraction -= 1.0;
            whole += 1.0;
        }
        result.0 = exp(fraction * ln(base));
    }
    let (mut factor, factor_exponent) = split(base);
    let mut factor_exponent = i64::from(factor_exponent);
    // Below 2^53.
    let mut left = whole as u64;
    while left != 0 {
        if factor_exponent.abs() > 1 << 12 {
            result.1 += factor_exponent;
            break;
        }
        if left & 1 == 1 {
            result.0 *= factor;
            result.1 += factor_exponent;
        }
        factor *= factor;
        factor_exponent <<= 1;
        if factor < 0.5 {
            factor += factor;
            factor_exponent -= 1;
        }
        left >>= 1;
    }
    if exponent < 0.0 {
        result = (1.0 / result.0, -result.1);
    }
    scaled(result.0, result.1)
}

/// `value` as a fraction from 0.5 to below 1 and an exponent of 2.
fn split(value: f64) -> (f64, i32) {
    const BIAS: i32 = 1022;
    let is_subnormal = value.abs() < f64::MIN_POSITIVE;
    let (value, shift) = if is_subnormal { (value * 2f64.powi(52), -52) } else { (value, 0) };
    let bits = value.to_bits();
    let exponent = i32::try_from((bits >> 52) & 0x7ff).unwrap_or(0) - BIAS + shift;
    (f64::from_bits((bits & !(0x7ff << 52)) | (1022 << 52)), exponent)
}

/// `value × 2^exponent`, rounded once.
fn scaled(value: f64, exponent: i64) -> f64 {
    let exponent = i32::try_from(exponent.clamp(-2200, 2200)).unwrap_or(0);
    let steps = [exponent.clamp(-1000, 1000), (exponent - exponent.clamp(-1000, 1000))];
    let rest = steps[1].clamp(-1000, 1000);
    let last = steps[1] - rest;
    // Results below the normal range lose bits only in the last step that leaves it.
    value * 2f64.powi(steps[0]) * 2f64.powi(rest) * 2f64.powi(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_digit_is_the_one_that_go_gives() {
        assert_eq!(ln(3.0) / ln(2.0), 1.584962500721156);
        assert_eq!(ln(8.0) / ln(3.0), 1.8927892607143724);
        assert_eq!(ln(3.0) / ln(1.0 / 3.0), -0.9999999999999998);
        assert_eq!(pow(1.0 / 3.0, 3.0), 0.037037037037037035);
        assert_eq!(pow(1e30, 3.0), 1.0000000000000002e90);
        assert_eq!(pow(7.0, 255.0), 3.1622791429229265e215);
        assert_eq!(pow(7.0, -0.5), 0.3779644730092272);
        assert_eq!([pow(10.0, 0.1), pow(2.0, 0.3)], [1.2589254117941673, 1.2311444133449163]);
        assert_eq!([pow(5.0, 1.7), pow(3.0, -2.4)], [15.42584656800024, 0.0715993349974727]);
        assert_eq!([pow(2.0, 10.0), pow(-2.0, 3.0), pow(2.0, -1.0)], [1024.0, -8.0, 0.5]);
        assert_eq!([pow(0.0, 0.0), pow(0.0, 2.0), pow(9.0, 0.5)], [1.0, 0.0, 3.0]);
        assert!(pow(-8.0, 1.0 / 3.0).is_nan() && pow(10.0, 400.0).is_infinite());
    }
}
