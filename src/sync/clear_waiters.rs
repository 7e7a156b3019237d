//! The one access to lock word and epoch together: clearing the waiters bit. Why it needs the epoch: `robust_futex.rs`.

use std::sync::atomic::AtomicU32;

use super::word::WAITERS;
use crate::layout::LockLine;

/// `{W, epoch} → {0, epoch}` in one step.
///
/// The word and the epoch are 32-bit atomics everywhere else, and Rust's memory model knows no accesses of two sizes to
/// one place: so this one is assembly, which is opaque to it.
#[cfg(target_arch = "x86_64")]
pub(super) fn clear_waiters(line: &LockLine, epoch: u32) {
    let pair: *mut u64 = AtomicU32::as_ptr(&line.word).cast();
    let (old, new) = (u64::from(epoch) << 32 | u64::from(WAITERS), u64::from(epoch) << 32);
    // SAFETY: word and epoch are the two halves of 8 aligned bytes of a live lock line (asserted in `layout`); the
    // instruction writes them only when both are as expected.
    unsafe {
        std::arch::asm!(
            "lock cmpxchg qword ptr [{pair}], {new}",
            pair = in(reg) pair,
            new = in(reg) new,
            inout("rax") old => _,
            options(nostack),
        );
    }
}

/// As above. The store has release order, so that a lock from the 0 that it leaves still sees all that was unlocked.
#[cfg(target_arch = "aarch64")]
pub(super) fn clear_waiters(line: &LockLine, epoch: u32) {
    let pair: *mut u64 = AtomicU32::as_ptr(&line.word).cast();
    let (old, new) = (u64::from(epoch) << 32 | u64::from(WAITERS), u64::from(epoch) << 32);
    // SAFETY: as above.
    unsafe {
        std::arch::asm!(
            "2:",
            "ldaxr {seen}, [{pair}]",
            "cmp {seen}, {old}",
            "b.ne 3f",
            "stlxr {failed:w}, {new}, [{pair}]",
            "cbnz {failed:w}, 2b",
            "3:",
            pair = in(reg) pair,
            old = in(reg) old,
            new = in(reg) new,
            seen = out(reg) _,
            failed = out(reg) _,
            options(nostack),
        );
    }
}

/// Elsewhere the bit stays: correct, and each unlock after the first contention costs a system call.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) fn clear_waiters(_line: &LockLine, _epoch: u32) {}
