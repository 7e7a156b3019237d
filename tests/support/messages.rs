//! What every message of an error must have.

use robust_shm::Error;

/// Checks what every message must have, that `Debug` shows it as well, and that a report of the whole chain, as `anyhow`
/// prints it, says nothing twice.
#[track_caller]
pub fn check(error: &Error, name: &str, words: &[&str]) {
    let message = error.to_string();
    assert!(message.contains(&format!("{name:?}")), "no name: {message}");
    assert_eq!(error.name(), name);
    for word in words {
        assert!(message.contains(word), "no {word:?}: {message}");
    }
    let shown = format!("{error:?}");
    assert!(shown.contains(&message));
    let mut source = std::error::Error::source(error);
    while let Some(below) = source {
        assert!(!message.contains(&below.to_string()), "twice: {message}, and {below}");
        assert!(shown.contains(&below.to_string()), "no {below}: {shown}");
        source = below.source();
    }
}

/// An error of this variant, with these words.
macro_rules! assert_error {
    ($result:expr, $variant:ident, $name:expr, $words:expr) => {{
        let error = $result.err().expect("an error");
        assert!(matches!(error, robust_shm::Error::$variant { .. }), "{error:?}");
        $crate::support::check(&error, $name, &$words);
    }};
}
pub(crate) use assert_error;
