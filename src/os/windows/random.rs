//! Numbers at random.

use std::hash::{BuildHasher, RandomState};
use std::ptr;

use windows_sys::Win32::Security::Cryptography::{BCRYPT_USE_SYSTEM_PREFERRED_RNG, BCryptGenRandom};

/// A number that no other process is likely to come up with; who minds a collision asks again.
pub(crate) fn random_place() -> u64 {
    random_id()[0]
}

/// 128 random bits from the system. Uniqueness matters, secrecy does not.
pub(crate) fn random_id() -> [u64; 2] {
    let mut id = [0u64; 2];
    let len = size_of_val(&id) as u32;
    // SAFETY: the pointer and the length describe `id`, which is plain old data.
    let status =
        unsafe { BCryptGenRandom(ptr::null_mut(), id.as_mut_ptr().cast(), len, BCRYPT_USE_SYSTEM_PREFERRED_RNG) };
    if status == 0 {
        return id;
    }
    // Without it: std seeds its hashers at random too, and differently on each call.
    [RandomState::new().hash_one(std::process::id()), RandomState::new().hash_one(std::time::Instant::now())]
}
