//! The signals that end a run: the first one interrupts it, the second one ends the program.

use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::Exit;
use crate::peer;
use crate::plugin;

/// All that ask a process to end, with their names in messages. Some are rarely sent by people;
/// but schedulers and `timeout -s` do send them, and whoever does not listen dies of them without
/// having cleaned up.
pub const ENDING: [(Signal, &str); 7] = [
    (Signal::INT, "interrupt"),
    (Signal::TERM, "terminated"),
    (Signal::HUP, "hangup"),
    (Signal::QUIT, "quit"),
    (Signal::ALARM, "alarm clock"),
    (Signal::USR1, "user defined signal 1"),
    (Signal::USR2, "user defined signal 2"),
];

/// How long the last words may take to be read after an interruption.
pub const LAST_WORDS: Duration = Duration::from_secs(2);
/// How long a run that is over may take to say so after a second signal.
const REPORT: Duration = Duration::from_secs(1);

/// Listens for one of them.
pub fn listen(signal: Signal) -> io::Result<unix::Signal> {
    unix::signal(SignalKind::from_raw(signal.as_raw()))
}

/// The names of the signals as they come, for whoever runs builds. When the second one comes, or
/// one that nobody waits for any more, the process has only its last words, and ends even if
/// nobody reads them.
pub(super) fn heard() -> io::Result<UnboundedReceiver<&'static str>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut signals = Vec::new();
    {
        let _entered = runtime.enter();
        for (signal, name) in ENDING.into_iter().filter(|(signal, _)| !is_ignored(*signal)) {
            signals.push((listen(signal)?, name));
        }
    }
    let (run, heard) = unbounded_channel();
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || runtime.block_on(guard(signals, run)))?;
    Ok(heard)
}

#[expect(
    clippy::disallowed_methods,
    reason = "`main` itself may wait for a reader who never reads"
)]
async fn guard(mut signals: Vec<(unix::Signal, &'static str)>, run: UnboundedSender<&'static str>) {
    let mut last_words = LAST_WORDS;
    for is_first in [true, false] {
        let name = next(&mut signals).await;
        if run.send(name).is_err() {
            // The run is over, and says how it ended. Whoever has interrupted it before does not
            // wait for a reader who may never come.
            if !is_first {
                last_words = last_words.min(REPORT);
            }
            break;
        }
    }
    tokio::time::sleep(last_words).await;
    plugin::end_all();
    std::process::exit(Exit::Interrupted as i32);
}

/// What goes with the next of `signals`.
pub async fn next<T: Copy>(signals: &mut [(unix::Signal, T)]) -> T {
    let heard = signals.iter_mut().map(|(heard, what)| {
        Box::pin(async move {
            heard.recv().await;
            *what
        })
    });
    futures::future::select_all(heard).await.0
}

/// Whether who started us wants us to survive this signal: `nohup` does. (A script's background
/// commands ignore interrupts, too; but whoever sends them one means it.)
fn is_ignored(signal: Signal) -> bool {
    let status = || peer::read_regular_text(Path::new("/proc/self/status"), 64 * 1024);
    signal == Signal::HUP && status().is_ok_and(|status| ignores(&status, signal))
}

/// Whether the `SigIgn` of a process's status has `signal`.
fn ignores(status: &str, signal: Signal) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| (mask >> (signal.as_raw() - 1)) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_ignores_stands_in_its_status() {
        let status = "Name:\timgbake\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n";
        assert!(ignores(status, Signal::HUP));
        assert!(!ignores(status, Signal::INT));
        assert!(!ignores("", Signal::HUP));
    }
}
