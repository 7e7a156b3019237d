//! What a handle learns of the many lines of its segment: which of them a thread had last, so that it begins there the next
//! time; and of readers side by side, how long they take.

use std::sync::atomic::AtomicU8;

use super::atomic::{AtomicU32, Ordering};
use super::spin::SpinPolicy;
use super::word::low;

/// One write in so many, of those that have found readers, leaves the mask empty.
const FORGETS: u32 = 256;

/// What a handle has learnt of its segment's readers.
#[derive(Debug, Default)]
pub(super) struct Habits {
    pub(super) homes: Homes,
    /// How a writer waits for readers.
    pub(super) spin: SpinPolicy,
    given_back: AtomicU32,
}

impl Habits {
    /// Is it time to have all readers admitted anew? Counts one time that they are let in again.
    pub(super) fn forgets(&self) -> bool {
        self.given_back.fetch_add(1, Ordering::Relaxed) % FORGETS == FORGETS - 1
    }
}

/// A byte for each of some threads, in each handle; threads whose ids are alike mix them up harmlessly.
#[derive(Debug)]
pub(crate) struct Homes([AtomicU8; 64]);

impl Default for Homes {
    fn default() -> Self {
        Self([const { AtomicU8::new(0) }; 64])
    }
}

impl Homes {
    fn of(&self, tid: u32) -> &AtomicU8 {
        &self.0[tid as usize % self.0.len()]
    }

    /// Which one a thread of this id had last, from 1 on. 0: it has had none.
    #[inline(always)]
    pub(super) fn last_of(&self, tid: u32) -> usize {
        self.of(tid).load(Ordering::Relaxed).into()
    }

    /// Where a thread begins to look among so many lines.
    pub(super) fn get(&self, owner: u64, lines: usize) -> usize {
        match self.last_of(low(owner)) {
            had if (1..=lines).contains(&had) => had - 1,
            _ => (owner.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % lines, // Fibonacci hashing (Knuth)
        }
    }

    pub(super) fn note(&self, owner: u64, index: usize) {
        self.of(low(owner)).store(index as u8 + 1, Ordering::Relaxed);
    }
}
