//! Strangers who lock a segment's file, for good or while they remove it.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::Write;

use robust_shm::{Error, SegmentInfo, SharedValue, remove, remove_orphans};

use crate::plant::{orphans_bytes, persistent, writable};
use crate::support::{Scratch, exists, is_linux, path, spawn};

/// The first version looked for a free presence byte for ever.
#[test]
#[cfg_attr(robust_shm_unix, ignore = "no bytes are locked there")]
fn a_stranger_who_locks_all_bytes_is_an_error_and_no_hang() {
    let name = persistent("occupied");
    let file = writable(&name);
    // SAFETY: all-zero bytes are a flock structure: from the start to the end of all files.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as libc::c_short;
    // SAFETY: the descriptor is open and the structure outlives the call.
    assert_eq!(unsafe { libc::fcntl(std::os::fd::AsRawFd::as_raw_fd(&file), libc::F_OFD_SETLK, &raw const lock) }, 0);
    file.lock_shared().unwrap(); // as a user has it
    spawn("occupied", &name).join();
    drop(file);
    assert_eq!(SharedValue::<u64>::open(&name).unwrap().get(), 7);
}

pub(crate) fn meet_a_lock_on_all_bytes(name: &str) {
    // SAFETY: takes an integer. A hang ends here, and not at the end of all patience.
    unsafe { libc::alarm(60) };
    let check = |error: Error| {
        assert!(matches!(error, Error::Io { .. }) && error.name() == name, "{error:?}");
        assert!(error.to_string().contains("or one was stopped"), "a user is in nobody's way: {error}");
    };
    // Each is patient for five seconds.
    std::thread::scope(|scope| {
        scope.spawn(|| check(SharedValue::<u64>::open(name).unwrap_err()));
        scope.spawn(|| check(remove(name).unwrap_err()));
    });
    assert!(SegmentInfo::of(name).is_ok() && exists(name));
    assert!(!remove_orphans().unwrap().iter().any(|removed| removed == name));
}

/// Whoever is just removing a name is no user: there is nothing to open, and soon nothing that exists.
#[test]
#[cfg_attr(robust_shm_unix, ignore = "no bytes are locked there, and nothing tells who locks")]
fn who_finds_a_name_being_removed_is_patient_and_then_says_by_whom() {
    if !is_linux("has no table of file locks") {
        return;
    }
    let name = Scratch::new("leaver");
    let mut file = File::create_new(path(&name)).unwrap();
    file.lock().unwrap(); // before a sweep of another test finds an orphan there
    file.write_all(&orphans_bytes()).unwrap();
    // Each is patient for five seconds.
    let name = &*name;
    std::thread::scope(|scope| {
        let ways: [fn(&str) -> Error; 3] = [
            |name| SharedValue::create(name, 1u64).unwrap_err(),
            |name| SharedValue::open_or_create(name, 1u64).unwrap_err(),
            |name| SharedValue::<u64>::open(name).unwrap_err(),
        ];
        for way in ways {
            scope.spawn(move || {
                let error = way(name);
                let Error::Io { source, .. } = &error else { panic!("{error:?}") };
                assert_eq!(source.kind(), std::io::ErrorKind::TimedOut);
                let who = format!("process {} holds it exclusively", std::process::id());
                assert!(error.to_string().contains(&who), "{error}");
            });
        }
    });
    drop(file);
    assert_eq!(SharedValue::open_or_create(name, 8u64).unwrap().get(), 8);
}
