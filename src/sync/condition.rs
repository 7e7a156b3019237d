//! The conditions of a lock: waiting for something that another holder says, and saying it.
//!
//! A notification is **data under the lock**: a number that is counted, and how many who wait may go on for it (the
//! *credit*). So it survives whoever gave it. Whoever has the lock changes these, in this order:
//!
//! | who | does |
//! |---|---|
//! | waits | notes the number, counts himself; sleeps (`gate.rs`); takes the lock again and looks: counted meanwhile, and is there credit? Then takes one off the credit, counts himself no more, and returns. Else sleeps again |
//! | notifies one | counts the number; if somebody waits, one more credit. No system call |
//! | notifies all | counts the number; credit for as many as wait |
//! | unlocks, while there is credit | wakes one who sleeps for the lock or for such a condition; that one does the same when it unlocks |
//! | takes the lock from a dead holder | notifies all, of each condition, so that they see the poison |
//!
//! # Why no notification is lost
//!
//! **The waiter takes the credit, with the lock, when it returns.** One that is killed after its wake-up has taken nothing:
//! it named the lock as pending, so the kernel wakes another sleeper, or the lock is held, and its next unlock does. Were the
//! credit taken by who wakes, a woken waiter that finds the lock taken and sleeps on could spend the credit of another.
//!
//! **Wake-ups go one at a time**, from unlock to unlock. To notify a thousand wakes no herd.
//!
//! **Credit that nobody will take** (of one that was killed) must not make each unlock look for one who is not there. One
//! who wakes without having been notified and finds credit wakes *all* who sleep for that condition, and then the credit is
//! gone: whoever was notified is awake, and needs none. If it woke *one* and left the credit, two who were not notified could
//! wake each other for ever. The probe (`gate.rs`) drops the credit of a condition for which nobody sleeps. Whenever credit is
//! dropped so, that is counted, and whoever waits since before then may go on without.
//!
//! **Nobody goes on for another's notification**: who wakes by himself, because his kernel tells him of nothing, or to look
//! after a death that it does not report, finds a number that was counted for others, and no credit.
//!
//! **Who is interrupted** (`interrupts.rs`) has no lock, and need not get it. If it is free, he counts himself no more; else he
//! goes as one who was killed. In either case he takes no credit, also if he has been notified: that is another's then.

use super::atomic::Ordering;
use super::credit;
use super::lock::Lock;
use super::robust_futex::Linked;
use super::sleep::Sleep;
use super::waiting::{Failure, Wait};
use super::word::condition_class;
use crate::fault::point;
use crate::layout::Condition;
use crate::os::Deadline;
use crate::os::thread::Thread;

/// Waits for a notification of the condition that stands at this place, or until then. The caller holds the lock, linked
/// so, and holds it again after `Ok`: was the time up, and nothing said? After a failure it does not.
pub(super) fn wait(
    lock: Lock<'_>,
    me: &Thread,
    linked: Linked,
    which: usize,
    deadline: Option<Deadline>,
) -> Result<(Linked, bool), Failure> {
    let condition = &lock.waits.conditions[which];
    let noted = condition.notified.load(Ordering::Relaxed);
    let mut dropped = lock.waits.dropped.load(Ordering::Relaxed);
    let waiting = condition.waiting.load(Ordering::Relaxed);
    condition.waiting.store(waiting.saturating_add(1), Ordering::Relaxed);
    point!("condition: waits");
    let sleep = Sleep::of_a_holder(lock, me, linked);
    let is_notified = || condition.notified.load(Ordering::Relaxed) != noted;
    let mut watches_for: Option<&dyn Fn() -> bool> = if waiting == 0 { Some(&is_notified) } else { None };
    loop {
        let slept = sleep.unlock_and_sleep(condition_class(which), deadline, watches_for.take());
        let time_is_up = match slept.and_then(|slept| sleep.lock(Wait::Forever, true).map(|()| slept.time_is_up)) {
            Ok(time_is_up) => time_is_up,
            // Nothing of all this is the child's.
            Err(Failure::Forked) => return Err(Failure::Forked),
            Err(failure) => {
                give_up(condition, &sleep, &failure);
                sleep.end();
                return Err(failure);
            }
        };
        let was_counted = condition.notified.load(Ordering::Relaxed) != noted;
        let dropped_now = lock.waits.dropped.load(Ordering::Relaxed);
        let needs_no_credit = was_counted && dropped_now != dropped;
        let is_due = credit::is_due(condition);
        let is_notified = needs_no_credit || was_counted && is_due;
        if is_notified || time_is_up {
            // What is there when one needs none is another's, who was notified later.
            credit::leave(condition, is_notified && !needs_no_credit);
            return Ok((sleep.end_holding(), !is_notified));
        }
        if !was_counted {
            dropped = dropped_now;
        }
        if is_due {
            credit::wake_all(lock.line, lock.waits, which);
        }
    }
}

/// One who waits no more, and does not hold the lock, has been interrupted.
#[cold]
fn give_up(condition: &Condition, sleep: &Sleep<'_>, failure: &Failure) {
    if matches!(failure, Failure::Interrupted(_)) && sleep.lock(Wait::No, true).is_ok() {
        credit::leave(condition, false);
        sleep.unlock();
    }
}
