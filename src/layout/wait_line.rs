//! The line of those who wait for what a holder of the lock does: a commit, or a condition.

use std::mem::{offset_of, size_of};
use std::sync::atomic::AtomicU32;

/// Behind the lock line, of all that has a lock. What it is for: `sync/gate.rs`.
#[repr(C, align(64))]
#[derive(Debug)]
pub(crate) struct WaitLine {
    /// A futex, on which they sleep until the next holder has them wait on the lock word.
    pub(crate) gate: AtomicU32,
    /// 1 while somebody may sleep there.
    pub(crate) at_gate: AtomicU32,
    /// How many wait for a commit.
    pub(crate) watchers: AtomicU32,
    /// A mark of the commit of which they have still to be told, or 0.
    pub(crate) owed: AtomicU32,
    /// When somebody last asked whether anybody sleeps at all: the monotonic clock in units of 2^28 ns.
    pub(crate) probed: AtomicU32,
    /// Counts how often the credit of a condition was dropped, so that it is left to none to say who may go on.
    pub(crate) dropped: AtomicU32,
    /// How many sleep for the lock.
    pub(crate) lockers: AtomicU32,
    pub(crate) conditions: [Condition; 3],
}

/// One of the conditions of a lock: see `sync/condition.rs`.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Condition {
    /// Counts the notifications.
    pub(crate) notified: AtomicU32,
    /// How many who wait may go on.
    pub(crate) credit: AtomicU32,
    /// How many wait.
    pub(crate) waiting: AtomicU32,
}

const _: () = {
    assert!(size_of::<WaitLine>() == 64);
    assert!(offset_of!(WaitLine, at_gate) == 4);
    assert!(offset_of!(WaitLine, watchers) == 8);
    assert!(offset_of!(WaitLine, owed) == 12);
    assert!(offset_of!(WaitLine, probed) == 16);
    assert!(offset_of!(WaitLine, dropped) == 20);
    assert!(offset_of!(WaitLine, lockers) == 24);
    assert!(offset_of!(WaitLine, conditions) == 28);
};

/// A wait line outside of any mapping, as bytes.
pub(crate) type WaitBytes = [u8; size_of::<WaitLine>()];

impl WaitLine {
    /// What the line must say when no user is left, given what it says: nobody waits, and nobody is owed anything. The
    /// sequences go on.
    pub(crate) fn after_all_users_left(line: &WaitBytes) -> WaitBytes {
        let mut next = *line;
        let mut clear = |field: usize| next[field..field + 4].fill(0);
        for field in
            [offset_of!(Self, at_gate), offset_of!(Self, watchers), offset_of!(Self, owed), offset_of!(Self, lockers)]
        {
            clear(field);
        }
        for condition in 0..3 {
            let at = offset_of!(Self, conditions) + condition * size_of::<Condition>();
            clear(at + offset_of!(Condition, credit));
            clear(at + offset_of!(Condition, waiting));
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::super::documented::{assert_describes, fields};
    use super::*;

    #[test]
    fn the_documentation_describes_each_byte_of_the_wait_line() {
        let fields = fields!(WaitLine: gate at_gate watchers owed probed dropped lockers conditions);
        assert_describes("WaitLine", size_of::<WaitLine>(), " at 576", &fields);
        let fields = fields!(Condition: notified credit waiting);
        assert_describes("Condition", size_of::<Condition>(), "", &fields);
    }

    #[test]
    fn of_those_who_are_gone_the_sequences_are_left() {
        let next = WaitLine::after_all_users_left(&[7; 64]);
        let left: Vec<usize> = (0..64).filter(|at| next[*at] != 0).collect();
        let sequences = [0..4, 16..24, 28..32, 40..44, 52..56];
        assert_eq!(left, sequences.into_iter().flatten().collect::<Vec<_>>());
    }
}
