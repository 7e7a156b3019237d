//! Sleeping on a word in shared memory: for a lock by kernel objects (`place.rs`), for all else by a bounded back-off.
//!
//! Windows has no call that sleeps on a word that processes share. Whoever wants a lock, and nothing but that, has a place in a
//! queue, and is told. Whoever waits for what its holders do, for readers or for a permit, looks by himself, as on a
//! Unix without such a call.

use std::io;
use std::sync::atomic::AtomicU64;

use super::place;

pub(crate) use super::back_off::{
    OWNER_DIED, TID, WAITERS, can_wait_for_many, move_all, wait, wait_for_any, wait_in, wait_on, wake_all, wake_all_of,
    wake_one_on,
};

/// Those who sleep in places: for the lock, and the one for whom it is kept.
const IN_PLACES: u32 = 1 | 32;

/// Tells one who sleeps in a place, if that is asked for. Is there one who is to be waited for?
pub(crate) fn wake_one(word: &AtomicU64, classes: u32) -> io::Result<bool> {
    let others = classes & !IN_PLACES != 0;
    Ok(classes & IN_PLACES != 0 && place::tell(word)? || others)
}
