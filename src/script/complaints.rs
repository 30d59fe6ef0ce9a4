//! What a program on this machine prints while nobody looks at it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio_util::task::AbortOnDropHandle;

use crate::guest::harmless;

/// How much is kept: the end of it says why a program failed.
const KEPT: usize = 64 << 10;
/// How long what the program has started may keep the pipe open after its end.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Reads a pipe from now on, so that the program never waits for us; keeps the end of what comes.
#[derive(Debug)]
pub struct Complaints {
    kept: Arc<Mutex<VecDeque<u8>>>,
    reading: AbortOnDropHandle<()>,
}

impl Complaints {
    /// Reads `pipe`, if there is one.
    pub fn of(pipe: Option<impl AsyncRead + Send + Unpin + 'static>) -> Self {
        let kept = Arc::default();
        let reading = tokio::spawn(read(pipe, Arc::clone(&kept)));
        Self { kept, reading: AbortOnDropHandle::new(reading) }
    }

    /// The end of what a program has said that is gone now, as harmless lines.
    pub async fn last(self) -> String {
        let _ = tokio::time::timeout(LAST_WORDS, self.reading).await;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        harmless(kept.make_contiguous()).trim().to_owned()
    }
}

async fn read(pipe: Option<impl AsyncRead + Unpin>, kept: Arc<Mutex<VecDeque<u8>>>) {
    let Some(mut pipe) = pipe else { return };
    let mut chunk = vec![0; 16 << 10];
    while let Ok(read @ 1..) = pipe.read(&mut chunk).await {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(&chunk[..read]);
        let old = kept.len().saturating_sub(KEPT);
        kept.drain(..old);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn a_program_that_says_much_never_waits_and_its_end_is_kept() {
        let (mut program, pipe) = tokio::io::duplex(1024);
        let complaints = Complaints::of(Some(pipe));
        program.write_all(&b"chatter\n".repeat(100_000)).await.unwrap();
        program.write_all(b"\x1b[31mfatal:\x1b[0m no such host\n").await.unwrap();
        drop(program);
        let said = complaints.last().await;
        assert!(said.len() <= KEPT, "{}", said.len());
        assert!(said.ends_with("chatter\nfatal: no such host"), "{said}");
    }

    #[tokio::test]
    async fn what_keeps_the_pipe_open_is_not_waited_for() {
        let (mut program, pipe) = tokio::io::duplex(1024);
        let complaints = Complaints::of(Some(pipe));
        program.write_all(b"fatal\n").await.unwrap();
        assert_eq!(complaints.last().await, "fatal");
        drop(program);
    }
}
