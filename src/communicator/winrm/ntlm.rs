//! NTLMv2 as MS-NLMP has it: the three messages that log in, and the sealing of what follows.
//!
//! Only what a WinRM client needs: Unicode, extended session security, 128 bits, key exchange.

use hmac::{Hmac, Mac as _};
use md4::Md4;
use md5::{Digest as _, Md5};
use rc4::Rc4;
use rc4::cipher::{KeyInit as _, StreamCipher as _};
use sha2::Sha256;

use crate::secret::Secret;

/// Unicode, target, sign, seal, NTLM, always sign, extended session security, target information,
/// version, 128 bits, key exchange, 56 bits.
const FLAGS: u32 = 0xe288_8235;
const SIGNATURE: &[u8; 8] = b"NTLMSSP\0";
/// Windows 10, NTLM revision 15.
const VERSION: [u8; 8] = [10, 0, 0x61, 0x4a, 0, 0, 0, 15];
/// Where the message integrity code stands in the last message.
const MIC: std::ops::Range<usize> = 72..88;
/// Seconds between 1601 and 1970.
const EPOCH: i64 = 11_644_473_600;

/// Kinds of facts about the target.
mod fact {
    pub(super) const END: u16 = 0;
    pub(super) const FLAGS: u16 = 6;
    pub(super) const TIME: u16 = 7;
    pub(super) const CHANNEL: u16 = 10;
}

/// Why a server's message cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the server's NTLM message is broken: {0}")]
pub(super) struct Broken(&'static str);

/// Who logs in.
#[derive(Clone, Debug)]
pub(super) struct Account {
    domain: String,
    user: String,
    password: Secret,
}

impl Account {
    /// Reads `DOMAIN\user`, `user@domain` or `user`.
    pub(super) fn new(name: &str, password: Secret) -> Self {
        let (domain, user) = name.split_once('\\').unwrap_or(("", name));
        Self { domain: domain.to_owned(), user: user.to_owned(), password }
    }

    fn key(&self) -> [u8; 16] {
        let hash = Md4::digest(utf16(self.password.expose()));
        let who = format!("{}{}", self.user.to_uppercase(), self.domain);
        mac(&hash, &[&utf16(&who)])
    }
}

/// The first message: what we can do.
pub(super) fn negotiate() -> Vec<u8> {
    let mut message = SIGNATURE.to_vec();
    message.extend(1_u32.to_le_bytes());
    message.extend(FLAGS.to_le_bytes());
    message.extend([0; 16]);
    message.extend(VERSION);
    message
}

/// What the last message is made with, beside the first and the second.
pub(super) struct Moment {
    /// Seconds since 1970, if the server does not say its time.
    pub(super) now: i64,
    /// Eight bytes that were never used before.
    pub(super) nonce: [u8; 8],
    /// The key of the session.
    pub(super) key: [u8; 16],
}

/// The last message, which answers the server's challenge, and the session that it begins.
/// `certificate` is the server's where TLS is spoken: the login is of no use on another channel.
pub(super) fn authenticate(
    account: &Account,
    challenge: &[u8],
    certificate: Option<&[u8]>,
    moment: &Moment,
) -> Result<(Vec<u8>, Session), Broken> {
    let server = Challenge::read(challenge)?;
    let mut facts = server.facts.clone();
    let has_time = facts.iter().any(|(kind, _)| *kind == fact::TIME);
    let time = facts.iter().find(|(kind, _)| *kind == fact::TIME).map(|(_, value)| value.clone());
    let now = || ((moment.now + EPOCH) * 10_000_000).to_le_bytes().to_vec();
    let time = time.unwrap_or_else(now);
    if has_time {
        // There is a code that proves that nobody changed the messages.
        facts.push((fact::FLAGS, 2_u32.to_le_bytes().to_vec()));
    }
    facts.extend(certificate.map(|der| (fact::CHANNEL, channel(der))));
    let key = account.key();
    let mut proven = vec![1, 1, 0, 0, 0, 0, 0, 0];
    proven.extend(time);
    proven.extend(moment.nonce);
    proven.extend([0; 4]);
    proven.extend(written(&facts));
    proven.extend([0; 4]);
    let proof = mac(&key, &[&server.nonce, &proven]);
    let base = mac(&key, &[&proof]);
    let mut exchanged = moment.key;
    cipher(&base).apply_keystream(&mut exchanged);
    let answer = [&proof[..], &proven].concat();
    let old_answer = match has_time {
        true => vec![0; 24],
        false => [&mac(&key, &[&server.nonce, &moment.nonce])[..], &moment.nonce].concat(),
    };
    let fields = [
        old_answer,
        answer,
        utf16(&account.domain),
        utf16(&account.user),
        Vec::new(),
        exchanged.to_vec(),
    ];
    let mut message = last_message(&fields, server.flags & FLAGS);
    if has_time {
        let code = mac(&moment.key, &[&negotiate(), challenge, &message]);
        message[MIC].copy_from_slice(&code);
    }
    Ok((message, Session::new(&moment.key)))
}

/// The last message with its fields; the code in it is still empty.
fn last_message(fields: &[Vec<u8>; 6], flags: u32) -> Vec<u8> {
    let mut message = SIGNATURE.to_vec();
    message.extend(3_u32.to_le_bytes());
    let mut at = MIC.end;
    for field in fields {
        // No name and no password is as long as that.
        let length = u16::try_from(field.len()).unwrap_or(u16::MAX);
        message.extend(length.to_le_bytes());
        message.extend(length.to_le_bytes());
        message.extend(u32::try_from(at).unwrap_or(u32::MAX).to_le_bytes());
        at += field.len();
    }
    message.extend(flags.to_le_bytes());
    message.extend(VERSION);
    message.extend([0; 16]);
    message.extend(fields.concat());
    message
}

/// What the server's message says.
struct Challenge {
    flags: u32,
    nonce: [u8; 8],
    facts: Vec<(u16, Vec<u8>)>,
}

impl Challenge {
    fn read(message: &[u8]) -> Result<Self, Broken> {
        let part = |from: usize, length: usize| {
            let end = from.checked_add(length).ok_or(Broken("a length is too large"))?;
            message.get(from..end).ok_or(Broken("it is too short"))
        };
        let number = |from| Ok(u32::from_le_bytes(fixed(part(from, 4)?)));
        if part(0, 8)? != SIGNATURE || number(8)? != 2 {
            return Err(Broken("it is no challenge"));
        }
        let length = u16::from_le_bytes(fixed(part(40, 2)?));
        let from = usize::try_from(number(44)?).map_err(|_| Broken("a length is too large"))?;
        Ok(Self {
            flags: number(20)?,
            nonce: fixed(part(24, 8)?),
            facts: read_facts(part(from, length.into())?)?,
        })
    }
}

fn read_facts(mut text: &[u8]) -> Result<Vec<(u16, Vec<u8>)>, Broken> {
    let mut facts = Vec::new();
    while let Some((head, rest)) = text.split_at_checked(4) {
        let kind = u16::from_le_bytes(fixed(&head[..2]));
        let length = u16::from_le_bytes(fixed(&head[2..]));
        if kind == fact::END {
            break;
        }
        let value = rest.split_at_checked(length.into());
        let (value, rest) = value.ok_or(Broken("a fact is cut off"))?;
        facts.push((kind, value.to_vec()));
        text = rest;
    }
    Ok(facts)
}

fn written(facts: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut text = Vec::new();
    for (kind, value) in facts.iter().chain(&[(fact::END, Vec::new())]) {
        text.extend(kind.to_le_bytes());
        text.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_le_bytes());
        text.extend(value);
    }
    text
}

/// What ties a login to the TLS channel whose server has this certificate (RFC 5929).
fn channel(certificate: &[u8]) -> Vec<u8> {
    let digest = Sha256::digest(certificate);
    let end_point = [&b"tls-server-end-point:"[..], &digest].concat();
    let length = u32::try_from(end_point.len()).unwrap_or(u32::MAX);
    let bindings = [&[0; 16][..], &length.to_le_bytes(), &end_point].concat();
    Md5::digest(bindings).to_vec()
}

/// A session whose messages are sealed: nobody else can read or change them.
pub(super) struct Session {
    ours: Direction,
    theirs: Direction,
}

struct Direction {
    sign: [u8; 16],
    seal: Rc4,
    number: u32,
}

impl Session {
    fn new(key: &[u8; 16]) -> Self {
        let direction = |name: &str| {
            let derived = |what: &str| -> [u8; 16] {
                let text = format!("session key to {name} {what} key magic constant\0");
                Md5::new().chain_update(key).chain_update(text).finalize().into()
            };
            Direction { sign: derived("signing"), seal: cipher(&derived("sealing")), number: 0 }
        };
        Self { ours: direction("client-to-server"), theirs: direction("server-to-client") }
    }

    /// `message` sealed: the signature, and what it signs.
    pub(super) fn seal(&mut self, message: &[u8]) -> ([u8; 16], Vec<u8>) {
        let mut sealed = message.to_vec();
        self.ours.seal.apply_keystream(&mut sealed);
        (self.ours.signature(message), sealed)
    }

    /// What the server sealed.
    pub(super) fn open(&mut self, signature: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Broken> {
        let mut message = sealed.to_vec();
        self.theirs.seal.apply_keystream(&mut message);
        let expected = self.theirs.signature(&message);
        match aws_lc_rs::constant_time::verify_slices_are_equal(&expected, signature) {
            Ok(()) => Ok(message),
            Err(_) => Err(Broken("its signature is wrong")),
        }
    }
}

impl Direction {
    /// The signature of the next message. The cipher goes on after that message.
    fn signature(&mut self, message: &[u8]) -> [u8; 16] {
        let number = self.number.to_le_bytes();
        self.number = self.number.wrapping_add(1);
        let mut code = mac(&self.sign, &[&number, message]);
        self.seal.apply_keystream(&mut code[..8]);
        let mut signature = [0; 16];
        signature[0] = 1;
        signature[4..12].copy_from_slice(&code[..8]);
        signature[12..].copy_from_slice(&number);
        signature
    }
}

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 16] {
    // A key of any length is taken.
    let Ok(mut mac) = Hmac::<Md5>::new_from_slice(key) else { return [0; 16] };
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

fn cipher(key: &[u8; 16]) -> Rc4 {
    Rc4::new_from_slice(key).expect("16 bytes are a key")
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// The first bytes of `part`, which has so many.
fn fixed<const N: usize>(part: &[u8]) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&part[..N]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The account of the examples in MS-NLMP, 4.2.1.
    fn account() -> Account {
        Account::new("Domain\\User", Secret::new("Password".to_owned()))
    }

    #[test]
    fn the_key_is_that_of_the_specification() {
        assert_eq!(hex::encode(account().key()), "0c868a403bfd7a93a3001ef22ef02e3f");
    }

    #[test]
    fn the_proof_is_that_of_the_specification() {
        let facts = [(2, utf16("Domain")), (1, utf16("Server"))];
        let (server, ours) = ([1, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef], [0xaa; 8]);
        let mut proven = vec![1, 1, 0, 0, 0, 0, 0, 0];
        proven.extend([0; 8]);
        proven.extend(ours);
        proven.extend([0; 4]);
        proven.extend(written(&facts));
        proven.extend([0; 4]);
        let key = account().key();
        let proof = mac(&key, &[&server, &proven]);
        assert_eq!(hex::encode(proof), "68cd0ab851e51c96aabc927bebef6a1c");
        assert_eq!(hex::encode(mac(&key, &[&proof])), "8de40ccadbc14a82f15cb0ad0de95ca3");
    }

    #[test]
    fn messages_are_sealed_as_in_the_specification() {
        let mut session = Session::new(&[0x55; 16]);
        let (signature, sealed) = session.seal(&utf16("Plaintext"));
        assert_eq!(hex::encode(sealed), "54e50165bf1936dc996020c1811b0f06fb5f");
        assert_eq!(hex::encode(signature), "010000007fb38ec5c55d497600000000");
    }

    #[test]
    fn a_broken_challenge_is_refused() {
        let mut challenge = SIGNATURE.to_vec();
        challenge.extend(2_u32.to_le_bytes());
        challenge.resize(48, 0);
        assert!(Challenge::read(&challenge).is_ok());
        challenge[44..48].copy_from_slice(&u32::MAX.to_le_bytes());
        challenge[40] = 8;
        assert!(Challenge::read(&challenge).is_err());
        assert!(Challenge::read(b"NTLMSSP\0").is_err());
        assert!(read_facts(&[7, 0, 8, 0, 1]).is_err());
    }
}
