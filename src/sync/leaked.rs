//! Is a lock still held through a mapping that is about to go, by a guard that was leaked?
//!
//! The lock line says who holds the lock, and where the node is that stands in his list; but not at once. Who takes the lock
//! notes his node a few instructions later, and until then the line names the node of the one before, which may lie in the
//! very mapping that is about to go. To believe it then would keep the mapping, and its place among the users, until the
//! process ends.
//!
//! * **The calling thread's** list tells.
//! * **Another thread's** cannot be walked while it changes. But no guard is left through which the mapping's node could be
//!   noted again: so the line names it for good if the guard was leaked, and else for a moment. That moment is waited for.

use std::ops::Range;
use std::time::Duration;

use super::atomic::Ordering;
use super::word::holder_in;
use crate::layout::LockLine;
use crate::os::{Deadline, process, thread};

/// The moment of a thread that has the processor taken from it in between, on a machine that has much to do. So long a
/// handle takes to drop whose guard another thread has leaked.
const MOMENT: Duration = Duration::from_secs(1);

/// Does a thread of this process hold the lock with a node that lies between these addresses, where no other guard than
/// leaked ones has one?
pub(super) fn is_held_within(line: &LockLine, addresses: &Range<usize>) -> bool {
    let Some(holder) = holder_within(line, addresses).filter(|holder| process::is_own_thread(*holder)) else {
        return false;
    };
    if let Some(me) = thread::cached().filter(|me| me.tid == holder) {
        return me.list.has_one_within(addresses);
    }
    let end = Deadline::after(MOMENT);
    while holder_within(line, addresses) == Some(holder) {
        if end.is_none_or(Deadline::has_passed) {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

/// Whom the line names, if with a node that lies there.
fn holder_within(line: &LockLine, addresses: &Range<usize>) -> Option<u32> {
    let holder = holder_in(line.word.load(Ordering::Relaxed))?;
    addresses.contains(&(line.node.load(Ordering::Relaxed) as usize)).then_some(holder)
}

#[cfg(test)]
mod tests {
    use std::ptr;
    use std::sync::Barrier;

    use super::super::robust_futex::{lock_fast, unlock_fast};
    use super::*;

    fn line_of(holder: u32, node: u64) -> LockLine {
        let line = LockLine::held_for_ever();
        line.word.store(holder, Ordering::Relaxed);
        line.node.store(node, Ordering::Relaxed);
        line
    }

    fn own_id() -> u32 {
        thread::current().unwrap().tid
    }

    #[test]
    fn a_handler_that_interrupts_a_taker_does_not_believe_the_node_of_the_one_before() {
        assert!(!is_held_within(&line_of(own_id(), 0x1000), &(0x1000..0x2000)), "this thread's list is empty");
    }

    #[test]
    fn a_taker_is_given_the_time_to_note_its_node() {
        const ROUNDS: usize = 500;
        let (line, start) = (line_of(0, 0), Barrier::new(2));
        let wrong = std::thread::scope(|scope| {
            scope.spawn(|| {
                line.word.store(own_id(), Ordering::Relaxed);
                start.wait();
                for _ in 0..ROUNDS {
                    start.wait();
                    line.node.store(0x5000, Ordering::Relaxed);
                    start.wait();
                }
            });
            start.wait();
            let looks_wrong = || {
                line.node.store(0x1000, Ordering::Relaxed); // of the one before
                start.wait();
                let held = is_held_within(&line, &(0x1000..0x2000));
                start.wait();
                held
            };
            (0..ROUNDS).filter(|_| looks_wrong()).count()
        });
        assert_eq!(wrong, 0);
    }

    #[test]
    fn what_stands_in_a_list_is_held() {
        let line = line_of(0, 0);
        let me = thread::current().unwrap();
        let start = ptr::from_ref(&line).addr();
        let look = || is_held_within(&line, &(start..start + size_of::<LockLine>()));
        let before = look();
        let taken = lock_fast(&line, &me);
        let held = look();
        let released = unlock_fast(&line, me.tid, me.list);
        assert_eq!((before, taken, held, released, look()), (false, true, true, true, false));
    }
}
