//! Becoming a user of a segment: it is looked at, admitted, shared, looked at again, and only then mapped.

use std::fmt;
use std::fs::File;
use std::sync::Arc;

use super::found::{self, Excluded, Found, OpenFile, ValidHeader, check_owner, os_error, read_header};
use super::orphan::{self, IrremovableOrphan};
use super::registered::{self, Registered, in_one_process};
use super::retries::Retries;
use super::{Contents, Mapping, Segment, take_over};
use crate::error::{Error, LockError};
use crate::fault::point;
use crate::identity::{Description, Identity};
use crate::layout::{self, Header, MAX_READERS};
use crate::name::Name;
use crate::options::{LockKind, Settings};
use crate::os::file::Status;
use crate::os::file_lock;
use crate::os::map::Map;
use crate::sync::mutex;

impl<C: Contents> Segment<C> {
    /// `stated`: what is expected where the type leaves something open.
    pub(crate) fn open(name: &str, settings: &Settings, stated: &C::Stated) -> Result<Self, Error> {
        let name = Name::new(name)?;
        check_readers(&name, settings)?;
        let identity = C::identity(&name, settings, stated)?;
        let mut retries = Retries::new();
        loop {
            match in_one_process(Attempt::Busy, || try_open(&name, &identity, settings))? {
                Attempt::Opened(mapping) => return Ok(Self::new(*mapping)),
                Attempt::NotThere => return Err(Error::NotFound { name: name.shared() }),
                Attempt::Orphan(orphan) => {
                    orphan.give_back();
                    return Err(Error::NotFound { name: name.shared() }); // what is dead does not count
                }
                Attempt::Busy => retries.wait(&name, "could not open the segment")?,
            }
        }
    }
}

/// What one attempt to open came to.
pub(super) enum Attempt {
    Opened(Box<Mapping>),
    NotThere,
    /// What killed users have left, and this process may not remove.
    Orphan(IrremovableOrphan),
    /// Somebody is removing the segment, or has just replaced it: try again.
    Busy,
}

/// One attempt to become a user of the segment.
pub(super) fn try_open(name: &Name, identity: &Identity, settings: &Settings) -> Result<Attempt, Error> {
    registered::install_hooks()
        .map_err(|error| os_error(name, "could not prepare for forks before opening the segment", error))?;
    let Some(mut found) = found::open_validated(name, true)? else { return Ok(Attempt::NotThere) };
    check_owner(name, &found.open, &settings.allowed_owners)?;
    point!("open: validated");
    let has_no_users = match found.try_exclude(name)? {
        Excluded::No => false,
        Excluded::Yes => true,
        Excluded::Anew => return Ok(Attempt::Busy),
    };
    point!("open: asked whether it is an orphan");
    let Found { open, contents } = found;
    let valid = match contents {
        Some(valid) if valid.header.persistent() || !has_no_users => valid,
        None if !has_no_users => return Ok(Attempt::Busy), // somebody is making it
        _ => {
            let left = orphan::remove(open, name)?;
            point!("open: orphan dealt with");
            return Ok(left.map_or(Attempt::Busy, Attempt::Orphan));
        }
    };
    let file = &open.file;
    let take_over = || {
        take_over::take_over(file, &open.status, &valid)
            .map_err(|error| os_error(name, "could not take over the segment", error))
    };
    let admitted = admit(name, identity, settings, &open.status, &valid);
    if let Err(error) = admitted.and_then(|()| if has_no_users { take_over() } else { Ok(()) }) {
        // Explicitly, and not by closing: a child that was forked meanwhile has the description, too.
        if has_no_users {
            let _ = file_lock::unlock(file);
            point!("open: orphan given back");
        } else if matches!(file_lock::count_present(file), Ok(0)) || !is_still(file, &valid.header) {
            return Ok(Attempt::Busy); // held by whoever is removing it, or making it anew: what is dead does not count
        }
        return Err(error);
    }
    point!("open: admitted");
    match announce(name, open, &valid.header)? {
        Some(presence) => {
            // What only this program says, goes for want of anything else.
            let identity = if valid.identity.schema().is_some() { &valid.identity } else { identity };
            share_and_map(name, presence, &valid, identity.description.clone(), false)
        }
        None => Ok(Attempt::Busy),
    }
}

/// Is the segment what this program expects?
fn admit(
    name: &Name,
    identity: &Identity,
    settings: &Settings,
    status: &Status,
    found: &ValidHeader,
) -> Result<(), Error> {
    check_identity(name, identity, &found.identity)?;
    check_options(name, settings, status, found)?;
    found.header.check_c_library(name)?;
    check_lock(name, found.lock_kind)
}

/// Does the file have this header?
fn is_still(file: &File, header: &Header) -> bool {
    matches!(read_header(file), Ok(Some(now)) if now.is_same_segment(header))
}

/// Announces this user; `None` when a fork has come in between.
pub(super) fn announce(name: &Name, open: OpenFile, header: &Header) -> Result<Option<Registered>, Error> {
    let OpenFile { file, forks, status } = open;
    Registered::announce(file, status, name, header.persistent(), forks)
        .map_err(|error| os_error(name, "could not keep open the segment", error))
}

/// Becomes a user, and only then maps. `creates`: of what it has just made itself.
pub(super) fn share_and_map(
    name: &Name,
    presence: Registered,
    valid: &ValidHeader,
    description: Option<Arc<Description>>,
    creates: bool,
) -> Result<Attempt, Error> {
    let &ValidHeader { ref header, lock_kind, .. } = valid;
    let first = *presence.opened();
    let shared = presence.share();
    if !shared.map_err(|error| os_error(name, "could not share the segment", error))? {
        return Ok(Attempt::Busy);
    }
    // From here on this process is a user, and leaves as one whatever goes wrong.
    // A second look, now that nobody removes it for want of users, or makes it anew.
    let status = presence.status().map_err(|error| os_error(name, "could not inspect the segment", error))?;
    let now =
        read_header(presence.just_opened()).map_err(|error| os_error(name, "could not read the segment", error))?;
    let is_same = |now: &Header| now.is_same_segment(header) && status.links > 0 && status.owner == first.owner;
    let Some(now) = now.filter(is_same) else { return Ok(Attempt::Busy) };
    if status.len < header.total_len {
        return Err(layout::truncated(name, header.total_len, status.len));
    }
    point!("open: checked");
    let map = len_of(&now).map_or(Ok(None), |len| Map::of(name.as_str(), &status, len));
    let Some(map) = map.map_err(|error| os_error(name, "could not map the segment", error))? else {
        return Ok(Attempt::Busy); // its name leads elsewhere now
    };
    point!("open: mapped");
    Ok(Attempt::Opened(Box::new(Mapping::new(map, &now, lock_kind, name.clone(), description, presence, creates)?)))
}

/// The length of its mapping.
pub(super) fn len_of(header: &Header) -> Option<usize> {
    usize::try_from(header.total_len).ok()
}

pub(super) fn check_identity(name: &Name, expected: &Identity, found: &Identity) -> Result<(), Error> {
    match expected.mismatch(found) {
        None => Ok(()),
        Some((expected, found)) => Err(Error::TypeMismatch { name: name.shared(), expected, found }),
    }
}

/// Can a segment have so many reader slots?
pub(super) fn check_readers(name: &Name, settings: &Settings) -> Result<(), Error> {
    match settings.readers {
        Some(readers) if readers > MAX_READERS => Err(Error::InvalidArgument {
            name: name.shared(),
            what: "the number of reader slots",
            expected: format!("0 to {MAX_READERS}"),
            found: readers.to_string(),
        }),
        _ => Ok(()),
    }
}

/// What the opener states must be so; what it does not state, it follows.
pub(super) fn check_options(
    name: &Name,
    settings: &Settings,
    status: &Status,
    found: &ValidHeader,
) -> Result<(), Error> {
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
    let readers = found.header.readers as usize;
    check(
        "readers",
        settings.readers == Some(readers),
        settings.readers.map(|readers| readers.to_string()),
        readers.to_string(),
    )?;
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
