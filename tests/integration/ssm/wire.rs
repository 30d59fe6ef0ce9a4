//! The bytes of the protocol, written from its public description and without a line of the
//! program's own code: or one mistake would hide on both sides.

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// A message that was read.
#[derive(Clone, Debug)]
pub struct Message {
    pub name: String,
    pub sequence: i64,
    pub flags: u64,
    pub id: Uuid,
    pub payload_type: u32,
    pub payload: Vec<u8>,
}

/// Reads a message, and holds it against everything that the description says.
pub fn read(bytes: &[u8]) -> Message {
    let number = |from: usize, length: usize| {
        bytes[from..from + length].iter().fold(0_u64, |sum, byte| sum * 256 + u64::from(*byte))
    };
    assert_eq!(number(0, 4), 116, "the length of the header");
    let name = String::from_utf8(bytes[4..36].to_vec()).unwrap();
    assert_eq!(number(36, 4), 1, "the schema's version");
    let now = jiff::Timestamp::now().as_millisecond();
    assert!((now - number(40, 8) as i64).abs() < 60_000, "the time of making");
    let id = [&bytes[72..80], &bytes[64..72]].concat();
    let payload = bytes[120..].to_vec();
    assert_eq!(bytes[80..112], Sha256::digest(&payload)[..], "the digest");
    assert_eq!(number(116, 4), payload.len() as u64, "the payload's length");
    let id = Uuid::from_slice(&id).unwrap();
    assert_eq!(id.get_version_num(), 4, "a random id");
    Message {
        name: name.trim_end_matches(' ').to_owned(),
        sequence: number(48, 8) as i64,
        flags: number(56, 8),
        id,
        payload_type: number(112, 4) as u32,
        payload,
    }
}

/// Writes a message.
pub fn write(name: &str, sequence: i64, flags: u64, payload_type: u32, payload: &[u8]) -> Vec<u8> {
    let id = Uuid::new_v4().into_bytes();
    let mut bytes = 116_u32.to_be_bytes().to_vec();
    bytes.extend(format!("{name:32}").bytes());
    bytes.extend(1_u32.to_be_bytes());
    bytes.extend(jiff::Timestamp::now().as_millisecond().to_be_bytes());
    bytes.extend(sequence.to_be_bytes());
    bytes.extend(flags.to_be_bytes());
    bytes.extend(&id[8..]);
    bytes.extend(&id[..8]);
    bytes.extend(Sha256::digest(payload));
    bytes.extend(payload_type.to_be_bytes());
    bytes.extend((payload.len() as u32).to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A frame of smux.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    Begin(u32),
    End(u32),
    Data(u32, Vec<u8>),
    Nothing,
}

impl Frame {
    pub fn write(&self) -> Vec<u8> {
        let (command, id, data): (u8, u32, &[u8]) = match self {
            Self::Begin(id) => (0, *id, &[]),
            Self::End(id) => (1, *id, &[]),
            Self::Data(id, data) => (2, *id, data),
            Self::Nothing => (3, 0, &[]),
        };
        let mut bytes = vec![1, command];
        bytes.extend((data.len() as u16).to_le_bytes());
        bytes.extend(id.to_le_bytes());
        bytes.extend(data);
        bytes
    }

    /// Takes the first frame out of `bytes`, if it is all there.
    pub fn take(bytes: &mut Vec<u8>) -> Option<Self> {
        let head = bytes.get(..8)?;
        assert_eq!(head[0], 1, "the version of smux");
        let (command, id) = (head[1], u32::from_le_bytes(head[4..8].try_into().unwrap()));
        let end = 8 + usize::from(u16::from_le_bytes([head[2], head[3]]));
        bytes.get(..end)?;
        let data = bytes.drain(..end).skip(8).collect();
        Some(match command {
            0 => Self::Begin(id),
            1 => Self::End(id),
            2 => Self::Data(id, data),
            3 => Self::Nothing,
            other => panic!("smux has no command {other}"),
        })
    }
}
