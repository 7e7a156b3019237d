//! Poison: how the next holder learns that what is changed in place may be half-changed.
//!
//! | byte of the lock line | 1 means | who writes it |
//! |---|---|---|
//! | `dirty` | the holder may be changing the data | a writer, when it has the lock and before it gives it back |
//! | `poison` | a holder died or panicked amid changes, and nobody has repaired them | who panics; who takes the lock from the dead |
//!
//! A killed *reader* poisons nothing, because it never sets `dirty`; and neither does a writer that is killed before it
//! does, because it has changed nothing. Both bytes are written by holders only, and read by those who hold the lock, or
//! by those who want a moment's picture. So the order in which other processors see them does not matter: whoever takes
//! the lock from a dead one does so when that has stopped, and all that it ever wrote is there. What matters is the order
//! of the instructions, because a process can be killed between any two of them: hence the compiler fences.

use std::sync::atomic::{Ordering, compiler_fence};

use crate::fault::point;
use crate::kind::Kind;
use crate::layout::LockLine;

pub(crate) use crate::kind::Poison;

impl Poison {
    /// `is_wanted`: as the creator chose.
    pub(crate) fn of(kind: Kind, is_wanted: bool) -> Self {
        if is_wanted { kind.poison() } else { Self::Never }
    }

    /// Does the segment count as poisoned, given what its lock line says?
    pub(crate) fn is_told_by(self, owner_died: bool, poison: u8, dirty: u8) -> bool {
        match self {
            Self::Never => false,
            Self::OfWriters => poison != 0 || owner_died && dirty != 0,
        }
    }

    /// For whoever has taken the lock from a dead holder, before anything else: poisons if that may have left something
    /// half-changed. If this thread dies, too, the next one finds the same or more.
    #[cold]
    pub(super) fn inherit(self, line: &LockLine) {
        let dirty = line.dirty.load(Ordering::Relaxed);
        if self.is_told_by(true, 0, dirty) {
            // Relaxed: published by the Release of whichever unlock follows.
            line.poison.store(1, Ordering::Relaxed);
            point!("lock slowly: poisoned");
        }
        if dirty != 0 {
            compiler_fence(Ordering::SeqCst); // not before the poison
            line.dirty.store(0, Ordering::Relaxed);
            point!("lock slowly: dirt forgotten");
        }
    }
}

/// For the holder, before its first change in place.
#[inline(always)]
pub(super) fn begin_changes(line: &LockLine) {
    line.dirty.store(1, Ordering::Relaxed);
    compiler_fence(Ordering::SeqCst);
    point!("changes: begun");
}

/// For the holder, behind its last change in place, and behind the poison if there is any.
#[inline(always)]
pub(super) fn end_changes(line: &LockLine) {
    compiler_fence(Ordering::SeqCst);
    line.dirty.store(0, Ordering::Relaxed);
    point!("changes: ended");
}
