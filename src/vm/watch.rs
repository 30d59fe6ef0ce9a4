//! Somebody who looks at a machine's screen now and then, and says so when nothing happens on it.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;

use crate::diagnostic::Severity;
use crate::event::{Annotation, Message, Ui};
use crate::vm::album::{Album, Moment};
use crate::vm::machine::Machine;
use crate::vm::screen::Frame;

/// How often to look, and how long nothing may happen.
#[derive(Clone, Copy, Debug)]
pub struct Rhythm {
    /// How often to look.
    pub every: Duration,
    /// How long nothing may happen without a word about it.
    pub patience: Duration,
}

impl Default for Rhythm {
    fn default() -> Self {
        Self { every: Duration::from_secs(60), patience: Duration::from_secs(5 * 60) }
    }
}

/// A watch over a machine; it ends when it is dropped, or with the machine.
#[derive(Debug)]
pub struct Watch {
    /// Whether somebody else knows what the machine does.
    is_connected: Arc<AtomicBool>,
    _task: AbortOnDropHandle<()>,
}

impl Watch {
    /// Begins to watch `machine`.
    pub fn over(machine: Arc<Machine>, album: Arc<Album>, rhythm: Rhythm, ui: Ui) -> Self {
        let is_connected = Arc::new(AtomicBool::new(false));
        let watcher = Watcher { album, rhythm, ui, is_connected: is_connected.clone() };
        let task = tokio::spawn(watcher.watch(machine));
        Self { is_connected, _task: AbortOnDropHandle::new(task) }
    }

    /// From now on a screen that stands still is nothing to tell: the machine has booted, and what goes
    /// on in it is heard in another way.
    pub fn connected(&self) {
        self.is_connected.store(true, Ordering::Relaxed);
    }
}

struct Watcher {
    album: Arc<Album>,
    rhythm: Rhythm,
    ui: Ui,
    is_connected: Arc<AtomicBool>,
}

impl Watcher {
    async fn watch(self, machine: Arc<Machine>) {
        let looking = async {
            let begun = Instant::now();
            let mut stillness = Stillness::new(self.rhythm.patience, begun);
            loop {
                sleep(self.rhythm.every).await;
                let minutes = begun.elapsed().as_secs() / 60;
                if let Err(error) = self.look(&machine, minutes, &mut stillness).await {
                    // There are machines without a screen.
                    tracing::info!("the screen is not watched any more: {error:#}");
                    return;
                }
            }
        };
        let _ = machine.while_there(looking).await;
    }

    async fn look(
        &self,
        machine: &Machine,
        minutes: u64,
        stillness: &mut Stillness,
    ) -> anyhow::Result<()> {
        let frame = machine.frame().await?;
        let still = stillness.saw(&frame, machine.console().printed_so_far(), Instant::now());
        let path = self.album.keep(frame, Moment::Minute(minutes), &self.ui).await?;
        if let Some(since) = still
            && !self.is_connected.load(Ordering::Relaxed)
        {
            self.warn(since, path);
        }
        Ok(())
    }

    fn warn(&self, since: Duration, picture: PathBuf) {
        let title =
            format!("nothing has changed on the screen for {} minutes", since.as_secs() / 60);
        let text = format!(
            "{title}, and nothing was printed on the serial console: {} shows what it waits for",
            picture.display()
        );
        self.ui.say(format!("Warning: {text}"));
        let (severity, place, fault) = (Severity::Warning, None, None);
        self.ui.send(Message::Annotation(Annotation { severity, place, title, text, fault }));
    }
}

/// How long a screen has shown nothing new. A cursor that blinks is nothing new: the screen goes back and
/// forth between two pictures.
#[derive(Debug)]
struct Stillness {
    patience: Duration,
    /// The last pictures, all different.
    seen: VecDeque<[u8; 32]>,
    /// How much was printed on the serial console.
    printed: u64,
    since: Instant,
    is_told: bool,
}

impl Stillness {
    fn new(patience: Duration, now: Instant) -> Self {
        Self { patience, seen: VecDeque::new(), printed: 0, since: now, is_told: false }
    }

    /// For how long nothing has happened, where that is to be told: once, until something happens.
    fn saw(&mut self, frame: &Frame, printed: u64, now: Instant) -> Option<Duration> {
        let digest = frame.digest();
        let is_new = !self.seen.contains(&digest);
        if is_new {
            self.seen.push_back(digest);
            self.seen.drain(..self.seen.len().saturating_sub(2));
        }
        if is_new || printed != self.printed {
            (self.since, self.printed, self.is_told) = (now, printed, false);
        }
        let since = now - self.since;
        let tell = since >= self.patience && !self.is_told;
        self.is_told |= tell;
        tell.then_some(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_still_screen_is_told_once_and_a_blinking_cursor_is_still() {
        let begun = Instant::now();
        let mut stillness = Stillness::new(Duration::from_secs(300), begun);
        let mut saw = |shade, printed, minute: u64| {
            let now = begun + Duration::from_secs(60 * minute);
            stillness
                .saw(&Frame::filled(4, 4, shade), printed, now)
                .map(|since| since.as_secs() / 60)
        };
        assert_eq!(saw(1, 0, 1), None);
        assert_eq!(saw(2, 0, 2), None);
        for minute in 3..7 {
            assert_eq!(saw(1 + u8::from(minute % 2 == 0), 0, minute), None);
        }
        assert_eq!(saw(1, 0, 7), Some(5));
        assert_eq!(saw(1, 0, 8), None);
        assert_eq!(saw(3, 0, 9), None, "something new");
        assert_eq!(saw(3, 10, 13), None, "something was printed");
        assert_eq!(saw(3, 10, 17), None);
        assert_eq!(saw(3, 10, 18), Some(5));
    }
}
