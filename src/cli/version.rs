//! `imgbake version`.

use super::{Exit, Session};

pub(super) fn run(session: &Session) -> Exit {
    let _ = session;
    Exit::Success
}
