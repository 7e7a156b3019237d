//! Operations that a signal handler nests in an operation that it has interrupted.
//!
//! There is one slot, and the kernel relies on it for what is in no list: a lock that has been taken and is not yet
//! linked, or is no longer linked and not yet released, and a wake-up that has been received, or is still to be given.
//! While the slot names the handler's lock, a death would strand the interrupted one. So before a nested operation takes
//! the slot, it does for the interrupted lock what the kernel would do now:
//!
//! * it wakes one sleeper: a wake-up that this thread has consumed, or owes, is passed on before it can be lost. Later none
//!   can get to this thread, because it does not sleep on that lock while the handler runs;
//! * if the thread holds the lock, it puts its node into the list until the slot names it again. What the interrupted
//!   operation has written in the node, and in its neighbours, is kept and put back.
//!
//! The interrupted operation may be libc's: then all this is the same. It may also be none at all: glibc leaves the slot
//! set when a timed lock times out, and the mutex may be gone since; the wake-up finds that out.
//!
//! **Does the thread hold the lock?** Its id in the word says so of libc's mutexes. In the lock of a segment it may be that of
//! a thread in another PID namespace, in whose node nothing may be written: so the slot must be the one by which this thread
//! came to the lock, which it has remembered.

use std::sync::atomic::{Ordering, compiler_fence};

use super::{FUTEX_OFFSET, Node, PI, RobustList, WORD, came_by, load, owner, store, whole};
use crate::fault::point;
use crate::os::futex;

/// What an operation found in the slot, and puts back at its end.
#[derive(Debug)]
pub(crate) struct Interrupted {
    pending: usize,
    /// What the thread had remembered.
    slot: u32,
    /// What stood in the pending node before it was put into the list.
    links: Option<[usize; 2]>,
}

impl Interrupted {
    pub(crate) const NOTHING: Self = Self { pending: 0, slot: 0, links: None };

    pub(crate) fn is_nothing(&self) -> bool {
        self.pending == 0
    }

    /// Was an operation on the lock of this node under way?
    pub(crate) fn is_of(&self, node: Node) -> bool {
        self.pending == node
    }
}

impl RobustList {
    /// Before [`begin`](Self::begin), where the slot may be in use: by a lock that stands alone in the list, or by an
    /// operation that is interrupted. `has_slot`: is the node one of ours, with a slot beside the thread id in its word?
    /// `before`: what is to be done if an operation is interrupted, before a sleeper is woken in its place.
    pub(crate) fn interrupt(self, tid: u32, has_slot: fn(Node) -> bool, before: impl FnOnce()) -> Interrupted {
        let pending = load(self.pending().addr());
        let slot = came_by::remembered();
        let is_amid = pending != 0 && !self.contains(pending & !PI);
        let links = if is_amid {
            before();
            self.lend_place(pending, tid, has_slot, slot)
        } else {
            None
        };
        Interrupted { pending, slot, links }
    }

    /// In the place of [`end`](Self::end).
    pub(crate) fn resume(self, interrupted: Interrupted) {
        came_by::remember(interrupted.slot);
        self.name(interrupted.pending);
        point!("list: as it was pending");
        if let Some(links) = interrupted.links {
            self.take_back_place(interrupted.pending & !PI, links);
        }
    }

    /// Puts what is pending into the list if this thread holds it; gives what the node held.
    #[cold]
    fn lend_place(self, pending: usize, tid: u32, has_slot: fn(Node) -> bool, came_by: u32) -> Option<[usize; 2]> {
        let node = pending & !PI;
        if !futex::wake_one_at(node.wrapping_add_signed(FUTEX_OFFSET)) {
            return None;
        }
        point!("list: interrupted, woke one");
        // Then nobody else writes the node: so the thread may do so before it is known to hold the lock.
        let holds =
            if has_slot(node) { whole(node) == u64::from(came_by) << 32 | u64::from(tid) } else { owner(node) == tid };
        if !holds {
            return None;
        }
        let links = [load(node), load(node - WORD)];
        compiler_fence(Ordering::SeqCst);
        self.link(pending);
        point!("list: interrupted, linked");
        Some(links)
    }

    #[cold]
    fn take_back_place(self, node: Node, [next, back]: [usize; 2]) {
        self.unlink(node);
        store(node, next);
        store(node - WORD, back);
        point!("list: interrupted, as it was");
    }
}
