//! Base64, URLs and character encodings.

use std::io::Write;

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, PAD, STANDARD};
use encoding_rs::Encoding;

use super::{Call, CallError, Function, Outcome, Param, Want};
use crate::eval::value::Value;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new(
        "base64decode",
        "The text that Base64 stands for.",
        &[Param::string("str")],
        base64decode,
    )
    .result(Want::String),
    Function::new("base64encode", "The text in Base64.", &[Param::string("str")], |call| {
        Ok(Value::string(STANDARD.encode(call.text(0))))
    })
    .result(Want::String),
    Function::new(
        "base64gzip",
        "The text, compressed with gzip, in Base64.",
        &[Param::string("str")],
        base64gzip,
    )
    .result(Want::String),
    Function::new(
        "textdecodebase64",
        "The text that Base64 stands for in a character encoding.",
        &[Param::string("source"), Param::string("encoding")],
        textdecodebase64,
    )
    .result(Want::String),
    Function::new(
        "textencodebase64",
        "The text in a character encoding, in Base64.",
        &[Param::string("string"), Param::string("encoding")],
        textencodebase64,
    )
    .result(Want::String),
    Function::new(
        "urlencode",
        "The text as it stands in the query of a URL.",
        &[Param::string("str")],
        |call| Ok(Value::string(url_escape(call.text(0)))),
    )
    .result(Want::String),
];

/// What does not fit into whole bytes at the end is dropped.
const LENIENT: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, PAD.with_decode_allow_trailing_bits(true));

/// The bytes that `text` stands for. Line breaks are no part of the data.
fn decode(text: &str) -> Result<Vec<u8>, base64::DecodeError> {
    LENIENT.decode(text.replace(['\r', '\n'], ""))
}

fn base64decode(call: &Call<'_>) -> Outcome {
    let text = call.text(0);
    let bytes = decode(text)
        .map_err(|_| CallError::failed(format!("failed to decode base64 data '{text}'")))?;
    let text = String::from_utf8(bytes).map_err(|_| {
        CallError::failed("the result of decoding the the provided string is not valid UTF-8")
    })?;
    Ok(Value::string(text))
}

fn base64gzip(call: &Call<'_>) -> Outcome {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let bytes = encoder
        .write_all(call.text(0).as_bytes())
        .and_then(|()| encoder.finish())
        .map_err(CallError::failed)?;
    Ok(Value::string(STANDARD.encode(bytes)))
}

/// As in a query: a blank is `+`, and letters, digits and `-_.~` stay.
fn url_escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(char::from(byte));
            }
            b' ' => escaped.push('+'),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// Encodings by their IANA names. The Encoding Standard reads Latin-1 and ASCII as windows-1252,
/// and does not write UTF-16, so those are done here.
enum Charset {
    Ascii,
    Latin1,
    Utf16 { big_endian: bool, mark: bool },
    Other(&'static Encoding),
}

impl Charset {
    fn find(name: &str) -> Option<Self> {
        /// Labels of the Encoding Standard that IANA has not registered.
        const UNREGISTERED: &[&str] = &[
            "ascii",
            "cn-big5",
            "dos-874",
            "gb2312",
            "koi",
            "koi8",
            "koi8_r",
            "korean",
            "l9",
            "latin9",
            "logical",
            "replacement",
            "shift-jis",
            "sjis",
            "tis-620",
            "utf8",
            "visual",
            "windows-31j",
            "windows-949",
            "chinese",
            "sun_eu_greek",
            "big5-hkscs",
        ];
        const UNREGISTERED_STARTS: &[&str] =
            &["cp125", "x-", "iso8859", "unicode", "ks", "ms9", "gb_", "csgb", "csksc"];
        let name = name.trim().to_ascii_lowercase();
        let is_registered = !UNREGISTERED.contains(&name.as_str())
            && !UNREGISTERED_STARTS.iter().any(|start| name.starts_with(start));
        Some(match name.as_str() {
            _ if !is_registered => return None,
            "us-ascii" | "us" | "iso646-us" | "cp367" | "csascii" => Self::Ascii,
            "iso-8859-1" | "iso_8859-1" | "iso_8859-1:1987" | "latin1" | "l1" => Self::Latin1,
            "utf-16" => Self::Utf16 { big_endian: true, mark: true },
            "utf-16be" => Self::Utf16 { big_endian: true, mark: false },
            "utf-16le" => Self::Utf16 { big_endian: false, mark: false },
            _ => Self::Other(Encoding::for_label(name.as_bytes())?),
        })
    }

    /// The name in IANA's registry, for errors.
    fn name(&self) -> &'static str {
        match self {
            Self::Ascii => "US-ASCII",
            Self::Latin1 => "ISO_8859-1:1987",
            Self::Utf16 { mark: true, .. } => "UTF-16",
            Self::Utf16 { big_endian: true, .. } => "UTF-16BE",
            Self::Utf16 { .. } => "UTF-16LE",
            Self::Other(encoding) => encoding.name(),
        }
    }

    fn encode(&self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Ascii | Self::Latin1 => {
                let limit = if matches!(self, Self::Ascii) { 0x7f } else { 0xff };
                let byte = |character| u8::try_from(u32::from(character)).ok();
                text.chars().map(|c| byte(c).filter(|byte| *byte <= limit)).collect()
            }
            Self::Utf16 { big_endian, mark } => {
                let mark = mark.then_some(0xfeff);
                let bytes = |unit: u16| match big_endian {
                    true => unit.to_be_bytes(),
                    false => unit.to_le_bytes(),
                };
                Some(mark.into_iter().chain(text.encode_utf16()).flat_map(bytes).collect())
            }
            Self::Other(encoding) => match encoding.encode(text) {
                (bytes, _, false) => Some(bytes.into_owned()),
                _ => None,
            },
        }
    }

    fn decode(&self, bytes: &[u8]) -> Option<String> {
        match self {
            Self::Ascii if bytes.is_ascii() => String::from_utf8(bytes.to_vec()).ok(),
            Self::Ascii => None,
            Self::Latin1 => Some(bytes.iter().map(|byte| char::from(*byte)).collect()),
            Self::Utf16 { big_endian, mark } => decode_utf16(bytes, *big_endian, *mark),
            Self::Other(encoding) => {
                let text = encoding.decode_without_bom_handling_and_without_replacement(bytes)?;
                Some(text.into_owned())
            }
        }
    }
}

/// A byte-order mark decides where `mark` says that there may be one.
fn decode_utf16(bytes: &[u8], big_endian: bool, mark: bool) -> Option<String> {
    let (bytes, big_endian) = match bytes {
        [0xfe, 0xff, rest @ ..] if mark => (rest, true),
        [0xff, 0xfe, rest @ ..] if mark => (rest, false),
        _ => (bytes, big_endian),
    };
    if bytes.len() % 2 == 1 {
        return None;
    }
    let unit = |pair: &[u8]| match big_endian {
        true => u16::from_be_bytes([pair[0], pair[1]]),
        false => u16::from_le_bytes([pair[0], pair[1]]),
    };
    let units: Vec<u16> = bytes.chunks_exact(2).map(unit).collect();
    String::from_utf16(&units).ok()
}

fn charset(call: &Call<'_>) -> Result<Charset, CallError> {
    let name = call.text(1);
    Charset::find(name).ok_or_else(|| {
        let cause = format!("{name:?} is not a supported IANA encoding name or alias");
        CallError::argument(1, cause)
    })
}

fn textencodebase64(call: &Call<'_>) -> Outcome {
    let charset = charset(call)?;
    let bytes = charset.encode(call.text(0)).ok_or_else(|| {
        let cause = format!(
            "the given string contains characters that cannot be represented in {}",
            charset.name()
        );
        CallError::argument(0, cause)
    })?;
    Ok(Value::string(STANDARD.encode(bytes)))
}

fn textdecodebase64(call: &Call<'_>) -> Outcome {
    let charset = charset(call)?;
    let bytes = decode(call.text(0)).map_err(|error| {
        let offset = match error {
            base64::DecodeError::InvalidByte(at, _)
            | base64::DecodeError::InvalidLastSymbol(at, _) => at,
            _ => call.text(0).len() / 4 * 4,
        };
        let cause = format!("the given value is has an invalid base64 symbol at offset {offset}");
        CallError::argument(0, cause)
    })?;
    let text = charset.decode(&bytes).ok_or_else(|| {
        let cause = format!(
            "the given string contains symbols that are not defined for {}",
            charset.name()
        );
        CallError::argument(0, cause)
    })?;
    Ok(Value::string(text))
}
