//! Whoever looks from outside is told whether somebody sleeps, whatever it is that he waits for.

mod support;

use robust_shm::{
    LockKind, SegmentInfo, SharedArray, SharedEvent, SharedLock, SharedRwLock, SharedSemaphore, SharedValue,
};
use support::{LIMIT, Scratch, play, spawn, until, until_it_waits};

#[test]
fn child() {
    play(&[
        ("lock", |name| drop(SharedLock::open(name).unwrap().try_lock_for(LIMIT).unwrap())),
        ("permit", |name| drop(SharedSemaphore::open(name).unwrap().try_acquire_for(LIMIT).unwrap())),
        ("event", |name| SharedEvent::open(name).unwrap().wait_for(LIMIT).unwrap()),
        ("write", |name| drop(SharedRwLock::open(name).unwrap().try_write_for(LIMIT).unwrap())),
        ("read", |name| drop(SharedArray::<u64, 4>::open(name).unwrap().try_read_for(LIMIT).unwrap())),
        ("change", |name| {
            assert_eq!(SharedValue::<u64>::open(name).unwrap().wait_newer_for(&mut 0, LIMIT).unwrap(), 2)
        }),
        ("condition", |name| {
            let lock = SharedLock::open(name).unwrap();
            drop(lock.condvar().wait_for(lock.lock().unwrap(), LIMIT).unwrap());
        }),
    ]);
}

/// Nobody is said to sleep before the child comes, it is while it waits, and nobody is any more when `release` has been called.
fn assert_seen(role: &str, name: &str, release: impl FnOnce()) {
    let sleepers = || SegmentInfo::of(name).unwrap().has_sleepers();
    assert!(!sleepers(), "{role}: nobody is there");
    let child = spawn(role, name);
    until_it_waits(&child);
    assert!(sleepers(), "{role}");
    assert!(format!("{:?}", SegmentInfo::of(name).unwrap()).contains("has_sleepers: true"));
    release();
    child.join();
}

#[test]
fn who_waits_for_a_lock() {
    for kind in [LockKind::default(), LockKind::File] {
        let name = Scratch::new("lock");
        let lock = SharedLock::options().lock_kind(kind).create(&name).unwrap();
        let guard = lock.lock().unwrap();
        assert_seen("lock", &name, || drop(guard));
        drop(lock.lock().unwrap());
        assert!(!lock.info().unwrap().has_sleepers());
    }
}

#[test]
fn who_waits_for_a_permit() {
    let name = Scratch::new("permit");
    let semaphore = SharedSemaphore::create(&name, 1).unwrap();
    let permit = semaphore.acquire().unwrap();
    assert_seen("permit", &name, || drop(permit));
    drop(semaphore.acquire().unwrap());
    assert!(!semaphore.info().unwrap().has_sleepers());
}

#[test]
fn who_waits_for_an_event() {
    let name = Scratch::new("event");
    let event = SharedEvent::create(&name).unwrap();
    assert_seen("event", &name, || event.set().unwrap());
    assert!(!event.info().unwrap().has_sleepers());
}

/// He has the lock, and sleeps on the slot of a reader.
#[test]
fn who_waits_for_readers_to_leave() {
    let name = Scratch::new("write");
    let lock = SharedRwLock::create(&name).unwrap();
    let reading = lock.read().unwrap();
    assert_seen("write", &name, || drop(reading));
}

#[test]
fn who_waits_to_read() {
    let name = Scratch::new("read");
    let array = SharedArray::<u64, 4>::create(&name).unwrap();
    let writing = array.lock().unwrap();
    assert_seen("read", &name, || drop(writing));
}

#[test]
fn who_waits_for_a_change() {
    let name = Scratch::new("change");
    let value = SharedValue::create(&name, 1u64).unwrap();
    assert_seen("change", &name, || value.set(2).unwrap());
}

#[test]
fn who_waits_for_a_condition() {
    let name = Scratch::new("condition");
    let lock = SharedLock::create(&name).unwrap();
    assert_seen("condition", &name, || lock.condvar().notify_one(&lock.lock().unwrap()));
    // The bit stays until one of the releases asks the kernel.
    until("nobody to be said to sleep", || {
        drop(lock.lock().unwrap());
        (!lock.info().unwrap().has_sleepers()).then_some(())
    });
}
