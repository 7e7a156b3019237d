//! Windows 10 and newer, and Wine.
//!
//! | what | by |
//! |---|---|
//! | segments | regular files in `%LOCALAPPDATA%\\robust-shm`, which is one user's: `directory.rs` says for whom it is open |
//! | birth | a private name, and renaming that never replaces |
//! | being a user, guard of the name, watch, slots | `LockFileEx` on single bytes at 2^62 and behind, where no file has data, because such locks keep others from reading and writing |
//! | removal | renaming to a private name, which frees the name whoever has the file open or mapped; then deletion, at once or by whoever comes by when nobody uses it any more |
//! | identity | volume and file number, 128 bits where the file system has them |
//! | mappings | `CreateFileMapping` and `MapViewOfFile` by a handle of their own: `map.rs` says why no crate does it |
//! | the end | what the system calls when the process ends, in whatever way it does so itself |
//! | forks | there are none, and one generation |
//!
//! What any system has is in `../common`.
//!
//! **Who may read a file can lock it**, for writing, too: there is no right to lock apart from that to read. So a reader
//! can make a dead holder look alive, and keep others from becoming users. That is why nobody else may read: the
//! directory gives access to its user, to the system and to administrators, whoever owns the directory above, and a mode
//! that lets others in is refused. Programs of one user are no strangers to one another, here as elsewhere.
//!
//! **Who asks for a slot locks it for a moment**, because there is no other question. Questions are for reading and are in
//! nobody's way but in that of one who takes a slot just then; he takes another. See `file_lock.rs`.
//!
//! # What has been tried
//!
//! All of it under Wine 8, which is not Windows: it reads under others' locks, keeps the name of a deleted file that is open,
//! forgets on which volume a file is that another handle has renamed, knows no allocation of files, makes modes of access lists,
//! and does not call a program at its end as Windows does (`exit.rs` has another way there). What it cannot show: access
//! control, sessions, other programs that open files in between (virus scanners), how long anything takes. Of a thread's end
//! only what `windows-gnu` makes of it (`thread.rs`): with `windows-msvc`, thread-locals are the compiler's, and go in another order.

mod access;
#[path = "../common/back_off.rs"]
mod back_off;
pub(crate) mod death;
pub(crate) mod descriptor;
pub(crate) mod directory;
mod doze;
mod exit;
pub(crate) mod file;
pub(crate) mod file_lock;
pub(crate) mod fork;
pub(crate) mod futex;
pub(crate) mod generation;
mod handle;
pub(crate) mod kernel;
mod life;
#[path = "../common/listing.rs"]
mod listing;
pub(crate) mod map;
pub(crate) mod namespace;
#[path = "../common/neighbours.rs"]
mod neighbours;
mod objects;
#[path = "../common/os_mutex.rs"]
pub(crate) mod os_mutex;
pub(crate) mod owner;
pub(crate) mod place;
pub(crate) mod process;
mod random;
#[path = "../common/robust_list.rs"]
pub(crate) mod robust_list;
#[path = "../common/seat.rs"]
pub(crate) mod seat;
mod security;
#[path = "../common/slot.rs"]
mod slot;
pub(crate) mod thread;
mod time;
#[path = "../common/unnamed.rs"]
pub(crate) mod unnamed;
#[path = "../common/zeros.rs"]
mod zeros;

pub(crate) use random::{random_id, random_place};
pub(crate) use time::{Deadline, monotonic_nanos};
