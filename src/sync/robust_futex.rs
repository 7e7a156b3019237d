//! The lock word: a futex in the kernel's robust format.
//!
//! | word | meaning | who leaves it |
//! |---|---|---|
//! | `0` | free, nobody sleeps | unlock |
//! | `W` | free, sleepers may exist | unlock by a holder of `tid \| W` |
//! | `tid` | held | lock from `0` |
//! | `tid \| W` | held, sleepers may exist | a waiter before it sleeps; lock from `W`, `D`, `D \| W` |
//! | `D`, `D \| W` | the holder died | the kernel; a waiter whose holder no longer exists |
//!
//! How a thread comes to a lock that is not free for all is in `waiting.rs`; for whom a free lock is kept, so that nobody
//! is passed over for long, in `reservation.rs`. This file: the fast paths, and letting go.
//!
//! # Why nobody sleeps for ever
//!
//! **The waiters bit is sticky.** Who acquires a word with `W` keeps it, and who acquires `D` sets it, so every unlock
//! wakes one while anybody may sleep. A sleeper that is killed between its wake-up and its acquisition has named the
//! lock as `list_op_pending`; the kernel finds no owner in the word and passes the wake-up on (since Linux 6.2; also in
//! the stable kernels of that time). A model check of all interleavings stands in `tests/models/lock`, with the simpler
//! protocols that fail it.
//!
//! **Clearing it needs the epoch.** An unlocker that stored `W` and woke nobody would like to store 0. Between the two,
//! others may have acquired, slept and released, leaving a `W` that means a sleeper: the value is the same and its
//! meaning is not. Each acquisition of a word with `W` or `D` therefore counts the epoch up while holding, and the
//! clearing compares word and epoch at once.
//!
//! **Only a word with exactly the caller's id is released.** (The copy of a guard in a forked child does not come so far:
//! it is of another fork generation, see `mutex.rs`.)
//!
//! # Limits
//!
//! * **Stopped after its wake-up.** A waiter that is stopped (`SIGSTOP`, a debugger, a frozen container) after it was woken
//!   and before it has taken the lock leaves a free lock on which others sleep. Whoever comes takes it, and wakes the next
//!   by releasing it. If nobody comes, a sleeper finds it free by its heartbeat, 3 s after it began to wait at the latest.
//!   To wake two each time would halve that danger, and cost every hand-over a useless wake-up; a timer in every sleep
//!   would make waiters poll.
//! * **A fork in a signal handler** that has interrupted the few instructions between a look at the word and the step that
//!   depends on it: the child takes that step in its parent's name. One that has interrupted a wait does no harm.

use std::io;
use std::mem::offset_of;

use super::atomic::Ordering;
use super::clear_waiters::clear_waiters;
use super::poison::Poison;
use super::reservation;
use super::spin::SpinPolicy;
use super::waiting::{self, Failure, Wait};
use super::word::{HEIR, LOCKER, OWNER_DIED, TID, WAITERS, holder_in};
use crate::fault::point;
use crate::layout::{LockBytes, LockLine};
use crate::os::futex;
use crate::os::robust_list::{Interrupted, RobustList};
use crate::os::thread::Thread;

const _: () = {
    // A node and the back pointer in front of it lie in the room that the lock line has for them.
    let room = LockLine::LINKS;
    assert!(room.start <= RobustList::NODE.start && RobustList::NODE.end <= room.end);
};

/// How the lock stands in its thread's list: see `os::linux::robust_list`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Linked {
    /// The list was empty; the node also stays named as pending.
    Alone,
    /// Others were in it.
    AmongOthers,
}

/// Takes the lock if it is free, nobody has slept on it, and the thread holds no other: the fast path of [`lock`], with
/// one exit for all that is not so.
#[inline(always)]
pub(super) fn lock_fast(line: &LockLine, me: &Thread) -> bool {
    if !me.list.is_idle() {
        return false;
    }
    let node = RobustList::node(&line.word);
    me.list.begin(node);
    // Acquire pairs with the Release of `unlock_fast`, `unlock_slow`, `unlock_and_wake` and the kernel's marking of a dead owner.
    if line.word.compare_exchange(0, me.tid, Ordering::Acquire, Ordering::Relaxed).is_err() {
        me.list.end();
        return false;
    }
    point!("lock: acquired");
    line.node.store(node as u64, Ordering::Relaxed); // read by this process only, to know itself again
    point!("lock: node noted");
    me.list.link_alone(node);
    true
}

/// Takes the lock in all other cases, or says why not.
#[cold]
pub(super) fn lock_slow(
    line: &LockLine,
    me: &Thread,
    wait: Wait,
    spin: &SpinPolicy,
    poison: Poison,
) -> Result<Linked, Failure> {
    if me.list.is_full() {
        return Err(too_many());
    }
    let node = RobustList::node(&line.word);
    let interrupted = me.list.interrupt(me.tid);
    me.list.begin(node);
    match waiting::acquire(line, me, wait, spin, poison, &interrupted) {
        Ok(()) => {}
        // The list is the child's now, and the fork has emptied it.
        Err(Failure::Forked) => return Err(Failure::Forked),
        Err(failure) => {
            me.list.resume(interrupted);
            return Err(failure);
        }
    }
    line.node.store(node as u64, Ordering::Relaxed); // as above
    point!("lock slowly: node noted");
    if interrupted.is_nothing() && me.list.is_empty() {
        me.list.link_alone(node);
        return Ok(Linked::Alone);
    }
    me.list.link(node);
    me.list.resume(interrupted);
    Ok(Linked::AmongOthers)
}

#[cold]
fn too_many() -> Failure {
    let message =
        "this thread holds 2,000 locks already, and the kernel reports the death of a holder for 2,048 at most";
    Failure::Os(io::Error::other(message))
}

/// Does the word say that `tid` holds the lock?
#[inline(always)]
pub(super) fn is_held_by(line: &LockLine, tid: u32) -> bool {
    line.word.load(Ordering::Relaxed) & !WAITERS == tid
}

/// Does the word say that `tid` holds the lock, with nobody waiting, and is it, having been linked [`Linked::Alone`],
/// still the only one in the list? Then [`unlock_fast`] releases it.
#[inline(always)]
pub(super) fn is_held_alone(line: &LockLine, tid: u32, list: RobustList) -> bool {
    // One branch and not two: both are true all but always.
    (line.word.load(Ordering::Relaxed) == tid) & is_linked_alone(line, list)
}

/// Is the lock, having been linked [`Linked::Alone`], still the only one in the list? Then [`unlock_fast`] releases it
/// if its holder is `tid`.
#[inline(always)]
pub(super) fn is_linked_alone(line: &LockLine, list: RobustList) -> bool {
    list.is_alone(RobustList::node(&line.word))
}

/// The fast path of [`unlock_slow`]. `false`: somebody waits, or the lock is not `tid`'s any more, and [`wake_after`] must
/// follow.
#[inline(always)]
pub(super) fn unlock_fast(line: &LockLine, tid: u32, list: RobustList) -> bool {
    list.unlink_alone();
    // Release pairs with the Acquire of `lock_fast` and `acquire`.
    let released = line.word.compare_exchange(tid, 0, Ordering::Release, Ordering::Relaxed).is_ok();
    if released {
        point!("unlock: released");
        list.end();
    }
    released
}

/// The end of an [`unlock_fast`] that did not find the word as it is when nobody waits.
#[cold]
pub(super) fn wake_after(line: &LockLine, me: &Thread) {
    unlock_and_wake(line, me.tid);
    me.list.end();
}

/// Releases the lock, which `me` holds.
pub(super) fn unlock_slow(line: &LockLine, me: &Thread, linked: Linked) {
    let node = RobustList::node(&line.word);
    // Alone, what is pending is this very node, or what a libc has left there: nothing was when it was linked.
    let interrupted = match linked {
        Linked::Alone => Interrupted::NOTHING,
        Linked::AmongOthers => me.list.interrupt(me.tid),
    };
    me.list.begin(node);
    me.list.unlink(node);
    // Release: as in `unlock_fast`.
    if line.word.compare_exchange(me.tid, 0, Ordering::Release, Ordering::Relaxed).is_ok() {
        point!("unlock slowly: released");
    } else {
        unlock_and_wake(line, me.tid);
    }
    me.list.resume(interrupted);
}

#[cold]
#[inline(never)]
fn unlock_and_wake(line: &LockLine, tid: u32) {
    // Read while holding: afterwards it counts the acquisitions that others make.
    let epoch = line.epoch.load(Ordering::Relaxed);
    // Release: as in `unlock_slow`. Nobody else changes a held word that has the waiters bit. A failure means that it is not
    // held any more: a signal handler forked after the last look at it, and the child has gone this way, too.
    if line.word.compare_exchange(tid | WAITERS, WAITERS, Ordering::Release, Ordering::Relaxed).is_err() {
        return;
    }
    point!("wake: released");
    if let Some(reserved) = reservation::after_release(line) {
        if matches!(futex::wake_one(&line.word, HEIR), Ok(true)) {
            point!("wake: woke the heir");
            return;
        }
        // It is dead or stopped; or awake, and will see the word.
        reservation::end(line, reserved);
        point!("wake: no heir asleep");
    }
    // An error would not say that there is nobody.
    if !matches!(futex::wake_one(&line.word, LOCKER), Ok(false)) {
        point!("wake: woke one");
    } else {
        point!("wake: nobody there");
        clear_waiters(line, epoch);
        point!("wake: waiters bit cleared");
    }
}

/// Does the word say that the holder died and nobody has taken the lock since?
pub(super) fn owner_died(line: &LockLine) -> bool {
    line.word.load(Ordering::Relaxed) & OWNER_DIED != 0
}

/// Does the word name a holder?
pub(super) fn is_locked(line: &LockLine) -> bool {
    holder_in(line.word.load(Ordering::Relaxed)).is_some()
}

/// The word in a line that is not mapped.
pub(super) fn word_in(line: &LockBytes) -> u32 {
    u32::from_ne_bytes(std::array::from_fn(|i| line[offset_of!(LockLine, word) + i]))
}

/// See `mutex/outside.rs`.
pub(super) fn after_all_users_left(line: &LockBytes) -> LockBytes {
    let (word, reservation) = (offset_of!(LockLine, word), offset_of!(LockLine, reservation));
    let mut next = *line;
    if word_in(line) & TID != 0 {
        next[word..word + 4].copy_from_slice(&(WAITERS | OWNER_DIED).to_ne_bytes());
    }
    next[reservation..reservation + 4].fill(0);
    next
}
