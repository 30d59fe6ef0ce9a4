//! What makes a stream of messages: numbers, acknowledgements, and sending again what nobody has
//! acknowledged. No clock and no socket is in here; both are given.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Bytes;

use crate::aws::ssm::message::{Draft, Message};

/// How many of our messages may be on their way: half a second's worth.
const WINDOW: usize = 512;
/// How often a message is sent before others may tell that it has arrived.
const OFTEN: u32 = 8;
/// How many messages may come before those that should have come first.
const MOST_EARLY: usize = 10_000;

/// Our messages, until they have arrived.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// How long one of them is sent on one connection before that is given up.
    patience: Duration,
    next: i64,
    on_their_way: BTreeMap<i64, Sent>,
    /// When each has waited long enough for its acknowledgement.
    due: BTreeSet<(Instant, i64)>,
    /// The highest number that has arrived.
    arrived: Option<i64>,
    round_trip: RoundTrip,
    /// Since when the other side does not listen.
    paused: Option<Instant>,
}

#[derive(Debug)]
struct Sent {
    bytes: Bytes,
    /// Since when this connection has it.
    since: Instant,
    /// When it was sent last.
    last: Instant,
    due: Instant,
    /// How often this connection got it.
    tries: u32,
    /// How often those before got it.
    tries_before: u32,
}

/// What is to be done about a message that nobody has acknowledged.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// Nothing.
    Nothing,
    /// It is sent again.
    Again(Bytes),
    /// Nothing arrives any more.
    Lost,
}

impl Outgoing {
    /// None so far.
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            patience,
            next: 0,
            on_their_way: BTreeMap::new(),
            due: BTreeSet::new(),
            arrived: None,
            round_trip: RoundTrip::default(),
            paused: None,
        }
    }

    /// The message that `draft` becomes; it is on its way now.
    pub(super) fn send(&mut self, draft: Draft, payload_type: u32, now: Instant) -> Bytes {
        let sequence = self.next;
        self.next += 1;
        let bytes = draft.into_input(payload_type, sequence);
        let due = now + self.round_trip.timeout(1);
        let sent =
            Sent { bytes: bytes.clone(), since: now, last: now, due, tries: 1, tries_before: 0 };
        self.on_their_way.insert(sequence, sent);
        self.due.insert((due, sequence));
        bytes
    }

    /// Whether another one may be sent. To an agent that does not listen goes one at a time: that
    /// shows when it listens again.
    pub(super) fn has_room(&self) -> bool {
        self.on_their_way.len() < if self.paused.is_some() { 1 } else { WINDOW }
    }

    /// Whether none is on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.on_their_way.is_empty()
    }

    /// The other side does not listen any more.
    pub(super) fn pause(&mut self, now: Instant) {
        self.paused = Some(now);
    }

    /// The other side listens again.
    pub(super) fn resume(&mut self) {
        self.paused = None;
    }

    /// Number `sequence` has arrived.
    pub(super) fn arrived(&mut self, sequence: i64, now: Instant) {
        self.arrived = self.arrived.max(Some(sequence));
        if let Some(sent) = self.on_their_way.remove(&sequence) {
            self.due.remove(&(sent.due, sequence));
            // Acknowledgements of what was sent before may come late.
            if self.paused.is_some_and(|since| sent.last > since) {
                self.resume();
            }
            // Of a second try it is not known which one an acknowledgement is about.
            if sent.tries + sent.tries_before == 1 {
                self.round_trip.learn(now - sent.since);
            }
        }
    }

    /// When one of them has waited long enough.
    pub(super) fn due(&self) -> Option<Instant> {
        self.next_due().map(|(due, _)| due)
    }

    /// While the other side does not listen, only the oldest counts.
    fn next_due(&self) -> Option<(Instant, i64)> {
        match self.paused.is_some() {
            true => self.on_their_way.iter().next().map(|(&sequence, sent)| (sent.due, sequence)),
            false => self.due.first().copied(),
        }
    }

    /// What is to be done about the one that is due.
    pub(super) fn overdue(&mut self, now: Instant) -> Overdue {
        let Some((due, sequence)) = self.next_due().filter(|(due, _)| *due <= now) else {
            return Overdue::Nothing;
        };
        self.due.remove(&(due, sequence));
        let arrived = self.arrived;
        let Some(sent) = self.on_their_way.get_mut(&sequence) else { return Overdue::Nothing };
        if sent.must_have_arrived(sequence, arrived) {
            self.on_their_way.remove(&sequence);
            return Overdue::Nothing;
        }
        if now - sent.since >= self.patience {
            self.due.insert((due, sequence));
            return Overdue::Lost;
        }
        sent.tries += 1;
        sent.last = now;
        sent.due = now + self.round_trip.timeout(sent.tries);
        self.due.insert((sent.due, sequence));
        Overdue::Again(sent.bytes.clone())
    }

    /// All that are on their way, once more for a new connection.
    pub(super) fn all_again(&mut self, now: Instant) -> Vec<Bytes> {
        self.resume();
        self.due.clear();
        let (arrived, due) = (self.arrived, now + self.round_trip.timeout(1));
        self.on_their_way.retain(|&sequence, sent| !sent.must_have_arrived(sequence, arrived));
        let mut again = Vec::with_capacity(self.on_their_way.len());
        for (&sequence, sent) in &mut self.on_their_way {
            sent.tries_before += sent.tries;
            (sent.since, sent.last, sent.due, sent.tries) = (now, now, due, 1);
            self.due.insert((due, sequence));
            again.push(sent.bytes.clone());
        }
        again
    }
}

impl Sent {
    /// An agent does not acknowledge a second time what it has seen. If the first acknowledgement
    /// was lost, it is told by this: the message was sent often, and later ones have arrived.
    fn must_have_arrived(&self, sequence: i64, arrived: Option<i64>) -> bool {
        self.tries + self.tries_before >= OFTEN && arrived > Some(sequence)
    }
}

/// How long an acknowledgement takes, as those before it took; the constants are TCP's.
#[derive(Debug)]
struct RoundTrip {
    mean: Duration,
    deviation: Duration,
}

const SHORTEST_MARGIN: Duration = Duration::from_millis(10);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(5);

impl Default for RoundTrip {
    fn default() -> Self {
        Self { mean: Duration::from_millis(100), deviation: Duration::from_millis(25) }
    }
}

impl RoundTrip {
    fn learn(&mut self, took: Duration) {
        self.deviation = (self.deviation * 3 + self.mean.abs_diff(took)) / 4;
        self.mean = (self.mean * 7 + took) / 8;
    }

    /// How long to wait for the acknowledgement of the try with this number.
    fn timeout(&self, tries: u32) -> Duration {
        let once = self.mean + (self.deviation * 4).max(SHORTEST_MARGIN);
        (once * 2_u32.pow(tries.saturating_sub(1).min(10))).min(LONGEST_TIMEOUT)
    }
}

/// The agent's messages, until it is their turn.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    next: i64,
    early: BTreeMap<i64, Message>,
}

impl Incoming {
    /// `message` came. Whether that is to be acknowledged: one that came before is, because the
    /// agent seems not to know; one that there is no room for is not.
    pub(super) fn came(&mut self, message: Message) -> bool {
        if message.sequence < self.next {
            return true;
        }
        if message.sequence > self.next && self.early.len() >= MOST_EARLY {
            return false;
        }
        self.early.insert(message.sequence, message);
        true
    }

    /// The next message, if it is there.
    pub(super) fn take(&mut self) -> Option<Message> {
        let message = self.early.remove(&self.next)?;
        self.next += 1;
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::ssm::message::payload;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn draft() -> Draft {
        Draft::of(b"x")
    }

    fn sequence(bytes: &Bytes) -> i64 {
        Message::read(bytes).unwrap().sequence
    }

    #[test]
    fn what_is_not_acknowledged_is_sent_again_and_ever_more_rarely() {
        let start = Instant::now();
        let mut outgoing = Outgoing::new(PATIENCE);
        let first = outgoing.send(draft(), payload::DATA, start);
        let second = outgoing.send(draft(), payload::DATA, start);
        assert_eq!(outgoing.due(), Some(start + millis(200)));
        assert_eq!(outgoing.overdue(start + millis(199)), Overdue::Nothing);
        assert_eq!(outgoing.overdue(start + millis(200)), Overdue::Again(first));
        assert_eq!(outgoing.overdue(start + millis(200)), Overdue::Again(second));
        assert_eq!(outgoing.due(), Some(start + millis(600)));
        outgoing.arrived(0, start + millis(250));
        outgoing.arrived(1, start + millis(250));
        assert!(outgoing.is_empty());
    }

    #[test]
    fn the_wait_follows_the_round_trip_but_not_that_of_a_second_try() {
        let start = Instant::now();
        let mut outgoing = Outgoing::new(PATIENCE);
        for _ in 0..50 {
            let number = sequence(&outgoing.send(draft(), payload::DATA, start));
            outgoing.arrived(number, start + millis(20));
        }
        let quick = outgoing.round_trip.timeout(1);
        assert!(quick < millis(40), "{quick:?}");
        let number = sequence(&outgoing.send(draft(), payload::DATA, start));
        assert!(matches!(outgoing.overdue(start + millis(50)), Overdue::Again(_)));
        outgoing.arrived(number, start + millis(5_000));
        assert_eq!(outgoing.round_trip.timeout(1), quick);
        assert_eq!(outgoing.round_trip.timeout(30), LONGEST_TIMEOUT);
    }

    #[test]
    fn no_more_than_a_window_is_on_its_way_and_one_while_the_agent_does_not_listen() {
        let now = Instant::now();
        let mut outgoing = Outgoing::new(PATIENCE);
        while outgoing.has_room() {
            outgoing.send(draft(), payload::DATA, now);
        }
        assert_eq!(outgoing.on_their_way.len(), WINDOW);
        outgoing.pause(now);
        (1..WINDOW as i64).for_each(|number| outgoing.arrived(number, now));
        assert!(!outgoing.has_room(), "number 0 is still on its way");
        outgoing.arrived(0, now);
        assert!(outgoing.has_room());
        let later = now + millis(1);
        let number = sequence(&outgoing.send(draft(), payload::DATA, later));
        assert!(!outgoing.has_room());
        outgoing.arrived(number, later);
        let sent = (0..).take_while(|_| {
            outgoing.has_room() && {
                outgoing.send(draft(), payload::DATA, later);
                true
            }
        });
        assert_eq!(sent.count(), WINDOW, "what was sent in the pause was heard: it is over");
    }

    /// Tries until there is something else to do than to send again.
    fn exhaust(outgoing: &mut Outgoing, mut now: Instant) -> Overdue {
        for _ in 0..100 {
            now = outgoing.due().unwrap();
            match outgoing.overdue(now) {
                Overdue::Again(_) => {}
                other => return other,
            }
        }
        panic!("it is tried for ever: until {now:?}");
    }

    #[test]
    fn a_lost_acknowledgement_is_told_from_a_lost_connection() {
        let now = Instant::now();
        let mut outgoing = Outgoing::new(PATIENCE);
        outgoing.send(draft(), payload::DATA, now);
        outgoing.send(draft(), payload::DATA, now);
        outgoing.arrived(1, now);
        assert_eq!(exhaust(&mut outgoing, now), Overdue::Nothing);
        assert!(outgoing.is_empty(), "number 0 has arrived before number 1");
        // The same, where each connection is lost before the message is sent again.
        for number in [2, 3] {
            assert_eq!(sequence(&outgoing.send(draft(), payload::DATA, now)), number);
        }
        outgoing.arrived(3, now);
        let again = (0..OFTEN).map(|_| outgoing.all_again(now).len()).collect::<Vec<_>>();
        assert_eq!(again, [1, 1, 1, 1, 1, 1, 1, 0]);
        outgoing.send(draft(), payload::DATA, now);
        assert_eq!(exhaust(&mut outgoing, now), Overdue::Lost);
    }

    #[test]
    fn a_new_connection_gets_all_that_was_on_its_way() {
        let now = Instant::now();
        let mut outgoing = Outgoing::new(PATIENCE);
        for _ in 0..3 {
            outgoing.send(draft(), payload::DATA, now);
        }
        outgoing.arrived(1, now);
        let later = now + PATIENCE;
        let again = outgoing.all_again(later);
        assert_eq!(again.iter().map(sequence).collect::<Vec<_>>(), [0, 2]);
        assert_eq!(outgoing.overdue(later), Overdue::Nothing, "there they have time");
    }

    #[test]
    fn messages_are_taken_in_order_and_once() {
        let message =
            |sequence| Message::read(&draft().into_input(payload::DATA, sequence)).unwrap();
        let mut incoming = Incoming::default();
        for number in [2, 1, 1] {
            assert!(incoming.came(message(number)));
            assert!(incoming.take().is_none());
        }
        assert!(incoming.came(message(0)));
        let taken: Vec<_> =
            std::iter::from_fn(|| incoming.take()).map(|one| one.sequence).collect();
        assert_eq!(taken, [0, 1, 2]);
        assert!(incoming.came(message(1)), "the agent does not know that it has arrived");
        assert!(incoming.take().is_none());
        for number in 0..MOST_EARLY as i64 {
            incoming.came(message(10 + number));
        }
        assert!(!incoming.came(message(1_000_000)), "there is no room for it");
        assert!(incoming.came(message(3)), "for the next there always is");
    }
}
