//! Following a name: nothing is believed before it is validated, and nothing is mapped before it is shared.

use std::fs::File;
use std::io;
use std::mem::offset_of;
use std::os::unix::fs::FileExt;
use std::ptr;
use std::time::Duration;

use shared_memory::{Shmem, ShmemConf, ShmemError};

use super::presence::{self, Registered};
use super::{Mapping, removal};
use crate::error::{Error, LockError};
use crate::fault::point;
use crate::identity::{Identity, describe_mismatch};
use crate::layout::{self, BODY_OFFSET, CommitLine, HEADER_LEN, Header, LOCK_OFFSET, LockLine};
use crate::name::Name;
use crate::options::{LockKind, Settings};
use crate::os::file::Status;
use crate::os::{self, Deadline, file};
use crate::sync::mutex::{self, LockState};
use crate::sync::poison::Poison;

/// What one attempt to open came to.
pub(super) enum Attempt {
    Opened(Box<Mapping>),
    NotThere,
    /// Somebody is removing the segment, or has just replaced it: try again.
    Busy,
}

/// A bounded readiness to try again.
pub(super) struct Retries {
    until: Option<Deadline>,
    pause: Duration,
}

impl Retries {
    const LIMIT: Duration = Duration::from_secs(5);
    const LONGEST_PAUSE: Duration = Duration::from_millis(5);

    pub(super) fn new() -> Self {
        Self { until: None, pause: Duration::from_micros(20) }
    }

    /// Pauses before the next attempt, or says who is in the way when there were enough of them.
    pub(super) fn wait(&mut self, name: &Name, action: &'static str) -> Result<(), Error> {
        let until = *self.until.get_or_insert_with(|| Deadline::after(Self::LIMIT).unwrap_or_else(Deadline::now));
        if until.has_passed() {
            return Err(os_error(name, action, io::Error::new(io::ErrorKind::TimedOut, who_is_in_the_way(name))));
        }
        std::thread::sleep(self.pause);
        self.pause = (self.pause * 2).min(Self::LONGEST_PAUSE);
        Ok(())
    }
}

fn who_is_in_the_way(name: &Name) -> String {
    let lockers = file::status_of(name.as_str()).ok().and_then(|status| file::lockers(&status)).unwrap_or_default();
    match lockers.iter().find(|locker| locker.exclusive) {
        Some(locker) => format!("process {} holds it exclusively and does not go on (is it stopped?)", locker.pid),
        None => "other programs kept creating and removing it, or one was stopped while it removed it".to_owned(),
    }
}

/// An existing file whose header is valid.
struct Valid {
    file: File,
    /// How many forks had begun before it was opened.
    forks: u32,
    status: Status,
    header: Header,
    identity: Identity,
    lock_kind: LockKind,
}

/// Opens and validates; `None` when there is no such name.
fn open_valid(name: &Name, writable: bool) -> Result<Option<Valid>, Error> {
    let forks = os::fork::forks_begun_and_over();
    let Some(Ours { file, status, start }) = open_ours(name, writable)? else { return Ok(None) };
    let (header, identity, lock_kind) = Header::validate(name, &start, status.len)?;
    Ok(Some(Valid { file, forks, status, header, identity, lock_kind }))
}

/// A file that says it is a segment, of whatever format, and what stands at its start.
pub(super) struct Ours {
    pub(super) file: File,
    pub(super) status: Status,
    /// As much of a header as there is.
    pub(super) start: Vec<u8>,
}

/// Opens a file of ours; anything else under the name is `NotASegment`, and is not disturbed: what is no regular file is
/// not opened, and nothing is opened for writing (others could then not execute it, and watchers would think that it has
/// changed) before it has said that it is ours.
pub(super) fn open_ours(name: &Name, writable: bool) -> Result<Option<Ours>, Error> {
    loop {
        let Some((reading, status)) = open_regular(name, false)? else { return Ok(None) };
        let mut start = vec![0; HEADER_LEN];
        let len = read_up_to(&reading, &mut start).map_err(|error| os_error(name, "read", error))?;
        start.truncate(len);
        point!("open: read");
        Header::check_magic(name, &start, status.len)?;
        if !writable {
            return Ok(Some(Ours { file: reading, status, start }));
        }
        let Some((file, status_now)) = open_regular(name, true)? else { return Ok(None) };
        // Else somebody has replaced it in between, and can do so as often as we come here only on purpose.
        if status_now.is_same_file(&status) {
            point!("open: opened");
            return Ok(Some(Ours { file, status: status_now, start }));
        }
    }
}

/// Opens a regular file; anything else under the name is `NotASegment`.
pub(super) fn open_regular(name: &Name, writable: bool) -> Result<Option<(File, Status)>, Error> {
    let check =
        |status: &Status| status.strange.map_or(Ok(()), |kind| Err(layout::not_a_segment(name, kind.to_owned())));
    match file::status_of(name.as_str()) {
        Ok(status) => check(&status)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(os_error(name, "look at", error)),
    }
    let file = match file::open(name.as_str(), writable) {
        Ok(file) => file,
        Err(error) => match error.raw_os_error() {
            Some(libc::ENOENT) => return Ok(None),
            Some(libc::ELOOP | libc::EISDIR | libc::ENXIO | libc::ENODEV) => {
                return Err(layout::not_a_segment(name, "something that was a file a moment ago".to_owned()));
            }
            _ => return Err(os_error(name, "open", error)),
        },
    };
    let status = file::status(&file).map_err(|error| os_error(name, "inspect", error))?;
    check(&status)?;
    Ok(Some((file, status)))
}

/// Reads from the start of the file until the buffer is full or the file ends.
pub(super) fn read_up_to(file: &File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < buffer.len() {
        match file.read_at(&mut buffer[len..], len as u64) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

pub(super) fn check_owner(name: &Name, status: &Status, allowed: &[u32]) -> Result<(), Error> {
    let me = os::process::effective_uid();
    if status.owner == me || allowed.contains(&status.owner) {
        return Ok(());
    }
    Err(Error::ForeignOwner { name: name.shared(), expected: me, found: status.owner })
}

/// One attempt to become a user of the segment.
pub(super) fn try_open(name: &Name, identity: &Identity, settings: &Settings) -> Result<Attempt, Error> {
    presence::install_hooks().map_err(|error| os_error(name, "prepare for forks before opening", error))?;
    let Some(valid) = open_valid(name, true)? else { return Ok(Attempt::NotThere) };
    check_owner(name, &valid.status, &settings.allowed_owners)?;
    point!("open: validated");
    let is_orphan = file::try_exclude(&valid.file).map_err(|error| os_error(name, "lock", error))?;
    point!("open: asked whether it is an orphan");
    if is_orphan && !valid.header.persistent() {
        removal::remove_orphan(&valid.file, name).map_err(|error| os_error(name, "remove the orphaned", error))?;
        point!("open: orphan removed");
        return Ok(Attempt::Busy);
    }
    if let Err(error) = admit(name, identity, &valid, is_orphan) {
        // Explicitly, and not by closing: a child that was forked meanwhile has the description, too.
        if is_orphan {
            let _ = valid.file.unlock();
            point!("open: orphan given back");
        } else if matches!(file::count_attending(&valid.file), Ok(0)) {
            return Ok(Attempt::Busy); // held by whoever is removing it: what is dead does not count
        }
        return Err(error);
    }
    share_and_map(name, valid)
}

/// Is the segment what this program expects? One that is held exclusively is taken over.
fn admit(name: &Name, identity: &Identity, valid: &Valid, is_orphan: bool) -> Result<(), Error> {
    check_identity(name, identity, &valid.identity)?;
    valid.header.check_c_library(name)?;
    check_lock(name, valid.lock_kind)?;
    if is_orphan {
        take_over(valid).map_err(|error| os_error(name, "take over", error))?;
    }
    Ok(())
}

/// Announces this user, and only then maps.
fn share_and_map(name: &Name, valid: Valid) -> Result<Attempt, Error> {
    let Valid { file, forks, mut header, lock_kind, .. } = valid;
    point!("open: admitted");
    let announced = Registered::announce(file, name, header.persistent(), forks);
    let Some(presence) = announced.map_err(|error| os_error(name, "keep open", error))? else {
        return Ok(Attempt::Busy); // a fork has come in between
    };
    let shared = presence.share();
    if !shared.map_err(|error| os_error(name, "share", error))? {
        return Ok(Attempt::Busy);
    }
    // From here on this process is a user, and leaves as one whatever goes wrong.
    let status = presence.status().map_err(|error| os_error(name, "inspect", error))?;
    if status.links == 0 {
        return Ok(Attempt::Busy); // removed between our opening and our sharing
    }
    if status.len < header.total_len {
        return Err(layout::truncated(name, header.total_len, status.len));
    }
    point!("open: checked");
    let Some(memory) = map(name, &header)? else { return Ok(Attempt::Busy) };
    point!("open: mapped");
    header.pid_namespace = read_namespace(&memory);
    check_namespace(name, lock_kind, header.pid_namespace)?;
    Ok(Attempt::Opened(Box::new(Mapping::new(memory, &header, lock_kind, name.clone(), presence)?)))
}

/// What the header said before is no answer: somebody may just have been taking the segment over. Nobody does so any
/// more, because this process is a user now.
fn read_namespace(memory: &Shmem) -> u64 {
    let field = memory.as_ptr().wrapping_add(offset_of!(Header, pid_namespace)).cast::<u64>();
    // SAFETY: `map` has checked that a whole header is mapped, page-aligned; only a taker-over writes the field.
    unsafe { ptr::read_volatile(field) }
}

/// Is the segment usable from here?
fn check_namespace(name: &Name, kind: LockKind, found: u64) -> Result<(), Error> {
    let expected = os::namespace::pid_namespace();
    if found == expected || mutex::may_cross_namespaces(kind) {
        return Ok(());
    }
    Err(Error::ForeignPidNamespace { name: name.shared(), expected, found })
}

fn check_identity(name: &Name, expected: &Identity, found: &Identity) -> Result<(), Error> {
    if expected == found {
        return Ok(());
    }
    let (expected, found) = describe_mismatch(expected, found);
    Err(Error::TypeMismatch { name: name.shared(), expected, found })
}

fn check_lock(name: &Name, kind: LockKind) -> Result<(), Error> {
    mutex::check_available(kind).map_err(|source| {
        let action = "use";
        Error::Lock { source: LockError::Io { name: name.shared(), action, source } }
    })
}

/// Takes over a persistent segment whose users are all gone, while holding it exclusively: a holder in the lock is dead,
/// whatever namespace it was in, and from now on ours counts.
fn take_over(valid: &Valid) -> io::Result<()> {
    let mut line = [0; size_of::<LockLine>()];
    valid.file.read_exact_at(&mut line, LOCK_OFFSET as u64)?;
    point!("take over: lock read");
    let rule = Poison::of(valid.identity.shape.kind, valid.header.poisons());
    let next = mutex::after_all_users_left(valid.lock_kind, &line, rule)?;
    if next != line {
        valid.file.write_all_at(&next, LOCK_OFFSET as u64)?;
        point!("take over: lock written");
    }
    let namespace = os::namespace::pid_namespace();
    if valid.header.pid_namespace != namespace {
        valid.file.write_all_at(&namespace.to_ne_bytes(), offset_of!(Header, pid_namespace) as u64)?;
        point!("take over: namespace written");
    }
    Ok(())
}

/// Maps what the name leads to; `None` when that is not the segment with this header (any more).
pub(super) fn map(name: &Name, header: &Header) -> Result<Option<Shmem>, Error> {
    let _zero = os::descriptor::occupy_zero(); // which `shared_memory` would not close
    let mut memory = match ShmemConf::new().os_id(name.as_str()).open() {
        Ok(memory) => memory,
        Err(ShmemError::MapOpenFailed(errno)) => {
            let error = io::Error::from_raw_os_error(errno.cast_signed());
            // EINVAL: an empty file, so a stranger's.
            return match error.raw_os_error() {
                Some(libc::ENOENT | libc::EINVAL) => Ok(None),
                _ => Err(os_error(name, "map", error)),
            };
        }
        Err(other) => return Err(os_error(name, "map", io::Error::other(other))),
    };
    // An owner unlinks by name when it is dropped, and would hit an innocent successor.
    memory.set_owner(false);
    point!("map: mapped");
    if memory.len() < HEADER_LEN {
        return Ok(None);
    }
    let id = memory.as_ptr().wrapping_add(offset_of!(Header, id)).cast::<[u64; 2]>();
    // SAFETY: the mapping is at least a header long and page-aligned; nobody writes the id after the file has a name.
    let id = unsafe { ptr::read_volatile(id) };
    if id != header.id {
        return Ok(None);
    }
    let len = memory.len() as u64;
    if len < header.total_len {
        return Err(layout::truncated(name, header.total_len, len));
    }
    Ok(Some(memory))
}

/// Is there a live or a persistent segment of this name? One whose users were all killed is removed.
pub(super) fn is_in_use(name: &Name, allowed_owners: &[u32]) -> Result<bool, Error> {
    let Some(valid) = open_valid(name, true)? else { return Ok(false) };
    check_owner(name, &valid.status, allowed_owners)?;
    if valid.header.persistent() {
        return Ok(true);
    }
    let lock_error = |error| os_error(name, "lock", error);
    if !file::try_exclude(&valid.file).map_err(lock_error)? {
        point!("in use: not an orphan");
        if !file::try_share(&valid.file).map_err(lock_error)? {
            return Ok(false); // somebody is removing it
        }
        // A user now, for a moment: so leave as users do.
        point!("in use: shared");
        if !file::try_exclude(&valid.file).map_err(lock_error)? {
            point!("in use: by others");
            return Ok(true);
        }
    }
    point!("in use: excluded");
    removal::remove_orphan(&valid.file, name).map_err(|error| os_error(name, "remove the orphaned", error))?;
    point!("in use: orphan removed");
    Ok(false)
}

/// What a look at a segment from outside tells. Nothing is mapped, locked or changed.
pub(crate) struct Inspection {
    pub(crate) status: Status,
    pub(crate) header: Header,
    pub(crate) identity: Identity,
    pub(crate) lock_kind: LockKind,
    pub(crate) lock: LockState,
    pub(crate) commits: u64,
    /// How many handles there are.
    pub(crate) attached: usize,
}

pub(crate) fn inspect(name: &Name) -> Result<Option<Inspection>, Error> {
    let Some(valid) = open_valid(name, false)? else { return Ok(None) };
    let mut start = [0; BODY_OFFSET + size_of::<CommitLine>()];
    read_up_to(&valid.file, &mut start).map_err(|error| os_error(name, "read", error))?;
    let line = std::array::from_fn(|i| start[LOCK_OFFSET + i]);
    let rule = Poison::of(valid.identity.shape.kind, valid.header.poisons());
    let commits = BODY_OFFSET + offset_of!(CommitLine, commits);
    let attached = file::count_attending(&valid.file).map_err(|error| os_error(name, "count the users of", error))?;
    Ok(Some(Inspection {
        status: valid.status,
        header: valid.header,
        identity: valid.identity,
        lock_kind: valid.lock_kind,
        lock: mutex::state(valid.lock_kind, &line, valid.header.pid_namespace, rule),
        commits: u64::from_ne_bytes(std::array::from_fn(|i| start[commits + i])),
        attached,
    }))
}

/// The error for what the operating system said.
pub(super) fn os_error(name: &Name, action: &'static str, source: io::Error) -> Error {
    if source.kind() != io::ErrorKind::PermissionDenied {
        return Error::Io { name: name.shared(), action, source };
    }
    let found = match file::status_of(name.as_str()) {
        Ok(status) => format!("owner uid {}, mode {:04o}", status.owner, status.mode),
        Err(_) => "no access to /dev/shm".to_owned(),
    };
    Error::PermissionDenied { name: name.shared(), found, source }
}
