//! Many threads of one process, through one handle and through several of the same name, which are mapped at several
//! addresses. Everything happens in one process, so that the thread and address sanitizers see it all:
//!
//! ```sh
//! export RUSTC_BOOTSTRAP=1   # or a nightly toolchain
//! TSAN_OPTIONS="suppressions=$PWD/tests/thread_sanitizer.supp" \
//! RUSTFLAGS="-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer --cfg robust_shm_sanitizer" \
//!     cargo test --target x86_64-unknown-linux-gnu --target-dir target/tsan --lib --test threads
//! RUSTFLAGS="-Zsanitizer=address -Cunsafe-allow-abi-mismatch=sanitizer --cfg robust_shm_sanitizer" \
//!     cargo test --target x86_64-unknown-linux-gnu --target-dir target/asan --lib --test threads
//! ```

mod support;

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use robust_shm::{Error, LockError, LockGuard, LockKind, SharedArray, SharedLock, SharedValue, ValueGuard};
use support::{Random, Scratch, exists, with_each_kind};

const THREADS: usize = 6;
const TIMES: u64 = 2_000;

/// Runs the body on several threads that begin at once.
fn at_once<R: Send>(body: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let start = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        let run = |which| {
            start.wait();
            body(which)
        };
        let threads: Vec<_> = (0..THREADS).map(|which| scope.spawn(move || run(which))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn a_value_counts_every_commit_through_every_handle(kind: LockKind) {
    let name = Scratch::new("threads");
    let shared = SharedValue::options().lock_kind(kind).create(&name, [0u64; 9]).unwrap();
    at_once(|which| {
        let own = SharedValue::open(&name).unwrap();
        let value = if which % 2 == 0 { &own } else { &shared };
        let mut random = Random::new(which as u64);
        for _ in 0..TIMES {
            match random.below(4) {
                0 => value.lock().unwrap().iter_mut().for_each(|word| *word += 1),
                1 => drop(value.update(|words| words.iter_mut().for_each(|word| *word += 1)).unwrap()),
                2 => value
                    .try_update(|words| {
                        words.iter_mut().for_each(|word| *word += 1);
                        Ok::<_, LockError>(())
                    })
                    .unwrap(),
                _ => {
                    let mut guard = value.lock().unwrap();
                    guard.fill(u64::MAX);
                    ValueGuard::discard(guard);
                    value.lock().unwrap().iter_mut().for_each(|word| *word += 1);
                }
            }
        }
    });
    assert_eq!((shared.get(), shared.commits()), ([THREADS as u64 * TIMES; 9], THREADS as u64 * TIMES));
}

fn readers_of_two_handles_see_whole_values_in_order(kind: LockKind) {
    let name = Scratch::new("threads");
    let first = SharedValue::options().lock_kind(kind).create(&name, [0u64; 33]).unwrap();
    let second = SharedValue::<[u64; 33]>::open(&name).unwrap();
    at_once(|which| {
        let value = if which % 2 == 0 { &first } else { &second };
        if which < 2 {
            return (0..TIMES).for_each(|_| drop(value.update(|words| words.iter_mut().for_each(|word| *word += 1))));
        }
        let (mut last, mut seen) = (0, u64::MAX);
        while last < 2 * TIMES {
            let words = if which < 4 { Some(value.get()) } else { value.get_if_changed(&mut seen) };
            let Some(words) = words else { continue };
            assert!(words.iter().all(|word| *word == words[0]), "torn: {words:?}");
            assert!(words[0] >= last, "stale after newer");
            last = words[0];
        }
    });
}

fn an_array_is_changed_by_one_thread_at_a_time(kind: LockKind) {
    let name = Scratch::new("threads");
    let shared = SharedArray::<u64, 16>::options().lock_kind(kind).create(&name).unwrap();
    at_once(|which| {
        let own = SharedArray::<u64, 16>::open(&name).unwrap();
        let array = if which % 2 == 0 { &own } else { &shared };
        for time in 0..TIMES {
            let mut guard = array.lock().unwrap();
            assert!(guard.iter().all(|element| *element == guard[0]));
            guard.iter_mut().for_each(|element| *element += 1);
            drop(guard);
            if time % 100 == 0 {
                let elements = array.to_vec().unwrap();
                assert!(elements.iter().all(|element| *element == elements[0]));
            }
        }
    });
    assert_eq!(shared.to_vec().unwrap(), [THREADS as u64 * TIMES; 16]);
}

fn a_lock_excludes_with_and_without_patience(kind: LockKind) {
    let name = Scratch::new("threads");
    let shared = SharedLock::options().lock_kind(kind).create(&name).unwrap();
    // Two halves that are only equal outside the section; relaxed, so that nothing but the lock orders them.
    let halves = [AtomicU64::new(0), AtomicU64::new(0)];
    let taken = at_once(|which| {
        let own = SharedLock::open(&name).unwrap();
        let lock = if which % 2 == 0 { &own } else { &shared };
        let mut taken = 0;
        for time in 0..TIMES {
            let guard = match time % 3 {
                0 => lock.lock(),
                1 => lock.try_lock(),
                _ => lock.try_lock_for(Duration::from_micros(50)),
            };
            match guard {
                Ok(_guard) => {
                    let [one, other] = [0, 1].map(|half| halves[half].load(Ordering::Relaxed));
                    assert_eq!(one, other, "somebody else is inside");
                    halves.iter().for_each(|half| half.store(one + 1, Ordering::Relaxed));
                    taken += 1;
                }
                Err(LockError::WouldBlock { .. } | LockError::TimedOut { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        taken
    });
    assert_eq!(halves[0].load(Ordering::Relaxed), taken.iter().sum::<u64>());
}

#[test]
fn threads_that_end_with_the_lock_hand_it_over() {
    if !support::reports_ends_of_threads() {
        return;
    }
    const ENDS: u64 = 20;
    let name = Scratch::new("threads");
    let lock = SharedLock::create(&name).unwrap();
    let count = AtomicU64::new(0);
    at_once(|_| {
        for _ in 0..ENDS {
            let end_with_lock = || {
                let guard = lock.lock_ignoring_poison().unwrap();
                count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
                std::mem::forget(guard);
            };
            std::thread::scope(|scope| scope.spawn(end_with_lock).join().unwrap());
        }
    });
    let guard = lock.lock_ignoring_poison().unwrap();
    assert!(LockGuard::is_poisoned(&guard));
    assert_eq!(count.load(Ordering::Relaxed), THREADS as u64 * ENDS);
}

fn handles_come_and_go_and_the_last_takes_the_name_along(kind: LockKind) {
    let name = Scratch::new("threads");
    at_once(|which| {
        let mut random = Random::new(which as u64);
        for _ in 0..TIMES / 10 {
            let opened = match random.below(3) {
                0 => SharedValue::options().lock_kind(kind).create(&name, [7u64; 4]),
                1 => SharedValue::open(&name),
                _ => SharedValue::options().lock_kind(kind).open_or_create(&name, [7u64; 4]),
            };
            match opened {
                Ok(value) => {
                    assert_eq!(value.get(), [7; 4]);
                    value.set([7; 4]).unwrap();
                    assert!(SharedValue::<[u64; 4]>::open(&name).is_ok(), "the name of a segment in use");
                }
                Err(Error::AlreadyExists { .. } | Error::NotFound { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    });
    assert!(!exists(&name));
}

with_each_kind! {
    a_value_counts_every_commit_through_every_handle,
    readers_of_two_handles_see_whole_values_in_order,
    an_array_is_changed_by_one_thread_at_a_time,
    a_lock_excludes_with_and_without_patience,
    handles_come_and_go_and_the_last_takes_the_name_along,
}
