//! Go's gob, as far as plugins speak it: how a command ended, and the options of components of
//! plugins from before 2025.
//!
//! A gob stream is a list of messages, each with its length: definitions of types, and values of
//! them. Here a stream becomes a [`Gob`] that knows no types any more; what it means is decided by
//! the names in it.

use std::collections::HashMap;

/// A value of a stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Gob {
    /// Nothing, as in an interface that is nil.
    Nil,
    /// `true` or `false`.
    Bool(bool),
    /// A signed number.
    Int(i64),
    /// An unsigned one.
    Uint(u64),
    /// A fractional one.
    Float(f64),
    /// A text, or the bytes of a type that writes itself.
    Bytes(Vec<u8>),
    /// Several values.
    List(Vec<Gob>),
    /// Keys and values.
    Map(Vec<(Gob, Gob)>),
    /// A struct; fields that are not there are zero.
    Struct(Vec<(String, Gob)>),
    /// What an interface holds, with the name of its type.
    Interface(String, Box<Gob>),
}

impl Gob {
    /// The field `name` of a struct.
    pub fn field(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Struct(fields) => {
                fields.iter().find(|(field, _)| field == name).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// A text.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        }
    }
}

/// How deep values may be nested.
const DEEPEST: usize = 64;

const SHORT: &str = "it ends in the middle";

/// The numbers of the types that need no definition.
mod builtin {
    pub(super) const BOOL: i64 = 1;
    pub(super) const INT: i64 = 2;
    pub(super) const UINT: i64 = 3;
    pub(super) const FLOAT: i64 = 4;
    pub(super) const BYTES: i64 = 5;
    pub(super) const STRING: i64 = 6;
    pub(super) const INTERFACE: i64 = 8;
}

#[derive(Clone, Debug)]
enum Wire {
    List(i64),
    Map(i64, i64),
    Struct(Vec<(String, i64)>),
    Opaque,
}

/// Reads the first value of a stream.
pub fn read(bytes: &[u8]) -> Result<Gob, String> {
    let mut reader = Reader { rest: bytes, message: &[], types: HashMap::new() };
    let id = reader.next_value()?;
    reader.top(id, DEEPEST)
}

struct Reader<'a> {
    /// What comes after the current message.
    rest: &'a [u8],
    /// What is left of the current message.
    message: &'a [u8],
    types: HashMap<i64, Wire>,
}

impl<'a> Reader<'a> {
    /// Takes definitions until a value comes: the number of its type.
    fn next_value(&mut self) -> Result<i64, String> {
        loop {
            if self.message.is_empty() {
                let length = uint(&mut self.rest)?;
                self.message = split(&mut self.rest, length)?;
            }
            let id = int(&mut self.message)?;
            if id >= 0 {
                return Ok(id);
            }
            self.definition(-id)?;
            // Inside of a value, what comes after a definition in the same message has its length before it.
            if !self.message.is_empty() {
                uint(&mut self.message)?;
            }
        }
    }

    /// `wireType`: a struct of which one field is set.
    fn definition(&mut self, id: i64) -> Result<(), String> {
        let mut wire = Wire::Opaque;
        let mut number = 0;
        loop {
            match uint(&mut self.message)? {
                0 => break,
                delta => number += delta,
            }
            wire = match number {
                1 | 2 => Wire::List(self.record_of_ids()?.first().copied().unwrap_or_default()),
                3 => Wire::Struct(self.struct_fields()?),
                4 => {
                    let ids = self.record_of_ids()?;
                    let at = |index: usize| ids.get(index).copied().unwrap_or_default();
                    Wire::Map(at(0), at(1))
                }
                5..=7 => {
                    self.record_of_ids()?;
                    Wire::Opaque
                }
                other => return Err(format!("a type is of the unknown kind {other}")),
            };
        }
        self.types.insert(id, wire);
        Ok(())
    }

    /// The common part of a definition, and the numbers after it.
    fn record_of_ids(&mut self) -> Result<Vec<i64>, String> {
        let mut ids = Vec::new();
        let mut number = 0;
        loop {
            match uint(&mut self.message)? {
                0 => return Ok(ids),
                delta => number += delta,
            }
            match number {
                1 => self.common()?,
                _ => ids.push(int(&mut self.message)?),
            }
        }
    }

    /// `CommonType`: a name and a number, which nobody needs here.
    fn common(&mut self) -> Result<(), String> {
        let mut number = 0;
        loop {
            match uint(&mut self.message)? {
                0 => return Ok(()),
                delta => number += delta,
            }
            match number {
                1 => drop(self.bytes()?),
                _ => drop(int(&mut self.message)?),
            }
        }
    }

    fn struct_fields(&mut self) -> Result<Vec<(String, i64)>, String> {
        let mut fields = Vec::new();
        let mut number = 0;
        loop {
            match uint(&mut self.message)? {
                0 => return Ok(fields),
                delta => number += delta,
            }
            if number == 1 {
                self.common()?;
                continue;
            }
            for _ in 0..self.count()? {
                fields.push(self.struct_field()?);
            }
        }
    }

    fn struct_field(&mut self) -> Result<(String, i64), String> {
        let (mut name, mut id, mut number) = (String::new(), 0, 0);
        loop {
            match uint(&mut self.message)? {
                0 => return Ok((name, id)),
                delta => number += delta,
            }
            match number {
                1 => name = String::from_utf8_lossy(self.bytes()?).into_owned(),
                _ => id = int(&mut self.message)?,
            }
        }
    }

    fn bytes(&mut self) -> Result<&'a [u8], String> {
        let length = uint(&mut self.message)?;
        split(&mut self.message, length)
    }

    /// How many elements follow; no more than there are bytes, in this message and those after it.
    fn count(&mut self) -> Result<u64, String> {
        let count = uint(&mut self.message)?;
        let bytes = self.message.len() + self.rest.len();
        if count > bytes as u64 { Err(SHORT.to_owned()) } else { Ok(count) }
    }

    /// A value that stands alone: before one that is no struct comes a zero.
    fn top(&mut self, id: i64, depth: usize) -> Result<Gob, String> {
        if !matches!(self.types.get(&id), Some(Wire::Struct(_))) && uint(&mut self.message)? != 0 {
            return Err("a value does not begin as one".to_owned());
        }
        self.value(id, depth)
    }

    fn value(&mut self, id: i64, depth: usize) -> Result<Gob, String> {
        let depth = depth.checked_sub(1).ok_or("a value is nested too deeply")?;
        Ok(match id {
            builtin::BOOL => Gob::Bool(uint(&mut self.message)? != 0),
            builtin::INT => Gob::Int(int(&mut self.message)?),
            builtin::UINT => Gob::Uint(uint(&mut self.message)?),
            builtin::FLOAT => Gob::Float(f64::from_bits(uint(&mut self.message)?.swap_bytes())),
            builtin::BYTES | builtin::STRING => Gob::Bytes(self.bytes()?.to_vec()),
            builtin::INTERFACE => self.interface(depth)?,
            _ => match self.types.get(&id).cloned() {
                Some(Wire::List(of)) => {
                    let items = (0..self.count()?).map(|_| self.value(of, depth));
                    Gob::List(items.collect::<Result<_, _>>()?)
                }
                Some(Wire::Map(key, of)) => {
                    let count = self.count()?;
                    let entry = |_| Ok((self.value(key, depth)?, self.value(of, depth)?));
                    Gob::Map((0..count).map(entry).collect::<Result<_, String>>()?)
                }
                Some(Wire::Struct(fields)) => self.fields(&fields, depth)?,
                Some(Wire::Opaque) => Gob::Bytes(self.bytes()?.to_vec()),
                None => return Err(format!("the type {id} was not defined")),
            },
        })
    }

    fn fields(&mut self, fields: &[(String, i64)], depth: usize) -> Result<Gob, String> {
        let mut values = Vec::new();
        let mut number = 0;
        loop {
            match uint(&mut self.message)? {
                0 => return Ok(Gob::Struct(values)),
                delta => number += delta,
            }
            let at = usize::try_from(number).unwrap_or(usize::MAX).wrapping_sub(1);
            let (name, id) = fields.get(at).ok_or("a struct has too many fields")?;
            values.push((name.clone(), self.value(*id, depth)?));
        }
    }

    /// The name of the type, then definitions that are new, then the value with its length. Where the
    /// message ends between them, it goes on in the next one.
    fn interface(&mut self, depth: usize) -> Result<Gob, String> {
        let name = String::from_utf8_lossy(self.bytes()?).into_owned();
        if name.is_empty() {
            return Ok(Gob::Nil);
        }
        let id = self.next_value()?;
        let _length = uint(&mut self.message)?;
        Ok(Gob::Interface(name, Box::new(self.top(id, depth)?)))
    }
}

fn split<'a>(bytes: &mut &'a [u8], length: u64) -> Result<&'a [u8], String> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let (taken, rest) = bytes.split_at_checked(length).ok_or(SHORT)?;
    *bytes = rest;
    Ok(taken)
}

/// One byte below 128; else the number of bytes, negated, and the bytes.
fn uint(bytes: &mut &[u8]) -> Result<u64, String> {
    let (first, rest) = bytes.split_first().ok_or(SHORT)?;
    *bytes = rest;
    if *first < 0x80 {
        return Ok(u64::from(*first));
    }
    let length = 256 - u64::from(*first);
    if length > 8 {
        return Err("a number is too long".to_owned());
    }
    let digits = split(bytes, length)?;
    Ok(digits.iter().fold(0, |value, digit| value << 8 | u64::from(*digit)))
}

/// The sign is the lowest bit.
fn int(bytes: &mut &[u8]) -> Result<i64, String> {
    let value = uint(bytes)?;
    let magnitude = (value >> 1).cast_signed();
    Ok(if value & 1 == 1 { !magnitude } else { magnitude })
}

/// The definition of the type that says how a command ended, as Go writes it.
const FINISHED: &[u8] =
    b"\x2b\x7f\x03\x01\x01\x0fCommandFinished\x01\xff\x80\x00\x01\x01\x01\x0aExitStatus\x01\x04\x00\x00\x00";

/// A stream that says that a command ended with `status`.
pub fn exit_status(status: i64) -> Vec<u8> {
    let mut value = vec![0xff, 0x80];
    if status != 0 {
        let bits = (status << 1 ^ status >> 63).cast_unsigned();
        value.push(1);
        if bits < 0x80 {
            value.push(bits as u8);
        } else {
            let length = 8 - bits.leading_zeros() as usize / 8;
            value.push((256 - length) as u8);
            value.extend(&bits.to_be_bytes()[8 - length..]);
        }
    }
    value.push(0);
    [FINISHED, &[value.len() as u8], &value].concat()
}

/// The status in such a stream.
pub fn read_exit_status(bytes: &[u8]) -> Result<i64, String> {
    let value = read(bytes)?;
    match value.field("ExitStatus") {
        Some(Gob::Int(status)) => Ok(*status),
        None if matches!(value, Gob::Struct(_)) => Ok(0),
        _ => Err("it does not say how the command ended".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_command_ended_is_written_and_read_as_go_does() {
        for (status, bytes) in
            [(0, "03ff8000"), (7, "05ff80010e00"), (200, "07ff8001fe019000"), (-1, "05ff80010100")]
        {
            let written = exit_status(status);
            assert_eq!(hex::encode(&written[FINISHED.len()..]), bytes);
            assert_eq!(read_exit_status(&written).unwrap(), status);
            for length in 0..written.len() {
                assert!(read_exit_status(&written[..length]).is_err(), "{length}");
            }
        }
        assert_eq!(read_exit_status(&exit_status(2_300_218)).unwrap(), 2_300_218);
    }

    #[test]
    fn types_that_are_defined_inside_of_a_value_are_read() {
        // Go's encoding of `[]any{A{"x", B{"y"}}, B{"z"}, A{"w", nil}}`, with A{X string; N any} and B{Y string}.
        let bytes = hex::decode(concat!(
            "0cff85020102ff86000110000026ff860003066d61696e2e41ff81030101014101ff82000102010158010c0001014e01",
            "1000000048ff822001017801066d61696e2e42ff83030101014201ff84000101010159010c00000008ff840401017900",
            "00066d61696e2e42ff840401017a00066d61696e2e41ff820401017700",
        ));
        let Gob::List(items) = read(&bytes.unwrap()).unwrap() else { panic!("no list") };
        let text = |value: &Gob, field| match value.field(field) {
            Some(Gob::Bytes(text)) => String::from_utf8(text.clone()).unwrap(),
            _ => String::new(),
        };
        let inside = |item: &Gob| match item {
            Gob::Interface(name, value) => (name.clone(), text(value, "X"), text(value, "Y")),
            _ => panic!("no interface"),
        };
        let texts: Vec<_> = items.iter().map(inside).collect();
        let expected = [("main.A", "x", ""), ("main.B", "", "z"), ("main.A", "w", "")];
        assert_eq!(texts, expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned())));
    }
}
