//! By which slot this thread has come to the lock that it names as pending: see `robust_list/nested.rs`.

use std::cell::Cell;

thread_local! {
    // Without a destructor, as what is cached of the thread.
    static SLOT: Cell<u32> = const { Cell::new(0) };
}

#[inline(always)]
pub(super) fn remember(slot: u32) {
    SLOT.with(|remembered| remembered.set(slot));
}

pub(super) fn remembered() -> u32 {
    SLOT.with(Cell::get)
}
