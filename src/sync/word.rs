//! What the lock word says, bit by bit. Its states, and who leaves them: `robust_futex.rs`.

use crate::os::{futex, thread};

/// `W`: somebody may sleep on the word.
pub(super) const WAITERS: u32 = futex::WAITERS;
/// `D`: the owner died.
pub(super) const OWNER_DIED: u32 = futex::OWNER_DIED;
/// The owner's thread id, or a number that stands for it.
pub(super) const TID: u32 = futex::TID;

/// The classes of sleepers on a word are the bits of a futex bit set. Every waiter for the lock is of this one.
pub(super) const LOCKER: u32 = 1;
/// Those who wait for a commit.
pub(super) const WATCHER: u32 = 2;
/// The class of the waiter that has reserved the lock.
pub(super) const HEIR: u32 = 32;
/// All of them.
pub(super) const ANY: u32 = u32::MAX;

/// Those who wait for the condition at this place, of three.
pub(super) const fn condition_class(which: usize) -> u32 {
    4 << which
}

/// A word; or, of a thread id and a slot, an owner.
#[inline(always)]
pub(crate) const fn pair(low: u32, high: u32) -> u64 {
    (high as u64) << 32 | low as u64
}

/// The half that the kernel knows.
#[inline(always)]
pub(super) const fn low(word: u64) -> u32 {
    word as u32
}

/// The slot of the holder, or of the dead one; the epoch while the lock is free.
#[inline(always)]
pub(super) const fn high(word: u64) -> u32 {
    (word >> 32) as u32
}

/// Does the word name a holder?
#[inline(always)]
pub(super) fn is_owned(word: u64) -> bool {
    low(word) & TID != 0
}

/// The thread id of the holder in a word, as the system has it.
pub(super) fn holder_in(word: u64) -> Option<u32> {
    is_owned(word).then(|| thread::system_id(low(word) & TID))
}

/// Does the word say that the holder died?
pub(super) fn says_owner_died(word: u64) -> bool {
    !is_owned(word) && low(word) & OWNER_DIED != 0
}

/// Does the word name this owner? Also if the kernel has put `D` in the place of the thread id, because a thread of the
/// same id has died in another PID namespace.
#[inline(always)]
pub(super) fn names(word: u64, owner: u64) -> bool {
    let is_his = low(word) & TID == low(owner) || says_owner_died(word);
    high(word) == high(owner) && is_his
}
