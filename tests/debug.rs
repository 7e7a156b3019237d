//! Printing a handle disturbs nobody: it looks, it copies, and it holds nothing while it formats. (Arrays and slices:
//! `elements/debug.rs`.)

mod support;

use std::sync::atomic::{AtomicBool, Ordering};

use robust_shm::{LockGuard, SharedLock, SharedValue};
use support::{Scratch, play, ready_to_die, spawn};

#[test]
fn child() {
    play(&[("lock", |name| {
        let lock = SharedLock::open(name).unwrap();
        let _guard = lock.lock_ignoring_poison().unwrap();
        ready_to_die();
    })]);
}

#[test]
fn a_value_is_shown_while_it_is_locked() {
    let of_value = Scratch::new("value");
    let value = SharedValue::create(&of_value, 5u8).unwrap();
    let mut guard = value.lock().unwrap();
    *guard = 6;
    assert!(format!("{value:?}").contains("value: 5"));
    assert_eq!((format!("{guard:?}"), format!("{guard}")), ("ValueGuard(6)".to_owned(), "6".to_owned()));
}

#[test]
fn a_lock_is_looked_at_and_not_taken() {
    let name = Scratch::new("lock");
    let lock = SharedLock::create(&name).unwrap();
    let shows = |word: &str| format!("{lock:?}").contains(&format!("state: <{word}>"));
    assert!(shows("free"));
    for state in ["locked", "locked, poisoned"] {
        let child = spawn("lock", &name);
        child.expect("ready");
        assert!(shows(state), "{lock:?}");
        child.kill();
        assert!(shows("poisoned"), "{lock:?}");
    }
    drop(lock.lock_recover(|| ()).unwrap());
    assert!(shows("free"));
}

#[test]
fn a_guard_of_a_lock_says_whether_it_is_poisoned() {
    let name = Scratch::new("guard");
    let lock = SharedLock::create(&name).unwrap();
    let child = spawn("lock", &name);
    child.expect("ready");
    child.kill();
    let mut guard = lock.lock_ignoring_poison().unwrap();
    assert_eq!(format!("{guard:?}"), "LockGuard { poisoned: true }");
    LockGuard::recover(&mut guard, || ());
    assert_eq!(format!("{guard:?}"), "LockGuard { poisoned: false }");
}

/// A monitor that printed a lock made others' `try_lock` fail, and poisoned it when it was killed meanwhile.
#[test]
fn printing_a_lock_keeps_nobody_out() {
    let name = Scratch::new("printed");
    let lock = SharedLock::create(&name).unwrap();
    let printed = SharedLock::open(&name).unwrap();
    let (begun, done) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                assert!(!format!("{printed:?}").contains("poisoned"));
                begun.store(true, Ordering::Relaxed);
            }
        });
        support::until("the first print", || begun.load(Ordering::Relaxed).then_some(()));
        let failures = (0..200_000).filter(|_| lock.try_lock().is_err()).count();
        done.store(true, Ordering::Relaxed);
        assert_eq!(failures, 0);
    });
}
