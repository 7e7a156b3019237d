//! The futex calls, to sleep and to wake, on the lower half of a word of 64 bits. Never `FUTEX_PRIVATE_FLAG`: the word is shared between
//! processes.

use std::io;
use std::ptr;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use super::Deadline;

/// In a word of the kernel's robust format: somebody may sleep on it.
pub(crate) const WAITERS: u32 = libc::FUTEX_WAITERS;
/// The owner died.
pub(crate) const OWNER_DIED: u32 = libc::FUTEX_OWNER_DIED;
/// The owner's thread id.
pub(crate) const TID: u32 = libc::FUTEX_TID_MASK;

/// As the kernel takes it.
pub(super) fn timespec_of(deadline: Deadline) -> libc::timespec {
    libc::timespec { tv_sec: deadline.seconds, tv_nsec: deadline.nanos }
}

/// Sleeps, as one of these classes (a bit set), while the lower half of `word` is `expected`, until woken, interrupted by a signal, or
/// until `deadline` (absolute, `CLOCK_MONOTONIC`). Was it woken? Then it has consumed a wake-up, and otherwise none.
pub(crate) fn wait(word: &AtomicU64, expected: u32, classes: u32, deadline: Deadline) -> io::Result<bool> {
    // The lower half: little-endian.
    // SAFETY: a live, aligned u32.
    unsafe { wait_at(word.as_ptr().cast(), expected, classes, deadline) }
}

/// # Safety
///
/// `word` must point to a live, aligned u32.
unsafe fn wait_at(word: *const u32, expected: u32, classes: u32, deadline: Deadline) -> io::Result<bool> {
    let timeout = timespec_of(deadline);
    // futex(2): with FUTEX_WAIT_BITSET "timeout specifies an absolute time" on CLOCK_MONOTONIC.
    // SAFETY: by the contract of this function; and `timeout` is a timespec that outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word,
            libc::FUTEX_WAIT_BITSET,
            expected,
            &raw const timeout,
            ptr::null::<u32>(),
            classes,
        )
    };
    answer(result)
}

/// What a sleep came to: was it ended by a wake-up?
fn answer(result: libc::c_long) -> io::Result<bool> {
    if result >= 0 {
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
    wake_of(word.as_ptr().cast(), 1, classes) // the lower half: little-endian
}

/// Was there one?
fn wake_of(word: *const u32, most: libc::c_int, classes: u32) -> io::Result<bool> {
    // SAFETY: the kernel checks the address, and waking touches no memory.
    let woken = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word,
            libc::FUTEX_WAKE_BITSET,
            most,
            ptr::null::<libc::timespec>(),
            ptr::null::<u32>(),
            classes,
        )
    };
    if woken < 0 { Err(io::Error::last_os_error()) } else { Ok(woken > 0) }
}

/// [`wait`] on a word of 32 bits, in no class.
pub(crate) fn wait_on(word: &AtomicU32, expected: u32, deadline: Deadline) -> io::Result<bool> {
    // SAFETY: `word` is a live, aligned u32.
    unsafe { wait_at(word.as_ptr(), expected, libc::FUTEX_BITSET_MATCH_ANY as u32, deadline) }
}

/// [`wait`] on a word of 32 bits.
pub(crate) fn wait_in(word: &AtomicU32, expected: u32, classes: u32, deadline: Deadline) -> io::Result<bool> {
    // SAFETY: `word` is a live, aligned u32.
    unsafe { wait_at(word.as_ptr(), expected, classes, deadline) }
}

/// [`wake_one`] on a word of 32 bits, of any class.
pub(crate) fn wake_one_on(word: &AtomicU32) -> io::Result<bool> {
    wake_of(word.as_ptr(), 1, libc::FUTEX_BITSET_MATCH_ANY as u32)
}

/// So many words can one sleep on at once.
const MOST: usize = 128;

/// `struct futex_waitv` of `linux/futex.h`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Waitv {
    val: u64,
    uaddr: u64,
    flags: u32,
    reserved: u32,
}

/// `FUTEX_32`, or `FUTEX2_SIZE_U32`; shared between processes.
const OF_32_BITS: u32 = 2;
const SYS_FUTEX_WAITV: libc::c_long = 449; // on all architectures

/// Can [`wait_for_any`] be called? Found out by trying, once: the call is younger than some kernels (Linux 5.16), and sandboxes
/// may not know it.
pub(crate) fn can_wait_for_many() -> bool {
    static ANSWER: AtomicU8 = AtomicU8::new(UNASKED);
    const UNASKED: u8 = 0;
    const YES: u8 = 1;
    const NO: u8 = 2;
    match ANSWER.load(Ordering::Relaxed) {
        UNASKED => {
            // SAFETY: no words.
            unsafe { libc::syscall(SYS_FUTEX_WAITV, ptr::null::<Waitv>(), 0, 0, ptr::null::<libc::timespec>(), 0) };
            let can = io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL);
            ANSWER.store(if can { YES } else { NO }, Ordering::Relaxed);
            can
        }
        answer => answer == YES,
    }
}

/// Sleeps while `zero` is 0 and the lower half of each word is what stands beside it, as [`wait`].
pub(crate) fn wait_for_any<'a>(
    zero: &AtomicU32,
    words: impl Iterator<Item = (&'a AtomicU64, u32)>,
    deadline: Deadline,
) -> io::Result<bool> {
    let of = |address: *const u32, val: u32| Waitv {
        val: val.into(),
        uaddr: address.expose_provenance() as u64,
        flags: OF_32_BITS,
        reserved: 0,
    };
    let mut all = [of(zero.as_ptr(), 0); MOST];
    let mut count = 1;
    for (place, (word, expected)) in all[1..].iter_mut().zip(words) {
        *place = of(word.as_ptr().cast(), expected); // the lower half: little-endian
        count += 1;
    }
    let timeout = timespec_of(deadline);
    // SAFETY: `count` elements, whose words are live, aligned u32s; a timespec that outlives the call.
    let result =
        unsafe { libc::syscall(SYS_FUTEX_WAITV, all.as_ptr(), count, 0, &raw const timeout, libc::CLOCK_MONOTONIC) };
    answer(result)
}

/// Wakes all that sleep on the word.
pub(crate) fn wake_all(word: &AtomicU64) -> io::Result<()> {
    wake_all_of(word, libc::FUTEX_BITSET_MATCH_ANY as u32)
}

/// Wakes all that sleep on the word and are of any of these classes.
pub(crate) fn wake_all_of(word: &AtomicU64, classes: u32) -> io::Result<()> {
    wake_of(word.as_ptr().cast(), libc::c_int::MAX, classes).map(drop) // the lower half: little-endian
}

/// Moves all that sleep on `from` while that is `expected`, with their classes, to where they sleep on the lower half of `to`.
pub(crate) fn move_all(from: &AtomicU32, expected: u32, to: &AtomicU64) -> io::Result<()> {
    // How many it moves, the kernel's answer does not tell everywhere.
    // SAFETY: the kernel checks both addresses, and moving touches no memory.
    let moved = unsafe {
        libc::syscall(
            libc::SYS_futex,
            from.as_ptr(),
            libc::FUTEX_CMP_REQUEUE,
            0,                                    // to wake
            libc::c_long::from(libc::c_int::MAX), // to move; stands in the place of the timeout
            to.as_ptr().cast::<u32>(),            // the lower half: little-endian
            expected,
        )
    };
    if moved < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Wakes one sleeper on the word at this address, if there is a word; `false` where there is none.
pub(crate) fn wake_one_at(address: usize) -> bool {
    // SAFETY: the kernel checks the address, and waking touches no memory.
    let woken = unsafe { libc::syscall(libc::SYS_futex, address, libc::FUTEX_WAKE, 1) };
    // EINVAL for an aligned word: priority-inheriting sleepers, which the kernel wakes by itself.
    woken >= 0 || address.is_multiple_of(4) && io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL)
}
