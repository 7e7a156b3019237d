//! Whose a file is, where not every owner has a number.
//!
//! A user namespace has numbers for some users only. All others are shown as one, the overflow uid (65534, `nobody`),
//! which may also be the number of somebody real, or of this very process.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};

/// The effective user id.
pub(crate) fn effective_uid() -> u32 {
    // SAFETY: takes nothing, cannot fail.
    unsafe { libc::geteuid() }
}

/// Does this uid, of the owner of that file, say who that is?
pub(crate) fn is_told(file: &File, owner: u32) -> bool {
    owner != overflow_uid() || is_ours_to_change(file) || has_a_number_for_all()
}

fn overflow_uid() -> u32 {
    const UNKNOWN: u64 = u64::MAX;
    static KNOWN: AtomicU64 = AtomicU64::new(UNKNOWN);
    match KNOWN.load(Ordering::Relaxed) {
        UNKNOWN => {
            let text = fs::read_to_string("/proc/sys/kernel/overflowuid").ok();
            let uid = text.and_then(|text| text.trim().parse().ok()).unwrap_or(65534);
            KNOWN.store(u64::from(uid), Ordering::Relaxed);
            uid
        }
        known => known as u32,
    }
}

/// Does the kernel, which compares whole identities and not numbers, take this process for the owner, or for one that
/// has power over an owner with a number? `O_NOATIME` is what only such a process may ask for, and changes nothing here.
fn is_ours_to_change(file: &File) -> bool {
    // SAFETY: takes integers; the descriptor is open.
    let flags = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFL) };
    // SAFETY: as above.
    flags >= 0 && unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFL, flags | libc::O_NOATIME) } == 0
}

/// Is this the first user namespace, or one that maps as much?
fn has_a_number_for_all() -> bool {
    // user_namespaces(7): lines of three numbers, the last of which says how many users the line maps.
    let Ok(map) = fs::read_to_string("/proc/self/uid_map") else { return false };
    let mapped = map.lines().filter_map(|line| line.split_ascii_whitespace().nth(2)?.parse::<u64>().ok()).sum::<u64>();
    mapped >= u64::from(u32::MAX)
}
