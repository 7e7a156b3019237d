//! Processes that call `exec` while they hold a lock.
#![cfg(target_os = "linux")]
#![allow(unsafe_code)]

#[path = "support/deaths.rs"]
mod deaths;
mod support;

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;
use std::time::Duration;

use deaths::{handle, is_poisoned, times_out, wait_for_poison};
use robust_shm::SharedLock;
use support::{Scratch, Stopwatch, fork, pause, play, say, spawn, until};

#[test]
fn child() {
    play(&[("exec-main", exec_from_the_main_thread), ("exec-other", exec_from_another_thread)]);
}

fn sleep_instead() -> io::Error {
    Command::new("sleep").arg("60").exec()
}

fn exec_from_the_main_thread(name: &str) {
    let lock = SharedLock::open(name).unwrap();
    let (mut stay, go) = io::pipe().unwrap();
    let mut go = Some(go);
    // The only thread of a forked child is its main thread.
    let sleeper = fork(|| {
        drop(go.take());
        // SAFETY: asks for a signal when the parent ends.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        std::mem::forget(lock.lock().unwrap());
        say("held");
        let _ = io::Read::read(&mut stay, &mut [0]);
        panic!("{}", sleep_instead());
    });
    pause();
    drop(go.take());
    pause();
    sleeper.kill(); // it lived until now
}

#[test]
fn exec_in_the_main_thread_hands_its_locks_over_at_once() {
    let name = Scratch::new("exec-main");
    let lock = SharedLock::create(&name).unwrap();
    let mut child = spawn("exec-main", &name);
    child.expect("held");
    thread::scope(|scope| {
        let waiter = scope.spawn(|| wait_for_poison(&lock));
        thread::sleep(Duration::from_millis(50));
        let start = Stopwatch::start();
        child.go_on();
        waiter.join().unwrap();
        if support::is_linux("does not report the death of a holder that calls exec") {
            start.assert_nobody_waited_for_the_heartbeat();
        }
    });
    child.go_on();
    child.join();
}

fn exec_from_another_thread(name: &str) {
    let lock = SharedLock::open(name).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            std::mem::forget(lock.lock().unwrap());
            say("held");
            pause();
            panic!("{}", sleep_instead());
        });
    });
}

#[test]
fn exec_in_another_thread_is_noticed_by_the_heartbeat() {
    let name = Scratch::new("exec-other");
    let lock = SharedLock::create(&name).unwrap();
    let mut child = spawn("exec-other", &name);
    child.expect("held");
    thread::scope(|scope| {
        let waiter = scope.spawn(|| wait_for_poison(&lock));
        thread::sleep(Duration::from_millis(50));
        child.go_on();
        waiter.join().unwrap();
    });
    drop(lock.lock_recover(|| ()).unwrap());
    assert!(lock.try_lock().is_ok());
    child.kill(); // it lived until now
}

/// A lock that a process held when it ended as the kernel does not report, and the handle had met it before.
fn behind_one_met_that_ended_unnoticed(name: &str) -> (SharedLock, support::Role) {
    let lock = SharedLock::create(name).unwrap();
    let mut child = spawn("exec-other", name);
    child.expect("held");
    assert!(times_out(lock.try_lock_for(Duration::from_millis(20))));
    child.go_on();
    let comm = format!("/proc/{}/comm", child.id());
    until("the exec", || (std::fs::read_to_string(&comm).ok()? == "sleep\n").then_some(()));
    (lock, child)
}

/// A handle asks but once whether a holder exists before it sleeps behind it: after that, the heartbeat is what is left.
#[test]
fn the_unnoticed_end_of_a_holder_that_was_met_is_noticed_by_the_heartbeat() {
    let name = Scratch::new("exec-met");
    let (lock, child) = behind_one_met_that_ended_unnoticed(&name);
    wait_for_poison(&lock);
    child.kill(); // it lived until now
}

/// Once, the heartbeat lived in one call only, so that who waited for a second at a time never noticed.
#[test]
fn the_unnoticed_end_of_a_holder_that_was_met_is_noticed_by_short_waits() {
    let name = Scratch::new("exec-short");
    let (lock, child) = behind_one_met_that_ended_unnoticed(&name);
    assert!(is_poisoned(lock.try_lock_for(Duration::from_millis(20))));
    child.kill(); // it lived until now
}

extern "C" fn ignore(_signal: libc::c_int) {}

/// Each signal ends a sleep. The holder was met before it ended unnoticed, so that only the heartbeat is left.
#[test]
fn signals_do_not_put_the_heartbeat_off() {
    let name = Scratch::new("exec-signals");
    let (lock, child) = behind_one_met_that_ended_unnoticed(&name);
    handle(libc::SIGUSR2, ignore);
    // SAFETY: takes nothing.
    let waiter = unsafe { libc::pthread_self() } as usize;
    let (stay, is_over) = std::sync::mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            while is_over.recv_timeout(Duration::from_millis(50)) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                // SAFETY: that thread waits for the end of this scope.
                unsafe { libc::pthread_kill(waiter as libc::pthread_t, libc::SIGUSR2) };
            }
        });
        let _stay = stay; // dropped when this thread has the lock, or has panicked
        wait_for_poison(&lock);
    });
    child.kill(); // it lived until now
}
