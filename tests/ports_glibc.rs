//! The cases of glibc's own tests of robust mutexes (nptl `tst-robust1` to `10`, `tst-robust-fork`), asked of this
//! crate's locks.
#![cfg_attr(not(target_os = "linux"), allow(dead_code, unused_imports, reason = "for the parts that need Linux"))]

mod support;

use std::thread;
use std::time::{Duration, Instant};

use robust_shm::{LockError, LockGuard, SegmentInfo, SharedArray, SharedLock, SharedValue};
#[cfg(unix)]
use support::fork;
use support::{
    Family, Random, Scratch, Stopwatch, asleep, member, own_tid, pause, play, ready_to_die, say, spawn, until,
    until_it_waits, within_limit,
};

#[test]
fn child() {
    play(&[
        ("hold", hold),
        ("hold-both", hold_both),
        ("heir", heir),
        ("nine-threads", nine_threads),
        ("impatient", impatient),
        #[cfg(unix)]
        ("fork-holds", fork_holds),
        #[cfg(unix)]
        ("fork-dies", fork_dies),
    ]);
}

const SHORT: Duration = Duration::from_millis(60);

/// The ways to take a lock, and what is done when it is poisoned: nothing but to say so.
type Take = fn(&SharedLock) -> Result<LockGuard<'_>, LockError>;
const WAYS: [(&str, Take); 4] = [
    ("lock", |lock| lock.lock()),
    ("try_lock", |lock| lock.try_lock()),
    ("try_lock_for", |lock| lock.try_lock_for(support::LIMIT)),
    ("try_lock_until", |lock| lock.try_lock_until(Instant::now() + support::LIMIT)),
];

fn is_poisoned<R>(result: Result<R, LockError>) -> bool {
    matches!(result, Err(LockError::Poisoned { .. }))
}

fn repair(lock: &SharedLock) {
    let mut called = false;
    drop(lock.lock_recover(|| called = true).unwrap());
    assert!(called, "was not poisoned");
}

fn hold(name: &str) {
    let lock = SharedLock::open(name).unwrap();
    let _guard = lock.lock_ignoring_poison().unwrap();
    ready_to_die();
}

/// One held lock of each kind; the value's copy is changed, and must not be seen.
fn hold_both(name: &str) {
    let lock = SharedLock::open(&member(name, 0)).unwrap();
    let value = SharedValue::<u64>::open(&member(name, 1)).unwrap();
    let array = SharedArray::<u64, 2>::open(&member(name, 2)).unwrap();
    let _lock = lock.lock().unwrap();
    let mut held_value = value.lock().unwrap();
    let mut held_array = array.lock().unwrap();
    *held_value = 99;
    held_array[0] = 99;
    ready_to_die();
}

/// Waits for the lock, whatever state it is in, and dies with it.
fn heir(name: &str) {
    let lock = SharedLock::open(name).unwrap();
    let guard = lock.lock_ignoring_poison().unwrap();
    say(if LockGuard::is_poisoned(&guard) { "inherited" } else { "clean" });
    ready_to_die();
}

// tst-robust1, 3 and 4: lock, trylock, timedlock after the owner's death, by a process and by a thread.

#[test]
fn a_killed_process_is_seen_by_lock_try_lock_and_timed_lock() {
    for (way, take) in WAYS {
        let name = Scratch::new("killed");
        let lock = SharedLock::create(&name).unwrap();
        for round in 0..2 {
            let holder = spawn("hold", &name);
            holder.expect("ready");
            assert!(matches!(lock.try_lock(), Err(LockError::WouldBlock { .. })));
            holder.kill();
            assert!(is_poisoned(take(&lock)), "{way}, round {round}");
            repair(&lock);
            assert!(take(&lock).is_ok(), "{way}, round {round}: after repair");
        }
    }
}

#[test]
fn a_thread_that_ends_with_a_leaked_guard_is_seen_by_lock_try_lock_and_timed_lock() {
    if !support::reports_ends_of_threads() {
        return;
    }
    for (way, take) in WAYS {
        let name = Scratch::new("ended");
        let lock = SharedLock::create(&name).unwrap();
        for round in 0..5 {
            // `join` returns after the kernel has walked the thread's list.
            thread::scope(|scope| {
                scope.spawn(|| std::mem::forget(lock.lock().unwrap())).join().unwrap();
            });
            assert!(is_poisoned(take(&lock)), "{way}, round {round}");
            repair(&lock);
        }
    }
}

#[test]
fn a_death_is_seen_by_those_who_wait_already() {
    for (way, take) in WAYS.into_iter().filter(|(way, _)| *way != "try_lock") {
        let name = Scratch::new("waiting");
        let _lock = SharedLock::create(&name).unwrap();
        let holder = spawn("hold", &name);
        holder.expect("ready");
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let lock = SharedLock::open(&name).unwrap();
                let (is_about_to_wait, tid) = std::sync::mpsc::channel();
                let waiter = thread::spawn(move || {
                    is_about_to_wait.send(own_tid()).unwrap();
                    is_poisoned(take(&lock))
                });
                let tid = tid.recv().unwrap();
                until("the waiter's sleep", || asleep(tid));
                waiter
            })
            .collect();
        let start = Stopwatch::start();
        holder.kill();
        for waiter in waiters {
            assert!(within_limit("a waiter", move || waiter.join().unwrap()), "{way}");
        }
        start.assert_nobody_waited_for_the_heartbeat();
    }
}

// tst-robust1 and 2: two locked at once.

#[test]
fn everything_that_the_dead_held_is_reported_by_its_kind() {
    let family = Family::new("both");
    let lock = SharedLock::create(&family.member(0)).unwrap();
    let value = SharedValue::create(&family.member(1), 7u64).unwrap();
    let array = SharedArray::create_from(&family.member(2), &[7u64; 2]).unwrap();
    let holder = spawn("hold-both", family.name());
    holder.expect("ready");
    holder.kill();
    assert!(is_poisoned(lock.lock()) && is_poisoned(array.lock()));
    assert_eq!(*value.lock().unwrap(), 7, "a value is never poisoned, and shows the last commit");
    assert_eq!(array.lock_recover(|data| data[0] = 7).unwrap()[0], 7);
    repair(&lock);
}

#[test]
fn deaths_in_three_generations_poison_until_somebody_repairs() {
    let name = Scratch::new("generations");
    let lock = SharedLock::create(&name).unwrap();
    let mut holder = spawn("hold", &name);
    holder.expect("ready");
    for generation in 1..=3 {
        // The next one waits already when the holder dies, gets the lock and dies in turn.
        let next = spawn("heir", &name);
        until_it_waits(&next);
        std::mem::replace(&mut holder, next).kill();
        holder.expect("inherited");
        holder.expect("ready");
        assert!(lock.is_poisoned(), "generation {generation}");
    }
    holder.kill();
    assert!(is_poisoned(lock.lock()));
    repair(&lock);
    assert!(lock.lock().is_ok() && !lock.is_poisoned());
}

// tst-robust2, turned around: what POSIX makes ENOTRECOVERABLE for ever stays usable here.

#[test]
fn recovered_without_repair_stays_poisoned_and_usable() {
    let name = Scratch::new("unrepaired");
    let lock = SharedLock::create(&name).unwrap();
    let holder = spawn("hold", &name);
    holder.expect("ready");
    holder.kill();
    for _ in 0..3 {
        let guard = lock.lock_ignoring_poison().unwrap();
        assert!(LockGuard::is_poisoned(&guard));
        drop(guard);
        assert!(is_poisoned(lock.lock()) && is_poisoned(lock.try_lock()) && is_poisoned(lock.try_lock_for(SHORT)));
        assert!(lock.is_poisoned() && SegmentInfo::of(&name).unwrap().is_poisoned());
    }
    let another = spawn("heir", &name);
    another.expect("inherited");
    another.expect("ready");
    another.kill();
    repair(&lock);
    assert!(lock.lock().is_ok());
}

// tst-robust8: a hundred mutexes, nine threads, five rounds.

const LOCKS: usize = 100;
const THREADS: usize = 9;
/// The first of the hundred: each thread holds four of these at its death, the others come and go.
const KEPT: usize = 4 * THREADS;

fn nine_threads(family: &str) {
    let arrays: Vec<_> = (0..LOCKS).map(|which| SharedArray::<u64, 2>::open(&member(family, which)).unwrap()).collect();
    let started = std::sync::Barrier::new(THREADS + 1);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (arrays, started) = (&arrays, &started);
            scope.spawn(move || {
                let mut random = Random::new(std::process::id() as u64 * 16 + thread as u64);
                let _kept: Vec<_> = (0..KEPT / THREADS).map(|i| arrays[i * THREADS + thread].lock().unwrap()).collect();
                started.wait();
                let mut held = Vec::new();
                loop {
                    if held.len() == 8 {
                        let index = random.below(held.len());
                        let mut guard: robust_shm::ArrayGuard<'_, u64, 2> = held.swap_remove(index);
                        guard[0] += 1;
                        guard[1] += 1;
                    }
                    // Whoever holds something does not wait: the order is random.
                    let array = &arrays[KEPT + random.below(LOCKS - KEPT)];
                    match array.try_lock() {
                        Ok(guard) => held.push(guard),
                        Err(LockError::WouldBlock { .. }) if held.is_empty() => held.push(array.lock().unwrap()),
                        Err(LockError::WouldBlock { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
        started.wait();
        ready_to_die();
    });
}

#[test]
fn nine_threads_killed_among_a_hundred_locks_leave_each_of_them_usable() {
    let family = Family::new("hundred");
    let arrays: Vec<_> =
        (0..LOCKS).map(|which| SharedArray::<u64, 2>::create(&family.member(which)).unwrap()).collect();
    for round in 0..5 {
        let victim = spawn("nine-threads", family.name());
        victim.expect("ready");
        let is_changed = |array: &SharedArray<u64, 2>| array.try_lock().is_ok_and(|guard| guard[0] > 0);
        until("the first change", || arrays[KEPT..].iter().any(is_changed).then_some(()));
        thread::sleep(Duration::from_millis(30 + 7 * round));
        victim.kill();
        let mut poisoned = 0;
        for (which, array) in arrays.iter().enumerate() {
            match array.try_lock() {
                Ok(guard) => {
                    assert!(which >= KEPT, "lock {which} was held");
                    assert_eq!(guard[0], guard[1], "changed by halves, and not poisoned");
                }
                Err(LockError::Poisoned { .. }) => {
                    poisoned += 1;
                    drop(array.lock_recover(|data| data[1] = data[0]).unwrap());
                }
                Err(error) => panic!("round {round}, lock {which}: {error}"),
            }
        }
        assert!((KEPT..=KEPT + 8 * THREADS).contains(&poisoned), "{poisoned} of {LOCKS}");
        assert!(arrays.iter().all(|array| array.try_lock().is_ok()));
    }
}

// tst-robust9 and 10: a timeout while the owner lives.

fn impatient(name: &str) {
    let lock = SharedLock::open(name).unwrap();
    for _ in 0..200 {
        assert!(matches!(lock.try_lock_for(Duration::from_micros(200)), Err(LockError::TimedOut { .. })));
    }
    say("gave up");
    pause();
    let guard = lock.lock().unwrap();
    say("got it");
    drop(guard);
}

#[test]
fn a_timeout_on_a_live_owner_is_neither_early_nor_late_and_leaves_the_lock_working() {
    let name = Scratch::new("live-owner");
    let lock = SharedLock::create(&name).unwrap();
    let holder = spawn("hold", &name);
    holder.expect("ready");
    for timeout in [0, 1, 20, 150].map(Duration::from_millis) {
        let start = Instant::now();
        assert!(matches!(lock.try_lock_for(timeout), Err(LockError::TimedOut { .. })));
        let taken = start.elapsed();
        assert!(taken >= timeout && taken < timeout + Duration::from_secs(5), "{taken:?} for {timeout:?}");
        let start = Instant::now();
        assert!(matches!(lock.try_lock_until(start + timeout), Err(LockError::TimedOut { .. })));
        let taken = start.elapsed();
        assert!(taken >= timeout && taken < timeout + Duration::from_secs(5), "{taken:?} for {timeout:?}");
    }
    holder.kill();
    repair(&lock);
    // A timeout leaves nothing in this thread's robust list that the next lock would trip over.
    for _ in 0..1_000 {
        drop(lock.lock().unwrap());
    }
}

#[test]
fn those_who_timed_out_can_come_back_and_can_be_killed() {
    let name = Scratch::new("impatient");
    let lock = SharedLock::create(&name).unwrap();
    let guard = lock.lock().unwrap();
    let mut children: Vec<_> = (0..3).map(|_| spawn("impatient", &name)).collect();
    children.iter().for_each(|child| child.expect("gave up"));
    children.remove(0).kill();
    assert!(matches!(lock.lock(), Err(LockError::WouldDeadlock { .. })), "still held by this thread");
    drop(guard);
    assert!(lock.lock().is_ok(), "the death of one who only timed out poisons nothing");
    for mut child in children {
        child.go_on();
        child.expect("got it");
        child.join();
    }
}

// tst-robust-fork: ownership is never inherited.

#[cfg(unix)]
fn fork_holds(name: &str) {
    let lock = SharedLock::open(name).unwrap();
    let guard = lock.lock().unwrap();
    for _ in 0..5 {
        fork(|| {
            assert!(matches!(lock.try_lock(), Err(LockError::WouldBlock { .. })));
            assert!(matches!(lock.try_lock_for(Duration::from_millis(20)), Err(LockError::TimedOut { .. })));
        })
        .join();
        // The child's end, with a copy of the guard, was not the end of an owner.
        assert!(matches!(lock.lock(), Err(LockError::WouldDeadlock { .. })));
    }
    drop(guard);
    fork(|| std::mem::forget(lock.lock().unwrap())).join();
    assert!(is_poisoned(lock.lock()), "a child that dies with a lock of its own is an owner that died");
    repair(&lock);
}

/// The parent is killed with the lock; its child, which has a copy of the guard, gets the lock as anybody would.
#[cfg(unix)]
fn fork_dies(name: &str) {
    let lock = SharedLock::open(name).unwrap();
    // In options, so that the closure moves nothing out of the parent.
    let mut guard = Some(lock.lock().unwrap());
    let (mut from_parent, to_child) = std::io::pipe().unwrap();
    let mut to_child = Some(to_child);
    let child = fork(|| {
        drop(to_child.take());
        say("ready");
        let _ = std::io::Read::read(&mut from_parent, &mut [0]); // ends with the parent
        let death_was_seen = is_poisoned(lock.lock());
        drop(guard.take()); // belongs to nobody any more
        repair(&lock);
        say(if death_was_seen { "poisoned" } else { "not poisoned" });
    });
    child.forget();
    pause();
    std::process::abort();
}

#[cfg(unix)]
#[test]
fn a_fork_passes_no_ownership_on() {
    let name = Scratch::new("fork");
    let lock = SharedLock::create(&name).unwrap();
    spawn("fork-holds", &name).join();
    assert!(lock.lock().is_ok());
}

#[cfg(unix)]
#[test]
fn a_child_sees_the_death_of_the_parent_that_held_the_lock_at_the_fork() {
    let name = Scratch::new("fork-dies");
    let lock = SharedLock::create(&name).unwrap();
    let mut parent = spawn("fork-dies", &name);
    parent.expect("ready");
    parent.signal(libc::SIGKILL);
    parent.wait_for_end();
    parent.expect("poisoned");
    until("the child", || lock.try_lock().ok().map(drop));
}
