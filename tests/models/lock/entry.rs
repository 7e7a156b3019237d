//! How `sync/mutex.rs` uses the lock.

use super::super::os::robust_list::RobustList;
use super::super::os::thread::Thread;
use super::event;
use super::lock::Lock;
use super::poison::Poison;
use super::robust_futex::{self, Linked};
use super::users::Users;
use super::waiting::{Failure, Wait};
use super::watched;
use super::word::pair;
use crate::layout::LockLine;
use super::credit::{self, Whom};
use super::gate::Owed;
use super::{changes, condition};
use crate::memory::atomic::AtomicU64;
use crate::options::LockKind;
use crate::run::with;
use crate::stubs::os::Deadline;
use crate::stubs::os::seat::Seat;
use crate::stubs::spin::SpinPolicy;
use crate::event::{Asked, Told};
use crate::world::{How, Outcome, Place, Subject, Who};

pub(crate) const fn subject(name: &'static str) -> Subject {
    Subject { name, enter, lock, unlock, watch, wait, notify, event: ask, token: |owner| super::reservation::Token::of(owner).bits() }
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
        robust_futex::lock_fast(line, owner, thread.list) || robust_futex::lock_beside(line, waits, owner, thread.list)
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
        Err(Failure::Forked) => panic!("nobody forks"),
        Err(Failure::Os(error)) => panic!("{error}"),
    }
}

/// The two ways in which guards release: `looks`: the word is looked at before the release itself, as by who may commit.
fn unlock(place: Place<'_>, me: Who, alone: bool, looks: bool, commit: Option<&dyn Fn()>) {
    let Place { line, waits, successor, .. } = place;
    let (list, owner) = (thread(me).list, pair(me.tid, me.slot));
    let commit_slowly = || {
        let owed = if commit.is_some() { Owed::for_the_next_commit(line, waits) } else { Owed::NOTHING };
        commit.into_iter().for_each(|commit| commit());
        owed
    };
    if is_file() {
        if robust_futex::is_held_by(line, owner) {
            let owed = commit_slowly();
            watched::unlock(line, waits, successor, owner, owed);
        }
        return;
    }
    let is_simple = alone
        && if looks { robust_futex::is_held_alone(line, owner, list) } else { robust_futex::is_linked_alone(line, list) };
    if is_simple {
        commit.into_iter().for_each(|commit| commit());
        if !robust_futex::unlock_fast(line, owner, list) {
            robust_futex::wake_after(line, waits, successor, owner, list);
        }
    } else if looks
        && alone
        && robust_futex::is_linked_alone(line, list)
        && robust_futex::is_held_beside(line, owner)
    {
        robust_futex::unlock_beside(line, waits, successor, owner, list, commit_slowly());
    } else if robust_futex::is_held_by(line, owner) {
        let owed = commit_slowly();
        let linked = if alone { Linked::Alone } else { Linked::AmongOthers };
        robust_futex::unlock_slow(line, waits, successor, owner, list, linked, owed);
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
        Err(failure) => panic!("{failure:?}"),
    }
}
