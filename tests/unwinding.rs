//! What unwinds a critical section: panics, panics within panics, and what is no panic of Rust's.
//!
//! A closure has either returned or not, so the forms that take one are exact. A guard has only `thread::panicking()` to
//! ask, when it is made and when it is dropped.
#![allow(unsafe_code)]

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};

use robust_shm::{LockError, LockKind, SharedArray, SharedLock, SharedValue};
use support::{Scratch, with_each_kind};

/// Runs the action in a destructor while a panic unwinds.
fn during_a_panic(action: impl FnOnce()) {
    struct OnDrop<F: FnOnce()>(Option<F>);
    impl<F: FnOnce()> Drop for OnDrop<F> {
        fn drop(&mut self) {
            self.0.take().unwrap()();
        }
    }
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _on_drop = OnDrop(Some(action));
        panic!("the first");
    }));
    assert!(panicked.is_err());
}

/// Runs the action on a thread of its own, which it leaves by unwinding that is no panic: as a C++ exception does, it
/// runs destructors, and `panicking` knows nothing of it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn on_a_thread_that_exits<F: FnOnce()>(action: F) {
    extern "C-unwind" fn start<F: FnOnce()>(action: *mut libc::c_void) -> *mut libc::c_void {
        // SAFETY: the closure on the stack of whoever waits for this thread, which nobody else takes.
        let action = unsafe { action.cast::<Option<F>>().as_mut() };
        action.and_then(Option::take).expect("a closure")();
        unreachable!("the closure exits");
    }
    type Start = extern "C-unwind" fn(*mut libc::c_void) -> *mut libc::c_void;
    unsafe extern "C" {
        fn pthread_create(
            thread: *mut libc::pthread_t,
            attributes: *const libc::pthread_attr_t,
            start: Start,
            argument: *mut libc::c_void,
        ) -> libc::c_int;
    }
    let mut action = Some(action);
    let mut thread = 0;
    // SAFETY: a thread that is waited for before what it is given goes.
    let result = unsafe { pthread_create(&raw mut thread, std::ptr::null(), start::<F>, (&raw mut action).cast()) };
    assert_eq!(result, 0);
    // SAFETY: a thread of ours that nobody else waits for; its result is not asked for.
    assert_eq!(unsafe { libc::pthread_join(thread, std::ptr::null_mut()) }, 0);
    assert!(action.is_none());
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn exit_thread() -> ! {
    unsafe extern "C-unwind" {
        fn pthread_exit(result: *mut libc::c_void) -> !;
    }
    // SAFETY: the frames between here and the thread's start are left by unwinding, which runs their destructors.
    unsafe { pthread_exit(std::ptr::null_mut()) }
}

fn is_poisoned<R>(result: Result<R, LockError>) -> bool {
    matches!(result, Err(LockError::Poisoned { .. }))
}

fn one_of_each(names: &[Scratch; 3], kind: LockKind) -> (SharedValue<[u64; 2]>, SharedArray<u64, 2>, SharedLock) {
    let [value, array, lock] = names;
    (
        SharedValue::options().lock_kind(kind).create(value, [1; 2]).unwrap(),
        SharedArray::options().lock_kind(kind).create_from(array, &[1; 2]).unwrap(),
        SharedLock::options().lock_kind(kind).create(lock).unwrap(),
    )
}

/// It committed half a value, and neither the array nor the lock was poisoned.
fn closures_that_panic_within_a_panic_commit_nothing_and_poison(kind: LockKind) {
    let names = ["value", "array", "lock"].map(Scratch::new);
    let (value, array, lock) = one_of_each(&names, kind);
    during_a_panic(|| {
        let half = |v: &mut [u64; 2]| {
            v[0] = 2;
            panic!("the second");
        };
        assert!(catch_unwind(AssertUnwindSafe(|| value.update(half))).is_err());
        let tried = |v: &mut [u64; 2]| {
            half(v);
            Ok::<_, LockError>(())
        };
        assert!(catch_unwind(AssertUnwindSafe(|| value.try_update(tried))).is_err());
        assert!(catch_unwind(AssertUnwindSafe(|| array.update(half))).is_err());
        assert!(catch_unwind(AssertUnwindSafe(|| lock.with(|| panic!("the second")))).is_err());
    });
    assert_eq!((value.get(), value.commits()), ([1; 2], 0));
    assert!(value.try_lock().is_ok());
    assert!(is_poisoned(array.try_lock()) && is_poisoned(lock.try_lock()));
}

fn closures_that_return_while_a_panic_unwinds_commit_and_do_not_poison(kind: LockKind) {
    let of_value = Scratch::new("value");
    let value = SharedValue::options().lock_kind(kind).create(&of_value, 1u64).unwrap();
    let of_array = Scratch::new("array");
    let array = SharedArray::options().lock_kind(kind).create_from(&of_array, &[1u64; 2]).unwrap();
    let of_lock = Scratch::new("lock");
    let lock = SharedLock::options().lock_kind(kind).create(&of_lock).unwrap();
    during_a_panic(|| {
        assert_eq!(value.update(|v| *v += 1).unwrap(), 2);
        assert_eq!(value.try_update(|v| Ok::<_, LockError>(*v + 1)).unwrap(), 3);
        array.update(|elements| elements[0] = 2).unwrap();
        lock.with(|| ()).unwrap();
    });
    assert_eq!((value.get(), value.commits()), (2, 2));
    assert_eq!(*array.try_lock().unwrap(), [2, 1]);
    assert!(lock.try_lock().is_ok());
}

/// A repair that does not come to its end repairs nothing.
fn a_repair_that_panics_within_a_panic_leaves_the_poison(kind: LockKind) {
    let of_array = Scratch::new("array");
    let array = SharedArray::options().lock_kind(kind).create_from(&of_array, &[1u64; 2]).unwrap();
    let of_lock = Scratch::new("lock");
    let lock = SharedLock::options().lock_kind(kind).create(&of_lock).unwrap();
    let _ = catch_unwind(AssertUnwindSafe(|| array.update(|_| panic!("to poison"))));
    let _ = catch_unwind(AssertUnwindSafe(|| lock.with(|| panic!("to poison"))));
    during_a_panic(|| {
        let repaired = catch_unwind(AssertUnwindSafe(|| array.lock_recover(|_| panic!("the second")).map(drop)));
        assert!(repaired.is_err());
        let repaired = catch_unwind(AssertUnwindSafe(|| lock.lock_recover(|| panic!("the second")).map(drop)));
        assert!(repaired.is_err());
    });
    assert!(is_poisoned(array.lock()) && is_poisoned(lock.lock()));
}

/// As the documentation of the guards says: one that is made while a panic unwinds knows of no other.
fn guards_go_by_whether_the_thread_panicked_when_they_were_made(kind: LockKind) {
    let of_value = Scratch::new("value");
    let value = SharedValue::options().lock_kind(kind).create(&of_value, [1u64; 2]).unwrap();
    let of_array = Scratch::new("array");
    let array = SharedArray::options().lock_kind(kind).create_from(&of_array, &[1u64; 2]).unwrap();
    during_a_panic(|| {
        let second = catch_unwind(AssertUnwindSafe(|| {
            let (mut value, mut array) = (value.lock().unwrap(), array.lock().unwrap());
            (value[0], array[0]) = (2, 2);
            panic!("the second");
        }));
        assert!(second.is_err());
    });
    assert_eq!(value.get(), [2, 1]);
    assert_eq!(*array.lock().unwrap(), [2, 1]);
}

/// A value over 16 bytes is committed from where it stands, and not from a copy in registers: another piece of code.
fn a_panic_under_a_guard_of_a_large_value_commits_nothing(kind: LockKind) {
    fn try_with<T: robust_shm::Shareable + PartialEq + std::fmt::Debug>(kind: LockKind, old: T, new: T) {
        let of_value = Scratch::new("large");
        let value = SharedValue::options().lock_kind(kind).create(&of_value, old).unwrap();
        let of_other = Scratch::new("other");
        let other = SharedLock::options().lock_kind(kind).create(&of_other).unwrap();
        for among_others in [false, true] {
            let panicked = catch_unwind(AssertUnwindSafe(|| {
                let _other = among_others.then(|| other.lock_ignoring_poison().unwrap());
                let mut guard = value.lock().unwrap();
                *guard = new;
                panic!("under the guard");
            }));
            assert!(panicked.is_err());
            assert_eq!((value.get(), value.commits()), (old, 0));
            assert_eq!(*value.try_lock().unwrap(), old);
        }
    }
    try_with(kind, 1u128, 2);
    try_with(kind, [1u64; 3], [2; 3]);
    try_with(kind, [1u64; 9], [2; 9]);
    try_with(kind, [1u64; 1_000], [2; 1_000]);
}

/// It committed half a value, and poisoned nothing.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn closures_that_are_left_by_foreign_unwinding_commit_nothing_and_poison(kind: LockKind) {
    let names = ["value", "array", "lock"].map(Scratch::new);
    let (value, array, lock) = one_of_each(&names, kind);
    let half = |v: &mut [u64; 2]| {
        v[0] = 2;
        exit_thread();
    };
    on_a_thread_that_exits(|| drop(value.update(half)));
    on_a_thread_that_exits(|| {
        let _ = value.try_update(|v| {
            half(v);
            Ok::<_, LockError>(())
        });
    });
    on_a_thread_that_exits(|| drop(array.update(half)));
    on_a_thread_that_exits(|| drop(lock.with(|| -> () { exit_thread() })));
    assert_eq!((value.get(), value.commits()), ([1; 2], 0));
    assert!(value.try_lock().is_ok());
    assert!(is_poisoned(array.try_lock()) && is_poisoned(lock.try_lock()));

    on_a_thread_that_exits(|| drop(array.lock_recover(half)));
    let guard = array.try_lock_ignoring_poison().unwrap();
    assert!(robust_shm::ArrayGuard::is_poisoned(&guard), "the repair did not come to its end");
}

with_each_kind! {
    closures_that_panic_within_a_panic_commit_nothing_and_poison,
    closures_that_return_while_a_panic_unwinds_commit_and_do_not_poison,
    a_repair_that_panics_within_a_panic_leaves_the_poison,
    guards_go_by_whether_the_thread_panicked_when_they_were_made,
    a_panic_under_a_guard_of_a_large_value_commits_nothing,
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    closures_that_are_left_by_foreign_unwinding_commit_nothing_and_poison,
}
