//! Windows.

pub(crate) mod death;
pub(crate) mod descriptor;
pub(crate) mod directory;
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
#[path = "../linux/neighbours.rs"]
mod neighbours;
pub(crate) mod owner;
pub(crate) mod process;
pub(crate) mod pthread;
mod random;
#[path = "../unix/robust_list.rs"]
pub(crate) mod robust_list;
#[path = "../linux/seat.rs"]
pub(crate) mod seat;
pub(crate) mod thread;
mod time;
#[path = "../unix/unnamed.rs"]
pub(crate) mod unnamed;

pub(crate) use random::{random_id, random_place};
pub(crate) use time::{Deadline, monotonic_nanos};
