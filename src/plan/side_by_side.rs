//! Work on several things at a time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// How deep an expression may be nested depends on the stack of who reads it: these have as much as
/// the thread that the program starts in.
const STACK: usize = 8 << 20;

/// What `work` makes of each of `items`, in their order; `at_once` of them are worked on at a time.
pub(super) fn in_order<T: Sync, R: Send>(
    items: &[T],
    at_once: usize,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let at_once = at_once.min(items.len());
    if at_once < 2 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, R)>> = Mutex::default();
    let take_turns = || {
        while let n = next.fetch_add(1, Ordering::Relaxed)
            && let Some(item) = items.get(n)
        {
            let one = (n, work(item));
            done.lock().unwrap_or_else(PoisonError::into_inner).push(one);
        }
    };
    thread::scope(|scope| {
        for _ in 1..at_once {
            // Where this machine has no thread left, the others do its share.
            let _ = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, take_turns);
        }
        take_turns();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(n, _)| *n);
    done.into_iter().map(|(_, made)| made).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_made_in_their_order_however_many_at_a_time() {
        let items: Vec<usize> = (0..100).collect();
        for at_once in [0, 1, 8, 200] {
            assert_eq!(
                in_order(&items, at_once, |n| n * 2),
                (0..200).step_by(2).collect::<Vec<_>>()
            );
        }
        assert_eq!(in_order(&[0_u8; 0], 8, |n| *n), [0_u8; 0]);
    }
}
