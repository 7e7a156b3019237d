//! Validated segment names, and fresh ones.

use std::ffi::{CStr, CString};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::Error;
use crate::os;

/// The longest name in bytes. The C libraries' `shm_open` accepts a little less than the file system's 255.
pub(crate) const MAX_LEN: usize = 250;

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
            _ => {}
        }
        match CString::new(name) {
            Ok(c) => Ok(Self { text: Arc::from(name), c }),
            Err(_) => refuse("it contains a NUL byte"),
        }
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
        ] {
            let message = Name::new(name).unwrap_err().to_string();
            assert!(message.contains(reason), "{name:?}: {message}");
        }
    }

    #[test]
    fn longest_and_non_ascii_names_are_accepted() {
        assert!(Name::new(&"x".repeat(MAX_LEN)).is_ok());
        assert_eq!(Name::new("größe ☃").unwrap().as_str(), "größe ☃");
    }
}
