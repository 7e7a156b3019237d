//! Events beside all that goes on in a process: locks that are held, signal handlers, forks, other PID namespaces.
#![cfg(target_os = "linux")]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use robust_shm::{LockError, SegmentInfo, SharedEvent, SharedLock, SharedValue};

use crate::deaths::{handle, is_poisoned, robust_list_is_empty};
use crate::support::{
    Body, Family, Forked, LIMIT, Role, Scratch, asleep, can_unshare, fork, member, own_tid, pause, say, spawn,
    spawn_through, until, until_it_waits,
};

pub(crate) const ROLES: &[(&str, Body)] = &[
    ("waits holding a lock", |family| {
        let (event, lock) = both(family);
        let guard = lock.lock().unwrap();
        say("waits");
        event.wait().unwrap();
        say("goes on");
        pause();
        drop(guard);
        assert!(robust_list_is_empty());
    }),
    ("is interrupted", is_interrupted),
    ("forks in a handler", forks_in_a_handler),
    ("forks", forks),
    ("waits twice", |name| {
        let event = SharedEvent::open(name).unwrap();
        say("waits");
        event.wait().unwrap();
        say("goes on");
        event.clear().unwrap();
        say("has cleared");
        event.wait().unwrap();
        say("goes on");
    }),
    ("sets where others sleep", |name| {
        let event = SharedEvent::open(name).unwrap();
        event.set().unwrap();
        say("has set");
        pause();
    }),
    ("leaves in several namespaces", leaves_in_several_namespaces),
];

fn both(family: &str) -> (SharedEvent, SharedLock) {
    (SharedEvent::open(&member(family, 0)).unwrap(), SharedLock::open(&member(family, 1)).unwrap())
}

/// The lock's place in the list is taken by nobody.
#[test]
fn one_who_holds_a_lock_may_wait_and_his_death_hands_it_on() {
    let family = Family::new("holds");
    let event = SharedEvent::create(&family.member(0)).unwrap();
    let lock = SharedLock::create(&family.member(1)).unwrap();
    for dies in [true, false] {
        let mut waiter = spawn("waits holding a lock", family.name());
        waiter.expect("waits");
        until_it_waits(&waiter);
        assert!(matches!(lock.try_lock(), Err(LockError::WouldBlock { .. })));
        if dies {
            waiter.kill();
            assert!(is_poisoned(lock.try_lock_for(LIMIT)));
            drop(lock.lock_recover(|| ()).unwrap());
        } else {
            event.set().unwrap();
            waiter.expect("goes on");
            waiter.go_on();
            waiter.join();
            assert!(lock.try_lock().is_ok());
        }
    }
}

#[test]
fn nothing_is_left_in_the_list() {
    let name = Scratch::new("list");
    let event = SharedEvent::create(&name).unwrap();
    assert!(event.wait_for(Duration::from_millis(1)).is_err());
    assert!(robust_list_is_empty());
    event.set().unwrap();
    event.clear().unwrap();
    assert!(robust_list_is_empty());
    let value = SharedValue::create(&format!("{}.value", &*name), 1u32).unwrap();
    let guard = value.lock().unwrap();
    assert!(event.wait_for(Duration::from_millis(1)).is_err());
    event.set().unwrap();
    drop(guard);
    assert!(robust_list_is_empty());
}

static EVENT: OnceLock<SharedEvent> = OnceLock::new();
static CHILD: AtomicI32 = AtomicI32::new(0);

extern "C" fn sets_here(_signal: libc::c_int) {
    EVENT.get().unwrap().set().unwrap();
}

extern "C" fn pulses_here(_signal: libc::c_int) {
    EVENT.get().unwrap().set().unwrap();
    EVENT.get().unwrap().clear().unwrap();
}

extern "C" fn nothing_here(_signal: libc::c_int) {}

fn is_interrupted(name: &str) {
    let event = EVENT.get_or_init(|| SharedEvent::open(name).unwrap());
    handle(libc::SIGUSR1, sets_here);
    handle(libc::SIGUSR2, pulses_here);
    handle(libc::SIGALRM, nothing_here);
    say(own_tid());
    event.wait().unwrap();
    say("goes on");
    event.clear().unwrap();
    say(own_tid());
    event.wait().unwrap();
    say("goes on");
    pause();
}

fn signal_thread(role: &Role, thread: libc::pid_t, signal: libc::c_int) {
    let before = until("a sleep", || asleep(thread));
    // SAFETY: integers; a thread of a child of ours.
    let result = unsafe { libc::syscall(libc::SYS_tgkill, role.id() as libc::pid_t, thread, signal) };
    assert_eq!(result, 0, "{before}");
}

/// The handler's own thread is the one that waits.
#[test]
fn a_signal_handler_may_set_what_its_thread_waits_for() {
    let name = Scratch::new("handler");
    let event = SharedEvent::create(&name).unwrap();
    let mut waiter = spawn("is interrupted", &name);
    let mut threads = Vec::new();
    for signal in [libc::SIGUSR1, libc::SIGUSR2] {
        let thread: libc::pid_t = waiter.hear().parse().unwrap();
        threads.push(thread);
        until_it_waits(&waiter);
        signal_thread(&waiter, thread, libc::SIGALRM);
        until_it_waits(&waiter);
        signal_thread(&waiter, thread, signal);
        waiter.expect("goes on");
    }
    waiter.go_on();
    waiter.join();
    assert!(!event.is_set());
}

extern "C" fn fork_here(_signal: libc::c_int) {
    // SAFETY: the interrupted code is a system call of ours that waits; no other thread matters.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: integers. The child does not outlive a parent that was killed.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    }
    CHILD.store(pid, Ordering::Relaxed);
}

/// Parent and child go on in the same call.
fn forks_in_a_handler(name: &str) {
    let event = SharedEvent::open(name).unwrap();
    handle(libc::SIGUSR1, fork_here);
    CHILD.store(-1, Ordering::Relaxed);
    say(own_tid());
    let result = event.wait_for(LIMIT);
    match CHILD.load(Ordering::Relaxed) {
        -1 => panic!("nothing has forked"),
        0 => crate::support::end_with(|| {
            result.unwrap();
            assert!(robust_list_is_empty());
            // It is a thread like any other.
            assert_eq!(own_tid() as u32, std::process::id());
            event.set().unwrap();
        }),
        child => {
            result.unwrap();
            Forked::adopt(child).join();
            say("both");
        }
    }
}

#[test]
fn a_handler_may_fork_while_its_thread_waits_and_both_wait_on() {
    let name = Scratch::new("two");
    let event = SharedEvent::create(&name).unwrap();
    for pulse in [false, true] {
        let waiter = spawn("forks in a handler", &name);
        let thread: libc::pid_t = waiter.hear().parse().unwrap();
        until_it_waits(&waiter);
        signal_thread(&waiter, thread, libc::SIGUSR1);
        let child = until("the child", || child_of(waiter.id(), thread));
        until("two that sleep", || (asleep(child).is_some() && asleep(thread).is_some()).then_some(()));
        until("two users more", || (SegmentInfo::of(&name).unwrap().attached() == 3).then_some(()));
        event.set().unwrap();
        if pulse {
            event.clear().unwrap();
        }
        waiter.expect("both");
        waiter.join();
        event.clear().unwrap();
    }
}

fn child_of(process: u32, thread: libc::pid_t) -> Option<libc::pid_t> {
    let children = std::fs::read_to_string(format!("/proc/{process}/task/{thread}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

/// A child that was forked in good order uses its parent's handle, and is a user of its own.
fn forks(name: &str) {
    let event = SharedEvent::open(name).unwrap();
    let waiting: Vec<_> = (0..3).map(|_| fork(|| event.wait_for(LIMIT).unwrap())).collect();
    let setting = fork(|| {
        event.set().unwrap();
        assert!(robust_list_is_empty());
    });
    setting.join();
    waiting.into_iter().for_each(Forked::join);
    event.clear().unwrap();
    // Killed as it sleeps.
    let child = fork(|| event.wait().unwrap());
    until("its sleep", || asleep(child.id()));
    child.kill();
    event.set().unwrap();
    event.wait().unwrap();
}

#[test]
fn forked_children_wait_and_set() {
    let name = Scratch::new("forks");
    let event = SharedEvent::create(&name).unwrap();
    spawn("forks", &name).join();
    assert_eq!(event.info().unwrap().attached(), 1);
    assert!(event.is_set());
}

/// A shell's way into a new PID namespace with a `/proc` of its own.
const CONTAINER: [&str; 5] = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];

#[test]
fn in_several_pid_namespaces_it_is_one_event() {
    if !can_unshare(&CONTAINER) {
        return;
    }
    let name = Scratch::new("contained");
    let event = SharedEvent::create(&name).unwrap();
    // One elsewhere waits, one here sets; and one who waits elsewhere is killed.
    for dies in [true, false] {
        let waiter = spawn_through(&CONTAINER, "waits", &name);
        waiter.expect("waits");
        until("a sleeper", || (word(&name) == libc::FUTEX_WAITERS).then_some(()));
        if dies {
            waiter.kill();
            event.set().unwrap();
        } else {
            event.set().unwrap();
            let mut waiter = waiter;
            waiter.expect("goes on");
            waiter.go_on();
            waiter.join();
        }
        event.clear().unwrap();
    }
    // One here waits, one elsewhere sets and dies.
    let here = spawn("waits twice", &name);
    here.expect("waits");
    until_it_waits(&here);
    let setter = spawn_through(&CONTAINER, "sets where others sleep", &name);
    setter.expect("has set");
    here.expect("goes on");
    setter.kill();
    here.expect("has cleared");
    until_it_waits(&here);
    assert!(!event.is_set());
    event.set().unwrap();
    here.expect("goes on");
    here.join();
}

fn word(name: &str) -> u32 {
    let bytes = std::fs::read(crate::support::path(name)).unwrap();
    u32::from_ne_bytes(std::array::from_fn(|i| bytes[520 + i]))
}

/// What says that the event is set says nothing of a holder: so the mapping goes with the handle.
fn leaves_in_several_namespaces(name: &str) {
    let event = SharedEvent::open(name).unwrap();
    let slot = own_slot(name);
    event.set().unwrap();
    // As if it had been set as often as this.
    let file = std::fs::File::options().write(true).open(crate::support::path(name)).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &slot.to_ne_bytes(), 524).unwrap();
    drop(event);
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    assert!(!maps.contains(name), "still mapped");
    say("has left");
}

/// The presence byte of the only user who is this process.
fn own_slot(name: &str) -> u32 {
    let inode = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(crate::support::path(name)).unwrap());
    for entry in std::fs::read_dir("/proc/self/fd").unwrap().flatten() {
        let Ok(status) = std::fs::metadata(entry.path()) else { continue };
        if std::os::unix::fs::MetadataExt::ino(&status) != inode {
            continue;
        }
        let info = format!("/proc/self/fdinfo/{}", entry.file_name().to_string_lossy());
        let info = std::fs::read_to_string(info).unwrap();
        if let Some(line) = info.lines().find(|line| line.contains("OFDLCK")) {
            let start = line.split_whitespace().rev().nth(1).unwrap();
            return start.parse().unwrap();
        }
    }
    panic!("no presence byte");
}

#[test]
#[cfg_attr(robust_shm_unix, ignore = "nobody has a byte there")]
fn the_mapping_goes_with_the_handle_whatever_the_word_says() {
    if !can_unshare(&CONTAINER) || !crate::support::is_linux("does not tell of the locks of a descriptor") {
        return;
    }
    let name = Scratch::new("leaves");
    let event = SharedEvent::create(&name).unwrap();
    let child = spawn_through(&CONTAINER, "leaves in several namespaces", &name);
    child.expect("has left");
    child.join();
    assert_eq!(event.info().unwrap().attached(), 1);
}
