//! Fairness: a lock that comes free is kept for a moment for a waiter that has been passed over.
//!
//! Whoever is woken needs 20 to 50 µs to come for the lock, and a process that locks again right after it has unlocked
//! needs 0.1. So without a rule `loop { lock; sleep 2 ms; unlock }` keeps all others out for seconds. The rule:
//!
//! * A waiter that has slept and finds the lock held again, 1 ms or more after it first went to sleep, writes its token
//!   into the lock line. It is the *heir* now, and sleeps in a class of its own.
//! * Who unlocks and finds a reservation wakes the heir before anybody else.
//! * Who finds the lock free with sleepers, and reserved for another, leaves it alone, but not for longer than 1 ms after
//!   it was first seen so. Then the reservation is over.
//!
//! While anybody may sleep, a free word is `W` and not 0, so no fast path passes by here.
//!
//! # What a reservation is
//!
//! Advice, and never a part of the lock. That there is one holder, that deaths are handed over and that nobody sleeps for
//! ever is all in the word, the kernel's list and the epoch. So whatever stands in the 32 bits (a dead thread's token, a
//! namesake's, another clock's stamp, noise) costs a millisecond, once.
//!
//! | bits | meaning |
//! |---|---|
//! | all 0 | nobody is preferred |
//! | 31…16 | the heir's token, not 0: a hash of its thread id and slot. Who has the same token is let in, too |
//! | 15…0 | when somebody first saw the lock free and kept for the heir: `CLOCK_MONOTONIC` in units of 2^15 ns, not 0. 0: nobody has |
//!
//! The stamp is written by the first who is kept out: the heir cannot know when the holder will release, and all who are
//! kept out need one common end, or short timed waits, each with a millisecond of its own, would be kept out by a dead heir
//! for good. It wraps every 2.1 s, so that one old stamp in 2,000 looks fresh.
//!
//! # Who writes what
//!
//! | from | to | who |
//! |---|---|---|
//! | 0, own token | own token | a passed-over waiter, each time before it sleeps |
//! | token | token, stamp | the first who wants the lock when it is free |
//! | own token | 0 | the heir, when it has the lock or gives up |
//! | anything | 0 | an unlocker that finds no heir asleep; who finds the reservation over; who takes over an orphan |
//!
//! # Why nobody sleeps for ever
//!
//! Who is kept out sleeps on a free word, with a timer of at most 1 ms, and looks again by itself. All other sleepers sleep
//! behind a holder, and are woken as if there were no reservations: each unlock wakes one, the heir or another.
//!
//! **The heir is not overlooked.** It writes its token, and then the kernel compares the word before it lets it sleep; the
//! unlocker stores `W`, and then looks for a token. One of the two sees what the other has done.
//!
//! **A wake-up is never lost.** One that reached a waiter who is kept out was meant for the heir, who may sleep: the waiter
//! passes it on. And a waiter that has been woken and whose time is up takes the lock, kept or not.
//!
//! **An heir that is killed or stopped** while it sleeps is not there to be woken: the unlocker ends the reservation at
//! once. Killed after its wake-up, it named the lock as pending, and the kernel wakes the next one; stopped after its
//! wake-up, it keeps others out for their millisecond. With the lock, it is a holder like any other.
//!
//! # Limits
//!
//! * Fair means: within three times the sections of those before it, and 5 ms, and what the scheduler takes. A waiter that
//!   is passed over for the first time after 1 ms still waits for one whole section, and for those who reserved earlier.
//!   Reservations are served one at a time and in no strict order. Waits below 1 ms are decided by who is faster.
//! * On a free lock that is kept, a try fails, and a wait whose time is up ends, without a holder to name.
//! * An heir that is stopped just after its wake-up, with nobody else coming along, leaves a free lock with sleepers until
//!   one of them looks for itself (`robust_futex.rs`).
//! * Threads of different real-time priorities are woken by priority; the low ones get their turn by reservation. In
//!   different time namespaces stamps mean nothing to each other: all reservations look over, and it is as without them.

use std::time::Duration;

use super::atomic::{AtomicU32, Ordering};
use crate::fault::point;
use crate::layout::LockLine;
use crate::os::{Deadline, monotonic_nanos};

/// So long after it first went to sleep, a waiter asks to be preferred.
pub(super) const STARVED: Duration = Duration::from_millis(1);

/// The longest that a free lock is kept: 1 ms, in the units of the stamp.
const KEPT: u32 = 30;
const UNIT_BITS: u32 = 15;
const STAMP: u32 = 0xffff;

/// A waiter in a reservation: never 0, in the upper half.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token(u32);

impl Token {
    pub(super) fn of(owner: u64) -> Self {
        // Fibonacci hashing (Knuth): ids that follow each other come to lie far apart.
        let hash = (owner.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as u32;
        Self(hash.max(1) << 16)
    }

    fn is_in(self, reservation: u32) -> bool {
        reservation & !STAMP == self.0
    }
}

/// A line in which somebody can be preferred.
pub(super) trait Reserved {
    fn reservation(&self) -> &AtomicU32;
}

impl Reserved for LockLine {
    fn reservation(&self) -> &AtomicU32 {
        &self.reservation
    }
}

/// What a free word with sleepers is to one who wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Free {
    ForAll,
    /// Kept for another, until then at the latest.
    KeptUntil(Deadline),
}

/// Reserves the lock, which another holds, for the caller, who is about to sleep. Is it the heir now?
#[cold]
pub(super) fn claim(line: &impl Reserved, token: Token) -> bool {
    loop {
        let seen = line.reservation().load(Ordering::Relaxed);
        if seen != 0 && !token.is_in(seen) {
            return false;
        }
        // SeqCst, also if it stands there already: before the kernel's comparison of the word; pairs with the look in
        // `after_release`. A stamp is that of an earlier turn.
        if line.reservation().compare_exchange(seen, token.0, Ordering::SeqCst, Ordering::Relaxed).is_ok() {
            point!("reserve: claimed");
            return true;
        }
    }
}

/// May the caller take the lock, whose word it has just seen to be free with sleepers?
#[inline]
pub(super) fn look(line: &impl Reserved, token: Token) -> Free {
    match line.reservation().load(Ordering::Relaxed) {
        0 => Free::ForAll,
        seen if token.is_in(seen) => Free::ForAll,
        _ => look_closely(line, token),
    }
}

#[cold]
fn look_closely(line: &impl Reserved, token: Token) -> Free {
    loop {
        let seen = line.reservation().load(Ordering::Relaxed);
        if seen == 0 || token.is_in(seen) {
            return Free::ForAll;
        }
        // After the load: else a stamp that others have just made would lie in the future, that is: long ago.
        let now = clock();
        let is_first = seen & STAMP == 0;
        if is_first {
            let stamped = line.reservation().compare_exchange(seen, seen | now, Ordering::Relaxed, Ordering::Relaxed);
            if stamped.is_err() {
                continue;
            }
            point!("reserve: stamped");
        }
        let passed = if is_first { 0 } else { now.wrapping_sub(seen) & STAMP };
        let left = KEPT.checked_sub(passed).filter(|left| *left > 0);
        let left = left.map(|units| Duration::from_nanos(u64::from(units) << UNIT_BITS));
        if let Some(until) = left.and_then(Deadline::after) {
            return Free::KeptUntil(until);
        }
        // This very one: the heir may have made its claim anew. A failure means that it has, or that it has ended.
        let _ = line.reservation().compare_exchange(seen, 0, Ordering::Relaxed, Ordering::Relaxed);
        point!("reserve: over");
        return Free::ForAll;
    }
}

fn clock() -> u32 {
    ((monotonic_nanos() >> UNIT_BITS) as u32 & STAMP).max(1)
}

/// The caller has the lock, or gives up: nothing is kept for it any more.
#[inline]
pub(super) fn withdraw(line: &impl Reserved, token: Token) {
    let seen = line.reservation().load(Ordering::Relaxed);
    if token.is_in(seen) {
        end(line, seen);
        point!("reserve: withdrawn");
    }
}

/// The reservation, after the caller has released the lock to sleepers.
#[inline]
pub(super) fn after_release(line: &impl Reserved) -> Option<u32> {
    // SeqCst: after the store to the word; pairs with `claim`.
    Some(line.reservation().load(Ordering::SeqCst)).filter(|reservation| *reservation != 0)
}

/// Ends the heir's reservation, and also if others put a stamp to it in the meantime.
pub(super) fn end(line: &impl Reserved, mut seen: u32) {
    let heir = Token(seen & !STAMP);
    // Else it has ended, or has become another's.
    while heir.is_in(seen) {
        match line.reservation().compare_exchange(seen, 0, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return,
            Err(found) => seen = found,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::mem::MaybeUninit;

    use super::*;

    fn line(reservation: u32) -> LockLine {
        // SAFETY: all-zero bytes are a lock line: integers, atomics and bytes.
        let line: LockLine = unsafe { MaybeUninit::zeroed().assume_init() };
        line.reservation.store(reservation, Ordering::Relaxed);
        line
    }

    fn now_in(line: &LockLine) -> u32 {
        line.reservation.load(Ordering::Relaxed)
    }

    #[test]
    fn a_claim_keeps_the_lock_for_its_maker_and_from_others() {
        let (heir, other) = (Token::of(1), Token::of(2));
        let line = line(0);
        assert!(claim(&line, heir) && !claim(&line, other));
        assert_eq!(look(&line, heir), Free::ForAll);
        assert!(matches!(look(&line, other), Free::KeptUntil(_)));
        assert_ne!(now_in(&line) & STAMP, 0);
        assert!(claim(&line, heir), "again, before it sleeps again");
        assert_eq!(now_in(&line) & STAMP, 0, "the stamp was that of an earlier turn");
        withdraw(&line, other);
        assert_ne!(now_in(&line), 0);
        withdraw(&line, heir);
        assert_eq!(now_in(&line), 0);
    }

    #[test]
    fn a_reservation_that_was_seen_too_long_ago_is_over() {
        let other = Token::of(2);
        for age in [KEPT, 1_000, STAMP / 2] {
            let line = line(Token::of(1).0 | (clock().wrapping_sub(age) & STAMP).max(1));
            assert_eq!(look(&line, other), Free::ForAll, "{age}");
            assert_eq!(now_in(&line), 0);
        }
    }

    #[test]
    fn nothing_is_kept_for_longer_than_a_millisecond() {
        for stamp in [0, clock()] {
            if let Free::KeptUntil(until) = look(&line(Token::of(1).0 | stamp), Token::of(2)) {
                assert!(until <= Deadline::after(Duration::from_millis(1)).unwrap());
            }
        }
    }

    #[test]
    fn no_thread_has_the_token_0() {
        assert!((1..1 << 22).all(|tid| Token::of(tid).0 & !STAMP != 0 && Token::of(tid).0 & STAMP == 0));
    }
}
