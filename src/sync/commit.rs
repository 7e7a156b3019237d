//! The commit cell: a value that is whole at every moment, whoever dies.
//!
//! Two counters and two slots; the slot of the last commit is number `commits & 1`.
//!
//! * A writer, who holds the lock, says `begun = n + 1`, fills the *other* slot, and commits with the single store
//!   `commits = n + 1`. Killed before that store it has changed nothing that anybody reads.
//! * A reader takes `n = commits`, copies slot `n & 1`, and has a whole value if no commit later than the next one has
//!   begun: only commit `n + 2` writes into that slot again.
//! * For a small value `begun` is not worth its store: its reader asks that `commits` is still `n`, so that commit
//!   `n + 2`, which follows `n + 1`, cannot have begun. A copy of a few words is rarely overtaken by one commit; of
//!   longer ones nearly all would be.
//!
//! No reference to a value ever points into a slot, and whoever copies one uses accesses that may race. The file is
//! self-contained but for its atomics, so that a model checker can compile it with its own; hence the points of
//! `fault.rs` are not even named except in the build that has them.

use super::atomic::{AtomicU64, Ordering, fence};

/// The cell, wherever its parts lie.
#[derive(Clone, Copy)]
pub(crate) struct CommitCell<'a> {
    pub(crate) commits: &'a AtomicU64,
    /// `None` for a small value.
    pub(crate) begun: Option<&'a AtomicU64>,
    pub(crate) slots: [&'a [AtomicU64]; 2],
}

impl<'a> CommitCell<'a> {
    /// The slot of commit `n`. A choice and not an index: so the compiler knows how long the slot is.
    #[inline(always)]
    pub(crate) fn slot(&self, n: u64) -> &'a [AtomicU64] {
        let [even, odd] = self.slots;
        if n & 1 == 0 { even } else { odd }
    }

    /// How many commits there have been.
    ///
    /// A load that acquires would say the same; but of memory that is mapped for reading only, only relaxed ones are
    /// promised to be mere loads.
    #[inline]
    pub(crate) fn commits(&self) -> u64 {
        let n = self.commits.load(Ordering::Relaxed);
        fence(Ordering::Acquire); // pairs with the Release in `commit`
        n
    }

    /// Has the slot of the last commit copied by `copy(n)`, which reads it through [`slot`](Self::slot); gives its number,
    /// or `None` if writers overtook the copy, and what was copied is worthless.
    #[inline]
    pub(crate) fn read(&self, copy: impl FnOnce(u64)) -> Option<u64> {
        let n = self.commits(); // slot n is filled
        copy(n);
        // If any word copied came from commit n + 2, this fence and the writer's make visible below what the writer had
        // done or seen before: its `begun`, and commit n + 1.
        fence(Ordering::Acquire);
        let is_whole = match self.begun {
            Some(begun) => begun.load(Ordering::Relaxed) <= n.wrapping_add(1),
            None => self.commits.load(Ordering::Relaxed) == n,
        };
        is_whole.then_some(n)
    }

    /// The number of the last commit. The caller holds the lock, so nobody can overtake while it copies the slot.
    #[inline]
    pub(crate) fn last_locked(&self) -> u64 {
        self.commits.load(Ordering::Relaxed) // taking the lock made the last holder's commit visible
    }

    /// Commits what `fill` writes into the slot that it is given. The caller holds the lock.
    #[inline]
    pub(crate) fn commit(&self, fill: impl FnOnce(&'a [AtomicU64])) {
        let next = self.commits.load(Ordering::Relaxed).wrapping_add(1); // only holders of the lock write it
        if let Some(begun) = self.begun {
            begun.store(next, Ordering::Relaxed);
            #[cfg(robust_shm_fault)]
            crate::fault::point!("commit: begun");
        }
        // Pairs with the fence in `read`: who sees one of the words below also sees `begun`, and the commit before.
        fence(Ordering::Release);
        fill(self.slot(next));
        #[cfg(robust_shm_fault)]
        crate::fault::point!("commit: filled");
        self.commits.store(next, Ordering::Release); // pairs with the fence in `commits`
        #[cfg(robust_shm_fault)]
        crate::fault::point!("commit: committed");
    }
}
