//! Has a thread died?

use super::process::thread_exists;

/// Is the thread of this id certainly dead? One that has got the id since looks as if it were not.
pub(crate) fn is_dead_thread(tid: u32) -> bool {
    !thread_exists(tid)
}
