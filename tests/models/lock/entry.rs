//! How `sync/mutex.rs` uses the lock.

use super::super::os::robust_list::RobustList;
use super::super::os::thread::Thread;
use super::event;
use super::lock::Lock;
use super::poison::{self, Poison};
use super::readers::{self, Places, ReadersAfter};
use super::robust_futex::{self, Linked};
use super::users::Users;
use super::waiting::{Failure, Wait};
use super::watched;
use super::word::pair;
use crate::layout::LockLine;
use super::credit::{self, Whom};
use super::gate::Owed;
use super::{changes, condition, permits};
use crate::memory::atomic::{AtomicU64, Ordering};
use crate::options::LockKind;
use crate::permits::Semaphore;
use crate::readers::{Reading, Side, seek};
use crate::run::with;
use crate::stubs::habits::Habits;
use crate::stubs::os::Deadline;
use crate::stubs::os::seat::Seat;
use crate::stubs::spin::SpinPolicy;
use crate::event::{Asked, Told};
use crate::world::{How, Outcome, Place, Subject, Who};

/// As in `sync/mutex/readers.rs`.
const PATIENCE: std::time::Duration = std::time::Duration::from_millis(1);

pub(crate) const fn subject(name: &'static str) -> Subject {
    Subject { name, enter, lock, unlock, watch, wait, notify, event: ask, read, end_reading, acquire, release: release_permit, write, end_writing, wait_amid, token: |owner| super::reservation::Token::of(owner).bits() }
}

fn is_file() -> bool {
    with(|run| run.world.file)
}

fn thread(me: Who) -> Thread {
    let list = if is_file() { RobustList::NONE } else { RobustList::of(me.head) };
    Thread { tid: me.tid, generation: 1, list }
}

fn users(me: Who, namespace: &AtomicU64) -> Users {
    let kind = if is_file() { LockKind::File } else { LockKind::Futex };
    // SAFETY: lives as long as the search.
    unsafe { Users::new(Seat::of(me.slot).into(), namespace.into(), kind) }
}

/// As when a segment is opened.
fn enter(me: Who, namespace: &AtomicU64) {
    users(me, namespace).enter();
}

fn lock(place: Place<'_>, me: Who, how: How) -> Outcome {
    let Place { line, waits, successor, namespace } = place;
    let (thread, owner) = (thread(me), pair(me.tid, me.slot));
    let is_fast = if is_file() {
        watched::lock_fast(line, owner)
    } else {
        robust_futex::lock_fast(line, owner, thread.list) || {
            // Its look at the word is not the one with which the loop begins.
            with(|run| run.me().is_amid = true);
            let taken = robust_futex::lock_beside(line, waits, owner, thread.list);
            with(|run| run.me().is_amid = false);
            taken
        }
    };
    if is_fast {
        return Outcome::Locked { alone: true };
    }
    let wait = wait_of(how);
    let users = users(me, namespace);
    let place = Lock { line, waits, successor, users: &users, spin: &SpinPolicy, poison: Poison::OfWriters };
    let locked = if is_file() {
        watched::lock_slow(place, &thread, wait).map(|()| Linked::Alone)
    } else {
        robust_futex::lock_slow(place, &thread, wait)
    };
    match locked {
        Ok(linked) => Outcome::Locked { alone: linked == Linked::Alone },
        Err(failure) => outcome_of(failure),
    }
}

fn wait_of(how: How) -> Wait {
    match how {
        How::Try => Wait::No,
        How::Until(deadline) => Wait::Until(Deadline(deadline)),
        How::Forever => Wait::Forever,
    }
}

fn outcome_of(failure: Failure) -> Outcome {
    match Err::<(), _>(failure) {
        Ok(()) => unreachable!(),
        Err(Failure::WouldBlock) => Outcome::WouldBlock,
        Err(Failure::TimedOut { .. }) => Outcome::TimedOut,
        Err(Failure::WouldDeadlock) => Outcome::WouldDeadlock,
        Err(Failure::Interrupted(_)) => Outcome::Interrupted,
        Err(Failure::Forked) => panic!("nobody forks"),
        Err(Failure::Os(error)) => panic!("{error}"),
    }
}

/// The two ways in which guards release: `looks`: the word is looked at before the release itself, as by who may commit.
fn unlock(place: Place<'_>, me: Who, alone: bool, looks: bool, commit: Option<&dyn Fn()>) {
    let Place { line, waits, .. } = place;
    let list = thread(me).list;
    let is_simple = alone
        && !is_file()
        && if looks {
            robust_futex::is_held_alone(line, pair(me.tid, me.slot), list)
        } else {
            robust_futex::is_linked_alone(line, list)
        };
    release(place, me, alone, looks, is_simple, |is_simple| {
        let owed = if commit.is_some() && !is_simple { Owed::for_the_next_commit(line, waits) } else { Owed::NOTHING };
        commit.into_iter().for_each(|commit| commit());
        owed
    });
}

/// As `sync/mutex/held.rs` releases. `looks`: as there; `before`: in the simple case, or another?
fn release(
    place: Place<'_>,
    me: Who,
    alone: bool,
    looks: bool,
    is_simple: bool,
    before: impl FnOnce(bool) -> Owed,
) {
    let Place { line, waits, successor, .. } = place;
    let (list, owner) = (thread(me).list, pair(me.tid, me.slot));
    if is_file() {
        if robust_futex::is_held_by(line, owner) {
            watched::unlock(line, waits, successor, owner, before(false));
        }
    } else if is_simple {
        before(true);
        if !robust_futex::unlock_fast(line, owner, list) {
            robust_futex::wake_after(line, waits, successor, owner, list);
        }
    } else if looks
        && alone
        && robust_futex::is_linked_alone(line, list)
        && robust_futex::is_held_beside(line, owner)
    {
        robust_futex::unlock_beside(line, waits, successor, owner, list, before(false));
    } else if robust_futex::is_held_by(line, owner) {
        let linked = if alone { Linked::Alone } else { Linked::AmongOthers };
        robust_futex::unlock_slow(line, waits, successor, owner, list, linked, before(false));
    }
}

/// As `sync/mutex/waits.rs` waits.
fn watch(place: Place<'_>, me: Who, how: How, is_changed: &dyn Fn() -> bool) -> Outcome {
    let Place { line, waits, successor, namespace } = place;
    let users = users(me, namespace);
    let lock = Lock { line, waits, successor, users: &users, spin: &SpinPolicy, poison: Poison::OfWriters };
    match changes::wait(lock, &thread(me), wait_of(how), is_changed) {
        Ok(true) => Outcome::Locked { alone: false },
        Ok(false) => Outcome::TimedOut,
        Err(failure) => outcome_of(failure),
    }
}

/// The same: is the lock linked alone, and was the time up?
fn wait(place: Place<'_>, me: Who, alone: bool, how: How) -> (bool, Outcome) {
    let Place { line, waits, successor, namespace } = place;
    let users = users(me, namespace);
    let lock = Lock { line, waits, successor, users: &users, spin: &SpinPolicy, poison: Poison::OfWriters };
    let linked = if alone { Linked::Alone } else { Linked::AmongOthers };
    let deadline = match how {
        How::Until(deadline) => Some(Deadline(deadline)),
        _ => None,
    };
    match condition::wait(lock, &thread(me), linked, 0, deadline) {
        Ok((linked, true)) => (linked == Linked::Alone, Outcome::TimedOut),
        Ok((linked, false)) => (linked == Linked::Alone, Outcome::Locked { alone: linked == Linked::Alone }),
        Err(failure) => (false, outcome_of(failure)),
    }
}

fn notify(place: Place<'_>, all: bool) {
    credit::notify(&place.waits.conditions[0], if all { Whom::Everybody } else { Whom::One });
}

/// As `sync/mutex/event.rs` uses the event.
fn ask(line: &LockLine, me: Who, what: Asked) -> Told {
    let thread = thread(me);
    let result = match what {
        Asked::Set if event::set_fast(line) => Ok(()),
        Asked::Set => event::set_slow(line, &thread, me.slot),
        Asked::Clear if event::clear_fast(line) => Ok(()),
        Asked::Clear => event::clear_slow(line, &thread, me.slot),
        Asked::Wait(deadline) => match event::wait_fast(line) {
            Ok(()) => Ok(()),
            Err(first) => event::wait_slow(line, &thread, me.slot, first, deadline.map(Deadline)),
        },
    };
    match result {
        Ok(()) => Told::Done,
        Err(Failure::TimedOut { .. }) => Told::TimedOut,
        Err(Failure::Interrupted(_)) => Told::Interrupted,
        Err(failure) => panic!("{failure:?}"),
    }
}

fn places(side: Side<'_>) -> Places<'_> {
    Places { line: side.line, slots: side.slots }
}

/// As `segment/readers.rs` and `sync/mutex/readers.rs` do.
fn read(side: Side<'_>, me: Who, how: How) -> Result<Reading, Outcome> {
    let (places, thread, owner) = (places(side), thread(me), pair(me.tid, me.slot));
    let last = Habits::NONE.homes.last_of(me.tid).wrapping_sub(1);
    if !is_file() && places.enter_fast(last, owner, thread.list) {
        return Ok(Reading { slot: Some(last), alone: true });
    }
    let users = users(me, side.place.namespace);
    let settle = |(slot, linked): (usize, Linked)| {
        Habits::NONE.homes.note(owner, slot);
        Reading { slot: Some(slot), alone: linked == Linked::Alone }
    };
    if let Some(taken) = places.enter(&thread, &users, &Habits::NONE.homes).map_err(outcome_of)? {
        return Ok(settle(taken));
    }
    let alone = lock_beside_oneself(side, me, how)?;
    if side.place.line.poison.load(Ordering::Relaxed) != 0 {
        end_section(side, me, alone, false, ReadersAfter::AsBefore, false);
        return Err(Outcome::Poisoned);
    }
    let admitted = places.admit(&thread, &users, &Habits::NONE.homes);
    if let Ok(None) = admitted {
        return Ok(Reading { slot: None, alone });
    }
    unlock(side.place, me, alone, true, None);
    admitted.map_err(outcome_of).map(|taken| settle(taken.expect("seen above")))
}

/// As `sync/mutex/readers.rs` does.
fn lock_beside_oneself(side: Side<'_>, me: Who, how: How) -> Result<bool, Outcome> {
    let users = users(me, side.place.namespace);
    let own = || places(side).own(&thread(me), &users);
    loop {
        let patience = (how != How::Try && own() != 0).then(|| {
            let moment = Deadline::soon(PATIENCE).0;
            if let How::Until(deadline) = how { moment.min(deadline) } else { moment }
        });
        match (seek(|| lock(side.place, me, patience.map_or(how, How::Until))), patience) {
            (Outcome::Locked { alone }, _) => return Ok(alone),
            (Outcome::TimedOut, Some(_)) if own() & side.line.drain.load(Ordering::Relaxed) != 0 => {
                return Err(Outcome::WouldDeadlock);
            }
            (Outcome::TimedOut, Some(_)) if !wait_of(how).deadline().is_some_and(Deadline::has_passed) => {}
            (outcome, _) => return Err(outcome),
        }
    }
}

fn end_reading(side: Side<'_>, me: Who, reading: Reading) {
    let (list, owner) = (thread(me).list, pair(me.tid, me.slot));
    let Some(slot) = reading.slot.map(|slot| &side.slots[slot]) else {
        return unlock(side.place, me, reading.alone, false, None);
    };
    if reading.alone && robust_futex::is_linked_alone(slot, list) {
        if !robust_futex::unlock_fast(slot, owner, list) {
            readers::wake_for(slot, owner);
            list.end();
        }
    } else if robust_futex::is_held_by(slot, owner) {
        if is_file() {
            readers::leave_unlisted(slot, owner);
        } else {
            let linked = if reading.alone { Linked::Alone } else { Linked::AmongOthers };
            readers::leave(slot, owner, list, linked);
        }
    }
}

/// As `segment/readers.rs` locks to repair.
fn write(side: Side<'_>, me: Who, how: How) -> Result<bool, Outcome> {
    let alone = lock_beside_oneself(side, me, how)?;
    if readers::are_known(side.line) {
        let users = users(me, side.place.namespace);
        if let Err(failure) = places(side).drain(&thread(me), &users, wait_of(how), &SpinPolicy) {
            end_section(side, me, alone, false, ReadersAfter::GiveUp, false);
            return Err(outcome_of(failure));
        }
    }
    poison::begin_changes(side.place.line);
    Ok(alone)
}

fn end_writing(side: Side<'_>, me: Who, alone: bool, panics: bool) {
    let after = if readers::are_kept_out(side.line) { ReadersAfter::Return } else { ReadersAfter::AsBefore };
    end_section(side, me, alone, true, after, panics);
}

/// As `segment/readers.rs` waits amid changes.
fn wait_amid(side: Side<'_>, me: Who, alone: bool) -> (bool, Outcome) {
    let line = side.place.line;
    let after = if readers::are_kept_out(side.line) { ReadersAfter::Return } else { ReadersAfter::AsBefore };
    readers::end_section(line, Poison::OfWriters, true, after, || side.line, &Habits::NONE);
    let (alone, outcome) = wait(side.place, me, alone, How::Forever);
    if !matches!(outcome, Outcome::Locked { .. }) {
        return (alone, outcome);
    }
    if line.poison.load(Ordering::Relaxed) != 0 {
        end_section(side, me, alone, false, ReadersAfter::AsBefore, false);
        return (alone, Outcome::Poisoned);
    }
    if readers::are_known(side.line) {
        let users = users(me, side.place.namespace);
        if let Err(failure) = places(side).drain(&thread(me), &users, Wait::Forever, &SpinPolicy) {
            notify(side.place, false);
            end_section(side, me, alone, false, ReadersAfter::GiveUp, false);
            return (alone, outcome_of(failure));
        }
    }
    poison::begin_changes(line);
    (alone, outcome)
}

/// As a holder of the lock releases it who may have changed something.
fn end_section(side: Side<'_>, me: Who, alone: bool, changes: bool, after: ReadersAfter, panics: bool) {
    let line = side.place.line;
    let is_simple = alone
        && !panics
        && !is_file()
        && after == ReadersAfter::AsBefore
        && robust_futex::is_linked_alone(line, thread(me).list);
    release(side.place, me, alone, false, is_simple, |is_simple| {
        if panics {
            line.poison.store(1, Ordering::Relaxed);
        }
        if !is_simple {
            readers::end_section(line, Poison::OfWriters, changes, after, || side.line, &Habits::NONE);
        } else if changes {
            poison::end_changes(line);
        }
        Owed::NOTHING
    });
}

/// As `sync/mutex/permits.rs` does.
fn acquire(semaphore: Semaphore<'_>, me: Who, how: How) -> Result<(usize, bool), Outcome> {
    let (thread, owner) = (thread(me), pair(me.tid, me.slot));
    let homes = &Habits::NONE.homes;
    let last = homes.last_of(me.tid).wrapping_sub(1);
    if let Some(line) = semaphore.permits.get(last)
        && !is_file()
        && robust_futex::lock_fast(line, owner, thread.list)
    {
        return Ok((last, true));
    }
    let users = users(me, semaphore.namespace);
    let places = permits::Places { bell: semaphore.bell, lines: semaphore.permits };
    let (index, linked) = places.acquire(&thread, &users, homes, wait_of(how)).map_err(outcome_of)?;
    homes.note(owner, index);
    Ok((index, linked == Linked::Alone))
}

fn release_permit(semaphore: Semaphore<'_>, me: Who, index: usize, alone: bool) {
    let (list, owner) = (thread(me).list, pair(me.tid, me.slot));
    let places = permits::Places { bell: semaphore.bell, lines: semaphore.permits };
    let line = &semaphore.permits[index];
    if alone && !is_file() && robust_futex::is_linked_alone(line, list) {
        if !robust_futex::unlock_fast(line, owner, list) {
            places.wake_for(line, owner);
            list.end();
        }
    } else if robust_futex::is_held_by(line, owner) && is_file() {
        places.release_watched(line, owner);
    } else if robust_futex::is_held_by(line, owner) {
        places.release(line, owner, list, if alone { Linked::Alone } else { Linked::AmongOthers });
    }
}
