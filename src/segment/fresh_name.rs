//! Names that nobody has: for segments whose name is handed on, and for those that are not finished yet.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::name::{Name, UNFINISHED};
use crate::os;

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

/// A fresh name for this segment while it is not finished. It begins with the segment's own, because sandboxes may allow a
/// program only names that begin in a certain way.
pub(super) fn private_name(name: &Name) -> String {
    const ROOM: usize = 180; // a file's name has 255 bytes, and what follows takes at most 70
    let text = name.as_str();
    let end = (0..=ROOM.min(text.len())).rfind(|end| text.is_char_boundary(*end)).unwrap_or(0);
    unique_name(&format!("{}{UNFINISHED}", &text[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::MAX_NAME_LEN;
    use crate::name::is_private;

    #[test]
    fn private_names_are_file_names_that_begin_as_the_segments_do() {
        for name in ["x".to_owned(), "x".repeat(MAX_NAME_LEN), "☃".repeat(MAX_NAME_LEN / 3)] {
            let private = private_name(&Name::new(&name).unwrap());
            assert!(private.len() <= 255 && private.starts_with(&name[..name.len().min(177)]), "{private}");
            assert!(is_private(&private) && !is_private(&name));
            assert!(Name::new(&private).is_err());
        }
    }
}
