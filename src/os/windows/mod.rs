//! Windows.

pub(crate) mod death;
pub(crate) mod descriptor;
pub(crate) mod directory;
mod exit;
pub(crate) mod file;
pub(crate) mod file_lock;
pub(crate) mod fork;
#[path = "../unix/futex.rs"]
pub(crate) mod futex;
pub(crate) mod generation;
mod handle;
pub(crate) mod kernel;
pub(crate) mod map;
pub(crate) mod namespace;
#[path = "../unix/neighbours.rs"]
mod neighbours;
#[path = "../unix/os_mutex.rs"]
pub(crate) mod os_mutex;
pub(crate) mod owner;
pub(crate) mod process;
mod random;
#[path = "../unix/robust_list.rs"]
pub(crate) mod robust_list;
#[path = "../unix/seat.rs"]
pub(crate) mod seat;
pub(crate) mod thread;
mod time;
#[path = "../unix/unnamed.rs"]
pub(crate) mod unnamed;

pub(crate) use random::{random_id, random_place};
pub(crate) use time::{Deadline, monotonic_nanos};
