//! Which nodes of a robust list lie in the lock lines of segments.
//!
//! A node's address says nothing about that: in another process, of another PID namespace, the same address and the same
//! thread id may stand for something else, and libc's own mutexes are in the same list. But in front of a lock line, in the
//! same page, stands the header of its segment.

use std::mem::offset_of;
use std::ptr;
use std::sync::atomic::AtomicU64;

use crate::layout::{
    Header, LOCK_OFFSET, LockLine, MAGIC, PAGE, PERMIT_MARK, READER_MARK, READERS_OFFSET, SUCCESSOR_OFFSET,
};
use crate::os::robust_list::{Node, RobustList};

/// Where the node of a lock line is in its page.
const IN_PAGE: usize = LOCK_OFFSET + IN_LINE;

/// Where it is in its line.
const IN_LINE: usize =
    offset_of!(LockLine, word).wrapping_add_signed(RobustList::NODE.start + size_of::<usize>() as isize);

const _: () = assert!(IN_PAGE + size_of::<usize>() <= PAGE);

/// The id of the segment in whose lock line this node lies; `None` if it lies elsewhere. The node must be in mapped memory.
pub(super) fn segment_of(node: Node) -> Option<[u64; 2]> {
    segment_in(node.checked_sub(IN_PAGE)?)
}

/// The word to which this node belongs, if it lies in the line of whoever comes next to the lock of a segment. The node must be
/// in mapped memory.
pub(super) fn word_of_successor<'a>(node: Node) -> Option<&'a AtomicU64> {
    let page = node.checked_sub(SUCCESSOR_OFFSET + IN_LINE)?;
    segment_in(page)?;
    let word = ptr::with_exposed_provenance_mut::<u64>(page + SUCCESSOR_OFFSET + offset_of!(LockLine, word));
    // SAFETY: in the page of the node, aligned, and changed by atomic operations only.
    Some(unsafe { AtomicU64::from_ptr(word) })
}

/// The id of the segment whose header this is.
fn segment_in(page: usize) -> Option<[u64; 2]> {
    if !page.is_multiple_of(PAGE) {
        return None;
    }
    let read = |offset: usize| {
        let word = ptr::with_exposed_provenance::<u64>(page + offset);
        // SAFETY: in a page that is mapped, and aligned; volatile, because it may be somebody else's memory.
        unsafe { ptr::read_volatile(word) }
    };
    let is_segment = read(offset_of!(Header, magic)) == u64::from_ne_bytes(MAGIC);
    is_segment.then(|| [read(offset_of!(Header, id)), read(offset_of!(Header, id) + 8)])
}

/// Does it lie in the lock line of a segment, in a permit, or in a reader's slot?
pub(super) fn is_in_segment(node: Node) -> bool {
    let is_marked = |mark| mark == PERMIT_MARK || slot_in(mark).is_some();
    segment_of(node).is_some() || mark_beside(node).is_some_and(is_marked)
}

/// The segment in whose reader slot this node lies, and the number of the slot; `None` if it lies elsewhere. The node must be
/// in mapped memory.
pub(super) fn reader_of(node: Node) -> Option<([u64; 2], usize)> {
    let slot = slot_in(mark_beside(node)?)?;
    // What is so marked stands behind its header, in the same mapping.
    let header = node.checked_sub(IN_LINE + READERS_OFFSET + slot * size_of::<LockLine>())?;
    Some((segment_in(header)?, slot))
}

fn slot_in(mark: u64) -> Option<usize> {
    (mark << 8 == READER_MARK << 8).then_some((mark >> 56) as usize)
}

/// Permits and slots stand in pages that may have no header; but each is marked, in the same 64 bytes as its node.
fn mark_beside(node: Node) -> Option<u64> {
    let line = node.checked_sub(IN_LINE).filter(|line| line.is_multiple_of(size_of::<LockLine>()))?;
    let record = ptr::with_exposed_provenance::<u64>(line + offset_of!(LockLine, record));
    // SAFETY: in the page of the node, which is mapped, and aligned; volatile, because it may be somebody else's memory.
    Some(unsafe { ptr::read_volatile(record) })
}
