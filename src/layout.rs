//! **The** definition of the bytes of a segment, and the validation of every one of them that is read at opening.
//!
//! | bytes | what |
//! |---|---|
//! | 0 … 511 | [`Header`]: written once before the segment has a name; read as hostile input |
//! | 512 … 575 | [`LockLine`]: one cache line for the lock |
//! | 576 … | semaphore: the permits, each a [`LockLine`]; the one at 512 is its [`BellLine`] |
//! | 576 … 639 | [`WaitLine`]: one cache line for those who wait for what a holder does; of an event, zero |
//! | 640 … 703 | value: [`CommitLine`]; the slots are in it when they fit, else behind it |
//! | 640 … 703 | array, read-write lock: [`ReaderLine`], for readers side by side |
//! | 704 … | the slots of these readers, each a [`LockLine`] |
//! | behind | array: the elements, from the first multiple of max(64, alignment) |
//! | the last bytes | value, array: the text that describes the element, if there is one |
//!
//! Numbers have the machine's own byte order and width; the header says which, and another one is refused. For whoever
//! implements this in another language it is described byte by byte in `guide/format.md`, which a test compares with
//! what is here.

use std::cell::UnsafeCell;
use std::mem::{offset_of, size_of};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

mod body;
#[cfg(test)]
mod documented;
mod header;
mod wait_line;

pub(crate) use body::{
    BODY_OFFSET, CommitLine, FRONT, MAX_PERMITS, MAX_READERS, MAX_VALUE, PERMITS_OFFSET, READERS_OFFSET, ReaderLine,
    USUAL_READERS, WAIT_OFFSET, is_small, slot_offsets, slots_of, words,
};
pub(crate) use header::{Creation, Header, MAGIC, SEVERAL_NAMESPACES, not_a_segment, truncated};
pub(crate) use wait_line::{Condition, WaitBytes, WaitLine};

/// The alignment that a mapping has: no element can ask for more.
pub(crate) const PAGE: usize = 4096;
pub(crate) const HEADER_LEN: usize = 512;
/// As much is read at first: the header, the lines behind it of any kind, and small segments as a whole.
pub(crate) const FIRST_READ: usize = PAGE;
pub(crate) const LOCK_OFFSET: usize = HEADER_LEN;
/// In the header: the line of whoever comes next to the lock. See `sync/successor.rs`.
pub(crate) const SUCCESSOR_OFFSET: usize = HEADER_LEN - CACHE_LINE;
pub(crate) const CACHE_LINE: usize = 64;

/// The cache line of the lock, as the lock word sees it. The kernel and both C libraries know parts of it: see
/// `sync/robust_futex.rs`. With [`LockKind::OsMutex`] all that is in front of `record` is the C library's mutex: see
/// `sync/os_mutex.rs`.
#[repr(C, align(64))]
#[derive(Debug)]
pub(crate) struct LockLine {
    /// Counts the releases to sleepers, so that the waiters bit can be cleared without an ABA.
    pub(crate) epoch: AtomicU32,
    /// musl's thread exit reads a "process-shared" flag here, 4 bytes before the futex.
    pub(crate) process_shared: AtomicU32,
    /// The lower half is the futex in the kernel's robust format: owner's thread id, waiters bit, owner-died bit. The upper
    /// half is the slot of the owner, or the epoch of the release.
    pub(crate) word: AtomicU64,
    /// Room for the robust list's node (two words), at whatever place the C library's offset puts it.
    links: UnsafeCell<[u8; 32]>,
    /// With [`LockKind::OsMutex`], who holds the lock; else 0.
    pub(crate) record: AtomicU64,
    /// 1 when a holder died or panicked and nobody has repaired the data yet.
    pub(crate) poison: AtomicU8,
    /// 1 while a holder may be changing the data.
    pub(crate) dirty: AtomicU8,
    _zero: [AtomicU8; 2],
    /// For whom a free lock is kept for a moment: see `sync/reservation.rs`.
    pub(crate) reservation: AtomicU32,
}

/// The lock line of a semaphore, on which those sleep who find no permit. No lock: its word never has an owner, and is two
/// words of 32 bits.
#[repr(C, align(64))]
#[derive(Debug)]
#[allow(dead_code, reason = "laid out as a lock line is")]
pub(crate) struct BellLine {
    epoch: AtomicU32,
    process_shared: AtomicU32,
    /// The bell: always 0. The futex of those who sleep on all permits at once.
    pub(crate) zero: AtomicU32,
    /// The ring: counts what those must not miss who cannot. Their futex.
    pub(crate) ring: AtomicU32,
    links: [AtomicU64; 5],
    spare: AtomicU32,
    /// For whom permits that come free are kept for a moment, as in a lock line.
    pub(crate) reservation: AtomicU32,
}

impl BellLine {
    /// Where a lock line has its word.
    pub(crate) fn word_address(&self) -> usize {
        self.zero.as_ptr().addr()
    }
}

/// In the record of a permit's line: so that it is told from other robust futexes of a thread.
pub(crate) const PERMIT_MARK: u64 = u64::from_le_bytes(*b"rbstPRMT");

/// The same in a reader's slot, whose number stands in the byte behind it.
pub(crate) const READER_MARK: u64 = u64::from_le_bytes(*b"rbstRDR\0");

/// The flag of a process-shared mutex in musl's `_m_type`.
const MUSL_PROCESS_SHARED: u32 = 128;

const _: () = {
    assert!(size_of::<LockLine>() == CACHE_LINE);
    assert!(offset_of!(LockLine, epoch) == 0);
    assert!(offset_of!(LockLine, process_shared) == 4);
    assert!(offset_of!(LockLine, word) == 8);
    assert!(offset_of!(LockLine, links) == 16);
    assert!(offset_of!(LockLine, record) == 48);
    assert!(offset_of!(LockLine, poison) == 56);
    assert!(offset_of!(LockLine, dirty) == 57);
    assert!(offset_of!(LockLine, reservation) == 60);
    assert!(size_of::<BellLine>() == CACHE_LINE);
    assert!(offset_of!(BellLine, zero) == offset_of!(LockLine, word));
    assert!(offset_of!(BellLine, reservation) == offset_of!(LockLine, reservation));
};

/// A lock line outside of any mapping, as bytes.
pub(crate) type LockBytes = [u8; size_of::<LockLine>()];

impl LockLine {
    /// A free futex.
    pub(crate) fn of_futex() -> LockBytes {
        let mut line = [0; size_of::<Self>()];
        let flag = offset_of!(Self, process_shared);
        line[flag..flag + 4].copy_from_slice(&MUSL_PROCESS_SHARED.to_ne_bytes());
        line
    }

    /// A permit that nobody holds.
    pub(crate) fn of_permit() -> LockBytes {
        let mut line = Self::of_futex();
        let record = offset_of!(Self, record);
        line[record..record + 8].copy_from_slice(&PERMIT_MARK.to_ne_bytes());
        line
    }

    /// A reader's slot that nobody is in.
    pub(crate) fn of_reader(index: u32) -> LockBytes {
        let mut line = Self::of_futex();
        let record = offset_of!(Self, record);
        line[record..record + 8].copy_from_slice(&(READER_MARK | u64::from(index) << 56).to_ne_bytes());
        line
    }

    /// The byte range, relative to the futex word, in which a list node and its back pointer may lie.
    pub(crate) const LINKS: std::ops::Range<isize> = {
        let start = offset_of!(LockLine, links) as isize - offset_of!(LockLine, word) as isize;
        start..start + size_of::<[u8; 32]>() as isize
    };
}

#[cfg(test)]
mod tests {
    use super::documented::{assert_describes, fields};
    use super::*;

    #[test]
    fn the_documentation_describes_each_byte_of_the_lock_line() {
        let fields = fields!(LockLine: epoch process_shared word links record poison dirty _zero reservation);
        assert_describes("LockLine", size_of::<LockLine>(), &format!(" at {LOCK_OFFSET}"), &fields);
        let fields = fields!(BellLine: epoch process_shared zero ring links spare reservation);
        assert_describes("BellLine", size_of::<BellLine>(), &format!(" at {LOCK_OFFSET}, of a semaphore"), &fields);
    }
}
