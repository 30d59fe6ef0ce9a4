//! Secrets: a type that cannot be printed, and the one redactor in front of every output.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, RwLock};

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

/// Replaces every known secret in a text. Clones share one list.
#[derive(Clone, Debug, Default)]
pub struct Redactor(Arc<RwLock<Vec<Secret>>>);

impl Redactor {
    /// Makes `secret`, and each of its lines, unprintable from now on.
    pub fn register(&self, secret: &str) {
        let mut known = self.0.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        let unix = secret.replace("\r\n", "\n");
        for text in [secret, &unix].into_iter().chain(unix.lines()) {
            let text = Secret::new(text);
            if !text.expose().trim().is_empty() && !known.contains(&text) {
                known.push(text);
            }
        }
        // A secret that contains another must go first, or its rest would show.
        known.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
    }

    /// `text` without any registered secret.
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let known = self.0.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut text = Cow::Borrowed(text);
        for secret in known.iter() {
            if text.contains(secret.expose()) {
                text = Cow::Owned(text.replace(secret.expose(), MASK));
            }
        }
        text
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
}
