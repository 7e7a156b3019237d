//! What a lock guards says when it may be half-changed. (Arrays and slices: `elements/poison.rs`.)

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use robust_shm::{LockError, LockGuard, SharedLock};
use support::{Scratch, play, ready_to_die, spawn};

#[test]
fn child() {
    play(&[("lock", hold_lock)]);
}

fn hold_lock(name: &str) {
    let lock = SharedLock::open(name).unwrap();
    let _guard = lock.lock().unwrap();
    ready_to_die();
}

fn kill_a_holder(role: &str, name: &str) {
    let child = spawn(role, name);
    child.expect("ready");
    child.kill();
}

fn is_poisoned<R>(result: Result<R, LockError>) -> bool {
    matches!(result, Err(LockError::Poisoned { .. }))
}

#[test]
fn a_lock_is_poisoned_by_a_kill_and_by_a_panic() {
    let name = Scratch::new("lock");
    let lock = SharedLock::create(&name).unwrap();
    kill_a_holder("lock", &name);
    assert!(lock.is_poisoned() && is_poisoned(lock.lock()) && is_poisoned(lock.with(|| ())));
    let mut repaired = false;
    drop(lock.lock_recover(|| repaired = true).unwrap());
    assert!(repaired && lock.lock().is_ok());

    assert!(catch_unwind(AssertUnwindSafe(|| lock.with(|| panic!("inside")))).is_err());
    assert!(is_poisoned(lock.lock()));
    let mut guard = lock.lock_ignoring_poison().unwrap();
    LockGuard::clear_poison(&mut guard);
    drop(guard);
    assert!(lock.lock().is_ok());
}

#[test]
fn a_handle_dropped_with_a_leaked_guard_keeps_the_lock_mapped() {
    // Once unmapped, the next robust lock of this thread would write to the old node: a crash.
    let name = Scratch::new("leak");
    let lock = SharedLock::create(&name).unwrap();
    let name = Scratch::new("other");
    let other = SharedLock::create(&name).unwrap(); // now, lest it be mapped where the other was
    std::mem::forget(lock.lock().unwrap());
    drop(lock);
    for _ in 0..1_000 {
        drop(other.lock().unwrap());
    }
}

/// "Leave if another instance runs" was written with `try_lock`, and said `Poisoned` for ever after a kill.
#[test]
fn recovery_can_be_bounded_by_any_form_of_locking() {
    let name = Scratch::new("bounded");
    let lock = SharedLock::create(&name).unwrap();
    let child = spawn("lock", &name);
    child.expect("ready");
    assert!(matches!(lock.try_lock_ignoring_poison(), Err(LockError::WouldBlock { .. })));
    let patience = Duration::from_millis(1);
    assert!(matches!(lock.try_lock_ignoring_poison_for(patience), Err(LockError::TimedOut { .. })));
    child.kill();
    drop(lock.try_lock_ignoring_poison_for(Duration::MAX).unwrap());
    assert!(is_poisoned(lock.lock()), "looked at, and not repaired");
    let mut repairs = 0;
    for _ in 0..2 {
        let mut guard = lock.try_lock_ignoring_poison().unwrap();
        LockGuard::recover(&mut guard, || repairs += 1);
        assert!(!LockGuard::is_poisoned(&guard));
    }
    assert_eq!(repairs, 1, "only if poisoned");
    assert!(lock.lock().is_ok());
}
