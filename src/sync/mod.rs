//! The two protocols in shared memory, and the lock that the faces use.
//!
//! * [`word`]: what the lock word says; [`robust_futex`]: its state machine; [`lock`]: what a handle knows of it; [`users`]:
//!   whether a holder is dead; [`node`]: whose node is whose;
//! * [`watched`]: the same word where nobody is told of deaths, and [`watch`], who looks for them;
//! * [`waiting`]: how a thread comes to the lock when it is not free for all; with [`spin`], how it waits before it
//!   sleeps, [`successor`], whom nobody need wake, and [`reservation`], for whom a free lock is kept;
//!   [`leaked`]: whether a mapping may go;
//! * [`gate`]: how those are found who wait for what a holder does, [`sleep`]: their way, [`changes`]: waiting for a commit,
//!   [`condition`]: waiting for what another one says, with [`credit`], how many may go on;
//! * [`permits`]: many lock lines, of which one will do; [`readers`]: many lock lines, of which a writer must see all empty;
//!   [`habits`]: which of them a thread had last;
//! * [`interrupts`]: who is asked, amid a wait, whether to give it up;
//! * [`event`]: a word to be set and waited for, and nobody's;
//! * [`os_mutex`]: the operating system's own mutex in its place;
//! * [`commit`]: the two-slot cell that makes a value whole at every moment;
//! * [`words`]: a `T` in and out of that cell, and [`bulk`], many words at once;
//! * [`mutex`]: which lock kind a segment has, and what every guard is built on; [`poison`]: how the next holder learns
//!   that data in place may be torn.
#![allow(unsafe_code)]

mod bulk;
mod changes;
pub(crate) mod commit;
mod condition;
mod credit;
mod event;
mod gate;
pub(crate) mod habits;
pub(crate) mod interrupts;
mod leaked;
mod lock;
pub(crate) mod mutex;
mod node;
mod os_mutex;
mod permits;
pub(crate) mod poison;
mod readers;
mod reservation;
mod robust_futex;
mod sleep;
mod spin;
mod successor;
pub(crate) mod users;
mod waiting;
mod watch;
mod watched;
mod word;
pub(crate) mod words;

/// The atomics of the protocols. Model checkers compile their files with others in their place.
mod atomic {
    pub(super) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
}
