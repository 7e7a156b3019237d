//! What stands under a name: it is opened and validated, and nothing that it says is believed before.

use std::borrow::Cow;
use std::fs::File;
use std::io;

use crate::error::Error;
use crate::fault::point;
use crate::identity::Identity;
use crate::layout::{self, FIRST_READ, FRONT, HEADER_LEN, Header, SUCCESSOR_OFFSET};
use crate::name::Name;
use crate::options::LockKind;
use crate::os::file::{self, OpenError, Status};
use crate::os::{self, directory, file_lock};

/// A segment, or what is left of one that was being made anew.
pub(super) struct Found {
    pub(super) open: OpenFile,
    /// What a valid header says; `None` while it is being made anew, or if whoever did so was killed.
    pub(super) contents: Option<ValidHeader>,
}

pub(super) struct OpenFile {
    pub(super) file: File,
    /// How many forks had begun before it was opened.
    pub(super) forks: u32,
    pub(super) status: Status,
}

pub(super) struct ValidHeader {
    pub(super) header: Header,
    pub(super) identity: Identity,
    pub(super) lock_kind: LockKind,
}

/// Opens and validates; `None` when there is no such name.
pub(super) fn open_validated(name: &Name, writable: bool) -> Result<Option<Found>, Error> {
    let forks = os::fork::forks_begun_and_over();
    let mut attempt = 0;
    loop {
        attempt += 1;
        let Some(ours) = open_ours(name, writable)? else { return Ok(None) };
        let contents = interpret(name, &ours);
        // What is a segment is read again by whoever uses or removes it, when it cannot change any more
        // (`open::share_and_map`, `Found::try_exclude`). What is none is looked at twice before anybody is told so.
        let is_certain = matches!(contents, Ok(Some(_))) || attempt == ATTEMPTS || ours.is_whole(name)?;
        if is_certain {
            let Ours { file, status, .. } = ours;
            return Ok(Some(Found { open: OpenFile { file, forks, status }, contents: contents? }));
        }
    }
}

/// Whether a file could be had exclusively.
pub(super) enum Excluded {
    /// Others use it.
    No,
    /// Nobody does, and it is what was validated.
    Yes,
    /// Nobody did; but it has been made anew meanwhile. It was given back.
    Anew,
}

impl Found {
    /// Tries to get the file exclusively, and then looks again: since the first look an orphan may have been made anew in
    /// place, and be a persistent segment that is nobody's to remove. What may change while a segment lives is from the
    /// second look then.
    pub(super) fn try_exclude(&mut self, name: &Name) -> Result<Excluded, Error> {
        let file = &self.open.file;
        if !file_lock::try_exclude(file).map_err(|error| os_error(name, "could not lock the segment", error))? {
            return Ok(Excluded::No);
        }
        let now = read_header(file);
        let is_same = match (&mut self.contents, &now) {
            (Some(valid), Ok(Some(now))) if now.is_same_segment(&valid.header) => {
                valid.header = *now;
                true
            }
            (None, Ok(Some(now))) => now.flags == Header::UNFINISHED,
            _ => false,
        };
        if is_same {
            return Ok(Excluded::Yes);
        }
        let _ = file_lock::unlock(file); // by hand: a child that was forked meanwhile has the description, too
        point!("exclude: made anew meanwhile");
        now.map(|_| Excluded::Anew).map_err(|error| os_error(name, "could not read the segment", error))
    }
}

/// What the header says; `None` when it is unfinished.
fn interpret(name: &Name, Ours { file, status, start }: &Ours) -> Result<Option<ValidHeader>, Error> {
    if Header::is_unfinished(name, start, status.len)? {
        return Ok(None);
    }
    let description = |header: &Header| read_description(name, file, start, header);
    let (header, identity, lock_kind) = Header::validate(name, start, status.len, description)?;
    Ok(Some(ValidHeader { header, identity, lock_kind }))
}

/// How often a file is opened again that changes, or whose name does, in the middle of it. Who does that each time does so
/// on purpose, and is let have his way.
const ATTEMPTS: usize = 100;

/// A file that says it is a segment, of whatever format, and what stands at its start.
pub(super) struct Ours {
    pub(super) file: File,
    pub(super) status: Status,
    /// Its first bytes. They were read before the file was opened for good, and by another description.
    start: Vec<u8>,
}

impl Ours {
    /// Do start and length belong together? An orphan may be made anew meanwhile, and be short in between, but then its
    /// start differs when it is read again.
    fn is_whole(&self, name: &Name) -> Result<bool, Error> {
        let again = read_start(&self.file, self.status.len)
            .map_err(|error| os_error(name, "could not read the segment", error))?;
        Ok(header_in(&again) == header_in(&self.start))
    }
}

/// Opens a file of ours; anything else under the name is `NotASegment`, and is not disturbed: what is no regular file is
/// not opened, and nothing is opened for writing (others could then not execute it, and watchers would think that it has
/// changed) before it has said that it is ours.
pub(super) fn open_ours(name: &Name, writable: bool) -> Result<Option<Ours>, Error> {
    for _ in 0..ATTEMPTS {
        let Some(first) = look_at(name)? else { return Ok(None) };
        let Some(reading) = open_checked(name, false)? else { return Ok(None) };
        let start =
            read_start(&reading, first.len).map_err(|error| os_error(name, "could not read the segment", error))?;
        point!("open: read");
        Header::check_magic(name, &start, first.len)?;
        let opened = if writable { open_checked(name, true)? } else { Some(reading) };
        let Some(file) = opened else { return Ok(None) };
        let status = file::status(&file).map_err(|error| os_error(name, "could not inspect the segment", error))?;
        check_regular(name, &status)?;
        if status.is_same_file(&first) {
            point!("open: opened");
            return Ok(Some(Ours { file, status, start }));
        }
    }
    Err(os_error(name, "could not open the segment", io::Error::other("its name keeps leading to other files")))
}

/// Of a file that had this length.
fn read_start(file: &File, len: u64) -> io::Result<Vec<u8>> {
    // No more than there is: it would be asked for once more.
    let mut start = vec![0; usize::try_from(len).map_or(FIRST_READ, |len| len.clamp(FRONT, FIRST_READ))];
    let len = file::read_at(file, &mut start, 0)?;
    start.truncate(len);
    Ok(start)
}

/// The text that describes the elements, from what has been read of the file, or else from there.
pub(super) fn read_description<'a>(
    name: &Name,
    file: &File,
    start: &'a [u8],
    header: &Header,
) -> Result<Cow<'a, [u8]>, Error> {
    let (offset, len) = (header.schema_offset(), header.schema_len as usize);
    let known = usize::try_from(offset).ok().and_then(|offset| start.get(offset..offset.checked_add(len)?));
    if let Some(text) = known {
        return Ok(text.into());
    }
    let mut text = vec![0; len];
    let read =
        file::read_at(file, &mut text, offset).map_err(|error| os_error(name, "could not read the segment", error))?;
    // Somebody has shortened it meanwhile.
    if read < len { Err(layout::truncated(name, header.total_len, offset + read as u64)) } else { Ok(text.into()) }
}

/// The line of the successor, and those behind it, change while a segment is used.
fn header_in(start: &[u8]) -> &[u8] {
    start.get(..SUCCESSOR_OFFSET).unwrap_or(start)
}

/// What stands under the name, if it is a regular file; anything else is `NotASegment`.
fn look_at(name: &Name) -> Result<Option<Status>, Error> {
    match file::status_of(name.as_str()) {
        Ok(status) => check_regular(name, &status).map(|()| Some(status)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(os_error(name, "could not look at the segment", error)),
    }
}

fn check_regular(name: &Name, status: &Status) -> Result<(), Error> {
    status.strange.map_or(Ok(()), |kind| Err(layout::not_a_segment(name, kind.to_owned())))
}

/// Opens what was a regular file a moment ago.
pub(super) fn open_checked(name: &Name, writable: bool) -> Result<Option<File>, Error> {
    match file::open(name.as_str(), writable) {
        Ok(file) => Ok(Some(file)),
        Err(OpenError::NotFound) => Ok(None),
        Err(OpenError::NotAFile) => {
            Err(layout::not_a_segment(name, "something that was a file a moment ago".to_owned()))
        }
        Err(OpenError::NoDescriptor(error) | OpenError::Other(error)) => {
            Err(os_error(name, "could not open the segment", error))
        }
    }
}

pub(super) fn check_owner(name: &Name, OpenFile { file, status, .. }: &OpenFile, allowed: &[u32]) -> Result<(), Error> {
    let me = os::owner::effective_uid();
    if status.owner != me && !allowed.contains(&status.owner) {
        return Err(Error::ForeignOwner { name: name.shared(), expected: me, found: status.owner });
    }
    if !os::owner::is_told(file, status.owner) {
        return Err(Error::UnknownOwner { name: name.shared(), found: status.owner });
    }
    Ok(())
}

/// Is this a persistent segment, as far as can be told?
pub(super) fn is_persistent(file: &File) -> bool {
    matches!(read_header(file), Ok(Some(header)) if header.flags != Header::UNFINISHED && header.persistent())
}

/// What stands where a header does, not validated: to be compared with one that was.
pub(super) fn read_header(file: &File) -> io::Result<Option<Header>> {
    let mut bytes = [0; HEADER_LEN];
    let len = file::read_at(file, &mut bytes, 0)?;
    Ok((len == HEADER_LEN).then(|| bytemuck::pod_read_unaligned(&bytes)))
}

/// The error for what the operating system said.
pub(super) fn os_error(name: &Name, action: &'static str, source: io::Error) -> Error {
    if source.kind() != io::ErrorKind::PermissionDenied {
        return Error::io(name.shared(), action, source);
    }
    let found = match file::status_of(name.as_str()) {
        Ok(status) => format!("owner uid {}, mode {:04o}", status.owner, status.mode),
        Err(_) => format!("no access to {}", directory::place()),
    };
    Error::PermissionDenied { name: name.shared(), found, source }
}
