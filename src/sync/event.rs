//! The event: a word that is set and cleared, and on which any number of threads sleep until it is set.
//!
//! | lower half, upper half | meaning | who leaves it |
//! |---|---|---|
//! | `0, g` | clear, and nobody sleeps | `clear` |
//! | `W, g` | clear, and sleepers may exist | a waiter before it sleeps |
//! | `S \| W, g` | set, and perhaps not all have been told | `set`, where there was `W` |
//! | `S, g` | set, and all have been told | `set`, where there was no `W`; who has told them |
//!
//! It is the word of the lock line; `S` stands where that of a lock has the kernel's `D`. There is never a thread id in it:
//! an event is nobody's, and the kernel changes nothing in it when a thread dies. `g` counts how often the event was set. So
//! whoever has slept knows that it was, even if it is clear again.
//!
//! # Why nobody sleeps beside a set event
//!
//! **`W` goes last**: when all have been woken, and only if `g` is still what it was before. So `S | W` says that somebody
//! has set the event, and may have died before he told all who sleep. Whoever meets it tells them in his place: who waits,
//! who sets, who clears.
//!
//! **If nobody comes, the kernel does.** Who sleeps, or is about to wake others, has named the event as pending. The kernel
//! finds no owner in the word, and wakes one when such a thread dies (since Linux 6.2; also in the stable kernels of that
//! time). That one meets `S | W`. Where the kernel does not, and where there is no list to name anything in, each sleeper
//! looks by itself, once in a while.
//!
//! **Nobody is named where nobody sleeps.** Who finds no `W` and changes the word at once, with a comparison of the whole of
//! it, owes no wake-up: a sleeper compares its lower half with `W`.
//!
//! **The generation** is why a slow setter does not take away the `W` of a later setting, of which it knows nothing, and
//! whose setter may be dead.
//!
//! A model check of all interleavings stands in `tests/models/lock`, with the simpler protocols that fail it.
//!
//! # What is seen
//!
//! Setting is a release, also of an event that is set already, and every change hands on what the one before it did. So who
//! waits sees what all those wrote before who have set it until then. If setting a set event were a look only, one who puts
//! something into a queue could find the event set, and one who takes from it could clear the event without seeing it:
//! nobody would come for it.
//!
//! # Limits
//!
//! * Who is on his way to sleep, for the first time or after a look of his own, may miss that the event is set and cleared
//!   again, if another one has come to sleep in between: it then finds the generation changed at the next look, seconds later.
//! * 2^32 settings between a look and the next one look like none.

use std::time::Duration;

use super::atomic::Ordering;
use super::interrupts;
use super::robust_futex;
use super::waiting::{Failure, HEARTBEAT};
use super::word::{LOCKER, OWNER_DIED, WAITERS, high, low, pair};
use crate::fault::point;
use crate::layout::LockLine;
use crate::os::robust_list::RobustList;
use crate::os::thread::Thread;
use crate::os::{Deadline, futex};

/// `S`: the event is set.
const SET: u32 = OWNER_DIED;

/// How long a sleeper whose kernel tells him of nothing sleeps before it looks.
const BEAT: Duration = Duration::from_millis(100);

pub(super) fn says_set(word: u64) -> bool {
    low(word) & SET != 0
}

fn has_sleepers(word: u64) -> bool {
    low(word) & WAITERS != 0
}

#[inline(always)]
pub(super) fn is_set(line: &LockLine) -> bool {
    // Acquire pairs with the Release of `set_fast` and `set_slow`, as in all that waits.
    says_set(line.word.load(Ordering::Acquire))
}

/// The first look of one who waits: is there nothing to wait for, and nobody to be told? Else gives what it has seen.
#[inline(always)]
pub(super) fn wait_fast(line: &LockLine) -> Result<(), u64> {
    let seen = line.word.load(Ordering::Acquire);
    if says_set(seen) && !has_sleepers(seen) { Ok(()) } else { Err(seen) }
}

/// Waits until the event is set, or was set since its word was `first`.
#[cold]
pub(super) fn wait_slow(
    line: &LockLine,
    me: &Thread,
    slot: u32,
    first: u64,
    deadline: Option<Deadline>,
) -> Result<(), Failure> {
    named(line, me, slot, || {
        let (mut seen, mut time_is_up, mut asks) = (first, false, false);
        loop {
            if says_set(seen) {
                return if has_sleepers(seen) { tell_all(line, seen) } else { Ok(()) };
            }
            if high(seen) != high(first) {
                return Ok(()); // it was, and is clear again
            }
            if time_is_up {
                return Err(Failure::TimedOut { holder: 0 });
            }
            if std::mem::take(&mut asks) && interrupts::are_asked() {
                interrupts::ask()?;
                if !me.is_current() {
                    return Err(Failure::Forked);
                }
                name(line, me, slot);
                seen = line.word.load(Ordering::Acquire); // that may have taken its time
                continue;
            }
            // Also if there is something in it that nobody of ours has written.
            if low(seen) != WAITERS {
                let announced = pair(WAITERS, high(seen));
                let change = line.word.compare_exchange(seen, announced, Ordering::Relaxed, Ordering::Acquire);
                if let Err(found) = change {
                    seen = found;
                    continue;
                }
                point!("event: sleeper announced");
            }
            point!("event: about to sleep");
            time_is_up = sleep(line, me, deadline)?;
            asks = true;
            point!("event: awake");
            if !me.is_current() {
                return Err(Failure::Forked);
            }
            name(line, me, slot); // again: a signal handler that used a robust mutex of libc's has overwritten it
            seen = line.word.load(Ordering::Acquire);
        }
    })
}

/// Sleeps while the event is clear, until woken, or for a while. Is the time up?
fn sleep(line: &LockLine, me: &Thread, deadline: Option<Deadline>) -> Result<bool, Failure> {
    let beat = Deadline::soon(if me.list.is_known() { HEARTBEAT } else { BEAT });
    let until = deadline.map_or(beat, |deadline| deadline.min(beat));
    futex::wait(&line.word, WAITERS, LOCKER, until).map_err(Failure::Os)?;
    Ok(deadline.is_some_and(Deadline::has_passed))
}

/// Sets the event if nobody sleeps. `false`: somebody may, and [`set_slow`] must follow.
#[inline(always)]
pub(super) fn set_fast(line: &LockLine) -> bool {
    let mut seen = line.word.load(Ordering::Relaxed);
    while !has_sleepers(seen) {
        match line.word.compare_exchange(seen, after_setting(seen), Ordering::Release, Ordering::Relaxed) {
            Ok(_) => {
                point!("event: set");
                return true;
            }
            Err(found) => seen = found,
        }
    }
    false
}

/// Sets the event, and tells those who sleep.
#[cold]
pub(super) fn set_slow(line: &LockLine, me: &Thread, slot: u32) -> Result<(), Failure> {
    named(line, me, slot, || {
        let mut seen = line.word.load(Ordering::Relaxed);
        loop {
            let next = after_setting(seen);
            match line.word.compare_exchange(seen, next, Ordering::Release, Ordering::Relaxed) {
                Ok(_) if has_sleepers(next) => return tell_all(line, next),
                Ok(_) => return Ok(()),
                Err(found) => seen = found,
            }
        }
    })
}

fn after_setting(seen: u64) -> u64 {
    let generation = if says_set(seen) { high(seen) } else { high(seen).wrapping_add(1) };
    pair(SET | low(seen) & WAITERS, generation)
}

/// Clears the event if all who slept have been told. `false`: perhaps not, and [`clear_slow`] must follow.
#[inline(always)]
pub(super) fn clear_fast(line: &LockLine) -> bool {
    let mut seen = line.word.load(Ordering::Acquire);
    while says_set(seen) {
        if has_sleepers(seen) {
            return false;
        }
        // Acquire: who clears has seen what all those wrote who had set it.
        match line.word.compare_exchange(seen, pair(0, high(seen)), Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => {
                point!("event: cleared");
                return true;
            }
            Err(found) => seen = found,
        }
    }
    true
}

/// Tells those who sleep that the event is set, and clears it.
#[cold]
pub(super) fn clear_slow(line: &LockLine, me: &Thread, slot: u32) -> Result<(), Failure> {
    named(line, me, slot, || {
        while !clear_fast(line) {
            let seen = line.word.load(Ordering::Relaxed);
            if says_set(seen) && has_sleepers(seen) {
                tell_all(line, seen)?;
            }
        }
        Ok(())
    })
}

/// Wakes all, the event being set, and then says so, if it has not been cleared and set again meanwhile.
fn tell_all(line: &LockLine, seen: u64) -> Result<(), Failure> {
    point!("event: set, and not all told");
    futex::wake_all(&line.word).map_err(Failure::Os)?;
    point!("event: all told");
    // Acquire: a waiter has seen what those wrote who have set it meanwhile, too.
    let _ = line.word.compare_exchange(seen, pair(SET, high(seen)), Ordering::Acquire, Ordering::Acquire);
    point!("event: known to be told");
    Ok(())
}

/// Takes steps with the event named as pending.
fn named(line: &LockLine, me: &Thread, slot: u32, steps: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    if !me.list.is_known() {
        return steps();
    }
    let interrupted = robust_futex::interrupt(me);
    name(line, me, slot);
    let result = steps();
    // Else this is a child that was forked meanwhile, and the fork has emptied the list.
    if me.is_current() {
        me.list.resume(interrupted);
    }
    result
}

fn name(line: &LockLine, me: &Thread, slot: u32) {
    if me.list.is_known() {
        me.list.begin(RobustList::node(&line.word), slot);
    }
}
