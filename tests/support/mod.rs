//! Child processes for tests: the test binary runs itself again with a role, keeps the child's output, and bounds
//! every wait. Nothing survives a test, even one that fails: children are killed when their handle is dropped.
//!
//! What is here is for every system, but for `forked` (any Unix), and `linux`, which asks `/proc` who sleeps and who works.
#![allow(dead_code, unreachable_pub, unused_imports, unused_macros, reason = "each test binary uses its own part")]

use std::time::Duration;

use robust_shm::LockKind;

mod files;
#[cfg(unix)]
mod forked;
mod messages;
mod names;
mod needs;
mod panics;
mod patience;
mod random;
mod roles;
#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "elsewhere.rs")]
mod system;
mod waits;

pub use files::FileExt;
#[cfg(unix)]
pub use forked::{Forked, end_with, fork};
pub(crate) use messages::assert_error;
pub use messages::check;
pub use names::{Family, Scratch, directory, exists, member, path};
pub use needs::*;
pub use panics::panic_of;
pub use patience::Stopwatch;
pub use random::Random;
pub use roles::{
    Body, Heard, Role, kind, pause, play, ready_to_die, say, spawn, spawn_of, spawn_program, spawn_through,
};
pub use system::*;
pub use waits::{until, until_all_sleep, within_limit};

/// The longest that any test waits for anything. On very slow machines build with `ROBUST_SHM_TEST_LIMIT_SECONDS=900`.
/// Who waits for something that nobody works at fails sooner.
pub const LIMIT: Duration = Duration::from_secs(match option_env!("ROBUST_SHM_TEST_LIMIT_SECONDS") {
    Some(seconds) => match u64::from_str_radix(seconds, 10) {
        Ok(seconds) => seconds,
        Err(_) => panic!("ROBUST_SHM_TEST_LIMIT_SECONDS is not a number of seconds"),
    },
    None => 120,
});

/// For more than the owner alone, where a segment can be for others.
#[cfg(unix)]
pub const WIDER_MODE: u32 = 0o644;
#[cfg(not(unix))]
pub const WIDER_MODE: u32 = 0o600;

/// What controls a terminal, as far as a name may have that in it.
#[cfg(unix)]
pub const CONTROLS: &str = "\n\u{1b}[31m\u{7f}";
#[cfg(not(unix))]
pub const CONTROLS: &str = "";

/// By how much a process costs more to start here than on Linux: storms have so many fewer.
pub const COST_OF_A_PROCESS: usize = if cfg!(windows) { 10 } else { 1 };

/// The kinds of lock that there are here.
pub const KINDS: [LockKind; 3] = [LockKind::Futex, LockKind::File, LockKind::OsMutex];

/// Makes a test of each kind of lock from what takes one: all but what needs to hear of the death of a holder. What is not
/// available is no kind that anybody gets.
macro_rules! with_each_kind {
    ($($(#[$attribute:meta])* $name:ident,)*) => {$(
        $(#[$attribute])*
        mod $name {
            use robust_shm::LockKind;

            #[test]
            fn futex() {
                on(LockKind::Futex);
            }

            #[test]
            fn file() {
                on(LockKind::File);
            }

            #[test]
            fn os_mutex() {
                on(LockKind::OsMutex);
            }

            fn on(kind: LockKind) {
                if kind.is_available() {
                    super::$name(kind);
                }
            }
        }
    )*};
}
pub(crate) use with_each_kind;
