//! The two futex calls. Never `FUTEX_PRIVATE_FLAG`: the word is shared between processes.

use std::io;
use std::ptr;
use std::sync::atomic::AtomicU32;

use super::Deadline;

/// Sleeps while `word` holds `expected`, until woken, interrupted by a signal, or until `deadline` (absolute,
/// `CLOCK_MONOTONIC`).
pub(crate) fn wait(word: &AtomicU32, expected: u32, deadline: Deadline) -> io::Result<()> {
    let timeout = deadline.timespec();
    // futex(2): with FUTEX_WAIT_BITSET "timeout specifies an absolute time" on CLOCK_MONOTONIC.
    // SAFETY: `word` is a live, aligned u32, and `timeout` a timespec that outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT_BITSET,
            expected,
            &raw const timeout,
            ptr::null::<u32>(),
            libc::FUTEX_BITSET_MATCH_ANY,
        )
    };
    if result == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EINTR | libc::ETIMEDOUT) => Ok(()),
        _ => Err(error),
    }
}

/// Wakes one sleeper; says whether there was one, as far as is known.
pub(crate) fn wake_one(word: &AtomicU32) -> bool {
    // SAFETY: `word` is a live, aligned u32; waking touches no memory.
    let woken = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, 1) };
    woken != 0
}

/// Wakes one sleeper on the word at this address, if there is a word; `false` where there is none.
pub(crate) fn wake_one_at(address: usize) -> bool {
    // SAFETY: the kernel checks the address, and waking touches no memory.
    let woken = unsafe { libc::syscall(libc::SYS_futex, address, libc::FUTEX_WAKE, 1) };
    // EINVAL for an aligned word: priority-inheriting sleepers, which the kernel wakes by itself.
    woken >= 0 || address.is_multiple_of(4) && io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL)
}
