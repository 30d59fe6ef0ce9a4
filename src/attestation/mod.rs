//! Attestations: statements in envelopes that are signed, and whether they hold.
//!
//! | file | what is there |
//! |---|---|
//! | `statement` | what a statement says, held against what is expected of it |
//! | `envelope` | the envelope (DSSE) that a statement and its signatures come in |
//! | `public_key` | keys that accept signatures |
//! | `private_key` | keys in files that sign |
//! | `kms` | keys of services that sign |
//! | `signer` | what signs a statement |

pub mod envelope;
pub mod kms;
mod private_key;
pub mod public_key;
pub mod signer;
pub mod statement;

/// The largest file of a key.
const LARGEST_KEY: u64 = 1 << 20;

/// How much an error shows of a name that others gave.
const LONGEST_TOLD: usize = 200;

/// `text` of somebody else, quoted, so that it is one short line.
fn shown(text: &str) -> String {
    let end = text.floor_char_boundary(LONGEST_TOLD);
    let more = if end < text.len() { "…" } else { "" };
    format!("`{}{more}`", text[..end].escape_debug())
}
