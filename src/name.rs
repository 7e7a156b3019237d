//! Validated segment names, and fresh ones.

use std::ffi::{CStr, CString};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::Error;
use crate::os;

/// The longest name in bytes. The C libraries' `shm_open` accepts a little less than the file system's 255.
pub(crate) const MAX_LEN: usize = 250;

/// What marks the name of a segment that is not finished yet, where such a file must have a name.
const UNFINISHED: &str = ".robust-shm-unfinished";

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
            _ if name.len() > MAX_LEN => return refuse("it is too long"),
            _ if name.contains('/') => return refuse("it contains '/'"),
            _ if name.starts_with("sem.") => return refuse("\"sem.\" begins the names of POSIX semaphores"),
            _ if is_private(name) => return refuse("\".robust-shm-unfinished\" marks segments that are being made"),
            _ => {}
        }
        Self::of_file(name).ok_or_else(|| Error::InvalidName { name: name.into(), reason: "it contains a NUL byte" })
    }

    /// The name of a file that is there, whether or not a segment may be called so.
    pub(crate) fn of_file(name: &str) -> Option<Self> {
        Some(Self { text: Arc::from(name), c: CString::new(name).ok()? })
    }

    /// A fresh name for this segment while it is not finished. It begins with the segment's own, because sandboxes may
    /// allow a program only names that begin in a certain way.
    pub(crate) fn private(&self) -> String {
        const ROOM: usize = 180; // a file's name has 255 bytes, and what follows takes at most 70
        let end = (0..=ROOM.min(self.text.len())).rfind(|end| self.text.is_char_boundary(*end)).unwrap_or(0);
        unique_name(&format!("{}{UNFINISHED}", &self.text[..end]))
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

/// A name that no other call, thread, process or boot has returned or will return, for tests and for segments whose
/// name is handed to child processes.
///
/// The name is `prefix`, the process id, a counter and 64 random bits, joined with hyphens. Nothing is created. A
/// `prefix` that is not valid in a name, or too long, shows when the name is used.
///
/// # Examples
///
/// ```
/// let a = robust_shm::unique_name("demo");
/// let b = robust_shm::unique_name("demo");
/// assert!(a.starts_with("demo-"));
/// assert_ne!(a, b);
/// ```
#[must_use]
pub fn unique_name(prefix: &str) -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let [random, _] = os::random_id();
    format!("{prefix}-{}-{count}-{random:016x}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_names_are_refused_with_the_reason() {
        let long = "x".repeat(MAX_LEN + 1);
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
            (&Name::new("x").unwrap().private(), "being made"),
        ] {
            let message = Name::new(name).unwrap_err().to_string();
            assert!(message.contains(reason), "{name:?}: {message}");
        }
    }

    #[test]
    fn private_names_are_file_names_that_begin_as_the_segments_do() {
        for name in ["x".to_owned(), "x".repeat(MAX_LEN), "☃".repeat(MAX_LEN / 3)] {
            let private = Name::new(&name).unwrap().private();
            assert!(private.len() <= 255 && private.starts_with(&name[..name.len().min(177)]), "{private}");
            assert!(is_private(&private) && !is_private(&name));
        }
    }

    #[test]
    fn longest_and_non_ascii_names_are_accepted() {
        assert!(Name::new(&"x".repeat(MAX_LEN)).is_ok());
        assert_eq!(Name::new("größe ☃").unwrap().as_str(), "größe ☃");
    }
}
