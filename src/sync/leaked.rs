//! Is a lock still held through a handle that is about to go, by a guard that was leaked?
//!
//! The word names the handle by its slot, which is no other's. A guard borrows its handle: so if the word names one that is
//! being dropped, the guard was leaked, and its node stands in a list for good. Except that
//!
//! * a forked child that could not open a file of its own has its parent's slot; but not its threads;
//! * the kernel's `D` may stand in the place of a living holder's id, in a segment with users in several PID namespaces. It
//!   does not say whose: so the lock is taken to be held.

use super::users::Users;
use super::word::{high, holder_in};
use crate::os::process;

/// Does the word say that a thread of this process holds the lock by the handle that these users belong to?
pub(super) fn is_held_through(word: u64, users: &Users) -> bool {
    if high(word) != users.slot() {
        return false;
    }
    match holder_in(word) {
        Some(holder) => process::is_own_thread(holder),
        None => users.may_live(word),
    }
}
