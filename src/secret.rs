//! Secrets: a type that cannot be printed, and the one redactor in front of every output.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::sync::{Arc, RwLock, RwLockReadGuard};

use schemars::JsonSchema;
use serde::Deserialize;

/// What is printed in a secret's place.
pub const MASK: &str = "<sensitive>";

/// A value that must not reach a log, a file or a child that doesn't need it.
#[derive(Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The order in which secrets are masked.
    fn longer_first(&self, other: &Self) -> Ordering {
        other.0.len().cmp(&self.0.len()).then_with(|| self.0.cmp(&other.0))
    }

    /// Whether there is anything to hide.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// A store of secrets outside of us, which template functions read from.
pub trait SecretStore: fmt::Debug + Send + Sync {
    /// The secret `name` as it is kept, or why it cannot be read.
    fn whole(&self, name: &str) -> Result<Secret, String>;
    /// What the secret `name` has under `key`; without a key, all of a plain text or the only
    /// entry.
    fn entry(&self, name: &str, key: Option<&str>) -> Result<Secret, String>;
}

/// Replaces every known secret in a text. Clones share one list.
#[derive(Clone, Debug, Default)]
pub struct Redactor(Arc<RwLock<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// In the order in which they became known.
    by_age: Vec<Secret>,
    /// A secret that contains another must go first, or its rest would show.
    by_length: Vec<Secret>,
}

impl Redactor {
    /// Makes `secret`, and each of its lines, unprintable from now on.
    pub fn register(&self, secret: &str) {
        let mut known = self.0.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        let unix = secret.replace("\r\n", "\n");
        for text in [secret, &unix].into_iter().chain(unix.lines()) {
            let text = Secret::new(text);
            // A secret that contains another must go first, or its rest would show.
            let place = known.by_length.binary_search_by(|other| other.longer_first(&text));
            if !text.expose().trim().is_empty()
                && let Err(free) = place
            {
                known.by_length.insert(free, text.clone());
                known.by_age.push(text);
            }
        }
    }

    /// The secrets that became known after the first `count`, for whoever hides them elsewhere.
    pub fn since(&self, count: usize) -> Vec<Secret> {
        self.known().by_age.get(count..).unwrap_or_default().to_vec()
    }

    fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.0.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// `text` without any registered secret.
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for secret in &self.known().by_length {
            if text.contains(secret.expose()) {
                text = Cow::Owned(text.replace(secret.expose(), MASK));
            }
        }
        text
    }

    /// [`redact`](Self::redact) for a text that is given away.
    pub fn clean(&self, text: String) -> String {
        match self.redact(&text) {
            Cow::Owned(clean) => clean,
            Cow::Borrowed(_) => text,
        }
    }

    /// How many secrets there are.
    pub fn count(&self) -> usize {
        self.known().by_age.len()
    }

    /// The length of the longest secret in bytes.
    pub fn longest(&self) -> usize {
        self.known().by_length.first().map_or(0, |secret| secret.expose().len())
    }

    /// Where to cut `text` near the byte `at` so that no secret is cut in two: before it if
    /// possible, else after. `text` should reach [`longest`](Self::longest) bytes beyond `at`.
    pub fn cut_near(&self, text: &str, at: usize) -> usize {
        let at = text.floor_char_boundary(at);
        for secret in self.known().by_length.iter().map(Secret::expose) {
            let from = text.floor_char_boundary(at.saturating_sub(secret.len()));
            let to = text.ceil_char_boundary((at + secret.len()).min(text.len()));
            let mut found = text[from..to].match_indices(secret).map(|(start, _)| from + start);
            if let Some(start) = found.find(|start| (start + 1..start + secret.len()).contains(&at))
            {
                return if start > 0 { start } else { secret.len() };
            }
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_of_a_secret_and_longer_ones_first() {
        let redactor = Redactor::default();
        redactor.register("abc");
        redactor.register("abcdef\r\nsecond line");
        assert_eq!(redactor.redact("x abcdef y"), "x <sensitive> y");
        assert_eq!(redactor.redact("abc second line"), "<sensitive> <sensitive>");
        assert_eq!(format!("{:?}", Secret::new("abc")), MASK);
    }

    #[test]
    fn a_cut_never_goes_through_a_secret() {
        let redactor = Redactor::default();
        redactor.register("hunter22");
        let text = "xxxx hunter22 yyyy";
        assert_eq!(redactor.cut_near(text, 3), 3);
        assert_eq!((6..13).map(|at| redactor.cut_near(text, at)).max(), Some(5));
        assert_eq!(redactor.cut_near(text, 13), 13);
        assert_eq!(redactor.cut_near("hunter22 at the start", 4), 8);
    }
}
