//! Which processes have ids in common: all of this system.
//!
//! (In a FreeBSD jail, processes have the ids that they have outside.)

/// A number that stands for all processes.
pub(crate) fn pid_namespace() -> u64 {
    ALL
}

/// Not 0, which a segment of an older version says that does not know.
const ALL: u64 = 1;

/// Does this number stand for something that could not be found out?
pub(crate) fn is_unknown(namespace: u64) -> bool {
    namespace != ALL
}

/// Is the process where it, or its first forebear, was numbered?
pub(super) fn is_at_home() -> bool {
    true
}

/// Before a fork.
pub(super) fn prepare_fork() {}

/// In a child of `fork`.
pub(super) fn inherit(_parent: u32, _generation: u32) {}
