//! Where something is in its life, and what can happen to it.

use State::{Done, Finished, Gone, Intended, Made};

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// It is about to be made; nobody knows whether the call was.
    #[default]
    Intended,
    /// It is there: its id is known.
    Made,
    /// It is a product, and nothing is missing of it: nobody removes it without being told to.
    Finished,
    /// The build that made it ended well.
    Done,
    /// It is not there any more, or never came to be.
    Gone,
}

/// What happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Its id is known.
    Made,
    /// Nothing is missing of it.
    Finished,
    /// Its build ends well.
    Done,
    /// It is removed, or never came to be.
    Gone,
}

impl State {
    /// How far it is after `change`; `None` if that cannot happen.
    pub fn next(self, change: Change, is_product: bool) -> Option<Self> {
        Some(match (self, change) {
            (Intended, Change::Made) => Made,
            // A cleanup finds it again, and says its id once more.
            (Made | Finished | Done, Change::Made) => self,
            (Intended | Made | Finished, Change::Finished) if is_product => Finished,
            (Intended | Made | Finished | Done, Change::Done) => Done,
            // The end of a build names all that it made, also what is gone by then.
            (Gone, Change::Done | Change::Gone) => Gone,
            (Intended | Made | Finished | Done, Change::Gone) => Gone,
            (Gone, Change::Made) | (_, Change::Finished) => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [State; 5] = [Intended, Made, Finished, Done, Gone];

    #[test]
    fn only_a_product_is_finished_and_what_is_gone_stays_gone() {
        let next = |change, is_product| STATES.map(|state| state.next(change, is_product));
        for is_product in [false, true] {
            let made = [Some(Made), Some(Made), Some(Finished), Some(Done), None];
            assert_eq!(next(Change::Made, is_product), made);
            let done = [Some(Done), Some(Done), Some(Done), Some(Done), Some(Gone)];
            assert_eq!(next(Change::Done, is_product), done);
            assert_eq!(next(Change::Gone, is_product), [Some(Gone); 5]);
        }
        let finished = [Some(Finished), Some(Finished), Some(Finished), None, None];
        assert_eq!(next(Change::Finished, true), finished);
        assert_eq!(next(Change::Finished, false), [None; 5]);
    }
}
