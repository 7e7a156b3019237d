//! A process that is suspended while it waits as the first: those behind it have the lock in spite of that, and it, when it
//! goes on.
#![cfg(windows)]
#![allow(unsafe_code)]

mod support;

use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};

use robust_shm::SharedLock;
use support::{Role, Scratch, pause, play, say, spawn, until_it_waits};
use windows_sys::Win32::Foundation::{HANDLE, NTSTATUS};
use windows_sys::Win32::System::Threading::{
    OpenProcess, OpenThread, PROCESS_SUSPEND_RESUME, ResumeThread, SuspendThread, THREAD_SUSPEND_RESUME,
};

#[link(name = "ntdll")]
unsafe extern "system" {
    fn NtSuspendProcess(process: HANDLE) -> NTSTATUS;
    fn NtResumeProcess(process: HANDLE) -> NTSTATUS;
}

#[test]
fn child() {
    play(&[("waiter", waits_for_it), ("others", take_it_in_turns), ("holder", holds_it)]);
}

fn waits_for_it(name: &str) {
    let lock = SharedLock::open(name).unwrap();
    say(support::own_tid());
    pause();
    let _guard = lock.lock_ignoring_poison().unwrap();
    say("held");
}

/// So often that each of them waits behind the other, and in the queue that has taken the place of the first one.
fn take_it_in_turns(name: &str) {
    let lock = SharedLock::open(name).unwrap();
    pause();
    for _ in 0..20 {
        let _guard = lock.lock_ignoring_poison().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    say("done");
}

fn holds_it(name: &str) {
    let lock = SharedLock::open(name).unwrap();
    let guard = lock.lock().unwrap();
    say("held");
    pause();
    drop(guard);
    say("released");
    pause();
}

/// What stops a waiter, and lets it go on when it is dropped.
enum Stopped {
    Thread(OwnedHandle),
    Process(OwnedHandle),
}

impl Stopped {
    fn thread(tid: u32) -> Self {
        // SAFETY: takes integers.
        let thread = handle(unsafe { OpenThread(THREAD_SUSPEND_RESUME, 0, tid) });
        // SAFETY: the handle is open.
        assert_eq!(unsafe { SuspendThread(thread.as_raw_handle()) }, 0);
        Self::Thread(thread)
    }

    fn process(child: &Role) -> Self {
        // SAFETY: takes integers.
        let process = handle(unsafe { OpenProcess(PROCESS_SUSPEND_RESUME, 0, child.id()) });
        // SAFETY: the handle is open.
        assert_eq!(unsafe { NtSuspendProcess(process.as_raw_handle()) }, 0);
        Self::Process(process)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        match self {
            // SAFETY: the handle is open.
            Self::Thread(thread) => assert_eq!(unsafe { ResumeThread(thread.as_raw_handle()) }, 1),
            // SAFETY: the handle is open.
            Self::Process(process) => assert_eq!(unsafe { NtResumeProcess(process.as_raw_handle()) }, 0),
        }
    }
}

fn handle(opened: HANDLE) -> OwnedHandle {
    assert!(!opened.is_null(), "{}", std::io::Error::last_os_error());
    // SAFETY: just opened, and nobody else's.
    unsafe { OwnedHandle::from_raw_handle(opened) }
}

/// One who is the first, and stopped so; two others behind; the lock comes free in this way.
fn others_go_on(stop: fn(&Role, u32) -> Stopped, end: fn(Role)) {
    let name = Scratch::new("suspended");
    let lock = SharedLock::create(&name).unwrap();
    let holder = spawn("holder", &name);
    holder.expect("held");
    let mut first = spawn("waiter", &name);
    let tid = first.hear().parse().unwrap();
    first.go_on();
    until_it_waits(&first);
    let stopped = stop(&first, tid);
    let mut others = [(); 2].map(|()| spawn("others", &name));
    others.iter_mut().for_each(Role::go_on);
    others.iter().for_each(until_it_waits);
    end(holder);
    others.iter().for_each(|other| other.expect("done"));
    assert!(lock.try_lock_ignoring_poison().is_ok(), "nobody has it, and the first has not had it");
    assert!(matches!(first.heard(), support::Heard::NothingYet));
    drop(stopped);
    first.expect("held");
    others.into_iter().for_each(Role::join);
    first.join();
}

fn releases(mut holder: Role) {
    holder.go_on();
    holder.expect("released");
    holder.join();
}

#[test]
fn a_thread_that_is_stopped_as_the_first_holds_nobody_up_at_a_release() {
    others_go_on(|_, tid| Stopped::thread(tid), releases);
}

#[test]
fn a_process_that_is_stopped_as_the_first_holds_nobody_up_at_a_release() {
    others_go_on(|first, _| Stopped::process(first), releases);
}

#[test]
fn a_thread_that_is_stopped_as_the_first_holds_nobody_up_at_a_death() {
    others_go_on(|_, tid| Stopped::thread(tid), Role::kill);
}

#[test]
fn a_process_that_is_stopped_as_the_first_holds_nobody_up_at_a_death() {
    others_go_on(|first, _| Stopped::process(first), Role::kill);
}
