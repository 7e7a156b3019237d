//! Linux: robust futexes, `/dev/shm`, `flock` and open-file-description locks, fork and exit hooks.

pub(crate) mod file;
pub(crate) mod futex;
pub(crate) mod process;
pub(crate) mod robust_list;
pub(crate) mod thread;
mod time;

pub(crate) use time::Deadline;

use std::hash::{BuildHasher, RandomState};

/// 128 random bits from the kernel. Uniqueness matters, secrecy does not.
pub(crate) fn random_id() -> [u64; 2] {
    let mut id = [0u64; 2];
    let wanted = size_of_val(&id);
    // SAFETY: the pointer and the length describe `id`, which is plain old data.
    let got = unsafe { libc::getrandom(id.as_mut_ptr().cast(), wanted, 0) };
    if usize::try_from(got) == Ok(wanted) {
        return id;
    }
    // Without the system call (a sandbox): std seeds its hashers at random too, and differently on each call.
    [RandomState::new().hash_one(std::process::id()), RandomState::new().hash_one(std::time::Instant::now())]
}
