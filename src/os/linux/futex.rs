//! The two futex calls, on the lower half of a word of 64 bits. Never `FUTEX_PRIVATE_FLAG`: the word is shared between
//! processes.

use std::io;
use std::ptr;
use std::sync::atomic::AtomicU64;

use super::Deadline;

/// In a word of the kernel's robust format: somebody may sleep on it.
pub(crate) const WAITERS: u32 = libc::FUTEX_WAITERS;
/// The owner died.
pub(crate) const OWNER_DIED: u32 = libc::FUTEX_OWNER_DIED;
/// The owner's thread id.
pub(crate) const TID: u32 = libc::FUTEX_TID_MASK;

/// Sleeps, as one of these classes (a bit set), while the lower half of `word` is `expected`, until woken, interrupted by a signal, or
/// until `deadline` (absolute, `CLOCK_MONOTONIC`). Was it woken? Then it has consumed a wake-up, and otherwise none.
pub(crate) fn wait(word: &AtomicU64, expected: u32, classes: u32, deadline: Deadline) -> io::Result<bool> {
    let timeout = deadline.timespec();
    // futex(2): with FUTEX_WAIT_BITSET "timeout specifies an absolute time" on CLOCK_MONOTONIC.
    // SAFETY: the lower half of `word` is a live, aligned u32, and `timeout` a timespec that outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr().cast::<u32>(), // the lower half: little-endian
            libc::FUTEX_WAIT_BITSET,
            expected,
            &raw const timeout,
            ptr::null::<u32>(),
            classes,
        )
    };
    if result == 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EINTR | libc::ETIMEDOUT) => Ok(false),
        _ => Err(error),
    }
}

/// Wakes the one that has slept longest of those that are of any of these classes. Was there one?
pub(crate) fn wake_one(word: &AtomicU64, classes: u32) -> io::Result<bool> {
    // SAFETY: the lower half of `word` is a live, aligned u32; waking touches no memory.
    let woken = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr().cast::<u32>(), // the lower half: little-endian
            libc::FUTEX_WAKE_BITSET,
            1,
            ptr::null::<libc::timespec>(),
            ptr::null::<u32>(),
            classes,
        )
    };
    if woken < 0 { Err(io::Error::last_os_error()) } else { Ok(woken > 0) }
}

/// Wakes one sleeper on the word at this address, if there is a word; `false` where there is none.
pub(crate) fn wake_one_at(address: usize) -> bool {
    // SAFETY: the kernel checks the address, and waking touches no memory.
    let woken = unsafe { libc::syscall(libc::SYS_futex, address, libc::FUTEX_WAKE, 1) };
    // EINVAL for an aligned word: priority-inheriting sleepers, which the kernel wakes by itself.
    woken >= 0 || address.is_multiple_of(4) && io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL)
}
