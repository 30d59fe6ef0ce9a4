//! What becomes of a call.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

/// What becomes of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is passed on, and so is the answer.
    Passes,
    /// It is passed on, but nobody hears the answer.
    LosesAnswer,
    /// It never arrives.
    Vanishes,
    /// It never arrives; the answer is an error of this code.
    Refused(&'static str),
    /// It never arrives; the answer has this status and text.
    Answered(u16, &'static str),
    /// It never arrives; the answer says that it was done.
    Done,
    /// It is passed on; in the answer, what this pattern matches is replaced by those words.
    Rewritten(&'static str, &'static str),
    /// It is passed on; the answer comes this much later.
    Slow(Duration),
    /// It and all calls after it wait for [`Proxy::release`](super::Proxy::release), and are then
    /// passed on.
    Held,
    /// It is passed on; its answer and all calls after it wait for
    /// [`Proxy::release`](super::Proxy::release).
    HeldAfter,
}

/// Decides by the call's name and how many of this name came before.
pub type Rule = Box<dyn Fn(&str, usize) -> Fate + Send + Sync>;

/// Every call passes.
pub fn passes() -> Rule {
    Box::new(|_, _| Fate::Passes)
}

/// What can be wrong with any call.
const TROUBLE: [Fate; 5] = [
    Fate::Refused("RequestLimitExceeded"),
    Fate::Refused("InternalError"),
    Fate::LosesAnswer,
    Fate::Vanishes,
    Fate::Slow(Duration::from_millis(500)),
];

/// Trouble for `percent` of all calls. The same seed makes the same trouble for the same calls, in
/// whatever order they come.
pub fn seeded(seed: u64, percent: u64) -> Rule {
    Box::new(move |action, before| {
        let mut hasher = DefaultHasher::new();
        (seed, action, before).hash(&mut hasher);
        let drawn = hasher.finish();
        match drawn % 100 < percent {
            true => TROUBLE[(drawn / 100) as usize % TROUBLE.len()],
            false => Fate::Passes,
        }
    })
}

#[test]
fn a_seed_decides_what_trouble_there_is() {
    let fates =
        |seed| (0..1000).map(|nth| seeded(seed, 20)("RunInstances", nth)).collect::<Vec<_>>();
    assert_eq!(fates(1), fates(1));
    assert_ne!(fates(1), fates(2));
    let trouble = fates(1).iter().filter(|fate| **fate != Fate::Passes).count();
    assert!((150..250).contains(&trouble), "{trouble}");
    assert!(TROUBLE.iter().all(|fate| fates(1).contains(fate)));
}
