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
use crate::memory::atomic::AtomicU64;
use crate::options::LockKind;
use crate::run::with;
use crate::stubs::os::Deadline;
use crate::stubs::os::seat::Seat;
use crate::stubs::spin::SpinPolicy;
use crate::event::{Asked, Told};
use crate::world::{How, Outcome, Subject, Who};

pub(crate) const fn subject(name: &'static str) -> Subject {
    Subject { name, enter, lock, unlock, event: ask, token: |owner| super::reservation::Token::of(owner).bits() }
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

fn lock(line: &LockLine, namespace: &AtomicU64, me: Who, how: How) -> Outcome {
    let (thread, owner) = (thread(me), pair(me.tid, me.slot));
    let is_fast = if is_file() {
        watched::lock_fast(line, owner)
    } else {
        robust_futex::lock_fast(line, owner, thread.list)
    };
    if is_fast {
        return Outcome::Locked { alone: true };
    }
    let wait = match how {
        How::Try => Wait::No,
        How::Until(deadline) => Wait::Until(Deadline(deadline)),
        How::Forever => Wait::Forever,
    };
    let users = users(me, namespace);
    let place = Lock { line, users: &users, spin: &SpinPolicy, poison: Poison::OfHolders };
    let locked = if is_file() {
        watched::lock_slow(place, &thread, wait).map(|()| Linked::Alone)
    } else {
        robust_futex::lock_slow(place, &thread, wait)
    };
    match locked {
        Ok(linked) => Outcome::Locked { alone: linked == Linked::Alone },
        Err(Failure::WouldBlock) => Outcome::WouldBlock,
        Err(Failure::TimedOut { .. }) => Outcome::TimedOut,
        Err(Failure::WouldDeadlock) => Outcome::WouldDeadlock,
        Err(Failure::Forked) => panic!("nobody forks"),
        Err(Failure::Os(error)) => panic!("{error}"),
    }
}

/// The two ways in which guards release: `looks`: the word is looked at before the release itself.
fn unlock(line: &LockLine, me: Who, alone: bool, looks: bool) {
    let (list, owner) = (thread(me).list, pair(me.tid, me.slot));
    if is_file() {
        if robust_futex::is_held_by(line, owner) {
            watched::unlock(line, owner);
        }
        return;
    }
    let is_simple = alone
        && if looks { robust_futex::is_held_alone(line, owner, list) } else { robust_futex::is_linked_alone(line, list) };
    if is_simple {
        if !robust_futex::unlock_fast(line, owner, list) {
            robust_futex::wake_after(line, owner, list);
        }
    } else if robust_futex::is_held_by(line, owner) {
        robust_futex::unlock_slow(line, owner, list, if alone { Linked::Alone } else { Linked::AmongOthers });
    }
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
