//! Creating a segment, or opening it where there is one already.

use super::open::{self, Attempt};
use super::orphan::{self, Room};
use super::registered::in_one_process;
use super::retries::Retries;
use super::{Contents, Segment, make, removal};
use crate::error::Error;
use crate::name::Name;
use crate::options::Settings;

impl<C: Contents> Segment<C> {
    /// Creates a segment; `AlreadyExists` while a live or persistent one has the name. `stated`: where the type
    /// leaves something open, this.
    pub(crate) fn create(name: &str, settings: &Settings, stated: &C::Stated, initial: &[u8]) -> Result<Self, Error> {
        let name = Name::new(name)?;
        open::check_readers(&name, settings)?;
        let identity = C::identity(&name, settings, stated)?;
        removal::sweep();
        let mut retries = Retries::new();
        loop {
            if let Some(mapping) = in_one_process(None, || make::try_make(&name, &identity, settings, initial))? {
                return Ok(Self::new(mapping));
            }
            // The name was taken, or the attempt was disturbed.
            match orphan::make_room(&name, &settings.allowed_owners)? {
                Room::Taken => return Err(Error::AlreadyExists { name: name.shared() }),
                Room::TryAgain => retries.wait(&name, "could not create the segment")?,
                Room::Irremovable(orphan) => {
                    match in_one_process(None, || orphan.reuse(&name, &identity, settings, initial))? {
                        Some(mapping) => return Ok(Self::new(mapping)),
                        None => retries.wait(&name, "could not create the segment")?,
                    }
                }
            }
        }
    }

    pub(crate) fn open_or_create(
        name: &str,
        settings: &Settings,
        stated: &C::Stated,
        initial: &[u8],
    ) -> Result<Self, Error> {
        let name = Name::new(name)?;
        open::check_readers(&name, settings)?;
        let identity = C::identity(&name, settings, stated)?;
        let mut retries = Retries::new();
        loop {
            match in_one_process(Attempt::Busy, || open::try_open(&name, &identity, settings))? {
                Attempt::Opened(mapping) => return Ok(Self::new(*mapping)),
                Attempt::Busy => retries.wait(&name, "could not open the segment")?,
                Attempt::Orphan(orphan) => {
                    match in_one_process(None, || orphan.reuse(&name, &identity, settings, initial))? {
                        Some(mapping) => return Ok(Self::new(mapping)),
                        None => retries.wait(&name, "could not open or create the segment")?,
                    }
                }
                Attempt::NotThere => {
                    removal::sweep();
                    if let Some(mapping) = in_one_process(None, || make::try_make(&name, &identity, settings, initial))?
                    {
                        return Ok(Self::new(mapping));
                    }
                    retries.wait(&name, "could not open or create the segment")?; // somebody was first: open his
                }
            }
        }
    }
}
