//! Reading a value without the lock: one code for users and observers.

use std::sync::Arc;

use crate::error::LockError;
use crate::shareable::Shareable;
use crate::sync::commit::CommitCell;
use crate::sync::words::{Copied, Room, Spaced, Unchecked};

/// Whoever can look at a value.
pub(crate) trait Source {
    /// Where the value is, and whether it is certain that no other segment is made in its place.
    fn cell(&self) -> (CommitCell<'_>, bool);

    /// If that is not certain: has none been made there? Asked behind a copy, which is worth nothing if so.
    fn is_there(&self) -> bool;

    /// A consistent copy of the last commit, although writers overtook one; returns its number.
    fn read_among_writers(&self, bytes: &mut impl Copied) -> u64;

    /// Why there is no value.
    fn no_value(&self) -> LockError;
}

#[inline(always)]
#[track_caller]
pub(super) fn get<T: Shareable>(source: &impl Source) -> T {
    match latest(source).0 {
        Some(value) => value,
        None => panic_over(source),
    }
}

#[inline(always)]
pub(super) fn try_get<T: Shareable>(source: &impl Source) -> Result<T, LockError> {
    latest(source).0.ok_or_else(|| source.no_value())
}

#[inline(always)]
#[track_caller]
pub(super) fn get_if_changed<T: Shareable>(source: &impl Source, seen: &mut u64) -> Option<T> {
    if source.cell().0.commits() == *seen {
        return None;
    }
    let (value, commit) = latest(source);
    *seen = commit;
    match value {
        Some(value) => Some(value),
        None => panic_over(source),
    }
}

/// The last commit, if it is a value, and its number.
#[inline(always)]
pub(super) fn latest<T: Shareable>(source: &impl Source) -> (Option<T>, u64) {
    /// A value of at most this many bytes is read into a local whose address is never taken, so that it can stay in
    /// registers.
    const READ_IN_REGISTERS: usize = 32;
    let (cell, is_certain) = source.cell();
    let is_there = || is_certain || source.is_there();
    if size_of::<T>() >= Spaced::<T>::SIZE {
        let mut room = Spaced::new();
        let commit = read(&cell, source, &mut room.bytes);
        return (if is_there() { room.bytes.check() } else { None }, commit);
    }
    let mut bytes = Unchecked::new();
    if size_of::<T>() > READ_IN_REGISTERS {
        let commit = read(&cell, source, &mut bytes);
        return (if is_there() { bytes.check() } else { None }, commit);
    }
    if let Some(commit) = bytes.read(&cell) {
        return (if is_there() { bytes.check() } else { None }, commit);
    }
    // Into other bytes: those whose address is never taken stay in registers.
    let mut bytes = Unchecked::new();
    let commit = source.read_among_writers(&mut bytes);
    (if is_there() { bytes.check() } else { None }, commit)
}

/// The bytes of the last commit, if no other segment has been made in its place, and its number.
#[inline(always)]
pub(crate) fn copy(source: &impl Source, into: &mut [u8]) -> (bool, u64) {
    let (cell, is_certain) = source.cell();
    let commit = read(&cell, source, &mut Room(into));
    (is_certain || source.is_there(), commit)
}

/// A consistent copy of the last commit; returns its number.
#[inline(always)]
fn read(cell: &CommitCell<'_>, source: &impl Source, bytes: &mut impl Copied) -> u64 {
    bytes.read(cell).unwrap_or_else(|| source.read_among_writers(bytes))
}

#[cold]
#[inline(never)]
#[track_caller]
fn panic_over(source: &impl Source) -> ! {
    panic!("{}", source.no_value())
}

#[cold]
pub(super) fn invalid_value<T>(name: Arc<str>) -> LockError {
    LockError::InvalidValue { name, expected: std::any::type_name::<T>() }
}
