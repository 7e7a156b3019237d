//! Guards that keep their handle alive: as the others, and without a lifetime. Those of what is typed at run time are in
//! `dynamic/`.
#![allow(unsafe_code)]

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use robust_shm::{
    LockError, OwnedLockGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, SegmentInfo, SharedLock, SharedRwLock,
};
use static_assertions::{assert_impl_all, assert_not_impl_any};
use support::{Scratch, exists, play, ready_to_die, spawn, told, until, within_limit};

// The kernel's list of held locks belongs to a thread.
assert_not_impl_any!(OwnedLockGuard: Send);
assert_not_impl_any!(OwnedRwLockReadGuard: Send);
assert_not_impl_any!(OwnedRwLockWriteGuard: Send);
assert_impl_all!(OwnedLockGuard: Sync);
assert_impl_all!(OwnedRwLockReadGuard: Sync);
assert_impl_all!(OwnedRwLockWriteGuard: Sync);

#[test]
fn child() {
    play(&[
        ("lock", |name| {
            let _guard = Arc::new(SharedLock::open(name).unwrap()).lock_owned().unwrap();
            ready_to_die();
        }),
        ("read", |name| {
            let _guard = Arc::new(SharedRwLock::open(name).unwrap()).read_owned().unwrap();
            ready_to_die();
        }),
        ("write", |name| {
            let _guard = Arc::new(SharedRwLock::open(name).unwrap()).write_owned().unwrap();
            ready_to_die();
        }),
        #[cfg(unix)]
        ("forks", fork_with_guards),
    ]);
}

fn kill(role: &str, name: &str) {
    let child = spawn(role, name);
    child.expect("ready");
    child.kill();
}

fn is_poisoned<R>(result: Result<R, LockError>) -> bool {
    matches!(result, Err(LockError::Poisoned { .. }))
}

#[test]
fn the_handle_lives_as_long_as_its_guard() {
    let name = Scratch::new("lives");
    let lock = Arc::new(SharedLock::create(&name).unwrap());
    let guard = lock.lock_owned().unwrap();
    drop(lock);
    assert_eq!(SegmentInfo::of(&name).unwrap().holder_process(), told(std::process::id()));
    drop(vec![guard]);
    assert!(!exists(&name));

    let lock = Arc::new(SharedRwLock::create(&name).unwrap());
    let readers = [lock.read_owned().unwrap(), lock.try_read_owned().unwrap()];
    drop(lock);
    assert_eq!(SegmentInfo::of(&name).unwrap().active_readers(), Some(2));
    drop(readers);
    assert!(!exists(&name));
    let guard = Arc::new(SharedRwLock::create(&name).unwrap()).write_owned().unwrap();
    assert!(exists(&name));
    drop(guard);
    assert!(!exists(&name));
}

#[test]
fn they_wait_and_refuse_as_the_others() {
    let lock = Arc::new(SharedLock::create(&Scratch::new("lock")).unwrap());
    let guard = lock.lock_owned().unwrap();
    assert!(matches!(lock.lock_owned(), Err(LockError::WouldDeadlock { .. })));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert!(matches!(lock.try_lock_owned(), Err(LockError::WouldBlock { .. })));
            assert!(matches!(lock.try_lock_owned_for(Duration::from_millis(1)), Err(LockError::TimedOut { .. })));
            assert!(matches!(lock.try_lock_owned_until(Instant::now()), Err(LockError::TimedOut { .. })));
            assert!(matches!(lock.try_lock_owned_ignoring_poison(), Err(LockError::WouldBlock { .. })));
            let late = lock.try_lock_owned_ignoring_poison_for(Duration::from_millis(1));
            assert!(matches!(late, Err(LockError::TimedOut { .. })));
        });
    });
    drop(guard);

    let lock = Arc::new(SharedRwLock::create(&Scratch::new("rwlock")).unwrap());
    let guard = lock.write_owned().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert!(matches!(lock.try_read_owned(), Err(LockError::WouldBlock { .. })));
            assert!(matches!(lock.try_read_owned_for(Duration::from_millis(1)), Err(LockError::TimedOut { .. })));
            assert!(matches!(lock.try_read_owned_until(Instant::now()), Err(LockError::TimedOut { .. })));
            assert!(matches!(lock.try_write_owned(), Err(LockError::WouldBlock { .. })));
            assert!(matches!(lock.try_write_owned_for(Duration::from_millis(1)), Err(LockError::TimedOut { .. })));
            assert!(matches!(lock.try_write_owned_until(Instant::now()), Err(LockError::TimedOut { .. })));
            assert!(matches!(lock.try_write_owned_ignoring_poison(), Err(LockError::WouldBlock { .. })));
            let late = lock.try_write_owned_ignoring_poison_for(Duration::from_millis(1));
            assert!(matches!(late, Err(LockError::TimedOut { .. })));
        });
    });
    drop(guard);
    assert!(lock.try_write().is_ok());
}

#[test]
fn poison_and_repair_are_as_with_the_others() {
    let lock = Arc::new(SharedLock::create(&Scratch::new("lock")).unwrap());
    let broken = catch_unwind(AssertUnwindSafe(|| {
        let _guard = lock.lock_owned().unwrap();
        panic!("amid changes");
    }));
    assert!(broken.is_err() && is_poisoned(lock.lock_owned()) && is_poisoned(lock.lock()));
    let mut guard = lock.lock_owned_ignoring_poison().unwrap();
    assert!(OwnedLockGuard::is_poisoned(&guard) && format!("{guard:?}").contains("poisoned: true"));
    OwnedLockGuard::clear_poison(&mut guard);
    drop(guard);
    let mut repaired = false;
    drop(lock.lock_owned_recover(|| repaired = true).unwrap());
    assert!(!repaired && lock.lock_owned().is_ok(), "there was nothing to repair");

    let lock = Arc::new(SharedRwLock::create(&Scratch::new("rwlock")).unwrap());
    let broken = catch_unwind(AssertUnwindSafe(|| {
        let _guard = lock.write_owned().unwrap();
        panic!("amid changes");
    }));
    assert!(broken.is_err() && is_poisoned(lock.write_owned()) && is_poisoned(lock.read_owned()));
    let mut repaired = false;
    drop(lock.write_owned_recover(|| repaired = true).unwrap());
    assert!(repaired && lock.read_owned().is_ok());
    let broken = catch_unwind(AssertUnwindSafe(|| {
        let _guard = lock.read_owned().unwrap();
        panic!("who reads tears nothing");
    }));
    assert!(broken.is_err() && lock.write_owned().is_ok());
}

#[test]
fn killed_holders_are_as_with_the_others() {
    let name = Scratch::new("lock");
    let lock = Arc::new(SharedLock::create(&name).unwrap());
    kill("lock", &name);
    let guard = until("the lock", || lock.try_lock_owned_ignoring_poison().ok());
    assert!(OwnedLockGuard::is_poisoned(&guard));
    drop(guard);

    let name = Scratch::new("rwlock");
    let lock = Arc::new(SharedRwLock::create(&name).unwrap());
    kill("read", &name);
    drop(until("the lock", || lock.try_write_owned().ok()));
    kill("write", &name);
    let guard = until("the lock", || lock.try_write_owned_ignoring_poison().ok());
    assert!(OwnedRwLockWriteGuard::is_poisoned(&guard));
}

#[test]
fn a_condition_takes_them_and_gives_them_back() {
    let name = Scratch::new("condition");
    let lock = Arc::new(SharedLock::create(&name).unwrap());
    within_limit("two who take turns", move || {
        let turn = std::sync::atomic::AtomicUsize::new(0);
        let (turn, lock) = (&turn, &lock);
        std::thread::scope(|scope| {
            for me in 0..2 {
                scope.spawn(move || {
                    for _ in 0..500 {
                        let is_others = |_: &mut ()| turn.load(std::sync::atomic::Ordering::Relaxed) % 2 != me;
                        let guard = lock.condvar().wait_while(lock.lock_owned().unwrap(), is_others).unwrap();
                        turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        lock.condvar().notify_all(&guard);
                    }
                });
            }
        });
        assert_eq!(turn.load(std::sync::atomic::Ordering::Relaxed), 1_000);
    });
}

#[cfg(unix)]
fn fork_with_guards(name: &str) {
    let lock = Arc::new(SharedLock::create(name).unwrap());
    let mut guard = Some(lock.lock_owned().unwrap());
    let other = Arc::new(SharedRwLock::create(&format!("{name}-2")).unwrap());
    let mut reading = Some(other.read_owned().unwrap());
    support::fork(|| {
        drop((guard.take(), reading.take())); // which hold nothing here
        assert!(matches!(lock.try_lock_owned(), Err(LockError::WouldBlock { .. })));
        assert!(other.try_write_owned().is_err());
    })
    .join();
    assert!(matches!(lock.lock_owned(), Err(LockError::WouldDeadlock { .. })), "still ours");
    assert_eq!(other.info().unwrap().active_readers(), Some(1));
    drop((guard, reading));
    assert!(lock.lock_owned().is_ok() && other.write_owned().is_ok());
}

#[cfg(unix)]
#[test]
fn the_copies_in_a_forked_child_hold_nothing() {
    spawn("forks", &Scratch::new("forks")).join();
}
