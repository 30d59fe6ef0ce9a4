//! MessagePack as Go programs write it: values read from a stream, and taken apart.

use std::io;

use rmp::encode;
use rmpv::Value;
use serde_json::{Map, Number, Value as Json};
use tokio::io::{AsyncBufRead, AsyncReadExt as _};

/// The longest value that is taken from a plugin.
const LONGEST: usize = 64 * 1024 * 1024;

/// How deep values may be nested.
const DEEPEST: usize = 128;

/// Reads the next value.
pub async fn read(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Value> {
    let mut bytes = Vec::new();
    let mut missing: u64 = 1;
    while missing > 0 {
        missing -= 1;
        let (payload, children) = head(from, &mut bytes).await?;
        missing = missing.saturating_add(children);
        // Each needs a byte at least, so what cannot fit is known before it comes.
        let least = (bytes.len() as u64).saturating_add(payload).saturating_add(missing);
        if least > LONGEST as u64 {
            return Err(invalid(format!("a value is longer than {LONGEST} bytes")));
        }
        from.take(payload).read_to_end(&mut bytes).await?;
    }
    let mut rest = bytes.as_slice();
    let value = rmpv::decode::read_value_with_max_depth(&mut rest, DEEPEST)
        .map_err(|error| invalid(error.to_string()))?;
    Ok(value)
}

fn invalid(error: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Reads what comes before a value's content: how many bytes of content follow, and how many values.
async fn head(
    from: &mut (impl AsyncBufRead + Unpin),
    bytes: &mut Vec<u8>,
) -> io::Result<(u64, u64)> {
    let marker = from.read_u8().await?;
    bytes.push(marker);
    Ok(match marker {
        0x00..=0x7f | 0xc0..=0xc3 | 0xe0..=0xff => (0, 0),
        0x80..=0x8f => (0, 2 * u64::from(marker & 0x0f)),
        0x90..=0x9f => (0, u64::from(marker & 0x0f)),
        0xa0..=0xbf => (u64::from(marker & 0x1f), 0),
        0xc4 | 0xd9 => (length(from, bytes, 1).await?, 0),
        0xc5 | 0xda => (length(from, bytes, 2).await?, 0),
        0xc6 | 0xdb => (length(from, bytes, 4).await?, 0),
        0xc7 => (length(from, bytes, 1).await? + 1, 0),
        0xc8 => (length(from, bytes, 2).await? + 1, 0),
        0xc9 => (length(from, bytes, 4).await? + 1, 0),
        0xcc | 0xd0 => (1, 0),
        0xcd | 0xd1 => (2, 0),
        0xca | 0xce | 0xd2 => (4, 0),
        0xcb | 0xcf | 0xd3 => (8, 0),
        // A fixed extension: its type, and 1, 2, 4, 8 or 16 bytes.
        0xd4..=0xd8 => (1 + (1 << (marker - 0xd4)), 0),
        0xdc => (0, length(from, bytes, 2).await?),
        0xdd => (0, length(from, bytes, 4).await?),
        0xde => (0, 2 * length(from, bytes, 2).await?),
        0xdf => (0, 2 * length(from, bytes, 4).await?),
    })
}

async fn length(
    from: &mut (impl AsyncBufRead + Unpin),
    bytes: &mut Vec<u8>,
    size: usize,
) -> io::Result<u64> {
    let start = bytes.len();
    bytes.resize(start + size, 0);
    from.read_exact(&mut bytes[start..]).await?;
    Ok(bytes[start..].iter().fold(0, |length, byte| length << 8 | u64::from(*byte)))
}

/// `values` one after the other.
pub fn write(values: &[Value]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for value in values {
        // Memory takes all that it is given.
        let _ = put(&mut bytes, value);
    }
    bytes
}

/// Writes `value` the way that Go does, which is not the shortest: what a plugin reads into a value of
/// any type is an `int64` only where it was written with a sign, and text only where it was a string.
fn put(to: &mut Vec<u8>, value: &Value) -> Result<(), rmpv::encode::Error> {
    match value {
        Value::Integer(number) => match number.as_i64() {
            Some(number) => put_signed(to, number)?,
            None => rmpv::encode::write_value(to, value)?,
        },
        Value::String(text) => {
            encode::write_str_len(to, count(text.as_bytes().len()))?;
            to.extend_from_slice(text.as_bytes());
        }
        Value::Array(items) => {
            encode::write_array_len(to, count(items.len()))?;
            items.iter().try_for_each(|item| put(to, item))?;
        }
        Value::Map(entries) => {
            encode::write_map_len(to, count(entries.len()))?;
            entries
                .iter()
                .try_for_each(|(key, value)| put(to, key).and_then(|()| put(to, value)))?;
        }
        _ => rmpv::encode::write_value(to, value)?,
    }
    Ok(())
}

fn put_signed(to: &mut Vec<u8>, number: i64) -> Result<(), rmpv::encode::Error> {
    // What fits one byte with its sign has the same form by both ways.
    if i8::try_from(number).is_ok() {
        return rmpv::encode::write_value(to, &number.into());
    }
    match (i16::try_from(number), i32::try_from(number)) {
        (Ok(number), _) => encode::write_i16(to, number)?,
        (_, Ok(number)) => encode::write_i32(to, number)?,
        _ => encode::write_i64(to, number)?,
    }
    Ok(())
}

/// A length; nothing that is sent has more than 4 GiB.
fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// A struct of Go: its fields by name.
pub fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Map(fields.into_iter().map(|(name, value)| (name.into(), value)).collect())
}

/// The field `name` of a struct; `None` also where it is nil.
pub fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let fields = value.as_map()?;
    let (_, value) = fields.iter().find(|(key, _)| key.as_str() == Some(name))?;
    (!value.is_nil()).then_some(value)
}

/// A string, which may hold bytes that are no UTF-8.
pub fn text(value: &Value) -> Option<String> {
    let bytes = match value {
        Value::String(text) => text.as_bytes(),
        Value::Binary(bytes) => bytes,
        _ => return None,
    };
    Some(String::from_utf8_lossy(bytes).into_owned())
}

/// The string in the field `name`; empty where there is none.
pub fn text_in(value: &Value, name: &str) -> String {
    field(value, name).and_then(text).unwrap_or_default()
}

/// The strings in a list; none where it is nil.
pub fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(text).collect()
}

/// The number of a channel in the field `name`; 0 where there is none.
pub fn id_in(value: &Value, name: &str) -> u32 {
    field(value, name).map_or(0, id)
}

/// The number of a channel.
pub fn id(value: &Value) -> u32 {
    value.as_u64().and_then(|id| u32::try_from(id).ok()).unwrap_or_default()
}

/// The text of an error that is a field: a nil, or a struct with a message.
pub fn error_in(value: &Value, name: &str) -> Option<String> {
    field(value, name).map(|error| text_in(error, "Message"))
}

/// The same as JSON. What JSON has no word for becomes a text or null.
pub fn to_json(value: &Value) -> Json {
    match value {
        Value::Nil | Value::Ext(..) => Json::Null,
        Value::Boolean(value) => Json::Bool(*value),
        Value::Integer(number) => number
            .as_i64()
            .map(Number::from)
            .or_else(|| number.as_u64().map(Number::from))
            .map_or(Json::Null, Json::Number),
        Value::F32(number) => Number::from_f64(f64::from(*number)).map_or(Json::Null, Json::Number),
        Value::F64(number) => Number::from_f64(*number).map_or(Json::Null, Json::Number),
        Value::String(_) | Value::Binary(_) => Json::String(text(value).unwrap_or_default()),
        Value::Array(items) => Json::Array(items.iter().map(to_json).collect()),
        Value::Map(entries) => Json::Object(
            entries
                .iter()
                .filter_map(|(key, value)| Some((text(key)?, to_json(value))))
                .collect::<Map<_, _>>(),
        ),
    }
}

/// The same from JSON.
pub fn from_json(value: &Json) -> Value {
    match value {
        Json::Null => Value::Nil,
        Json::Bool(value) => Value::Boolean(*value),
        Json::Number(number) => number
            .as_i64()
            .map(Value::from)
            .or_else(|| number.as_u64().map(Value::from))
            .or_else(|| number.as_f64().map(Value::from))
            .unwrap_or(Value::Nil),
        Json::String(text) => text.as_str().into(),
        Json::Array(items) => Value::Array(items.iter().map(from_json).collect()),
        Json::Object(entries) => Value::Map(
            entries.iter().map(|(key, value)| (key.as_str().into(), from_json(value))).collect(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn values_are_read_one_after_the_other_whatever_their_form() {
        let value =
            json!({"a": [1, -1, 300, 70000, 1.5, true, null], "b": {"c": "x".repeat(70000)}});
        let first = from_json(&value);
        let second = Value::Ext(-1, vec![0; 12]);
        let mut bytes = write(&[first.clone(), second.clone()]);
        bytes.extend([0xda, 0, 2, 0xff, b'x']);
        let mut from = bytes.as_slice();
        assert_eq!(read(&mut from).await.unwrap(), first);
        assert_eq!(read(&mut from).await.unwrap(), second);
        assert_eq!(text(&read(&mut from).await.unwrap()).unwrap(), "\u{fffd}x");
        assert!(read(&mut from).await.is_err());
        assert_eq!(to_json(&first), value);
    }

    #[test]
    fn numbers_have_a_sign_and_texts_are_texts_as_go_programs_expect_it() {
        let cases: [(Value, &[u8]); 9] = [
            (127.into(), &[0x7f]),
            (128.into(), &[0xd1, 0x00, 0x80]),
            (2222.into(), &[0xd1, 0x08, 0xae]),
            (40_000.into(), &[0xd2, 0, 0, 0x9c, 0x40]),
            (3_000_000_000_u64.into(), &[0xd3, 0, 0, 0, 0, 0xb2, 0xd0, 0x5e, 0]),
            (u64::MAX.into(), &[0xcf, 255, 255, 255, 255, 255, 255, 255, 255]),
            ((-1).into(), &[0xff]),
            ((-129).into(), &[0xd1, 0xff, 0x7f]),
            (read_back(&[0xa1, 0xff]), &[0xa1, 0xff]),
        ];
        for (value, bytes) in cases {
            let within = Value::Array(vec![object([("a", value.clone())])]);
            assert_eq!(write(std::slice::from_ref(&value)), bytes, "{value}");
            assert!(write(&[within]).ends_with(bytes), "{value} in a list");
        }
    }

    fn read_back(mut bytes: &[u8]) -> Value {
        rmpv::decode::read_value(&mut bytes).unwrap()
    }

    #[tokio::test]
    async fn a_length_that_nobody_will_send_is_refused_at_once() {
        for endless in [[0xdb, 0xff, 0xff, 0xff, 0xff], [0xdf, 0xff, 0xff, 0xff, 0xff]] {
            let error = read(&mut endless.as_slice()).await.unwrap_err();
            assert!(error.to_string().contains("longer than"), "{error}");
        }
    }
}
