//! Threads come and go: what a process has open does not grow with them, whatever they have locked, waited for and read.
#![cfg(windows)]

mod support;

use std::fs::File;
use std::mem::forget;
use std::os::windows::io::AsRawHandle;
use std::thread::scope;
use std::time::Duration;

use robust_shm::{LockError, SharedLock, SharedRwLock, SharedSemaphore, SharedValue};
use support::Scratch;

const A_MOMENT: Duration = Duration::from_millis(1);

/// As many as there are open, as far as the numbers of new ones say that: those that are free among the lower ones are used
/// again first. (Wine does not count them.)
fn open_handles() -> usize {
    let file = || File::open(std::env::current_exe().unwrap()).unwrap();
    let more = [(); 50].map(|()| file());
    more.iter().map(|file| file.as_raw_handle().addr() / 4).max().unwrap()
}

/// What one thread does, and then ends.
fn all_that_there_is(name: &str, permits: &SharedSemaphore, of_rwlock: &SharedRwLock, value: &SharedValue<u64>) {
    let lock = SharedLock::open(name).unwrap();
    drop(lock.lock().unwrap());
    assert!(matches!(lock.lock().map(|_held| lock.try_lock().map(drop)), Ok(Err(LockError::WouldBlock { .. }))));
    let (guard, timeout) = lock.condvar().wait_for(lock.lock().unwrap(), A_MOMENT).unwrap();
    assert!(timeout.timed_out());
    drop(guard);
    drop((permits.acquire().unwrap(), permits.acquire().unwrap()));
    let (one, other) = (of_rwlock.read().unwrap(), of_rwlock.read().unwrap());
    drop((one, other));
    drop(of_rwlock.write().unwrap());
    *value.lock().unwrap() += 1;
    let panics = || {
        let _guard = value.lock().unwrap();
        std::panic::resume_unwind(Box::new(()));
    };
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(panics)).is_err());
}

#[test]
fn threads_that_hold_nothing_leave_nothing_open() {
    const THREADS: usize = 300;
    let (name, rwlock_name) = (Scratch::new("lock"), Scratch::new("rwlock"));
    let (permits_name, value_name) = (Scratch::new("permits"), Scratch::new("value"));
    let _lock = SharedLock::create(&name).unwrap();
    let of_rwlock = SharedRwLock::create(&rwlock_name).unwrap();
    let permits = SharedSemaphore::create(&permits_name, 2).unwrap();
    let value = SharedValue::create(&value_name, 0u64).unwrap();
    let run = || scope(|scope| scope.spawn(|| all_that_there_is(&name, &permits, &of_rwlock, &value)).join().unwrap());
    run();
    let before = open_handles();
    (0..THREADS).for_each(|_| run());
    let grown = open_handles().saturating_sub(before);
    assert!(grown < THREADS / 3, "{grown} more than before {THREADS} threads");
    assert_eq!(value.get(), THREADS as u64 + 1);
}

/// Each leaves its lock to the next one, who hears of that by what the ended one has left open.
#[test]
fn threads_that_end_with_a_lock_are_heard_of_one_after_the_other() {
    let name = Scratch::new("left");
    let lock = SharedLock::create(&name).unwrap();
    for _ in 0..50 {
        scope(|scope| scope.spawn(|| forget(lock.lock_ignoring_poison().unwrap())).join().unwrap());
    }
    assert!(matches!(lock.lock(), Err(LockError::Poisoned { .. })));
}
