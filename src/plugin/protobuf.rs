//! The protobuf messages that a plugin describes its options with.
//!
//! There are eight small ones, and nothing else of the protocol is protobuf: so they are read by
//! hand, field by field.

use super::spec::{Item, Spec, Type};

/// How deep blocks and types may be nested.
const DEEPEST: usize = 32;

/// Reads the options of a component: a message `Spec` that is an object.
pub fn spec(bytes: &[u8]) -> Result<Spec, String> {
    match one_of(bytes)? {
        (1, object) => attributes(object, DEEPEST),
        (other, _) => Err(format!("its options are of the unknown kind {other}")),
    }
}

/// The fields of a message: their numbers, and bytes or numbers.
fn fields(mut bytes: &[u8]) -> Result<Vec<(u64, Field<'_>)>, String> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let value = match key & 7 {
            0 => Field::Number(varint(&mut bytes)?),
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).unwrap_or(usize::MAX);
                let (field, rest) = bytes.split_at_checked(length).ok_or(SHORT)?;
                bytes = rest;
                Field::Bytes(field)
            }
            other => return Err(format!("a field has the unknown wire type {other}")),
        };
        fields.push((key >> 3, value));
    }
    Ok(fields)
}

const SHORT: &str = "it ends in the middle";

#[derive(Clone, Copy)]
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn varint(bytes: &mut &[u8]) -> Result<u64, String> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or(SHORT)?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("a number is too long".to_owned())
}

/// The only field of a message that is one of several.
fn one_of(bytes: &[u8]) -> Result<(u64, &[u8]), String> {
    match fields(bytes)?.as_slice() {
        [(number, Field::Bytes(value))] => Ok((*number, value)),
        _ => Err("a message that is one of several has not one field".to_owned()),
    }
}

/// The bytes of field `number`; empty where it is not written.
fn bytes_of<'a>(fields: &[(u64, Field<'a>)], number: u64) -> &'a [u8] {
    let find = |(at, field): &(u64, Field<'a>)| match field {
        Field::Bytes(bytes) if *at == number => Some(*bytes),
        _ => None,
    };
    fields.iter().find_map(find).unwrap_or_default()
}

fn text_of(fields: &[(u64, Field<'_>)], number: u64) -> Result<String, String> {
    let bytes = bytes_of(fields, number);
    String::from_utf8(bytes.to_vec()).map_err(|_| "a name is no text".to_owned())
}

/// `Object`: a map from names to specs, whose entries come in any order.
fn attributes(bytes: &[u8], depth: usize) -> Result<Spec, String> {
    let depth = depth.checked_sub(1).ok_or("its options are nested too deeply")?;
    let mut spec = Spec::new();
    for (number, field) in fields(bytes)? {
        let (1, Field::Bytes(entry)) = (number, field) else { continue };
        let entry = fields(entry)?;
        spec.push((text_of(&entry, 1)?, item(bytes_of(&entry, 2), depth)?));
    }
    spec.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(spec)
}

fn item(bytes: &[u8], depth: usize) -> Result<Item, String> {
    let (kind, bytes) = one_of(bytes)?;
    let fields = fields(bytes)?;
    Ok(match kind {
        2 => {
            let is_true = |(number, field): &(u64, Field<'_>)| matches!((number, field), (3, Field::Number(value)) if *value != 0);
            let required = fields.iter().any(is_true);
            Item::Argument { ty: ty(bytes_of(&fields, 2), depth)?, required }
        }
        3 => Item::Block(nested(bytes_of(&fields, 3), depth)?),
        4 => Item::Blocks(nested(bytes_of(&fields, 2), depth)?),
        other => return Err(format!("an option is of the unknown kind {other}")),
    })
}

fn nested(bytes: &[u8], depth: usize) -> Result<Spec, String> {
    match one_of(bytes)? {
        (1, object) => attributes(object, depth),
        (other, _) => Err(format!("a block is of the unknown kind {other}")),
    }
}

/// `CtyType`: a primitive by its Go name, or a list or map of another type.
fn ty(bytes: &[u8], depth: usize) -> Result<Type, String> {
    let depth = depth.checked_sub(1).ok_or("a type is nested too deeply")?;
    let (kind, bytes) = one_of(bytes)?;
    let inner = fields(bytes)?;
    let element = || ty(bytes_of(&inner, 1), depth).map(Box::new);
    Ok(match kind {
        1 => match text_of(&inner, 1)?.as_str() {
            "cty.String" => Type::String,
            "cty.Number" => Type::Number,
            "cty.Bool" => Type::Bool,
            other => return Err(format!("the type `{other}` is unknown")),
        },
        2 => Type::List(element()?),
        3 => Type::Map(element()?),
        other => return Err(format!("a type is of the unknown kind {other}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_as_plugins_write_them() {
        let attribute = "0a0173120e0a0c0a0a6374792e537472696e671801";
        let spec_of = |attribute: &str| {
            let attr = format!("12{:02x}{attribute}", attribute.len() / 2);
            let entry = format!("0a017312{:02x}{attr}", attr.len() / 2);
            let object = format!("0a{:02x}{entry}", entry.len() / 2);
            hex::decode(format!("0a{:02x}{object}", object.len() / 2)).unwrap()
        };
        let bytes = spec_of(attribute);
        assert!(hex::encode(&bytes).starts_with("0a1e0a1c0a01731217"));
        let string = Item::Argument { ty: Type::String, required: true };
        assert_eq!(spec(&bytes).unwrap(), [("s".to_owned(), string)]);
        for length in 0..bytes.len() {
            assert!(spec(&bytes[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn a_type_that_nests_itself_without_end_is_refused() {
        let field = |key: u8, content: &[u8]| {
            let length = content.len();
            let mut bytes = vec![key, (length & 0x7f) as u8 | 0x80, (length >> 7) as u8];
            bytes.extend(content);
            bytes
        };
        let mut bytes = field(0x0a, &field(0x0a, b"cty.String"));
        assert_eq!(ty(&bytes, DEEPEST).unwrap(), Type::String);
        for _ in 0..40 {
            // A list of it: CtyType { 2: CtyList { 1: … } }.
            bytes = field(0x12, &field(0x0a, &bytes));
        }
        assert!(ty(&bytes, DEEPEST).unwrap_err().contains("too deeply"));
    }
}
