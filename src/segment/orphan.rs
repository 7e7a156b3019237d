//! What killed users have left under a name.

use std::io;

use super::found::{self, Excluded, Open};
use super::removal;
use crate::error::Error;
use crate::fault::point;
use crate::name::Name;
use crate::os::file_lock;

/// An orphan that this user cannot remove, held exclusively.
pub(super) struct Orphan(pub(super) Open);

impl Orphan {
    /// Removes an orphan that is held exclusively; `Some` if this user may not, and nobody has it mapped any more: a
    /// process that is exiting is no user, but its threads may still run.
    pub(super) fn remove(open: Open, name: &Name) -> Result<Option<Self>, Error> {
        let removed = removal::unlink_exact(&open.file, &open.status, name);
        let may_not = removed.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
        if may_not && matches!(file_lock::count_present(&open.file), Ok(0)) {
            return Ok(Some(Self(open)));
        }
        let _ = file_lock::unlock(&open.file); // by hand: a child that was forked meanwhile has the description, too
        if may_not {
            return Ok(None);
        }
        removed.map(|_| None).map_err(|error| found::os_error(name, "could not remove the orphaned segment", error))
    }

    /// Leaves it to its owner.
    pub(super) fn give_back(self) {
        let _ = file_lock::unlock(&self.0.file); // by hand, as above
        point!("reuse: given back");
    }
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
    let Some(mut found) = found::open_any(name, true)? else { return Ok(Who::Nobody) };
    found::check_owner(name, &found.open, allowed_owners)?;
    if found.contents.as_ref().is_some_and(|valid| valid.header.persistent()) {
        return Ok(Who::Users);
    }
    let mut excluded = found.try_exclude(name)?;
    if matches!(excluded, Excluded::No) {
        point!("in use: not an orphan");
        let shared = file_lock::try_share(&found.open.file);
        if !shared.map_err(|error| found::os_error(name, "could not lock the segment", error))? {
            return Ok(Who::Nobody); // somebody is removing it, or making it anew
        }
        // A user now, for a moment: so leave as users do.
        point!("in use: shared");
        excluded = found.try_exclude(name)?;
    }
    match excluded {
        Excluded::No => {
            point!("in use: by others");
            return Ok(Who::Users);
        }
        Excluded::Anew => return Ok(Who::Nobody), // look again
        Excluded::Yes => {}
    }
    point!("in use: excluded");
    let left = Orphan::remove(found.open, name)?;
    point!("in use: orphan removed");
    Ok(left.map_or(Who::Nobody, Who::TheDead))
}
