//! A panic that is the caller's fault names the caller's line, and leaves everything as it was.

use robust_shm::LockError;

use super::face::{Elements, create};
use crate::support::{Scratch, panic_of};

#[test]
fn a_wrong_index_or_length_names_the_callers_line_and_neither_poisons_nor_keeps_the_lock() {
    let name = Scratch::new("fault-of-the-caller");
    let array = Elements::create_from(&name, &[1u32, 2, 3]).unwrap();
    let mut short = [0; 2];
    #[rustfmt::skip] // each on the line of the `line!()`
    let panics = [
        (line!(), panic_of(|| array.get(3)), "the len is 3 but the index is 3"),
        (line!(), panic_of(|| array.set(7, 9)), "the len is 3 but the index is 7"),
        (line!(), panic_of(|| array.read_into(&mut short)), "a slice of 3 elements is needed to copy them all, got 2"),
        (line!(), panic_of(|| array.copy_from_slice(&[5; 4])), "a slice of 3 elements is needed to copy them all, got 4"),
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
    let array = create::<u32, 3>(&name).unwrap();
    let guard = array.lock().unwrap();
    assert!(matches!(array.get(0), Err(LockError::WouldDeadlock { .. })));
    let (file, ..) = panic_of(|| array.get(3));
    assert_eq!(file, file!());
    drop(guard);
    assert!(array.try_lock().is_ok());
}
