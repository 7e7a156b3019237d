//! Fuzzed names: each is refused, or is a file in the shared-memory directory as long as the segment lives.
#![no_main]

#[path = "../../support/mod.rs"]
mod support;

use libfuzzer_sys::fuzz_target;
use robust_shm::{Error, SegmentInfo, SharedLock, remove, segments};
use support::{exists, path};

fuzz_target!(|name: &str| {
    let impossible = ["", ".", ".."].contains(&name) || name.contains(['/', '\0']) || name.len() > 250;
    if impossible {
        for error in [SharedLock::create(name).err(), remove(name).err(), SegmentInfo::of(name).err()] {
            let error = error.unwrap();
            assert!(matches!(error, Error::InvalidName { .. }) && error.name() == name);
            assert!(!error.to_string().chars().any(char::is_control), "{error}");
        }
        return;
    }
    if std::fs::symlink_metadata(path(name)).is_ok() {
        return; // somebody else's
    }
    let error = SharedLock::open(name).unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }) && !error.to_string().chars().any(char::is_control));
    let lock = SharedLock::create(name).unwrap();
    assert!(exists(name) && lock.name() == name);
    let info = segments().filter_map(Result::ok).find(|info| info.name() == name);
    assert!(info.is_some_and(|info| !info.to_string().chars().any(char::is_control)) || name.starts_with(".robust-shm"));
    drop(lock);
    assert!(!exists(name));
});
