//! PID namespaces where nothing tells which one it is: without `/proc`, and before Linux 6.11. Unknown is not a value: two
//! that are unknown are not the same, and share as several do. Needs the right to make namespaces.
#![cfg(all(target_os = "linux", not(robust_shm_unix)))] // there, all processes are one namespace
#![allow(unsafe_code)]

#[path = "support/mounts.rs"]
mod mounts;
#[path = "support/seccomp.rs"]
mod seccomp;
mod support;

use std::io;

use robust_shm::{LockError, SegmentInfo, SharedArray, SharedLock, SharedValue};
use seccomp::{Refused, refuse};
use support::{Role, Scratch, can_unshare, fork, own_tid, pause, play, say, spawn_through};

#[test]
fn child() {
    play(&[
        ("holds", holds),
        ("holds-unknown", |name| unknown(|| holds(name))),
        ("visits", visits),
        ("visits-unknown", |name| unknown(|| visits(name))),
        ("serves-unknown", |name| unknown(|| serves(name))),
        ("moves", moves),
        ("jail", jail),
        ("looks-with-outer-proc", looks_with_outer_proc),
        ("looks-at-a-namesake", looks_at_a_namesake),
    ]);
}

/// A shell's way into new PID and mount namespaces, in which `/proc` is the old one at first.
const CONTAINER: [&str; 7] = ["unshare", "--pid", "--fork", "--mount", "--propagation", "private", "--kill-child"];

fn spawn_in_container(role: &str, name: &str) -> Option<Role> {
    can_unshare(&CONTAINER).then(|| spawn_through(&CONTAINER, role, name))
}

/// Puts an empty directory in the place of `/proc`.
fn hide_proc() {
    mounts::mount("tmpfs", "/proc", 0, "size=1m").unwrap();
    assert!(std::fs::read_link("/proc/self").is_err());
}

/// As before Linux 6.11.
fn forget_descriptors_of_processes() {
    refuse(&[Refused::always(libc::SYS_pidfd_open, libc::ENOSYS)]);
}

/// Runs something where nothing tells the namespace.
fn unknown(body: impl FnOnce()) {
    hide_proc();
    forget_descriptors_of_processes();
    body();
}

fn holds(name: &str) {
    if std::fs::read_link("/proc/self").is_ok() {
        hide_proc();
    }
    let lock = SharedLock::create(name).unwrap();
    let guard = lock.lock().unwrap();
    say("holds");
    pause();
    drop(guard);
    drop(lock.lock().unwrap());
}

fn visits(name: &str) {
    if std::fs::read_link("/proc/self").is_ok() {
        hide_proc();
    }
    let lock = SharedLock::open(name).unwrap();
    assert!(matches!(lock.try_lock(), Err(LockError::WouldBlock { .. })));
    say("waits");
    drop(lock.lock().unwrap());
    say("has locked");
}

const NAMESPACE: u64 = 96;

/// What the header says.
fn namespace_in(name: &str) -> u64 {
    let bytes = std::fs::read(support::path(name)).unwrap();
    u64::from_ne_bytes(std::array::from_fn(|i| bytes[NAMESPACE as usize + i]))
}

/// One process holds a lock, another one in another namespace asks for it.
fn meet(holder: &str, visitor: &str) -> Option<()> {
    let name = Scratch::new("unknown");
    let mut holder = spawn_in_container(holder, &name)?;
    holder.expect("holds");
    assert_ne!(namespace_in(&name), u64::MAX);
    let visitor = spawn_in_container(visitor, &name)?;
    visitor.expect("waits");
    assert_eq!(namespace_in(&name), u64::MAX, "not the same");
    holder.go_on();
    visitor.expect("has locked");
    visitor.join();
    holder.join();
    Some(())
}

#[test]
fn two_namespaces_without_proc_are_told_apart_and_share() {
    meet("holds", "visits");
}

/// Once, both were "namespace 0", and the ids of one counted in the other.
#[test]
fn two_unknown_namespaces_are_not_the_same() {
    meet("holds-unknown", "visits-unknown");
}

#[test]
fn an_unknown_namespace_is_not_a_known_one() {
    if meet("holds-unknown", "visits").is_some() {
        meet("holds", "visits-unknown");
    }
}

/// A family of processes needs no name for the namespace that it is in.
fn serves(name: &str) {
    let value = SharedValue::create(name, 0u64).unwrap();
    let workers: Vec<_> = (0..3)
        .map(|_| {
            fork(|| {
                for _ in 0..200 {
                    *value.lock().unwrap() += 1;
                }
                fork(|| *value.lock().unwrap() += 1).join();
                assert_eq!(SharedValue::<u64>::open(name).map(drop).map_err(|error| error.to_string()), Ok(()));
            })
        })
        .collect();
    workers.into_iter().for_each(support::Forked::join);
    assert_eq!(value.get(), 603);
    assert_ne!(namespace_in(name), u64::MAX, "one family");
    // One that moves to another namespace is told apart, although nothing tells where it is.
    // SAFETY: takes an integer; from here on this process makes no threads.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWPID) }, 0, "{}", io::Error::last_os_error());
    let guard = value.lock().unwrap();
    fork(|| {
        assert_eq!(std::process::id(), 1);
        let error = value.try_lock_for(std::time::Duration::from_millis(10)).unwrap_err();
        assert!(matches!(error, LockError::TimedOut { process: None, .. }), "{error}");
        assert_eq!(namespace_in(name), u64::MAX);
    })
    .join();
    drop(guard);
    assert_eq!(value.update(|n| *n += 1).unwrap(), 604);
}

const NO_MOVE: &str = "does not let a process move its children to a new PID namespace";

#[test]
fn a_forked_family_in_an_unknown_namespace_shares_its_locks() {
    if !support::is_linux(NO_MOVE) {
        return;
    }
    let name = Scratch::new("family");
    if let Some(child) = spawn_in_container("serves-unknown", &name) {
        child.join();
    }
}

/// Whoever holds a lock moves its children to another namespace, without `/proc` there.
fn moves(name: &str) {
    let array = SharedArray::<u64, 4>::create(name).unwrap();
    let free = SharedLock::create(&format!("{name}.free")).unwrap();
    let guard = array.lock().unwrap();
    // SAFETY: takes an integer; from here on this process makes no threads.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWPID) }, 0, "{}", io::Error::last_os_error());
    unknown(|| {
        fork(|| {
            // Again, by a thread that is known now.
            for _ in 0..2 {
                assert!(matches!(array.try_lock(), Err(LockError::WouldBlock { .. })));
                drop(free.try_lock().unwrap());
            }
        })
        .join();
    });
    assert_eq!([namespace_in(name), namespace_in(free.name())], [u64::MAX; 2]);
    drop(guard);
    drop(array.lock().unwrap());
}

#[test]
fn a_child_that_has_moved_out_of_sight_of_proc_counts_as_one_elsewhere() {
    if !support::is_linux(NO_MOVE) {
        return;
    }
    let name = Scratch::new("moves");
    if let Some(child) = spawn_in_container("moves", &name) {
        child.join();
    }
}

/// Opens, goes into a jail without `/proc`, and forks workers.
fn jail(name: &str) {
    let value = SharedValue::create(name, 0u64).unwrap();
    forget_descriptors_of_processes();
    let root = std::env::temp_dir().join(name);
    std::fs::create_dir(&root).unwrap();
    std::os::unix::fs::chroot(&root).unwrap();
    std::env::set_current_dir("/").unwrap();
    assert!(std::fs::read_dir("/").unwrap().next().is_none(), "nothing in here");
    let workers: Vec<_> = (0..2)
        .map(|_| {
            fork(|| {
                for _ in 0..200 {
                    *value.lock().unwrap() += 1;
                }
            })
        })
        .collect();
    workers.into_iter().for_each(support::Forked::join);
    assert_eq!(value.get(), 400);
    say("served");
    pause();
}

#[test]
fn workers_in_a_jail_without_proc_lock_what_was_opened_outside() {
    let name = Scratch::new("jail");
    let Some(mut child) = spawn_in_container("jail", &name) else { return };
    child.expect("served");
    std::fs::remove_dir(std::env::temp_dir().join(&*name)).unwrap();
    child.go_on();
    child.join();
}

/// `/proc` shows the outer namespace here: the number of the holder, as this namespace has it, is somebody else's there.
fn looks_with_outer_proc(name: &str) {
    let lock = SharedLock::create(name).unwrap();
    let _guard = lock.lock().unwrap();
    let info = SegmentInfo::of(name).unwrap();
    assert!(info.holder_thread().is_some());
    assert_eq!(info.holder_process(), None, "a stranger's");
    mounts::mount("proc", "/proc", 0, "").unwrap();
    assert_eq!(SegmentInfo::of(name).unwrap().holder_process(), Some(std::process::id()));
}

/// The holder is in another namespace, and its number there is this thread's here.
fn looks_at_a_namesake(name: &str) {
    mounts::mount("proc", "/proc", 0, "").unwrap();
    let info = SegmentInfo::of(name).unwrap();
    assert_eq!(info.holder_thread(), Some(own_tid().cast_unsigned()), "each is the first of its namespace");
    assert_eq!(info.holder_process(), None, "that is this very process, which holds nothing");
}

#[test]
fn no_stranger_is_named_as_the_holder_in_another_namespace() {
    let name = Scratch::new("namesake");
    let Some(mut holder) = spawn_in_container("holds", &name) else { return };
    holder.expect("holds");
    spawn_in_container("looks-at-a-namesake", &name).unwrap().join();
    holder.go_on();
    holder.join();
}

/// The same without the right to make namespaces: the header names another one, and the number is this thread's here.
#[test]
fn no_stranger_is_named_as_the_holder_of_what_was_made_in_another_namespace() {
    use std::os::unix::fs::FileExt;

    let name = Scratch::new("elsewhere");
    let lock = SharedLock::create(&name).unwrap();
    let _guard = lock.lock().unwrap();
    let holder = || {
        let info = SegmentInfo::of(&name).unwrap();
        (info.holder_thread(), info.holder_process())
    };
    let thread = Some(own_tid().cast_unsigned());
    assert_eq!(holder(), (thread, Some(std::process::id())));
    let file = std::fs::File::options().write(true).open(support::path(&name)).unwrap();
    file.write_all_at(&0x7fff_fff7u64.to_ne_bytes(), NAMESPACE).unwrap();
    assert_eq!(holder(), (thread, None));
}

#[test]
fn no_stranger_is_named_as_the_holder_where_proc_shows_another_namespace() {
    if let Some(child) = spawn_in_container("looks-with-outer-proc", &Scratch::new("outer")) {
        child.join();
    }
}
