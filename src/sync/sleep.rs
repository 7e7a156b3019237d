//! The way of one who waits for what a holder does: with the lock, asleep, with the lock again.
//!
//! All along, the slot of its thread's list names the lock. So whatever it is killed at, the kernel hands the lock on, or the
//! wake-up that it has had; and nothing needs to be linked for the few steps in which it has the lock.

use std::cell::Cell;
use std::time::Duration;

use super::atomic::Ordering;
use super::gate::{self, Owed};
use super::interrupts;
use super::lock::Lock;
use super::robust_futex::{self, Linked};
use super::successor::Candidate;
use super::waiting::{self, Failure, HEARTBEAT, Wait};
use super::word::pair;
use crate::fault::point;
use crate::os::robust_list::{Interrupted, Node, RobustList};
use crate::os::thread::Thread;
use crate::os::{Deadline, futex};

/// How long one sleeps whose kernel tells him of nothing, before he looks for himself.
const BEAT: Duration = Duration::from_millis(100);

/// How a sleep has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slept {
    /// By a wake-up, on which this thread must act, or which it must pass on.
    pub(super) was_woken: bool,
    pub(super) time_is_up: bool,
}

/// One who waits.
pub(super) struct Sleep<'a> {
    lock: Lock<'a>,
    me: &'a Thread,
    owner: u64,
    interrupted: Interrupted,
    /// Has it slept since it last asked whether to give up?
    asks: Cell<bool>,
}

impl<'a> Sleep<'a> {
    /// For one who does not hold the lock.
    pub(super) fn new(lock: Lock<'a>, me: &'a Thread) -> Result<Self, Failure> {
        if me.list.is_known() && me.list.is_full() {
            return Err(robust_futex::too_many());
        }
        lock.users.enter();
        Ok(Self::begin(lock, me, Linked::AmongOthers))
    }

    /// For one who holds the lock, linked so.
    pub(super) fn of_a_holder(lock: Lock<'a>, me: &'a Thread, linked: Linked) -> Self {
        let sleep = Self::begin(lock, me, linked);
        if me.list.is_known() {
            me.list.unlink(sleep.node());
        }
        sleep
    }

    fn begin(lock: Lock<'a>, me: &'a Thread, linked: Linked) -> Self {
        let interrupted = match linked {
            Linked::AmongOthers if me.list.is_known() => robust_futex::interrupt(me),
            _ => Interrupted::NOTHING,
        };
        let owner = pair(me.tid, lock.users.slot());
        let sleep = Self { lock, me, owner, interrupted, asks: Cell::new(false) };
        sleep.name();
        sleep
    }

    fn node(&self) -> Node {
        RobustList::node(&self.lock.line.word)
    }

    /// Names the lock as pending.
    fn name(&self) {
        if self.me.list.is_known() {
            self.me.list.begin(self.node(), self.lock.users.slot());
        }
    }

    /// Takes the lock, which is not linked. `comes_back`: from a sleep.
    pub(super) fn lock(&self, wait: Wait, comes_back: bool) -> Result<(), Failure> {
        let has_interrupted = self.interrupted.is_of(self.node());
        // It is not in the list while it has the lock, so that nothing else can go out of that.
        let mut candidate = Candidate::never(self.lock.successor);
        let taken_from = waiting::acquire(self.lock, self.me, wait, has_interrupted, comes_back, &mut candidate)?;
        gate::admit(self.lock.line, self.lock.waits, taken_from);
        Ok(())
    }

    /// Releases the lock.
    pub(super) fn unlock(&self) {
        let Lock { line, waits, successor, .. } = self.lock;
        // Release: as in `unlock_fast`.
        if line.word.compare_exchange(self.owner, 0, Ordering::Release, Ordering::Relaxed).is_err() {
            robust_futex::unlock_and_wake(line, waits, successor, self.owner, Owed::NOTHING);
        }
    }

    /// Releases the lock and sleeps as one of this class, until woken, or until then, or for a while; or not at all if it `is_answered`
    /// at once, which nobody says without having passed the gate. In between the program may say that it gives up: to those
    /// who look for it at the gate, it is one who has not gone to sleep yet.
    pub(super) fn unlock_and_sleep(
        &self,
        class: u32,
        deadline: Option<Deadline>,
        is_answered: Option<&dyn Fn() -> bool>,
    ) -> Result<Slept, Failure> {
        let Lock { line, waits, successor, .. } = self.lock;
        let noted = gate::come_to(waits);
        let sleepers = gate::look(line, waits);
        let Some((free, had_sleepers)) = robust_futex::release_to_sleepers(line, self.owner) else {
            return Err(Failure::Forked);
        };
        let _ = free; // it stays so: this one sleeps
        if had_sleepers {
            robust_futex::wake_next(line, waits, successor, sleepers);
        }
        let sleeps = !is_answered.is_some_and(|is_answered| self.lock.spin.watch_for(deadline, is_answered));
        if !self.is_still_me() {
            return Err(Failure::Forked);
        }
        let beat = Deadline::soon(if self.me.list.is_known() { HEARTBEAT } else { BEAT });
        let until = deadline.map_or(beat, |deadline| deadline.min(beat));
        self.ask()?;
        point!("sleep: about to sleep");
        let was_woken = sleeps && futex::wait_in(&waits.gate, noted, class, until).map_err(Failure::Os)?;
        point!("sleep: awake");
        if !self.is_still_me() {
            return Err(Failure::Forked);
        }
        self.asks.set(true);
        Ok(Slept { was_woken, time_is_up: deadline.is_some_and(Deadline::has_passed) })
    }

    fn ask(&self) -> Result<(), Failure> {
        if !self.asks.take() || !interrupts::are_asked() {
            return Ok(());
        }
        interrupts::ask()?;
        if self.is_still_me() { Ok(()) } else { Err(Failure::Forked) }
    }

    /// After some time in which signal handlers may have run: `false` in a child that one of them has forked. Names the lock again,
    /// whose name one that used a robust mutex of libc's has overwritten.
    fn is_still_me(&self) -> bool {
        let is_still_me = self.me.is_current();
        if is_still_me {
            self.name();
        }
        is_still_me
    }

    /// Waits no more, and holds the lock.
    pub(super) fn end_holding(self) -> Linked {
        let list = self.me.list;
        if !list.is_known() {
            return Linked::AmongOthers;
        }
        robust_futex::link(list, self.node(), self.interrupted)
    }

    /// Waits no more, without the lock.
    pub(super) fn end(self) {
        if self.me.list.is_known() {
            self.me.list.resume(self.interrupted);
        }
    }
}
