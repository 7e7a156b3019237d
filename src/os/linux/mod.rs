//! Linux: robust futexes, `/dev/shm`, `flock` and open-file-description locks.
//!
//! What any Unix has as well is shared with it: those files are in `../unix`. What any system has is in `../common`.

pub(crate) mod death;
#[path = "../unix/descriptor.rs"]
pub(crate) mod descriptor;
pub(crate) mod directory;
#[path = "../unix/file.rs"]
pub(crate) mod file;
pub(crate) mod file_lock;
#[path = "../unix/flock.rs"]
mod flock;
#[path = "../unix/fork.rs"]
pub(crate) mod fork;
pub(crate) mod futex;
#[path = "../unix/generation.rs"]
pub(crate) mod generation;
pub(crate) mod kernel;
pub(crate) mod map;
pub(crate) mod namespace;
#[path = "../common/neighbours.rs"]
mod neighbours;
pub(crate) mod os_mutex;
pub(crate) mod owner;
#[path = "../common/place.rs"]
pub(crate) mod place;
pub(crate) mod process;
#[path = "../unix/random.rs"]
mod random;
pub(crate) mod robust_list;
mod room;
#[path = "../common/seat.rs"]
pub(crate) mod seat;
#[path = "../common/slot.rs"]
mod slot;
#[path = "../unix/standard.rs"]
mod standard;
#[path = "../unix/thread.rs"]
pub(crate) mod thread;
#[path = "../unix/time.rs"]
mod time;
pub(crate) mod unnamed;
#[path = "../common/zeros.rs"]
mod zeros;

pub(crate) use random::{random_id, random_place};
pub(crate) use time::{Deadline, monotonic_nanos};
