//! A panic that is the caller's fault names the caller's line, and leaves everything as it was.

#![allow(unsafe_code)]

mod support;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use robust_shm::bytemuck::{CheckedBitPattern, NoUninit};
use robust_shm::{LockError, SharedArray, SharedValue};
use support::Scratch;

thread_local! {
    static PANICKED_AT: RefCell<Option<(String, u32)>> = const { RefCell::new(None) };
}

/// Where and with which words the action panics.
fn panic_of<R>(action: impl FnOnce() -> R) -> (String, u32, String) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            let at = info.location().map(|at| (at.file().to_owned(), at.line()));
            PANICKED_AT.with(|place| place.replace(at));
        }));
    });
    let Err(payload) = catch_unwind(AssertUnwindSafe(action)) else { panic!("no panic") };
    let (file, line) = PANICKED_AT.with(|place| place.take()).expect("the hook has run");
    let words =
        payload.downcast_ref::<String>().cloned().unwrap_or_else(|| (*payload.downcast_ref::<&str>().unwrap()).into());
    (file, line, words)
}

#[test]
fn a_wrong_index_or_length_names_the_callers_line_and_neither_poisons_nor_keeps_the_lock() {
    let name = Scratch::new("fault-of-the-caller");
    let array = SharedArray::create_from(&name, &[1u32, 2, 3]).unwrap();
    let mut short = [0; 2];
    #[rustfmt::skip] // each on the line of the `line!()`
    let panics = [
        (line!(), panic_of(|| array.get(3)), "the len is 3 but the index is 3"),
        (line!(), panic_of(|| array.set(7, 9)), "the len is 3 but the index is 7"),
        (line!(), panic_of(|| array.read_into(&mut short)), "a slice of 3 elements is needed to copy the whole array, got 2"),
        (line!(), panic_of(|| array.copy_from_slice(&[5; 4])), "a slice of 3 elements is needed to copy the whole array, got 4"),
    ];
    for (expected, (file, line, words), text) in panics {
        assert_eq!((file.as_str(), line), (file!(), expected), "{words}");
        assert!(words.contains(text), "{words}");
    }
    assert!(!array.is_poisoned());
    assert_eq!(*array.try_lock().unwrap(), [1, 2, 3]);
}

/// What was held already stays held, and what was taken meanwhile is given back.
#[test]
fn a_wrong_index_under_a_guard_is_told_before_the_lock_is_asked_for() {
    let name = Scratch::new("before-the-lock");
    let array = SharedArray::<u32, 3>::create(&name).unwrap();
    let guard = array.lock().unwrap();
    assert!(matches!(array.get(0), Err(LockError::WouldDeadlock { .. })));
    let (file, ..) = panic_of(|| array.get(3));
    assert_eq!(file, file!());
    drop(guard);
    assert!(array.try_lock().is_ok());
}

/// Whether bytes are a value is asked of the type, which may be anybody's, and under the lock.
#[test]
fn a_type_that_panics_over_its_bytes_does_not_keep_the_lock() {
    #[derive(Clone, Copy, Debug, PartialEq)]
    #[repr(transparent)]
    struct Picky(u8);
    // SAFETY: a `u8` has no padding and is initialised.
    unsafe impl NoUninit for Picky {}
    // SAFETY: any bits of a `u8` are a `Picky`.
    unsafe impl CheckedBitPattern for Picky {
        type Bits = u8;
        fn is_valid_bit_pattern(bits: &u8) -> bool {
            assert_ne!(*bits, 13, "unlucky");
            true
        }
    }
    let name = Scratch::new("picky");
    let value = SharedValue::create(&name, Picky(13)).unwrap();
    for _ in 0..2 {
        assert!(panic_of(|| value.lock().map(drop)).2.contains("unlucky"));
    }
    value.set(Picky(12)).unwrap();
    assert_eq!(*value.lock().unwrap(), Picky(12));
}
