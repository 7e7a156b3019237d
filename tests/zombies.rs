//! Holders that have ended without the kernel's word, and that nobody has waited for, so that their ids are still taken.
//!
//! The OOM killer makes such: it takes a process's memory, and the kernel no longer finds the list of its locks. Here the
//! process tells the kernel of another list, an empty one.
#![cfg(target_os = "linux")]
#![allow(unsafe_code)]

#[path = "support/deaths.rs"]
mod deaths;
mod support;

use std::time::Duration;

use deaths::times_out;
use robust_shm::{LockError, LockKind, SharedValue};
use support::{Role, Scratch, fork, is_root, pause, play, say, spawn, until, within_limit};

#[test]
fn child() {
    play(&[
        ("leave a zombie", |name| {
            // The only thread of a forked child is its main thread: that of others keeps its id.
            let mut holder = fork(|| {
                hold_unnoticed(name);
                say("holds it");
                std::thread::sleep(support::LIMIT);
            });
            pause();
            holder.signal(libc::SIGKILL);
            let stat = format!("/proc/{}/stat", holder.id());
            until("the zombie", || std::fs::read_to_string(&stat).unwrap().contains(") Z ").then_some(()));
            say("a zombie");
            pause();
            assert_eq!(holder.try_wait(), Some(libc::SIGKILL));
        }),
        // The main thread ends before the process does.
        ("leave unnoticed", |name| {
            // The only thread of a forked child is its main thread.
            let keeper = fork(|| {
                std::thread::spawn(|| {
                    until("the end of the main thread", || (main_thread_state() == 'Z').then_some(()));
                    say("ready");
                    pause();
                    // SAFETY: ends the process.
                    unsafe { libc::_exit(0) }
                });
                hold_unnoticed(name);
                // SAFETY: ends this thread only, without unwinding.
                unsafe { libc::syscall(libc::SYS_exit, 0) };
            });
            keeper.join();
        }),
        ("outsider", |name| {
            const NOBODY: libc::c_long = 65534;
            // SAFETY: takes integers; the thread's own identity only.
            assert_eq!(unsafe { libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY) }, 0);
            let value = SharedValue::<u64>::options().allow_owner(0).open(name).unwrap();
            let takes_it = (0..20).any(|_| value.try_lock_for(Duration::from_micros(100)).is_ok());
            say(if takes_it { "takes it" } else { "leaves it" });
        }),
    ]);
}

fn main_thread_state() -> char {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{}/stat", std::process::id())).unwrap();
    stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
}

/// Holds the lock with a list of which the kernel does not know.
fn hold_unnoticed(name: &str) {
    let value = SharedValue::<u64>::open(name).unwrap();
    let mut guard = value.lock().unwrap();
    *guard = 9;
    std::mem::forget(guard);
    std::mem::forget(value);
    // A head whose first link leads to itself: nothing is in the list, and nothing is pending.
    let head = Box::leak(Box::new([0usize; 3]));
    head[0] = head.as_ptr().addr();
    // SAFETY: the head lives for ever.
    let result = unsafe { libc::syscall(libc::SYS_set_robust_list, head.as_ptr(), size_of_val(head)) };
    assert!(result == 0 || !LockKind::Futex.is_available());
}

/// A process that was killed while it held the lock; it stays a zombie until the role ends.
fn zombie(name: &str) -> Role {
    let mut parent = spawn("leave a zombie", name);
    parent.expect("holds it");
    parent.go_on();
    parent.expect("a zombie");
    parent
}

#[test]
fn a_short_wait_notices_that_the_holder_is_a_zombie() {
    let name = Scratch::new("zombie-short");
    let value = SharedValue::create(&name, 1u64).unwrap();
    let zombie = zombie(&name);
    let tried = value.try_lock().map(drop);
    let is_told = LockKind::Futex.is_available();
    assert_eq!(matches!(tried, Err(LockError::WouldBlock { .. })), is_told, "a try looks only where nobody is told");
    assert_eq!(*value.try_lock_for(Duration::ZERO).unwrap(), 1);
    zombie.join();
}

#[test]
fn a_long_wait_notices_that_the_holder_is_a_zombie() {
    let name = Scratch::new("zombie-long");
    let value = SharedValue::create(&name, 1u64).unwrap();
    let zombie = zombie(&name);
    within_limit("lock", move || assert_eq!(*value.lock().unwrap(), 1));
    zombie.join();
}

#[test]
fn a_main_thread_that_has_ended_before_its_process_holds_nothing() {
    if !support::reports_ends_of_threads() {
        return;
    }
    let name = Scratch::new("zombie-main");
    let value = SharedValue::create(&name, 1u64).unwrap();
    let mut child = spawn("leave unnoticed", &name);
    child.expect("ready");
    assert_eq!(*value.try_lock_for(Duration::ZERO).unwrap(), 1);
    child.go_on();
    child.join();
}

#[test]
fn a_living_holder_is_not_taken_for_a_zombie() {
    let name = Scratch::new("zombie-not");
    let value = SharedValue::create(&name, 1u64).unwrap();
    let guard = value.lock().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..20 {
                assert!(times_out(value.try_lock_for(Duration::from_micros(100))));
            }
        });
    });
    drop(guard);
}

/// The kernel does not show the list of another user's thread, and does not let it be signalled.
#[test]
fn to_another_user_a_zombie_is_gone_and_the_living_are_not() {
    if !support::has_shared_memory_objects("another user opens") {
        return;
    }
    if !is_root("to become another user") {
        return;
    }
    let name = Scratch::new("zombie-other");
    let value = SharedValue::options().mode(0o666).create(&name, 1u64).unwrap();
    let guard = value.lock().unwrap();
    let outsider = spawn("outsider", &name);
    outsider.expect("leaves it");
    outsider.join();
    drop(guard);

    let mut zombie = zombie(&name);
    let outsider = spawn("outsider", &name);
    outsider.expect("takes it");
    outsider.join();
    zombie.go_on();
    zombie.join();
}
