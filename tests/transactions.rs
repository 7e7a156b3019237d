//! A value changes by whole commits or not at all.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};

use robust_shm::{Error, LockKind, SharedValue, ValueGuard};
use support::{Scratch, play, ready_to_die, spawn, with_each_kind};

#[test]
fn child() {
    play(&[
        ("locked", |name| die_after(name, 0)),
        ("changed", |name| die_after(name, 1)),
        ("dropped", |name| die_after(name, 2)),
    ]);
}

with_each_kind! {
    discarded_panicked_and_read_only_guards_commit_nothing,
    a_check_of_bit_patterns_that_panics_leaves_the_lock_free,
    a_guard_that_is_taken_while_unwinding_does_commit,
    try_update_rolls_back_on_err_and_an_early_return_commits,
}

/// Dies in one of the phases of a guard.
fn die_after(name: &str, phase: u32) {
    let value = SharedValue::<[u64; 8]>::open(name).unwrap();
    let mut guard = value.lock().unwrap();
    if phase >= 1 {
        guard[0] = 99;
    }
    if phase >= 2 {
        drop(guard);
    }
    ready_to_die();
}

#[test]
fn a_killed_holder_commits_nothing_and_a_finished_one_everything() {
    for (phase, expected, commits) in [("locked", 1, 0), ("changed", 1, 0), ("dropped", 99, 1)] {
        let name = Scratch::new("phases");
        let value = SharedValue::create(&name, [1u64; 8]).unwrap();
        let child = spawn(phase, &name);
        child.expect("ready");
        assert_eq!(value.get()[0], expected, "{phase}: reading does not wait for the holder");
        child.kill();
        let guard = value.lock().unwrap();
        assert_eq!((guard[0], guard[1]), (expected, 1), "{phase}");
        drop(guard);
        assert_eq!(value.commits(), commits, "{phase}");
    }
}

fn discarded_panicked_and_read_only_guards_commit_nothing(kind: LockKind) {
    let name = Scratch::new("nothing");
    let value = SharedValue::options().lock_kind(kind).create(&name, 1u32).unwrap();
    let mut guard = value.lock().unwrap();
    *guard = 2;
    ValueGuard::discard(guard);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        *value.lock().unwrap() = 3;
        let mut guard = value.lock().unwrap();
        *guard = 4;
        panic!("under the guard");
    }));
    assert!(panicked.is_err());
    assert_eq!((*value.lock().unwrap(), value.commits()), (3, 1));
}

/// Values that are copied to their commit and values that are referred to: the limit is 16 bytes.
#[test]
fn a_panic_commits_no_value_of_any_size() {
    fn panic_under_a_guard<const N: usize>() {
        let value = SharedValue::create(&Scratch::new("sizes"), [1u64; N]).unwrap();
        let other = SharedValue::create(&Scratch::new("sizes-other"), 1u64).unwrap();
        for holds_another in [false, true] {
            let panicked = catch_unwind(AssertUnwindSafe(|| {
                let _another = holds_another.then(|| other.lock().unwrap());
                let mut guard = value.lock().unwrap();
                *guard = [2; N];
                panic!("under the guard");
            }));
            assert!(panicked.is_err());
            assert_eq!((value.get(), value.commits()), ([1; N], 0), "{N} words");
            assert_eq!(*value.try_lock().unwrap(), [1; N]);
        }
    }
    panic_under_a_guard::<1>();
    panic_under_a_guard::<2>();
    panic_under_a_guard::<3>();
    panic_under_a_guard::<8>();
    panic_under_a_guard::<600>();
}

/// A check that is not ours may panic. The lock stayed held then, and nobody had a guard to drop.
fn a_check_of_bit_patterns_that_panics_leaves_the_lock_free(kind: LockKind) {
    #[derive(Clone, Copy, Debug)]
    #[repr(transparent)]
    struct Picky(u32);
    // SAFETY: a `u32` and nothing else.
    #[allow(unsafe_code)]
    unsafe impl bytemuck::NoUninit for Picky {}
    // SAFETY: any bits are valid where this returns at all.
    #[allow(unsafe_code)]
    unsafe impl bytemuck::CheckedBitPattern for Picky {
        type Bits = u32;
        fn is_valid_bit_pattern(bits: &u32) -> bool {
            assert_ne!(*bits, 13, "not that one");
            true
        }
    }
    let name = Scratch::new("picky");
    let value = SharedValue::options().lock_kind(kind).create(&name, Picky(13)).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| drop(value.lock().unwrap()))).is_err());
    value.set(Picky(7)).unwrap();
    assert_eq!(value.lock().unwrap().0, 7);
}

fn a_guard_that_is_taken_while_unwinding_does_commit(kind: LockKind) {
    struct OnDrop<'a>(&'a SharedValue<u32>);
    impl Drop for OnDrop<'_> {
        fn drop(&mut self) {
            *self.0.lock().unwrap() = 7;
        }
    }
    let name = Scratch::new("unwinding");
    let value = SharedValue::options().lock_kind(kind).create(&name, 1u32).unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _on_drop = OnDrop(&value);
        panic!("before the guard");
    }));
    assert!(panicked.is_err());
    assert_eq!(value.get(), 7);
}

fn try_update_rolls_back_on_err_and_an_early_return_commits(kind: LockKind) {
    let name = Scratch::new("rollback");
    let value = SharedValue::options().lock_kind(kind).create(&name, 10i64).unwrap();
    let refused: Result<(), Error> = value.try_update(|v| {
        *v = 0;
        Err(Error::from(value.try_lock().unwrap_err()))
    });
    assert!(matches!(refused, Err(Error::Lock { .. })));
    assert_eq!(value.get(), 10);

    fn early(value: &SharedValue<i64>) -> Result<(), std::num::ParseIntError> {
        let mut guard = value.lock().unwrap();
        *guard = 11;
        "x".parse::<i64>()?;
        *guard = 12;
        Ok(())
    }
    assert!(early(&value).is_err());
    assert_eq!(value.get(), 11);
}

#[test]
fn values_of_many_types_come_back_as_they_were_put() {
    fn round_trip<T: robust_shm::Shareable + PartialEq + std::fmt::Debug>(first: T, second: T) {
        let name = Scratch::new("types");
        let value = SharedValue::create(&name, first).unwrap();
        assert_eq!(SharedValue::<T>::open(&name).unwrap().get(), first);
        value.set(second).unwrap();
        assert_eq!(value.get(), second);
        assert_eq!(*value.lock().unwrap(), second);
    }
    #[derive(Clone, Copy, PartialEq, Debug, bytemuck::NoUninit, bytemuck::CheckedBitPattern)]
    #[repr(u8)]
    enum Light {
        Red,
        Green = 7,
    }
    #[derive(Clone, Copy, PartialEq, Debug, bytemuck::Pod, bytemuck::Zeroable)]
    #[repr(C)]
    struct Point {
        x: f64,
        y: f32,
        z: f32,
    }
    round_trip(1u8, 255);
    round_trip(-1i128, i128::MIN);
    round_trip(1.5f64, -0.25);
    round_trip(false, true);
    round_trip('ß', '☃');
    round_trip(Light::Red, Light::Green);
    round_trip(Point { x: 1.0, y: 2.0, z: 3.0 }, Point { x: -1.0, y: -2.0, z: -3.0 });
    round_trip([0u8; 13], *b"thirteen byte");
    round_trip([0u8; 24], [255; 24]);
    round_trip([0u8; 25], [255; 25]);
    round_trip([0u64; 8192], [u64::MAX; 8192]); // 64 KiB, the largest
    round_trip((), ());
}

#[test]
fn get_if_changed_tells_each_change_once() {
    let name = Scratch::new("changed");
    let value = SharedValue::create(&name, 1).unwrap();
    let mut seen = u64::MAX;
    assert_eq!(value.get_if_changed(&mut seen), Some(1));
    assert_eq!(value.get_if_changed(&mut seen), None);
    value.set(2).unwrap();
    value.set(3).unwrap();
    assert_eq!((value.get_if_changed(&mut seen), seen), (Some(3), 2));
    assert_eq!(value.get_if_changed(&mut seen), None);
}

#[cfg(target_os = "linux")]
#[test]
fn a_u64_takes_one_page_of_shared_memory() {
    use std::os::unix::fs::MetadataExt;
    let name = Scratch::new("page");
    let _value = SharedValue::create(&name, 1u64).unwrap();
    if support::is_linux("counts the blocks of a file by its length") {
        assert_eq!(std::fs::metadata(support::path(&name)).unwrap().blocks() * 512, 4096);
    }
}
