//! Mapping the very file that was validated.
//!
//! `shared_memory` finds the object that the name stands for, by the system's own rules (`shm_open`), opens and maps it as
//! every program does that uses that crate, and says how long it is. What it has mapped is not kept, for two reasons:
//!
//! * by then the name may lead to another file, of another owner and with a copied id, and nothing short of `/proc` tells
//!   which one is mapped;
//! * its mapping goes with a descriptor that it does not show, and that it closes by the number, whatever file that stands
//!   for by then; and it can be number 0.
//!
//! So the file is opened here, compared with the one that was validated, and mapped; and the other mapping is given back
//! before anybody looks at it. Whatever the name was made to lead to, the bytes are those of the validated file.
//!
//! The description that is mapped is not the one of the presence, although that is at hand: a mapping keeps its description
//! alive, and the locks on it. A forked child has the mapping, too, and would keep its parent a user for ever.

use std::io;

use shared_memory::{ShmemConf, ShmemError};

use super::found::os_error;
use crate::error::Error;
use crate::fault::point;
use crate::layout::Header;
use crate::name::Name;
use crate::os;
use crate::os::file::{self, OpenError, Status};
use crate::os::map::Map;

/// Maps the segment with this header, which is in the file with this status; `None` when its name leads elsewhere now.
pub(super) fn map(name: &Name, status: &Status, header: &Header) -> Result<Option<Map>, Error> {
    // Before that crate opens it for writing, whatever it is.
    if !file::status_of(name.as_str()).is_ok_and(|found| found.is_same_file(status)) {
        return Ok(None);
    }
    let Some(found_len) = len_of_object(name)? else { return Ok(None) };
    let len = match usize::try_from(header.total_len) {
        Ok(len) if found_len >= len => len,
        _ => return Ok(None), // too short to be the same file
    };
    let file = match file::open(name.as_str(), true) {
        Ok(file) => file,
        Err(OpenError::NotFound | OpenError::NotAFile) => return Ok(None),
        Err(OpenError::NoDescriptor(error) | OpenError::Other(error)) => {
            return Err(os_error(name, "could not map the segment", error));
        }
    };
    if !file::status(&file).is_ok_and(|found| found.is_same_file(status)) {
        return Ok(None);
    }
    let map = Map::of(&file, len).map_err(|error| os_error(name, "could not map the segment", error))?;
    point!("map: mapped the validated file");
    Ok(Some(map))
}

/// How much `shared_memory` maps under this name; `None` when there is nothing.
fn len_of_object(name: &Name) -> Result<Option<usize>, Error> {
    let _zero = os::descriptor::occupy_zero(); // which `shared_memory` would not close
    let mut memory = match ShmemConf::new().os_id(name.as_str()).open() {
        Ok(memory) => memory,
        Err(ShmemError::MapOpenFailed(errno)) => {
            let error = io::Error::from_raw_os_error(errno.cast_signed());
            // EINVAL: an empty file, so a stranger's.
            return match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::InvalidInput => Ok(None),
                _ => Err(os_error(name, "could not map the segment", error)),
            };
        }
        Err(other) => return Err(os_error(name, "could not map the segment", io::Error::other(other))),
    };
    // An owner unlinks by name when it is dropped, and would hit an innocent successor.
    memory.set_owner(false);
    point!("map: mapped");
    Ok(Some(memory.len()))
}
