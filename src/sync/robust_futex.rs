//! The lock word: 64 bits, of which the lower half is a futex in the kernel's robust format.
//!
//! | lower half, upper half | meaning | who leaves it |
//! |---|---|---|
//! | `0, 0` | free, nobody sleeps | unlock |
//! | `W, epoch` | free, sleepers may exist | unlock by a holder whom somebody waits for |
//! | `tid, slot` | held | lock from `0, 0` |
//! | `tid \| W, slot` | held, sleepers may exist | a waiter before it sleeps; lock from `W`, `D`, `D \| W` |
//! | `D, slot`, `D \| W, slot` | the holder died; or a namesake of his | the kernel; a waiter whose holder no longer exists |
//!
//! The slot says by which handle the holder came, and so, by its presence byte, whether its process lives: `users.rs`. The
//! kernel changes, and compares before a sleep, the lower half only; all else is done to the whole word.
//!
//! How a thread comes to a lock that is not free for all is in `waiting.rs`; for whom a free lock is kept, so that nobody
//! is passed over for long, in `reservation.rs`. This file: the fast paths, and letting go.
//!
//! # Why nobody sleeps for ever
//!
//! **The waiters bit is sticky.** Who acquires a word with `W` keeps it, and who acquires `D` sets it, so every unlock
//! wakes one while anybody may sleep, unless there is one who comes by himself (`successor.rs`). A sleeper that is killed
//! between its wake-up and its acquisition has named the lock as `list_op_pending`; the kernel finds no owner in the word and
//! passes the wake-up on (since Linux 6.2; also in the stable kernels of that time). A model check of all interleavings stands
//! in `tests/models/lock`, with the simpler protocols that fail it.
//!
//! **Clearing it needs the epoch.** An unlocker that stored `W` and woke nobody would like to store 0. Between the two,
//! others may have acquired, slept and released, leaving a `W` that means a sleeper: the value is the same and its
//! meaning is not. Each release to sleepers therefore counts the epoch up while holding, and stores it with `W`.
//!
//! **Only who is in the word releases it**: the id of the thread with the slot of its handle, or that slot with `D`, which the
//! kernel writes over a living holder when a thread of the same id dies in another PID namespace (`users.rs`). (The copy
//! of a guard in a forked child does not come so far: it is of another fork generation, see `mutex.rs`.)
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
use super::gate::{self, Owed, Sleepers};
use super::lock::Lock;
use super::node;
use super::poison::Poison;
use super::reservation;
use super::successor::{self, Candidate};
use super::waiting::{self, Failure, Wait};
use super::word::{HEIR, OWNER_DIED, WAITERS, high, is_owned, low, names, pair};
use crate::fault::point;
use crate::layout::{LockBytes, LockLine, WaitLine};
use crate::os::futex;
use crate::os::place::Place;
use crate::os::robust_list::{Interrupted, Node, RobustList};
use crate::os::thread::Thread;

const _: () = {
    // A node and the back pointer in front of it lie in the room that the lock line has for them.
    let room = LockLine::LINKS;
    assert!(room.start <= RobustList::NODE.start && RobustList::NODE.end <= room.end);
    // Or what those who sleep meet by, where there are no lists.
    assert!(room.start <= Place::ROOM.start && Place::ROOM.end <= room.end);
};

/// How the lock stands in its thread's list: see `os::linux::robust_list`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Linked {
    /// The list was empty; the node also stays named as pending.
    Alone,
    /// Others were in it.
    AmongOthers,
}

/// Takes the lock if it is free, nobody has slept on it, and the thread holds no other: the fast path of [`lock_slow`],
/// with one exit for all that is not so. `owner`: the thread with the slot of its handle.
#[inline(always)]
pub(super) fn lock_fast(line: &LockLine, owner: u64, list: RobustList) -> bool {
    if !list.is_idle() {
        return false;
    }
    let node = RobustList::node(&line.word);
    list.begin(node, high(owner));
    // Acquire pairs with the Release of `unlock_fast`, `unlock_slow`, `unlock_and_wake` and the kernel's marking of a dead owner.
    if line.word.compare_exchange(0, owner, Ordering::Acquire, Ordering::Relaxed).is_err() {
        list.end();
        return false;
    }
    point!("lock: acquired");
    list.link_alone(node);
    true
}

/// The same if somebody may sleep: for the lock, who is no heir, or for what its holders do.
#[inline]
pub(super) fn lock_beside(line: &LockLine, waits: &WaitLine, owner: u64, list: RobustList) -> bool {
    let seen = line.word.load(Ordering::Relaxed);
    if low(seen) != WAITERS || line.reservation.load(Ordering::Relaxed) != 0 || !list.is_idle() {
        return false;
    }
    let node = RobustList::node(&line.word);
    list.begin(node, high(owner));
    if !waiting::take(line, seen, owner, Poison::Never) {
        list.end();
        return false;
    }
    list.link_alone(node);
    gate::admit(line, waits, seen);
    true
}

/// Takes the lock in all other cases, or says why not.
#[cold]
pub(super) fn lock_slow(lock: Lock<'_>, me: &Thread, wait: Wait) -> Result<Linked, Failure> {
    if me.list.is_full() {
        return Err(too_many());
    }
    let node = RobustList::node(&lock.line.word);
    let interrupted = interrupt(me);
    let mut candidate =
        if lock.users.enter() { Candidate::new(lock.successor) } else { Candidate::never(lock.successor) };
    me.list.begin(node, lock.users.slot());
    match waiting::acquire(lock, me, wait, interrupted.is_of(node), false, &mut candidate) {
        Ok(taken_from) => {
            let linked = if candidate.is_named() {
                candidate.end_holding(node, me.list, interrupted);
                Linked::AmongOthers
            } else {
                link(me.list, node, interrupted)
            };
            gate::admit(lock.line, lock.waits, taken_from);
            Ok(linked)
        }
        // The list is the child's now, and the fork has emptied it.
        Err(Failure::Forked) => Err(Failure::Forked),
        Err(failure) => {
            candidate.end(lock.line, me.list);
            me.list.resume(interrupted);
            Err(failure)
        }
    }
}

/// Before an operation that may interrupt another one of this thread.
pub(super) fn interrupt(me: &Thread) -> Interrupted {
    me.list.interrupt(me.tid, node::is_in_segment, || successor::step_aside(me))
}

/// Links the lock, which the thread has and names as pending.
pub(super) fn link(list: RobustList, node: Node, interrupted: Interrupted) -> Linked {
    if interrupted.is_nothing() && list.is_empty() {
        list.link_alone(node);
        return Linked::Alone;
    }
    list.link(node);
    list.resume(interrupted);
    Linked::AmongOthers
}

#[cold]
pub(super) fn too_many() -> Failure {
    let message =
        "this thread holds 2,000 locks already, and the kernel reports the death of a holder for 2,048 at most";
    Failure::Os(io::Error::other(message))
}

/// Does the word say that the owner holds the lock? (If it says that he died, then another one of the same id has.)
pub(super) fn is_held_by(line: &LockLine, owner: u64) -> bool {
    names(line.word.load(Ordering::Relaxed), owner)
}

/// Does the word say that the owner holds the lock, with nobody waiting, and is it, having been linked [`Linked::Alone`],
/// still the only one in the list? Then [`unlock_fast`] releases it.
#[inline(always)]
pub(super) fn is_held_alone(line: &LockLine, owner: u64, list: RobustList) -> bool {
    // One branch and not two: both are true all but always.
    (line.word.load(Ordering::Relaxed) == owner) & is_linked_alone(line, list)
}

/// Is the lock, having been linked [`Linked::Alone`], still the only one in the list? Then [`unlock_fast`] releases it
/// if it is its holder's.
#[inline(always)]
pub(super) fn is_linked_alone(line: &LockLine, list: RobustList) -> bool {
    list.is_alone(RobustList::node(&line.word))
}

/// The fast path of [`unlock_slow`]. `false`: somebody waits, or the lock is not the owner's any more, and [`wake_after`]
/// must follow.
#[inline(always)]
pub(super) fn unlock_fast(line: &LockLine, owner: u64, list: RobustList) -> bool {
    list.unlink_alone();
    // Release pairs with the Acquire of `lock_fast` and `acquire`.
    let released = line.word.compare_exchange(owner, 0, Ordering::Release, Ordering::Relaxed).is_ok();
    if released {
        point!("unlock: released");
        list.end();
    }
    released
}

/// [`is_held_alone`] of a lock that is linked so, and on which somebody may sleep. Then [`unlock_beside`] releases it.
pub(super) fn is_held_beside(line: &LockLine, owner: u64) -> bool {
    line.word.load(Ordering::Relaxed) == owner | u64::from(WAITERS)
}

/// [`unlock_slow`] of such a lock.
pub(super) fn unlock_beside(
    line: &LockLine,
    waits: &WaitLine,
    successor: &LockLine,
    owner: u64,
    list: RobustList,
    owed: Owed,
) {
    list.unlink_alone();
    unlock_and_wake(line, waits, successor, owner, owed);
    list.end();
}

/// The end of an [`unlock_fast`] that did not find the word as it is when nobody waits.
#[cold]
pub(super) fn wake_after(line: &LockLine, waits: &WaitLine, successor: &LockLine, owner: u64, list: RobustList) {
    // Nobody waited for a commit when it was made, or the fast path would not have been taken.
    unlock_and_wake(line, waits, successor, owner, Owed::NOTHING);
    list.end();
}

/// Releases the lock, which `owner` holds, who is this thread.
pub(super) fn unlock_slow(
    line: &LockLine,
    waits: &WaitLine,
    successor: &LockLine,
    owner: u64,
    list: RobustList,
    linked: Linked,
    owed: Owed,
) {
    unlock_with(line, owner, list, linked, || unlock_and_wake(line, waits, successor, owner, owed));
}

/// [`unlock_slow`], which releases by `wake` a line on which somebody may sleep.
pub(super) fn unlock_with(line: &LockLine, owner: u64, list: RobustList, linked: Linked, wake: impl FnOnce()) {
    let node = RobustList::node(&line.word);
    // Alone, what is pending is this very node, or what a libc has left there: nothing was when it was linked.
    let interrupted = match linked {
        Linked::Alone => Interrupted::NOTHING,
        // If this is in a handler, it has stepped aside when it took the lock.
        Linked::AmongOthers => list.interrupt(low(owner), node::is_in_segment, || ()),
    };
    list.begin(node, high(owner));
    list.unlink(node);
    // Release: as in `unlock_fast`.
    if line.word.compare_exchange(owner, 0, Ordering::Release, Ordering::Relaxed).is_ok() {
        point!("unlock slowly: released");
    } else {
        wake();
    }
    list.resume(interrupted);
}

#[cold]
#[inline(never)]
pub(super) fn unlock_and_wake(line: &LockLine, waits: &WaitLine, successor: &LockLine, owner: u64, owed: Owed) {
    let sleepers = gate::look(line, waits);
    let Some((free, _)) = release_to_sleepers(line, owner) else { return };
    owed.pay(line, waits);
    if !wake_next(line, waits, successor, sleepers) && sleepers.are_none(line) {
        clear_waiters(line, free);
    }
}

/// Wakes the one whose turn it is, after the release. `false`: there certainly was nobody.
#[inline(always)]
pub(super) fn wake_next(line: &LockLine, waits: &WaitLine, successor: &LockLine, sleepers: Sleepers) -> bool {
    if reservation::after_release(line).is_some_and(|reserved| wake_heir(line, reserved)) {
        return true;
    }
    if sleepers.may_all_sleep_on() && successor::is_relied_on(successor) {
        point!("wake: left to the successor");
        return true;
    }
    let is_nobody = sleepers.wake_one(line, waits);
    if is_nobody {
        point!("wake: nobody there");
    } else {
        point!("wake: woke one");
    }
    !is_nobody
}

/// Wakes the one for whom the lock is kept, or keeps it no longer.
#[cold]
fn wake_heir(line: &LockLine, reserved: u32) -> bool {
    if matches!(futex::wake_one(&line.word, HEIR), Ok(true)) {
        point!("wake: woke the heir");
        return true;
    }
    // It is dead or stopped; or awake, and will see the word.
    reservation::end(line, reserved);
    point!("wake: no heir asleep");
    false
}

/// The release to those who may sleep, who are still to be woken. Returns the word that it has left, and whether the one
/// before it told of sleepers; `None`: the line is not held any more, because a signal handler forked after the last look at
/// it, and the child has gone this way, too.
pub(super) fn release_to_sleepers(line: &LockLine, owner: u64) -> Option<(u64, bool)> {
    let mut seen = line.word.load(Ordering::Relaxed);
    if !names(seen, owner) {
        return None;
    }
    // Only holders write it. Whoever dies behind this has counted in vain.
    let epoch = line.epoch.load(Ordering::Relaxed).wrapping_add(1);
    line.epoch.store(epoch, Ordering::Relaxed);
    point!("wake: counted");
    let free = pair(WAITERS, epoch);
    // Release: as in `unlock_slow`. SeqCst: before the looks at who sleeps, is preferred, or comes by himself. Others set `W`,
    // and the kernel sets `D`, once each.
    while let Err(found) = line.word.compare_exchange(seen, free, Ordering::SeqCst, Ordering::Relaxed) {
        if !names(found, owner) {
            return None;
        }
        seen = found;
    }
    point!("wake: released");
    Some((free, low(seen) & WAITERS != 0))
}

/// Nobody sleeps on the line, which the caller has released so.
pub(super) fn clear_waiters(line: &LockLine, free: u64) {
    // Relaxed: who acquires from 0 still synchronises with the release, of which this goes on.
    let _ = line.word.compare_exchange(free, 0, Ordering::Relaxed, Ordering::Relaxed);
    point!("wake: waiters bit cleared");
}

/// The word in a line that is not mapped.
pub(super) fn word_in(line: &LockBytes) -> u64 {
    u64::from_ne_bytes(std::array::from_fn(|i| line[offset_of!(LockLine, word) + i]))
}

/// See `mutex/outside.rs`.
pub(super) fn after_all_users_left(line: &LockBytes) -> LockBytes {
    let (word, reservation) = (offset_of!(LockLine, word), offset_of!(LockLine, reservation));
    let mut next = *line;
    if is_owned(word_in(line)) {
        let dead = pair(WAITERS | OWNER_DIED, high(word_in(line)));
        next[word..word + 8].copy_from_slice(&dead.to_ne_bytes());
    }
    next[reservation..reservation + 4].fill(0);
    next
}
