//! How many of those who wait for a condition may go on: numbers under the lock. What they are for: `condition.rs`.
//!
//! All of this is done by whoever has the lock, so that no order matters.

use super::atomic::Ordering;
use super::word::condition_class;
use crate::fault::point;
use crate::layout::{Condition, LockLine, WaitLine};
use crate::os::futex;

/// For whom a notification is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whom {
    One,
    Everybody,
}

pub(super) fn notify(condition: &Condition, whom: Whom) {
    let notified = condition.notified.load(Ordering::Relaxed);
    condition.notified.store(notified.wrapping_add(1), Ordering::Relaxed);
    point!("condition: counted");
    let waiting = condition.waiting.load(Ordering::Relaxed);
    if waiting == 0 {
        return;
    }
    let credit = match whom {
        Whom::One => condition.credit.load(Ordering::Relaxed).saturating_add(1).min(waiting),
        Whom::Everybody => waiting,
    };
    condition.credit.store(credit, Ordering::Relaxed);
    point!("condition: credit given");
}

pub(super) fn is_due(condition: &Condition) -> bool {
    condition.credit.load(Ordering::Relaxed) != 0
}

/// For one who waits no more: `takes` one off the credit, if it has been notified.
pub(super) fn leave(condition: &Condition, takes: bool) {
    let credit = condition.credit.load(Ordering::Relaxed);
    let waiting = condition.waiting.load(Ordering::Relaxed).saturating_sub(1);
    let left = credit.saturating_sub(takes.into()).min(waiting);
    if left != credit {
        condition.credit.store(left, Ordering::Relaxed);
        point!("condition: credit taken");
    }
    condition.waiting.store(waiting, Ordering::Relaxed);
    point!("condition: waits no more");
}

/// For one who has come back, and was not notified, although there is credit: all who sleep for the condition that stands at
/// this place among its lock's may look. Those who were notified before now go on; more they need not, and if there are none,
/// the credit was that of a dead one.
#[cold]
pub(super) fn wake_all(line: &LockLine, waits: &WaitLine, which: usize) {
    if futex::wake_all_of(&line.word, condition_class(which)).is_ok() {
        point!("condition: all may look");
        drop_all(waits, which);
    }
}

/// Whoever was notified before now needs no credit to go on. Counted first: if this one is killed in between, the rest of the
/// credit is there, too.
fn drop_all(waits: &WaitLine, which: usize) {
    waits.dropped.store(waits.dropped.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    point!("condition: credit is not asked for");
    waits.conditions[which].credit.store(0, Ordering::Relaxed);
    point!("condition: no credit");
}

/// Drops credit that nobody will take: of those who wait for the condition, nobody sleeps. One who does is woken.
#[cold]
pub(super) fn drop_if_nobody_sleeps(line: &LockLine, waits: &WaitLine, which: usize) -> bool {
    let is_nobody = matches!(futex::wake_one(&line.word, condition_class(which)), Ok(false));
    if is_nobody {
        drop_all(waits, which);
    }
    is_nobody
}
