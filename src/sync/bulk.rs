//! Copies of many words out of shared memory and into it, which another process may write or read at the same time.
//!
//! To copy word by word with relaxed atomics is what the memory model offers, and compilers do not vectorise it. Here
//! the words go 64 bytes at a time through assembly, which is opaque to the model. What a copy finds half-written is
//! sorted out by whoever asked for it (`commit.rs`), so no promise is made but that each byte is one that stood there.
//!
//! Both architectures keep the order that the fences around a copy ask for: x86 keeps loads in order and stores in
//! order, and the fences of aarch64 are instructions that cover all accesses before or behind them.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::fault::point;

/// The words that one round of assembly copies.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const ROUND: usize = 8;
/// Elsewhere no round ever fits, and the words go one by one.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const ROUND: usize = usize::MAX;

/// Asks for the first cache line of the words, which will be read soon.
#[inline(always)]
pub(super) fn prefetch(words: &[AtomicU64]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint: it reads nothing that the program sees, and does not fault.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(words.as_ptr().cast()) };
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{}]", in(reg) words.as_ptr(), options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = words;
}

/// Copies all words of `from` to `to`.
///
/// # Safety
///
/// `to` is room for `from.len() * 8` bytes, of any alignment, which nobody else uses meanwhile.
#[inline(always)]
pub(super) unsafe fn load(from: &[AtomicU64], to: *mut u8) {
    let rounds = from.len() / ROUND;
    if rounds > 0 {
        // SAFETY: `rounds * ROUND` words stand in `from`, and `to` has room for all of them.
        unsafe { copy(from.as_ptr().cast(), to, rounds) };
    }
    for (index, word) in from.iter().enumerate().skip(rounds.saturating_mul(ROUND)) {
        // SAFETY: `to` has room for every word of `from`.
        let place = unsafe { to.add(index * 8) };
        // SAFETY: as above, and nobody else uses it.
        unsafe { place.cast::<u64>().write_unaligned(word.load(Ordering::Relaxed)) };
    }
}

/// Copies as many words to `to` as it has, from `from`.
///
/// # Safety
///
/// `from` is `to.len() * 8` readable bytes, of any alignment, which nobody changes meanwhile.
#[inline(always)]
pub(super) unsafe fn store(to: &[AtomicU64], from: *const u8) {
    let rounds = to.len() / ROUND;
    if rounds > 0 {
        // SAFETY: `rounds * ROUND` words stand in both.
        unsafe { copy(from, to.as_ptr().cast_mut().cast(), rounds) };
        point!("commit: rounds written");
    }
    for (index, word) in to.iter().enumerate().skip(rounds.saturating_mul(ROUND)) {
        // SAFETY: `from` has a word for each of `to`.
        let place = unsafe { from.add(index * 8) };
        // SAFETY: as above.
        word.store(unsafe { place.cast::<u64>().read_unaligned() }, Ordering::Relaxed);
        point!("commit: word written");
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
/// Copies `rounds` (at least one) times 64 bytes.
///
/// # Safety
///
/// So many bytes can be read at `from` and written at `to`. Others may be at them meanwhile who know what that means.
unsafe fn copy(from: *const u8, to: *mut u8, rounds: usize) {
    // SAFETY: reads and writes just `rounds * 64` bytes at the two places, by the caller's contract.
    unsafe {
        std::arch::asm!(
            "2:",
            "movdqu {a}, xmmword ptr [{from}]",
            "movdqu {b}, xmmword ptr [{from} + 16]",
            "movdqu {c}, xmmword ptr [{from} + 32]",
            "movdqu {d}, xmmword ptr [{from} + 48]",
            "movdqu xmmword ptr [{to}], {a}",
            "movdqu xmmword ptr [{to} + 16], {b}",
            "movdqu xmmword ptr [{to} + 32], {c}",
            "movdqu xmmword ptr [{to} + 48], {d}",
            "add {from}, 64",
            "add {to}, 64",
            "dec {rounds}",
            "jnz 2b",
            from = inout(reg) from => _,
            to = inout(reg) to => _,
            rounds = inout(reg) rounds => _,
            a = out(xmm_reg) _,
            b = out(xmm_reg) _,
            c = out(xmm_reg) _,
            d = out(xmm_reg) _,
            options(nostack),
        );
    }
}

#[cfg(target_arch = "aarch64")]
#[inline]
/// Copies `rounds` (at least one) times 64 bytes.
///
/// # Safety
///
/// So many bytes can be read at `from` and written at `to`. Others may be at them meanwhile who know what that means.
unsafe fn copy(from: *const u8, to: *mut u8, rounds: usize) {
    // SAFETY: reads and writes just `rounds * 64` bytes at the two places, by the caller's contract.
    unsafe {
        std::arch::asm!(
            "2:",
            "ldp {a:q}, {b:q}, [{from}]",
            "ldp {c:q}, {d:q}, [{from}, #32]",
            "stp {a:q}, {b:q}, [{to}]",
            "stp {c:q}, {d:q}, [{to}, #32]",
            "add {from}, {from}, #64",
            "add {to}, {to}, #64",
            "subs {rounds}, {rounds}, #1",
            "b.ne 2b",
            from = inout(reg) from => _,
            to = inout(reg) to => _,
            rounds = inout(reg) rounds => _,
            a = out(vreg) _,
            b = out(vreg) _,
            c = out(vreg) _,
            d = out(vreg) _,
            options(nostack),
        );
    }
}

/// Stands in where no round ever fits.
///
/// # Safety
///
/// None is needed: it is never called.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
unsafe fn copy(_from: *const u8, _to: *mut u8, _rounds: usize) {
    unreachable!("no slice of words is that long")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_copied_whole_and_nothing_beyond() {
        for len in 0..100usize {
            let words: Vec<AtomicU64> =
                (0..len as u64).map(|i| AtomicU64::new(i.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
            let mut bytes = vec![0xAA_u8; len * 8 + 16];
            // SAFETY: one byte off alignment, with room behind.
            let to = unsafe { bytes.as_mut_ptr().add(1) };
            // SAFETY: room for all words.
            unsafe { load(&words, to) };
            for (index, word) in words.iter().enumerate() {
                let found: [u8; 8] = bytes[1 + index * 8..][..8].try_into().unwrap();
                assert_eq!(u64::from_ne_bytes(found), word.load(Ordering::Relaxed), "word {index} of {len}");
            }
            assert_eq!((bytes[0], bytes[1 + len * 8]), (0xAA, 0xAA), "{len} words");

            let back: Vec<AtomicU64> = (0..=len).map(|_| AtomicU64::new(u64::MAX)).collect();
            let from = bytes[1..].as_ptr();
            // SAFETY: as many words as were put there.
            unsafe { store(&back[..len], from) };
            assert!((0..len).all(|i| back[i].load(Ordering::Relaxed) == words[i].load(Ordering::Relaxed)));
            assert_eq!(back[len].load(Ordering::Relaxed), u64::MAX);
        }
    }
}
