//! Who of a segment's users is dead: what the kernel says, the presence bytes, and how many PID namespaces there are.
//!
//! # In one PID namespace
//!
//! The kernel's `D` is true. Where it does not report a death, a waiter looks itself, and a thread that is told dead has its
//! lock handed on, so "dead" must be certain. It is in each of these cases, and in no other is it said:
//!
//! * **There is no thread of this id.** Ids are given out again, so "there is one" says little.
//! * **The thread of this id has no robust list registered**: nobody takes a lock without one. The kernel strikes it out
//!   when the thread is done with user code for good. This tells of a main thread that has ended before the others.
//! * **The slot's presence byte is free**, so that the whole process has ended, or called `exec`; whether or not somebody has
//!   waited for it, or has got its id since. But a program may have closed descriptors that it did not open, and still
//!   use what it has mapped: a thread whose process has the file mapped is left alone, and one of which that
//!   cannot be seen.
//!
//! # In several
//!
//! Thread ids mean nothing across PID namespaces; the kernel confuses them, too. When a thread dies that was after the lock,
//! or has just released it, and the holder in another namespace has the same id, then it writes `D` over a living holder.
//! So there **only the presence byte counts**, for `D` and for what is looked for: a holder is dead when the byte of its
//! slot is free. That is the death of a whole process, a moment after the kernel has written `D`; a thread that ends
//! before its process, with a lock that it holds, is not told dead.
//!
//! One's own byte is not asked for, because a description does not conflict with itself: it counts as taken.
//!
//! # Where nobody is told
//!
//! With [`LockKind::File`] the kernel knows nothing of the lock: no word is in any list. What the presence bytes say is all
//! that there is, in one namespace and in several, and whoever wants the lock asks for them (`watch.rs`). `D` is then written
//! by those who have asked, and so is true. The death of a thread is none, unless the system shows it by what the thread
//! leaves behind (`death::has_ended`).
//!
//! # How many namespaces there are
//!
//! **That there are several** stands in the header, and stays there. A user from another namespace writes it before it names
//! the lock as pending for the first time. So whoever sees a `D` that is due to such a user's death, and looks at the header
//! then, sees that, too.

use std::ptr::NonNull;
use std::sync::Arc;

use super::atomic::{AtomicU64, Ordering, fence};
use super::word::{TID, high, is_owned, low, says_owner_died};
use crate::layout::SEVERAL_NAMESPACES;
use crate::options::LockKind;
use crate::os::seat::Seat;
use crate::os::{death, namespace};

/// What a handle knows of the users of its segment.
#[derive(Debug)]
pub(crate) struct Users {
    seat: Arc<Seat>,
    /// The field of the mapped header.
    namespace: NonNull<AtomicU64>,
    /// Nobody is told of deaths: they must be looked for.
    are_watched: bool,
}

// SAFETY: a pointer to an atomic that is alive as long as this (see `new`).
unsafe impl Send for Users {}
// SAFETY: as above.
unsafe impl Sync for Users {}

impl Users {
    /// # Safety
    ///
    /// `namespace` must point to the field of a header that stays mapped as long as this is used.
    pub(crate) unsafe fn new(seat: Arc<Seat>, namespace: NonNull<AtomicU64>, kind: LockKind) -> Self {
        let are_watched = kind == LockKind::File;
        if are_watched {
            seat.make_known();
        }
        Self { seat, namespace, are_watched }
    }

    /// Is nobody told of deaths, so that those who want the lock must look for them?
    pub(super) fn are_watched(&self) -> bool {
        self.are_watched
    }

    /// Becomes the one who looks often, if nobody is: see `watch.rs`.
    pub(super) fn try_watch(&self) -> bool {
        self.seat.try_watch()
    }

    pub(super) fn stop_watching(&self) {
        self.seat.stop_watching();
    }

    /// Does this owner, who has the caller's thread id, hold by a handle of this process? Then he is the caller.
    pub(super) fn is_own(&self, owner: u64) -> bool {
        high(owner) == self.slot() || self.seat.is_beside(high(owner))
    }

    #[inline(always)]
    pub(super) fn slot(&self) -> u32 {
        self.seat.slot()
    }

    /// See [`Seat::settled`].
    pub(super) fn settled(&self) -> u64 {
        self.seat.settled()
    }

    fn namespace(&self) -> &AtomicU64 {
        // SAFETY: alive by the contract of `new`.
        unsafe { self.namespace.as_ref() }
    }

    /// To be called before the lock is named as pending, by a process that has opened the segment, or may be in another
    /// namespace than it was. Is it that of all users so far?
    pub(super) fn enter(&self) -> bool {
        let here = namespace::pid_namespace();
        match self.namespace().load(Ordering::Relaxed) {
            found if found == here => return true,
            SEVERAL_NAMESPACES => {}
            _ => self.namespace().store(SEVERAL_NAMESPACES, Ordering::Relaxed),
        }
        // Before this thread's changes of the word, and the kernel's in its name; pairs with the fence in `are_in_one_namespace`.
        fence(Ordering::SeqCst);
        false
    }

    /// To be asked after the look at a word that is judged by the answer.
    pub(super) fn are_in_one_namespace(&self) -> bool {
        fence(Ordering::Acquire); // pairs with the fence in `enter`
        self.namespace().load(Ordering::Relaxed) == namespace::pid_namespace()
    }

    /// Does the word say that its holder died, and did he?
    pub(super) fn is_dead(&self, seen: u64) -> bool {
        says_owner_died(seen) && (self.are_watched || self.are_in_one_namespace() || self.is_absent(high(seen)))
    }

    /// Did the holder die, whether or not the word says so? Where somebody is told, it soon does.
    pub(super) fn has_lost_its_holder(&self, seen: u64) -> bool {
        self.is_dead(seen) || self.are_watched && is_owned(seen) && self.is_gone(seen, false)
    }

    /// Does the word say that its holder died, and may he live?
    pub(super) fn may_live(&self, seen: u64) -> bool {
        says_owner_died(seen) && !self.is_dead(seen)
    }

    /// Is the holder that the word names certainly dead, although nobody has said so? `closely`: his thread is asked
    /// for, too, and not only his process.
    pub(super) fn is_gone(&self, seen: u64, closely: bool) -> bool {
        let tid = low(seen) & TID;
        if self.are_watched && death::has_ended(tid) {
            return true;
        }
        let here = self.are_in_one_namespace();
        let may_have_lost_its_file = || here && self.seat.may_be_mapped_by(tid);
        self.is_absent(high(seen)) && !may_have_lost_its_file()
            || closely && here && !self.are_watched && death::is_dead_thread(tid)
    }

    /// Does no description have the slot's byte?
    fn is_absent(&self, slot: u32) -> bool {
        slot != self.seat.slot() && self.seat.is_free(slot)
    }
}
