//! How a waiter waits before it goes to sleep: the one place that decides about spinning.
//!
//! What is weighed: a sleep and the wake-up that ends it take some 17 µs when they go from one core to the other (a
//! virtual machine; 5 µs are usual without), of which the unlocking process pays 1 to 3 for the system call. Looking at
//! the word costs the holder a transfer of its cache line, about 0.1 µs, and a core that spins is a core that does
//! nothing else. So:
//!
//! * **Few looks.** One in 0.33 µs. With twice as many, a critical section of 50 ns came to 0.8 of the throughput; with
//!   half as many, one of 0.5 µs with as much between came to 0.8.
//! * **About 10 µs of them**, as long as going to sleep would take. Sections of 5 µs then pass from process to process
//!   awake: 1.3 times the throughput, and of 5 processes out of 5 on two cores. With 4 µs, the spinning was for nothing.
//! * **One `sched_yield`, after the second look.** Whoever shares this core with the holder lets it run; and 16 processes
//!   on two cores took turns (the least served had 0.9 of the most served instead of 0.2). More of them were worse: the
//!   waiter is then not at hand when the lock becomes free (20 µs instead of 3 on one core). Yielding at once cost
//!   sections of 0.5 µs a quarter of their throughput.
//! * **What keeps failing is left out** ([`Trust`]), because on one core, or behind long sections, it only costs.
//!
//! Measured with `benches/peers`, parts `contention` and `pingpong`, on two cores, contenders taking turns.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::robust_futex::TID;
use crate::os::Deadline;

/// From one look at the word to the next.
const GAP: Duration = Duration::from_nanos(330);
/// Looks before the yield.
const SHORT: u32 = 2;
/// Looks after it.
const LONG: u32 = 30;

/// What a handle has learnt by waiting. Forgetting or mixing up any of it costs time and nothing else, so threads share
/// it without an order.
#[derive(Debug, Default)]
pub(super) struct Patience {
    spinning: Trust,
    /// A holder that was found alive.
    met: AtomicU32,
}

impl Patience {
    /// Waits awake, for some microseconds, until nobody owns the lock. Returns the word as last seen.
    #[cold]
    pub(super) fn watch(&self, word: &AtomicU32, end: Option<Deadline>) -> u32 {
        let spins = self.spinning.is_worth_it();
        let mut seen = if spins { looks(word, SHORT, end) } else { word.load(Ordering::Relaxed) };
        let mut helped = !is_owned(seen);
        if is_owned(seen) {
            std::thread::yield_now();
            seen = word.load(Ordering::Relaxed);
            if spins && is_owned(seen) {
                seen = looks(word, LONG, end);
                helped = !is_owned(seen);
            }
        }
        if spins {
            self.spinning.learn(helped);
        }
        seen
    }

    /// Has this handle not found just this holder alive before?
    pub(super) fn is_stranger(&self, holder: u32) -> bool {
        self.met.load(Ordering::Relaxed) != holder
    }

    pub(super) fn meet(&self, holder: u32) {
        self.met.store(holder, Ordering::Relaxed);
    }
}

fn is_owned(word: u32) -> bool {
    word & TID != 0
}

/// Looks at the word so many times, or until nobody owns it, or until the end.
fn looks(word: &AtomicU32, most: u32, end: Option<Deadline>) -> u32 {
    let mut seen = word.load(Ordering::Relaxed);
    for _ in 0..most {
        if !is_owned(seen) || end.is_some_and(Deadline::has_passed) {
            break;
        }
        pause();
        seen = word.load(Ordering::Relaxed);
    }
    seen
}

/// Does nothing for [`GAP`]. By the clock: a processor's pause instruction takes 3 ns on one and 50 on another.
fn pause() {
    let Some(end) = Deadline::after(GAP) else { return };
    while !end.has_passed() {
        std::hint::spin_loop();
    }
}

/// Whether something is worth a try: after some vain attempts in a row it rests for a while, each time for longer.
#[derive(Debug, Default)]
struct Trust {
    /// Vain attempts in a row.
    vain: AtomicU32,
    /// So many are left out yet.
    resting: AtomicU32,
}

/// So many vain attempts in a row mean nothing.
const VAIN: u32 = 64;
/// The longest rest is 2 to the power of this.
const LONGEST: u32 = 8;

impl Trust {
    fn is_worth_it(&self) -> bool {
        let resting = self.resting.load(Ordering::Relaxed);
        self.resting.store(resting.saturating_sub(1), Ordering::Relaxed);
        resting == 0
    }

    fn learn(&self, helped: bool) {
        let vain = if helped { 0 } else { (self.vain.load(Ordering::Relaxed) + 1).min(VAIN + LONGEST) };
        self.vain.store(vain, Ordering::Relaxed);
        if vain > VAIN {
            self.resting.store(1 << (vain - VAIN), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_failing_rests_for_longer_and_longer() {
        let trust = Trust::default();
        let mut attempts = 0;
        for _ in 0..10_000 {
            if trust.is_worth_it() {
                attempts += 1;
                trust.learn(false);
            }
        }
        assert!((VAIN..2 * VAIN).contains(&attempts), "{attempts}");
    }

    #[test]
    fn one_success_restores_trust() {
        let trust = Trust::default();
        (0..1_000).filter(|_| trust.is_worth_it()).for_each(|_| trust.learn(false));
        while !trust.is_worth_it() {}
        trust.learn(true);
        assert!((0..VAIN).all(|_| {
            trust.learn(false);
            trust.is_worth_it()
        }));
    }

    #[test]
    fn a_free_word_is_not_waited_for() {
        let patience = Patience::default();
        assert_eq!(patience.watch(&AtomicU32::new(0), None), 0);
        assert_eq!(patience.spinning.vain.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_word_that_stays_owned_is_given_up() {
        let patience = Patience::default();
        assert_eq!(patience.watch(&AtomicU32::new(7), None), 7);
        assert_eq!(patience.spinning.vain.load(Ordering::Relaxed), 1);
    }
}
