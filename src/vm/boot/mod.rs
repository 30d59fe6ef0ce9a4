//! What is typed at a machine that boots.
//!
//! | file | what is there |
//! |---|---|
//! | `options` | the options, what is checked of them, and what is left of them to do |
//! | `language` | boot commands: text → actions |
//! | `keys` | the keys of a keyboard, and which of them type a character |
//! | `keyboard` | keys → QMP, no faster than the guest reads them |
//! | `typist` | the actions done: keys and waits |

mod keyboard;
mod keys;
mod language;
mod options;
mod typist;

pub use self::options::{Boot, BootFields, BootStep, Options};
pub use self::typist::Typist;
