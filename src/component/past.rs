//! What builds have made before, and is still there.

use std::sync::Arc;

use jiff::Timestamp;

use crate::env::Environment;
use crate::fingerprint::MadeFrom;
use crate::secret::Redactor;

/// What a builder is asked for, to find what it has made before.
#[derive(Clone, Debug)]
pub struct PastQuery {
    /// The build, by its unique name.
    pub build: String,
    /// What others say that it has made, by their ids: `us-east-1:ami-…`.
    pub known: Vec<String>,
    /// Where credentials are looked for.
    pub environment: Arc<Environment>,
    /// Takes the secrets that turn up.
    pub redactor: Redactor,
}

/// An image that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PastImage {
    /// Its id, or the path of its file.
    pub id: String,
    /// Its region, where there are any.
    pub region: String,
    /// When it was made.
    pub made_at: Option<Timestamp>,
    /// From what it was made.
    pub made_from: Option<MadeFrom>,
    /// How large it is, in bytes.
    pub size: Option<u64>,
    /// Whether it has passed a test.
    pub is_tested: bool,
    /// The paths of the images as which it was published, e.g. `/images/web`.
    pub published_as: Vec<String>,
}
