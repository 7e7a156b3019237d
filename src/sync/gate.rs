//! Waiting for what a holder of the lock does, and not for the lock: how such sleepers come to where they are found.
//!
//! The kernel tells of a death on the word of the lock that the dead one held, and nowhere else. So everybody who waits for
//! something that a holder does sleeps, in the end, **on the lock word**; the sleepers are told apart by classes
//! (`word.rs`). But nobody can release the lock and go to sleep on its word in one step: in between, the word may have gone
//! through any number of states, and look the same. So they sleep at the **gate** first, a number that only holders count:
//!
//! | step | who waits, with the lock | whoever then takes the lock from `W` or `D` |
//! |---|---|---|
//! | 1 | notes the gate, says that somebody is there | finds that somebody may be there |
//! | 2 | names the lock as pending, releases it, **with `W`** whoever else waits | counts the gate |
//! | 3 | wakes one who is to be woken, as every unlock does | moves all who sleep there to the lock word |
//! | 4 | sleeps while the gate is what it was | says that nobody is there |
//!
//! Then each unlock finds them, and so does the kernel. Every return from a sleep means "look again", and nothing more.
//!
//! # Why nobody is left at the gate
//!
//! Who waits leaves `W`, and nobody clears it while somebody may wait, so the next holder does all four steps. One who is
//! still on his way to sleep finds the gate counted. The flag goes **last**: if the mover is killed before, the next one
//! does it all again. Nobody comes to the gate meanwhile, because that takes the lock.
//!
//! **`W` does not go while somebody waits** for a commit or a condition; if it did, the next holder would take `0, 0` and
//! move nobody. But those counts stay too high for ever when one who waits is killed. So four times a second, if there are
//! so many unlocks, one of these asks the kernel whether anybody sleeps at all, and clears the bit if nobody does (the
//! *probe*). It also drops the credit of a condition of which nobody sleeps, which would make every unlock look for one. To
//! ask is to wake one, who looks and sleeps again: so not more often, or who waits beside a busy lock would never sleep.
//!
//! # Unlocking beside a sleeper costs no system call
//!
//! `W` must stay while somebody waits for a change, and with it the slow way of releasing; but nobody of those is to be
//! woken. So whoever sleeps **for the lock** is counted (`lockers`): before the call, and the kernel's comparison of the
//! word comes after it. Who unlocks stores the word, and then looks at the count. One of the two sees what the other has
//! done. A killed sleeper leaves the count too high, which costs a system call at each unlock for as long as somebody waits
//! for a change on and on, and never a wake-up.
//!
//! # Limits
//!
//! 2^32 acquisitions between the look at the gate and the sleep are none to the sleeper, until he looks by himself.

use super::atomic::{AtomicU32, Ordering};
use super::credit::{self, Whom};
use super::word::{ANY, LOCKER, OWNER_DIED, WAITERS, WATCHER, condition_class, low};
use crate::fault::point;
use crate::layout::{Condition, LockLine, WaitLine};
use crate::os::{futex, monotonic_nanos};

/// Every so many releases to sleepers, who releases looks at the clock; and whenever that has gone on by 2^28 ns, which is
/// 0.27 s, it asks whether there are any.
const LOOK_AT_THE_CLOCK_EVERY: u32 = 64;
const PROBE_EVERY_LOG2: u32 = 28;

/// Says that somebody sleeps at the gate, and notes what it says. The caller holds the lock.
pub(super) fn come_to(waits: &WaitLine) -> u32 {
    let noted = waits.gate.load(Ordering::Relaxed);
    waits.at_gate.store(1, Ordering::Relaxed); // published by the release that follows
    point!("gate: somebody is there");
    noted
}

/// What falls to whoever has taken the lock from `W` or `D`, before anything else.
#[inline]
pub(super) fn admit(line: &LockLine, waits: &WaitLine, taken_from: u64) {
    if low(taken_from) & (WAITERS | OWNER_DIED) == 0 {
        return;
    }
    if waits.at_gate.load(Ordering::Relaxed) != 0 {
        move_all(line, waits);
    }
    if waits.owed.load(Ordering::Relaxed) != 0 {
        pay(line, waits);
    }
    if low(taken_from) & OWNER_DIED != 0 {
        tell_of_a_death(waits);
    }
}

#[cold]
fn move_all(line: &LockLine, waits: &WaitLine) {
    // SeqCst: between the acquisition and the kernel's look at the queue, and before its comparison by whoever is about to
    // sleep there.
    let count = waits.gate.fetch_add(1, Ordering::SeqCst).wrapping_add(1);
    point!("gate: counted");
    // An error leaves them there until they look for themselves.
    let _ = futex::move_all(&waits.gate, count, &line.word);
    point!("gate: all moved");
    waits.at_gate.store(0, Ordering::Relaxed);
    point!("gate: nobody is there");
}

/// Somebody has committed, and may have died before he told those who wait for that.
#[cold]
fn pay(line: &LockLine, waits: &WaitLine) {
    let _ = futex::wake_all_of(&line.word, WATCHER);
    point!("owed: told by the next holder");
    waits.owed.store(0, Ordering::Relaxed);
    point!("owed: nothing any more");
}

/// The kernel has told one, who may be this thread. (To those who wait for a commit, a dead writer owes nothing, or has noted
/// it.)
#[cold]
fn tell_of_a_death(waits: &WaitLine) {
    for condition in &waits.conditions {
        credit::notify(condition, Whom::Everybody);
    }
}

/// What one who releases has seen of those who wait, while he held the lock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sleepers {
    /// Of these classes, one is to be woken.
    classes: u32,
    /// Nobody waits but those who sleep for the lock.
    are_lockers: bool,
    /// It is time to ask whether there are any.
    probes: bool,
}

/// To be called by the holder, whose release is the next that counts the epoch.
#[inline]
pub(super) fn look(line: &LockLine, waits: &WaitLine) -> Sleepers {
    let any = |count: fn(&Condition) -> &AtomicU32| {
        waits.conditions.iter().fold(0, |any, condition| any | count(condition).load(Ordering::Relaxed)) != 0
    };
    if waits.watchers.load(Ordering::Relaxed) == 0 && !any(|condition| &condition.waiting) {
        return Sleepers { classes: LOCKER, are_lockers: true, probes: false };
    }
    let probes = is_time_to_probe(line, waits);
    if probes || any(|condition| &condition.credit) {
        return look_at_conditions(line, waits, probes);
    }
    Sleepers { classes: LOCKER, are_lockers: false, probes }
}

#[cold]
#[inline(never)]
fn look_at_conditions(line: &LockLine, waits: &WaitLine, probes: bool) -> Sleepers {
    let mut classes = LOCKER;
    for (which, condition) in waits.conditions.iter().enumerate() {
        let is_due = condition.waiting.load(Ordering::Relaxed) != 0 && credit::is_due(condition);
        if is_due && !(probes && credit::drop_if_nobody_sleeps(line, waits, which)) {
            classes |= condition_class(which);
        }
    }
    Sleepers { classes, are_lockers: false, probes }
}

/// Is this the release that asks whether anybody sleeps?
#[inline]
fn is_time_to_probe(line: &LockLine, waits: &WaitLine) -> bool {
    line.epoch.load(Ordering::Relaxed).wrapping_add(1).is_multiple_of(LOOK_AT_THE_CLOCK_EVERY)
        && is_another_quarter(waits)
}

#[cold]
#[inline(never)]
fn is_another_quarter(waits: &WaitLine) -> bool {
    let now = (monotonic_nanos() >> PROBE_EVERY_LOG2) as u32;
    let is_time = waits.probed.load(Ordering::Relaxed) != now;
    if is_time {
        waits.probed.store(now, Ordering::Relaxed); // written by holders only
    }
    is_time
}

impl Sleepers {
    /// Is it enough if one comes who sleeps for the lock?
    pub(super) fn may_all_sleep_on(self) -> bool {
        self.classes == LOCKER
    }

    /// Wakes one, after the release. Was there certainly nobody?
    #[inline]
    pub(super) fn wake_one(self, line: &LockLine, waits: &WaitLine) -> bool {
        // SeqCst: after the release, as in `reservation::after_release`.
        if self.classes == LOCKER && waits.lockers.load(Ordering::SeqCst) == 0 {
            point!("wake: nobody sleeps for the lock");
            return true;
        }
        // An error would not say that there is nobody.
        matches!(futex::wake_one(&line.word, self.classes), Ok(false))
    }

    /// After a release that has woken nobody: does nobody sleep on the word at all?
    pub(super) fn are_none(self, line: &LockLine) -> bool {
        self.are_lockers || self.probes && matches!(futex::wake_one(&line.word, ANY), Ok(false))
    }
}

/// A note that a commit is owed to those who wait for one: see `changes.rs`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owed(u32);

impl Owed {
    pub(crate) const NOTHING: Self = Self(0);

    /// For the holder, before he commits. Nobody who waits for that sleeps unless the word has `W`.
    pub(super) fn for_the_next_commit(line: &LockLine, waits: &WaitLine) -> Self {
        if low(line.word.load(Ordering::Relaxed)) & WAITERS == 0 || waits.watchers.load(Ordering::Relaxed) == 0 {
            return Self::NOTHING;
        }
        // Each release that counts has a mark of its own, which is not 0.
        let mark = line.epoch.load(Ordering::Relaxed) << 1 | 1;
        waits.owed.store(mark, Ordering::Relaxed); // published by the Release of the commit
        point!("owed: noted");
        Self(mark)
    }

    /// After the release.
    pub(super) fn pay(self, line: &LockLine, waits: &WaitLine) {
        if self.0 == 0 {
            return;
        }
        let _ = futex::wake_all_of(&line.word, WATCHER);
        point!("owed: told");
        // This very one: another writer may have noted his, and be dead.
        let _ = waits.owed.compare_exchange(self.0, 0, Ordering::Relaxed, Ordering::Relaxed);
        point!("owed: paid");
    }
}

/// One less, but never less than none: those who took over, or a forked child, may have forgotten this one.
pub(super) fn one_less(count: &AtomicU32) {
    let mut seen = count.load(Ordering::Relaxed);
    while let Some(less) = seen.checked_sub(1) {
        match count.compare_exchange(seen, less, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return,
            Err(found) => seen = found,
        }
    }
}
