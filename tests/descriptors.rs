//! Programs that are not careful with descriptors: daemons close all that they find, and the numbers go to other files.
#![cfg(target_os = "linux")]
#![allow(unsafe_code)]

mod support;

use std::io::{Read, Seek, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

use robust_shm::{ArrayGuard, LockError, LockKind, SharedArray, SharedLock, SharedValue};
use support::{Family, Scratch, exists, fork, kind, member, path, pause, play, say, spawn, spawn_of, until};

#[test]
fn child() {
    play(&[
        ("no-stdin", without_standard_descriptors),
        ("loses", loses_descriptors),
        ("loses-at-exit", loses_descriptors_at_exit),
        ("holds", holds_without_descriptors),
    ]);
}

/// The descriptors of this process that stand for the segment.
fn descriptors_of(name: &str) -> Vec<RawFd> {
    let id = |path: &std::path::Path| std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    let segment = id(&path(name)).unwrap();
    let entries = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let ours = entries.filter(|entry| id(&entry.path()) == Some(segment));
    ours.map(|entry| entry.file_name().to_string_lossy().parse().unwrap()).collect()
}

/// No standard descriptor, and none that an `exec` passes on.
fn is_out_of_the_way(fd: &RawFd) -> bool {
    // SAFETY: takes integers.
    let flags = unsafe { libc::fcntl(*fd, libc::F_GETFD) };
    *fd > libc::STDERR_FILENO && flags & libc::FD_CLOEXEC != 0
}

fn without_standard_descriptors(name: &str) {
    // SAFETY: this process has no use for it.
    unsafe { libc::close(libc::STDIN_FILENO) };
    let value = SharedValue::create(name, 1u64).unwrap();
    let second = SharedValue::<u64>::open(name).unwrap();
    for process in ["this one", "its child"] {
        let ours = descriptors_of(name);
        assert_eq!(ours.len(), 2, "one for each handle: {ours:?}");
        assert!(ours.iter().all(is_out_of_the_way), "{process}: {ours:?}");
        if process == "this one" {
            fork(|| {
                let ours = descriptors_of(name);
                assert!(!ours.is_empty() && ours.iter().all(is_out_of_the_way), "{ours:?}");
            })
            .join();
        }
    }
    // As `daemon` does.
    let null = std::fs::File::open("/dev/null").unwrap();
    assert_eq!(null.as_raw_fd(), libc::STDIN_FILENO, "the lowest is free");
    drop((value, second));
    assert!(!exists(name), "still a user");
    assert!(null.metadata().is_ok(), "and closes nobody's");
}

/// Once, a presence became descriptor 0 where that was closed, and `daemon` ended it.
#[test]
fn a_presence_is_no_standard_descriptor() {
    spawn("no-stdin", &Scratch::new("stdin")).join();
}

/// Closes all descriptors but the standard ones, and opens so many of a stranger's file, which get their numbers.
fn replace_all(count: usize) -> Vec<std::fs::File> {
    let limit = 1_000;
    for fd in 3..limit {
        // SAFETY: that is what is tested; the files of this process are not used any more.
        unsafe { libc::close(fd) };
    }
    let mut first = tempfile();
    first.write_all(b"the head of a log").unwrap();
    let mut files = vec![first];
    while files.len() < count {
        files.push(files[0].try_clone().unwrap());
    }
    files
}

fn tempfile() -> std::fs::File {
    let path = std::env::temp_dir().join(robust_shm::unique_name("log"));
    let file = std::fs::File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    file
}

fn check(files: &mut [std::fs::File]) {
    for file in &*files {
        assert!(file.metadata().is_ok_and(|found| found.len() == 17), "{file:?}");
    }
    let log = &mut files[0];
    log.rewind().unwrap();
    let mut text = String::new();
    log.read_to_string(&mut text).unwrap();
    assert_eq!(text, "the head of a log");
    // Nobody has a lock on it: another description of the same file gets one.
    let again = std::fs::File::open(format!("/proc/self/fd/{}", log.as_raw_fd())).unwrap();
    again.try_lock().unwrap();
}

fn loses_descriptors(family: &str) {
    let value = SharedValue::create(&member(family, 0), 1u64).unwrap();
    let array = SharedArray::<u64, 4>::options().persistent(true).create(&member(family, 1)).unwrap();
    let lock = SharedLock::create(&member(family, 2)).unwrap();
    let mut files = replace_all(40);
    // What is mapped goes on working.
    value.update(|n| *n += 1).unwrap();
    drop(lock.lock().unwrap());
    fork(|| drop(array.lock().unwrap())).join();
    check(&mut files);
    let late = SharedValue::create(&member(family, 3), 1u64).unwrap();
    drop((value, array, lock));
    check(&mut files);
    drop(late);
    check(&mut files);
    robust_shm::remove(&member(family, 1)).unwrap();
}

/// Once, the drop wrote over the head of a log and closed it.
#[test]
fn what_is_done_by_a_descriptor_that_was_closed_is_done_to_nobody_elses_file() {
    let family = Family::new("loses");
    spawn("loses", family.name()).join();
    until("the sweep of what nobody could take along", || {
        robust_shm::remove_orphans().unwrap();
        family.living().is_empty().then_some(())
    });
}

fn loses_descriptors_at_exit(family: &str) {
    static VALUE: OnceLock<SharedValue<u64>> = OnceLock::new();
    static FILES: OnceLock<std::sync::Mutex<Vec<std::fs::File>>> = OnceLock::new();
    extern "C" fn look() {
        check(&mut FILES.get().unwrap().lock().unwrap());
        say("unharmed");
        pause();
    }
    // Registered first, and so called last.
    // SAFETY: a function of this program.
    assert_eq!(unsafe { libc::atexit(look) }, 0);
    VALUE.get_or_init(|| SharedValue::create(&member(family, 0), 1u64).unwrap());
    FILES.get_or_init(|| std::sync::Mutex::new(replace_all(40)));
    fork(|| ()).join();
    std::process::exit(0);
}

#[test]
fn the_exit_hook_touches_no_strangers_files() {
    let family = Family::new("loses-at-exit");
    let mut child = spawn("loses-at-exit", family.name());
    child.expect("unharmed");
    child.go_on();
    child.join();
    robust_shm::remove_orphans().unwrap();
}

fn holds_without_descriptors(name: &str) {
    let array = SharedArray::<u64, 4>::options().lock_kind(kind()).persistent(true).create(name).unwrap();
    let mut guard = array.lock().unwrap();
    guard[0] = 1;
    drop(replace_all(1));
    say("holds");
    pause();
    guard[1] = 1;
    drop(guard);
    say("has released");
    let _guard = array.lock().unwrap();
    say("holds");
    pause();
}

#[cfg(not(robust_shm_unix))] // there, nothing tells that the segment is mapped still
support::with_each_kind! {
    a_lock_is_its_holders_although_its_descriptors_were_closed,
}

#[cfg(not(robust_shm_unix))]
/// Once, the next opener found no user, and took the lock that a living thread held.
fn a_lock_is_its_holders_although_its_descriptors_were_closed(kind: LockKind) {
    let name = Scratch::new("holds");
    let mut holder = spawn_of(kind, "holds", &name);
    let open = || SharedArray::<u64, 4>::open(&name).unwrap();
    holder.expect("holds");
    assert!(matches!(open().try_lock(), Err(LockError::WouldBlock { .. })));
    holder.go_on();
    holder.expect("has released");
    holder.expect("holds");
    assert!(matches!(open().try_lock(), Err(LockError::WouldBlock { .. })));
    holder.kill();
    let array = open();
    let mut guard = array.lock_ignoring_poison().unwrap();
    assert!(guard[..2] == [1, 1] && ArrayGuard::is_poisoned(&guard), "a dead one's is not");
    ArrayGuard::clear_poison(&mut guard);
    drop(guard);
    drop(array);
    robust_shm::remove(&name).unwrap();
}
