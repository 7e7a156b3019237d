//! Waiting for a commit.
//!
//! | who waits | who commits |
//! |---|---|
//! | 1 looks; changed: returns, without any lock | 1 takes the lock; from `W` or `D`, it moves those at the gate to the lock word |
//! | 2 takes the lock, and looks again; changed: unlocks, returns | 2 changes the copy |
//! | 3 counts himself, once; sleeps (`gate.rs`) | 3 the word has `W`, and somebody waits: notes that he *owes* |
//! | 4 awake: looks; unchanged: again from 2 | 4 commits |
//! | 5 looks at the word: nobody has the lock, and it says `D`, or somebody owes: wakes one, of whatever class | 5 releases, with `W` |
//! | 6 counts himself no more, names nothing any more, returns | 6 wakes all who wait for a commit; takes the note back, if it is his |
//! | the time is up: looks once more, then 5 (also if it was woken, and has seen nothing) and 6, **without the lock**, which may be a stopped process's | 7 wakes one who sleeps for the lock |
//!
//! # Why nobody sleeps through a commit
//!
//! Who waits arms himself under the lock and leaves `W`, so the next writer moves him before it commits, and finds him in
//! step 6. A writer killed between 4 and 5 has the kernel write `D` and wake one: a locker takes the lock, finds the note, and
//! tells all; one who waits for a commit sees it, and passes the wake-up on. Killed between 5 and 6, the word was pending
//! without an owner, and the kernel wakes one: the same.
//!
//! **Waking late**, when the lock is free, and not before: on one core the woken would run into the lock that is still held.
//! But nothing is pending any more once the release is over; hence the note, made *before* the commit, so that whoever sees
//! the commit sees the note. Without it, the kernel's only wake-up could go to one who sees the commit and leaves content,
//! beside a locker who sleeps for ever.
//!
//! A dead writer has committed nothing, so nobody is told of that: who waits sleeps on.

use super::atomic::Ordering;
use super::gate;
use super::lock::Lock;
use super::sleep::Sleep;
use super::waiting::{Failure, Wait};
use super::word::{ANY, WATCHER, is_owned, says_owner_died};
use crate::fault::point;
use crate::os::thread::Thread;
use crate::os::{Deadline, futex};

/// Waits until there is a change, which a commit makes, or until the time is up: was there one?
#[cold]
pub(super) fn wait(lock: Lock<'_>, me: &Thread, wait: Wait, is_changed: &dyn Fn() -> bool) -> Result<bool, Failure> {
    let mut watcher = Watcher { lock, sleep: Sleep::new(lock, me)?, is_counted: false, was_woken: false };
    let result = watcher.wait(wait, is_changed);
    // Nothing of all this is a child's.
    if !matches!(result, Err(Failure::Forked)) {
        watcher.leave();
    }
    result
}

struct Watcher<'a> {
    lock: Lock<'a>,
    sleep: Sleep<'a>,
    is_counted: bool,
    /// Has a wake-up come, on which it has not acted yet?
    was_woken: bool,
}

impl Watcher<'_> {
    fn wait(&mut self, wait: Wait, is_changed: &dyn Fn() -> bool) -> Result<bool, Failure> {
        let mut time_is_up = wait.deadline().is_some_and(Deadline::has_passed);
        loop {
            if is_changed() {
                self.was_woken = false; // it has come for that; or see `pass_on`
                return Ok(true);
            }
            if time_is_up {
                return Ok(false);
            }
            match self.sleep.lock(wait, self.is_counted) {
                Ok(()) => self.was_woken = false, // by releasing the lock, it wakes the next one
                Err(Failure::TimedOut { .. }) => {
                    time_is_up = true; // and one more look
                    continue;
                }
                Err(failure) => return Err(failure),
            }
            if is_changed() {
                self.sleep.unlock();
                return Ok(true);
            }
            if !self.is_counted {
                // Others leave without the lock.
                self.lock.waits.watchers.fetch_add(1, Ordering::Relaxed);
                self.is_counted = true;
                point!("watch: counted");
            }
            let slept = self.sleep.unlock_and_sleep(WATCHER, wait.deadline(), None)?;
            (self.was_woken, time_is_up) = (slept.was_woken, slept.time_is_up);
        }
    }

    fn leave(self) {
        if self.is_counted {
            self.pass_on();
            gate::one_less(&self.lock.waits.watchers);
            point!("watch: counted no more");
        }
        self.sleep.end();
    }

    /// The wake-up may have been the kernel's, for a dead writer, and the only one. If there is no change, or none yet, it may
    /// also have been for one who died when he had released the lock, and had woken nobody.
    fn pass_on(&self) {
        let Lock { line, waits, .. } = self.lock;
        // After the look that acquired the commit, before which the note was made.
        let seen = line.word.load(Ordering::Relaxed);
        let is_due = || says_owner_died(seen) || waits.owed.load(Ordering::Relaxed) != 0;
        if !is_owned(seen) && (self.was_woken || is_due()) {
            let _ = futex::wake_one(&line.word, ANY);
            point!("watch: passed on");
        }
    }
}
