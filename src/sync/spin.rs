//! How a waiter waits before it goes to sleep: the one place that decides about spinning.
//!
//! # For the lock
//!
//! What is weighed: a sleep and the wake-up that ends it take 17 µs from one core to another on the machine on which
//! this was chosen (virtual, two cores), and cost the unlocking process 1 to 3 µs. Each look at the word takes its cache
//! line from the holder, some 0.1 µs. And a core that spins does nothing else.
//!
//! * **Few looks**: one in 0.33 µs. With one in 0.22 µs, the throughput for 50 ns of work under the lock and nothing between is 0.88 of
//!   that; with one in 1.1 µs, for 0.5 µs of work and as much between, 0.7. But the first one after 0.11 µs: locks that are held for
//!   a moment only go to and fro in half the time.
//! * **About 10 µs in all**, less than the sleep would take. For 5 µs of work and nothing between, two, four and sixteen
//!   processes did 0.13, 0.13 and 0.12 million sections a second without spinning, 0.14, 0.15 and 0.13 with 4.4 µs of
//!   it, 0.18, 0.17 and 0.17 with 9 µs; 0.18 is all that there can be.
//! * **One `sched_yield`, after the third look**, which lets a holder on the same core run, and whoever else. Yielding at
//!   once cost 0.5 µs of work a quarter of the throughput. Yielding again and again made a waiter miss the moment when its
//!   turn came: 20 to 50 µs instead of 3 on one core. **None after a sleep**: who has been woken, and finds the lock taken
//!   again, would give its turn away with the processor; beside 30 busy processes the longest waits were 97 ms with it
//!   and 57 without. That the least served come to their share is not the yield's business: see `reservation.rs`.
//! * **Not for a lock that its holder gives back and takes again**: the next look would come too late as well. Who waits sleeps
//!   then, and the throughput for 5 µs of work and nothing between rises from 0.67 of the best peer's to 1.1 with four processes,
//!   at 0.85 of its processor time.
//! * **What is always in vain is left out** ([`SpinBudget`]): three locks that two processes on one core hand to each other
//!   took 7 to 15 µs a step with spinning, 2.3 with pthread mutexes, 1.5 with the yield alone. It takes many failures:
//!   with eight, one of two processes on two cores lost its trust by chance, and then lost every race.
//!
//! Measured with `benches/peers`, parts `contention` and `pingpong`, contenders taking turns. Waking two sleepers at once,
//! longer pauses from look to look, and other spinning after a wake-up than before it were tried, and were not better.
//!
//! # For what others do
//!
//! Who waits for an event, a commit or a condition looks for it as often, and with a budget of its own: whoever answers at once
//! does so within the time that his sleep would have taken. **Without the yield**: it is not a holder that must run on so that
//! there is something to see, and who sleeps is woken before those are served who are only busy; who has yielded waits for all
//! of them. And of those who wait for a condition, only one who waits **alone**: else the one who is awake would take what the one
//! who has slept for longer was woken for, again and again.

use std::time::Duration;

use super::atomic::{AtomicU32, AtomicU64, Ordering};
use super::word::{TID, high, is_owned, low};
use crate::layout::LockLine;
use crate::os::Deadline;

/// From the look that found the word owned to the next.
const FIRST_PROBE: Duration = Duration::from_nanos(110);
/// From each later look to the next.
const PROBE_EVERY: Duration = Duration::from_nanos(330);
/// Pauses, each followed by a look, before the yield.
const PROBES_BEFORE_YIELD: u32 = 3;
/// The same after it.
const PROBES_AFTER_YIELD: u32 = 30;

/// How long a yield may take, if others are busy.
const LONGEST_YIELD: Duration = Duration::from_millis(10);
/// At most so many processor pauses between two looks, should the clock stand still.
const MOST_PAUSES: u32 = 400;

/// What a handle has learnt by waiting. Forgetting or mixing up any of it costs time and nothing else, so threads share
/// it without an order.
#[derive(Debug, Default)]
pub(super) struct SpinPolicy {
    budget: SpinBudget,
    /// The same for what others do.
    answers: SpinBudget,
    /// The last holder that was found alive.
    last_seen_alive: AtomicU64,
}

impl SpinPolicy {
    /// Waits awake, for some 10 µs and whatever a yield takes, until nobody owns the lock or the end has come. Returns the
    /// word as last seen. `has_slept`: it was woken, and found the lock taken again.
    #[cold]
    pub(super) fn watch(&self, line: &LockLine, end: Option<Deadline>, has_slept: bool) -> u64 {
        let begun = line.epoch.load(Ordering::Relaxed);
        let spins = self.budget.may_spin_now();
        let mut seen = line.word.load(Ordering::Relaxed);
        let looks = Looks { line, holder: seen, begun };
        if spins {
            probe(PROBES_BEFORE_YIELD, FIRST_PROBE, end, || looks.are_over());
            seen = line.word.load(Ordering::Relaxed);
        }
        let mut spinning_helped = !is_owned(seen);
        if !spinning_helped && !has_slept && may_yield(end) {
            std::thread::yield_now();
            seen = line.word.load(Ordering::Relaxed);
        }
        if spins && is_owned(seen) {
            probe(PROBES_AFTER_YIELD, PROBE_EVERY, end, || looks.are_over());
            seen = line.word.load(Ordering::Relaxed);
            spinning_helped = !is_owned(seen);
        }
        // What had no time to help proves nothing. What came free during the yield is no merit of spinning.
        if spins && !end.is_some_and(Deadline::has_passed) {
            self.budget.learn(spinning_helped);
        }
        seen
    }

    /// Waits awake, for some 10 µs, until others have done something, or until the end. Have they?
    #[cold]
    pub(super) fn watch_for(&self, end: Option<Deadline>, is_done: impl Fn() -> bool) -> bool {
        if !self.answers.may_spin_now() {
            return is_done();
        }
        probe(PROBES_BEFORE_YIELD + PROBES_AFTER_YIELD, FIRST_PROBE, end, &is_done);
        let spinning_helped = is_done();
        if spinning_helped || !end.is_some_and(Deadline::has_passed) {
            self.answers.learn(spinning_helped);
        }
        spinning_helped
    }

    /// Is this the holder that was last seen alive?
    pub(super) fn was_seen_alive(&self, holder: u64) -> bool {
        self.last_seen_alive.load(Ordering::Relaxed) == holder
    }

    pub(super) fn note_alive(&self, holder: u64) {
        self.last_seen_alive.store(holder, Ordering::Relaxed);
    }
}

/// Looks so many times, or until there is nothing more to look for, or until the end.
fn probe(most: u32, mut gap: Duration, end: Option<Deadline>, is_over: impl Fn() -> bool) {
    for _ in 0..most {
        if is_over() || end.is_some_and(Deadline::has_passed) {
            break;
        }
        pause(gap);
        gap = PROBE_EVERY;
    }
}

/// What one who waits awake for a lock looks at.
struct Looks<'a> {
    line: &'a LockLine,
    /// Who held it at first, and how often it had been released to sleepers.
    holder: u64,
    begun: u32,
}

impl Looks<'_> {
    /// Does nobody own the lock, or is it in vain?
    fn are_over(&self) -> bool {
        let seen = self.line.word.load(Ordering::Relaxed);
        !is_owned(seen) || self.is_taken_again(seen)
    }

    /// Has the holder released it to those who sleep, and taken it again?
    fn is_taken_again(&self, seen: u64) -> bool {
        low(seen ^ self.holder) & TID == 0
            && high(seen) == high(self.holder)
            && self.line.epoch.load(Ordering::Relaxed) != self.begun
    }
}

/// Is the end so far away that others may have the processor until they give it back?
fn may_yield(end: Option<Deadline>) -> bool {
    end.is_none_or(|end| Deadline::after(LONGEST_YIELD).is_some_and(|soon| soon < end))
}

/// Does nothing for so long. By the clock: a processor's pause instruction takes 3 ns on one and 50 on another.
fn pause(gap: Duration) {
    let Some(end) = Deadline::after(gap) else { return };
    // Bounded, because a clock may stand still (simulators).
    for _ in 0..MOST_PAUSES {
        if end.has_passed() {
            return;
        }
        std::hint::spin_loop();
    }
}

/// Whether something is worth a try: after some futile attempts in a row it rests for a while, each time for longer.
#[derive(Debug, Default)]
struct SpinBudget {
    /// Vain attempts in a row.
    futile: AtomicU32,
    /// So many are left out yet.
    resting: AtomicU32,
}

/// So many futile attempts in a row mean nothing.
const FUTILE_BEFORE_REST: u32 = 64;
/// The longest rest is 2 to the power of this.
const MAX_REST_LOG2: u32 = 8;

impl SpinBudget {
    /// Counts one of those that are left out.
    fn may_spin_now(&self) -> bool {
        let resting = self.resting.load(Ordering::Relaxed);
        self.resting.store(resting.saturating_sub(1), Ordering::Relaxed);
        resting == 0
    }

    fn learn(&self, spinning_helped: bool) {
        let futile = if spinning_helped {
            0
        } else {
            (self.futile.load(Ordering::Relaxed) + 1).min(FUTILE_BEFORE_REST + MAX_REST_LOG2)
        };
        self.futile.store(futile, Ordering::Relaxed);
        if futile > FUTILE_BEFORE_REST {
            self.resting.store(1 << (futile - FUTILE_BEFORE_REST), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::mem::MaybeUninit;

    use super::*;

    fn line(word: u64) -> LockLine {
        // SAFETY: all-zero bytes are a lock line: integers, atomics and bytes.
        let line: LockLine = unsafe { MaybeUninit::zeroed().assume_init() };
        line.word.store(word, Ordering::Relaxed);
        line
    }

    #[test]
    fn what_keeps_failing_rests_for_longer_and_longer() {
        let budget = SpinBudget::default();
        let mut attempts = 0;
        for _ in 0..10_000 {
            if budget.may_spin_now() {
                attempts += 1;
                budget.learn(false);
            }
        }
        assert!((FUTILE_BEFORE_REST..2 * FUTILE_BEFORE_REST).contains(&attempts), "{attempts}");
    }

    #[test]
    fn one_success_restores_the_budget() {
        let budget = SpinBudget::default();
        (0..1_000).filter(|_| budget.may_spin_now()).for_each(|_| budget.learn(false));
        while !budget.may_spin_now() {}
        budget.learn(true);
        assert!((0..FUTILE_BEFORE_REST).all(|_| {
            budget.learn(false);
            budget.may_spin_now()
        }));
    }

    #[test]
    fn an_end_that_has_come_proves_nothing() {
        let spin = SpinPolicy::default();
        assert_eq!(spin.watch(&line(7), Some(Deadline::now()), false), 7);
        assert_eq!(spin.budget.futile.load(Ordering::Relaxed), 0);
        assert!(!may_yield(Some(Deadline::now())));
        assert!(may_yield(Deadline::after(Duration::from_secs(60))) && may_yield(None));
    }

    #[test]
    fn what_others_have_done_is_seen_and_what_they_do_not_do_is_given_up() {
        let spin = SpinPolicy::default();
        assert!(!spin.watch_for(None, || false));
        assert_eq!(spin.answers.futile.load(Ordering::Relaxed), 1);
        assert!(!spin.watch_for(Some(Deadline::now()), || false), "the end has come");
        assert_eq!(spin.answers.futile.load(Ordering::Relaxed), 1);
        assert!(spin.watch_for(None, || true));
        assert_eq!(spin.answers.futile.load(Ordering::Relaxed), 0);
        assert_eq!(spin.budget.futile.load(Ordering::Relaxed), 0, "the lock's is another");
    }

    #[test]
    fn a_free_word_is_not_waited_for() {
        let spin = SpinPolicy::default();
        assert_eq!(spin.watch(&line(0), None, false), 0);
        assert_eq!(spin.budget.futile.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_word_that_stays_owned_is_given_up() {
        let spin = SpinPolicy::default();
        assert_eq!(spin.watch(&line(7), None, false), 7);
        assert_eq!(spin.budget.futile.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_holder_that_gives_it_back_and_takes_it_again_is_not_waited_for() {
        const W: u64 = 1 << 31;
        let line = line(7 | W);
        let looks = Looks { line: &line, holder: 7, begun: 0 };
        assert!(!looks.is_taken_again(7 | W), "it has not been released");
        line.epoch.store(1, Ordering::Relaxed);
        assert!(looks.is_taken_again(7 | W));
        assert!(!looks.is_taken_again(8 | W) && !looks.is_taken_again(7 | 1 << 32), "by another");
    }
}
