//! What this program asks the system for that std has no words for.
#![allow(unsafe_code)]

use std::io;

mod signals;
mod watch;

pub(crate) use signals::{Caught, ENDING, Signals, before_exec, end_by, hear_of_children, signal};
pub(crate) use watch::Watch;

/// Where the segments of all users are. The library finds them by itself: this is for the watch.
const DIRECTORY: &str = "/dev/shm";

/// The effective user id.
pub(crate) fn effective_uid() -> u32 {
    // SAFETY: takes nothing, cannot fail.
    unsafe { libc::geteuid() }
}

/// How many rows and columns the terminal has that is the standard output.
pub(crate) fn terminal_size() -> Option<(usize, usize)> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: a structure that outlives the call, which writes it.
    let result = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    (result == 0 && size.ws_row > 0 && size.ws_col > 0).then_some((size.ws_row.into(), size.ws_col.into()))
}

/// Whom a segment's file belongs to, whatever is in it.
pub(crate) fn owner_of_file(name: &str) -> io::Result<u32> {
    use std::os::unix::fs::MetadataExt;
    std::fs::symlink_metadata(std::path::Path::new(DIRECTORY).join(name)).map(|status| status.uid())
}

/// For tests, which kill this program at each of its steps: sends `SIGKILL` to the process if the environment says so, or the
/// signal that stands behind the step. Between a fork and an exec the process is the parent.
#[cfg(debug_assertions)]
pub(crate) fn die_at(step: &str, process: u32) {
    let Ok(meant) = std::env::var("ROBUST_SHM_TEST_DIE_AT") else { return };
    let (at, number) = meant.split_once(':').unwrap_or((&meant, ""));
    if at == step {
        let _ = signal(process, number.parse().unwrap_or(libc::SIGKILL));
    }
}

#[cfg(not(debug_assertions))]
pub(crate) fn die_at(_step: &str, _process: u32) {}
