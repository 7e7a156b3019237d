//! Sleeping on a word in shared memory, where the system has no call for that: all who sleep look by themselves.

use std::io;
use std::sync::atomic::AtomicU64;

use super::back_off::ALL;

pub(crate) use super::back_off::{
    OWNER_DIED, TID, WAITERS, can_wait_for_many, move_all, wait, wait_for_any, wait_in, wait_on, wake_all, wake_all_of,
    wake_one_on,
};

/// Would wake one who sleeps. Is there one who is to be waited for?
#[allow(clippy::unnecessary_wraps, reason = "as where there is a call")]
pub(crate) fn wake_one(_word: &AtomicU64, classes: u32) -> io::Result<bool> {
    Ok(classes != ALL)
}
