//! The two error types: [`Error`] for opening and [`LockError`] for locking.
//!
//! Each message names the segment, says what is the matter, with both sides where there are two, and what to do. An
//! error whose message has the text of another in it does not return that as its `source()`: reports that print the
//! chain of sources would say it twice. (`thiserror` takes a field of the name `source` for one, unless another is
//! marked.) A `main` that returns `Result` prints `Debug`, so `Debug` shows the variant's name, the message and the
//! chain, in one line.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::sync::Arc;

mod chain;
mod lock;

pub(crate) use lock::Awaited;
pub use lock::LockError;

/// The longest name in bytes. The C libraries' `shm_open` accepts a little less than the file system's 255.
pub(crate) const MAX_NAME_LEN: usize = 250;

/// Why a segment could not be created, opened, inspected or removed.
///
/// `Display` is the message: it names the segment, and says what is the matter and what to do. `Debug` shows the
/// variant, the message and its source, in one line.
///
/// # Examples
///
/// ```
/// use robust_shm::{Error, SharedLock};
///
/// match SharedLock::open("nobody-made-this") {
///     Ok(lock) => println!("{lock:?}"),
///     Err(Error::NotFound { .. }) => println!("start the program that creates it first"),
///     Err(error) => eprintln!("{error:?}"),
/// }
/// ```
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The name cannot name a segment.
    #[error("segment name {name:?} is not valid: {reason}; use 1 to {max} bytes without '/' and NUL, other than \".\" and \"..\"", max = MAX_NAME_LEN)]
    #[non_exhaustive]
    InvalidName {
        /// The name as it was given.
        name: Arc<str>,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// What was asked for is outside of what there can be.
    #[error("{what} of segment {name:?} must be {expected}, and {found} was asked for")]
    #[non_exhaustive]
    InvalidArgument {
        /// The segment.
        name: Arc<str>,
        /// What was asked for, as "the number of permits".
        what: &'static str,
        /// What there can be.
        expected: String,
        /// What was asked for.
        found: String,
    },

    /// No segment of that name exists (one whose users were all killed does not count).
    #[error(
        "segment {name:?} was not found: nobody uses one of this name, and none was made to persist; to have it, start the program that creates it, use open_or_create, or make it persistent so that it outlives its users"
    )]
    #[non_exhaustive]
    NotFound {
        /// The segment.
        name: Arc<str>,
    },

    /// `create` found a live segment of that name.
    #[error(
        "segment {name:?} already exists, and is in use or persistent; open it, use open_or_create, or remove it first"
    )]
    #[non_exhaustive]
    AlreadyExists {
        /// The segment.
        name: Arc<str>,
    },

    /// The segment holds something else than what the program asked for.
    #[error(
        "segment {name:?} has another type: expected {expected}, found {found}; build all programs from one definition, with the same length and type_tag; what an older program has made ends with its users, or by remove"
    )]
    #[non_exhaustive]
    TypeMismatch {
        /// The segment.
        name: Arc<str>,
        /// What this program asked for.
        expected: String,
        /// What the segment says that it holds.
        found: String,
    },

    /// The segment was created with other options than this opener states.
    #[error(
        "segment {name:?} was created with other options: expected {option}({expected}), found {option}({found}); state what all programs agree on, or nothing to follow the segment, or remove it first"
    )]
    #[non_exhaustive]
    OptionMismatch {
        /// The segment.
        name: Arc<str>,
        /// The option, by its method's name.
        option: &'static str,
        /// What this program stated.
        expected: String,
        /// What the segment has.
        found: String,
    },

    /// The file of that name was not made by this crate, or its header contradicts itself.
    #[error(
        "{name:?} is not a robust-shm segment: expected a complete segment header, found {found}; nothing was changed: choose another name, or delete the file yourself if nobody needs it"
    )]
    #[non_exhaustive]
    NotASegment {
        /// The name.
        name: Arc<str>,
        /// What is there instead.
        found: String,
    },

    /// The segment was made by an incompatible version of this crate or for another kind of machine.
    #[error(
        "segment {name:?} has a format that this build cannot use: expected {expected}, found {found}; use the same version of robust-shm and the same architecture in all programs, or call remove if nobody needs what is in it"
    )]
    #[non_exhaustive]
    UnsupportedFormat {
        /// The segment.
        name: Arc<str>,
        /// What this build can use.
        expected: String,
        /// What the header says.
        found: String,
    },

    /// The file is shorter than its header says.
    #[error(
        "segment {name:?} is truncated: expected at least {expected} bytes, found {found}; somebody shortened the file: call remove and create it again"
    )]
    #[non_exhaustive]
    Truncated {
        /// The segment.
        name: Arc<str>,
        /// The size in bytes that the header claims, or that a header needs.
        expected: u64,
        /// The size of the file in bytes.
        found: u64,
    },

    /// The segment belongs to another user.
    #[error(
        "segment {name:?} belongs to another user: expected owner uid {expected}, found uid {found}; if that user may control this process, say so with options().allow_owner({found})"
    )]
    #[non_exhaustive]
    ForeignOwner {
        /// The segment.
        name: Arc<str>,
        /// The effective user id of this process.
        expected: u32,
        /// The owner's user id.
        found: u32,
    },

    /// The segment belongs to a user whom this user namespace has no number for.
    #[error(
        "segment {name:?} has an owner who cannot be told from others: expected one whom this user namespace has a number for, found uid {found}, which stands for all the others, too; run this program in the owner's user namespace, or map the owner in this one (/proc/self/uid_map)"
    )]
    #[non_exhaustive]
    UnknownOwner {
        /// The segment.
        name: Arc<str>,
        /// The number that is shown for users without one.
        found: u32,
    },

    /// The name is taken by what another user's segment has left, and this user can neither remove nor use it.
    #[error(
        "segment {name:?} is what is left of another user's: expected a name that is free or that this user may free, found an orphan of uid {owner} with mode {mode:04o}; have that user or root call remove_orphans, or create with options().mode(0o{mode:o}), which uses it again"
    )]
    #[non_exhaustive]
    ForeignOrphan {
        /// The segment.
        name: Arc<str>,
        /// Who can remove it.
        owner: u32,
        /// Its permission bits.
        mode: u32,
    },

    /// The operating system refused access.
    #[error(
        "permission denied for segment {name:?}: expected read and write access, found {found}; ask its owner for a wider options().mode(..), or run as that user"
    )]
    #[non_exhaustive]
    PermissionDenied {
        /// The segment.
        name: Arc<str>,
        /// Whose the file is, and its mode, as far as that is known.
        found: String,
        /// What the operating system said.
        source: io::Error,
    },

    /// Shared memory (on Linux the `/dev/shm` file system; elsewhere the disk that has the user's directory of segments) is full.
    #[error(
        "out of shared memory for segment {name:?}: expected {requested} bytes, found {available} bytes free in {place}{}; remove unused segments (remove_orphans) or {remedy}",
        Shortage { requested: *requested, available: *available }
    )]
    #[non_exhaustive]
    OutOfSharedMemory {
        /// The segment.
        name: Arc<str>,
        /// How many bytes were asked for.
        requested: u64,
        /// How many bytes are free.
        available: u64,
        /// The directory in whose file system they are.
        place: &'static str,
        /// What else there is to do.
        remedy: &'static str,
    },

    /// A lock operation failed.
    #[error(transparent)]
    #[non_exhaustive]
    Lock {
        /// The error of the lock.
        #[from]
        source: LockError,
    },

    /// Any other failure of the operating system.
    #[error("{action}{}: {source}", quoted(name))]
    #[non_exhaustive]
    Io {
        /// The segment; empty when the list of all segments could not be read.
        name: Arc<str>,
        /// What failed, as "could not open the segment".
        action: &'static str,
        /// What the operating system said. The message ends with it, so `source()` does not return it.
        source: io::Error,
        #[doc(hidden)]
        #[source]
        below: Option<Infallible>,
    },
}

/// What is short when there are bytes enough.
struct Shortage {
    requested: u64,
    available: u64,
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.requested > self.available {
            return Ok(());
        }
        f.write_str(" (enough: then it is the number of files, nr_inodes=.., or a memory limit)")
    }
}

/// The name behind the words "the segment", if there is one.
fn quoted(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(" {name:?}") }
}

impl Error {
    /// The directory that holds all segments could not be read.
    pub(crate) fn unlisted(source: io::Error) -> Self {
        Self::io("".into(), "could not list the segments", source)
    }

    /// `action` is a clause, as "could not open the segment", that the name follows.
    pub(crate) fn io(name: Arc<str>, action: &'static str, source: io::Error) -> Self {
        Self::Io { name, action, source, below: None }
    }

    /// The name of the segment that the error is about.
    ///
    /// # Examples
    ///
    /// ```
    /// let error = robust_shm::SharedLock::open("nobody-made-this").unwrap_err();
    /// assert_eq!(error.name(), "nobody-made-this");
    /// ```
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::InvalidName { name, .. }
            | Self::InvalidArgument { name, .. }
            | Self::NotFound { name, .. }
            | Self::AlreadyExists { name, .. }
            | Self::TypeMismatch { name, .. }
            | Self::OptionMismatch { name, .. }
            | Self::UnknownOwner { name, .. }
            | Self::ForeignOrphan { name, .. }
            | Self::NotASegment { name, .. }
            | Self::UnsupportedFormat { name, .. }
            | Self::Truncated { name, .. }
            | Self::ForeignOwner { name, .. }
            | Self::PermissionDenied { name, .. }
            | Self::OutOfSharedMemory { name, .. }
            | Self::Io { name, .. } => name,
            Self::Lock { source } => source.name(),
        }
    }

    fn variant(&self) -> &'static str {
        match self {
            Self::InvalidName { .. } => "InvalidName",
            Self::InvalidArgument { .. } => "InvalidArgument",
            Self::NotFound { .. } => "NotFound",
            Self::AlreadyExists { .. } => "AlreadyExists",
            Self::TypeMismatch { .. } => "TypeMismatch",
            Self::OptionMismatch { .. } => "OptionMismatch",
            Self::UnknownOwner { .. } => "UnknownOwner",
            Self::ForeignOrphan { .. } => "ForeignOrphan",
            Self::NotASegment { .. } => "NotASegment",
            Self::UnsupportedFormat { .. } => "UnsupportedFormat",
            Self::Truncated { .. } => "Truncated",
            Self::ForeignOwner { .. } => "ForeignOwner",
            Self::PermissionDenied { .. } => "PermissionDenied",
            Self::OutOfSharedMemory { .. } => "OutOfSharedMemory",
            Self::Lock { .. } => "Lock",
            Self::Io { .. } => "Io",
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.variant())?;
        chain::write(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_enough_are_not_what_is_short() {
        for (requested, available, is_enough) in [(2, 1, false), (1, 1, true), (1, 2, true)] {
            let words = Shortage { requested, available }.to_string();
            assert_eq!(words.contains("nr_inodes"), is_enough, "{requested} of {available}:{words}");
        }
    }
}
