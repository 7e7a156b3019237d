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
//! # Why nobody sleeps for ever
//!
//! **The waiters bit is sticky.** Who acquires a word with `W` keeps it, and who acquires `D` sets it, so every unlock
//! wakes one while anybody may sleep. A sleeper that is killed between its wake-up and its acquisition has named the
//! lock as `list_op_pending`; the kernel finds no owner in the word and passes the wake-up on (since Linux 6.2; also in
//! the stable kernels of that time). A model check of all interleavings stands in `tests/model_lock_word`, with the
//! simpler protocols that fail it.
//!
//! **Clearing it needs the epoch.** An unlocker that stored `W` and woke nobody would like to store 0. Between the two,
//! others may have acquired, slept and released, leaving a `W` that means a sleeper: the value is the same and its
//! meaning is not. Each acquisition of a word with `W` or `D` therefore counts the epoch up while holding, and the
//! clearing compares word and epoch at once.
//!
//! **Only a word with exactly the caller's id is released.** (The copy of a guard in a forked child does not come so far:
//! it is of another fork generation, see `mutex.rs`.)
//!
//! # Deaths that the kernel does not report
//!
//! An `exec` by another thread than the main one changes the id before the list is walked; a list longer than 2,048 is
//! not walked to its end; a process whose memory the OOM reaper takes may lose its list. Before it sleeps behind
//! another holder than the last that its handle met, and whenever [`HEARTBEAT`] has passed, a waiter asks whether the holder exists at
//! all, and if not, does what the kernel would have done.

use std::io;
use std::mem::offset_of;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::clear_waiters::clear_waiters;
use super::patience::Patience;
use super::poison::Poison;
use crate::fault::point;
use crate::layout::{LockBytes, LockLine};
use crate::os::robust_list::{Interrupted, RobustList};
use crate::os::thread::Thread;
use crate::os::{Deadline, futex, process};

/// `W`: somebody may sleep on the word.
pub(super) const WAITERS: u32 = libc::FUTEX_WAITERS;
/// `D`: the owner died.
pub(super) const OWNER_DIED: u32 = libc::FUTEX_OWNER_DIED;
/// The owner's thread id.
pub(super) const TID: u32 = libc::FUTEX_TID_MASK;

/// How long a waiter waits before it asks again whether the holder exists. A safety net, not the mechanism.
const HEARTBEAT: Duration = Duration::from_secs(3);

/// How long to wait for a lock.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wait {
    No,
    Until(Deadline),
    Forever,
}

/// Why the lock was not taken.
#[derive(Debug)]
pub(super) enum Failure {
    WouldBlock,
    TimedOut { holder: u32 },
    WouldDeadlock,
    Os(io::Error),
}

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
pub(super) fn lock_free(line: &LockLine, me: &Thread) -> bool {
    if !me.list.is_idle() {
        return false;
    }
    let node = RobustList::node(&line.word);
    me.list.begin(node);
    // Acquire pairs with the Release of `unlock_alone`, `unlock`, `unlock_and_wake` and the kernel's marking of a dead owner.
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
pub(super) fn lock(
    line: &LockLine,
    me: &Thread,
    wait: Wait,
    patience: &Patience,
    poison: Poison,
) -> Result<Linked, Failure> {
    if me.list.is_full() {
        return Err(too_many());
    }
    let node = RobustList::node(&line.word);
    let interrupted = me.list.interrupt(me.tid);
    me.list.begin(node);
    if let Err(failure) = lock_contended(line, me, wait, patience, poison, &interrupted) {
        me.list.resume(interrupted);
        return Err(failure);
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

fn lock_contended(
    line: &LockLine,
    me: &Thread,
    wait: Wait,
    patience: &Patience,
    poison: Poison,
    interrupted: &Interrupted,
) -> Result<(), Failure> {
    let node = RobustList::node(&line.word);
    let mut heartbeat = None;
    let mut looks_up = false;
    let mut time_is_up = false;
    loop {
        let mut seen = line.word.load(Ordering::Relaxed);
        if seen & TID != 0 {
            if matches!(wait, Wait::No) {
                return Err(Failure::WouldBlock);
            }
            if !time_is_up && seen & TID != me.tid {
                seen = patience.watch(&line.word, wait.deadline());
                me.list.begin(node); // as below
            }
        }
        let holder = seen & TID;
        if holder == 0 {
            if acquire(line, seen, me.tid, poison) {
                return Ok(());
            }
            continue;
        }
        if holder == me.tid {
            if is_own(line, me, interrupted) {
                return Err(Failure::WouldDeadlock);
            }
            // A word with our id that is not in our list is a dead namesake's: ids are given out again.
            mark_dead(line, seen);
            continue;
        }
        if looks_up || patience.is_stranger(holder) {
            looks_up = false;
            if !process::thread_exists(holder) {
                mark_dead(line, seen);
                continue;
            }
            patience.meet(holder);
        }
        if time_is_up {
            return Err(Failure::TimedOut { holder });
        }
        if seen & WAITERS == 0 && !announce_waiter(line, seen) {
            continue;
        }
        point!("wait: about to sleep");
        let next_beat = *heartbeat.get_or_insert_with(|| Deadline::after(HEARTBEAT).unwrap_or_else(Deadline::now));
        let until = wait.deadline().map_or(next_beat, |deadline| deadline.min(next_beat));
        futex::wait(&line.word, seen | WAITERS, until).map_err(Failure::Os)?;
        point!("wait: awake");
        let now = Deadline::now();
        // By the clock, and not by what ended the sleep: signals that come again and again must not put it off.
        if next_beat <= now {
            (heartbeat, looks_up) = (None, true);
        }
        // One more try is made after the time is up: a wake-up that came with it must not be lost.
        time_is_up = wait.deadline().is_some_and(|deadline| deadline <= now);
        // A signal handler that used a robust mutex of libc's has overwritten it.
        me.list.begin(node);
    }
}

/// Is the lock, whose word has our id, one that this thread holds or is taking?
#[cold]
fn is_own(line: &LockLine, me: &Thread, interrupted: &Interrupted) -> bool {
    // A signal handler has interrupted an operation on a lock that this thread holds: maybe this one.
    interrupted.is_held() || me.list.contains(line.node.load(Ordering::Relaxed) as usize)
}

impl Wait {
    fn deadline(self) -> Option<Deadline> {
        match self {
            Self::Until(deadline) => Some(deadline),
            Self::No | Self::Forever => None,
        }
    }
}

/// Takes a word without an owner. From `W` and `D` the waiters bit is set, and the epoch counts; from `D`, poison comes
/// before anything else: if this thread dies too, the kernel writes `D` again and the next one sets it.
#[inline]
fn acquire(line: &LockLine, seen: u32, tid: u32, poison: Poison) -> bool {
    let marked = seen & (WAITERS | OWNER_DIED) != 0;
    let held = if marked { tid | WAITERS } else { tid };
    // Acquire: as in `lock_free`.
    if line.word.compare_exchange(seen, held, Ordering::Acquire, Ordering::Relaxed).is_err() {
        return false;
    }
    point!("lock slowly: acquired");
    if seen & OWNER_DIED != 0 {
        poison.inherit(line);
    }
    if marked {
        // Only the holder writes the epoch; published by the Release of whichever unlock follows.
        line.epoch.store(line.epoch.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        point!("lock slowly: counted");
    }
    true
}

/// Sets the waiters bit of a held word.
#[inline]
fn announce_waiter(line: &LockLine, seen: u32) -> bool {
    line.word.compare_exchange(seen, seen | WAITERS, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

/// Does what the kernel does when a holder dies.
#[cold]
fn mark_dead(line: &LockLine, seen: u32) {
    // A failure means that somebody else did, or that the holder lives after all: look again in either case.
    let _ = line.word.compare_exchange(seen, WAITERS | OWNER_DIED, Ordering::Relaxed, Ordering::Relaxed);
    point!("wait: dead holder marked");
}

/// Does the word say that `tid` holds the lock?
#[inline(always)]
pub(super) fn is_held_by(line: &LockLine, tid: u32) -> bool {
    line.word.load(Ordering::Relaxed) & !WAITERS == tid
}

/// Does the word say that `tid` holds the lock, with nobody waiting, and is it, having been linked [`Linked::Alone`],
/// still the only one in the list? Then [`unlock_alone`] releases it.
#[inline(always)]
pub(super) fn is_held_alone(line: &LockLine, tid: u32, list: RobustList) -> bool {
    // One branch and not two: both are true all but always.
    (line.word.load(Ordering::Relaxed) == tid) & is_linked_alone(line, list)
}

/// Is the lock, having been linked [`Linked::Alone`], still the only one in the list? Then [`unlock_alone`] releases it
/// if its holder is `tid`.
#[inline(always)]
pub(super) fn is_linked_alone(line: &LockLine, list: RobustList) -> bool {
    list.is_alone(RobustList::node(&line.word))
}

/// The fast path of [`unlock`]. `false`: somebody waits, or the lock is not `tid`'s any more, and [`wake_after`] must
/// follow.
#[inline(always)]
pub(super) fn unlock_alone(line: &LockLine, tid: u32, list: RobustList) -> bool {
    list.unlink_alone();
    // Release pairs with the Acquire of `lock_free` and `acquire`.
    let released = line.word.compare_exchange(tid, 0, Ordering::Release, Ordering::Relaxed).is_ok();
    if released {
        point!("unlock: released");
        list.end();
    }
    released
}

/// The end of an [`unlock_alone`] that did not find the word as it is when nobody waits.
#[cold]
pub(super) fn wake_after(line: &LockLine, me: &Thread) {
    if is_held_by(line, me.tid) {
        unlock_and_wake(line);
    }
    me.list.end();
}

/// Releases the lock, which `me` holds.
pub(super) fn unlock(line: &LockLine, me: &Thread, linked: Linked) {
    let node = RobustList::node(&line.word);
    // Alone, what is pending is this very node, or what a libc has left there: nothing was when it was linked.
    let interrupted = match linked {
        Linked::Alone => Interrupted::NOTHING,
        Linked::AmongOthers => me.list.interrupt(me.tid),
    };
    me.list.begin(node);
    me.list.unlink(node);
    // Release: as in `unlock_alone`.
    if line.word.compare_exchange(me.tid, 0, Ordering::Release, Ordering::Relaxed).is_ok() {
        point!("unlock slowly: released");
    } else {
        unlock_and_wake(line);
    }
    me.list.resume(interrupted);
}

#[cold]
#[inline(never)]
fn unlock_and_wake(line: &LockLine) {
    // Read while holding: afterwards it counts the acquisitions that others make.
    let epoch = line.epoch.load(Ordering::Relaxed);
    // Release: as in `unlock`. A plain store, because nobody else changes a held word that has the waiters bit.
    line.word.store(WAITERS, Ordering::Release);
    point!("wake: released");
    if futex::wake_one(&line.word) {
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

/// Does a thread of this process hold the lock with a node that lies between these addresses?
pub(super) fn is_held_within(line: &LockLine, addresses: std::ops::Range<usize>) -> bool {
    holder_in(line.word.load(Ordering::Relaxed)).is_some_and(process::is_own_thread)
        && addresses.contains(&(line.node.load(Ordering::Relaxed) as usize))
}

/// The holder's thread id in a word.
pub(super) fn holder_in(word: u32) -> Option<u32> {
    Some(word & TID).filter(|tid| *tid != 0)
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

/// Does a word with this content stand for a holder that died?
pub(super) fn says_owner_died(word: u32) -> bool {
    word & OWNER_DIED != 0
}
