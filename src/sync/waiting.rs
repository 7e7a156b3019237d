//! How a thread comes to the lock when it is held, or kept for another: it looks, waits awake, sleeps, looks again.
//!
//! What it remembers from one look to the next belongs to the process that it was when it began: its id, its list, what
//! was pending, its token. A signal handler may fork in the middle. So after all that takes time, and before anything is
//! done, it asks whether it still is that process, and if not, gives up ([`Failure::Forked`]): the child begins anew.
//!
//! # Deaths
//!
//! **That the kernel does not report.** An `exec` by another thread than the main one changes the id before the list is
//! walked; a list longer than 2,048 is not walked to its end; a process whose memory the OOM reaper takes may lose its
//! list. A waiter then does what the kernel would have done. It looks at the holder (`users.rs`)
//!
//! * before it sleeps behind another one than the last that its handle met: is his process there?
//! * whenever [`HEARTBEAT`] has passed, and before it says that the time is up: is his thread there, too? So also those
//!   notice who wait again and again, each time for a moment only. A try never looks.
//!
//! **Of which nobody is told**, because the lock is of the kind that is in no list: a waiter looks before each sleep, and then
//! as `watch.rs` says. A try looks, too: there may be nobody else.
//!
//! **That the kernel reports, and that are not so**, or not yet, in a segment with users in several PID namespaces: the word
//! says `D`, and the holder lives, or its files are not closed. A waiter looks again soon, and then less soon
//! ([`DOUBT`]). A wake-up that it has got meanwhile it passes on when it gives up.

use std::io;
use std::time::Duration;

use super::atomic::{Ordering, fence};
use super::gate;
use super::interrupts::{self, Interruption};
use super::lock::Lock;
use super::node::segment_of;
use super::poison::Poison;
use super::reservation::{self, Free, Token};
use super::spin::SpinPolicy;
use super::successor::Candidate;
use super::users::Users;
use super::watch::Watch;
use super::word::{ANY, HEIR, LOCKER, OWNER_DIED, TID, WAITERS, high, is_owned, low, pair, says_owner_died};
use crate::fault::point;
use crate::layout::{LockLine, WaitLine};
use crate::os::place::{Place, TELLS_OF_DEATHS};
use crate::os::robust_list::RobustList;
use crate::os::thread::Thread;
use crate::os::{Deadline, futex, thread};

/// How long a waiter waits before it asks again whether the holder exists. A safety net, not the mechanism.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(3);

/// How long a waiter waits at first, and at most, before it looks again whether a death is one.
pub(super) const DOUBT: std::ops::RangeInclusive<Duration> = Duration::from_micros(20)..=Duration::from_millis(2);

/// How long to wait for a lock.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wait {
    No,
    Until(Deadline),
    Forever,
}

impl Wait {
    pub(super) fn deadline(self) -> Option<Deadline> {
        match self {
            Self::Until(deadline) => Some(deadline),
            Self::No | Self::Forever => None,
        }
    }
}

/// Why the lock was not taken.
#[derive(Debug)]
pub(super) enum Failure {
    WouldBlock,
    /// The holder's thread id; 0: the lock is free, and kept for another, or the holder's id is not known any more.
    TimedOut {
        holder: u32,
    },
    WouldDeadlock,
    /// By the program, which was asked.
    Interrupted(Interruption),
    /// The process forked in the middle of the wait, in a signal handler, and this is the child. Nothing that was noted
    /// before is its own; it has to begin anew.
    Forked,
    Os(io::Error),
}

impl From<Interruption> for Failure {
    fn from(interruption: Interruption) -> Self {
        Self::Interrupted(interruption)
    }
}

/// Makes the word name `me`, with everything that depends on its being free: poison, reservation. Gives the word that it
/// was taken from. The caller has named the lock as pending; `has_interrupted`: it was already.
#[cold]
pub(super) fn acquire(
    lock: Lock<'_>,
    me: &Thread,
    wait: Wait,
    has_interrupted: bool,
    comes_back: bool,
    candidate: &mut Candidate<'_>,
) -> Result<u64, Failure> {
    let Lock { line, waits, users, spin, poison, .. } = lock;
    let owner = pair(me.tid, users.slot());
    let token = Token::of(owner);
    let mut waiter = Waiter {
        line,
        waits,
        me,
        users,
        owner,
        wait,
        spin,
        poison,
        has_interrupted,
        candidate,
        token,
        has_slept: comes_back,
        asks: comes_back,
        was_woken: comes_back,
        time_is_up: false,
        starved_at: None,
        heartbeat: None,
        looks_up: false,
        place: Place::new(),
        watch: Watch::of_a_lock(),
        doubt: *DOUBT.start(),
    };
    let result = waiter.acquire();
    // In the child, the claim is the parent's, and so is the watch.
    if !matches!(result, Err(Failure::Forked)) {
        reservation::withdraw(line, token);
        waiter.place.end(&line.word, result.as_ref().ok().copied());
        waiter.hand_on_watch(result.is_ok());
    }
    result
}

struct Waiter<'a, 'b> {
    line: &'a LockLine,
    waits: &'a WaitLine,
    me: &'a Thread,
    users: &'a Users,
    /// This thread with its handle's slot.
    owner: u64,
    wait: Wait,
    spin: &'a SpinPolicy,
    poison: Poison,
    has_interrupted: bool,
    candidate: &'a mut Candidate<'b>,
    token: Token,
    has_slept: bool,
    /// Has it slept since it last asked whether to give up?
    asks: bool,
    /// Has the last sleep been ended by a wake-up? Then this thread must act on it, or pass it on.
    was_woken: bool,
    time_is_up: bool,
    /// When it asks to be preferred.
    starved_at: Option<Deadline>,
    /// When it looks at the holder again.
    heartbeat: Option<Deadline>,
    /// The heartbeat has come.
    looks_up: bool,
    /// Among those who sleep.
    place: Place,
    /// In the place of the heartbeat where nobody is told of deaths.
    watch: Watch,
    /// How long it waits before it looks at a death again.
    doubt: Duration,
}

impl Waiter<'_, '_> {
    fn acquire(&mut self) -> Result<u64, Failure> {
        loop {
            let seen = self.look()?;
            if is_owned(seen) {
                self.wait_behind(seen)?;
                continue;
            }
            if says_owner_died(seen) && !self.users.is_dead(seen) {
                self.doubt(seen)?;
                continue;
            }
            // A death is handed over at once. And who has been woken and has no time left takes it, kept or not.
            if low(seen) == WAITERS
                && !(self.time_is_up && self.was_woken)
                && let Free::KeptUntil(end) = reservation::look(self.line, self.token)
            {
                self.stand_back(end)?;
                continue;
            }
            // All this may have taken time.
            if !self.me.is_current() {
                return Err(Failure::Forked);
            }
            if take(self.line, seen, self.owner, self.poison) {
                return Ok(seen);
            }
        }
    }

    /// The word, after a wait awake if it is held by another.
    fn look(&mut self) -> Result<u64, Failure> {
        let mut seen = self.line.word.load(Ordering::Relaxed);
        if is_owned(seen) {
            if matches!(self.wait, Wait::No) {
                seen = self.look_for_a_death(seen)?;
            } else if !self.time_is_up && low(seen) & TID != self.me.tid {
                seen = self.spin.watch(self.line, self.wait.deadline(), self.has_slept);
            }
        }
        if !self.me.is_current() {
            return Err(Failure::Forked);
        }
        self.name(); // again: a signal handler that used a robust mutex of libc's has overwritten it
        Ok(seen)
    }

    /// As pending, where there is a list.
    fn name(&self) {
        if self.me.list.is_known() {
            self.me.list.begin(RobustList::node(&self.line.word), high(self.owner));
        }
    }

    /// For a try, which has found this holder: the word when he is gone. Where somebody is told of deaths, that is not asked.
    fn look_for_a_death(&mut self, seen: u64) -> Result<u64, Failure> {
        if !self.users.are_watched() || !self.is_gone(seen) {
            return Err(Failure::WouldBlock);
        }
        if !self.me.is_current() {
            return Err(Failure::Forked);
        }
        mark_dead(self.line, seen);
        let seen = self.line.word.load(Ordering::Relaxed);
        if is_owned(seen) { Err(Failure::WouldBlock) } else { Ok(seen) }
    }

    /// One sleep behind a holder; less if the holder is gone, or the word changes.
    fn wait_behind(&mut self, seen: u64) -> Result<(), Failure> {
        let holder = low(seen) & TID;
        if holder == self.me.tid {
            if self.is_own(seen) {
                return Err(Failure::WouldDeadlock);
            }
            if !self.users.are_watched() && self.users.are_in_one_namespace() && self.me.is_current() {
                // A word with our id that is not in our list is a dead namesake's: ids are given out again.
                mark_dead(self.line, seen);
                return Ok(());
            }
        }
        let is_gone = self.is_gone(seen);
        // The look may have taken time.
        if !self.me.is_current() {
            return Err(Failure::Forked);
        }
        if is_gone {
            mark_dead(self.line, seen);
            return Ok(());
        }
        if self.time_is_up {
            return Err(Failure::TimedOut { holder: thread::system_id(holder) });
        }
        self.ask()?;
        if low(seen) & WAITERS == 0 && !announce_waiter(self.line, seen) {
            return Ok(());
        }
        let starved_at = *self.starved_at.get_or_insert_with(|| Deadline::soon(reservation::STARVED));
        let nap = if self.has_slept { self.candidate.doze(self.line, self.me, high(self.owner)) } else { None };
        let is_heir = nap.is_none()
            && self.has_slept
            && starved_at.has_passed()
            && self.place.may_be_preferred()
            && reservation::claim(self.line, self.token);
        let classes = if is_heir { LOCKER | HEIR } else { LOCKER };
        let next_beat = if self.users.are_watched() {
            self.watch.next_look(self.users)
        } else {
            *self.heartbeat.get_or_insert_with(|| Deadline::soon(HEARTBEAT))
        };
        point!("wait: about to sleep");
        let until = nap.map_or(next_beat, |nap| nap.min(next_beat));
        let now = self.sleep(low(seen) | WAITERS, classes, until)?;
        point!("wait: awake");
        self.watch.has_slept(now);
        // By the clock, and not by what ended the sleep: signals that come again and again must not put it off.
        if next_beat <= now {
            (self.heartbeat, self.looks_up) = (None, true);
        }
        Ok(())
    }

    /// The wait is over. Whoever was the watcher wakes one who may be the next; and whoever was woken, perhaps for that, and
    /// gives up, wakes another.
    fn hand_on_watch(&mut self, has_lock: bool) {
        let was_watcher = self.watch.end(self.users);
        if TELLS_OF_DEATHS {
            return; // the next one has this one's place, and looks
        }
        if was_watcher || self.users.are_watched() && self.was_woken && !has_lock {
            let _ = futex::wake_one(&self.line.word, LOCKER);
            point!("wait: watch handed on");
        }
    }

    /// One short sleep behind a holder who is said to have died, and has not, or not yet.
    #[cold]
    fn doubt(&mut self, seen: u64) -> Result<(), Failure> {
        if matches!(self.wait, Wait::No) {
            return Err(Failure::WouldBlock);
        }
        // The word does not name a thread any more. A handler that has interrupted an operation on this very lock cannot know
        // whether its thread holds it; if that is not so, another thread of the handle does.
        if self.is_own(seen) || self.has_interrupted && high(seen) == high(self.owner) {
            return Err(Failure::WouldDeadlock);
        }
        if self.time_is_up {
            // The kernel has woken one for this death, and that may have been this thread: the next one must look.
            let _ = futex::wake_one(&self.line.word, LOCKER);
            return Err(Failure::TimedOut { holder: 0 });
        }
        if self.asks && interrupts::are_asked() && std::mem::take(&mut self.was_woken) {
            // As above, and whatever that one waits for: this thread may be away for long.
            let _ = futex::wake_one(&self.line.word, ANY);
        }
        self.ask()?;
        let until = Deadline::soon(self.doubt);
        self.doubt = (self.doubt * 2).min(*DOUBT.end());
        self.sleep(low(seen), LOCKER, until).map(drop)
    }

    /// Leaves the free lock to the one that it is kept for, until then at the latest.
    fn stand_back(&mut self, end: Deadline) -> Result<(), Failure> {
        if matches!(self.wait, Wait::No) {
            return Err(Failure::WouldBlock);
        }
        if self.time_is_up {
            return Err(Failure::TimedOut { holder: 0 });
        }
        if self.was_woken && !TELLS_OF_DEATHS {
            // The wake-up that has reached this thread was the other's. An error is as good as nobody: there is a timer.
            let _ = futex::wake_one(&self.line.word, HEIR);
            point!("wait: passed on");
        }
        // Without a wait awake: on one core, the other needs the processor.
        point!("wait: about to sleep on a kept lock");
        self.sleep(WAITERS, LOCKER, end)?;
        point!("wait: awake from a kept lock");
        Ok(())
    }

    /// About to sleep, perhaps again, and owes nobody anything: gives up if the program says so.
    fn ask(&mut self) -> Result<(), Failure> {
        if !std::mem::take(&mut self.asks) || !interrupts::are_asked() {
            return Ok(());
        }
        self.place.leave();
        self.candidate.end(self.line, self.me.list);
        self.name();
        interrupts::ask()?;
        if !self.me.is_current() {
            return Err(Failure::Forked);
        }
        self.name();
        Ok(())
    }

    /// Sleeps while the word is as expected, until woken, or until then, or until the time is up. Returns the time.
    fn sleep(&mut self, expected: u32, classes: u32, until: Deadline) -> Result<Deadline, Failure> {
        let deadline = self.wait.deadline();
        let until = deadline.map_or(until, |deadline| deadline.min(until));
        // Before the kernel's comparison of the word: see `gate.rs`.
        self.waits.lockers.fetch_add(1, Ordering::SeqCst);
        let woken = self.place.wait(&self.line.word, expected, classes, until);
        // In a child, it is its parent who was counted.
        if self.me.is_current() {
            gate::one_less(&self.waits.lockers);
        }
        self.was_woken = woken.map_err(Failure::Os)?;
        let now = Deadline::now();
        (self.has_slept, self.asks) = (true, true);
        // One more try is made after the time is up: a wake-up that came with it must not be lost.
        self.time_is_up = deadline.is_some_and(|deadline| deadline <= now);
        Ok(now)
    }

    /// Is the holder certainly gone? Says no without a look when there has been one.
    fn is_gone(&mut self, seen: u64) -> bool {
        let holder = pair(low(seen) & TID, high(seen));
        if self.users.are_watched() {
            // Who is told need not look before each sleep.
            let looks = !TELLS_OF_DEATHS
                || matches!(self.wait, Wait::No)
                || std::mem::take(&mut self.looks_up)
                || self.time_is_up
                || self.place.heard_of_the_end_of(low(holder));
            return looks && self.users.is_gone(holder, false);
        }
        let closely = self.looks_up || self.time_is_up;
        if !closely && self.spin.was_seen_alive(holder) {
            return false;
        }
        self.looks_up = false;
        let is_gone = self.users.is_gone(holder, closely);
        if !is_gone {
            self.spin.note_alive(holder);
        }
        is_gone
    }

    /// Does this thread hold the lock, be it through another mapping of the segment? Also if a signal handler has interrupted it in the middle of taking or releasing it:
    /// then it is in the list, too. (In two PID namespaces the same id, and the same address, are others'.)
    #[cold]
    fn is_own(&self, seen: u64) -> bool {
        if self.users.are_watched() {
            return low(seen) & TID == self.me.tid && self.users.is_own(seen);
        }
        let node = RobustList::node(&self.line.word);
        let segment = segment_of(node);
        self.me.list.has_one(|listed| listed == node || segment.is_some() && segment_of(listed) == segment)
    }
}

/// Takes a word without an owner. From `W` and `D` the waiters bit is set; from `D`, poison comes before anything else: if
/// this thread dies too, the kernel writes `D` again and the next one sets it.
#[inline]
pub(super) fn take(line: &LockLine, seen: u64, owner: u64, poison: Poison) -> bool {
    let marked = low(seen) & (WAITERS | OWNER_DIED) != 0;
    let held = if marked { owner | u64::from(WAITERS) } else { owner };
    // Acquire: as in `lock_fast`; also pairs with the Release of `mark_dead`.
    if line.word.compare_exchange(seen, held, Ordering::Acquire, Ordering::Relaxed).is_err() {
        return false;
    }
    point!("lock slowly: acquired");
    if low(seen) & OWNER_DIED != 0 {
        poison.inherit(line);
    }
    true
}

/// Sets the waiters bit of a held word.
#[inline]
pub(super) fn announce_waiter(line: &LockLine, seen: u64) -> bool {
    let announced = seen | u64::from(WAITERS);
    line.word.compare_exchange(seen, announced, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

/// Does what the kernel does when a holder dies: the next one must see all that the dead one wrote.
#[cold]
pub(super) fn mark_dead(line: &LockLine, seen: u64) {
    // What it wrote comes before its end, in the kernel's order; its end before the look that told of it; and that, by
    // this fence and the Release, which `take` acquires, before everything that the next one does.
    fence(Ordering::SeqCst);
    // A failure means that somebody else did, or that the holder lives after all: look again in either case.
    let dead = pair(WAITERS | OWNER_DIED, high(seen));
    let _ = line.word.compare_exchange(seen, dead, Ordering::Release, Ordering::Relaxed);
    point!("wait: dead holder marked");
}
