//! Programs that are not careful with descriptors: daemons close all that they find, and the numbers go to other files.
#![cfg(target_os = "linux")]
#![allow(unsafe_code)]

mod support;

use std::io::{Read, Seek, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

#[cfg(not(robust_shm_unix))]
use robust_shm::{ArrayGuard, LockError, LockKind};
use robust_shm::{SegmentInfo, SharedArray, SharedLock, SharedValue};
#[cfg(not(robust_shm_unix))]
use support::spawn_of;
use support::{Family, Scratch, exists, fork, kind, member, path, pause, play, say, spawn, until};

#[test]
fn child() {
    play(&[
        ("no-stdin", without_standard_descriptors),
        ("loses", loses_descriptors),
        ("loses-at-exit", loses_descriptors_at_exit),
        ("holds", holds_without_descriptors),
        ("opens-again", opens_again),
        ("loses-its-own", loses_only_its_own),
        ("no-room", forks_without_room),
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

/// As daemons do; the files of this process are not used any more.
fn close_all(descriptors: impl IntoIterator<Item = RawFd>) {
    for fd in descriptors {
        // SAFETY: that is what is tested.
        unsafe { libc::close(fd) };
    }
}

/// All but the standard ones.
const ALL: std::ops::Range<RawFd> = 3..1_000;

/// Closes all descriptors, and opens so many of a stranger's file, which get their numbers.
fn replace_all(count: usize) -> Vec<std::fs::File> {
    close_all(ALL);
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

fn opens_again(name: &str) {
    let attached = || SegmentInfo::of(name).unwrap().attached();
    let mut earlier = Vec::new();
    let mut value = SharedValue::options().persistent(true).create(name, 0u64).unwrap();
    for turn in 1..=6 {
        close_all(ALL);
        let again = SharedValue::<u64>::open(name).unwrap();
        earlier.push(std::mem::replace(&mut value, again));
        value.update(|n| *n += 1).unwrap();
        assert_eq!((value.get(), attached()), (turn, 1));
    }
    drop(earlier);
    value.update(|n| *n += 1).unwrap();
    assert_eq!((value.get(), attached()), (7, 1), "their number is its own");
    drop(value);
    assert_eq!(attached(), 0);
    robust_shm::remove(name).unwrap();
}

/// Once, where users have life files, those of closed descriptors were in the way, and after the third no user came in. And
/// anywhere, the drop of a handle whose descriptor was closed closed that of the handle that had its number.
#[test]
fn who_closes_all_descriptors_can_open_again_and_again() {
    spawn("opens-again", &Scratch::new("opens-again")).join();
}

fn loses_only_its_own(name: &str) {
    let value = SharedValue::options().persistent(true).create(name, 0u64).unwrap();
    let files = descriptors_of(name).into_iter().map(|fd| {
        close_all([fd]);
        tempfile() // it has that number
    });
    let files: Vec<_> = files.collect();
    drop(value);
    assert_eq!(SegmentInfo::of(name).unwrap().attached(), 0);
    drop(files);
    robust_shm::remove(name).unwrap();
}

/// Once, where users have life files, one of no handle was a user for as long as the process lived.
#[test]
fn a_handle_that_has_lost_its_descriptor_is_no_user_when_it_is_dropped() {
    spawn("loses-its-own", &Scratch::new("loses-its-own")).join();
}

/// The child cannot put a description of its own in the place of the inherited one: that has a number which is none any more.
fn forks_without_room(name: &str) {
    const LIMIT: libc::rlim_t = 40;
    let fillers: Vec<_> = (0..2 * LIMIT).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
    let lock = SharedLock::options().persistent(true).create(name).unwrap();
    drop(fillers);
    let limit = libc::rlimit { rlim_cur: LIMIT, rlim_max: LIMIT };
    // SAFETY: the structure outlives the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
    let parent = std::process::id();
    fork(|| {
        let guard = lock.lock().unwrap();
        say("holds");
        until("the end of the parent", || (std::os::unix::process::parent_id() != parent).then_some(()));
        say("is alone");
        pause();
        drop(guard);
        say("has released");
    })
    .forget();
    pause();
    // SAFETY: ends this process.
    unsafe { libc::_exit(0) };
}

/// Once, where users have life files, such a child had its parent's slot, and not its life file: it looked dead when its
/// parent was.
#[test]
fn a_child_that_could_not_get_a_description_of_its_own_lives_on_with_its_parents() {
    let name = Scratch::new("no-room");
    let mut parent = spawn("no-room", &name);
    parent.expect("holds");
    parent.go_on();
    parent.expect("is alone");
    let lock = SharedLock::open(&name).unwrap();
    assert!(matches!(lock.try_lock(), Err(robust_shm::LockError::WouldBlock { .. })));
    parent.go_on();
    parent.expect("has released");
    drop(lock.lock().unwrap());
    parent.join();
    drop(lock);
    robust_shm::remove(&name).unwrap();
}
