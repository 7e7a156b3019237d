//! What killed users have left under a name.

use std::io;

use super::found::{self, Excluded, OpenFile};
use super::removal;
use crate::error::Error;
use crate::fault::point;
use crate::name::Name;
use crate::os::file::Status;
use crate::os::file_lock;

/// An orphan that this user cannot remove, held exclusively.
pub(super) struct IrremovableOrphan(pub(super) OpenFile);

/// Removes an orphan that is held exclusively. `Some`, still held: this user may not, another segment can be made in its place,
/// and no presence byte is left (a process that is exiting keeps one, because its threads may still run). `None`: it is removed, or not yet free; try again.
pub(super) fn remove(open: OpenFile, name: &Name) -> Result<Option<IrremovableOrphan>, Error> {
    let removed = removal::unlink_exact(&open.file, &open.status, name);
    let may_not = removed.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
    if may_not && can_be_made_anew(&open.status) && matches!(file_lock::count_present(&open.file), Ok(0)) {
        return Ok(Some(IrremovableOrphan(open)));
    }
    let _ = file_lock::unlock(&open.file); // by hand: a child that was forked meanwhile has the description, too
    if may_not && can_be_made_anew(&open.status) {
        return Ok(None);
    }
    removed.map(|_| None).map_err(|error| found::os_error(name, "could not remove the orphaned segment", error))
}

/// Can another segment be made in the place of this file? Not while nobody but its owner may write to it, so that observers
/// of such a one know. That must be asked, because some have more rights than the mode says.
pub(super) fn can_be_made_anew(status: &Status) -> bool {
    const GROUP_OR_OTHERS: u32 = 0o022;
    status.mode & GROUP_OR_OTHERS != 0
}

impl IrremovableOrphan {
    /// Leaves it to its owner.
    pub(super) fn give_back(self) {
        let _ = file_lock::unlock(&self.0.file); // by hand, as above
        point!("orphan: given back");
    }
}

/// What came of an attempt to make room for a new segment.
pub(super) enum Room {
    /// The name has users, or its segment is persistent.
    Taken,
    /// It is free, or will be in a moment.
    TryAgain,
    /// Killed users have it, and what they have left cannot be removed.
    Irremovable(IrremovableOrphan),
}

/// Removes what killed users have left under the name.
pub(super) fn make_room(name: &Name, allowed_owners: &[u32]) -> Result<Room, Error> {
    let Some(mut found) = found::open_validated(name, true)? else { return Ok(Room::TryAgain) };
    found::check_owner(name, &found.open, allowed_owners)?;
    if found.contents.as_ref().is_some_and(|valid| valid.header.persistent()) {
        return Ok(Room::Taken);
    }
    let mut excluded = found.try_exclude(name)?;
    if matches!(excluded, Excluded::No) {
        point!("in use: not an orphan");
        let shared = file_lock::try_share(&found.open.file);
        if !shared.map_err(|error| found::os_error(name, "could not lock the segment", error))? {
            return Ok(Room::TryAgain); // somebody is removing it, or making it anew
        }
        // A user now, for a moment: so leave as users do.
        point!("in use: shared");
        excluded = found.try_exclude(name)?;
    }
    match excluded {
        Excluded::No => {
            point!("in use: by others");
            return Ok(Room::Taken);
        }
        Excluded::Anew => return Ok(Room::TryAgain), // look again
        Excluded::Yes => {}
    }
    point!("in use: excluded");
    let left = remove(found.open, name)?;
    point!("in use: orphan dealt with");
    Ok(left.map_or(Room::TryAgain, Room::Irremovable))
}
