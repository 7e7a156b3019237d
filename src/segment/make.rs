//! Making the file of a new segment: complete first, named last.

use std::fs::File;
use std::io;
use std::mem::offset_of;
use std::time::SystemTime;

use super::Mapping;
use super::fresh_name::private_name;
use super::registered::{self, Registered};
use super::{found, open};
use crate::error::{Error, LockError};
use crate::fault::point;
use crate::identity::Identity;
use crate::kind::Kind;
use crate::layout::{Creation, Header, PAGE};
use crate::name::Name;
use crate::options::Settings;
use crate::os::map::{Map, Mark};
use crate::os::{self, directory, file, unnamed};
use crate::sync::mutex;

/// One attempt; `None` when the name is taken, or when a sweep or `remove` was faster.
pub(super) fn try_make(
    name: &Name,
    identity: &Identity,
    settings: &Settings,
    initial: &[u8],
) -> Result<Option<Mapping>, Error> {
    let plan = prepare(name, identity, settings, initial)?;
    let header = &plan.header;
    point!("create: prepared");
    let finished = make_and_name(name, &plan, settings);
    let finished = finished.map_err(|error| create_error(name, header.total_len, error))?;
    let Some(presence) = finished else { return Ok(None) };
    let mapped = open::len_of(header).map_or(Ok(None), |len| {
        let mark = Mark { offset: offset_of!(Header, id), number: header.id };
        Map::of_new(name.as_str(), presence.opened(), len, mark)
    });
    let map = match mapped {
        Ok(Some(map)) => map,
        Ok(None) => return Ok(None),
        Err(error) => {
            presence.retract();
            return Err(found::os_error(name, "could not map the segment", error));
        }
    };
    point!("create: mapped");
    let description = identity.description.clone();
    Mapping::new(map, header, settings.lock_kind(), name.clone(), description, presence, true).map(Some)
}

/// What is to be in a new segment. All else is zero.
pub(super) struct Plan<'a> {
    pub(super) header: Header,
    /// Header, lock line, readers' slots.
    pub(super) image: Vec<u8>,
    /// The first bytes of the data.
    initial: &'a [u8],
    /// The text that describes the elements.
    description: &'a [u8],
    /// Is memory reserved for it at once?
    reserve: bool,
}

/// Does all that can fail before a file exists.
pub(super) fn prepare<'a>(
    name: &Name,
    identity: &'a Identity,
    settings: &Settings,
    initial: &'a [u8],
) -> Result<Plan<'a>, Error> {
    check_lock_kind(name, identity.shape.kind, settings)?;
    let lock = mutex::new(settings.lock_kind()).map_err(|source| lock_unavailable(name, source))?;
    registered::install_hooks()
        .map_err(|error| found::os_error(name, "could not prepare for forks before creating the segment", error))?;
    let creation = Creation {
        id: os::random_id(),
        lock_kind: settings.lock_kind(),
        persistent: settings.persistent(),
        poison: settings.poison(),
        readers: settings.readers() as u32, // checked by the builder, and again below
        pid_namespace: os::namespace::pid_namespace(),
        created: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |age| age.as_nanos() as u64),
        creator_pid: std::process::id(),
        creator_uid: os::owner::effective_uid(),
    };
    let header = Header::new(identity, creation).ok_or_else(|| out_of_memory(name, u64::MAX))?;
    // What no opener would accept must not be made.
    let image = header.image(lock);
    let description = identity.description.as_ref().map_or(&[][..], |description| description.text.as_bytes());
    Header::validate(name, &image, header.total_len, |_| Ok(description.into()))?;
    file::check_limit(header.total_len).map_err(|error| create_error(name, header.total_len, error))?;
    Ok(Plan { header, image, initial, description, reserve: settings.reserve })
}

/// Makes the file and gives it its name, last; `None` when the name is taken, or when a sweep or `remove` was faster.
///
/// Without a name the kernel forgets what a dead creator leaves. Where that cannot be, because the file system, the
/// kernel (before Linux 6.10, without `/proc`) or a sandbox does not let it be made or linked, it has a private name
/// first.
fn make_and_name(name: &Name, plan: &Plan<'_>, settings: &Settings) -> io::Result<Option<Registered>> {
    match open_announced(name, settings, unnamed::create_unnamed) {
        Ok(presence) => {
            point!("create: made without a name");
            if !fill(&presence, plan, settings)? {
                return Ok(None);
            }
            match unnamed::link(presence.just_opened(), name.as_c_str()) {
                Ok(()) => {
                    point!("create: linked");
                    return Ok(Some(presence));
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
                Err(error) if unnamed::wants_a_name(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Err(error) if unnamed::wants_a_name(&error) => {}
        Err(error) => return Err(error),
    }
    let private = PrivateName(private_name(name));
    let presence = open_announced(name, settings, || match file::create_private(&private.0) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            file::unlink(&private.0)?; // of an attempt that a fork has spoilt
            file::create_private(&private.0)
        }
        result => result,
    })?;
    if !fill(&presence, plan, settings)? {
        return Ok(None);
    }
    match file::link_private(&private.0, name.as_str()) {
        Ok(()) => Ok(Some(presence)), // the private name ends here; the file keeps its public one
        // NotFound: a sweep has taken the private name for a dead creator's.
        Err(error) if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens a file, so that every child that is forked from now on knows of it.
fn open_announced(name: &Name, settings: &Settings, make: impl Fn() -> io::Result<File>) -> io::Result<Registered> {
    loop {
        let forks = os::fork::forks_begun_and_over();
        let file = make().inspect(|_| {
            point!("create: opened");
        })?;
        let status = file::status(&file)?;
        if let Some(presence) = Registered::announce(file, status, name, settings.persistent(), forks)? {
            return Ok(presence);
        }
    }
}

/// Everything that a segment needs before it may have a name, its creator's presence included. `false` when a sweep is
/// removing the private name, which it has taken for a dead creator's.
fn fill(presence: &Registered, plan: &Plan<'_>, settings: &Settings) -> io::Result<bool> {
    let file = presence.just_opened();
    if file::ensure_mode(file, presence.opened(), settings.mode())? {
        point!("create: mode set");
    }
    plan.write(file, 0)?;
    point!("create: written");
    presence.share()
}

impl Plan<'_> {
    /// Into a file of `len` zeros, but for its header.
    pub(super) fn write(&self, file: &File, len: u64) -> io::Result<()> {
        let Self { header, image, initial, description, reserve } = self;
        if header.total_len <= PAGE as u64 {
            // All at once: what is written has its page, so there is nothing to size and to reserve.
            let mut page = [0; PAGE];
            for (part, at) in [(&**image, 0), (initial, header.data_offset), (description, header.schema_offset())] {
                page[at as usize..][..part.len()].copy_from_slice(part);
            }
            return file::write_at(file, &page[..header.total_len as usize], 0);
        }
        if len < header.total_len {
            file::set_len(file, header.total_len)?;
        }
        point!("create: sized");
        if *reserve {
            file::reserve(file, header.total_len)?;
            point!("create: reserved");
        }
        file::write_at(file, image, 0)?;
        point!("create: header written");
        file::write_at(file, initial, header.data_offset)?;
        file::write_at(file, description, header.schema_offset())
    }
}

/// A name that goes when it is dropped. A creator that is killed leaves it; the next sweep of the same user finds the
/// file unlocked and removes it.
struct PrivateName(String);

impl Drop for PrivateName {
    fn drop(&mut self) {
        // A failure leaves a second name for a while, which a sweep removes.
        let _ = file::unlink(&self.0);
    }
}

fn check_lock_kind(name: &Name, kind: Kind, settings: &Settings) -> Result<(), Error> {
    let lock_kind = settings.lock_kind();
    let asks_for_readers = kind.body().has_readers() && settings.readers() != 0;
    let what = match (lock_kind.serves(kind), lock_kind.has_readers() || !asks_for_readers) {
        (true, true) => return Ok(()),
        (false, _) => "",
        (true, false) => " with reader slots",
    };
    let text = format!(
        "there is no {}{what} with LockKind::{lock_kind:?}, because what is the C library's is a mutex and nothing else; state another kind, or none",
        kind.name()
    );
    Err(lock_unavailable(name, io::Error::new(io::ErrorKind::Unsupported, text)))
}

fn lock_unavailable(name: &Name, source: io::Error) -> Error {
    LockError::io(name.shared(), "could not create the lock", source).into()
}

pub(super) fn create_error(name: &Name, requested: u64, error: io::Error) -> Error {
    if file::is_out_of_space(&error) {
        return out_of_memory(name, requested);
    }
    if error.kind() == io::ErrorKind::QuotaExceeded {
        let text = format!(
            "the disk quota of this user in {} is used up, and {requested} bytes are needed: remove unused segments (remove_orphans), or have it raised",
            directory::place()
        );
        return Error::io(name.shared(), "could not create the segment", io::Error::new(error.kind(), text));
    }
    found::os_error(name, "could not create the segment", error)
}

fn out_of_memory(name: &Name, requested: u64) -> Error {
    Error::OutOfSharedMemory {
        name: name.shared(),
        requested,
        available: file::available_space().unwrap_or(0),
        place: directory::place(),
        remedy: directory::HOW_TO_ENLARGE,
    }
}
