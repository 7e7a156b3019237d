//! Readers side by side: none waits for another, nobody reads what is being written, and whoever is killed keeps nobody out.

mod deaths;
mod fairness;
mod storm;
#[path = "../support/mod.rs"]
mod support;

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use robust_shm::{
    ArrayReadGuard, Error, LockError, LockKind, RwLockWriteGuard, SegmentInfo, SharedArray, SharedRwLock, SharedSlice,
};
use support::{Scratch, play, until};

pub(crate) const LONG: Duration = Duration::from_secs(60);
pub(crate) const MOMENT: Duration = Duration::from_millis(20);

#[test]
fn child() {
    play(&[deaths::ROLES, storm::ROLES].concat());
}

/// Those with which there are readers side by side.
pub(crate) fn kinds() -> impl Iterator<Item = LockKind> {
    [LockKind::Futex, LockKind::File].into_iter().filter(|kind| kind.is_available())
}

pub(crate) type Array = SharedArray<u64, 4>;

pub(crate) fn array(kind: LockKind, name: &str) -> Array {
    Array::options().lock_kind(kind).create(name).unwrap()
}

pub(crate) fn rwlock(kind: LockKind, name: &str) -> SharedRwLock {
    SharedRwLock::options().lock_kind(kind).create(name).unwrap()
}

pub(crate) fn active(name: &str) -> usize {
    SegmentInfo::of(name).unwrap().active_readers().unwrap()
}

fn would_block<R>(result: Result<R, LockError>) -> bool {
    matches!(result, Err(LockError::WouldBlock { .. }))
}

fn would_deadlock<R>(result: Result<R, LockError>) -> bool {
    matches!(result, Err(LockError::WouldDeadlock { .. }))
}

/// On a thread of its own, which has ended when this returns.
pub(crate) fn elsewhere<R: Send>(body: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|scope| scope.spawn(body).join().unwrap())
}

#[test]
fn any_number_reads_and_nobody_writes() {
    for kind in kinds() {
        let name = Scratch::new("beside");
        let array = array(kind, &name);
        array.set(1, 7).unwrap();
        let other = Array::open(&name).unwrap();
        for _ in 0..3 {
            let mine = array.read().unwrap();
            elsewhere(|| {
                let theirs = other.try_read().unwrap();
                assert_eq!((mine[1], theirs[1], &mine[..]), (7, 7, &[0, 7, 0, 0][..]));
                assert_eq!(active(&name), 2);
                assert!(would_deadlock(other.lock()));
            });
            assert_eq!(active(&name), 1);
            elsewhere(|| {
                assert!(would_block(array.try_lock()));
                assert!(matches!(array.try_lock_for(MOMENT), Err(LockError::TimedOut { holder: Some(_), .. })));
                assert_eq!(array.get(1).unwrap(), 7, "what only reads under the lock need not wait for readers");
                assert_eq!(other.to_vec().unwrap(), [0, 7, 0, 0]);
                // A writer that has given up has let them in again.
                assert_eq!(other.read().unwrap()[1], 7);
            });
            drop(mine);
            assert_eq!(active(&name), 0);
            let mut guard = array.lock().unwrap();
            elsewhere(|| {
                assert!(would_block(other.try_read()));
                assert!(matches!(other.try_read_for(MOMENT), Err(LockError::TimedOut { .. })));
            });
            guard[0] = 0;
        }
    }
}

#[test]
fn a_lock_of_readers_and_writers() {
    for kind in kinds() {
        let name = Scratch::new("rwlock");
        let lock = rwlock(kind, &name);
        {
            let (_one, _other) = (lock.read().unwrap(), lock.try_read_for(LONG).unwrap());
            assert!(format!("{lock:?}").ends_with("readers: 2, poisoned: false }"), "{lock:?}");
            elsewhere(|| {
                assert!(would_block(lock.try_write()) && would_block(lock.try_write_ignoring_poison()));
                assert!(lock.try_write_for(MOMENT).is_err());
            });
        }
        let writing = lock.write().unwrap();
        elsewhere(|| {
            assert!(would_block(lock.try_read()) && would_block(lock.try_write()));
        });
        assert!(would_deadlock(lock.read()) && would_deadlock(lock.write()));
        drop(writing);
        let info = lock.info().unwrap();
        assert_eq!((info.kind(), info.reader_slots(), info.length()), ("SharedRwLock", Some(32), 0));
        assert!(info.has_poison() && !info.is_poisoned());
        let error = SharedArray::<u8, 1>::open(&name).unwrap_err().to_string();
        assert!(error.contains("found SharedRwLock"), "{error}");
    }
}

#[test]
fn slices_are_read_as_arrays_are() {
    for kind in kinds() {
        let name = Scratch::new("slice");
        let slice = SharedSlice::<u8>::options().lock_kind(kind).create_from(&name, &[1, 2, 3]).unwrap();
        let array = SharedArray::<u8, 3>::open(&name).unwrap();
        let (of_slice, of_array) = (slice.read().unwrap(), array.read().unwrap());
        assert_eq!((&of_slice[..], of_slice.len()), (&of_array[..], 3));
        assert_eq!(format!("{of_slice:?} {of_array:?}"), "SliceReadGuard([1, 2, 3]) ArrayReadGuard([1, 2, 3])");
    }
}

/// Whoever only reads can do so for as long as he need not wait for whoever waits for him.
#[test]
fn one_who_reads_already_is_told_before_he_waits_for_himself() {
    for kind in kinds() {
        let name = Scratch::new("twice");
        let (lock, other) = (rwlock(kind, &name), SharedRwLock::open(&name).unwrap());
        let first = lock.read().unwrap();
        let second = other.read().unwrap();
        assert!(would_deadlock(lock.write()) && would_deadlock(other.write()) && would_deadlock(other.try_write()));
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| drop(lock.write().unwrap()));
            until("a writer who keeps new readers out", || {
                would_block(elsewhere(|| lock.try_read().map(drop))).then_some(())
            });
            assert!(would_deadlock(lock.read()) && would_deadlock(other.try_read_for(LONG)));
            drop((first, second));
            writer.join().unwrap();
        });
        drop(lock.read().unwrap());
    }
}

#[test]
fn one_who_reads_is_told_before_he_waits_for_a_writer_who_waits_for_him() {
    for kind in kinds() {
        let names = [Scratch::new("upgrade"), Scratch::new("upgrade-elements")];
        let (lock, array) = (rwlock(kind, &names[0]), array(kind, &names[1]));
        let reading = (lock.read().unwrap(), array.read().unwrap());
        let told = std::thread::scope(|scope| {
            let writers = [scope.spawn(|| lock.write().map(drop)), scope.spawn(|| array.lock().map(drop))];
            until("writers who keep new readers out", || {
                let are_out = elsewhere(|| would_block(lock.try_read()) && would_block(array.try_read()));
                are_out.then_some(())
            });
            let told = would_deadlock(lock.try_write_for(LONG))
                && would_deadlock(lock.write())
                && would_deadlock(array.lock())
                && would_deadlock(array.get(0))
                && would_deadlock(array.set(0, 1));
            drop(reading);
            writers.into_iter().for_each(|writer| writer.join().unwrap().unwrap());
            told
        });
        assert!(told, "{kind:?}");
    }
}

/// Two segments, and a lock beside them: what a thread has otherwise does not matter.
#[test]
fn beside_other_guards() {
    for kind in kinds() {
        let names = [Scratch::new("one"), Scratch::new("two"), Scratch::new("three")];
        let (one, two) = (array(kind, &names[0]), rwlock(kind, &names[1]));
        let three = array(kind, &names[2]);
        for _ in 0..5 {
            let held = three.lock().unwrap();
            let (of_one, of_two) = (one.read().unwrap(), two.read().unwrap());
            let again = one.read().unwrap();
            drop(held);
            drop(of_one);
            drop(of_two);
            drop(two.write().unwrap());
            assert!(would_deadlock(one.lock()));
            drop(again);
            drop(one.lock().unwrap());
        }
    }
}

#[test]
fn more_readers_than_slots_read_one_at_a_time() {
    for kind in kinds() {
        for slots in [0, 1, 2] {
            let name = Scratch::new("few");
            let array = Array::options().lock_kind(kind).readers(slots).create(&name).unwrap();
            let guards: Vec<ArrayReadGuard<'_, u64, 4>> = (0..slots).map(|_| array.read().unwrap()).collect();
            let alone = elsewhere(|| {
                let alone = array.read().unwrap();
                assert!(would_block(elsewhere(|| array.try_read().map(drop))));
                assert!(would_block(elsewhere(|| array.try_lock().map(drop))));
                alone[0]
            });
            assert_eq!((alone, guards.len(), active(&name)), (0, slots, slots));
            drop(guards);
            drop(array.lock().unwrap());
        }
    }
}

#[test]
fn a_number_of_slots_that_cannot_be_and_one_that_is_not() {
    let name = Scratch::new("slots");
    for result in [
        Array::options().readers(65).create(&name),
        Array::options().readers(usize::MAX).open_or_create(&name),
        Array::options().readers(65).open(&name),
    ] {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::InvalidArgument { .. }), "{error:?}");
        assert!(error.to_string().contains("0 to 64"), "{error}");
    }
    let array = Array::options().readers(64).create(&name).unwrap();
    assert_eq!(array.info().unwrap().reader_slots(), Some(64));
    drop(array.read().unwrap());
    drop(Array::options().readers(64).open(&name).unwrap());
    drop(Array::open(&name).unwrap().read().unwrap());
    let error = Array::options().readers(32).open(&name).unwrap_err();
    assert!(matches!(error, Error::OptionMismatch { .. }), "{error:?}");
    for word in ["readers", "32", "64"] {
        assert!(error.to_string().contains(word), "{error}");
    }
}

/// The C library's mutex is one, and nothing else.
#[test]
fn there_are_none_with_a_mutex_of_the_c_library() {
    let kind = LockKind::OsMutex;
    if !kind.is_available() {
        return;
    }
    let name = Scratch::new("os-mutex");
    let error = SharedRwLock::options().lock_kind(kind).create(&name).unwrap_err().to_string();
    assert!(error.contains("no SharedRwLock with LockKind::OsMutex"), "{error}");
    let error = Array::options().lock_kind(kind).readers(4).create(&name).unwrap_err().to_string();
    assert!(error.contains("no SharedArray with reader slots with LockKind::OsMutex"), "{error}");
    assert!(!support::exists(&name));
    let array = Array::options().lock_kind(kind).create(&name).unwrap();
    assert_eq!(array.info().unwrap().reader_slots(), Some(0));
    for result in [array.read(), array.try_read(), array.try_read_for(MOMENT)] {
        let error = result.unwrap_err();
        assert!(matches!(error, LockError::Io { .. }), "{error:?}");
        for word in ["LockKind::OsMutex", "create with another kind", &name] {
            assert!(error.to_string().contains(word), "no {word}: {error}");
        }
    }
    array.lock().unwrap()[0] = 1; // and is free
}

#[test]
fn only_writers_poison() {
    for kind in kinds() {
        let name = Scratch::new("poison");
        let lock = rwlock(kind, &name);
        let panics = |body: &(dyn Fn() + std::panic::RefUnwindSafe)| assert!(std::panic::catch_unwind(body).is_err());
        panics(&|| {
            let _reading = lock.read().unwrap();
            panic!("a reader");
        });
        assert!(!lock.is_poisoned());
        // Also one who reads with the lock.
        let few = Scratch::new("poison-alone");
        let alone = Array::options().lock_kind(kind).readers(0).create(&few).unwrap();
        panics(&|| {
            let _reading = alone.read().unwrap();
            panic!("a reader alone");
        });
        assert!(!alone.is_poisoned() && alone.read().is_ok());

        for with_readers in [false, true] {
            if with_readers {
                drop(lock.read().unwrap());
            }
            panics(&|| {
                let _writing = lock.write().unwrap();
                panic!("a writer");
            });
            assert!(lock.is_poisoned());
            assert!(matches!(lock.read(), Err(LockError::Poisoned { .. })));
            assert!(matches!(lock.try_write(), Err(LockError::Poisoned { .. })));
            drop(lock.write_ignoring_poison().unwrap());
            assert!(matches!(lock.read(), Err(LockError::Poisoned { .. })), "nobody has repaired it");
            let mut guard = lock.try_write_ignoring_poison_for(LONG).unwrap();
            assert!(RwLockWriteGuard::is_poisoned(&guard));
            RwLockWriteGuard::recover(&mut guard, || ());
            drop(guard);
            drop(lock.read().unwrap());
            drop(lock.write_recover(|| panic!("nothing to repair")).unwrap());
        }
    }
}

#[test]
fn what_cannot_be_torn_lets_readers_in_whatever_becomes_of_writers() {
    for kind in kinds() {
        let name = Scratch::new("untorn");
        let array = Array::options().lock_kind(kind).poison(false).create(&name).unwrap();
        drop(array.read().unwrap());
        let panicked = std::panic::catch_unwind(|| {
            let mut guard = array.lock().unwrap();
            guard[0] = 1;
            panic!("a writer");
        });
        assert!(panicked.is_err());
        assert_eq!(array.read().unwrap()[0], 1);
    }
}

/// Two words that are equal whenever nobody writes.
#[test]
fn threads_never_read_what_is_being_written() {
    for kind in kinds() {
        let name = Scratch::new("threads");
        let array = SharedArray::<u64, 2>::options().lock_kind(kind).readers(3).create(&name).unwrap();
        let (over, reads) = (AtomicBool::new(false), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        let guard = array.read().unwrap();
                        let first = read_volatile(&guard[0]);
                        if reads.fetch_add(1, Ordering::Relaxed) % 5 == 0 {
                            std::thread::yield_now();
                        }
                        assert_eq!(first, read_volatile(&guard[1]));
                    }
                });
            }
            let writers: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        for turn in 0..3_000 {
                            let mut guard = array.lock().unwrap();
                            guard[0] += 1;
                            if turn % 7 == 0 {
                                std::thread::yield_now();
                            }
                            guard[1] += 1;
                            drop(guard);
                            if turn % 3 == 0 {
                                std::thread::yield_now();
                            }
                        }
                    })
                })
                .collect();
            writers.into_iter().for_each(|writer| writer.join().unwrap());
            over.store(true, Ordering::Relaxed);
        });
        assert_eq!(array.to_vec().unwrap(), [6_000, 6_000]);
        assert_eq!(active(&name), 0);
    }
}

fn read_volatile(word: &u64) -> u64 {
    std::hint::black_box(*word)
}

/// One slot each, and all of them at once.
#[test]
fn sixty_four_readers_side_by_side() {
    for kind in kinds() {
        let name = Scratch::new("crowd");
        let lock = SharedRwLock::options().lock_kind(kind).readers(64).create(&name).unwrap();
        let all = Barrier::new(64);
        std::thread::scope(|scope| {
            for _ in 0..64 {
                scope.spawn(|| {
                    for _ in 0..3 {
                        let reading = lock.read().unwrap();
                        all.wait();
                        drop(reading);
                        all.wait();
                    }
                });
            }
        });
        drop(lock.write().unwrap());
        assert_eq!(active(&name), 0);
    }
}
