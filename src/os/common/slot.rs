//! Slots: a user's is drawn at random, so that nobody has to know who has which.

use std::io;

/// How often a slot is drawn that somebody has, or that stands for a dead holder, before a stranger seems to have all.
pub(super) const ATTEMPTS: u32 = 16;

/// Draws slots until `try_mark` has given the caller one that no lock word names. Else it is given back to `release_mark`.
///
/// From the kernel: children of one process that are each the first of a PID namespace would else draw the same.
pub(super) fn draw(
    attempts: u32,
    mut try_mark: impl FnMut(u32) -> io::Result<bool>,
    is_named: impl Fn(u32) -> io::Result<bool>,
    release_mark: impl Fn(u32) -> io::Result<()>,
) -> io::Result<Option<u32>> {
    for _ in 0..attempts {
        let slot = super::random_id()[0] as u32;
        if slot == 0 || !try_mark(slot)? {
            continue;
        }
        // Asked when the caller has it: from now on only he can give the word this slot. If a dead holder had it before, he
        // would look alive.
        match is_named(slot) {
            Ok(false) => return Ok(Some(slot)),
            answer => release_mark(slot).and(answer)?,
        };
    }
    Ok(None)
}
