//! What a handle knows of its lock, as the protocol of the lock word needs it.

use super::poison::Poison;
use super::spin::SpinPolicy;
use super::users::Users;
use crate::layout::{LockLine, WaitLine};

/// A lock whose word is ours, seen through a handle.
#[derive(Clone, Copy)]
pub(super) struct Lock<'a> {
    pub(super) line: &'a LockLine,
    pub(super) waits: &'a WaitLine,
    /// Whom nobody need wake: see `successor.rs`.
    pub(super) successor: &'a LockLine,
    pub(super) users: &'a Users,
    pub(super) spin: &'a SpinPolicy,
    pub(super) poison: Poison,
}
