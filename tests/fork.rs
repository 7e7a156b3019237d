//! A fork passes no lock on, and parent and child each count as users.
#![cfg(unix)]
#![allow(unsafe_code)]

mod support;

use robust_shm::{ArrayGuard, LockError, LockGuard, LockKind, SegmentInfo, SharedArray, SharedLock, SharedValue};
use support::{Scratch, exists, kind, play, spawn, spawn_of, until, with_each_kind};

#[test]
fn child() {
    // Forking happens in processes of their own: the test harness has other threads.
    play(&[
        ("guard", guard_in_child),
        ("parent-first", parent_leaves_first),
        ("child-first", child_leaves_first),
        ("relock", relock_in_child),
        ("own", own_lock_and_inherited_guard),
        ("first", first_calls_at_once),
        ("siblings", siblings),
        ("poison", poison_and_inherited_guards),
    ]);
}

with_each_kind! {
    a_guard_dropped_in_a_forked_child_neither_commits_nor_unlocks,
    a_forked_child_locks_for_itself,
    an_inherited_guard_does_not_release_the_childs_own_lock,
    an_inherited_guard_does_not_clear_the_poison,
}

/// Forks; the child runs `body` and ends; returns when it has ended well.
fn fork(body: impl FnOnce()) {
    fork_and(body, || {});
}

/// The same, and the parent does something meanwhile.
fn fork_and(body: impl FnOnce(), meanwhile: impl FnOnce()) {
    let child = support::fork(body);
    meanwhile();
    child.join();
}

fn guard_in_child(name: &str) {
    let value = SharedValue::options().lock_kind(kind()).create(name, 1u32).unwrap();
    let mut guard = Some(value.lock().unwrap());
    **guard.as_mut().unwrap() = 2;
    fork(|| {
        drop(guard.take()); // neither commits nor unlocks
        assert_eq!(value.get(), 1);
        assert!(matches!(value.try_lock(), Err(LockError::WouldBlock { .. })));
    });
    assert!(matches!(value.lock(), Err(LockError::WouldDeadlock { .. })), "still ours");
    drop(guard);
    assert_eq!(value.get(), 2);
    drop(value);
    assert!(!exists(name));
}

fn relock_in_child(name: &str) {
    let lock = SharedLock::options().lock_kind(kind()).create(name).unwrap();
    let mut guard = Some(lock.lock().unwrap());
    let second = SharedLock::options().lock_kind(kind()).create(&format!("{name}-2")).unwrap();
    fork(|| {
        // The child takes and releases locks of its own while it has a copy of its parent's guard.
        let own = second.lock().unwrap();
        drop(guard.take());
        assert!(matches!(second.try_lock(), Err(LockError::WouldBlock { .. })));
        drop(own);
    });
    drop(guard);
    assert!(lock.lock().is_ok() && second.lock().is_ok());
}

fn own_lock_and_inherited_guard(name: &str) {
    let lock = SharedLock::options().lock_kind(kind()).create(name).unwrap();
    let guard = std::cell::Cell::new(Some(lock.lock().unwrap()));
    fork_and(
        || {
            let own = until("the parent's release", || lock.try_lock().ok());
            drop(guard.take()); // the copy of a guard of this very lock
            assert!(matches!(lock.try_lock(), Err(LockError::WouldBlock { .. })), "released by the copy");
            drop(own);
        },
        || drop(guard.take()),
    );
    assert!(lock.lock().is_ok());
}

fn poison_and_inherited_guards(name: &str) {
    let array = SharedArray::<u8, 4>::options().lock_kind(kind()).create(&format!("{name}-array")).unwrap();
    let lock = SharedLock::options().lock_kind(kind()).create(name).unwrap();
    let panic = || panic!("on purpose");
    std::panic::catch_unwind(|| array.update(|_| panic())).unwrap_err();
    std::panic::catch_unwind(|| lock.with(panic)).unwrap_err();
    let (mut of_array, mut of_lock) = (array.lock_ignoring_poison().unwrap(), lock.lock_ignoring_poison().unwrap());
    fork(|| {
        ArrayGuard::recover(&mut of_array, |_| ());
        ArrayGuard::clear_poison(&mut of_array);
        LockGuard::clear_poison(&mut of_lock);
    });
    assert!(ArrayGuard::is_poisoned(&of_array) && LockGuard::is_poisoned(&of_lock), "cleared by the copies");
    ArrayGuard::clear_poison(&mut of_array);
    LockGuard::clear_poison(&mut of_lock);
    drop((of_array, of_lock));
    assert!(!array.is_poisoned() && !lock.is_poisoned());
}

fn parent_leaves_first(name: &str) {
    let value = std::cell::Cell::new(Some(SharedValue::create(name, 1u32).unwrap()));
    fork_and(
        || {
            let attached = || SegmentInfo::of(name).ok().map(|info| info.attached());
            until(
                "the parent's leaving",
                || if exists(name) { attached().filter(|count| *count == 1) } else { Some(0) },
            );
            assert_eq!(attached(), Some(1), "the child is a user by itself");
            let own = value.take().unwrap();
            own.set(5).unwrap();
            assert_eq!(SharedValue::<u32>::open(name).unwrap().get(), 5);
            drop(own);
            assert!(!exists(name), "the child was the last");
        },
        || drop(value.take()),
    );
    assert!(!exists(name));
}

fn child_leaves_first(name: &str) {
    let mut value = Some(SharedValue::create(name, 1u32).unwrap());
    fork(|| {
        value.as_ref().unwrap().set(5).unwrap();
        drop(value.take());
        assert!(exists(name), "the parent still holds it");
    });
    assert_eq!(value.as_ref().unwrap().get(), 5);
    drop(value);
    assert!(!exists(name));
}

/// All threads of a fresh process, and of a forked child, make their first call at the same moment.
fn first_calls_at_once(name: &str) {
    const THREADS: usize = 8;
    let all_lock = || {
        let start = std::sync::Barrier::new(THREADS);
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let (start, name) = (&start, format!("{name}-{thread}"));
                    scope.spawn(move || {
                        start.wait();
                        let lock = SharedLock::create(&name).unwrap();
                        lock.with(|| ()).unwrap();
                    })
                })
                .collect();
            // To their real ends: a scope ends before its threads do, and a fork would then copy a lock that std holds
            // while a thread ends, and the child could start none.
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
    };
    all_lock();
    fork(all_lock);
}

/// A process forks one child that opens many handles, and then another.
fn siblings(name: &str) {
    const HANDLES: usize = 40;
    let attached = || SegmentInfo::of(name).unwrap().attached();
    let value = SharedValue::create(name, 1u32).unwrap();
    let (mut from_parent, to_children) = std::io::pipe().unwrap();
    let mut to_children = Some(to_children);
    let mut stay = || {
        drop(to_children.take());
        let _ = std::io::Read::read(&mut from_parent, &mut [0]);
    };
    let first = support::fork(|| {
        let handles = [0; HANDLES].map(|_| SharedValue::<u32>::open(value.name()).unwrap());
        stay();
        drop(handles);
    });
    until("the first child's handles", || (attached() == 2 + HANDLES).then_some(()));
    let second = support::fork(&mut stay);
    until("the second child", || (attached() == 3 + HANDLES).then_some(()));
    drop(to_children);
    first.join();
    second.join();
}

/// Once, the parent drew the same presence bytes as its first child had, found them taken, and gave the
/// second child none.
#[test]
fn a_child_is_a_user_however_many_handles_its_sibling_has() {
    spawn("siblings", &Scratch::new("siblings")).join();
}

/// Once, a thread that came second while the first was still numbering the process was refused every lock: "a child of a
/// raw clone".
#[test]
fn threads_that_make_their_first_call_at_once_all_lock() {
    for _ in 0..200 {
        spawn("first", &Scratch::new("first")).join();
    }
}

fn a_guard_dropped_in_a_forked_child_neither_commits_nor_unlocks(kind: LockKind) {
    spawn_of(kind, "guard", &Scratch::new("fork")).join();
}

fn a_forked_child_locks_for_itself(kind: LockKind) {
    spawn_of(kind, "relock", &Scratch::new("fork")).join();
}

fn an_inherited_guard_does_not_release_the_childs_own_lock(kind: LockKind) {
    spawn_of(kind, "own", &Scratch::new("fork")).join();
}

fn an_inherited_guard_does_not_clear_the_poison(kind: LockKind) {
    spawn_of(kind, "poison", &Scratch::new("fork")).join();
}

#[test]
fn a_segment_stays_until_parent_and_child_have_left() {
    spawn("parent-first", &Scratch::new("fork")).join();
    spawn("child-first", &Scratch::new("fork")).join();
}
