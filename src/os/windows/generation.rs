//! Which process this is: where nobody forks, memory belongs to one process for as long as it is there.

/// Not 0, which would say that it is not known.
const ONLY: u32 = 1;

/// The number of this process if it can be told without a system call.
#[inline(always)]
pub(crate) fn known_generation() -> u32 {
    ONLY
}

/// The number of this process, if it has one.
#[inline(always)]
pub(crate) fn generation_if_numbered() -> u32 {
    ONLY
}

/// The number of this process.
pub(crate) fn generation() -> u32 {
    ONLY
}
