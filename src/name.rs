//! Validated segment names.

use std::ffi::{CStr, CString};
use std::sync::Arc;

use crate::error::{Error, MAX_NAME_LEN};

#[cfg(any(windows, test))]
mod forbidden;

/// What marks the name of a segment that is not finished yet, where such a file must have a name.
pub(crate) const UNFINISHED: &str = ".robust-shm-unfinished";

/// A name that can be a file in the shared-memory directory, in the two forms that are needed: shared with errors, and
/// NUL-terminated for system calls.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    text: Arc<str>,
    c: CString,
}

impl Name {
    pub(crate) fn new(name: &str) -> Result<Self, Error> {
        let refuse = |reason| Err(Error::InvalidName { name: Arc::from(name), reason });
        match name {
            "" => return refuse("it is empty"),
            "." | ".." => return refuse("it names a directory"),
            _ if name.len() > MAX_NAME_LEN => return refuse("it is too long"),
            _ if name.contains('/') => return refuse("it contains '/', also in front, as it is no path"),
            _ if name.starts_with("sem.") => return refuse("\"sem.\" begins the names of POSIX semaphores"),
            _ if is_private(name) => return refuse("\".robust-shm-unfinished\" marks segments that are being made"),
            _ => {}
        }
        #[cfg(windows)]
        if let Some(reason) = forbidden::why(name) {
            return refuse(reason);
        }
        Self::of_file(name).ok_or_else(|| Error::InvalidName { name: name.into(), reason: "it contains a NUL byte" })
    }

    /// The name of a file that is there, whether or not a segment may be called so.
    pub(crate) fn of_file(name: &str) -> Option<Self> {
        Some(Self { text: Arc::from(name), c: CString::new(name).ok()? })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn as_c_str(&self) -> &CStr {
        &self.c
    }

    /// The text, shared: a reference count more and no allocation.
    pub(crate) fn shared(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }
}

/// Is this the name of an unfinished segment?
pub(crate) fn is_private(name: &str) -> bool {
    name.contains(UNFINISHED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_names_are_refused_with_the_reason() {
        let long = "x".repeat(MAX_NAME_LEN + 1);
        for (name, reason) in [
            ("", "empty"),
            (".", "directory"),
            ("..", "directory"),
            ("a/b", "'/'"),
            ("/a", "'/'"),
            ("a\0b", "NUL"),
            (&long, "too long"),
            ("sem.lock", "semaphores"),
            (".robust-shm-unfinished-1-2-3", "being made"),
            ("x.robust-shm-unfinished-1-2-3", "being made"),
        ] {
            let message = Name::new(name).unwrap_err().to_string();
            assert!(message.contains(reason), "{name:?}: {message}");
        }
    }

    #[test]
    fn longest_and_non_ascii_names_are_accepted() {
        assert!(Name::new(&"x".repeat(MAX_NAME_LEN)).is_ok());
        assert_eq!(Name::new("größe ☃").unwrap().as_str(), "größe ☃");
    }
}
