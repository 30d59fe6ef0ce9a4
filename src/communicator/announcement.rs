//! The host keys that a machine announces where nobody else can write: on its console.

use std::str::FromStr as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use russh::keys::ssh_key::Fingerprint;
use russh::keys::{HashAlg, PublicKey};

/// What a machine announced of its host keys, shared by who learns it and who connects. It may
/// come at any time, even long after we connected: a key that was trusted on first use until then
/// is [confirmed](Self::confirm) or refuted by it.
#[derive(Clone, Debug, Default)]
pub struct Announcement(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    announced: Vec<Fingerprint>,
    /// The key that was trusted although nothing was announced yet.
    trusted: Option<PublicKey>,
}

impl Announcement {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the keys that a console shows as cloud-init prints them; whether it shows any.
    pub fn read(&self, console: &str) -> bool {
        let found = shown_on(console);
        let any = !found.is_empty();
        if any {
            self.state().announced = found;
        }
        any
    }

    /// Whether `key` was announced; `None` as long as nothing was.
    pub(super) fn includes(&self, key: &PublicKey) -> Option<bool> {
        let announced = &self.state().announced;
        (!announced.is_empty()).then(|| announced.contains(&key.fingerprint(HashAlg::Sha256)))
    }

    /// The announced keys, for messages.
    pub(super) fn expected(&self) -> String {
        let all: Vec<_> = self.state().announced.iter().map(Fingerprint::to_string).collect();
        all.join(" or ")
    }

    /// Remembers a key that was trusted before anything was announced.
    pub(super) fn trusted_before(&self, key: &PublicKey) {
        self.state().trusted = Some(key.clone());
    }

    /// Whether a key is trusted that an announcement might still confirm or refute.
    pub fn is_open(&self) -> bool {
        let state = self.state();
        state.trusted.is_some() && state.announced.is_empty()
    }

    /// Holds a key that was trusted before against what was announced since.
    ///
    /// Gives what to tell people, if that is news.
    ///
    /// # Errors
    /// When other keys were announced.
    pub fn confirm(&self) -> anyhow::Result<Option<String>> {
        let trusted = self.state().trusted.clone();
        let Some(key) = trusted else { return Ok(None) };
        let Some(included) = self.includes(&key) else { return Ok(None) };
        let fingerprint = key.fingerprint(HashAlg::Sha256);
        anyhow::ensure!(
            included,
            "the machine's console shows other host keys ({}) than the one that was trusted on \
             first use ({fingerprint}): another machine may have answered",
            self.expected(),
        );
        self.state().trusted = None;
        Ok(Some(format!(
            "The host key trusted on first use is the one on the machine's console: {fingerprint}"
        )))
    }
}

const BEGIN: &str = "-----BEGIN SSH HOST KEY ";
const END: &str = "-----END SSH HOST KEY ";

/// The keys between cloud-init's markers: one list of fingerprints, one of the keys themselves.
/// Syslog or the kernel may have put words of their own in front of each line.
fn shown_on(console: &str) -> Vec<Fingerprint> {
    let mut found = Vec::new();
    let mut inside = false;
    for line in console.lines() {
        if line.contains(BEGIN) || line.contains(END) {
            inside = line.contains(BEGIN);
        } else if inside {
            let words: Vec<_> = line.split_whitespace().collect();
            let fingerprints = words.iter().filter_map(|word| fingerprint(word));
            let keys = words.windows(2).filter_map(|pair| {
                let key = PublicKey::from_openssh(&pair.join(" ")).ok()?;
                Some(key.fingerprint(HashAlg::Sha256))
            });
            found.extend(fingerprints.chain(keys));
        }
    }
    found.dedup();
    found
}

fn fingerprint(word: &str) -> Option<Fingerprint> {
    word.starts_with("SHA256:").then(|| Fingerprint::from_str(word).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::communicator::{KeyType, TemporaryKey};

    fn key() -> PublicKey {
        TemporaryKey::generate(KeyType::Ed25519, None, "host").unwrap().key().public_key().clone()
    }

    #[test]
    fn both_of_cloud_inits_lists_are_understood() {
        let (one, other) = (key(), key());
        let console = format!(
            "[    9.1] ssh-ed25519 {noise}\r\n\
             <14>Nov 22 10:00:00 ec2: -----BEGIN SSH HOST KEY FINGERPRINTS-----\r\n\
             <14>Nov 22 10:00:00 ec2: 256 {} root@ip-10-0-0-1 (ED25519)\r\n\
             <14>Nov 22 10:00:00 ec2: -----END SSH HOST KEY FINGERPRINTS-----\r\n\
             -----BEGIN SSH HOST KEY KEYS-----\r\n\
             {} root@ip-10-0-0-1\r\n\
             -----END SSH HOST KEY KEYS-----\r\n",
            one.fingerprint(HashAlg::Sha256),
            other.to_openssh().unwrap(),
            noise = key().to_openssh().unwrap(),
        );
        let expected = [&one, &other].map(|key| key.fingerprint(HashAlg::Sha256));
        assert_eq!(shown_on(&console), expected);
        assert!(shown_on("Linux version 2.6.16-xenU").is_empty());
    }

    #[test]
    fn a_key_trusted_on_first_use_is_confirmed_or_refuted_later() {
        let shown = |key: &PublicKey| {
            format!("{BEGIN}KEYS-----\n{}\n{END}KEYS-----\n", key.to_openssh().unwrap())
        };
        let (ours, other) = (key(), key());
        let announcement = Announcement::default();
        announcement.trusted_before(&ours);
        assert!(announcement.is_open());
        assert!(announcement.confirm().unwrap().is_none(), "nothing was announced yet");
        assert!(announcement.read(&shown(&other)));
        let error = announcement.confirm().unwrap_err().to_string();
        assert!(error.contains("another machine may have answered"), "{error}");
        assert!(announcement.read(&shown(&ours)));
        assert!(announcement.confirm().unwrap().unwrap().contains("on the machine's console"));
        assert!(announcement.confirm().unwrap().is_none(), "it is said once");
    }
}
