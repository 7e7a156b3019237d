//! Mapping the very file that was validated.
//!
//! `shared_memory` opens the name once more, maps what it finds, and keeps the descriptor to itself. By then the name may
//! lead to another file, of another owner and with a copied id, and nothing short of `/proc` tells which one is mapped. So
//! the file is opened here, compared with the one that was validated, and mapped over what that crate has mapped before
//! anybody looks: whatever the name was made to lead to, the bytes are those of the validated file.
//!
//! The description that is mapped is not the one of the presence, although that is at hand: a mapping keeps its description
//! alive, and the locks on it. A forked child has the mapping, too, and would keep its parent a user for ever.

use std::io;
use std::ptr::NonNull;

use shared_memory::{Shmem, ShmemConf, ShmemError};

use super::open::os_error;
use super::registered::Registered;
use crate::error::Error;
use crate::fault::point;
use crate::layout::Header;
use crate::name::Name;
use crate::os::{self, file};

/// Maps the segment with this header, which the presence's file is as long as; `None` when its name leads elsewhere now.
pub(super) fn map(name: &Name, presence: &Registered, header: &Header) -> Result<Option<Shmem>, Error> {
    let status = presence.status().map_err(|error| os_error(name, "could not inspect the segment", error))?;
    // Before that crate opens it for writing, whatever it is.
    if !file::status_of(name.as_str()).is_ok_and(|found| found.is_same_file(&status)) {
        return Ok(None);
    }
    let _zero = os::descriptor::occupy_zero(); // which `shared_memory` would not close
    let mut memory = match ShmemConf::new().os_id(name.as_str()).open() {
        Ok(memory) => memory,
        Err(ShmemError::MapOpenFailed(errno)) => {
            let error = io::Error::from_raw_os_error(errno.cast_signed());
            // EINVAL: an empty file, so a stranger's.
            return match error.raw_os_error() {
                Some(libc::ENOENT | libc::EINVAL) => Ok(None),
                _ => Err(os_error(name, "could not map the segment", error)),
            };
        }
        Err(other) => return Err(os_error(name, "could not map the segment", io::Error::other(other))),
    };
    // An owner unlinks by name when it is dropped, and would hit an innocent successor.
    memory.set_owner(false);
    point!("map: mapped");
    let (start, len) = match (NonNull::new(memory.as_ptr()), usize::try_from(header.total_len)) {
        (Some(start), Ok(len)) if memory.len() >= len => (start, len),
        _ => return Ok(None), // too short to be the same file
    };
    let file = match file::open(name.as_str(), true) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(os_error(name, "could not map the segment", error)),
    };
    if !file::status(&file).is_ok_and(|found| found.is_same_file(&status)) {
        return Ok(None);
    }
    // SAFETY: the start of a mapping of at least that length, which nothing refers to yet.
    let mapped = unsafe { file::map_over(&file, start, len) };
    point!("map: mapped over");
    if let Err(error) = mapped {
        // Part of the range may be unmapped, and somebody else's by now: it must not be unmapped again.
        std::mem::forget(memory);
        return Err(os_error(name, "could not map the segment", error));
    }
    Ok(Some(memory))
}
