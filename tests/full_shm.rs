//! A `/dev/shm` that is full, read-only or not there: errors that say so, no `SIGBUS`, nothing left. Each test has a
//! mount namespace of its own, which needs root.
#![cfg(all(target_os = "linux", not(robust_shm_unix)))] // of the directory that all users have in common
#![allow(unsafe_code)]

#[path = "support/mounts.rs"]
mod mounts;
mod support;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;

use mounts::join_apart;
use robust_shm::{Error, SegmentInfo, SharedArray, SharedLock, SharedValue, remove, remove_orphans, segments};
use support::{Need, Scratch, exists, path, pause, play, say, skip, spawn};

#[test]
fn child() {
    play(&[
        ("limit", creates_up_to_the_limit),
        ("fills-up", fills_up),
        ("inodes", runs_out_of_inodes),
        ("unreserved", creates_without_reserving),
        ("touches", touches_all),
        ("read-only", meets_a_read_only_directory),
        ("missing", misses_the_directory),
        ("starves", starves),
    ]);
}

/// In a role: a fresh tmpfs.
fn mount(target: &str, flags: libc::c_ulong, options: &str) {
    mounts::mount("tmpfs", target, flags, options).unwrap();
}

const PAGE: usize = 4096;
/// What stands in front of the elements of an array of bytes.
const FRONT: usize = 704 + 32 * 64;
/// All of a lock.
const LOCK: u64 = 640;
/// What stands behind them, and behind a value of a byte: `u8`.
const SCHEMA: usize = 2;
/// Behind the largest: `[u8;65536]`.
const LARGE_SCHEMA: u64 = 10;
/// The bytes in so many pages.
const fn pages(count: usize) -> usize {
    count * PAGE - FRONT - SCHEMA
}

#[track_caller]
fn assert_out_of_memory<H>(result: Result<H, Error>, name: &str, numbers: (u64, u64)) {
    let error = result.err().expect("an error");
    let Error::OutOfSharedMemory { requested, available, .. } = &error else { panic!("{error:?}") };
    assert_eq!((*requested, *available), numbers);
    let message = error.to_string();
    for word in [&format!("{name:?}"), &format!("expected {requested} bytes"), "remove_orphans", "remount"] {
        assert!(message.contains(word), "no {word:?}: {message}");
    }
    assert!(!exists(name), "{name} exists after a creation that failed");
}

fn creates_up_to_the_limit(_: &str) {
    mount("/dev/shm", 0, "size=1m"); // 256 pages
    let half = SharedArray::<u8, { pages(128) }>::create("half").unwrap();
    let left = (128 * PAGE) as u64;
    for _ in 0..3 {
        let name = "second";
        assert_out_of_memory(SharedArray::<u8, { pages(128) + 1 }>::create(name), name, (left + 1, left));
        assert_out_of_memory(SharedArray::<u8, { pages(300) }>::open_or_create(name), name, (300 * PAGE as u64, left));
        assert_out_of_memory(
            SharedArray::<u8, { 64 << 20 }>::create(name),
            name,
            ((64 << 20) + (FRONT + SCHEMA) as u64, left),
        );
        // The name and the pages are free.
        let second = SharedArray::<u8, { pages(128) }>::create(name).unwrap();
        second.copy_from_slice(&[7; pages(128)]).unwrap();
        // Nothing is left.
        assert_out_of_memory(SharedLock::create("lock"), "lock", (LOCK, 0));
        assert_out_of_memory(SharedValue::create("value", 1u8), "value", (704 + SCHEMA as u64, 0));
        assert_out_of_memory(
            SharedValue::create("value", [1u8; 64 << 10]),
            "value",
            (704 + (128 << 10) + LARGE_SCHEMA, 0),
        );
        assert_eq!(second.get(pages(128) - 1).unwrap(), 7);
        drop(second);
        assert!(SharedLock::create("lock").is_ok());
    }
    half.set(pages(128) - 1, 1).unwrap();
    drop(half);
    // All of it, in values: each takes 33 pages.
    let values: Vec<_> =
        (0..7).map(|which| SharedValue::create(&format!("value.{which}"), [1u8; 64 << 10]).unwrap()).collect();
    assert_out_of_memory(
        SharedValue::create("value.7", [1u8; 64 << 10]),
        "value.7",
        (704 + (128 << 10) + LARGE_SCHEMA, 25 * 4096),
    );
    drop(values);
    assert_eq!(fs::read_dir("/dev/shm").unwrap().count(), 0);
}

#[test]
fn what_does_not_fit_is_an_error_with_both_numbers_and_what_fits_exactly_is_made() {
    join_apart("limit");
}

/// Writes into a file until there is no room.
fn fill(name: &str) {
    let mut file = File::create(path(name)).unwrap();
    let error = loop {
        if let Err(error) = file.write_all(&[1; PAGE]) {
            break error;
        }
    };
    assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
}

fn fills_up(_: &str) {
    mount("/dev/shm", 0, "size=1m");
    let array = SharedArray::<u8, { pages(50) }>::create("array").unwrap();
    let value = SharedValue::create("value", [1u8; 64 << 10]).unwrap();
    let lock = SharedLock::create("lock").unwrap();
    drop(SharedLock::options().persistent(true).create("kept").unwrap());
    fill("stranger");
    // Not one page more is needed: by those who are there, and by those who come.
    array.update(|data| data.fill(3)).unwrap();
    for round in 0..4 {
        assert_eq!(value.update(|v| v.fill(round)).unwrap()[65535], round);
    }
    drop(lock.lock().unwrap());
    let also = SharedArray::<u8, { pages(50) }>::open("array").unwrap();
    assert_eq!(also.get(pages(50) - 1).unwrap(), 3);
    drop(SharedLock::open("kept").unwrap().lock().unwrap());
    assert_eq!(SegmentInfo::of("array").unwrap().attached(), 2);
    let child = spawn("touches", "array");
    child.expect("touched");
    child.join();
    assert_out_of_memory(SharedLock::create("more"), "more", (LOCK, 0));
    drop((array, also, value, lock));
    remove("kept").unwrap();
    fs::remove_file(path("stranger")).unwrap();
    assert_eq!(fs::read_dir("/dev/shm").unwrap().count(), 0);
}

fn touches_all(name: &str) {
    let array = SharedArray::<u8, { pages(50) }>::open(name).unwrap();
    array.update(|data| data.fill(4)).unwrap();
    say("touched");
    pause();
}

#[test]
fn segments_go_on_working_when_the_file_system_fills_up() {
    join_apart("fills-up");
}

fn runs_out_of_inodes(_: &str) {
    mount("/dev/shm", 0, "size=1m,nr_inodes=10");
    let mut locks = Vec::new();
    let error = loop {
        match SharedLock::create(&format!("lock.{}", locks.len())) {
            Ok(lock) => locks.push(lock),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::OutOfSharedMemory { requested: LOCK, .. }), "{error:?}");
    assert!(error.to_string().contains("nr_inodes"), "{error}");
    assert!(locks.len() > 5 && !exists(&format!("lock.{}", locks.len())));
    drop(SharedLock::open("lock.0").unwrap().lock().unwrap());
    drop(locks.pop());
    locks.push(SharedLock::create("again").unwrap());
    drop(locks);
    assert_eq!(fs::read_dir("/dev/shm").unwrap().count(), 0);
}

#[test]
fn too_many_files_are_an_error_that_says_so() {
    if support::is_linux("does not limit the number of files") {
        join_apart("inodes");
    }
}

fn creates_without_reserving(_: &str) {
    mount("/dev/shm", 0, "size=1m");
    type Large = SharedArray<u8, { pages(300) }>;
    let value = SharedValue::create("value", 7u64).unwrap();
    let array = SharedArray::<u8, { pages(300) }>::options().reserve(false).create("array").unwrap();
    array.update(|data| data[..pages(200)].fill(1)).unwrap();
    // The one that takes the last page dies of it; the lock is handed over, and the others go on.
    let forked = support::fork(|| {
        let array = Large::open("array").unwrap();
        array.update(|data| data.fill(2)).unwrap();
    });
    assert_eq!(end_of(forked), libc::SIGBUS);
    assert!(array.is_poisoned());
    assert_eq!(array.lock_ignoring_poison().unwrap()[0], 2);
    assert_eq!(value.update(|v| *v += 1).unwrap(), 8);
    // Without room for its first page, it is an error here, too.
    let lock = SharedLock::options().reserve(false).create("lock");
    assert_out_of_memory(lock, "lock", (LOCK, 0));
    drop((array, value));
    assert_eq!(fs::read_dir("/dev/shm").unwrap().count(), 0);
}

fn end_of(mut child: support::Forked) -> libc::c_int {
    support::until("the end of a forked child", || child.try_wait())
}

/// What `Options::reserve` says.
#[test]
fn without_reserved_pages_the_first_use_of_one_too_many_is_a_sigbus() {
    join_apart("unreserved");
}

fn meets_a_read_only_directory(_: &str) {
    mount("/dev/shm", 0, "size=1m");
    drop(SharedValue::options().persistent(true).create("kept", 7u64).unwrap());
    mount("/dev/shm", libc::MS_REMOUNT | libc::MS_RDONLY, "size=1m");
    for error in [
        SharedLock::create("new").err(),
        SharedLock::open_or_create("new").err(),
        SharedValue::<u64>::open("kept").err(),
        SharedValue::create("kept", 7u64).err(),
        remove("kept").err(),
    ] {
        let error = error.unwrap();
        let Error::Io { source, .. } = &error else { panic!("{error:?}") };
        assert_eq!(source.raw_os_error(), Some(libc::EROFS));
        let message = error.to_string();
        assert!(message.contains("Read-only") && message.contains(&format!("{:?}", error.name())), "{message}");
    }
    assert!(matches!(SharedLock::open("new"), Err(Error::NotFound { .. })));
    // Looking needs no right to write.
    let observer = SharedValue::<u64>::observe("kept").unwrap();
    assert_eq!((observer.get(), observer.commits(), observer.attached().unwrap()), (7, 0, 0));
    assert!(!observer.is_removed() && observer.info().unwrap().is_persistent());
    assert_eq!(SegmentInfo::of("kept").unwrap().type_name(), "u64");
    assert_eq!(segments().count(), 1);
    assert_eq!(remove_orphans().unwrap(), [""; 0]);
}

#[test]
fn a_read_only_directory_is_an_error_that_says_so() {
    join_apart("read-only");
}

fn misses_the_directory(_: &str) {
    mount("/dev", 0, "size=1m");
    for error in [SharedLock::create("new").err(), SharedLock::open_or_create("new").err(), remove_orphans().err()] {
        let message = error.as_ref().unwrap().to_string();
        assert!(matches!(error, Some(Error::Io { .. })), "{message}");
        assert!(message.contains("/dev/shm"), "{message}");
    }
    assert!(matches!(SharedLock::open("new"), Err(Error::NotFound { .. })));
    assert!(matches!(remove("new"), Err(Error::NotFound { .. })));
    assert!(matches!(segments().next(), Some(Err(Error::Io { .. }))));
    assert_eq!(segments().count(), 1);
    fs::write("/dev/shm", "a file").unwrap();
    assert!(matches!(SharedLock::create("new"), Err(Error::Io { .. })));
    assert!(matches!(SharedLock::open("new"), Err(Error::Io { .. })));
}

#[test]
fn a_missing_directory_is_an_error_that_says_so() {
    join_apart("missing");
}

/// A group whose processes may use little memory; it goes when this is dropped.
struct Cgroup(std::path::PathBuf);

impl Cgroup {
    const LIMIT: &str = "16777216";

    /// `None`, and says so, where no group can be made or none has a limit on memory.
    fn new() -> Option<Self> {
        for (root, limit) in [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")] {
            let group = Self(std::path::Path::new(root).join(robust_shm::unique_name("robust-shm-test")));
            if fs::create_dir(&group.0).is_ok() && fs::write(group.0.join(limit), Self::LIMIT).is_ok() {
                return Some(group);
            }
        }
        skip(Need::System, "no memory cgroup can be made");
        None
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

fn starves(group: &str) {
    fs::write(std::path::Path::new(group).join("cgroup.procs"), std::process::id().to_string()).unwrap();
    let name = robust_shm::unique_name("starves");
    say(&name);
    let error = SharedArray::<u8, { 256 << 20 }>::create(&name).unwrap_err();
    assert!(matches!(error, Error::OutOfSharedMemory { .. }), "{error:?}");
}

/// The kernel decides: the creation fails, or the creator is killed. Nothing is left either way.
#[test]
fn a_creator_beyond_its_memory_limit_leaves_nothing() {
    let Some(group) = Cgroup::new() else { return };
    let mut child = spawn("starves", group.0.to_str().unwrap());
    let name = Scratch(child.hear());
    let status = child.wait_for_end();
    assert!(status.success() || status.signal() == Some(libc::SIGKILL), "{status}");
    println!("the creator ended with {status}");
    assert!(!exists(&name));
}
