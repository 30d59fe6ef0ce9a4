//! How else a secret may be written. Whoever prints one seldom means to: it stands in a URL, in a
//! header, in a traced command, in JSON. Each form is masked as the secret itself is.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::weak::Weakness;

/// A secret is looked for in pieces of so many bytes, so that what must be kept of a stream is
/// bounded.
const PIECE: usize = 1024;

/// So many bytes of a piece are also in the next one: encoded, a piece has ragged ends.
const OVERLAP: usize = 24;

/// What is longer is a file: its lines are masked, in no other form.
const LONGEST_ENCODED: usize = 16 * 1024;

/// Of what is longer, only so much is masked.
const LONGEST: usize = 256 * 1024;

/// The lengths at which encoders of Base64 break lines.
const WRAPS: [usize; 2] = [64, 76];

/// The texts that `secret` consists of, each worth masking: all of it, its lines, and what is left
/// of them where control characters are taken out.
pub(super) fn texts(secret: &str) -> BTreeSet<String> {
    let secret = &secret[..secret.floor_char_boundary(LONGEST)];
    let mut texts = BTreeSet::new();
    let unix = secret.replace("\r\n", "\n");
    for whole in [secret, &unix] {
        if Weakness::of(whole).is_none() {
            texts.insert(whole.trim().to_owned());
        }
    }
    let lines = unix.lines();
    let is_one_line = lines.clone().nth(1).is_none();
    for line in lines {
        let printable: String = line.chars().filter(|next| is_printed(*next)).collect();
        let parts = line.split(|next| !is_printed(next));
        for part in [line, &printable].into_iter().chain(parts).map(str::trim) {
            let is_all = is_one_line && part.len() == line.trim().len();
            let weakness = if is_all { Weakness::of(part) } else { Weakness::of_line(part) };
            if weakness.is_none() {
                texts.insert(part.to_owned());
            }
        }
    }
    texts
}

/// Whether `next` stays where guests' lines are shown.
fn is_printed(next: char) -> bool {
    !next.is_control() || next == '\t'
}

/// All that is looked for because of `text`: itself first.
pub(super) fn patterns(text: &str) -> BTreeSet<String> {
    let mut found: BTreeSet<String> = pieces(text).map(str::to_owned).collect();
    if text.len() <= LONGEST_ENCODED {
        for piece in pieces(text) {
            found.extend(encoded(piece));
            found.extend(quoted(piece));
        }
        found.extend(wrapped(text));
    }
    found.retain(|form| Weakness::of(form).is_none());
    found
}

/// `text` in pieces that overlap.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = text.floor_char_boundary(PIECE);
        let next = text.floor_char_boundary(PIECE - OVERLAP);
        rest = (end < text.len()).then(|| &text[next..]);
        Some(&text[..end])
    })
}

/// The forms that are not made for people to read.
fn encoded(text: &str) -> Vec<String> {
    let hex = hex::encode(text);
    let mut forms = vec![hex.to_uppercase(), hex, text.chars().rev().collect()];
    for offset in 0..3 {
        for form in base64_at(text.as_bytes(), offset) {
            forms.push(form.replace('+', "-").replace('/', "_"));
            forms.push(form);
        }
    }
    forms
}

/// What stands in Base64 where `bytes` begin `offset` bytes into a group of three: what is the same
/// whatever follows; and with the end of the text behind it, padded and not.
fn base64_at(bytes: &[u8], offset: usize) -> [String; 3] {
    let mut shifted = vec![0; offset];
    shifted.extend(bytes);
    let padded = STANDARD.encode(&shifted);
    // The characters in which the bytes before have a part.
    let own = &padded[(offset * 8).div_ceil(6)..];
    let bare = own.trim_end_matches('=');
    let certain = shifted.len() * 8 / 6 - (offset * 8).div_ceil(6);
    [bare[..certain].to_owned(), bare.to_owned(), own.to_owned()]
}

/// The lines of `text` in Base64, as encoders break them.
fn wrapped(text: &str) -> Vec<String> {
    let encoded = STANDARD.encode(text);
    let long = WRAPS.into_iter().filter(|wrap| encoded.len() > *wrap);
    let lines = long.flat_map(|wrap| encoded.as_bytes().chunks(wrap));
    lines.map(|line| String::from_utf8_lossy(line).into_owned()).collect()
}

/// The forms in which texts stand within other languages.
fn quoted(text: &str) -> Vec<String> {
    let mut forms = Vec::new();
    forms.extend(in_json(text));
    forms.extend(in_urls(text));
    forms.extend(in_html(text));
    forms.extend(in_shells(text));
    forms
}

/// As JSON has it; with `<`, `>` and `&` as code points; and with all but ASCII as code points.
fn in_json(text: &str) -> Vec<String> {
    let Ok(quoted) = serde_json::to_string(text) else { return Vec::new() };
    // What stands between the quotes; a quote at either end of the text itself is written `\"`.
    let plain = quoted.get(1..quoted.len() - 1).unwrap_or(&quoted);
    let html = replaced(plain, |next| matches!(next, '<' | '>' | '&'), code_points);
    let ascii = replaced(plain, |next| !next.is_ascii(), code_points);
    let slashes = plain.replace('/', "\\/");
    vec![plain.to_owned(), html, ascii, slashes]
}

/// `\u00e9`; two of them for what is beyond 16 bits.
fn code_points(next: char) -> String {
    next.encode_utf16(&mut [0; 2]).iter().fold(String::new(), |mut all, unit| {
        // Writing to a string cannot fail.
        let _ = write!(all, "\\u{unit:04x}");
        all
    })
}

/// As different encoders of URLs have it, with digits in either case.
fn in_urls(text: &str) -> Vec<String> {
    const KEPT: [&str; 4] = ["-_.~", "-_.~/", "-_.~!*'()", "-_.*"];
    let percent = |next: char| -> String {
        next.encode_utf8(&mut [0; 4]).bytes().map(|byte| format!("%{byte:02X}")).collect()
    };
    let mut forms = Vec::new();
    for kept in KEPT {
        let is_plain = |next: char| next.is_ascii_alphanumeric() || kept.contains(next);
        let form = replaced(text, |next| !is_plain(next), percent);
        let lower = replaced(text, |next| !is_plain(next), |next| percent(next).to_lowercase());
        for form in [form, lower] {
            forms.push(form.replace("%20", "+"));
            forms.push(form);
        }
    }
    forms
}

/// As HTML and XML have it: what encoders do to quotes differs.
fn in_html(text: &str) -> Vec<String> {
    let base = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let mut forms = vec![base.clone()];
    for double in ["\"", "&quot;", "&#34;"] {
        for single in ["'", "&#39;", "&#x27;", "&apos;"] {
            forms.push(base.replace('"', double).replace('\'', single));
        }
    }
    // As our own summaries have it.
    let is_sign = |next: char| next.is_ascii_punctuation() && !"-.,/+=%?;".contains(next);
    forms.push(replaced(text, is_sign, |next| match next {
        '@' | '#' => format!("{next}\u{200b}"),
        next => format!("&#{};", u32::from(next)),
    }));
    forms
}

/// As shells quote it, and print it under `set -x`.
fn in_shells(text: &str) -> Vec<String> {
    let is_word = |next: char| next.is_alphanumeric() || "_@%+=:,./-".contains(next);
    let escaped = |next: char| format!("\\{next}");
    vec![
        text.replace('\'', "'\\''"),
        text.replace('\'', "'\"'\"'"),
        replaced(text, |next| "\"$`\\".contains(next), escaped),
        replaced(text, |next| "\"$`\\!".contains(next), escaped),
        replaced(text, |next| !is_word(next) && !next.is_control(), escaped),
        replaced(text, |next| next.is_control() || "'\\".contains(next), ansi_c),
    ]
}

/// A character within `$'…'`.
fn ansi_c(next: char) -> String {
    match next {
        '\n' => "\\n".to_owned(),
        '\t' => "\\t".to_owned(),
        '\r' => "\\r".to_owned(),
        '\u{1b}' => "\\E".to_owned(),
        next if next.is_control() => format!("\\{:03o}", u32::from(next)),
        next => format!("\\{next}"),
    }
}

/// `text` with each character that `is_special` written as `form` has it.
fn replaced(
    text: &str,
    is_special: impl Fn(char) -> bool,
    form: impl Fn(char) -> String,
) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut all, next| {
        match is_special(next) {
            true => all.push_str(&form(next)),
            false => all.push(next),
        }
        all
    })
}
