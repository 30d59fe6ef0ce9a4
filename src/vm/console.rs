//! The machine's serial console: kept, to be shown when a build fails.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::AsyncReadExt as _;
use tokio::net::UnixListener;

use crate::guest::harmless;

/// How much of the console is kept.
const KEPT_BYTES: usize = 64 * 1024;

/// What a machine printed on its serial console lately. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Console(Arc<Mutex<VecDeque<u8>>>);

impl Console {
    /// Keeps what the machine that connects to `listener` prints, until it hangs up.
    pub async fn record(self, listener: UnixListener) {
        let Ok((mut stream, _)) = listener.accept().await else { return };
        let mut buffer = vec![0; 4096];
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            self.keep(&buffer[..read]);
        }
    }

    fn bytes(&self) -> std::sync::MutexGuard<'_, VecDeque<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, bytes: &[u8]) {
        let mut kept = self.bytes();
        kept.extend(bytes);
        let surplus = kept.len().saturating_sub(KEPT_BYTES);
        kept.drain(..surplus);
    }

    /// The last lines, at most `count`, made harmless; empty lines are left out.
    pub fn last_lines(&self, count: usize) -> Vec<String> {
        let bytes = Vec::from(self.bytes().clone());
        let mut lines: Vec<_> = bytes
            .rsplit(|&byte| byte == b'\n')
            .map(harmless)
            .filter(|line| !line.trim().is_empty())
            .take(count)
            .collect();
        lines.reverse();
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_harmless() {
        let console = Console::default();
        for number in 0..20_000 {
            console.keep(format!("\x1b[1mline {number}\x1b[0m\r\n\r\n").as_bytes());
        }
        assert_eq!(console.last_lines(2), ["line 19998", "line 19999"]);
        assert!(console.bytes().len() <= KEPT_BYTES);
    }
}
