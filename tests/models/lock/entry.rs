//! How `sync/mutex.rs` uses the lock.

use super::super::os::robust_list::RobustList;
use super::super::os::thread::Thread;
use super::poison::Poison;
use super::robust_futex::{self, Linked};
use super::waiting::{Failure, Wait};
use crate::layout::LockLine;
use crate::stubs::os::Deadline;
use crate::stubs::spin::SpinPolicy;
use crate::world::{How, Outcome, Subject};

pub(crate) const fn subject(name: &'static str) -> Subject {
    Subject { name, lock, unlock, token: |tid| super::reservation::Token::of(tid).bits() }
}

fn thread(tid: u32, head: usize) -> Thread {
    Thread { tid, generation: 1, list: RobustList::of(head) }
}

fn lock(line: &LockLine, tid: u32, head: usize, how: How) -> Outcome {
    let me = thread(tid, head);
    if robust_futex::lock_fast(line, &me) {
        return Outcome::Locked { alone: true };
    }
    let wait = match how {
        How::Try => Wait::No,
        How::Until(deadline) => Wait::Until(Deadline(deadline)),
        How::Forever => Wait::Forever,
    };
    match robust_futex::lock_slow(line, &me, wait, &SpinPolicy, Poison::OfHolders) {
        Ok(linked) => Outcome::Locked { alone: linked == Linked::Alone },
        Err(Failure::WouldBlock) => Outcome::WouldBlock,
        Err(Failure::TimedOut { .. }) => Outcome::TimedOut,
        Err(Failure::WouldDeadlock) => Outcome::WouldDeadlock,
        Err(Failure::Forked) => panic!("nobody forks"),
        Err(Failure::Os(error)) => panic!("{error}"),
    }
}

/// The two ways in which guards release: `looks`: the word is looked at before the release itself.
fn unlock(line: &LockLine, tid: u32, head: usize, alone: bool, looks: bool) {
    let me = thread(tid, head);
    let is_simple = alone
        && if looks {
            robust_futex::is_held_alone(line, tid, me.list)
        } else {
            robust_futex::is_linked_alone(line, me.list)
        };
    if is_simple {
        if !robust_futex::unlock_fast(line, tid, me.list) {
            robust_futex::wake_after(line, &me);
        }
    } else if robust_futex::is_held_by(line, tid) {
        robust_futex::unlock_slow(line, &me, if alone { Linked::Alone } else { Linked::AmongOthers });
    }
}
