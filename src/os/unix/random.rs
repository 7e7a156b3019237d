//! Numbers at random.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use super::{generation, kernel};

/// A number that no other process is likely to come up with; who minds a collision asks again.
pub(crate) fn random_place() -> u64 {
    // Not a lazy cell: a fork by another thread would leave it locked in the child.
    static SEED: AtomicU64 = AtomicU64::new(0);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let seed = match SEED.load(Ordering::Relaxed) {
        0 => {
            let fresh = random_id()[0] | 1;
            SEED.compare_exchange(0, fresh, Ordering::Relaxed, Ordering::Relaxed).map_or_else(|first| first, |_| fresh)
        }
        known => known,
    };
    // Children of one process go on where it was: their ids set them apart.
    let seed = seed ^ u64::from(own_id()) << 32;
    // The finaliser of SplitMix64 (Steele, Lea, Flood 2014): a bijection, so one process does not repeat itself.
    let n = seed.wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ n >> 31
}

/// The id of this process, which is asked for once: a number costs no system call. (A child of a raw clone has another
/// generation, too.)
fn own_id() -> u32 {
    /// The generation in the upper half, the id in the lower.
    static KNOWN: AtomicU64 = AtomicU64::new(0);
    let generation = generation::generation();
    let known = KNOWN.load(Ordering::Relaxed);
    if known >> 32 == u64::from(generation) {
        return known as u32;
    }
    let id = std::process::id();
    KNOWN.store(u64::from(generation) << 32 | u64::from(id), Ordering::Relaxed);
    id
}

/// 128 random bits from the kernel. Uniqueness matters, secrecy does not.
pub(crate) fn random_id() -> [u64; 2] {
    let mut id = [0u64; 2];
    if kernel::fill_at_random(&mut id) {
        return id;
    }
    // Without the system call (a sandbox): std seeds its hashers at random too, and differently on each call.
    [RandomState::new().hash_one(std::process::id()), RandomState::new().hash_one(std::time::Instant::now())]
}
