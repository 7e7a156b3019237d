//! Tells a test that hangs from one that is slow: by what it and its children do with the processor.

use std::time::{Duration, Instant};

use super::LIMIT;
use super::system::{all_work, each_death_wakes, others_work, tells_of_children};

/// So many looks in a row, a second apart, that find nobody at work make a hang. A waiter looks up by itself every
/// three seconds, and nothing in these tests sleeps for longer.
const IDLE_LOOKS: u32 = 20;
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// What counts as work: looking up now and then does not.
const WORK: Duration = Duration::from_millis(20);

/// How long somebody has waited, and what has happened meanwhile.
pub(super) struct Patience {
    end: Instant,
    next_look: Instant,
    work: Duration,
    idle: u32,
}

impl Patience {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { end: now + LIMIT, next_look: now + BETWEEN_LOOKS, work: Duration::ZERO, idle: 0 }
    }

    /// When to ask again whether it is at its end.
    pub(super) fn next(&self) -> Duration {
        self.next_look.min(self.end).saturating_duration_since(Instant::now())
    }

    /// Fails when it has taken too long, or nobody has done anything for a while.
    #[track_caller]
    pub(super) fn check(&mut self, what: &str) {
        let now = Instant::now();
        assert!(now < self.end, "waited in vain for {what}: {LIMIT:?} are over");
        if now < self.next_look {
            return;
        }
        self.next_look = now + BETWEEN_LOOKS;
        if !tells_of_children() {
            return;
        }
        let work = others_work();
        if work.abs_diff(self.work) >= WORK {
            (self.work, self.idle) = (work, 0);
            return;
        }
        self.idle += 1;
        assert!(self.idle < IDLE_LOOKS, "waited in vain for {what}: nobody has done anything for {IDLE_LOOKS} s");
    }
}

/// Tells a wait from work: on a slow machine everything takes long, but hardly anything sleeps.
pub struct Stopwatch {
    start: Instant,
    work: Duration,
}

impl Stopwatch {
    pub fn start() -> Self {
        Self { start: Instant::now(), work: all_work() }
    }

    /// The time in which neither this process nor one that comes from it was at work.
    pub fn waited(&self) -> Duration {
        self.start.elapsed().saturating_sub(all_work().saturating_sub(self.work))
    }

    /// Fails if somebody has waited until he looked up by himself, which is after three seconds.
    #[track_caller]
    pub fn assert_nobody_waited_for_the_heartbeat(&self) {
        if !tells_of_children() {
            return; // their work would be taken for a wait
        }
        let waited = self.waited();
        assert!(waited < Duration::from_millis(2_500) || !each_death_wakes(), "{waited:?}: by the heartbeat only");
    }
}
