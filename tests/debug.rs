//! Printing a handle disturbs nobody: it looks, it copies, and it holds nothing while it formats.

mod support;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{OnceLock, mpsc};

use robust_shm::{ArrayGuard, LockGuard, SharedArray, SharedLock, SharedValue};
use support::{LIMIT, Scratch, play, ready_to_die, spawn};

#[test]
fn child() {
    play(&[("lock", |name| {
        let lock = SharedLock::open(name).unwrap();
        let _guard = lock.lock_ignoring_poison().unwrap();
        ready_to_die();
    })]);
}

/// An element that looks at its own array when it is formatted.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
struct Curious(u32);

static ITS_ARRAY: OnceLock<SharedArray<Curious, 20>> = OnceLock::new();

impl fmt::Debug for Curious {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let array = ITS_ARRAY.get().unwrap();
        assert!(array.try_lock().is_ok(), "a print into a pipe that nobody reads would stop all others");
        assert_ne!(self.0, 13, "a formatter may panic");
        self.0.fmt(f)
    }
}

#[test]
fn an_array_is_copied_out_and_then_formatted() {
    let name = Scratch::new("curious");
    let array = SharedArray::<Curious, 20>::create(&name).unwrap();
    ITS_ARRAY.set(SharedArray::open(&name).unwrap()).unwrap();
    array.set(1, Curious(7)).unwrap();
    assert!(format!("{array:?}").contains("data: [0, 7, 0, "));
    assert!(format!("{array:?}").contains("... (20 in all)]"), "long data are shortened");
    array.set(2, Curious(13)).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| format!("{array:?}"))).is_err());
    assert!(!array.is_poisoned() && array.try_lock().is_ok());
    // Behind those that are shown.
    array.set(2, Curious(0)).unwrap();
    array.set(16, Curious(13)).unwrap();
    assert!(format!("{array:?}").contains("in all"));
}

#[test]
fn an_array_says_what_keeps_it_from_being_shown() {
    let of_array = Scratch::new("states");
    let array = SharedArray::create_from(&of_array, &[1u8, 2]).unwrap();
    assert!(format!("{array:?}").contains("data: [1, 2]"));
    let guard = array.lock().unwrap();
    assert!(format!("{array:?}").contains("data: <locked>"));
    assert_eq!(format!("{guard:?}"), "ArrayGuard([1, 2])");
    drop(guard);
    assert!(catch_unwind(AssertUnwindSafe(|| array.update(|_| panic!("to poison")))).is_err());
    assert!(format!("{array:?}").contains("data: <poisoned>"));
    let mut guard = array.lock_ignoring_poison().unwrap();
    assert!(format!("{array:?}").contains("data: <locked, poisoned>"));
    ArrayGuard::clear_poison(&mut guard);
    assert!(format!("{array:?}").contains("data: <locked>"));
}

#[test]
fn an_array_that_another_thread_holds_is_printed_at_once() {
    let name = Scratch::new("held");
    let array = SharedArray::<u8, 2>::create(&name).unwrap();
    let guard = array.lock().unwrap();
    let (printed, print) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| printed.send(format!("{array:?}")).unwrap());
        let print = print.recv_timeout(LIMIT);
        drop(guard); // before the end of the scope, which waits for the thread
        assert!(print.unwrap().contains("data: <locked>"));
    });
}

#[test]
fn a_guard_shortens_what_an_array_shortens() {
    let name = Scratch::new("long");
    let array = SharedArray::<u8, 17>::create(&name).unwrap();
    let zeros = ["0"; 16].join(", ");
    assert_eq!(format!("{:?}", array.lock().unwrap()), format!("ArrayGuard([{zeros}, ... (17 in all)])"));
    let name = Scratch::new("just-not-long");
    let array = SharedArray::<u8, 16>::create(&name).unwrap();
    assert_eq!(format!("{:?}", array.lock().unwrap()), format!("ArrayGuard([{zeros}])"));
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
