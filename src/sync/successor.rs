//! Who comes next: a waiter that nobody need wake, so that those who pass it by need wake nobody.
//!
//! While anybody may sleep, each release wakes one. But whoever has been woken needs 20 to 50 µs to come, and a process that
//! locks again right after it has unlocked needs 0.1: so the woken finds the lock taken, sleeps again, and the wake-up, which
//! has cost more than a short section, was for nothing. As often as there are releases.
//!
//! So a waiter that was woken and finds the lock taken names itself in a line of the segment, once in each wait, and *dozes*:
//! it sleeps for a moment only, and looks by itself. While it does, who unlocks leaves it to him to come, and wakes nobody.
//! That ends after [`DOZE`], or when the same holder has the lock for as long as a [`NAP`]; then it waits as
//! all others do, and asks to be preferred (`reservation.rs`).
//!
//! # Why nobody sleeps for ever
//!
//! **It may die.** So its line is a robust futex, in the list of its thread: the kernel marks it, and who unlocks sees that
//! there is no successor. The kernel walks the list first, and then looks at what is pending, which is the lock: if a release
//! came before the mark, and so woke nobody, the lock is free when the kernel looks, and it wakes one. One of the two sees
//! what the other has done.
//!
//! **It may be stopped**, or be interrupted by a handler that takes its time. So it writes when it was there last, and is
//! relied on for 2 ms from then. A handler that locks anything ends that at once ([`step_aside`]).
//!
//! **It may give up.** Then it is relied on no more, and *then* looks at the lock once more: it was released meanwhile, and
//! nobody was woken? Then it wakes one.
//!
//! | the word of the line | meaning | who leaves it |
//! |---|---|---|
//! | `0` | nobody | the successor, when its node is in no list any more; a new segment; a take-over |
//! | `tid, 0` | named, and not relied on | a waiter that finds `0` or `D`; the successor that is about to go |
//! | `tid, stamp` | relied on: `CLOCK_MONOTONIC` in units of 2^15 ns, not 0 | the successor before each nap |
//! | `D, …` | it died | the kernel |
//!
//! **Two lists never have the node.** It is linked by whoever has named himself, which takes a `0` or a `D`; and `0` comes after
//! it is in no list any more. For the moments of naming and unnaming, the line is what the thread has pending: not the lock. So
//! that falls where nothing depends on it: behind the sight of a holder, who will wake one, or with the lock in the list.
//!
//! # Limits
//!
//! * A successor that is stopped leaves a free lock with sleepers, as whoever is stopped after its wake-up does
//!   (`robust_futex.rs`), and so do those who unlock within 2 ms from then.
//! * There is no successor in a segment that several PID namespaces have opened: the kernel would mark a namesake's line, and
//!   nobody could tell whose list has it. (One who does not know yet that there are several may name himself. Those of the
//!   other namespaces know, and never do.)
//! * A signal handler that uses a robust mutex of libc's leaves nothing pending (`robust_list.rs`): what is left to a successor
//!   that is killed right behind that, nobody hears of until a sleeper looks for itself.
//! * Before Linux 6.2, and the stable kernels of that time, the kernel does not wake one for a pending lock that is free with
//!   sleepers: so it is there with one that is killed while it dozes.
//! * It comes with its own priority, before sleepers of a higher one.
//! * One whose death the kernel does not report (`waiting.rs`) keeps the line until all users are gone: then there is no
//!   successor any more, and each release wakes one.

use std::time::Duration;

use super::atomic::Ordering;
use super::node;
use super::word::{LOCKER, OWNER_DIED, high, is_owned, low, pair};
use crate::fault::point;
use crate::layout::LockLine;
use crate::os::robust_list::{Interrupted, Node, RobustList};
use crate::os::thread::Thread;
use crate::os::{Deadline, futex, monotonic_nanos};

/// How long it dozes in all.
const DOZE: Duration = Duration::from_micros(400);
/// How long it sleeps at once.
const NAP: Duration = Duration::from_micros(200);
/// So long after it was there last it is relied on, in the units of the stamp: 2 ms.
const RELIED_ON: u32 = 61;
const UNIT_BITS: u32 = 15;

/// A waiter that may be the successor, in one wait.
pub(super) struct Candidate<'a> {
    line: &'a LockLine,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It has not been passed over yet.
    Waits,
    /// It is the successor until then, and has seen this release last.
    Dozes(Deadline, u32),
    /// It is named, and not relied on: the lock has come free.
    Comes,
    /// It has been, or cannot be.
    Past,
}

impl<'a> Candidate<'a> {
    pub(super) fn new(line: &'a LockLine) -> Self {
        Self { line, state: State::Waits }
    }

    /// One who is never the successor: its list has no room for the line, or its thread no list.
    pub(super) fn never(line: &'a LockLine) -> Self {
        Self { line, state: State::Past }
    }

    /// For one who has slept, and has seen that another holds `lock`, with `W`: until when it dozes, if it does.
    pub(super) fn doze(&mut self, lock: &LockLine, me: &Thread, slot: u32) -> Option<Deadline> {
        let released = lock.epoch.load(Ordering::Relaxed);
        match self.state {
            State::Waits => {
                if !self.name(lock, me, slot) {
                    return None;
                }
                self.state = State::Dozes(Deadline::soon(DOZE), released);
            }
            State::Dozes(end, seen) if !end.has_passed() && seen != released => {
                self.state = State::Dozes(end, released)
            }
            State::Dozes(..) | State::Comes => {
                if self.is_passed_by(lock) {
                    self.unname(me.list);
                    me.list.begin(RobustList::node(&lock.word), slot);
                }
                return None;
            }
            State::Past => return None,
        }
        // SeqCst: before the kernel's comparison of the lock's word; pairs with `is_relied_on`.
        self.line.word.store(pair(me.tid, stamp()), Ordering::SeqCst);
        point!("successor: relied on");
        Some(Deadline::soon(NAP))
    }

    pub(super) fn is_named(&self) -> bool {
        matches!(self.state, State::Dozes(..) | State::Comes)
    }

    /// Names this waiter, if nobody is.
    fn name(&mut self, lock: &LockLine, me: &Thread, slot: u32) -> bool {
        let seen = self.line.word.load(Ordering::Relaxed);
        if low(seen) & !OWNER_DIED != 0 || !me.is_current() {
            return false;
        }
        let node = RobustList::node(&self.line.word);
        me.list.begin(node, 0);
        // Acquire: what the last one did to the node was before.
        let is_named =
            self.line.word.compare_exchange(seen, pair(me.tid, 0), Ordering::Acquire, Ordering::Relaxed).is_ok();
        if is_named {
            point!("successor: named");
            me.list.link(node);
        }
        me.list.begin(RobustList::node(&lock.word), slot);
        is_named
    }

    /// From here on it is not relied on. Is the lock held by somebody, who sees that when he releases it?
    fn is_passed_by(&mut self, lock: &LockLine) -> bool {
        self.state = State::Comes;
        let relied_on = self.line.word.load(Ordering::Relaxed);
        // SeqCst, and the look after it as well: pairs with the release and `is_relied_on`.
        self.line.word.store(u64::from(low(relied_on)), Ordering::SeqCst);
        point!("successor: not relied on");
        is_owned(lock.word.load(Ordering::SeqCst))
    }

    /// Takes the line out of the list, in which it is, and then gives it back. It is left pending.
    fn unname(&mut self, list: RobustList) {
        let node = RobustList::node(&self.line.word);
        list.begin(node, 0);
        list.unlink(node);
        point!("successor: in no list");
        // Release: the next one may write the node.
        self.line.word.store(0, Ordering::Release);
        point!("successor: nobody");
        self.state = State::Past;
    }

    /// For one who has the lock and names it as pending: has it in the list, and not the line.
    pub(super) fn end_holding(mut self, node: Node, list: RobustList, interrupted: Interrupted) {
        list.link(node);
        self.unname(list);
        list.resume(interrupted);
    }

    /// For one who gives up, and names the lock as pending.
    pub(super) fn end(&mut self, lock: &LockLine, list: RobustList) {
        if !self.is_named() {
            return;
        }
        if !self.is_passed_by(lock) {
            // Whoever released it may have relied on this one.
            let _ = futex::wake_one(&lock.word, LOCKER);
            point!("successor: passed on");
        }
        self.unname(list);
    }
}

/// Is there one who comes by himself for the lock that the caller has released?
pub(super) fn is_relied_on(line: &LockLine) -> bool {
    // SeqCst: after the release, as in `reservation::after_release`.
    let seen = line.word.load(Ordering::SeqCst);
    high(seen) != 0 && low(seen) & OWNER_DIED == 0 && low(seen) != 0 && stamp().wrapping_sub(high(seen)) < RELIED_ON
}

/// Has this thread been interrupted by a signal handler while it was the successor somewhere? The handler may have to wait for
/// others: so from here on nobody relies on it. To be called where an operation is interrupted (it is one: a successor that is
/// relied on has its lock pending), before what wakes one in its place (`robust_list/nested.rs`).
pub(super) fn step_aside(me: &Thread) {
    let Some(word) = me.list.find_all(node::word_of_successor).next() else { return };
    // SeqCst: before that wake-up, as in `is_passed_by`. Nobody else writes it.
    word.store(u64::from(me.tid), Ordering::SeqCst);
    point!("successor: stepped aside");
}

fn stamp() -> u32 {
    ((monotonic_nanos() >> UNIT_BITS) as u32).max(1)
}
