//! A look at a segment from outside, or through a handle: nothing is mapped, locked or changed.

use std::fs::File;
use std::mem::offset_of;

use super::found::{self, Found, ValidHeader, os_error};
use super::further_lines::FurtherLines;
use crate::error::Error;
use crate::identity::Identity;
use crate::kind::{Kind, Word};
use crate::layout::{BODY_OFFSET, CommitLine, HEADER_LEN, Header, LOCK_OFFSET, LockBytes};
use crate::name::Name;
use crate::options::LockKind;
use crate::os::file::{self, Status};
use crate::os::{file_lock, namespace};
use crate::sync::mutex::{self, LockState};
use crate::sync::poison::Poison;

/// What a look tells.
pub(crate) struct Inspection {
    pub(crate) status: Status,
    pub(crate) header: Header,
    pub(crate) identity: Identity,
    pub(crate) lock_kind: LockKind,
    pub(crate) lock: LockState,
    pub(crate) commits: u64,
    /// Of an event.
    pub(crate) is_set: Option<bool>,
    /// How many permits of a semaphore, or slots for readers, there are of which somebody has each; and nobody.
    pub(crate) taken: usize,
    pub(crate) free: usize,
    /// The threads that have some of these: by the number of the line, and by their ids where they are.
    pub(crate) further_holders: Vec<(usize, u32)>,
    /// Are these ids, and that of the holder, of this PID namespace?
    pub(crate) is_here: bool,
    /// Some may sleep, for the lock or whatever else.
    pub(crate) has_sleepers: bool,
    /// How many handles there are.
    pub(crate) attached: usize,
}

/// By name; `None` when there is none, or only what a killed program has left half-made.
pub(crate) fn inspect(name: &Name) -> Result<Option<Inspection>, Error> {
    match found::open_validated(name, false)? {
        Some(Found { open, contents: Some(contents) }) => look(name, &open.file, open.status, contents, None).map(Some),
        Some(_) | None => Ok(None),
    }
}

/// Which kind of segment has the name; `None` as in [`inspect`].
pub(crate) fn kind_of(name: &Name) -> Result<Option<Kind>, Error> {
    let found = found::open_validated(name, false)?;
    Ok(found.and_then(|found| found.contents).map(|contents| contents.identity.shape.kind))
}

/// Through the description of a handle, which its own question does not count.
pub(super) fn inspect_own(name: &Name, file: &File, slot: u32) -> Result<Inspection, Error> {
    let found = inspect_open(name, file, Some(slot))?;
    Ok(Inspection { attached: found.attached + 1, ..found })
}

/// Through a description of an open file, which has this slot if it is a user's.
pub(super) fn inspect_open(name: &Name, file: &File, slot: Option<u32>) -> Result<Inspection, Error> {
    let status = file::status(file).map_err(|error| os_error(name, "could not inspect the segment", error))?;
    let mut start = [0; HEADER_LEN];
    let len =
        file::read_at(file, &mut start, 0).map_err(|error| os_error(name, "could not read the segment", error))?;
    let description = |header: &Header| found::read_description(name, file, &[], header);
    let (header, identity, lock_kind) = Header::validate(name, &start[..len], status.len, description)?;
    look(name, file, status, ValidHeader { header, identity, lock_kind }, slot)
}

/// `own`: the slot that the description has itself.
fn look(
    name: &Name,
    file: &File,
    status: Status,
    contents: ValidHeader,
    own: Option<u32>,
) -> Result<Inspection, Error> {
    let ValidHeader { header, identity, lock_kind } = contents;
    let mut start = [0; BODY_OFFSET + size_of::<CommitLine>()];
    file::read_at(file, &mut start, 0).map_err(|error| os_error(name, "could not read the segment", error))?;
    let commits = BODY_OFFSET + offset_of!(CommitLine, commits);
    let line = std::array::from_fn(|i| start[LOCK_OFFSET + i]);
    let kind = identity.shape.kind;
    let rule = Poison::of(kind, header.poisons());
    let is_present = |slot| own == Some(slot) || file_lock::is_present(file, slot).unwrap_or(true);
    let (lock, is_set) = match kind.word() {
        Word::Holder => (LockState::of(lock_kind, &line, header.pid_namespace, rule, is_present), None),
        Word::Event => (LockState::FREE, Some(mutex::says_set(mutex::word_in(&line)))),
        Word::Bell => (LockState::FREE, None),
    };
    let attached = file_lock::count_present(file)
        .map_err(|error| os_error(name, "could not count the users of the segment", error))?;
    let lines =
        FurtherLines::read(file, &header).map_err(|error| os_error(name, "could not read the segment", error))?;
    let is_free = |line: &&LockBytes| mutex::is_free(lock_kind, mutex::word_in(line), header.pid_namespace, is_present);
    let free = lines.iter().filter(is_free).count();
    let taken = lines.iter().enumerate().filter(|(_, line)| !is_free(line));
    let further_holders = taken.filter_map(|(index, line)| Some((index, mutex::holder_in(line)?))).collect();
    Ok(Inspection {
        status,
        lock,
        is_set,
        taken: lines.iter().count() - free,
        free,
        further_holders,
        is_here: header.pid_namespace == namespace::pid_namespace(),
        // Who waits for what a holder does has the bit set in the word of the lock, too.
        has_sleepers: std::iter::once(&line).chain(lines.iter()).any(|line| mutex::may_have_sleepers(lock_kind, line)),
        header,
        identity,
        lock_kind,
        commits: u64::from_ne_bytes(std::array::from_fn(|i| start[commits + i])),
        attached,
    })
}
