//! How an error prints itself together with its sources.

use std::error::Error;
use std::fmt;

/// The message of an error, and those of its sources.
pub(super) fn write(error: &dyn Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{error}")?;
    let mut source = error.source();
    while let Some(error) = source {
        write!(f, ": {error}")?;
        source = error.source();
    }
    Ok(())
}
