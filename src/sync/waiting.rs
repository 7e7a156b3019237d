//! How a thread comes to the lock when it is held, or kept for another: it looks, waits awake, sleeps, looks again.
//!
//! What it remembers from one look to the next belongs to the process that it was when it began: its id, its list, what
//! was pending, its token. A signal handler may fork in the middle. So after all that takes time, and before anything is
//! done, it asks whether it still is that process, and if not, gives up ([`Failure::Forked`]): the child begins anew.
//!
//! # Deaths that the kernel does not report
//!
//! An `exec` by another thread than the main one changes the id before the list is walked; a list longer than 2,048 is
//! not walked to its end; a process whose memory the OOM reaper takes may lose its list, and stays a zombie until somebody
//! waits for it. A waiter then does what the kernel would have done. It looks at the holder
//!
//! * before it sleeps behind another one than the last that its handle met: is there a thread of this id at all?
//! * whenever [`HEARTBEAT`] has passed, and before it says that the time is up: is it certainly gone, zombies included
//!   (`os::linux::death`)? So also those notice who wait again and again, each time for a moment only. A try never looks.

use std::io;
use std::time::Duration;

use super::atomic::{Ordering, fence};
use super::poison::Poison;
use super::reservation::{self, Free, Token};
use super::spin::SpinPolicy;
use super::word::{HEIR, LOCKER, OWNER_DIED, TID, WAITERS};
use crate::fault::point;
use crate::layout::LockLine;
use crate::os::robust_list::{Interrupted, RobustList};
use crate::os::thread::Thread;
use crate::os::{Deadline, death, futex, process};

/// How long a waiter waits before it asks again whether the holder exists. A safety net, not the mechanism.
const HEARTBEAT: Duration = Duration::from_secs(3);

/// How long to wait for a lock.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wait {
    No,
    Until(Deadline),
    Forever,
}

impl Wait {
    fn deadline(self) -> Option<Deadline> {
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
    /// The holder's thread id; 0: the lock is free, and kept for another.
    TimedOut {
        holder: u32,
    },
    WouldDeadlock,
    /// The process forked in the middle of the wait, in a signal handler, and this is the child. Nothing that was noted
    /// before is its own; it has to begin anew.
    Forked,
    Os(io::Error),
}

/// Makes the word name `me`, with everything that depends on its being free: poison, epoch, reservation. The caller has
/// named the lock as pending; `interrupted` is what was pending before.
#[cold]
pub(super) fn acquire(
    line: &LockLine,
    me: &Thread,
    wait: Wait,
    spin: &SpinPolicy,
    poison: Poison,
    interrupted: &Interrupted,
) -> Result<(), Failure> {
    let token = Token::of(me.tid);
    let mut waiter = Waiter {
        line,
        me,
        wait,
        spin,
        poison,
        interrupted,
        token,
        has_slept: false,
        was_woken: false,
        time_is_up: false,
        starved_at: None,
        heartbeat: None,
        looks_up: false,
    };
    let result = waiter.acquire();
    // In the child, the claim is the parent's.
    if !matches!(result, Err(Failure::Forked)) {
        reservation::withdraw(line, token);
    }
    result
}

struct Waiter<'a> {
    line: &'a LockLine,
    me: &'a Thread,
    wait: Wait,
    spin: &'a SpinPolicy,
    poison: Poison,
    interrupted: &'a Interrupted,
    token: Token,
    has_slept: bool,
    /// Has the last sleep been ended by a wake-up? Then this thread must act on it, or pass it on.
    was_woken: bool,
    time_is_up: bool,
    /// When it asks to be preferred.
    starved_at: Option<Deadline>,
    /// When it looks at the holder again.
    heartbeat: Option<Deadline>,
    /// The heartbeat has come.
    looks_up: bool,
}

impl Waiter<'_> {
    fn acquire(&mut self) -> Result<(), Failure> {
        loop {
            let seen = self.look()?;
            if seen & TID != 0 {
                self.wait_behind(seen)?;
                continue;
            }
            // A death is handed over at once. And who has been woken and has no time left takes it, kept or not.
            if seen == WAITERS
                && !(self.time_is_up && self.was_woken)
                && let Free::KeptUntil(end) = reservation::look(self.line, self.token)
            {
                self.stand_back(end)?;
                continue;
            }
            if take(self.line, seen, self.me.tid, self.poison) {
                return Ok(());
            }
        }
    }

    /// The word, after a wait awake if it is held by another.
    fn look(&self) -> Result<u32, Failure> {
        let mut seen = self.line.word.load(Ordering::Relaxed);
        if seen & TID != 0 {
            if matches!(self.wait, Wait::No) {
                return Err(Failure::WouldBlock);
            }
            if !self.time_is_up && seen & TID != self.me.tid {
                seen = self.spin.watch(&self.line.word, self.wait.deadline(), self.has_slept);
            }
        }
        if !self.me.is_current() {
            return Err(Failure::Forked);
        }
        // Again: a signal handler that used a robust mutex of libc's has overwritten it.
        self.me.list.begin(RobustList::node(&self.line.word));
        Ok(seen)
    }

    /// One sleep behind a holder; less if the holder is gone, or the word changes.
    fn wait_behind(&mut self, seen: u32) -> Result<(), Failure> {
        let holder = seen & TID;
        if holder == self.me.tid {
            if self.is_own() {
                return Err(Failure::WouldDeadlock);
            }
            // A word with our id that is not in our list is a dead namesake's: ids are given out again.
            mark_dead(self.line, seen);
            return Ok(());
        }
        if self.is_gone(holder) {
            mark_dead(self.line, seen);
            return Ok(());
        }
        if self.time_is_up {
            return Err(Failure::TimedOut { holder });
        }
        if seen & WAITERS == 0 && !announce_waiter(self.line, seen) {
            return Ok(());
        }
        let starved_at = *self.starved_at.get_or_insert_with(|| soon(reservation::STARVED));
        let is_heir = self.has_slept && starved_at.has_passed() && reservation::claim(self.line, self.token);
        let classes = if is_heir { LOCKER | HEIR } else { LOCKER };
        let next_beat = *self.heartbeat.get_or_insert_with(|| soon(HEARTBEAT));
        point!("wait: about to sleep");
        let now = self.sleep(seen | WAITERS, classes, next_beat)?;
        point!("wait: awake");
        // By the clock, and not by what ended the sleep: signals that come again and again must not put it off.
        if next_beat <= now {
            (self.heartbeat, self.looks_up) = (None, true);
        }
        Ok(())
    }

    /// Leaves the free lock to the one that it is kept for, until then at the latest.
    fn stand_back(&mut self, end: Deadline) -> Result<(), Failure> {
        if matches!(self.wait, Wait::No) {
            return Err(Failure::WouldBlock);
        }
        if self.time_is_up {
            return Err(Failure::TimedOut { holder: 0 });
        }
        if self.was_woken {
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

    /// Sleeps while the word is as expected, until woken, or until then, or until the time is up. Returns the time.
    fn sleep(&mut self, expected: u32, classes: u32, until: Deadline) -> Result<Deadline, Failure> {
        let deadline = self.wait.deadline();
        let until = deadline.map_or(until, |deadline| deadline.min(until));
        self.was_woken = futex::wait(&self.line.word, expected, classes, until).map_err(Failure::Os)?;
        let now = Deadline::now();
        self.has_slept = true;
        // One more try is made after the time is up: a wake-up that came with it must not be lost.
        self.time_is_up = deadline.is_some_and(|deadline| deadline <= now);
        Ok(now)
    }

    /// Is the holder certainly gone? Says no without a look when there has been one.
    fn is_gone(&mut self, holder: u32) -> bool {
        let is_gone = if self.looks_up || self.time_is_up {
            death::is_gone(holder)
        } else if self.spin.was_seen_alive(holder) {
            return false;
        } else {
            !process::thread_exists(holder)
        };
        self.looks_up = false;
        if !is_gone {
            self.spin.note_alive(holder);
        }
        is_gone
    }

    /// Is the lock, whose word has our id, one that this thread holds or is taking?
    #[cold]
    fn is_own(&self) -> bool {
        // A signal handler has interrupted an operation on a lock that this thread holds: maybe this one.
        self.interrupted.is_held() || self.me.list.contains(self.line.node.load(Ordering::Relaxed) as usize)
    }
}

/// So long from now. What no clock can say has come already, and costs a look.
fn soon(wait: Duration) -> Deadline {
    Deadline::after(wait).unwrap_or_else(Deadline::now)
}

/// Takes a word without an owner. From `W` and `D` the waiters bit is set, and the epoch counts; from `D`, poison comes
/// before anything else: if this thread dies too, the kernel writes `D` again and the next one sets it.
#[inline]
fn take(line: &LockLine, seen: u32, tid: u32, poison: Poison) -> bool {
    let marked = seen & (WAITERS | OWNER_DIED) != 0;
    let held = if marked { tid | WAITERS } else { tid };
    // Acquire: as in `lock_fast`; also pairs with the Release of `mark_dead`.
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

/// Does what the kernel does when a holder dies: the next one must see all that the dead one wrote.
#[cold]
fn mark_dead(line: &LockLine, seen: u32) {
    // What it wrote comes before its end, in the kernel's order; its end before the look that told of it; and that, by
    // this fence and the Release, which `take` acquires, before everything that the next one does.
    fence(Ordering::SeqCst);
    // A failure means that somebody else did, or that the holder lives after all: look again in either case.
    let dead = WAITERS | OWNER_DIED;
    let _ = line.word.compare_exchange(seen, dead, Ordering::Release, Ordering::Relaxed);
    point!("wait: dead holder marked");
}
