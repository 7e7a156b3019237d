//! Has a thread died? Where there are no robust lists, nobody is asked: what a lock tells of its holder is his slot.

/// Is the thread of this id certainly dead? That nothing tells.
pub(crate) fn is_dead_thread(_tid: u32) -> bool {
    false
}

/// Has the thread ended that has made itself known by this id, where threads do that?
#[inline(always)]
pub(crate) fn has_ended(_tid: u32) -> bool {
    false
}
