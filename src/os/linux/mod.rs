//! Linux: robust futexes, `/dev/shm`, `flock` and open-file-description locks, fork and exit hooks.
//!
//! Built with `--cfg robust_shm_unix`, segments live as on any other Unix: regular files, and locks that are in no list and are
//! waited for by looking, from `../unix`.

pub(crate) mod death;
pub(crate) mod descriptor;
#[cfg_attr(robust_shm_unix, path = "../unix/directory.rs")]
pub(crate) mod directory;
pub(crate) mod file;
pub(crate) mod file_lock;
pub(crate) mod fork;
#[cfg_attr(robust_shm_unix, path = "../unix/futex.rs")]
pub(crate) mod futex;
pub(crate) mod generation;
pub(crate) mod kernel;
#[cfg_attr(robust_shm_unix, path = "../unix/map.rs")]
pub(crate) mod map;
pub(crate) mod namespace;
mod neighbours;
pub(crate) mod owner;
pub(crate) mod process;
pub(crate) mod pthread;
mod random;
#[cfg_attr(robust_shm_unix, path = "../unix/robust_list.rs")]
pub(crate) mod robust_list;
pub(crate) mod seat;
pub(crate) mod thread;
mod time;
#[cfg_attr(robust_shm_unix, path = "../unix/unnamed.rs")]
pub(crate) mod unnamed;

pub(crate) use random::{random_id, random_place};
pub(crate) use time::{Deadline, monotonic_nanos};
