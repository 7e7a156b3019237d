//! Worlds in which a waiter may be the successor, whom nobody need wake.
//!
//! Its line is a place of its own, with links of its own. Nobody sleeps without a timer beside a free lock unless somebody is
//! awake, or one who is alive dozes; no two lists have the line; and no line names anybody who is gone, or who waits no more.

use crate::hashes::mixed;
use crate::layout::LockLine;
use crate::run::{Run, State, with};
use crate::stubs::Lines;
use crate::world::{TID, World, give_back, take};

/// So long after it was there last a successor is relied on: more than that, in nanoseconds.
pub(crate) const RELIED_ON: u64 = 2_200_000;

impl World {
    /// How many locations of successors' lines the checker knows, behind all others.
    pub(crate) fn successor_places(self) -> usize {
        if self.successors { self.lines } else { 0 }
    }
}

impl Run {
    /// Which successor's line an address is in, and where.
    pub(crate) fn successor_of(&self, address: usize) -> Option<(usize, usize)> {
        let offset = address.checked_sub(self.memory.successors.as_ptr().addr())?;
        let line = offset / size_of::<LockLine>();
        (line < self.world.successor_places()).then_some((line, offset % size_of::<LockLine>()))
    }

    /// Is it the word of a successor's line?
    pub(crate) fn is_successor(&self, place: usize) -> bool {
        place >= self.places.len() - self.world.successor_places()
    }

    /// Is it in memory that is nobody's business in this world?
    pub(crate) fn is_unknown(&self, address: usize) -> bool {
        let start = self.memory.successors.as_ptr().addr();
        self.is_in_waits(address) || (start..start + size_of_val(&self.memory.successors)).contains(&address)
    }

    fn word_of_successor(&self, line: usize) -> u64 {
        self.last(self.places.len() - self.world.successor_places() + line).value
    }

    /// The links of the lines that name somebody.
    pub(crate) fn hash_successors(&self, mut hash: u64) -> u64 {
        for line in 0..self.world.successor_places() {
            if self.word_of_successor(line) as u32 & TID == 0 {
                continue;
            }
            let links = self.memory.successors.as_ptr().addr() + line * size_of::<LockLine>() + Lines::LINKS.start;
            for word in 0..4 {
                // SAFETY: within the memory of the world, aligned.
                let link = unsafe { std::ptr::with_exposed_provenance::<u64>(links + word * 8).read() };
                hash = mixed(hash, link);
            }
        }
        hash
    }
}

pub(crate) fn line(which: usize) -> &'static LockLine {
    let line: *const LockLine = with(|run| std::ptr::from_ref(run.memory.successor(which)));
    // SAFETY: in a box that lives as long as the search.
    unsafe { &*line }
}

// Of the copies.

/// Are there successors in this world?
pub(crate) fn are_named() -> bool {
    with(|run| run.world.successors)
}

/// Does a waiter begin as if it had slept before?
pub(crate) fn has_slept_before() -> bool {
    with(|run| run.world.is_hasty)
}

/// What a candidate does has looks at the lock's word in it, with which nothing begins anew.
pub(crate) fn begin() {
    with(|run| run.me().is_amid = true);
}

pub(crate) fn end(remembered: u64) {
    with(|run| {
        let me = run.me();
        (me.is_amid, me.candidate) = (false, remembered);
    });
}

// What may happen, and what must be true.

/// May this be done to one who sleeps: that the time is up, or that he is stopped?
pub(crate) fn may_end(run: &Run, kind: usize, sleeper: usize) -> bool {
    let sleeper = run.sleepers[sleeper];
    match kind {
        0 => sleeper.ends_soon(run.clock),
        3 => sleeper.naps(),
        _ => true,
    }
}

/// The first of those who look again by themselves.
pub(crate) fn first_who_naps(run: &Run) -> Option<usize> {
    let naps = |i: &usize| run.sleepers[*i].naps() && !run.threads[run.sleepers[*i].thread()].is_stopped;
    (0..run.sleepers.len()).filter(|_| run.world.successors).filter(naps).min_by_key(|i| run.sleepers[*i].end())
}

/// A list has been changed.
pub(crate) fn check_lists(run: &mut Run) {
    for line in 0..run.world.successor_places() {
        let word = run.memory.successors.as_ptr().addr() + line * size_of::<LockLine>() + 8;
        let node = word.wrapping_add_signed(-Lines::FUTEX_OFFSET);
        let has_it = |run: &mut Run, i: usize| run.threads[i].is_alive() && run.in_list(i).contains(&node);
        let lists = (0..run.threads.len()).filter(|i| has_it(run, *i)).count();
        if lists > 1 {
            run.fail("TWO LISTS have the successor's line".to_owned());
        }
    }
}

/// The kernel is done with a dead thread.
pub(crate) fn check_gone(run: &mut Run, thread: usize) {
    let tid = run.threads[thread].tid;
    for line in 0..run.world.successor_places() {
        if run.word_of_successor(line) as u32 & TID == tid {
            run.fail("a dead successor is still named".to_owned());
        }
    }
}

/// Nobody waits any more.
pub(crate) fn check_end(run: &mut Run) {
    for line in 0..run.world.successor_places() {
        let tid = run.word_of_successor(line) as u32 & TID;
        let is_stopped = run.threads.iter().any(|thread| thread.tid == tid && thread.is_stopped);
        let asleep = run.threads.iter().any(|thread| thread.tid == tid && thread.state == State::Asleep);
        if tid != 0 && !is_stopped && !asleep {
            run.fail("a successor is named who is not there".to_owned());
        }
    }
}

// Signal handlers.

/// The first takes a lock, and signal handlers interrupt it that take another. The second takes both.
pub(crate) fn body(thread: usize) {
    if thread == 1 {
        let other = take(1);
        let alone = take(0);
        give_back(0, alone);
        give_back(1, other);
    } else {
        let alone = take(0);
        give_back(0, alone);
    }
}

/// Interrupts the first one.
pub(crate) fn handle() {
    // With the first lock it would wait for one who waits for that.
    if with(|run| run.me().depth == 1 && !run.names(0, run.current)) {
        let alone = take(1);
        give_back(1, alone);
    }
}
