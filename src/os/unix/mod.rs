//! Any Unix: regular files in a directory of one user, mapped by `memmap2`; locks that are in no list and are waited for by
//! looking; processes that are told from their ancestors by their ids.
//!
//! macOS and FreeBSD are this, and Linux under `--cfg robust_shm_unix`, so that the suite runs here on what nobody can run
//! elsewhere. What is one system's alone are the few calls in `kernel.rs` and `directory.rs` that have another name on each.

#[path = "../common/back_off.rs"]
mod back_off;
mod beside;
pub(crate) mod death;
pub(crate) mod descriptor;
pub(crate) mod directory;
mod doze;
pub(crate) mod file;
pub(crate) mod file_lock;
mod flock;
pub(crate) mod fork;
pub(crate) mod futex;
pub(crate) mod generation;
pub(crate) mod kernel;
#[path = "../common/listing.rs"]
mod listing;
pub(crate) mod map;
mod named_lock;
pub(crate) mod namespace;
#[path = "../common/neighbours.rs"]
mod neighbours;
#[path = "../common/os_mutex.rs"]
pub(crate) mod os_mutex;
pub(crate) mod owner;
#[path = "../common/place.rs"]
pub(crate) mod place;
pub(crate) mod process;
mod random;
#[path = "../common/robust_list.rs"]
pub(crate) mod robust_list;
mod room;
#[path = "../common/seat.rs"]
pub(crate) mod seat;
#[path = "../common/slot.rs"]
mod slot;
mod standard;
pub(crate) mod thread;
mod time;
#[path = "../common/unnamed.rs"]
pub(crate) mod unnamed;
#[path = "../common/zeros.rs"]
mod zeros;

pub(crate) use random::{random_id, random_place};
pub(crate) use time::{Deadline, monotonic_nanos};
