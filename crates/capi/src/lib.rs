//! The C face of robust-shm. What C programs see is `include/robust_shm.h`, made of the comments in this source; how it is
//! meant is in `README.md`.
//!
//! Handles are opaque, and all threads may use one at once. There are no guards: who holds a lock is its thread, and the handle
//! knows it (`held.rs`). No panic crosses the border (`code.rs`), and no pointer of a C program is kept.
#![allow(non_camel_case_types, reason = "as C has them")]
#![allow(missing_debug_implementations, reason = "nobody prints what C programs have pointers to")]
#![allow(
    clippy::missing_safety_doc,
    reason = "the header says what C programs must keep to, for all functions at once"
)]

pub mod arguments;
pub mod array;
pub mod code;
pub mod condvar;
pub mod event;
mod held;
pub mod lock;
mod opening;
pub mod options;
pub mod rwlock;
pub mod segment;
pub mod semaphore;
pub mod value;
