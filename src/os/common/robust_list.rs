//! Robust lists, where there are none: nobody takes a lock that would need one, because no thread is found to have a list.
//!
//! The names and signatures are those of `../linux/robust_list.rs`; a list takes no room, and its steps are nothing.

use std::io;
use std::ops::Range;
use std::sync::atomic::AtomicU64;

/// The address of a node.
pub(crate) type Node = usize;

#[derive(Clone, Copy, Debug)]
pub(crate) struct RobustList;

/// What an operation found.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl Interrupted {
    pub(crate) const NOTHING: Self = Self;

    pub(crate) fn is_nothing(&self) -> bool {
        true
    }

    pub(crate) fn is_of(&self, _: Node) -> bool {
        false
    }
}

/// Finds the list of the calling thread: there is none.
pub(crate) fn of_this_thread(_tid: u32) -> io::Result<RobustList> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "there are no robust lists on this system"))
}

/// In a forked child.
#[cfg(unix)]
pub(crate) fn empty_inherited(_cached: Option<RobustList>) {}

#[allow(clippy::unused_self, reason = "as where there are lists")]
impl RobustList {
    pub(crate) const NONE: Self = Self;

    /// Where nodes would lie.
    pub(crate) const NODE: Range<isize> = 24..40;

    pub(crate) fn node(word: &AtomicU64) -> Node {
        word.as_ptr().addr()
    }

    pub(crate) fn node_of(word: usize) -> Node {
        word
    }

    pub(crate) fn is_known(self) -> bool {
        false
    }

    /// No: so nobody takes the fast path.
    pub(crate) fn is_idle(self) -> bool {
        false
    }

    pub(crate) fn is_empty(self) -> bool {
        true
    }

    pub(crate) fn is_alone(self, _: Node) -> bool {
        false
    }

    pub(crate) fn is_full(self) -> bool {
        false
    }

    pub(crate) fn contains(self, _: Node) -> bool {
        false
    }

    pub(crate) fn has_one(self, _: impl Fn(Node) -> bool) -> bool {
        false
    }

    pub(crate) fn find_all<T>(self, _: impl Fn(Node) -> Option<T>) -> impl Iterator<Item = T> {
        std::iter::empty()
    }

    pub(crate) fn begin(self, _: Node, _slot: u32) {}

    pub(crate) fn end(self) {}

    pub(crate) fn link_alone(self, _: Node) {}

    pub(crate) fn unlink_alone(self) {}

    pub(crate) fn link(self, _: Node) {}

    pub(crate) fn unlink(self, _: Node) {}

    pub(crate) fn interrupt(self, _tid: u32, _has_slot: fn(Node) -> bool, _before: impl FnOnce()) -> Interrupted {
        Interrupted
    }

    pub(crate) fn resume(self, _: Interrupted) {}
}
