//! Nobody forks on Windows: a process begins with nothing of its parent's but what that has handed over on purpose.

use std::io;

/// How many forks have begun: none.
pub(crate) fn forks_begun() -> u32 {
    0
}

/// [`forks_begun`], when none is under way.
pub(crate) fn forks_begun_and_over() -> u32 {
    0
}

/// Sees to it that `in_child` is called in every forked child.
#[allow(clippy::unnecessary_wraps, reason = "as where there are forks")]
pub(crate) fn install(_in_child: extern "C" fn()) -> io::Result<()> {
    Ok(())
}

/// In a forked child, first of all; `false`: this is none.
pub(crate) fn begin_child() -> bool {
    false
}
