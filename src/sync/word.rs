//! What the lock word says, bit by bit. Its states, and who leaves them: `robust_futex.rs`.

use crate::os::futex;

/// `W`: somebody may sleep on the word.
pub(super) const WAITERS: u32 = futex::WAITERS;
/// `D`: the owner died.
pub(super) const OWNER_DIED: u32 = futex::OWNER_DIED;
/// The owner's thread id.
pub(super) const TID: u32 = futex::TID;

/// The class of sleepers that every waiter belongs to (a futex bit set; there is room for others).
pub(super) const LOCKER: u32 = 1;
/// The class of the waiter that has reserved the lock.
pub(super) const HEIR: u32 = 32;

/// The holder's thread id in a word.
pub(super) fn holder_in(word: u32) -> Option<u32> {
    Some(word & TID).filter(|tid| *tid != 0)
}

/// Does a word with this content stand for a holder that died?
pub(super) fn says_owner_died(word: u32) -> bool {
    word & OWNER_DIED != 0
}
