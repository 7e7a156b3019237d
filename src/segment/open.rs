//! Following a name: nothing is believed before it is validated, and nothing is mapped before it is shared.

use std::fmt;
use std::fs::File;
use std::io;
use std::mem::offset_of;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use super::registered::{self, Registered};
use super::reuse::Orphan;
use super::{Mapping, map};
use crate::error::{Error, LockError};
use crate::fault::point;
use crate::identity::{Identity, describe_mismatch};
use crate::layout::{self, BODY_OFFSET, HEADER_LEN, Header, LOCK_OFFSET, LockLine};
use crate::name::Name;
use crate::options::{LockKind, Settings};
use crate::os::file::Status;
use crate::os::{self, Deadline, file};
use crate::sync::mutex;
use crate::sync::poison::Poison;

/// What one attempt to open came to.
pub(super) enum Attempt {
    Opened(Box<Mapping>),
    NotThere,
    /// What killed users have left, and this one cannot remove.
    Orphan(Orphan),
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

/// A segment, or what is left of one that was being made anew.
pub(super) struct Found {
    pub(super) open: Open,
    /// What a valid header says; `None` when it is unfinished, and nobody's.
    pub(super) contents: Option<Valid>,
}

pub(super) struct Open {
    pub(super) file: File,
    /// How many forks had begun before it was opened.
    forks: u32,
    pub(super) status: Status,
}

pub(super) struct Valid {
    pub(super) header: Header,
    pub(super) identity: Identity,
    pub(super) lock_kind: LockKind,
}

/// Opens and validates; `None` when there is no such name.
pub(super) fn open_any(name: &Name, writable: bool) -> Result<Option<Found>, Error> {
    let forks = os::fork::forks_begun_and_over();
    let Some(Ours { file, status, start }) = open_ours(name, writable)? else { return Ok(None) };
    let contents = if Header::is_unfinished(name, &start, status.len)? {
        None
    } else {
        let (header, identity, lock_kind) = Header::validate(name, &start, status.len)?;
        Some(Valid { header, identity, lock_kind })
    };
    Ok(Some(Found { open: Open { file, forks, status }, contents }))
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
///
/// Start and length belong together: an orphan may be made anew meanwhile, and be short in between, but then the start
/// differs when it is read again. Who changes it or the name each time does so on purpose, and is let have his way.
pub(super) fn open_ours(name: &Name, writable: bool) -> Result<Option<Ours>, Error> {
    const ATTEMPTS: usize = 100;
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let Some((reading, first_status)) = open_regular(name, false)? else { return Ok(None) };
        let start = read_start(&reading).map_err(|error| os_error(name, "could not read the segment", error))?;
        point!("open: read");
        Header::check_magic(name, &start, first_status.len)?;
        let opened = match writable {
            true => open_checked(name, true)?, // of the name, what it leads to was looked at just now
            false => {
                let status =
                    file::status(&reading).map_err(|error| os_error(name, "could not inspect the segment", error))?;
                Some((reading, status))
            }
        };
        let Some((file, status)) = opened else { return Ok(None) };
        if !status.is_same_file(&first_status) {
            continue; // somebody has replaced it
        }
        point!("open: opened");
        let is_whole = read_start(&file).map_err(|error| os_error(name, "could not read the segment", error))? == start;
        last = Some(Ours { file, status, start });
        if is_whole {
            break;
        }
    }
    Ok(last)
}

fn read_start(file: &File) -> io::Result<Vec<u8>> {
    let mut start = vec![0; HEADER_LEN];
    let len = read_up_to(file, &mut start)?;
    start.truncate(len);
    Ok(start)
}

/// Opens a regular file; anything else under the name is `NotASegment`.
pub(super) fn open_regular(name: &Name, writable: bool) -> Result<Option<(File, Status)>, Error> {
    match file::status_of(name.as_str()) {
        Ok(status) => check_regular(name, &status)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(os_error(name, "could not look at the segment", error)),
    }
    open_checked(name, writable)
}

fn check_regular(name: &Name, status: &Status) -> Result<(), Error> {
    status.strange.map_or(Ok(()), |kind| Err(layout::not_a_segment(name, kind.to_owned())))
}

/// The second half of [`open_regular`]: a regular file had the name a moment ago.
fn open_checked(name: &Name, writable: bool) -> Result<Option<(File, Status)>, Error> {
    let file = match file::open(name.as_str(), writable) {
        Ok(file) => file,
        Err(error) => match error.raw_os_error() {
            Some(libc::ENOENT) => return Ok(None),
            Some(libc::ELOOP | libc::EISDIR | libc::ENXIO | libc::ENODEV) => {
                return Err(layout::not_a_segment(name, "something that was a file a moment ago".to_owned()));
            }
            _ => return Err(os_error(name, "could not open the segment", error)),
        },
    };
    let status = file::status(&file).map_err(|error| os_error(name, "could not inspect the segment", error))?;
    check_regular(name, &status)?;
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

fn check_owner(name: &Name, Open { file, status, .. }: &Open, allowed: &[u32]) -> Result<(), Error> {
    let me = os::process::effective_uid();
    if status.owner != me && !allowed.contains(&status.owner) {
        return Err(Error::ForeignOwner { name: name.shared(), expected: me, found: status.owner });
    }
    if !os::owner::is_told(file, status.owner) {
        return Err(Error::UnknownOwner { name: name.shared(), found: status.owner });
    }
    Ok(())
}

/// One attempt to become a user of the segment.
pub(super) fn try_open(name: &Name, identity: &Identity, settings: &Settings) -> Result<Attempt, Error> {
    registered::install_hooks()
        .map_err(|error| os_error(name, "could not prepare for forks before opening the segment", error))?;
    let Some(Found { open, contents }) = open_any(name, true)? else { return Ok(Attempt::NotThere) };
    check_owner(name, &open, &settings.allowed_owners)?;
    point!("open: validated");
    let is_orphan =
        file::try_exclude(&open.file).map_err(|error| os_error(name, "could not lock the segment", error))?;
    point!("open: asked whether it is an orphan");
    let valid = match contents {
        Some(valid) if valid.header.persistent() || !is_orphan => valid,
        None if !is_orphan => return Ok(Attempt::Busy), // somebody is making it
        _ => {
            let left = Orphan::remove(open, name)?;
            point!("open: orphan removed");
            return Ok(left.map_or(Attempt::Busy, Attempt::Orphan));
        }
    };
    let file = &open.file;
    let take_over = || {
        take_over(file, &open.status, &valid).map_err(|error| os_error(name, "could not take over the segment", error))
    };
    let admitted = admit(name, identity, settings, &open.status, &valid);
    if let Err(error) = admitted.and_then(|()| if is_orphan { take_over() } else { Ok(()) }) {
        // Explicitly, and not by closing: a child that was forked meanwhile has the description, too.
        if is_orphan {
            let _ = file.unlock();
            point!("open: orphan given back");
        } else if matches!(file::count_present(file), Ok(0)) || !is_still(file, &valid.header) {
            return Ok(Attempt::Busy); // held by whoever is removing it, or making it anew: what is dead does not count
        }
        return Err(error);
    }
    share_and_map(name, open, valid)
}

/// Is the segment what this program expects?
fn admit(name: &Name, identity: &Identity, settings: &Settings, status: &Status, found: &Valid) -> Result<(), Error> {
    check_identity(name, identity, &found.identity)?;
    check_options(name, settings, status, found)?;
    found.header.check_c_library(name)?;
    check_lock(name, found.lock_kind)
}

/// Does the file have this header?
fn is_still(file: &File, header: &Header) -> bool {
    matches!(read_header(file), Ok(Some(now)) if now.is_same_segment(header))
}

fn read_header(file: &File) -> io::Result<Option<Header>> {
    let mut bytes = [0; HEADER_LEN];
    let len = read_up_to(file, &mut bytes)?;
    Ok((len == HEADER_LEN).then(|| bytemuck::pod_read_unaligned(&bytes)))
}

/// Announces this user, and only then maps.
pub(super) fn share_and_map(name: &Name, open: Open, valid: Valid) -> Result<Attempt, Error> {
    let (Open { file, forks, status: first }, Valid { header, lock_kind, .. }) = (open, valid);
    point!("open: admitted");
    let announced = Registered::announce(file, first, name, header.persistent(), forks);
    let Some(presence) = announced.map_err(|error| os_error(name, "could not keep open the segment", error))? else {
        return Ok(Attempt::Busy); // a fork has come in between
    };
    let shared = presence.share();
    if !shared.map_err(|error| os_error(name, "could not share the segment", error))? {
        return Ok(Attempt::Busy);
    }
    // From here on this process is a user, and leaves as one whatever goes wrong.
    // A second look, now that nobody removes it for want of users, or makes it anew.
    let status = presence.status().map_err(|error| os_error(name, "could not inspect the segment", error))?;
    let now =
        read_header(presence.just_opened()).map_err(|error| os_error(name, "could not read the segment", error))?;
    let is_same = |now: &Header| now.is_same_segment(&header) && status.links > 0 && status.owner == first.owner;
    let Some(now) = now.filter(is_same) else { return Ok(Attempt::Busy) };
    if status.len < header.total_len {
        return Err(layout::truncated(name, header.total_len, status.len));
    }
    point!("open: checked");
    check_namespace(name, lock_kind, now.pid_namespace)?;
    let Some(memory) = map::map(name, &status, &now)? else { return Ok(Attempt::Busy) };
    point!("open: mapped");
    Ok(Attempt::Opened(Box::new(Mapping::new(memory, &now, lock_kind, name.clone(), presence)?)))
}

/// Is the segment usable from here? What the header said before this process was a user is no answer: somebody may just
/// have been taking the segment over.
fn check_namespace(name: &Name, kind: LockKind, found: u64) -> Result<(), Error> {
    let expected = os::namespace::pid_namespace();
    if found == expected || mutex::may_cross_namespaces(kind) {
        return Ok(());
    }
    Err(Error::ForeignPidNamespace { name: name.shared(), expected, found })
}

fn check_identity(name: &Name, expected: &Identity, found: &Identity) -> Result<(), Error> {
    if expected.admits(found) {
        return Ok(());
    }
    let (expected, found) = describe_mismatch(expected, found);
    Err(Error::TypeMismatch { name: name.shared(), expected, found })
}

/// What the opener states must be so; what it does not state, it follows.
fn check_options(name: &Name, settings: &Settings, status: &Status, found: &Valid) -> Result<(), Error> {
    struct Octal(u32);
    impl fmt::Display for Octal {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{:#05o}", self.0)
        }
    }
    let check = |option, is_so: bool, expected: Option<String>, found: String| match expected {
        Some(expected) if !is_so => Err(Error::OptionMismatch { name: name.shared(), option, expected, found }),
        _ => Ok(()),
    };
    let (persistent, poison) = (found.header.persistent(), found.header.poisons());
    let mode = status.mode & 0o777;
    let text = |it: bool| it.to_string();
    let kind = |kind: LockKind| format!("LockKind::{kind:?}");
    check("persistent", settings.persistent == Some(persistent), settings.persistent.map(text), text(persistent))?;
    check("poison", settings.poison == Some(poison), settings.poison.map(text), text(poison))?;
    check(
        "lock_kind",
        settings.lock_kind == Some(found.lock_kind),
        settings.lock_kind.map(kind),
        kind(found.lock_kind),
    )?;
    check(
        "mode",
        settings.mode == Some(mode),
        settings.mode.map(|mode| Octal(mode).to_string()),
        Octal(mode).to_string(),
    )
}

fn check_lock(name: &Name, kind: LockKind) -> Result<(), Error> {
    mutex::check_available(kind).map_err(|source| LockError::io(name.shared(), "could not use the lock", source).into())
}

/// Takes over a persistent segment whose users are all gone, while holding it exclusively: a holder in the lock is dead,
/// whatever namespace it was in, and from now on ours counts.
///
/// But one that lives here and has the file mapped is a user whose descriptors its program has closed, and its lock is
/// its own.
fn take_over(file: &File, status: &Status, valid: &Valid) -> io::Result<()> {
    file::check_limit(BODY_OFFSET as u64)?; // all writes are in front of it
    let mut line = [0; size_of::<LockLine>()];
    file.read_exact_at(&mut line, LOCK_OFFSET as u64)?;
    point!("take over: lock read");
    let rule = Poison::of(valid.identity.shape.kind, valid.header.poisons());
    let holder = mutex::state(valid.lock_kind, &line, valid.header.pid_namespace, rule).holder_here;
    if holder.is_some_and(|holder| os::process::maps(holder, status)) {
        return Ok(());
    }
    let next = mutex::after_all_users_left(valid.lock_kind, &line, rule)?;
    if next != line {
        file.write_all_at(&next, LOCK_OFFSET as u64)?;
        point!("take over: lock written");
    }
    let namespace = os::namespace::pid_namespace();
    if valid.header.pid_namespace != namespace {
        file.write_all_at(&namespace.to_ne_bytes(), offset_of!(Header, pid_namespace) as u64)?;
        point!("take over: namespace written");
    }
    Ok(())
}

/// Who has a name.
pub(super) enum Who {
    /// Its users, or it is persistent.
    Users,
    /// Nobody, any more.
    Nobody,
    /// Killed users, and what they have left cannot be removed.
    TheDead(Orphan),
}

/// Who has this name? What killed users have left is removed.
pub(super) fn who_has(name: &Name, allowed_owners: &[u32]) -> Result<Who, Error> {
    let Some(Found { open, contents }) = open_any(name, true)? else { return Ok(Who::Nobody) };
    check_owner(name, &open, allowed_owners)?;
    let file = &open.file;
    if contents.is_some_and(|valid| valid.header.persistent()) {
        return Ok(Who::Users);
    }
    let lock_error = |error| os_error(name, "could not lock the segment", error);
    if !file::try_exclude(file).map_err(lock_error)? {
        point!("in use: not an orphan");
        if !file::try_share(file).map_err(lock_error)? {
            return Ok(Who::Nobody); // somebody is removing it, or making it anew
        }
        // A user now, for a moment: so leave as users do.
        point!("in use: shared");
        if !file::try_exclude(file).map_err(lock_error)? {
            point!("in use: by others");
            return Ok(Who::Users);
        }
    }
    point!("in use: excluded");
    let left = Orphan::remove(open, name)?;
    point!("in use: orphan removed");
    Ok(left.map_or(Who::Nobody, Who::TheDead))
}

/// The error for what the operating system said.
pub(super) fn os_error(name: &Name, action: &'static str, source: io::Error) -> Error {
    if source.kind() != io::ErrorKind::PermissionDenied {
        return Error::io(name.shared(), action, source);
    }
    let found = match file::status_of(name.as_str()) {
        Ok(status) => format!("owner uid {}, mode {:04o}", status.owner, status.mode),
        Err(_) => "no access to /dev/shm".to_owned(),
    };
    Error::PermissionDenied { name: name.shared(), found, source }
}
