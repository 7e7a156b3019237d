//! The lock word of [`LockKind::File`](crate::LockKind::File): the states and steps of `robust_futex.rs`, and no list.
//!
//! Nothing is named as pending and nothing is linked, so there is no pointer in shared memory, and nobody else marks the word
//! of a dead holder: those who wait look for it (`watch.rs`), by the presence byte of the slot that the word names
//! (`users.rs`). It must be the death of his process.
//!
//! What is lost with a waiter that dies is a wake-up that has just reached him. The lock is free then, and the others sleep:
//! one of them finds it, when it looks the next time.
//!
//! Where a sleep can be ended by the end of a thread (`os::place`), as on Windows, nobody watches: the first of those who wait
//! sleeps on the holder, and the next one on the first.

use super::atomic::Ordering;
use super::gate::{self, Owed};
use super::lock::Lock;
use super::robust_futex;
use super::successor::Candidate;
use super::waiting::{self, Failure, Wait};
use crate::fault::point;
use crate::layout::{LockLine, WaitLine};
use crate::os::thread::Thread;

/// Takes the lock if it is free, and nobody has slept on it. `owner`: the thread with the slot of its handle.
#[inline(always)]
pub(super) fn lock_fast(line: &LockLine, owner: u64) -> bool {
    // Acquire pairs with the Release of `unlock` and of `unlock_and_wake`.
    let taken = line.word.compare_exchange(0, owner, Ordering::Acquire, Ordering::Relaxed).is_ok();
    if taken {
        point!("watched lock: acquired");
    }
    taken
}

/// Takes the lock in all other cases, or says why not. `me` has no list.
#[cold]
pub(super) fn lock_slow(lock: Lock<'_>, me: &Thread, wait: Wait) -> Result<(), Failure> {
    lock.users.enter();
    let taken_from = waiting::acquire(lock, me, wait, false, false, &mut Candidate::never(lock.successor))?;
    gate::admit(lock.line, lock.waits, taken_from);
    Ok(())
}

/// Releases the lock, which `owner` holds, who is this thread.
#[inline(always)]
pub(super) fn unlock(line: &LockLine, waits: &WaitLine, successor: &LockLine, owner: u64, owed: Owed) {
    unlock_with(line, owner, || robust_futex::unlock_and_wake(line, waits, successor, owner, owed));
}

/// [`unlock`], which releases by `wake` a line on which somebody may sleep.
#[inline(always)]
pub(super) fn unlock_with(line: &LockLine, owner: u64, wake: impl FnOnce()) {
    // Release pairs with the Acquire of `lock_fast` and of `acquire`.
    if line.word.compare_exchange(owner, 0, Ordering::Release, Ordering::Relaxed).is_ok() {
        point!("watched unlock: released");
    } else {
        wake();
    }
}
