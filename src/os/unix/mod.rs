//! Any Unix: regular files in a directory of one user, mapped by `memmap2`; locks that are in no list and are waited for by
//! looking; processes that are told from their ancestors by their ids.
//!
//! macOS and FreeBSD are this, and Linux under `--cfg robust_shm_unix`, so that the suite runs here on what nobody can run
//! elsewhere. What is one system's alone are the few calls in `kernel.rs` and `directory.rs` that have another name on each.

mod beside;
pub(crate) mod death;
pub(crate) mod descriptor;
pub(crate) mod directory;
pub(crate) mod file;
pub(crate) mod file_lock;
mod flock;
pub(crate) mod fork;
pub(crate) mod futex;
pub(crate) mod generation;
pub(crate) mod kernel;
pub(crate) mod map;
mod named_lock;
pub(crate) mod namespace;
mod neighbours;
pub(crate) mod os_mutex;
pub(crate) mod owner;
pub(crate) mod place;
pub(crate) mod process;
mod random;
pub(crate) mod robust_list;
mod room;
pub(crate) mod seat;
mod standard;
pub(crate) mod thread;
mod time;
pub(crate) mod unnamed;
mod zeros;

pub(crate) use random::{random_id, random_place};
pub(crate) use time::{Deadline, monotonic_nanos};
