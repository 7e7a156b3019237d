//! The list of all segments.

use std::fmt;
use std::io;

use super::SegmentInfo;
use crate::error::Error;
use crate::os::directory;

/// All segments that this user may look at, in no particular order. Files that are not segments are passed over; a
/// damaged segment is an `Err` item.
///
/// # Examples
///
/// ```
/// for info in robust_shm::segments() {
///     println!("{}", info?);
/// }
/// # Ok::<(), robust_shm::Error>(())
/// ```
pub fn segments() -> Segments {
    match directory::names() {
        Ok(names) => Segments { names: Box::new(names) },
        Err(error) => Segments { names: Box::new(std::iter::once(Err(error))) },
    }
}

/// The iterator that [`segments`] returns.
#[must_use = "iterators are lazy"]
pub struct Segments {
    names: Box<dyn Iterator<Item = io::Result<String>> + Send>,
}

impl Iterator for Segments {
    type Item = Result<SegmentInfo, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let name = match self.names.next()? {
                Ok(name) => name,
                Err(error) => return Some(Err(Error::unlisted(error))),
            };
            match SegmentInfo::of(&name) {
                // Not ours, not for us to read, not finished, or gone since.
                Err(
                    Error::NotASegment { .. }
                    | Error::PermissionDenied { .. }
                    | Error::NotFound { .. }
                    | Error::InvalidName { .. },
                ) => {}
                found => return Some(found),
            }
        }
    }
}

impl fmt::Debug for Segments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segments").finish_non_exhaustive()
    }
}
