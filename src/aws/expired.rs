//! Whether AWS says that the keys which sign calls have run out: calls hear it, and whoever has the
//! keys finds new ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether keys have run out. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Expired(Arc<AtomicBool>);

impl Expired {
    /// AWS says so: new keys are found before the next call.
    pub fn say(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether AWS has said so since this was asked last.
    pub fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}
