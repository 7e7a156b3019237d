//! `LockKind::File`: nobody is told of the death of a holder, and those who wait find it all the same. What all kinds have
//! in common is in the other tests; the whole suite takes this kind in a sandbox (`tests/sandbox`).

#![cfg(target_os = "linux")]
#![allow(unsafe_code)]

#[path = "support/deaths.rs"]
mod deaths;
#[path = "support/seccomp.rs"]
mod seccomp;
mod support;

use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::Duration;

use deaths::{is_poisoned, robust_list_is_empty, times_out, would_block};
use robust_shm::{Error, LockError, LockKind, SegmentInfo, SharedArray, SharedLock, SharedValue};
use seccomp::{Refused, refuse};
use support::{
    LIMIT, Role, Scratch, has_robust_lists, is_root, own_tid, path, pause, play, ready_to_die, say, spawn,
    spawn_through, told, until, within_limit,
};

#[test]
fn child() {
    play(&[
        ("hold", hold),
        ("hold, and let go", |name| {
            let guard = SharedLock::open(name).unwrap();
            let guard = guard.lock().unwrap();
            say("ready");
            pause();
            drop(guard);
        }),
        ("wait", |name| {
            let lock = SharedLock::open(name).unwrap();
            say(own_tid());
            let guard = lock.lock_ignoring_poison().unwrap();
            say("got it");
            drop(guard);
        }),
        ("change", |names| {
            let (of_value, of_array) = names.split_once(' ').unwrap();
            let value = SharedValue::<u32>::open(of_value).unwrap();
            let array = SharedArray::<u32, 4>::open(of_array).unwrap();
            let (mut commit, mut change) = (value.lock().unwrap(), array.lock().unwrap());
            (*commit, change[0]) = (2, 2);
            ready_to_die();
        }),
        ("end a thread", end_a_thread),
        ("namesake", namesake),
        ("in a sandbox", in_a_sandbox),
    ]);
}

fn lock(name: &str) -> SharedLock {
    SharedLock::options().lock_kind(LockKind::File).create(name).unwrap()
}

fn hold(name: &str) {
    let lock = SharedLock::open(name).unwrap();
    let _guard = lock.lock().unwrap();
    ready_to_die();
}

fn holder(name: &str) -> Role {
    let holder = spawn("hold", name);
    holder.expect("ready");
    holder
}

/// One who comes to wait, with the thread that does.
fn waiter(name: &str) -> (Role, libc::pid_t) {
    let waiter = spawn("wait", name);
    let thread = waiter.hear().parse().unwrap();
    (waiter, thread)
}

/// Beside the segment, the watcher's lock is a file.
#[cfg(robust_shm_unix)]
fn is_watched(name: &str) -> bool {
    let inode = std::fs::metadata(path(name)).unwrap().ino();
    path(&format!(".robust-shm-unfinished-watch-{inode:x}-0")).exists()
}

/// Who has the watcher's byte: "1: OFDLCK ADVISORY WRITE -1 00:1a:47 4294967296 4294967296". Whose it is the table does not
/// tell of such locks.
#[cfg(not(robust_shm_unix))]
fn is_watched(name: &str) -> bool {
    const WATCH: &str = " 4294967296 4294967296";
    let inode = std::fs::metadata(path(name)).unwrap().ino();
    let table = std::fs::read_to_string("/proc/locks").unwrap();
    table.lines().any(|line| line.contains(&format!(":{inode} ")) && line.ends_with(WATCH))
}

#[test]
fn waiters_find_the_death_of_a_holder() {
    if !support::is_linux("has no table of file locks") {
        return;
    }
    let name = Scratch::new("file");
    let lock = lock(&name);
    let holder = holder(&name);
    let waiters: Vec<Role> = (0..4).map(|_| waiter(&name).0).collect();
    until("one who watches", || is_watched(&name).then_some(()));
    assert!(times_out(lock.try_lock_for(Duration::from_millis(20))));
    holder.kill();
    for waiter in &waiters {
        waiter.expect("got it");
    }
    waiters.into_iter().for_each(Role::join);
    assert!(is_poisoned(lock.lock()));
}

/// Nobody has marked the word: who looks finds it by himself.
#[test]
fn a_death_that_nobody_waited_for_is_seen_by_whoever_looks() {
    let name = Scratch::new("file");
    let lock = lock(&name);
    let holder = holder(&name);
    assert!(!lock.is_poisoned() && would_block(lock.try_lock()) && format!("{lock:?}").contains("locked"));
    let info = SegmentInfo::of(&name).unwrap();
    assert_eq!((info.is_poisoned(), info.holder_process()), (false, told(holder.id())));
    holder.kill();
    assert!(lock.is_poisoned() && !format!("{lock:?}").contains("locked"));
    let info = SegmentInfo::of(&name).unwrap();
    assert_eq!((info.is_poisoned(), info.holder_thread()), (true, None));
    assert!(is_poisoned(lock.try_lock()), "a try does not wait for somebody else to look");
    drop(lock.lock_recover(|| ()).unwrap());
    assert!(!lock.is_poisoned() && lock.try_lock().is_ok());
}

#[test]
fn a_value_has_its_last_commit_and_an_array_is_poisoned() {
    let [of_value, of_array] = [(); 2].map(|()| Scratch::new("file"));
    let value = SharedValue::options().lock_kind(LockKind::File).create(&of_value, 1u32).unwrap();
    let array = SharedArray::<u32, 4>::options().lock_kind(LockKind::File).create(&of_array).unwrap();
    let family = format!("{} {}", &*of_value, &*of_array);
    let child = spawn("change", &family);
    child.expect("ready");
    child.kill();
    assert_eq!(*value.try_lock().unwrap(), 1);
    assert!(matches!(array.try_lock(), Err(LockError::Poisoned { .. })));
}

/// Another is woken, or looks after a tenth of a second.
#[test]
fn a_watcher_that_is_killed_or_stopped_keeps_nobody_from_finding_a_death() {
    if !support::is_linux("has no table of file locks") {
        return;
    }
    for signal in [libc::SIGKILL, libc::SIGSTOP] {
        let name = Scratch::new("file");
        let lock = lock(&name);
        let holder = holder(&name);
        let (first, _) = waiter(&name);
        until("one who watches", || is_watched(&name).then_some(()));
        let others: Vec<Role> = (0..3).map(|_| waiter(&name).0).collect();
        first.signal(signal);
        holder.kill();
        for other in &others {
            other.expect("got it");
        }
        others.into_iter().for_each(Role::join);
        drop(first);
        drop(lock);
    }
}

#[test]
#[cfg_attr(robust_shm_unix, ignore = "nobody is woken there: either of two may have the lock first")]
fn a_watcher_that_has_the_lock_leaves_the_watch_to_another() {
    if !support::is_linux("has no table of file locks") {
        return;
    }
    let name = Scratch::new("file");
    let lock = lock(&name);
    let mut holder = spawn("hold, and let go", &name);
    holder.expect("ready");
    // It sleeps for longer and longer, behind one who watches.
    let next = spawn("hold", &name);
    until("one who watches", || is_watched(&name).then_some(()));
    let (last, thread) = waiter(&name);
    let first_sleep = until("its sleep", || support::asleep(thread));
    until("it to rely on that one", || support::asleep(thread).filter(|sleeps| *sleeps > first_sleep + 4));
    holder.go_on();
    next.expect("ready");
    until("the next one who watches", || is_watched(&name).then_some(()));
    next.kill();
    last.expect("got it");
    last.join();
    holder.join();
    assert!(is_poisoned(lock.lock()));
}

/// Only the end of its process is one.
fn end_a_thread(name: &str) {
    let lock: &'static SharedLock = Box::leak(Box::new(SharedLock::open(name).unwrap()));
    std::thread::spawn(|| std::mem::forget(lock.lock().unwrap())).join().unwrap();
    let second = SharedLock::open(name).unwrap();
    assert!(would_block(lock.try_lock()) && would_block(second.try_lock()));
    assert!(times_out(lock.try_lock_for(Duration::from_millis(10))));
    ready_to_die();
}

#[test]
fn a_thread_that_ends_keeps_its_lock_until_its_process_ends() {
    let name = Scratch::new("file");
    let lock = lock(&name);
    let process = spawn("end a thread", &name);
    process.expect("ready");
    assert!(times_out(lock.try_lock_for(Duration::from_millis(10))));
    process.kill();
    assert!(is_poisoned(lock.try_lock()));
}

#[test]
fn a_lock_that_this_thread_holds_is_its_own_through_whatever_handle() {
    let name = Scratch::new("file");
    let first = lock(&name);
    let others = [(); 3].map(|()| SharedLock::open(&name).unwrap());
    let guard = first.lock().unwrap();
    for other in &others {
        assert!(matches!(other.lock(), Err(LockError::WouldDeadlock { .. })));
        assert!(would_block(other.try_lock()));
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(times_out(other.try_lock_for(Duration::from_millis(2)))));
        });
    }
    // A leaked guard keeps the lock, and the place among the users by which others see that somebody has it.
    std::mem::forget(guard);
    drop(first);
    assert!(matches!(others[0].lock(), Err(LockError::WouldDeadlock { .. })));
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(times_out(others[0].try_lock_for(Duration::from_millis(2)))));
    });
}

fn namesake(name: &str) {
    let lock = SharedLock::open(name).unwrap();
    assert_eq!(SegmentInfo::of(name).unwrap().holder_thread(), Some(own_tid().cast_unsigned()));
    let error = lock.try_lock_for(Duration::from_millis(20)).unwrap_err();
    assert!(matches!(error, LockError::TimedOut { .. }), "another one's: {error}");
    say("waits");
    drop(lock.lock_ignoring_poison().unwrap());
}

/// Each is the first process of a PID namespace of its own.
#[test]
fn a_namesake_in_another_namespace_is_another() {
    if !is_root("to make PID namespaces") {
        return;
    }
    let name = Scratch::new("file");
    let lock = lock(&name);
    let holder = spawn_through(&["unshare", "--pid", "--fork", "--kill-child"], "hold", &name);
    holder.expect("ready");
    let namesake = spawn_through(&["unshare", "--pid", "--fork", "--kill-child"], "namesake", &name);
    namesake.expect("waits");
    assert!(would_block(lock.try_lock()));
    holder.kill();
    namesake.join();
    assert!(is_poisoned(lock.lock()));
}

/// Neither the kernel nor the C library is told of it, and no address stands in shared memory.
#[test]
fn nothing_is_linked() {
    const LINKS: std::ops::Range<u64> = 528..560;
    let name = Scratch::new("file");
    let lock = lock(&name);
    let file = std::fs::File::open(path(&name)).unwrap();
    let _guard = lock.lock().unwrap();
    assert!(!has_robust_lists("to look at it") || robust_list_is_empty());
    let mut links = [0; 32];
    file.read_exact_at(&mut links, LINKS.start).unwrap();
    assert_eq!(links, [0; 32]);
}

#[test]
fn an_opener_that_states_another_kind_is_told() {
    let name = Scratch::new("file");
    let _lock = lock(&name);
    assert_eq!(SegmentInfo::of(&name).unwrap().lock_kind(), LockKind::File);
    assert!(SharedLock::options().lock_kind(LockKind::File).open(&name).is_ok());
    let error = SharedLock::options().lock_kind(LockKind::OsMutex).open(&name).unwrap_err();
    assert!(matches!(error, Error::OptionMismatch { .. }), "{error}");
}

fn in_a_sandbox(name: &str) {
    assert_eq!(LockKind::default(), LockKind::Futex);
    refuse(&[Refused::always(libc::SYS_get_robust_list, libc::ENOSYS)]);
    // This thread is known already; to a fresh one, there are no such locks.
    within_limit("a thread", {
        let name = name.to_owned();
        move || {
            assert!(!LockKind::Futex.is_available() && LockKind::File.is_available());
            assert_eq!(LockKind::default(), LockKind::File);
            let error = SharedLock::open(&name).unwrap_err();
            let text = error.to_string();
            assert!(text.contains("LockKind::Futex") && text.contains("LockKind::File"), "it says what to do: {text}");
            let own = format!("{name}.own");
            let lock = SharedLock::create(&own).unwrap();
            assert_eq!(lock.info().unwrap().lock_kind(), LockKind::File);
            drop(lock.lock().unwrap());
            assert!(SharedLock::options().lock_kind(LockKind::Futex).create(&format!("{name}.futex")).is_err());
        }
    });
}

#[test]
fn where_there_are_no_robust_lists_it_is_the_default() {
    if !has_robust_lists("to be without them") {
        assert_eq!(LockKind::default(), LockKind::File);
        return;
    }
    let name = Scratch::new("file");
    let _lock = SharedLock::create(&name).unwrap();
    spawn("in a sandbox", &name).join();
}

/// The least that is asked of a kind that all systems have: 40 deaths, each found by another.
#[test]
fn of_many_holders_that_die_each_has_an_heir() {
    let name = Scratch::new("file");
    let lock = SharedLock::options().lock_kind(LockKind::File).poison(false).create(&name).unwrap();
    for _ in 0..10 {
        let deaths: Vec<Role> = (0..4).map(|_| spawn("hold", &name)).collect();
        let mut left: Vec<Option<Role>> = deaths.into_iter().map(Some).collect();
        while left.iter().any(Option::is_some) {
            let which = until("the next holder", || {
                left.iter().position(|role| {
                    role.as_ref().is_some_and(|role| match role.heard() {
                        support::Heard::Line(line) => line == "ready",
                        support::Heard::NothingYet => false,
                        support::Heard::End => panic!("a holder has ended"),
                    })
                })
            });
            left[which].take().unwrap().kill();
        }
    }
    assert!(lock.try_lock_for(LIMIT).is_ok());
}
