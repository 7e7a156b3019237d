//! The ideas of Boost.Interprocess' `mutex_test_template`, `robust_mutex_test` and `named_creation_template`, asked of
//! each kind of segment.

mod support;

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use robust_shm::{Error, LockError, LockGuard, LockKind, SharedArray, SharedLock, SharedValue, remove};
use support::{
    Family, Scratch, asleep, exists, member, own_tid, play, ready_to_die, say, spawn, until, with_each_kind,
    within_limit,
};

#[test]
fn child() {
    play(&[("dies-holding-two", dies_holding_two), ("sees", sees), ("rival", rival)]);
}

with_each_kind! {
    lock_waits_for_the_first_one,
    try_lock_does_not_get_what_is_held,
    timed_lock_gets_the_lock_within_a_long_time,
    timed_lock_gives_up_after_a_short_time,
    a_deadline_that_has_passed_still_gets_a_free_lock,
    each_way_of_locking_is_undone_by_the_end_of_its_guard,
    a_recursive_lock_is_refused_in_every_form,
    many_processes_at_one_lock_lose_nothing,
}

/// Boost's `BaseSeconds`, shortened.
const BASE: Duration = Duration::from_millis(50);
const NOT_WRITTEN: i32 = -1;

/// How the second thread asks for a lock that the first one holds; `true` if it got it.
type Ask = fn(&SharedLock) -> bool;

/// How long the first one holds it. In Boost that is two `BASE`s, and the second is in time or not; here it is as long as
/// it takes on a machine of any speed.
#[derive(Clone, Copy, PartialEq)]
enum Holds {
    UntilTheOtherSleeps,
    UntilTheOtherGaveUp,
}
use Holds::{UntilTheOtherGaveUp, UntilTheOtherSleeps};

/// Two threads, as in Boost: the first locks, waits and writes 1; the second comes later, asks, and writes 2 if it gets
/// the lock. Returns what stands there when both are done, and what the second found.
fn two_threads(kind: LockKind, holds: Holds, ask: Ask) -> (i32, Option<i32>) {
    within_limit("two threads at a lock", move || {
        let name = Scratch::new("two");
        let lock = SharedLock::options().lock_kind(kind).create(&name).unwrap();
        let shared = AtomicI32::new(NOT_WRITTEN);
        let ((is_locked, locked), (has_asked, asked)) = (mpsc::channel(), mpsc::channel());
        let found = thread::scope(|scope| {
            let (lock, shared) = (&lock, &shared);
            scope.spawn(move || {
                let _guard = lock.lock().unwrap();
                let (is_about_to_ask, other) = mpsc::channel();
                is_locked.send(is_about_to_ask).unwrap();
                let other: i32 = other.recv().unwrap();
                match holds {
                    UntilTheOtherSleeps => drop(until("the other's sleep", || asleep(other))),
                    UntilTheOtherGaveUp => asked.recv().unwrap(),
                }
                shared.store(1, Ordering::SeqCst);
            });
            let second = scope.spawn(move || {
                locked.recv().unwrap().send(own_tid()).unwrap();
                let has_it = ask(lock);
                let found = has_it.then(|| shared.swap(2, Ordering::SeqCst));
                let _ = has_asked.send(()); // nobody hears it who has not waited for it
                found
            });
            second.join().unwrap()
        });
        (shared.into_inner(), found)
    })
}

// mutex_test_template

fn lock_waits_for_the_first_one(kind: LockKind) {
    assert_eq!(two_threads(kind, UntilTheOtherSleeps, |lock| lock.lock().is_ok()), (2, Some(1)));
}

fn try_lock_does_not_get_what_is_held(kind: LockKind) {
    assert_eq!(two_threads(kind, UntilTheOtherGaveUp, |lock| lock.try_lock().is_ok()), (1, None));
}

fn timed_lock_gets_the_lock_within_a_long_time(kind: LockKind) {
    assert_eq!(two_threads(kind, UntilTheOtherSleeps, |lock| lock.try_lock_for(support::LIMIT).is_ok()), (2, Some(1)));
    assert_eq!(
        two_threads(kind, UntilTheOtherSleeps, |lock| lock.try_lock_until(Instant::now() + support::LIMIT).is_ok()),
        (2, Some(1))
    );
    assert_eq!(two_threads(kind, UntilTheOtherSleeps, |lock| lock.try_lock_for(Duration::MAX).is_ok()), (2, Some(1)));
}

fn timed_lock_gives_up_after_a_short_time(kind: LockKind) {
    assert_eq!(two_threads(kind, UntilTheOtherGaveUp, |lock| lock.try_lock_for(BASE).is_ok()), (1, None));
    assert_eq!(
        two_threads(kind, UntilTheOtherGaveUp, |lock| lock.try_lock_until(Instant::now() + BASE).is_ok()),
        (1, None)
    );
    // A point in time that has passed: Boost's timed_lock with a past time is a try_lock.
    assert_eq!(two_threads(kind, UntilTheOtherGaveUp, |lock| lock.try_lock_until(Instant::now()).is_ok()), (1, None));
}

fn a_deadline_that_has_passed_still_gets_a_free_lock(kind: LockKind) {
    let name = Scratch::new("past");
    let lock = SharedLock::options().lock_kind(kind).create(&name).unwrap();
    assert!(lock.try_lock_for(Duration::ZERO).is_ok());
    let past = Instant::now().checked_sub(Duration::from_millis(1)).unwrap();
    assert!(lock.try_lock_until(past).is_ok());
}

fn each_way_of_locking_is_undone_by_the_end_of_its_guard(kind: LockKind) {
    let name = Scratch::new("ways");
    let lock = SharedLock::options().lock_kind(kind).create(&name).unwrap();
    for _ in 0..3 {
        drop(lock.lock().unwrap());
        drop(lock.try_lock().unwrap());
        drop(lock.try_lock_for(BASE).unwrap());
        drop(lock.try_lock_until(Instant::now() + BASE).unwrap());
        drop(lock.lock_ignoring_poison().unwrap());
    }
    // Boost's scoped_lock, moved about: one owner, one release.
    let first = lock.lock().unwrap();
    let second = first;
    assert!(matches!(lock.try_lock(), Err(LockError::WouldBlock { .. })));
    let boxed: Box<LockGuard<'_>> = Box::new(second);
    assert!(matches!(lock.try_lock(), Err(LockError::WouldBlock { .. })));
    drop(boxed);
    assert!(lock.try_lock().is_ok());
}

fn a_recursive_lock_is_refused_in_every_form(kind: LockKind) {
    let name = Scratch::new("recursive");
    let lock = SharedLock::options().lock_kind(kind).create(&name).unwrap();
    let guard = lock.lock().unwrap();
    assert!(matches!(lock.lock(), Err(LockError::WouldDeadlock { .. })));
    assert!(matches!(lock.lock_ignoring_poison(), Err(LockError::WouldDeadlock { .. })));
    assert!(matches!(lock.try_lock_for(BASE), Err(LockError::WouldDeadlock { .. })));
    assert!(matches!(lock.try_lock(), Err(LockError::WouldBlock { .. })));
    drop(guard);
    assert!(lock.lock().is_ok());
}

fn rival(family: &str) {
    let lock = SharedLock::open(&member(family, 0)).unwrap();
    let count = SharedArray::<u64, 64>::open(&member(family, 1)).unwrap();
    for _ in 0..500 {
        let _guard = lock.lock().unwrap();
        // Two reads and two writes apart: without the lock, some would be lost.
        let seen = count.get(0).unwrap();
        count.set(0, seen + 1).unwrap();
    }
}

fn many_processes_at_one_lock_lose_nothing(kind: LockKind) {
    let family = Family::new("rivals");
    let _lock = SharedLock::options().lock_kind(kind).create(&family.member(0)).unwrap();
    let count = SharedArray::<u64, 64>::options().lock_kind(kind).create(&family.member(1)).unwrap();
    let rivals: Vec<_> = (0..8).map(|_| spawn("rival", family.name())).collect();
    rivals.into_iter().for_each(support::Role::join);
    assert_eq!(count.get(0).unwrap(), 8 * 500);
}

// robust_mutex_test: a child takes two mutexes and dies.

fn dies_holding_two(family: &str) {
    let locks = [0, 1].map(|which| SharedLock::open(&member(family, which)).unwrap());
    let _guards = [locks[0].lock().unwrap(), locks[1].lock().unwrap()];
    ready_to_die();
}

#[test]
fn two_locks_of_the_dead_are_recovered_or_left_poisoned_each_for_itself() {
    let family = Family::new("robust");
    let locks = [0, 1].map(|which| SharedLock::create(&family.member(which)).unwrap());
    let child = spawn("dies-holding-two", family.name());
    child.expect("ready");
    child.kill();

    // The first by a timed lock and repaired, as Boost's `consistent()`.
    assert!(matches!(locks[0].try_lock_for(BASE), Err(LockError::Poisoned { .. })));
    let mut guard = locks[0].lock_ignoring_poison().unwrap();
    LockGuard::clear_poison(&mut guard);
    drop(guard);
    assert!(locks[0].try_lock().is_ok());

    // The second is unlocked without repair. Boost: "not recoverable", for ever. Here: until somebody repairs it.
    assert!(locks[1].is_poisoned());
    drop(locks[1].lock_ignoring_poison().unwrap());
    assert!(matches!(locks[1].try_lock(), Err(LockError::Poisoned { .. })));
    assert!(!locks[0].is_poisoned(), "the first one has nothing to do with it");
    let child = spawn("dies-holding-two", family.name());
    let mut child = child; // it panics on the poisoned one, while it holds the first
    assert!(!child.wait_for_end().success());
    assert!(locks[0].is_poisoned(), "its holder panicked");
    for lock in &locks {
        drop(lock.lock_recover(|| ()).unwrap());
        assert!(lock.try_lock().is_ok());
    }
}

// named_creation_template: create only, open only, open or create, remove, for each kind.

fn sees(name: &str) {
    say(SharedValue::<u64>::open(name).is_ok());
}

trait Kind: Sized {
    fn create(name: &str) -> Result<Self, Error>;
    fn open(name: &str) -> Result<Self, Error>;
    fn open_or_create(name: &str) -> Result<(Self, bool), Error>;
}

macro_rules! kind {
    ($type:ty, $($initial:expr)?) => {
        impl Kind for $type {
            fn create(name: &str) -> Result<Self, Error> {
                <$type>::create(name $(, $initial)?)
            }

            fn open(name: &str) -> Result<Self, Error> {
                <$type>::open(name)
            }

            fn open_or_create(name: &str) -> Result<(Self, bool), Error> {
                let handle = <$type>::open_or_create(name $(, $initial)?)?;
                let was_created = handle.was_created();
                Ok((handle, was_created))
            }
        }
    };
}

kind!(SharedValue<u64>, 7);
kind!(SharedArray<u32, 8>,);
kind!(SharedLock,);

fn named_creation<K: Kind>() {
    let name = Scratch::new("named");
    // Nothing is there.
    assert!(matches!(K::open(&name), Err(Error::NotFound { .. })));
    assert!(matches!(remove(&name), Err(Error::NotFound { .. })));
    // Create only: once.
    let first = K::create(&name).ok().unwrap();
    assert!(matches!(K::create(&name), Err(Error::AlreadyExists { .. })));
    assert!(exists(&name));
    // Open only and open-or-create find it; several at once.
    let second = K::open(&name).ok().unwrap();
    let (third, was_created) = K::open_or_create(&name).ok().unwrap();
    assert!(!was_created);
    drop(first);
    assert!(K::open(&name).is_ok(), "the creator is a user like any other");
    drop((second, third));
    assert!(matches!(K::open(&name), Err(Error::NotFound { .. })));
    // Open-or-create creates; remove takes the name from under its users; then the name is free.
    let (fourth, was_created) = K::open_or_create(&name).ok().unwrap();
    assert!(was_created);
    remove(&name).unwrap();
    assert!(matches!(K::open(&name), Err(Error::NotFound { .. })));
    assert!(matches!(remove(&name), Err(Error::NotFound { .. })));
    let fifth = K::create(&name).ok().unwrap();
    drop(fourth);
    assert!(K::open(&name).is_ok(), "the end of the first life is not the end of the second");
    drop(fifth);
    assert!(!exists(&name));
}

#[test]
fn create_open_and_remove_behave_alike_for_every_kind() {
    named_creation::<SharedValue<u64>>();
    named_creation::<SharedArray<u32, 8>>();
    named_creation::<SharedLock>();
}

#[test]
fn a_name_that_one_kind_has_is_closed_to_the_others() {
    let name = Scratch::new("kinds");
    let value = SharedValue::create(&name, 7u64).unwrap();
    assert!(matches!(SharedLock::open(&name), Err(Error::TypeMismatch { .. })));
    assert!(matches!(SharedArray::<u64, 1>::open_or_create(&name), Err(Error::TypeMismatch { .. })));
    assert!(matches!(SharedLock::create(&name), Err(Error::AlreadyExists { .. })));
    let other = spawn("sees", &name);
    other.expect("true");
    other.join();
    drop(value);
    let other = spawn("sees", &name);
    other.expect("false");
    other.join();
    assert!(SharedLock::open_or_create(&name).unwrap().was_created());
}

/// Boost's `sharable_mutex_test`: who writes keeps all others out, and who reads only writers, in the plain, the trying and
/// the timed form.
mod sharable {
    use std::sync::atomic::Ordering::SeqCst;

    use robust_shm::SharedRwLock;

    use super::*;

    fn kinds() -> impl Iterator<Item = LockKind> {
        [LockKind::Futex, LockKind::File].into_iter().filter(|kind| kind.is_available())
    }

    fn lock(kind: LockKind) -> (Scratch, SharedRwLock) {
        let name = Scratch::new("sharable");
        let lock = SharedRwLock::options().lock_kind(kind).create(&name).unwrap();
        (name, lock)
    }

    /// What the second asks for while the first one has it.
    #[derive(Clone, Copy)]
    enum Form {
        Plain,
        Try,
        Timed,
    }

    fn wants(lock: &SharedRwLock, writes: bool, form: Form) -> bool {
        match (writes, form) {
            (true, Form::Plain) => lock.write().is_ok(),
            (true, Form::Try) => lock.try_write().is_ok(),
            (true, Form::Timed) => lock.try_write_for(BASE).is_ok(),
            (false, Form::Plain) => lock.read().is_ok(),
            (false, Form::Try) => lock.try_read().is_ok(),
            (false, Form::Timed) => lock.try_read_for(BASE).is_ok(),
        }
    }

    /// While the first one writes or reads, the second wants to: does it get in?
    fn second_gets_in(kind: LockKind, first_writes: bool, second_writes: bool, form: Form) -> bool {
        let (_name, lock) = lock(kind);
        let _first =
            if first_writes { (Some(lock.write().unwrap()), None) } else { (None, Some(lock.read().unwrap())) };
        thread::scope(|scope| scope.spawn(|| wants(&lock, second_writes, form)).join().unwrap())
    }

    #[test]
    fn who_tries_or_has_too_little_time_gets_in_only_as_a_reader_beside_a_reader() {
        for kind in kinds() {
            for form in [Form::Try, Form::Timed] {
                for (first_writes, second_writes) in [(true, true), (true, false), (false, true), (false, false)] {
                    let expected = !first_writes && !second_writes;
                    assert_eq!(second_gets_in(kind, first_writes, second_writes, form), expected);
                }
            }
            assert!(second_gets_in(kind, false, false, Form::Plain));
        }
    }

    /// Two writers and four readers, as in Boost: the first writer writes 10, the second 20, each after a while; readers that
    /// come in between see what stands there when they are let in.
    #[test]
    fn readers_see_what_the_last_writer_wrote() {
        for kind in kinds() {
            within_limit("writers and readers", move || {
                let (_name, lock) = lock(kind);
                let (shared, inside) = (AtomicI32::new(NOT_WRITTEN), AtomicI32::new(0));
                let writes = |value: i32| {
                    let _writing = lock.write().unwrap();
                    assert_eq!(inside.fetch_add(1, SeqCst), 0);
                    thread::sleep(BASE / 10);
                    shared.store(value, SeqCst);
                    inside.fetch_sub(1, SeqCst);
                };
                let reads = || {
                    let _reading = lock.read().unwrap();
                    let before = shared.load(SeqCst);
                    assert_eq!(inside.load(SeqCst), 0);
                    thread::sleep(BASE / 10);
                    assert_eq!((shared.load(SeqCst), inside.load(SeqCst)), (before, 0));
                };
                thread::scope(|scope| {
                    for _ in 0..2 {
                        scope.spawn(reads);
                    }
                    scope.spawn(|| writes(10)).join().unwrap();
                    scope.spawn(|| writes(20));
                    for _ in 0..2 {
                        scope.spawn(reads);
                    }
                });
                assert_eq!(shared.into_inner(), 20);
            });
        }
    }

    /// Boost's `scoped` and `sharable` locks are undone by their ends; ours by the ends of their guards.
    #[test]
    fn each_way_in_is_undone_by_the_end_of_its_guard() {
        for kind in kinds() {
            let (_name, lock) = lock(kind);
            let later = || Instant::now() + BASE;
            drop(lock.read().unwrap());
            drop(lock.try_read().unwrap());
            drop(lock.try_read_for(BASE).unwrap());
            drop(lock.try_read_until(later()).unwrap());
            drop(lock.write().unwrap());
            drop(lock.try_write().unwrap());
            drop(lock.try_write_for(BASE).unwrap());
            drop(lock.try_write_until(later()).unwrap());
            assert!(lock.try_write().is_ok() && lock.try_read().is_ok());
        }
    }
}
