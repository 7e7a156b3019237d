//! Taking over a persistent segment that no user has any more.

use std::fs::File;
use std::io;

use super::found::ValidHeader;
use super::further_lines::FurtherLines;
use crate::fault::point;
use crate::kind::Word;
use crate::layout::{
    BODY_OFFSET, LOCK_OFFSET, LockBytes, LockLine, SUCCESSOR_OFFSET, WAIT_OFFSET, WaitBytes, WaitLine,
};
use crate::os::file::{self, Status};
use crate::os::{namespace, process};
use crate::sync::mutex::{self, LockState};
use crate::sync::poison::Poison;

/// Takes over a persistent segment whose users are all gone, while holding it exclusively: a holder in the lock is dead,
/// whatever namespace it was in. (The namespace stays: in another one, somebody may be left who has lost his descriptors.)
///
/// But one that lives here and is seen to have the file mapped is a user whose descriptors its program has closed, and its
/// lock is its own. (Whose mappings are not shown is nearly always a stranger that was given a dead thread's id.)
pub(super) fn take_over(file: &File, status: &Status, valid: &ValidHeader) -> io::Result<()> {
    match valid.identity.shape.kind.word() {
        Word::Holder | Word::Bell => {}
        // Nobody has held it. That somebody may sleep costs the next one who sets it a look.
        Word::Event => return Ok(()),
    }
    file::check_limit(BODY_OFFSET as u64)?; // the lock and the wait line are in front of it
    let mut line = [0; size_of::<LockLine>()];
    if file::read_at(file, &mut line, LOCK_OFFSET as u64)? < line.len() {
        return Err(io::ErrorKind::UnexpectedEof.into()); // somebody has shortened it
    }
    point!("take over: lock read");
    let rule = Poison::of(valid.identity.shape.kind, valid.header.poisons());
    let holder = LockState::of(valid.lock_kind, &line, valid.header.pid_namespace, rule, |_| true).holder_here;
    if holder.is_some_and(|holder| process::maps(holder, status) == Some(true)) {
        return Ok(());
    }
    FurtherLines::read(file, &valid.header)?.free_all(file)?;
    if valid.identity.shape.kind.word() == Word::Holder {
        forget_who_waits(file)?;
        if valid.header.pid_namespace == namespace::pid_namespace() {
            forget_who_comes_next(file, status)?;
        }
    }
    let next = mutex::after_all_users_left(valid.lock_kind, &line, rule)?;
    if next != line {
        file::write_at(file, &next, LOCK_OFFSET as u64)?;
        point!("take over: lock written");
    }
    Ok(())
}

/// Nobody comes next to the lock: else one of whose death nobody was told would be named there for good. (Where there are, or
/// have been, several namespaces, nobody will name himself any more.)
fn forget_who_comes_next(file: &File, status: &Status) -> io::Result<()> {
    let mut line = [0; size_of::<LockBytes>()];
    if file::read_at(file, &mut line, SUCCESSOR_OFFSET as u64)? < line.len() {
        return Err(io::ErrorKind::UnexpectedEof.into()); // as above
    }
    // As of a holder: if its program has closed its descriptors, it has the line in its list, and nobody else may.
    let lives = |tid| process::maps(tid, status) == Some(true);
    if line != [0; size_of::<LockBytes>()] && !mutex::holder_in(&line).is_some_and(lives) {
        file::write_at(file, &[0; size_of::<LockBytes>()], SUCCESSOR_OFFSET as u64)?;
        point!("take over: successor's line written");
    }
    Ok(())
}

/// Nobody waits for what a holder does, and nobody is owed anything.
fn forget_who_waits(file: &File) -> io::Result<()> {
    let mut line: WaitBytes = [0; size_of::<WaitLine>()];
    if file::read_at(file, &mut line, WAIT_OFFSET as u64)? < line.len() {
        return Err(io::ErrorKind::UnexpectedEof.into()); // as above
    }
    let next = WaitLine::after_all_users_left(&line);
    if next != line {
        file::write_at(file, &next, WAIT_OFFSET as u64)?;
        point!("take over: wait line written");
    }
    Ok(())
}
