//! A machine's keyboard: keys pressed through QMP, no faster than the guest reads them.
//!
//! QEMU's PS/2 keyboard holds 16 bytes and a BIOS 15 keys; what comes when they are full is lost, and
//! nobody is told. Both can be looked at without disturbing the guest: the status port of the keyboard
//! controller, and the BIOS' buffer in the guest's memory. So keys wait until there is room.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::keys::{Key, Stroke};
use super::language::Motion;
use crate::vm::qmp::Qmp;

/// The pause between two keys that the guest reads at once.
const SHORTEST: Duration = Duration::from_millis(10);
/// The pause after each press and release where nobody can see what the guest reads: USB keyboards are
/// asked for one change every ten milliseconds.
const UNSEEN: Duration = Duration::from_millis(40);
/// How long to wait for a guest that does not read.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often to look whether it does.
const LOOK: Duration = Duration::from_millis(2);
/// How many keys may wait in the buffer of a BIOS, which holds 15.
const WAITING: u16 = 8;

/// The keyboard of a machine.
#[derive(Debug)]
pub struct Keyboard<'a> {
    qmp: &'a Qmp,
    pace: Pace,
    /// The keys that are held, and whether shift was pressed for their sign.
    held: BTreeMap<Key, bool>,
    /// Whether the guest has let the last keys lie for longer than [`PATIENCE`].
    ignored: bool,
    /// How many keys were typed while it did.
    unread: usize,
}

/// How fast keys follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// With this pause after each press and each release.
    Fixed(Duration),
    /// As the guest reads.
    Guests,
}

impl<'a> Keyboard<'a> {
    /// The keyboard of the machine that `qmp` controls. `interval`: the pause after each press and each
    /// release; `None`: as fast as the guest reads, which shows only of a PS/2 keyboard (`is_ps2`).
    pub async fn of(qmp: &'a Qmp, interval: Option<Duration>, is_ps2: bool) -> Self {
        let pace = match interval {
            Some(interval) => Pace::Fixed(interval),
            None if is_ps2 && controller_status(qmp).await.is_some() => Pace::Guests,
            None => Pace::Fixed(UNSEEN),
        };
        Self { qmp, pace, held: BTreeMap::new(), ignored: false, unread: 0 }
    }

    /// Moves a key.
    pub async fn stroke(&mut self, stroke: Stroke, motion: Motion) -> anyhow::Result<()> {
        let moves = self.moves(stroke, motion);
        match self.pace {
            Pace::Fixed(interval) => {
                for one in moves {
                    self.send(&[one]).await?;
                    sleep(interval).await;
                }
            }
            Pace::Guests => {
                self.until_read().await;
                self.send(&moves).await?;
                sleep(SHORTEST).await;
            }
        }
        Ok(())
    }

    /// What goes down (`true`) and up for it, in order. A shift that is held already is not pressed
    /// again, since its release would end the holding.
    fn moves(&mut self, Stroke { key, shift }: Stroke, motion: Motion) -> Vec<(Key, bool)> {
        let shift = shift && !self.holds_shift();
        let mut moves = Vec::with_capacity(4);
        if motion != Motion::Release {
            moves.extend(shift.then_some((Key::SHIFT, true)));
            moves.push((key, true));
        }
        match motion {
            Motion::Hold => _ = self.held.insert(key, shift),
            Motion::Press => {
                moves.push((key, false));
                moves.extend(shift.then_some((Key::SHIFT, false)));
            }
            Motion::Release => {
                moves.push((key, false));
                let with_shift = self.held.remove(&key).unwrap_or(false);
                moves.extend(with_shift.then_some((Key::SHIFT, false)));
            }
        }
        moves
    }

    fn holds_shift(&self) -> bool {
        self.held.iter().any(|(key, &with_shift)| key.is_shift() || with_shift)
    }

    /// Releases all keys that are held, and waits until the guest has read the last one. The last key
    /// may have ended the machine. How many keys were typed at a guest that did not read them.
    pub async fn finish(mut self) -> usize {
        for key in self.held.keys().copied().collect::<Vec<_>>() {
            let released = self.stroke(Stroke { key, shift: false }, Motion::Release).await;
            if let Err(error) = released {
                tracing::debug!("a key cannot be released: {error:#}");
            }
        }
        if self.pace == Pace::Guests {
            self.until_read().await;
        }
        self.unread
    }

    async fn send(&self, moves: &[(Key, bool)]) -> anyhow::Result<()> {
        let events: Vec<Value> = moves
            .iter()
            .map(|(key, down)| {
                let key = json!({ "type": "qcode", "data": key.qcode() });
                json!({ "type": "key", "data": { "down": down, "key": key } })
            })
            .collect();
        self.qmp.execute("input-send-event", json!({ "events": events })).await.map(drop)
    }

    /// Waits until the guest has room for more keys, but not for ever: one that does not read at all
    /// is not waited for again, until it reads.
    async fn until_read(&mut self) {
        let begun = Instant::now();
        while is_full(self.qmp).await {
            if self.ignored || begun.elapsed() > PATIENCE {
                self.ignored = true;
                self.unread += 1;
                return;
            }
            sleep(LOOK).await;
        }
        self.ignored = false;
    }
}

/// Whether what the guest has not read yet leaves no room for more.
async fn is_full(qmp: &Qmp) -> bool {
    const UNREAD: u8 = 1;
    if controller_status(qmp).await.is_some_and(|status| status & UNREAD != 0) {
        return true;
    }
    waiting_keys(qmp).await.is_some_and(|waiting| waiting >= WAITING)
}

/// The status of the keyboard controller, if there is one.
async fn controller_status(qmp: &Qmp) -> Option<u8> {
    let answer = monitor(qmp, "i /b 0x64").await?;
    let status = numbers(answer.split_once('=')?.1).next()?;
    u8::try_from(status).ok().filter(|&status| status != 0xff)
}

/// How many keys wait in the buffer of the BIOS; `None` where there is no such buffer.
async fn waiting_keys(qmp: &Qmp) -> Option<u16> {
    // Where the next key is read from, and where it is written to, of 16 places with two bytes each.
    let answer = monitor(qmp, "xp /2hx 0x41a").await?;
    let mut ends = numbers(answer.split_once(':')?.1);
    let (head, tail) = (ends.next()?, ends.next()?);
    let is_place = |place: u16| (0x1e..0x3e).contains(&place) && place.is_multiple_of(2);
    (is_place(head) && is_place(tail)).then(|| (tail + 0x20 - head) % 0x20 / 2)
}

/// What QEMU's monitor for people answers.
async fn monitor(qmp: &Qmp, line: &str) -> Option<String> {
    let asked = qmp.execute("human-monitor-command", json!({ "command-line": line })).await;
    asked.ok()?.as_str().map(str::to_owned)
}

fn numbers(text: &str) -> impl Iterator<Item = u16> {
    let words = text.split_whitespace().filter_map(|word| word.strip_prefix("0x"));
    words.filter_map(|digits| u16::from_str_radix(digits, 16).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::boot::language::{Action, Command};

    /// The keys that go down (`+`) and up (`-`) for `text`.
    async fn moves(text: &str) -> String {
        let (ours, _theirs) = tokio::net::UnixStream::pair().unwrap();
        let qmp = Qmp::unanswered(ours);
        let mut keyboard = Keyboard {
            qmp: &qmp,
            pace: Pace::Guests,
            held: BTreeMap::new(),
            ignored: false,
            unread: 0,
        };
        let mut moves = Vec::new();
        for action in Command::parse(text).actions {
            let Action::Type(stroke, motion) = action else { panic!("{action:?}") };
            moves.extend(keyboard.moves(stroke, motion));
        }
        let shown =
            |(key, down): &(Key, bool)| format!("{}{}", if *down { '+' } else { '-' }, key.qcode());
        moves.iter().map(shown).collect::<Vec<_>>().join(" ")
    }

    #[tokio::test]
    async fn shift_is_pressed_where_it_is_not_held() {
        assert_eq!(moves("a!").await, "+a -a +shift +1 -1 -shift");
        assert_eq!(
            moves("<leftShiftOn>aA<leftShiftOff>A").await,
            "+shift +a -a +a -a -shift +shift +a -a -shift"
        );
        assert_eq!(moves("<AOn>B<AOff>").await, "+shift +a +b -b -a -shift");
    }
}
