//! A waiter's place among those who want a lock. The kernel, or chance, says who comes next, and nobody hears of a death by
//! the sleep itself: so there is nothing to be remembered from one sleep to the next.

use std::io;
use std::sync::atomic::AtomicU64;

use super::{Deadline, futex};

/// Is the first of those who sleep for a lock woken when its holder ends, and the next one when the first does?
pub(crate) const TELLS_OF_DEATHS: bool = false;

/// Of one wait for one lock.
#[derive(Debug)]
pub(crate) struct Place;

impl Place {
    /// Where a word has room for those who sleep, relative to it: none is used.
    pub(crate) const ROOM: std::ops::Range<isize> = 8..8;

    pub(crate) const fn new() -> Self {
        Self
    }

    /// [`futex::wait`], for the lock.
    #[inline(always)]
    pub(crate) fn wait(&mut self, word: &AtomicU64, expected: u32, classes: u32, until: Deadline) -> io::Result<bool> {
        futex::wait(word, expected, classes, until)
    }

    /// May this waiter ask to be preferred?
    #[inline(always)]
    pub(crate) fn may_be_preferred(&self) -> bool {
        true
    }

    /// Was it woken because there is no thread of this id any more?
    #[inline(always)]
    pub(crate) fn heard_of_the_end_of(&self, _tid: u32) -> bool {
        false
    }

    /// Another is to be the first; for one who will be away.
    #[inline(always)]
    pub(crate) fn leave(&mut self) {}

    /// The wait is over; the lock was taken from this word, or not at all.
    #[inline(always)]
    pub(crate) fn end(&mut self, _word: &AtomicU64, _taken_from: Option<u64>) {}
}
