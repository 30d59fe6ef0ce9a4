//! Decimal digits: the exponent of a number that is read, and the fewest digits that name one.

/// Between `below` and `above`, the shortest digits nearest to `middle` (all of one width).
pub fn round_shortest([middle, below, above]: &[String; 3], inclusive: bool) -> String {
    let (middle, below, above) = (middle.as_bytes(), below.as_bytes(), above.as_bytes());
    let last = |text: &[u8]| text.iter().rposition(|&digit| digit != b'0').map_or(0, |at| at + 1);
    let (middle_end, below_end, above_end) = (last(middle), last(below), last(above));
    for at in 0..middle_end {
        let (m, l, u) = (middle[at], below[at], above[at]);
        let okay_down = l != m || (inclusive && at + 1 == below_end);
        let okay_up = m != u && (inclusive || m + 1 < u || at + 1 < above_end);
        let kept = || String::from_utf8_lossy(&middle[..=at]).into_owned();
        match (okay_down, okay_up) {
            (true, true) => {
                return if rounds_up(middle, at + 1, middle_end) {
                    increment(kept(), middle.len())
                } else {
                    pad(kept(), middle.len())
                };
            }
            (true, false) => return pad(kept(), middle.len()),
            (false, true) => return increment(kept(), middle.len()),
            (false, false) => {}
        }
    }
    String::from_utf8_lossy(middle).into_owned()
}

/// Whether digits cut off at `at` round up: half to even.
fn rounds_up(digits: &[u8], at: usize, end: usize) -> bool {
    if at >= end {
        return false;
    }
    if digits[at] == b'5' && at + 1 == end {
        return at > 0 && (digits[at - 1] - b'0') % 2 == 1;
    }
    digits[at] >= b'5'
}

fn pad(digits: String, width: usize) -> String {
    let zeros = "0".repeat(width.saturating_sub(digits.len()));
    digits + &zeros
}

/// The next larger digits of the same length, padded to `width` (one longer after an overflow).
fn increment(digits: String, width: usize) -> String {
    let mut bytes = digits.into_bytes();
    for digit in bytes.iter_mut().rev() {
        if *digit == b'9' {
            *digit = b'0';
        } else {
            *digit += 1;
            return pad(String::from_utf8_lossy(&bytes).into_owned(), width);
        }
    }
    format!("1{}", pad(String::from_utf8_lossy(&bytes).into_owned(), width))
}

/// Removes zeros at both ends.
pub fn trim_digits(digits: String, point: i64) -> (String, i64) {
    let leading = digits.len() - digits.trim_start_matches('0').len();
    let trimmed = digits.trim_matches('0').to_owned();
    (trimmed, point - i64::try_from(leading).unwrap_or(0))
}

/// The number after an `e`.
pub fn parse_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // An exponent too large for 64 bits is as good as the largest.
    let magnitude: i64 = digits.parse().unwrap_or(i64::MAX / 4).min(i64::MAX / 4);
    Some(if text.starts_with('-') { -magnitude } else { magnitude })
}
