//! Guards that keep their handle alive, and what a fork and a thread do to them.
#![cfg_attr(not(unix), allow(dead_code, unused_imports, reason = "for the parts that need Unix"))]

use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use robust_shm::dynamic::{
    Any, AnyObserver, DynSlice, DynSliceGuard, DynSliceObserver, DynSliceReadGuard, DynValue, DynValueGuard,
    DynValueObserver, OwnedDynValueGuard, Schema,
};
use robust_shm::{LockError, SegmentInfo, SharedSlice, SharedValue};
use static_assertions::{assert_impl_all, assert_not_impl_any};

use crate::schema;
use crate::support::{self, Body, Scratch, exists, spawn};

assert_impl_all!(DynValue: Send, Sync, UnwindSafe, RefUnwindSafe);
assert_impl_all!(DynSlice: Send, Sync, UnwindSafe, RefUnwindSafe);
assert_impl_all!(DynValueObserver: Send, Sync, UnwindSafe, RefUnwindSafe);
assert_impl_all!(DynSliceObserver: Send, Sync, UnwindSafe, RefUnwindSafe);
assert_impl_all!(Any: Send, Sync);
assert_impl_all!(AnyObserver: Send, Sync);
assert_impl_all!(Schema: Send, Sync, Clone);
// The kernel's list of held locks belongs to a thread.
assert_not_impl_any!(DynValueGuard<&'static DynValue>: Send);
assert_not_impl_any!(OwnedDynValueGuard: Send);
assert_not_impl_any!(DynSliceGuard<&'static DynSlice>: Send);
assert_not_impl_any!(DynSliceGuard<Arc<DynSlice>>: Send);
assert_not_impl_any!(DynSliceReadGuard<&'static DynSlice>: Send);
assert_not_impl_any!(DynSliceReadGuard<Arc<DynSlice>>: Send);
assert_impl_all!(OwnedDynValueGuard: Sync);
assert_impl_all!(DynSliceGuard<Arc<DynSlice>>: Sync);
assert_impl_all!(DynSliceReadGuard<Arc<DynSlice>>: Sync);

#[cfg(unix)]
pub(crate) const ROLES: &[(&str, Body)] = &[("forked-guards", forked_guards)];
#[cfg(not(unix))]
pub(crate) const ROLES: &[(&str, Body)] = &[];

#[test]
fn an_owned_guard_outlives_all_other_references_and_then_the_handle_closes() {
    let name = Scratch::new("owned");
    let value = Arc::new(DynValue::create(&name, &schema("u8"), &[7]).unwrap());
    let other = DynValue::open(&name).unwrap();
    let mut held = value.lock_owned().unwrap();
    drop(value);
    assert_eq!(SegmentInfo::of(&name).unwrap().attached(), 2);
    held.bytes_mut()[0] = 8;
    let moved = [held]; // wherever it is
    assert!(matches!(other.try_lock(), Err(LockError::WouldBlock { .. } | LockError::WouldDeadlock { .. })));
    drop(moved);
    assert_eq!((other.lock().unwrap().bytes(), SegmentInfo::of(&name).unwrap().attached()), (&[8][..], 1));
    drop(other);
    assert!(!exists(&name));

    let slice = Arc::new(DynSlice::create(&name, &schema("u8"), 2).unwrap());
    let mut held = slice.lock_owned().unwrap();
    drop(slice);
    held.as_bytes_mut()[1] = 9;
    assert_eq!(SharedSlice::<u8>::open(&name).unwrap().lock_ignoring_poison().err().map(|_| ()), Some(()));
    drop(held);
    assert!(!exists(&name));
}

#[test]
fn owned_forms_wait_and_refuse_as_the_others() {
    let name = Scratch::new("forms");
    let value = Arc::new(DynValue::create(&name, &schema("u8"), &[7]).unwrap());
    let guard = value.lock_owned().unwrap();
    assert!(matches!(value.lock_owned(), Err(LockError::WouldDeadlock { .. })));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert!(matches!(value.try_lock_owned(), Err(LockError::WouldBlock { .. })));
            assert!(matches!(value.try_lock_owned_for(Duration::from_millis(1)), Err(LockError::TimedOut { .. })));
            assert!(matches!(value.try_lock_owned_until(Instant::now()), Err(LockError::TimedOut { .. })));
            assert!(matches!(value.try_lock(), Err(LockError::WouldBlock { .. })));
            assert!(matches!(value.try_lock_for(Duration::from_millis(1)), Err(LockError::TimedOut { .. })));
            assert!(matches!(value.try_lock_until(Instant::now()), Err(LockError::TimedOut { .. })));
        });
    });
    drop(guard);

    let name = Scratch::new("forms");
    let slice = Arc::new(DynSlice::create(&name, &schema("u8"), 2).unwrap());
    let broken = catch_unwind(AssertUnwindSafe(|| {
        let _guard = slice.lock_owned().unwrap();
        panic!("amid changes");
    }));
    assert!(broken.is_err());
    assert!(matches!(slice.try_lock_owned(), Err(LockError::Poisoned { .. })));
    assert!(matches!(slice.read_owned(), Err(LockError::Poisoned { .. })));
    drop(slice.try_lock_owned_ignoring_poison().unwrap());
    drop(slice.try_lock_owned_ignoring_poison_for(Duration::from_secs(1)).unwrap());
    drop(slice.lock_owned_recover(|bytes| bytes.fill(3)).unwrap());
    let (one, two) = (slice.read_owned().unwrap(), slice.try_read_owned().unwrap());
    assert_eq!((one.as_bytes(), two.as_bytes()), (&[3, 3][..], &[3, 3][..]));
    drop((one, two));
    // A condition takes and gives back an owned guard as it is.
    let guard = slice.lock_owned().unwrap();
    let (mut guard, timeout) = slice.condvar().wait_for(guard, Duration::from_millis(1)).unwrap();
    assert!(timeout.timed_out());
    guard.as_bytes_mut()[0] = 4;
    drop(guard);
    assert_eq!(slice.try_read_owned_for(Duration::from_secs(1)).unwrap().as_bytes(), [4, 3]);
    assert_eq!(slice.try_read_owned_until(Instant::now() + Duration::from_secs(1)).unwrap().as_bytes(), [4, 3]);
}

#[test]
fn a_panic_under_a_guard_commits_nothing() {
    let value = Arc::new(DynValue::create(&Scratch::new("panic"), &schema("u8"), &[7]).unwrap());
    for owned in [false, true] {
        let broken = catch_unwind(AssertUnwindSafe(|| {
            if owned {
                let mut guard = value.lock_owned().unwrap();
                guard.bytes_mut()[0] = 8;
                panic!("amid changes");
            }
            let mut guard = value.lock().unwrap();
            guard.bytes_mut()[0] = 8;
            panic!("amid changes");
        }));
        assert!(broken.is_err());
        assert_eq!(value.lock().unwrap().bytes(), [7]);
    }
}

/// A leaked guard keeps its lock, and its handle with it.
#[test]
fn a_leaked_guard_is_held_until_its_thread_ends() {
    let name = Scratch::new("leaked");
    let other = DynValue::create(&name, &schema("u8"), &[7]).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let value = Arc::new(DynValue::open(&name).unwrap());
            std::mem::forget(value.lock_owned().unwrap());
            drop(value);
            assert!(other.try_lock().is_err());
        });
    });
    if robust_shm::LockKind::default() == robust_shm::LockKind::Futex {
        assert_eq!(other.lock().unwrap().bytes(), [7]);
    }
}

#[cfg(unix)]
fn forked_guards(name: &str) {
    let value = Arc::new(DynValue::create(name, &schema("u8"), &[7]).unwrap());
    let typed = SharedValue::<u8>::open(name).unwrap();
    let mut guard = Some(value.lock_owned().unwrap());
    guard.as_mut().unwrap().bytes_mut()[0] = 8;
    support::fork(|| {
        // The copy says that it holds nothing, and comes back; and neither a drop nor a commit does anything.
        let (copy, error) = DynValueGuard::commit(guard.take().unwrap()).unwrap_err();
        assert!(matches!(error, LockError::NotHeld { .. }), "{error}");
        assert_eq!(copy.bytes(), [8]);
        drop(copy);
        assert!(matches!(value.try_lock(), Err(LockError::WouldBlock { .. })));
        assert_eq!(typed.get(), 7);
    })
    .join();
    assert_eq!(typed.get(), 7);
    assert!(matches!(value.lock(), Err(LockError::WouldDeadlock { .. })), "still ours");
    DynValueGuard::commit(guard.take().unwrap()).unwrap();
    assert_eq!(typed.get(), 8);

    let slice_name = format!("{name}-2");
    let slice = Arc::new(DynSlice::create(&slice_name, &schema("u8"), 2).unwrap());
    let mut guard = Some(slice.lock_owned().unwrap());
    support::fork(|| {
        let copy = guard.take().unwrap();
        let waited = slice.condvar().wait(copy);
        assert!(matches!(waited, Err(LockError::NotHeld { .. })));
        assert!(matches!(slice.try_lock(), Err(LockError::WouldBlock { .. })));
    })
    .join();
    drop(guard);
    let mut reading = Some(slice.read_owned().unwrap());
    support::fork(|| drop(reading.take())).join();
    assert_eq!(slice.info().unwrap().active_readers(), Some(1), "still reads");
    drop(reading);
    assert!(slice.lock().is_ok());
}

#[cfg(unix)]
#[test]
fn the_copy_of_a_guard_in_a_forked_child_commits_nothing_and_says_so() {
    spawn("forked-guards", &Scratch::new("forked")).join();
}
