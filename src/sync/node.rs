//! Which nodes of a robust list lie in the lock lines of segments.
//!
//! A node's address says nothing about that: in another process, of another PID namespace, the same address and the same
//! thread id may stand for something else, and libc's own mutexes are in the same list. But in front of a lock line, in the
//! same page, stands the header of its segment.

use std::mem::offset_of;
use std::ptr;

use crate::layout::{Header, LOCK_OFFSET, LockLine, MAGIC, PAGE, PERMIT_MARK};
use crate::os::robust_list::{Node, RobustList};

/// Where the node of a lock line is in its page.
const IN_PAGE: usize = LOCK_OFFSET + IN_LINE;

/// Where it is in its line.
const IN_LINE: usize =
    offset_of!(LockLine, word).wrapping_add_signed(RobustList::NODE.start + size_of::<usize>() as isize);

const _: () = assert!(IN_PAGE + size_of::<usize>() <= PAGE);

/// The id of the segment in whose lock line this node lies; `None` if it lies elsewhere. The node must be in mapped memory.
pub(super) fn segment_of(node: Node) -> Option<[u64; 2]> {
    let page = node.checked_sub(IN_PAGE).filter(|page| page.is_multiple_of(PAGE))?;
    let read = |offset: usize| {
        let word = ptr::with_exposed_provenance::<u64>(page + offset);
        // SAFETY: in the page of the node, which is mapped, and aligned; volatile, because it may be somebody else's memory.
        unsafe { ptr::read_volatile(word) }
    };
    let is_segment = read(offset_of!(Header, magic)) == u64::from_ne_bytes(MAGIC);
    is_segment.then(|| [read(offset_of!(Header, id)), read(offset_of!(Header, id) + 8)])
}

/// Does it lie in the lock line of a segment, or in a permit?
pub(super) fn is_in_segment(node: Node) -> bool {
    segment_of(node).is_some() || is_in_permit(node)
}

/// Permits stand in pages that have no header; but each is marked, in the same 64 bytes as its node.
fn is_in_permit(node: Node) -> bool {
    let line = node.checked_sub(IN_LINE).filter(|line| line.is_multiple_of(size_of::<LockLine>()));
    line.is_some_and(|line| {
        let record = ptr::with_exposed_provenance::<u64>(line + offset_of!(LockLine, record));
        // SAFETY: in the page of the node, which is mapped, and aligned; volatile, because it may be somebody else's memory.
        unsafe { ptr::read_volatile(record) == PERMIT_MARK }
    })
}
