//! A raw `clone`: a fork of which no handler hears.
#![cfg(target_os = "linux")]
#![allow(unsafe_code)]

#[path = "support/deaths.rs"]
mod deaths;
#[path = "support/seccomp.rs"]
mod seccomp;
mod support;

use std::time::{Duration, Instant};

use deaths::robust_list_is_empty;
use robust_shm::{LockError, LockKind, SharedArray, SharedLock, SharedValue};
use seccomp::{Refused, refuse};
use support::{Family, Forked, Scratch, asleep, end_with, exists, member, own_tid, play, spawn, until};

#[test]
fn child() {
    play(&[
        ("clone-drops", clone_drops),
        ("clone-locks", clone_locks),
        ("refuses-advice", |name| in_spite_of(libc::EINVAL, name)),
        ("pretends", |name| in_spite_of(0, name)),
    ]);
}

/// `clone` as `fork` does it, past libc; which therefore has not seen to its own locks: what another thread holds just then,
/// musl's lock of `malloc` above all, stays locked in the clone. So the harness's thread has gone to sleep before.
fn raw_clone(body: impl FnOnce()) -> Forked {
    until("the other threads' sleep", || {
        let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let mut ids = threads.filter_map(|thread| thread.file_name().to_str()?.parse().ok());
        ids.all(|id: libc::pid_t| id == own_tid() || asleep(id).is_some()).then_some(())
    });
    // SAFETY: SIGCHLD and zeros for all else is a plain fork; the child runs little and ends with `_exit`.
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
    assert!(pid >= 0);
    if pid == 0 {
        end_with(body);
    }
    Forked::adopt(pid as libc::pid_t)
}

fn clone_drops(name: &str) {
    let mut value = Some(Box::new(SharedValue::create(name, 1u64).unwrap()));
    {
        let value = value.as_ref().unwrap();
        let mut guard = Some(value.lock().unwrap());
        **guard.as_mut().unwrap() = 2;
        raw_clone(|| {
            drop(guard.take());
            assert_eq!(value.get(), 1);
        })
        .join();
        assert_eq!(value.get(), 1, "the child's guard committed nothing");
        assert!(matches!(value.lock(), Err(LockError::WouldDeadlock { .. })), "and released nothing");
    }
    assert_eq!(value.as_ref().unwrap().get(), 2);
    raw_clone(|| drop(value.take())).join();
    assert!(exists(name), "the child's handle removed nothing");
    // SAFETY: `exit` runs the exit hooks of a process that forgets no promise: that is what is tested.
    raw_clone(|| unsafe { libc::exit(0) }).join();
    assert!(exists(name), "nor did its exit");
    let second = SharedValue::<u64>::open(name).unwrap();
    second.set(3).unwrap();
    assert_eq!(value.as_ref().unwrap().update(|v| *v += 1).unwrap(), 4);
    drop((value, second));
    assert!(!exists(name));
}

#[test]
fn what_a_raw_clone_drops_does_no_harm_to_its_parent() {
    spawn("clone-drops", &Scratch::new("clone")).join();
}

/// The parent's list has a lock in it when the clone is made; so has the clone's copy of libc's list, although the clone
/// holds nothing. Whatever the clone attempts, it must not write there.
fn clone_locks(family: &str) {
    let [held, free] = [0, 1].map(|which| SharedLock::create(&member(family, which)).unwrap());
    let mut guard = Some(held.lock().unwrap());
    raw_clone(|| {
        let error = free.try_lock().unwrap_err();
        assert!(error.to_string().contains("use fork"), "it says what to do: {error}");
        support::fork(|| drop(free.lock().unwrap())).join();
    })
    .join();
    let mut clone = raw_clone(|| {
        let end = Instant::now() + Duration::from_secs(1);
        while Instant::now() < end {
            assert!(held.try_lock().is_err(), "its parent's lock, or one that it cannot take either");
            assert!(free.try_lock().is_err(), "a raw clone cannot lock: its death could not be handed over");
        }
    });
    until("the clone", || {
        for _ in 0..1_000 {
            drop(guard.take());
            guard = Some(held.lock().unwrap());
        }
        clone.try_wait()
    });
    drop(guard);
    assert!(robust_list_is_empty(), "the clone wrote into its parent's list");
}

#[test]
fn what_a_raw_clone_tries_to_lock_does_no_harm_to_its_parent() {
    let family = Family::new("clone-locks");
    spawn("clone-locks", family.name()).join();
}

/// The kernel does not empty a page at a fork: before Linux 4.14 and under gVisor it says so, under qemu-user it claims to
/// have taken note, as of all advice.
fn in_spite_of(errno: libc::c_int, name: &str) {
    const NO_ADVICE: u32 = 0x7ead;
    let advice = [libc::MADV_WIPEONFORK as u32, NO_ADVICE];
    refuse(&advice.map(|advice| Refused { call: libc::SYS_madvise, only_if: Some((2, advice)), errno }));
    let value = SharedValue::create(name, 0u64).unwrap();
    *value.lock().unwrap() += 1;
    // Locks work, also nested, in threads, and in forked children.
    let second = SharedLock::create(&format!("{name}.second")).unwrap();
    let add = || second.with(|| *value.lock().unwrap() += 1).unwrap();
    std::thread::scope(|scope| scope.spawn(add).join().unwrap());
    support::fork(|| {
        add();
        support::fork(add).join();
    })
    .join();
    assert_eq!(value.get(), 4);
    let guard = value.lock().unwrap();
    support::fork(|| assert!(matches!(value.try_lock(), Err(LockError::WouldBlock { .. })))).join();
    drop(guard);
    drop((value, second));
    assert!(!exists(name));
    if LockKind::OsMutex.is_available() {
        let array = SharedArray::<u64, 2>::options().lock_kind(LockKind::OsMutex).create(name).unwrap();
        for _ in 0..3 {
            array.set(0, 1).unwrap();
        }
        drop(array);
    }
    // And raw clones are told.
    clone_drops(name);
    clone_locks(&format!("{name}.family"));
}

#[test]
fn raw_clones_are_told_where_the_kernel_does_not_empty_pages() {
    for role in ["refuses-advice", "pretends"] {
        let name = Scratch::new(role);
        spawn(role, &name).join();
    }
}
