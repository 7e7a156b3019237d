//! Elements in place: readers, poison, conditions.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use robust_shm::dynamic::{DynSlice, DynSliceGuard};
use robust_shm::{LockError, SharedArray, SharedSlice};

use crate::schema;
use crate::support::{Scratch, assert_error, exists, panic_of, within_limit};

fn of_bytes(prefix: &str, len: usize) -> (Scratch, DynSlice) {
    let name = Scratch::new(prefix);
    let slice = DynSlice::create(&name, &schema("u8"), len).unwrap();
    (name, slice)
}

fn is_poisoned<R>(result: Result<R, LockError>) -> bool {
    matches!(result, Err(LockError::Poisoned { .. }))
}

#[test]
fn what_cannot_stand_in_place_is_no_element() {
    let name = Scratch::new("elements");
    for text in ["bool", "[char;2]", "{a:u8,b:(u8){A=1}}"] {
        let words = ["without bool, char and enums", "u8 and u32"];
        assert_error!(DynSlice::create(&name, &schema(text), 3), InvalidArgument, &name, words);
        assert_error!(DynSlice::open_or_create(&name, &schema(text), 3), InvalidArgument, &name, words);
        assert_error!(DynSlice::open_as(&name, &schema(text)), InvalidArgument, &name, words);
    }
    assert!(!exists(&name));
}

#[test]
fn what_elements_begin_with_is_theirs_whole() {
    let name = Scratch::new("from");
    let options = DynSlice::options();
    for bytes in [&[1u8, 2, 3][..], &[1]] {
        let words = ["a multiple of 2 bytes", "bytes was asked for"];
        assert_error!(options.create_from(&name, &schema("u16"), bytes), InvalidArgument, &name, words);
        assert_error!(options.open_or_create_from(&name, &schema("u16"), bytes), InvalidArgument, &name, words);
    }
    assert_error!(
        options.create_from(&name, &schema("[u8;0]"), &[]),
        InvalidArgument,
        &name,
        ["a multiple of 0 bytes"]
    );
    assert!(!exists(&name));
    let first = options.open_or_create_from(&name, &schema("u16"), &[1, 2, 3, 4]).unwrap();
    let second = options.open_or_create_from(&name, &schema("u16"), &[5, 6, 7, 8]).unwrap();
    assert!(first.was_created() && !second.was_created() && second.len() == 2);
    assert_eq!(second.lock().unwrap().as_bytes(), [1, 2, 3, 4]);
    assert!(options.open_or_create_from(&name, &schema("u16"), &[1, 2]).is_err()); // another length
}

/// Nobody makes such a segment: its elements are used in place, and one of them may be no `bool`.
#[test]
fn a_file_that_says_it_has_such_elements_is_damaged() {
    let name = Scratch::new("lying");
    drop(SharedArray::<[u8; 1], 4>::options().persistent(true).readers(0).create(&name).unwrap());
    let file = std::fs::OpenOptions::new().write(true).open(crate::support::path(&name)).unwrap();
    let write = |text: &[u8]| crate::support::FileExt::write_all_at(&file, text, 704 + 4).unwrap();
    write(b"bool  ");
    let words = ["a damaged header with the schema bool of elements where any bits may come to stand"];
    assert_error!(DynSlice::open(&name), NotASegment, &name, words);
    assert_error!(SharedArray::<[u8; 1], 4>::open(&name), NotASegment, &name, words);
    write(b"[u8;1]");
    assert_eq!(DynSlice::open(&name).unwrap().len(), 4);
    robust_shm::remove(&name).unwrap();
}

#[test]
fn a_panic_poisons_and_repair_is_as_with_slices() {
    let (name, slice) = of_bytes("poison", 4);
    let typed = SharedSlice::<u8>::open(&name).unwrap();
    let broken = catch_unwind(AssertUnwindSafe(|| {
        let mut guard = slice.lock().unwrap();
        guard.as_bytes_mut()[0] = 7;
        panic!("amid changes");
    }));
    assert!(broken.is_err() && slice.is_poisoned() && typed.is_poisoned());
    assert!(is_poisoned(slice.lock()) && is_poisoned(slice.try_lock()) && is_poisoned(slice.read()));
    assert!(is_poisoned(slice.try_lock_for(Duration::ZERO)) && is_poisoned(typed.lock()));

    // Looked at, and left as it is.
    let guard = slice.lock_ignoring_poison().unwrap();
    assert!(DynSliceGuard::is_poisoned(&guard) && guard.as_bytes() == [7, 0, 0, 0]);
    drop(guard);
    drop(slice.try_lock_ignoring_poison().unwrap());
    drop(slice.try_lock_ignoring_poison_for(Duration::from_secs(1)).unwrap());
    assert!(slice.is_poisoned());
    // A repair that panics leaves it.
    let broken = catch_unwind(AssertUnwindSafe(|| slice.lock_recover(|_| panic!("no"))));
    assert!(broken.is_err() && slice.is_poisoned());
    assert!(format!("{slice:?}").contains("<poisoned>"), "{slice:?}");

    let guard = slice.lock_recover(|bytes| bytes.fill(1)).unwrap();
    assert!(!DynSliceGuard::is_poisoned(&guard) && guard.as_bytes() == [1; 4]);
    drop(guard);
    assert_eq!(typed.to_vec().unwrap(), [1; 4]);
    drop(slice.lock_recover(|_| panic!("is not called")).unwrap());

    let broken = catch_unwind(AssertUnwindSafe(|| typed.update(|_| panic!("the other way round"))));
    assert!(broken.is_err() && slice.is_poisoned());
    let mut guard = slice.lock_ignoring_poison().unwrap();
    DynSliceGuard::recover(&mut guard, |bytes| bytes.fill(2));
    DynSliceGuard::clear_poison(&mut guard);
    drop(guard);
    assert_eq!(typed.get(3).unwrap(), 2);
}

#[test]
fn without_poison_there_is_none() {
    let name = Scratch::new("without");
    let slice = DynSlice::options().poison(false).readers(2).create(&name, &schema("u8"), 4).unwrap();
    let broken = catch_unwind(AssertUnwindSafe(|| {
        let _guard = slice.lock().unwrap();
        panic!("amid changes");
    }));
    assert!(broken.is_err() && slice.lock().is_ok() && !slice.is_poisoned());
    let info = slice.info().unwrap();
    assert_eq!((info.has_poison(), info.reader_slots()), (false, Some(2)));
    assert_error!(DynSlice::options().poison(true).open(&name), OptionMismatch, &name, ["poison(true)"]);
    assert_error!(DynSlice::options().readers(65).open(&name), InvalidArgument, &name, ["0 to 64"]);
}

#[test]
fn readers_are_beside_each_other_and_keep_writers_out() {
    let (name, slice) = of_bytes("readers", 4);
    let typed = SharedArray::<u8, 4>::open(&name).unwrap();
    let (one, two, three) = (slice.read().unwrap(), typed.read().unwrap(), slice.try_read().unwrap());
    assert_eq!((one.as_bytes(), &two[..], three.as_bytes()), (&[0; 4][..], &[0; 4][..], &[0; 4][..]));
    assert_eq!(one.as_ptr(), one.as_bytes().as_ptr());
    assert_eq!(slice.info().unwrap().active_readers(), Some(3));
    std::thread::scope(|scope| {
        let late = scope.spawn(|| slice.try_lock_for(Duration::from_millis(1)).map(drop)).join().unwrap();
        assert!(matches!(late, Err(LockError::TimedOut { .. })), "{late:?}");
    });
    drop((one, two, three));
    let mut guard = slice.lock().unwrap();
    guard.as_bytes_mut()[3] = 9;
    assert_eq!(guard.as_mut_ptr().cast_const(), guard.as_bytes().as_ptr());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert!(matches!(slice.try_read(), Err(LockError::WouldBlock { .. })));
            assert!(matches!(slice.try_read_for(Duration::from_millis(1)), Err(LockError::TimedOut { .. })));
            assert!(matches!(slice.try_read_until(Instant::now()), Err(LockError::TimedOut { .. })));
            assert!(matches!(slice.try_lock_until(Instant::now()), Err(LockError::TimedOut { .. })));
            assert!(matches!(slice.try_lock_ignoring_poison(), Err(LockError::WouldBlock { .. })));
        });
    });
    assert!(matches!(slice.lock(), Err(LockError::WouldDeadlock { .. })));
    drop(guard);
    assert_eq!(typed.read().unwrap()[3], 9);
}

/// A buffer of one byte between a typed and an untyped thread: `[is full, what]`.
#[test]
fn conditions_are_those_of_the_lock() {
    let name = Scratch::new("conditions");
    let slice = DynSlice::create(&name, &schema("u8"), 2).unwrap();
    within_limit("who hand each other a thousand bytes", move || {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let typed = SharedSlice::<u8>::open(&name).unwrap();
                for byte in 0..1_000u16 {
                    let guard = typed.lock().unwrap();
                    let mut guard = typed.condvar_at(1).wait_while(guard, |buffer| buffer[0] == 1).unwrap();
                    guard.copy_from_slice(&[1, byte as u8]);
                    typed.condvar().notify_one(&guard);
                }
            });
            for byte in 0..1_000u16 {
                let guard = slice.lock().unwrap();
                let mut guard = slice.condvar().wait_while(guard, |buffer| buffer[0] == 0).unwrap();
                assert_eq!(guard.as_bytes(), [1, byte as u8]);
                guard.as_bytes_mut()[0] = 0;
                slice.condvar_at(1).notify_one(&guard);
            }
        });
    });
}

#[test]
fn a_wait_that_is_over_gives_the_guard_back() {
    let (_name, slice) = of_bytes("timed", 2);
    let (mut guard, timeout) = slice.condvar().wait_for(slice.lock().unwrap(), Duration::from_millis(1)).unwrap();
    assert!(timeout.timed_out());
    guard.as_bytes_mut()[1] = 7; // held, and again for changes
    drop(guard);
    assert_eq!(slice.read().unwrap().as_bytes(), [0, 7]);
    let (_other_name, other) = of_bytes("other", 2);
    let (_, _, panic) = panic_of(|| other.condvar().notify_all(&slice.lock().unwrap()));
    assert!(panic.contains("the guard holds the lock of another"), "{panic}");
    // The condition of another segment: the guard was in place all the time, and the panic was under it.
    assert!(slice.is_poisoned());
}

#[test]
fn lengths_are_of_the_segment() {
    let name = Scratch::new("lengths");
    let slice = DynSlice::create(&name, &schema("[u16;3]"), 5).unwrap();
    assert_eq!((slice.len(), slice.element_size(), slice.lock().unwrap().as_bytes().len()), (5, 6, 30));
    assert!(SharedArray::<[u16; 3], 5>::open(&name).is_ok());
    assert!(!DynSlice::open_or_create(&name, &schema("[u16;3]"), 5).unwrap().was_created());
    let words = ["of 4 elements", "SharedArray<[u16; 3], 5>"];
    assert_error!(DynSlice::open_or_create(&name, &schema("[u16;3]"), 4), TypeMismatch, &name, words);
    drop(slice);
    let empty = DynSlice::create(&name, &schema("u64"), 0).unwrap();
    assert!(
        empty.is_empty() && empty.lock().unwrap().as_bytes().is_empty() && empty.read().unwrap().as_bytes().is_empty()
    );
    assert!(format!("{empty:?}").contains("first: None"), "{empty:?}");
    drop(empty);
    let nothing = DynSlice::create(&name, &schema("[u8;0]"), usize::MAX).unwrap();
    assert_eq!((nothing.len(), nothing.lock().unwrap().as_bytes().len()), (usize::MAX, 0));
}

#[test]
fn an_observer_copies_without_the_lock_and_says_so_when_it_cannot() {
    let name = Scratch::new("observed");
    let slice = SharedSlice::create_from(&name, &[1u32, 2, 3]).unwrap();
    let observer = DynSlice::observe(&name).unwrap();
    assert_eq!((observer.len(), observer.element_size(), observer.is_empty()), (3, 4, false));
    assert_eq!((observer.schema(), observer.attached().unwrap()), (Some(&schema("u32")), 1));
    let mut guard = slice.lock().unwrap();
    guard[2] = 9;
    let mut all = [0; 12];
    observer.copy_unlocked(0, &mut all).unwrap(); // while somebody holds the lock
    assert_eq!(all.chunks(4).map(|it| u32::from_ne_bytes(it.try_into().unwrap())).collect::<Vec<_>>(), [1, 2, 9]);
    drop(guard);
    let mut last = [0; 4];
    observer.copy_unlocked(2, &mut last).unwrap();
    observer.copy_unlocked(3, &mut []).unwrap();
    assert_eq!(u32::from_ne_bytes(last), 9);
    for (from, len, words) in
        [(0, 3, "no whole number"), (3, 4, "out of bounds"), (0, 16, "out of bounds"), (4, 0, "out of")]
    {
        let (_, _, panic) = panic_of(|| observer.copy_unlocked(from, &mut vec![0; len]).unwrap());
        assert!(panic.contains(words), "{panic}");
    }
    drop(slice); // its users may go
    assert!(observer.is_removed());
    observer.copy_unlocked(2, &mut last).unwrap();
}

/// Windows lets nobody do that to what is mapped.
#[cfg(unix)]
#[test]
fn whoever_shortens_the_file_ends_nobody_who_observes() {
    let name = Scratch::new("shortened");
    let _slice = SharedSlice::<u8>::create(&name, 100_000).unwrap();
    let observer = DynSlice::observe(&name).unwrap();
    std::fs::OpenOptions::new().write(true).open(crate::support::path(&name)).unwrap().set_len(8_192).unwrap();
    assert_error!(observer.copy_unlocked(0, &mut vec![0; 100_000]), Truncated, &name, ["found 8192"]);
}
