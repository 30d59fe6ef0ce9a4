//! The machine's SSH server.

use std::sync::Arc;

use crate::communicator::{Options, Target};
use crate::component::{BuildContext, Communicator};

/// Waits until the machine lets us in.
pub(super) async fn connect(
    _options: &Options,
    _cx: &BuildContext,
    _target: Target,
) -> anyhow::Result<Arc<dyn Communicator>> {
    anyhow::bail!("SSH is being built")
}

/// `text` as one word for a POSIX shell.
pub(super) fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
