//! Linux: robust futexes, `/dev/shm`, `flock` and open-file-description locks, fork and exit hooks.

pub(crate) mod death;
pub(crate) mod descriptor;
pub(crate) mod directory;
pub(crate) mod file;
pub(crate) mod file_lock;
pub(crate) mod fork;
pub(crate) mod futex;
pub(crate) mod generation;
pub(crate) mod kernel;
pub(crate) mod map;
pub(crate) mod namespace;
pub(crate) mod owner;
pub(crate) mod process;
pub(crate) mod pthread;
mod random;
pub(crate) mod robust_list;
pub(crate) mod seat;
pub(crate) mod thread;
mod time;

pub(crate) use random::{random_id, random_place};
pub(crate) use time::{Deadline, monotonic_nanos};
