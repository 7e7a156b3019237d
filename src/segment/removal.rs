//! How a name goes away: by its last user, as an orphan, or because somebody asks for it.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use super::create::PRIVATE_PREFIX;
use super::open::{self, Retries};
use crate::error::Error;
use crate::fault::point;
use crate::layout::{HEADER_LEN, Header};
use crate::name::Name;
use crate::os::{self, file, process};

/// Removes the name if it still leads to this very file. The caller holds the file exclusively, or was asked to.
///
/// `false`: somebody else is removing it at this moment, or has done so.
pub(super) fn unlink_exact(file: &File, name: &Name) -> io::Result<bool> {
    // Whoever removes this name must hold this lock of this file. So while we hold it, and the name leads here, nobody
    // can remove it and put a successor in its place.
    if !file::try_guard_name(file)? {
        return Ok(false);
    }
    point!("unlink: guarded");
    let unlinked = unlink_guarded(file, name);
    if matches!(unlinked, Ok(Unlinked::TheLastName)) {
        return Ok(true); // what has no name needs no guard, and this one goes with the file
    }
    // By hand: a child that was forked meanwhile has the description, too, and would go on to guard.
    let released = file::release_name(file);
    point!("unlink: guard released");
    released.and(unlinked).map(|unlinked| unlinked != Unlinked::Nothing)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unlinked {
    Nothing,
    OneOfSeveral,
    TheLastName,
}

fn unlink_guarded(file: &File, name: &Name) -> io::Result<Unlinked> {
    let here = match file::status_of(name.as_str()) {
        Ok(there) => Some(file::status(file)?).filter(|here| there.is_same_file(here)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    point!("unlink: checked");
    let Some(here) = here else { return Ok(Unlinked::Nothing) };
    file::unlink(name.as_str())?;
    point!("unlink: unlinked");
    // A file has two names while it is made where there are no unnamed ones, and if somebody has made a hard link.
    Ok(if here.links > 1 { Unlinked::OneOfSeveral } else { Unlinked::TheLastName })
}

/// As [`unlink_exact`], for an orphan that the caller holds exclusively only because it is one: gives that lock back, by
/// hand for the same reason.
pub(super) fn remove_orphan(file: &File, name: &Name) -> io::Result<bool> {
    let unlinked = unlink_exact(file, name);
    let _ = file.unlock();
    unlinked
}

/// Removes the name of a segment. Programs that have it open keep it and go on; the next `create` makes a new one.
///
/// This is how a persistent segment ends. A damaged segment of this format is removed, too; a file that is not a
/// segment never is.
///
/// # Errors
///
/// [`Error::NotFound`] when there is no such name, [`Error::NotASegment`] or [`Error::UnsupportedFormat`] when the file
/// is not ours, [`Error::PermissionDenied`] when it belongs to somebody else, [`Error::InvalidName`].
///
/// # Examples
///
/// ```
/// use robust_shm::{Error, SharedValue};
///
/// let name = robust_shm::unique_name("remove");
/// let value = SharedValue::create(&name, 1u32)?;
/// robust_shm::remove(&name)?;
/// assert!(matches!(SharedValue::<u32>::open(&name), Err(Error::NotFound { .. })));
/// assert_eq!(value.get(), 1); // still there for those who hold it
/// # Ok::<(), Error>(())
/// ```
pub fn remove(name: &str) -> Result<(), Error> {
    let name = Name::new(name)?;
    let mut retries = Retries::new();
    loop {
        let Some((file, status)) = open::open_regular(&name, true)? else {
            return Err(Error::NotFound { name: name.shared() });
        };
        let mut bytes = [0; HEADER_LEN];
        let len = open::read_up_to(&file, &mut bytes).map_err(|error| open::os_error(&name, "read", error))?;
        match Header::recognise(&name, &bytes[..len], status.len) {
            Ok(_) | Err(Error::Truncated { .. }) => {}
            Err(error) => return Err(error),
        }
        point!("remove: recognised");
        if unlink_exact(&file, &name).map_err(|error| open::os_error(&name, "remove", error))? {
            point!("remove: removed");
            return Ok(());
        }
        retries.wait(&name, "remove")?;
    }
}

/// Removes the segments of this user whose users were all killed, and returns their names.
///
/// Creating any segment does the same in passing, so this is for programs that want to be sure, or to know. Live and
/// persistent segments, other users' segments and files that are not segments are left alone.
///
/// # Errors
///
/// [`Error::Io`] when the shared-memory directory cannot be read.
///
/// # Examples
///
/// ```
/// for name in robust_shm::remove_orphans()? {
///     println!("removed {name}");
/// }
/// # Ok::<(), robust_shm::Error>(())
/// ```
pub fn remove_orphans() -> Result<Vec<String>, Error> {
    let unreadable = |error| Error::Io { name: "*".into(), action: "list in /dev/shm every", source: error };
    let mut removed = Vec::new();
    for name in file::names().map_err(unreadable)? {
        let name = name.map_err(unreadable)?;
        if remove_if_orphan(&name).unwrap_or(false) && !is_private(&name) {
            removed.push(name);
        }
    }
    Ok(removed)
}

/// The same in passing, before a creation. To keep creation cheap where there are many segments, it rests for ten times
/// as long as it took: it costs a tenth of a program's time at most.
pub(super) fn sweep() {
    /// When the next sweep is due, on the clock of `monotonic_nanos`.
    static DUE: AtomicU64 = AtomicU64::new(0);
    const REST: u64 = 10;
    let start = os::monotonic_nanos();
    let due = DUE.load(Ordering::Relaxed);
    // Whoever moves the date on does the work.
    if start < due || DUE.compare_exchange(due, start + 1_000_000_000, Ordering::Relaxed, Ordering::Relaxed).is_err() {
        return;
    }
    let _ = remove_orphans(); // a failure must not fail the creation that it precedes
    let end = os::monotonic_nanos();
    DUE.store(end + REST * (end - start), Ordering::Relaxed);
}

fn remove_if_orphan(name: &str) -> Result<bool, Error> {
    let name = Name::new(name)?;
    let Some((file, status)) = open::open_regular(&name, true)? else { return Ok(false) };
    if status.owner != process::effective_uid() {
        return Ok(false);
    }
    let is_temporary = is_private(name.as_str()) || {
        let mut bytes = [0; HEADER_LEN];
        let len = open::read_up_to(&file, &mut bytes).map_err(|error| open::os_error(&name, "read", error))?;
        let (header, ..) = Header::validate(&name, &bytes[..len], status.len)?;
        !header.persistent()
    };
    point!("sweep: looked at one");
    let unused = is_temporary && file::try_exclude(&file).map_err(|error| open::os_error(&name, "lock", error))?;
    if !unused {
        return Ok(false);
    }
    point!("sweep: orphan excluded");
    let removed = remove_orphan(&file, &name).map_err(|error| open::os_error(&name, "remove", error))?;
    point!("sweep: orphan removed");
    Ok(removed)
}

/// Is this the name of an unfinished segment?
pub(crate) fn is_private(name: &str) -> bool {
    name.starts_with(PRIVATE_PREFIX)
}
