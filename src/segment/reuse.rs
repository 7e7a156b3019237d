//! Making a segment in the place of an orphan that this user may write to, but not remove.
//!
//! In `/dev/shm`, as in `/tmp`, only its owner removes a file. A user whom [`mode`](crate::Options::mode) has let in, or a
//! program that has given its privileges up, can be the last one out and leave a name behind that it cannot free. Such
//! an orphan becomes the new segment, while it is held exclusively, so that nobody uses it:
//!
//! 1. Its flags are replaced by a mark, [`Header::UNFINISHED`], and its id by the new one. From here on it is nobody's
//!    segment: who is killed in the middle leaves an orphan that says so, whatever else is in it, and the next one begins
//!    anew.
//! 2. It is emptied, and gets its size, its data and its new header, still with the mark. It never becomes shorter.
//! 3. The flags are written: now it is a segment, with an id of its own.
//!
//! Nobody uses it meanwhile, but somebody may [observe](super::observed) what there was: he sees by the id that it is gone
//! before he could see anything else change, and what he has mapped stays within the file.
//!
//! Then its maker becomes a user as every opener does. An opener that had validated the old header reads it again once it
//! is a user, and begins anew when it is another.

use std::fs::File;
use std::io;
use std::mem::offset_of;

use super::found::ValidHeader;
use super::make::Plan;
use super::open::{self, Attempt};
use super::orphan::IrremovableOrphan;
use super::{Mapping, make};
use crate::error::Error;
use crate::fault::point;
use crate::identity::Identity;
use crate::layout::{HEADER_LEN, Header};
use crate::name::Name;
use crate::options::Settings;
use crate::os::file;

impl IrremovableOrphan {
    /// Makes the new segment in its place; `None`: try again, because a fork has come in between, or
    /// somebody else who wanted it exclusively.
    pub(super) fn reuse(
        self,
        name: &Name,
        identity: &Identity,
        settings: &Settings,
        initial: &[u8],
    ) -> Result<Option<Mapping>, Error> {
        let mut plan = match self.prepare(name, identity, settings, initial) {
            Ok(prepared) => prepared,
            Err(error) => {
                self.give_back();
                return Err(error);
            }
        };
        // Announced first: what a fork spoils is then nothing but an attempt.
        let Some(presence) = open::announce(name, self.0, &plan.header)? else { return Ok(None) };
        reset(presence.just_opened(), &mut plan)
            .map_err(|error| make::create_error(name, plan.header.total_len, error))?; // dropping the presence gives it back
        let valid = ValidHeader { header: plan.header, identity: identity.clone(), lock_kind: settings.lock_kind() };
        match open::share_and_map(name, presence, &valid, identity.description.clone(), true)? {
            Attempt::Opened(mapping) => Ok(Some(*mapping)),
            _ => Ok(None),
        }
    }

    /// Its mode stays as it is, because only its owner changes it. So it serves only who asks for that mode: anything
    /// else would let in others than the program has said.
    fn prepare<'a>(
        &self,
        name: &Name,
        identity: &'a Identity,
        settings: &Settings,
        initial: &'a [u8],
    ) -> Result<Plan<'a>, Error> {
        let mode = self.0.status.mode & 0o777;
        if mode != settings.mode() {
            return Err(Error::ForeignOrphan { name: name.shared(), owner: self.0.status.owner, mode });
        }
        make::prepare(name, identity, settings, initial)
    }
}

fn reset(file: &File, plan: &mut Plan<'_>) -> io::Result<()> {
    const ID: usize = offset_of!(Header, id);
    const FLAGS: usize = offset_of!(Header, flags);
    let mark = Header::UNFINISHED.to_ne_bytes();
    let marked = FLAGS + mark.len();
    plan.image[FLAGS..marked].copy_from_slice(&mark);
    point!("reuse: prepared");
    file::write_at(file, &plan.image[ID..marked], ID as u64)?;
    point!("reuse: marked");
    file::clear(file, HEADER_LEN as u64)?;
    point!("reuse: emptied");
    let len = file::status(file)?.len;
    plan.write(file, len)?;
    point!("reuse: written");
    file::write_at(file, &plan.header.flags.to_ne_bytes(), FLAGS as u64)?;
    point!("reuse: finished");
    Ok(())
}
