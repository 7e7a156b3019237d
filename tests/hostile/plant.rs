//! What the tests of strange files have in common.
#![cfg_attr(not(target_os = "linux"), allow(dead_code, unused_imports, reason = "for the parts that need Linux"))]

use std::fs::{self, File, OpenOptions};

use robust_shm::{Error, SharedArray, SharedEvent, SharedLock, SharedValue};

use crate::support::{Scratch, exists, path};

/// Every way to get at a name. Each must fail, and name it; what the error is, is for the caller to check.
#[track_caller]
pub(crate) fn every_way(name: &str, expected: fn(&Error) -> bool) {
    for error in [
        SharedValue::create(name, 1u64).err(),
        SharedValue::open_or_create(name, 1u64).err(),
        SharedValue::<u64>::open(name).err(),
        SharedArray::<u32, 4>::create(name).err(),
        SharedArray::<u32, 4>::open(name).err(),
        SharedEvent::create(name).err(),
        SharedEvent::open_or_create(name).err(),
        SharedEvent::open(name).err(),
        SharedLock::create(name).err(),
        SharedLock::open_or_create(name).err(),
        SharedLock::open(name).err(),
    ] {
        let error = error.expect("an error");
        assert!(expected(&error), "{error:?}");
        assert!(error.name() == name && error.to_string().contains(&format!("{name:?}")), "{error}");
    }
    assert!(exists(name));
}

pub(crate) fn is_not_a_segment(error: &Error) -> bool {
    matches!(error, Error::NotASegment { .. })
}

/// A persistent segment that nobody uses.
pub(crate) fn persistent(prefix: &str) -> Scratch {
    let name = Scratch::new(prefix);
    drop(SharedValue::options().persistent(true).create(&name, 7u64).unwrap());
    name
}

pub(crate) const FLAGS: u64 = 56;

/// The bytes of a segment whose users have all gone without a word.
pub(crate) fn orphans_bytes() -> Vec<u8> {
    let mut bytes = fs::read(path(&persistent("image"))).unwrap();
    bytes[FLAGS as usize] = 0;
    bytes
}

pub(crate) fn writable(name: &str) -> File {
    OpenOptions::new().read(true).write(true).open(path(name)).unwrap()
}
