//! How a name goes away: by its last user, as an orphan, or because somebody asks for it.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::found::{self, Excluded, Found, Ours};
use super::retries::Retries;
use crate::error::Error;
use crate::fault::point;
use crate::layout::HEADER_LEN;
use crate::name::{Name, is_private};
use crate::os::file::Status;
use crate::os::{self, directory, file, file_lock};

/// Removes the name if it still leads to this very file, which has this status. The caller holds the file exclusively, or was asked to.
///
/// `false`: somebody else is removing it at this moment, or has done so.
pub(super) fn unlink_exact(file: &File, status: &Status, name: &Name) -> io::Result<bool> {
    // Whoever removes this name must hold this lock of this file. So while we hold it, and the name leads here, nobody
    // can remove it and put a successor in its place.
    let Some(guard) = file_lock::try_guard_name(file)? else { return Ok(false) };
    point!("unlink: guarded");
    let unlinked = unlink_guarded(status, name);
    if matches!(unlinked, Ok(Unlinked::TheLastName)) {
        return Ok(true); // what has no name needs no guard, and this one goes with the file
    }
    // By hand: a child that was forked meanwhile has the description, too, and would go on to guard.
    let released = file_lock::release_name(file, guard);
    point!("unlink: guard released");
    released.and(unlinked).map(|unlinked| unlinked != Unlinked::Nothing)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unlinked {
    Nothing,
    OneOfSeveral,
    TheLastName,
}

fn unlink_guarded(status: &Status, name: &Name) -> io::Result<Unlinked> {
    let here = match file::status_of(name.as_str()) {
        Ok(there) => Some(there).filter(|there| there.is_same_file(status)),
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

/// Removes the name of a segment. Programs that have it open keep it and go on; the next `create` makes a new one.
///
/// This is how a persistent segment ends. A damaged segment is removed, too, and one that another version of this crate
/// has made; a file that is not a segment never is.
///
/// # Errors
///
/// [`Error::NotFound`] when there is no such name, [`Error::NotASegment`] when the file is not ours,
/// [`Error::PermissionDenied`] when it belongs to somebody else, [`Error::InvalidName`].
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
        let Some(Ours { file, status, .. }) = found::open_ours(&name, true)? else {
            return Err(Error::NotFound { name: name.shared() });
        };
        point!("remove: recognised");
        let removed = unlink_exact(&file, &status, &name);
        if removed.map_err(|error| found::os_error(&name, "could not remove the segment", error))? {
            point!("remove: removed");
            return Ok(());
        }
        retries.wait(&name, "could not remove the segment")?;
    }
}

/// Removes the segments of this user whose users were all killed, and returns their names.
///
/// Creating a segment does the same in passing, for as many files as cost little; so this is for programs that want to
/// be sure, or to know. Live and persistent segments, other users' segments and files that are not segments are left
/// alone. On macOS and FreeBSD, what killed users have left beside segments goes, too.
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
    names_for_which(remove_if_orphan)
}

/// The names of what [`remove_orphans`] would remove, if it were called now. Nothing is locked or changed to find them.
///
/// # Errors
///
/// [`Error::Io`] when the shared-memory directory cannot be read.
///
/// # Examples
///
/// ```
/// for name in robust_shm::orphans()? {
///     println!("its users were killed: {name}");
/// }
/// # Ok::<(), robust_shm::Error>(())
/// ```
pub fn orphans() -> Result<Vec<String>, Error> {
    names_for_which(|name| {
        let name = Name::new(name).ok()?; // what is private is not listed
        status_of_own(&name)?.map_or(Some(false), |status| looks_orphaned(&name, &status))
    })
}

fn names_for_which(is_so: impl Fn(&str) -> Option<bool>) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    for name in directory::names().map_err(Error::unlisted)? {
        let name = name.map_err(Error::unlisted)?;
        if is_so(&name).unwrap_or(false) && !is_private(&name) {
            found.push(name);
        }
    }
    Ok(found)
}

/// The same in passing, before a creation. To keep creation cheap where there are many files, it looks at some fifty to a
/// hundred of them and goes on from there the next time; and it rests for ten times as long as it took, so that it costs
/// a tenth of a program's time at most.
pub(super) fn sweep() {
    /// When the next sweep is due, on the clock of `monotonic_nanos`.
    static DUE: AtomicU64 = AtomicU64::new(0);
    /// Where it goes on; [`NOWHERE`] before the first.
    static POSITION: AtomicI64 = AtomicI64::new(NOWHERE);
    const NOWHERE: i64 = -1;
    let start = os::monotonic_nanos();
    let due = DUE.load(Ordering::Relaxed);
    // Whoever moves the date on does the work.
    if start < due || DUE.compare_exchange(due, start + 1_000_000_000, Ordering::Relaxed, Ordering::Relaxed).is_err() {
        return;
    }
    let mut position = Some(POSITION.load(Ordering::Relaxed)).filter(|position| *position != NOWHERE);
    // A failure must not fail the creation that it precedes.
    for name in directory::some_names(&mut position).unwrap_or_default() {
        let _ = remove_if_orphan(&name);
    }
    POSITION.store(position.unwrap_or(NOWHERE), Ordering::Relaxed);
    let end = os::monotonic_nanos();
    DUE.store(end + rest_after(end - start), Ordering::Relaxed);
}

/// How long to rest after a sweep that took so long, in nanoseconds. What took more than a second was stopped in the middle
/// of it, or the machine was: that was no work.
fn rest_after(took: u64) -> u64 {
    10 * took.min(1_000_000_000)
}

/// `None`: something went wrong, or the file is gone.
pub(super) fn remove_if_orphan(name: &str) -> Option<bool> {
    if file_lock::sweep(name) {
        return Some(false); // no segment
    }
    let name = if is_private(name) { Name::of_file(name)? } else { Name::new(name).ok()? };
    let Some(status) = status_of_own(&name)? else { return Some(false) };
    let (file, is_excluded) = if is_private(name.as_str()) {
        let file = found::open_checked(&name, true).ok()??; // whatever is in it yet
        file::status(&file).ok().filter(|opened| opened.is_same_file(&status))?;
        let is_excluded = os::owner::is_told(&file, status.owner) && file_lock::try_exclude(&file).ok()?;
        (file, is_excluded)
    } else if !looks_orphaned(&name, &status)? {
        return Some(false);
    } else {
        let mut found = found::open_validated(&name, true).ok()??;
        Some(found.open.status).filter(|opened| opened.is_same_file(&status))?;
        if found.contents.as_ref().is_some_and(|valid| valid.header.persistent()) {
            return Some(false);
        }
        point!("sweep: looked at one");
        let may = os::owner::is_told(&found.open.file, status.owner);
        let is_excluded = may && matches!(found.try_exclude(&name).ok()?, Excluded::Yes);
        (found.open.file, is_excluded)
    };
    if !is_excluded {
        return Some(false);
    }
    point!("sweep: orphan excluded");
    let removed = unlink_exact(&file, &status, &name);
    let _ = file_lock::unlock(&file); // by hand: a child that was forked meanwhile has the description, too
    point!("sweep: orphan removed");
    removed.ok()
}

/// The status of a file of this user; what cannot be an orphan of ours is not even opened.
fn status_of_own(name: &Name) -> Option<Option<Status>> {
    let status = file::status_of(name.as_str()).ok()?;
    let is_own = status.strange.is_none() && status.owner == os::owner::effective_uid();
    Some(is_own.then_some(status))
}

/// Does it look like an orphan, before anything is done about it? Nearly all that a sweep meets is persistent, or has a user:
/// so it is not opened for writing to find that out.
fn looks_orphaned(name: &Name, status: &Status) -> Option<bool> {
    if status.len < HEADER_LEN as u64 {
        return Some(false);
    }
    let Found { open, contents } = found::open_validated(name, false).ok()??;
    let is_persistent = contents.is_some_and(|valid| valid.header.persistent());
    let is_in_use = is_persistent || file_lock::is_anyone_present(&open.file).ok()?;
    Some(!is_in_use && os::owner::is_told(&open.file, status.owner))
}

#[cfg(test)]
mod tests {
    use super::rest_after;

    #[test]
    fn a_sweep_that_was_stopped_for_an_hour_is_not_the_last_one_of_the_day() {
        assert_eq!([0, 200_000, 1_000_000_000].map(rest_after), [0, 2_000_000, 10_000_000_000]);
        assert_eq!(rest_after(3_600_000_000_000), rest_after(1_000_000_000));
    }
}
