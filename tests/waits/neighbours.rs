//! Waits beside all that goes on in a process: locks that are held, forks in handlers, other PID namespaces.
#![cfg(target_os = "linux")]

use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use robust_shm::{LockError, SegmentInfo, SharedLock, SharedValue};

use crate::deaths::{handle, is_poisoned, robust_list_is_empty};
use crate::support::{
    Body, Family, Forked, LIMIT, Role, Scratch, asleep, can_unshare, end_with, fork, member, own_tid, pause, say,
    spawn, spawn_through, until, until_it_waits,
};
use crate::{wait_line, word};

pub(crate) const ROLES: &[(&str, Body)] = &[
    ("waits holding a lock", |family| {
        let value = SharedValue::<u64>::open(&member(family, 0)).unwrap();
        let lock = SharedLock::open(&member(family, 1)).unwrap();
        let guard = lock.lock().unwrap();
        say("waits");
        value.wait_newer(&mut 0).unwrap();
        say("goes on");
        pause();
        drop(guard);
        assert!(robust_list_is_empty());
    }),
    ("watches and forks in a handler", |name| {
        let value = SharedValue::<u64>::open(name).unwrap();
        forks_in_a_handler(|| assert_eq!(value.wait_while_for(LIMIT, |n| *n < 7).unwrap(), 7));
    }),
    ("waits for a condition and forks in a handler", |name| {
        let lock = SharedLock::open(name).unwrap();
        forks_in_a_handler(|| {
            // The child may come back for no reason.
            let guard = lock.condvar().wait_for(lock.lock().unwrap(), LIMIT).unwrap().0;
            drop(guard);
            drop(lock.lock().unwrap());
        });
    }),
    ("forks in a condition", |name| {
        let value = SharedValue::<u64>::open(name).unwrap();
        let mut child = None;
        let seen = value.wait_while_for(LIMIT, |n| {
            if *n == 1 && child.is_none() {
                child = Some(fork(|| assert_eq!(value.wait_while_for(LIMIT, |n| *n < 3).unwrap(), 3)));
            }
            *n < 3
        });
        assert_eq!(seen.unwrap(), 3);
        child.expect("one was seen").join();
    }),
    ("watches in a container", |name| {
        let value = SharedValue::<u64>::open(name).unwrap();
        let mut seen = value.commits();
        say("waits");
        loop {
            say(value.wait_newer(&mut seen).unwrap());
        }
    }),
    ("holds in a container", |name| {
        let lock = SharedLock::open(name).unwrap();
        let _guard = lock.lock().unwrap();
        say("holds");
        pause();
    }),
    ("waits beside a container", |name| {
        let lock = SharedLock::open(name).unwrap();
        say("waits");
        let result = lock.condvar().wait(lock.lock().unwrap()).map(drop);
        say(if is_poisoned(result) { "poisoned" } else { "woken" });
        pause();
    }),
];

/// The lock's place in the list is taken by nobody.
#[test]
fn one_who_holds_a_lock_may_watch_and_his_death_hands_it_on() {
    let family = Family::new("holds");
    let value = SharedValue::create(&family.member(0), 0u64).unwrap();
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
            value.set(1).unwrap();
            waiter.expect("goes on");
            waiter.go_on();
            waiter.join();
            assert!(lock.try_lock().is_ok());
        }
    }
}

static CHILD: AtomicI32 = AtomicI32::new(0);

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
fn forks_in_a_handler(wait: impl FnOnce()) {
    handle(libc::SIGUSR1, fork_here);
    CHILD.store(-1, Ordering::Relaxed);
    say(own_tid());
    wait();
    match CHILD.load(Ordering::Relaxed) {
        -1 => panic!("nothing has forked"),
        0 => end_with(|| assert!(robust_list_is_empty())),
        child => {
            Forked::adopt(child).join();
            assert!(robust_list_is_empty());
            say("both");
        }
    }
}

fn child_of(process: u32, thread: libc::pid_t) -> Option<libc::pid_t> {
    let children = std::fs::read_to_string(format!("/proc/{process}/task/{thread}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

fn signal_thread(role: &Role, thread: libc::pid_t, signal: libc::c_int) {
    until("a sleep", || asleep(thread));
    // SAFETY: integers; a thread of a child of ours.
    let result = unsafe { libc::syscall(libc::SYS_tgkill, role.id() as libc::pid_t, thread, signal) };
    assert_eq!(result, 0);
}

#[test]
#[cfg_attr(any(robust_shm_unix, not(target_os = "linux")), ignore = "no kernel knows there who sleeps")]
fn a_handler_may_fork_while_its_thread_watches_and_both_watch_on() {
    let name = Scratch::new("two");
    let value = SharedValue::create(&name, 0u64).unwrap();
    let watcher = spawn("watches and forks in a handler", &name);
    let thread: libc::pid_t = watcher.hear().parse().unwrap();
    until_it_waits(&watcher);
    signal_thread(&watcher, thread, libc::SIGUSR1);
    let child = until("the child", || child_of(watcher.id(), thread));
    until("two that sleep", || (asleep(child).is_some() && asleep(thread).is_some()).then_some(()));
    until("two users more", || (SegmentInfo::of(&name).unwrap().attached() == 3).then_some(()));
    assert_eq!(wait_line(&name, 8), 2, "each is counted");
    value.set(7).unwrap();
    watcher.expect("both");
    watcher.join();
    assert_eq!(wait_line(&name, 8), 0);
}

#[test]
fn a_handler_may_fork_while_its_thread_waits_for_a_condition() {
    let name = Scratch::new("condition");
    let lock = SharedLock::create(&name).unwrap();
    let waiter = spawn("waits for a condition and forks in a handler", &name);
    let thread: libc::pid_t = waiter.hear().parse().unwrap();
    until_it_waits(&waiter);
    signal_thread(&waiter, thread, libc::SIGUSR1);
    until("the child", || child_of(waiter.id(), thread));
    until("the parent's sleep", || asleep(thread));
    let guard = lock.lock().unwrap();
    lock.condvar().notify_all(&guard);
    drop(guard);
    waiter.expect("both");
    waiter.join();
    assert!(lock.try_lock_for(LIMIT).is_ok());
}

#[test]
fn a_condition_may_fork() {
    let name = Scratch::new("forks");
    let value = SharedValue::create(&name, 1u64).unwrap();
    let watcher = spawn("forks in a condition", &name);
    until("two that watch", || (wait_line(&name, 8) == 2).then_some(()));
    value.set(3).unwrap();
    watcher.join();
    assert_eq!(wait_line(&name, 8), 0);
}

/// A shell's way into a new PID namespace with a `/proc` of its own.
const CONTAINER: [&str; 5] = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];

#[test]
fn a_commit_is_seen_in_another_pid_namespace() {
    if !can_unshare(&CONTAINER) {
        return;
    }
    let name = Scratch::new("contained");
    let value = SharedValue::create(&name, 0u64).unwrap();
    for n in 1..4u64 {
        let watcher = spawn_through(&CONTAINER, "watches in a container", &name);
        watcher.expect("waits");
        until("a sleeper", || (word(&name)[0] == libc::FUTEX_WAITERS).then_some(()));
        if n == 2 {
            watcher.kill();
            value.set(n).unwrap();
        } else {
            value.set(n).unwrap();
            watcher.expect(&n.to_string());
        }
    }
}

#[test]
fn a_death_in_another_pid_namespace_is_told_to_who_waits() {
    if !can_unshare(&CONTAINER) {
        return;
    }
    let name = Scratch::new("deaths");
    let lock = SharedLock::create(&name).unwrap();
    let waiter = spawn("waits beside a container", &name);
    waiter.expect("waits");
    until_it_waits(&waiter);
    let holder = spawn_through(&CONTAINER, "holds in a container", &name);
    holder.expect("holds");
    assert!(matches!(lock.try_lock_for(Duration::from_millis(1)), Err(LockError::TimedOut { .. })));
    holder.kill();
    waiter.expect("poisoned");
}
