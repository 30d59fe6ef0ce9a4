//! Secrets: a type that cannot be printed, and the one redactor in front of every output.
//!
//! | file | what is there |
//! |---|---|
//! | `redactor` | every known secret in a text is masked |
//! | `key_id` | ids of AWS access keys, told from other words |
//! | `forms` | how else a secret may be written: encoded, quoted, reversed |
//! | `rsa` | what is sealed for an RSA key |
//! | `weak` | what is too short or too common to be masked |

mod forms;
mod key_id;
mod redactor;
mod rsa;
mod weak;

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

pub use self::key_id::access_key_ids;
pub use self::redactor::{Redactor, Taint};
pub(crate) use self::redactor::{joined, without_quoted};
pub use self::rsa::RsaKey;
pub use self::weak::Weakness;

/// What is printed in a secret's place.
pub const MASK: &str = "<sensitive>";

/// A value that must not reach a log, a file or a child that doesn't need it.
#[derive(Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

/// The schema says that it is one, so that whoever reads an option by its schema keeps it.
impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "secret".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "writeOnly": true })
    }
}

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Writes it into a file that only its owner can read.
    pub fn write_to(&self, file: &Path) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(file)?;
        file.write_all(self.0.as_bytes())
    }

    /// Whether there is anything to hide.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Sets of secrets are asked for a text.
impl Borrow<str> for Secret {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Bytes that nobody can guess.
pub fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).context("there are no random numbers")?;
    Ok(bytes)
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
