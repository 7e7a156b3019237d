//! Has a thread died?

use super::{life, thread};

/// Is the thread of this id certainly dead? It is asked by its life, of which nothing depends on a list of locks.
pub(crate) fn is_dead_thread(number: u32) -> bool {
    has_ended(number)
}

/// Has the thread ended that has made itself known by this number? "No" if its process is gone as well, and when that cannot
/// be asked: then the presence bytes tell.
pub(crate) fn has_ended(number: u32) -> bool {
    // One's own in another's place is a dead namesake's, of whom nothing is left.
    number != thread::number() && matches!(life::of(number), Ok(Some(life)) if life.has_ended().unwrap_or(false))
}
