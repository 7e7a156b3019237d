//! Files without a name, which not every Unix has: they all have private names.

use std::ffi::CStr;
use std::fs::File;
use std::io;

/// There are none.
pub(crate) fn create_unnamed() -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Is this how a file without a name is refused?
pub(crate) fn wants_a_name(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported
}

/// There is nothing to link.
pub(crate) fn link(_: &File, _: &CStr) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
