//! What stands behind the lock line, and where.

use std::mem::{offset_of, size_of};
use std::ops::Range;
use std::sync::atomic::AtomicU64;

use super::{CACHE_LINE, LOCK_OFFSET, LockLine, PAGE, WaitLine};
use crate::kind::{Body, Kind, Shape, Word};

/// The largest value in bytes: 64 KiB. Larger things are arrays.
pub(crate) const MAX_VALUE: usize = 64 << 10;
/// Permits of a semaphore, at most: one can sleep on 128 words at once, and one is the bell.
pub(crate) const MAX_PERMITS: usize = 127;
/// Reader slots, at most: each has a bit in the reader line.
pub(crate) const MAX_READERS: usize = 64;
/// As many a creator makes who states no number.
pub(crate) const USUAL_READERS: usize = 32;
/// Where the permits of a semaphore begin: it has no wait line.
pub(crate) const PERMITS_OFFSET: usize = WAIT_OFFSET;
pub(crate) const WAIT_OFFSET: usize = LOCK_OFFSET + size_of::<LockLine>();
/// Where the kinds begin to differ.
pub(crate) const BODY_OFFSET: usize = WAIT_OFFSET + size_of::<WaitLine>();
/// As far as the lines of any kind reach.
pub(crate) const FRONT: usize = BODY_OFFSET + CACHE_LINE;
/// Where the slots of readers side by side begin, behind the reader line.
pub(crate) const READERS_OFFSET: usize = FRONT;
/// Up to this many 64-bit words, both slots of a value stand in the commit line itself.
const SMALL_WORDS: usize = 3;

/// The cache line of readers side by side, in front of their slots, each of which is a lock line: see `sync/readers.rs`.
#[repr(C, align(64))]
#[derive(Debug)]
pub(crate) struct ReaderLine {
    /// The slots whose owners need not take the lock.
    pub(crate) mask: AtomicU64,
    /// The slots that a writer has yet to see empty.
    pub(crate) drain: AtomicU64,
    _zero: [AtomicU64; 6],
}

const _: () = {
    assert!(WAIT_OFFSET == 576);
    assert!(BODY_OFFSET == 640);
    assert!(size_of::<ReaderLine>() == READERS_OFFSET - BODY_OFFSET);
    assert!(offset_of!(ReaderLine, drain) == 8);
};

/// The cache line of a value's commit cell: see `sync/commit.rs`.
#[repr(C, align(64))]
#[derive(Debug)]
pub(crate) struct CommitLine {
    pub(crate) commits: AtomicU64,
    pub(crate) begun: AtomicU64,
    small: [AtomicU64; 2 * SMALL_WORDS],
}

const _: () = assert!(size_of::<CommitLine>() == CACHE_LINE);

/// What nobody fills yet, of this kind: where it stands, what it is called, and what a program does that fills it.
pub(super) fn unfilled(kind: Kind) -> impl Iterator<Item = (Range<usize>, &'static str, &'static str)> {
    let wait = (WAIT_OFFSET..BODY_OFFSET, "wait line", "waits for more than the lock");
    (kind.word() == Word::Event).then_some(wait).into_iter()
}

/// Does a reader line name slots that the segment has not, or anything else?
pub(super) fn is_damaged(reader_line: &[u8], readers: u32) -> bool {
    let beyond = |word: u64| word & !slots_of(readers as usize) != 0;
    reader_line.chunks_exact(8).enumerate().any(|(index, bytes)| {
        let word = u64::from_ne_bytes(std::array::from_fn(|i| bytes[i]));
        if index < 2 { beyond(word) } else { word != 0 }
    })
}

/// The bits of so many slots.
pub(crate) const fn slots_of(readers: usize) -> u64 {
    if readers >= MAX_READERS { u64::MAX } else { (1 << readers) - 1 }
}

/// How many 64-bit words a value of `size` bytes takes in a slot.
pub(crate) const fn words(size: usize) -> usize {
    size.div_ceil(8)
}

/// Do both slots of a value of `size` bytes stand in the commit line itself?
pub(crate) const fn is_small(size: usize) -> bool {
    words(size) <= SMALL_WORDS
}

/// The offsets of the two slots of a value of `size` bytes, from the start of the segment.
pub(crate) const fn slot_offsets(size: usize) -> [usize; 2] {
    if is_small(size) {
        let first = BODY_OFFSET + offset_of!(CommitLine, small);
        [first, first + SMALL_WORDS * 8]
    } else {
        let first = BODY_OFFSET + size_of::<CommitLine>();
        [first, first + (words(size) * 8).next_multiple_of(CACHE_LINE)]
    }
}

/// Where the data of a shape start, with so many reader slots, and how long the segment is; `None` when the numbers
/// overflow.
pub(super) fn extent(shape: Shape, readers: u32) -> Option<(u64, u64)> {
    let readers = usize::try_from(readers).ok().filter(|readers| *readers <= MAX_READERS)?;
    let behind_readers = READERS_OFFSET + readers * size_of::<LockLine>();
    match shape.kind.body() {
        Body::CommitCell => {
            let size = usize::try_from(shape.elem_size).ok().filter(|size| *size <= MAX_VALUE)?;
            let [first, second] = slot_offsets(size);
            let end = (second + words(size) * 8).max(BODY_OFFSET + size_of::<CommitLine>());
            Some((first as u64, end as u64))
        }
        Body::Elements => {
            let align = usize::try_from(shape.elem_align).ok().filter(|align| *align <= PAGE)?;
            let start = behind_readers.next_multiple_of(align.max(CACHE_LINE)) as u64;
            let end = shape.elem_size.checked_mul(shape.len?)?.checked_add(start)?;
            // The mapping's length must fit an isize, as every Rust object's does.
            isize::try_from(end).ok()?;
            Some((start, end))
        }
        Body::Permits => {
            let permits = shape.len.filter(|permits| (1..=MAX_PERMITS as u64).contains(permits))?;
            Some((PERMITS_OFFSET as u64, (PERMITS_OFFSET + permits as usize * size_of::<LockLine>()) as u64))
        }
        Body::Readers => Some((behind_readers as u64, behind_readers as u64)),
        Body::Nothing => Some((BODY_OFFSET as u64, BODY_OFFSET as u64)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::documented::{assert_describes, fields, table};
    use super::*;
    use crate::kind::Open;

    #[test]
    fn the_documentation_describes_each_byte_of_what_stands_behind_the_lock_line() {
        let place = |at: usize, of: &str| format!(" at {at}{of}");
        let fields = fields!(ReaderLine: mask drain _zero);
        assert_describes(
            "ReaderLine",
            size_of::<ReaderLine>(),
            &place(BODY_OFFSET, ", of an array or a read-write lock"),
            &fields,
        );
        let fields = fields!(CommitLine: commits begun small);
        assert_describes("CommitLine", size_of::<CommitLine>(), &place(BODY_OFFSET, ", of a value"), &fields);
    }

    #[test]
    fn the_examples_of_the_documentation_are_so() {
        let examples = table("Data", "type");
        assert!(examples.len() > 5);
        for row in examples {
            let [kind, elem_size, elem_align, len, readers, data_offset, total_len] =
                [1, 2, 3, 4, 5, 6, 7].map(|cell| row[cell].parse::<u64>().expect("a number"));
            let kind = Kind::from_stored(kind as u32).expect("a kind");
            let shape = Shape { kind, elem_size, elem_align, len: Some(len), open: Open::Nothing };
            assert!(shape.is_plausible(), "{row:?}");
            assert_eq!(extent(shape, readers as u32), Some((data_offset, total_len)), "{row:?}");
        }
    }
}
