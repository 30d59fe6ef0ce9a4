//! Options and values of plugins from before 2025: what a gob stream says of them.

use serde_json::{Map, Number, Value as Json};

use super::gob::{self, Gob};
use super::spec::{Item, Spec, Type};

/// Reads the options of a component.
pub fn spec(bytes: &[u8]) -> Result<Spec, String> {
    attributes(&gob::read(bytes)?)
}

fn attributes(value: &Gob) -> Result<Spec, String> {
    let value = match value {
        Gob::Interface(_, inner) => inner,
        other => other,
    };
    let Gob::Map(entries) = value else { return Err("its options are no map".to_owned()) };
    let entry =
        |(name, value): &(Gob, Gob)| Ok((name.text().ok_or("a name is no text")?, item(value)?));
    let mut spec: Spec = entries.iter().map(entry).collect::<Result<_, String>>()?;
    spec.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(spec)
}

fn item(value: &Gob) -> Result<Item, String> {
    let Gob::Interface(name, value) = value else { return Err("an option is empty".to_owned()) };
    let nested = || attributes(value.field("Nested").ok_or("a block has no options")?);
    Ok(match name.rsplit('.').next() {
        Some("AttrSpec") => Item::Argument {
            ty: ty(value.field("Type").ok_or("an option has no type")?)?,
            required: value.field("Required") == Some(&Gob::Bool(true)),
        },
        Some("BlockSpec") => Item::Block(nested()?),
        Some("BlockListSpec") => Item::Blocks(nested()?),
        _ => return Err(format!("an option is of the unknown kind `{name}`")),
    })
}

/// What a type or value that writes itself has written: a stream in the stream.
fn inner(value: &Gob) -> Result<Gob, String> {
    match value {
        Gob::Bytes(bytes) => gob::read(bytes),
        _ => Err("a type is no stream of its own".to_owned()),
    }
}

fn ty(value: &Gob) -> Result<Type, String> {
    let value = inner(value)?;
    let Some(Gob::Interface(name, value)) = value.field("Impl") else {
        return Err("a type is empty".to_owned());
    };
    let element = || {
        let of = value.field("ElementTypeT").ok_or("a collection has no type of its elements")?;
        ty(of).map(Box::new)
    };
    Ok(match name.rsplit('.').next() {
        Some("primitiveType") => match value.field("Kind") {
            Some(Gob::Int(83) | Gob::Uint(83)) => Type::String,
            Some(Gob::Int(78) | Gob::Uint(78)) => Type::Number,
            Some(Gob::Int(66) | Gob::Uint(66)) => Type::Bool,
            _ => return Err("a type is unknown".to_owned()),
        },
        Some("pseudoTypeDynamic") => Type::Any,
        Some("typeList") => Type::List(element()?),
        Some("typeSet") => Type::Set(element()?),
        Some("typeMap") => Type::Map(element()?),
        Some("typeTuple") => match value.field("ElemTypes") {
            Some(Gob::List(types)) => Type::Tuple(types.iter().map(ty).collect::<Result<_, _>>()?),
            _ => Type::Tuple(Vec::new()),
        },
        Some("typeObject") => match value.field("AttrTypes") {
            Some(Gob::Map(fields)) => {
                let field = |(name, of): &(Gob, Gob)| {
                    Ok((name.text().ok_or("a name is no text")?, ty(of)?))
                };
                Type::Object(fields.iter().map(field).collect::<Result<_, String>>()?)
            }
            _ => Type::Object(Vec::new()),
        },
        _ => return Err(format!("the type `{name}` is unknown")),
    })
}

/// Reads what a data source answers: its type and its value.
pub fn value(bytes: &[u8]) -> Result<(Type, Json), String> {
    let mut read = gob::read(bytes)?;
    // A value that writes itself is a stream in a stream.
    while let Gob::Bytes(inner) = &read {
        read = gob::read(inner)?;
    }
    let of = ty(read.field("Ty").ok_or("a value has no type")?)?;
    let value = read.field("V").map_or(Ok(Json::Null), plain)?;
    Ok((of, value))
}

fn plain(value: &Gob) -> Result<Json, String> {
    let Gob::Interface(name, value) = value else { return Ok(Json::Null) };
    Ok(match (name.as_str(), &**value) {
        ("string", value) => Json::String(value.text().unwrap_or_default()),
        ("bool", Gob::Bool(value)) => Json::Bool(*value),
        ("*math/big.Float" | "math/big.Float", Gob::Bytes(bytes)) => number(bytes)?,
        (_, Gob::Map(entries)) => {
            let entry = |(key, value): &(Gob, Gob)| {
                Ok((key.text().ok_or("a key is no text")?, plain(value)?))
            };
            Json::Object(entries.iter().map(entry).collect::<Result<Map<_, _>, String>>()?)
        }
        (_, Gob::List(items)) => {
            Json::Array(items.iter().map(plain).collect::<Result<_, String>>()?)
        }
        (other, _) => return Err(format!("a value of the unknown type `{other}`")),
    })
}

/// `big.Float`: a version, flags, the precision, the exponent, and the digits of a number between a
/// half and one.
fn number(bytes: &[u8]) -> Result<Json, String> {
    const ZERO: u8 = 0;
    const FINITE: u8 = 1;
    let [1, flags, rest @ ..] = bytes else { return Err("a number of another version".to_owned()) };
    let form = flags >> 1 & 3;
    if form == ZERO {
        return Ok(Json::from(0));
    }
    let exponent = rest.get(4..8).and_then(|four| four.try_into().ok()).map(i32::from_be_bytes);
    let (FINITE, Some(exponent)) = (form, exponent) else {
        return Err("a number without end".to_owned());
    };
    let digits = rest.get(8..).unwrap_or_default();
    let mantissa = digits.iter().rev().fold(0.0, |sum, digit| (sum + f64::from(*digit)) / 256.0);
    let value = mantissa * f64::from(exponent).exp2() * if flags & 1 == 1 { -1.0 } else { 1.0 };
    let whole = value as i64;
    let number = match whole as f64 == value && whole.unsigned_abs() < 1 << 53 {
        true => Some(Number::from(whole)),
        false => Number::from_f64(value),
    };
    number.map(Json::Number).ok_or_else(|| "a number that is too large".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_go_writes_them() {
        let written = |flags: u8, exponent: i32, digits: &[u8]| {
            let mut bytes = vec![1, flags, 0, 0, 2, 0];
            bytes.extend(exponent.to_be_bytes());
            bytes.extend(digits);
            number(&bytes).unwrap()
        };
        assert_eq!(written(0b10, 1, &[0x80]), 1);
        assert_eq!(written(0b11, 2, &[0xc0]), -3);
        assert_eq!(written(0b10, 0, &[0x80]), 0.5);
        assert_eq!(written(0b10, 17, &[0x88, 0xb8, 0]), 70000);
        assert_eq!(number(&[1, 0, 0, 0, 2, 0]).unwrap(), 0);
    }
}
