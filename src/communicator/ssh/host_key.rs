//! Whether the server that answers is the machine that was started.

use std::sync::Mutex;

use russh::keys::{HashAlg, PublicKey};

use crate::communicator::{Announcement, HostKey};

/// What is known of one server's keys. All connections of a build to that server share it.
#[derive(Debug)]
pub(super) struct HostKeys {
    announced: Option<Announcement>,
    known: Mutex<Vec<PublicKey>>,
}

/// The server has another key than the one expected: it may be another server.
#[derive(Debug, thiserror::Error)]
#[error(
    "the server's host key is {found}, but {expected} was expected ({origin}); \
     either another machine answers at this address, or its host key was made anew"
)]
pub(super) struct Mismatch {
    found: String,
    expected: String,
    origin: &'static str,
}

impl HostKeys {
    pub(super) fn new(host_key: HostKey) -> Self {
        let announced = match host_key {
            HostKey::Announced(announced) => Some(announced),
            HostKey::FirstUse => None,
        };
        Self { announced, known: Mutex::default() }
    }

    /// The keys that are accepted; none means that any will do this once.
    pub(super) fn known(&self) -> Vec<PublicKey> {
        self.known.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// Refuses a key that is not the expected one.
    pub(super) fn check(&self, found: &PublicKey) -> Result<(), Mismatch> {
        if let Some(announced) = &self.announced
            && announced.includes(found) == Some(false)
        {
            let expected = announced.expected();
            let origin = "announced on the machine's console";
            return Err(Mismatch { found: describe(found), expected, origin });
        }
        let known = self.known();
        if known.is_empty() || known.iter().any(|key| key.key_data() == found.key_data()) {
            return Ok(());
        }
        let expected: Vec<String> = known.iter().map(describe).collect();
        let origin = "seen before in this build";
        Err(Mismatch { found: describe(found), expected: expected.join(" or "), origin })
    }

    /// Remembers the key of a server that let us in. Says what to tell people, the first time.
    pub(super) fn trust(&self, key: &PublicKey) -> Option<String> {
        let mut known = self.known.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if !known.is_empty() {
            return None;
        }
        known.push(key.clone());
        if let Some(announced) = &self.announced {
            if announced.includes(key) == Some(true) {
                return Some(format!("Host key verified (machine's console): {}", describe(key)));
            }
            announced.trusted_before(key);
        }
        Some(format!("Host key trusted on first use: {}", describe(key)))
    }
}

/// `ssh-ed25519 SHA256:…`.
pub(super) fn describe(key: &PublicKey) -> String {
    format!("{} {}", key.algorithm(), key.fingerprint(HashAlg::Sha256))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::communicator::{KeyType, TemporaryKey};

    fn key() -> PublicKey {
        TemporaryKey::generate(KeyType::Ed25519, None, "host").unwrap().key().public_key().clone()
    }

    #[test]
    fn the_first_key_that_let_us_in_is_the_only_one_after() {
        let keys = HostKeys::new(HostKey::FirstUse);
        let (first, other) = (key(), key());
        assert!(keys.check(&first).is_ok() && keys.check(&other).is_ok());
        assert!(keys.trust(&first).is_some());
        assert!(keys.check(&first).is_ok());
        let refused = keys.check(&other).unwrap_err().to_string();
        assert!(refused.contains(&describe(&first)) && refused.contains(&describe(&other)));
    }

    #[test]
    fn an_announced_key_is_verified_and_any_other_refused() {
        let ours = key();
        let announcement = Announcement::default();
        let keys = HostKeys::new(HostKey::Announced(announcement.clone()));
        assert!(keys.check(&key()).is_ok(), "nothing was announced yet");
        let fingerprint = ours.fingerprint(HashAlg::Sha256);
        let shown =
            format!("-----BEGIN SSH HOST KEY FINGERPRINTS-----\n256 {fingerprint} root@x\n");
        assert!(announcement.read(&shown));
        let refused = keys.check(&key()).unwrap_err().to_string();
        assert!(refused.contains(&fingerprint.to_string()), "{refused}");
        assert!(keys.check(&ours).is_ok());
        assert!(keys.trust(&ours).unwrap().starts_with("Host key verified (machine's console)"));
        assert!(!announcement.is_open());
    }
}
