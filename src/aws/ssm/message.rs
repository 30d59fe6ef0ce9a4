//! The messages of a data channel, as bytes. All numbers are big-endian.
//!
//! ```text
//! | header length 4 | type 32 | schema 4 | created 8 | sequence 8 | flags 8 | id 16 |
//! | digest 32 | payload type 4 | payload length 4 | payload |
//! ```
//!
//! The header length counts neither itself nor the payload length. The type is padded with spaces,
//! the halves of the id are swapped, and the digest is the payload's SHA-256.

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tokio_tungstenite::tungstenite::Bytes;
use uuid::Uuid;

/// What comes before the payload.
const HEADER: usize = 120;
/// The header length that a message states: without this field and the payload length.
const STATED_LENGTH: u32 = 116;
const TYPE: std::ops::Range<usize> = 4..36;
const SCHEMA: std::ops::Range<usize> = 36..40;
const CREATED: std::ops::Range<usize> = 40..48;
const SEQUENCE: std::ops::Range<usize> = 48..56;
const FLAGS: std::ops::Range<usize> = 56..64;
const ID: std::ops::Range<usize> = 64..80;
const DIGEST: std::ops::Range<usize> = 80..112;
const PAYLOAD_TYPE: std::ops::Range<usize> = 112..116;
const PAYLOAD_LENGTH: std::ops::Range<usize> = 116..120;

/// The first message of a sequence.
const SYN: u64 = 1;
/// The last message of a sequence.
const FIN: u64 = 2;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// From us to the agent.
    Input,
    /// From the agent to us.
    Output,
    /// One of those has arrived.
    Acknowledge,
    /// The session is over.
    ChannelClosed,
    /// The other side listens again.
    StartPublication,
    /// The other side does not listen at the moment.
    PausePublication,
    /// None that we know.
    Other,
}

const NAMES: [(&str, Kind); 6] = [
    ("input_stream_data", Kind::Input),
    ("output_stream_data", Kind::Output),
    ("acknowledge", Kind::Acknowledge),
    ("channel_closed", Kind::ChannelClosed),
    ("start_publication", Kind::StartPublication),
    ("pause_publication", Kind::PausePublication),
];

impl Kind {
    /// Its name in messages.
    pub(super) fn name(self) -> &'static str {
        NAMES.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

/// What the payload of [`Kind::Input`] and [`Kind::Output`] is.
pub(super) mod payload {
    /// Bytes of the connection.
    pub(in super::super) const DATA: u32 = 1;
    /// What the agent wants to know before it begins.
    pub(in super::super) const HANDSHAKE_REQUEST: u32 = 5;
    /// Our answer to it.
    pub(in super::super) const HANDSHAKE_RESPONSE: u32 = 6;
    /// The agent is ready.
    pub(in super::super) const HANDSHAKE_COMPLETE: u32 = 7;
    /// One of the numbers that stand for an event.
    pub(in super::super) const FLAG: u32 = 10;
}

/// The flag of an agent that cannot connect to the port.
pub(super) const CONNECT_TO_PORT_ERROR: [u8; 4] = 3_u32.to_be_bytes();

/// A message that came.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) kind: Kind,
    pub(super) sequence: i64,
    pub(super) id: Uuid,
    pub(super) payload_type: u32,
    pub(super) payload: Bytes,
}

/// Bytes that are no message.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum Malformed {
    #[error("a message of {0} bytes is too short")]
    Short(usize),
    #[error("the digest of a message is not that of its payload")]
    Digest,
}

impl Message {
    /// Reads a message; its payload stays where it is.
    pub(super) fn read(bytes: &Bytes) -> Result<Self, Malformed> {
        let field = |range| bytes.get(range).ok_or(Malformed::Short(bytes.len()));
        let start = usize::try_from(number(field(0..4)?)).unwrap_or(usize::MAX).saturating_add(4);
        if start < HEADER || start > bytes.len() {
            return Err(Malformed::Short(bytes.len()));
        }
        let name = String::from_utf8_lossy(field(TYPE)?);
        let name = name.trim_matches(['\0', ' ']);
        let kind = NAMES.iter().find(|(known, _)| *known == name).map_or(Kind::Other, |(_, k)| *k);
        let payload = bytes.slice(start..);
        // The service itself does not care for digest and length of what it says of publication.
        let digested = !matches!(kind, Kind::StartPublication | Kind::PausePublication);
        if digested && !payload.is_empty() && field(DIGEST)? != Sha256::digest(&payload).as_slice()
        {
            return Err(Malformed::Digest);
        }
        Ok(Self {
            kind,
            sequence: number(field(SEQUENCE)?) as i64,
            id: with_swapped_halves(field(ID)?),
            payload_type: number(field(PAYLOAD_TYPE)?) as u32,
            payload,
        })
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn with_swapped_halves(id: &[u8]) -> Uuid {
    let mut swapped = [0; 16];
    swapped[..8].copy_from_slice(&id[8..]);
    swapped[8..].copy_from_slice(&id[..8]);
    Uuid::from_bytes(swapped)
}

/// A payload that is to become a message, with room before it for the header: sealing it moves no
/// byte.
#[derive(Debug)]
pub(super) struct Draft(Vec<u8>);

impl Draft {
    /// Without a payload yet, but with room for `capacity` bytes of it.
    pub(super) fn new(capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(HEADER + capacity);
        bytes.resize(HEADER, 0);
        Self(bytes)
    }

    /// With all of `payload`.
    pub(super) fn of(payload: &[u8]) -> Self {
        let mut draft = Self::new(payload.len());
        draft.push(payload);
        draft
    }

    /// Adds to the payload.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The message number `sequence` of our stream.
    pub(super) fn into_input(self, payload_type: u32, sequence: i64) -> Bytes {
        let flags = if sequence == 0 { SYN } else { 0 };
        self.seal(Kind::Input, payload_type, sequence, flags)
    }

    /// An acknowledgement, which is no part of the stream.
    pub(super) fn into_acknowledgement(self) -> Bytes {
        self.seal(Kind::Acknowledge, 0, 0, SYN | FIN)
    }

    fn seal(self, kind: Kind, payload_type: u32, sequence: i64, flags: u64) -> Bytes {
        let mut bytes = self.0;
        let (header, payload) = bytes.split_at_mut(HEADER);
        let mut put = |range: std::ops::Range<usize>, field: &[u8]| {
            header[range].copy_from_slice(field);
        };
        let mut name = [b' '; 32];
        name[..kind.name().len()].copy_from_slice(kind.name().as_bytes());
        put(0..4, &STATED_LENGTH.to_be_bytes());
        put(TYPE, &name);
        put(SCHEMA, &1_u32.to_be_bytes());
        put(CREATED, &Timestamp::now().as_millisecond().to_be_bytes());
        put(SEQUENCE, &sequence.to_be_bytes());
        put(FLAGS, &flags.to_be_bytes());
        put(ID, with_swapped_halves(Uuid::new_v4().as_bytes()).as_bytes());
        put(DIGEST, &Sha256::digest(&*payload));
        put(PAYLOAD_TYPE, &payload_type.to_be_bytes());
        // No message is longer than a WebSocket's frame.
        put(PAYLOAD_LENGTH, &u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes());
        Bytes::from(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let bytes = Draft::of(b"SSH-2.0-imgbake\r\n").into_input(payload::DATA, 7);
        assert_eq!(bytes.len(), 120 + 17);
        assert_eq!(bytes[..4], [0, 0, 0, 116]);
        assert_eq!(&bytes[4..36], b"input_stream_data               ");
        assert_eq!(bytes[FLAGS], [0; 8]);
        let message = Message::read(&bytes).unwrap();
        assert_eq!((message.kind, message.sequence), (Kind::Input, 7));
        assert_eq!(message.payload_type, payload::DATA);
        assert_eq!(&message.payload[..], b"SSH-2.0-imgbake\r\n");
        let first = Draft::of(b"x").into_input(payload::DATA, 0);
        assert_eq!(first[FLAGS][7], 1, "the first of the sequence");
        let acknowledgement = Draft::of(b"{}").into_acknowledgement();
        assert_eq!(acknowledgement[FLAGS][7], 3, "no part of a sequence");
    }

    #[test]
    fn the_halves_of_an_id_are_swapped() {
        // An example of a public description of the protocol.
        let wire = Uuid::parse_str("a3de282f-478b-a6e6-812e-f34f87bd449e").unwrap();
        let id = with_swapped_halves(wire.as_bytes());
        assert_eq!(id.to_string(), "812ef34f-87bd-449e-a3de-282f478ba6e6");
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let bytes = Draft::of(b"payload").into_input(payload::DATA, 1);
        // A header alone is a message without a payload.
        for length in (0..bytes.len()).filter(|length| *length != HEADER) {
            assert!(Message::read(&bytes.slice(..length)).is_err(), "{length} bytes");
        }
        let changed = |at: usize, to: u8| {
            let mut changed = bytes.to_vec();
            changed[at] = to;
            Message::read(&changed.into())
        };
        assert_eq!(changed(125, b'!').unwrap_err(), Malformed::Digest);
        assert!(matches!(changed(0, 0xff).unwrap_err(), Malformed::Short(_)));
        assert_eq!(changed(4, b'x').unwrap().kind, Kind::Other);
    }

    #[test]
    fn the_digest_of_what_the_service_says_of_publication_does_not_count() {
        let sealed = Draft::of(b"{}").seal(Kind::PausePublication, 0, 0, 0);
        let mut bytes = sealed.to_vec();
        bytes[DIGEST].fill(0);
        assert_eq!(Message::read(&bytes.into()).unwrap().kind, Kind::PausePublication);
    }
}
