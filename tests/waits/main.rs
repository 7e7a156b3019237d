//! Waiting for what another process does: for a change of a value, and for a condition of a lock; whoever is killed.
//!
//! ```sh
//! cargo test --test waits                                                              # some seconds of storm
//! ROBUST_SHM_STORM_SECONDS=120 cargo test --release --test waits storm -- --nocapture  # thousands of kills
//! ```
#![allow(unsafe_code)]

mod calls;
mod changes;
mod conditions;
#[path = "../support/deaths.rs"]
mod deaths;
mod neighbours;
mod stopped;
mod storm;
#[path = "../support/mod.rs"]
mod support;

use robust_shm::LockKind;

#[test]
fn child() {
    let roles = [
        changes::ROLES,
        conditions::ROLES,
        #[cfg(target_os = "linux")]
        calls::ROLES,
        #[cfg(target_os = "linux")]
        neighbours::ROLES,
        #[cfg(target_os = "linux")]
        stopped::ROLES,
        #[cfg(target_os = "linux")]
        storm::ROLES,
    ];
    support::play(&roles.concat());
}

/// The kinds of lock with which one can wait. With the second one, the kernel tells nobody of a death.
fn kinds() -> impl Iterator<Item = LockKind> {
    [LockKind::Futex, LockKind::File].into_iter().filter(|kind| kind.is_available())
}

/// The lock word.
fn word(name: &str) -> [u32; 2] {
    let bytes = std::fs::read(support::path(name)).unwrap();
    [520, 524].map(|at| u32::from_ne_bytes(std::array::from_fn(|i| bytes[at + i])))
}

/// A number in the wait line.
fn wait_line(name: &str, at: usize) -> u32 {
    let bytes = std::fs::read(support::path(name)).unwrap();
    u32::from_ne_bytes(std::array::from_fn(|i| bytes[576 + at + i]))
}
