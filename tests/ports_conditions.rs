//! Others' cases of conditions and semaphores, asked of this crate's: CPython's `_TestCondition` and `_TestSemaphore`, glibc's
//! conditions with robust mutexes (nptl `tst-robust7` and `8`, `tst-cond22`), Boost's `condition_test_template` and
//! `semaphore_test_template`.
#![allow(unsafe_code)]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use robust_shm::{LockError, LockKind, SharedArray, SharedLock, SharedSemaphore, SharedValue};
use support::{Body, LIMIT, Role, Scratch, play, ready_to_die, say, spawn, until, until_it_waits};

const ROLES: &[(&str, Body)] = &[
    ("waits", |name| waits(name, None)),
    ("waits for a moment", |name| waits(name, Some(MOMENT))),
    ("waits for zero", waits_for_zero),
    ("waits for four in vain", waits_for_four_in_vain),
    ("notifies later", notifies_later),
    ("waits and dies", waits_and_dies),
    ("notifies and dies", notifies_and_dies),
    ("waits for an item", waits_for_an_item),
    ("sends", |name| send(&Queue::open(name).unwrap(), true, ITEMS)),
    ("receives", |name| receive(&Queue::open(name).unwrap(), false, ITEMS)),
];

#[test]
fn child() {
    play(ROLES);
}

const MOMENT: Duration = Duration::from_millis(30);

/// The kinds with which one can wait.
fn kinds() -> impl Iterator<Item = LockKind> {
    [LockKind::Futex, LockKind::File].into_iter().filter(|kind| kind.is_available())
}

/// Python's `Condition`: a lock that has one. And how many have woken.
fn condition(kind: LockKind, name: &str) -> (SharedLock, SharedValue<usize>) {
    let woken = SharedValue::options().lock_kind(kind).create(&woken_of(name), 0).unwrap();
    (SharedLock::options().lock_kind(kind).create(name).unwrap(), woken)
}

fn woken_of(name: &str) -> String {
    format!("{name}-woken")
}

/// All of that name, which go at the end.
struct Names(Scratch, #[expect(dead_code, reason = "it goes at the end")] Scratch);

impl Names {
    fn new(prefix: &str) -> Self {
        let name = Scratch::new(prefix);
        let woken = Scratch(woken_of(&name));
        Self(name, woken)
    }
}

impl std::ops::Deref for Names {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

// _TestCondition

/// Says that it sleeps, as long as it has the lock: so whoever has the lock then finds it asleep.
fn waits(name: &str, timeout: Option<Duration>) {
    let (lock, woken) = (SharedLock::open(name).unwrap(), SharedValue::<usize>::open(&woken_of(name)).unwrap());
    wait_and_count(&lock, &woken, timeout, || say("sleeps"));
    say("has woken");
}

fn wait_and_count(lock: &SharedLock, woken: &SharedValue<usize>, timeout: Option<Duration>, sleeps: impl FnOnce()) {
    let guard = lock.lock().unwrap();
    sleeps();
    let guard = match timeout {
        None => lock.condvar().wait(guard).unwrap(),
        Some(timeout) => {
            let (guard, wait) = lock.condvar().wait_for(guard, timeout).unwrap();
            assert!(wait.timed_out());
            guard
        }
    };
    woken.update(|woken| *woken += 1).unwrap();
    drop(guard);
}

/// So many processes, and as many threads, wait while the body runs.
fn with_sleepers(
    (lock, woken): &(SharedLock, SharedValue<usize>),
    name: &str,
    (processes, threads): (usize, usize),
    body: impl FnOnce(),
) {
    let asleep = AtomicUsize::new(0);
    let sleepers: Vec<Role> = (0..processes).map(|_| spawn("waits", name)).collect();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| wait_and_count(lock, woken, None, || _ = asleep.fetch_add(1, SeqCst)));
        }
        sleepers.iter().for_each(|sleeper| sleeper.expect("sleeps"));
        until("the sleep of all threads", || (asleep.load(SeqCst) == threads).then_some(()));
        body();
    });
    for sleeper in sleepers {
        sleeper.expect("has woken");
        sleeper.join();
    }
}

fn until_woken(woken: &SharedValue<usize>, count: usize) {
    until("so many to wake", || (woken.get() == count).then_some(()));
    // Long enough for those whom no kernel tells of anything to look by themselves: they go on sleeping.
    thread::sleep(10 * MOMENT);
    assert_eq!(woken.get(), count, "more than were notified");
}

fn notify(lock: &SharedLock, count: usize) {
    let guard = lock.lock().unwrap();
    (0..count).for_each(|_| lock.condvar().notify_one(&guard));
}

#[test]
#[cfg_attr(any(robust_shm_unix, not(target_os = "linux")), ignore = "no kernel knows there who sleeps")]
fn notify_wakes_one_whether_process_or_thread() {
    for kind in kinds() {
        let name = Names::new("notify");
        let both = condition(kind, &name);
        with_sleepers(&both, &name, (1, 1), || {
            until_woken(&both.1, 0);
            notify(&both.0, 1);
            until_woken(&both.1, 1);
            notify(&both.0, 1);
            until_woken(&both.1, 2);
        });
    }
}

#[test]
fn notify_all_wakes_those_who_sleep_also_after_others_whose_time_was_up() {
    for kind in kinds() {
        let name = Names::new("notify-all");
        let both = condition(kind, &name);
        let impatient: Vec<Role> = (0..3).map(|_| spawn("waits for a moment", &name)).collect();
        for sleeper in impatient {
            sleeper.expect("sleeps");
            sleeper.expect("has woken");
            sleeper.join();
        }
        until_woken(&both.1, 3);
        with_sleepers(&both, &name, (3, 3), || {
            until_woken(&both.1, 3);
            both.0.condvar().notify_all(&both.0.lock().unwrap());
            until_woken(&both.1, 9);
        });
    }
}

/// `notify(n)` is as many notifications of one under one lock.
#[test]
#[cfg_attr(any(robust_shm_unix, not(target_os = "linux")), ignore = "no kernel knows there who sleeps")]
fn notify_n_wakes_so_many_and_no_more_and_the_rest_is_not_kept() {
    for kind in kinds() {
        let name = Names::new("notify-n");
        let both = condition(kind, &name);
        with_sleepers(&both, &name, (3, 3), || {
            notify(&both.0, 2);
            until_woken(&both.1, 2);
            notify(&both.0, 3);
            until_woken(&both.1, 5);
            notify(&both.0, 5); // one sleeps
            until_woken(&both.1, 6);
        });
        let guard = both.0.lock().unwrap();
        let (guard, wait) = both.0.condvar().wait_for(guard, MOMENT).unwrap();
        assert!(wait.timed_out(), "what nobody waited for was kept");
        drop(guard);
    }
}

#[test]
fn a_wait_of_so_long_takes_as_long_and_gives_the_lock_back() {
    for kind in kinds() {
        let name = Names::new("timeout");
        let (lock, _woken) = condition(kind, &name);
        let start = Instant::now();
        let (guard, wait) = lock.condvar().wait_for(lock.lock().unwrap(), MOMENT).unwrap();
        assert!(wait.timed_out() && start.elapsed() >= MOMENT);
        thread::scope(|scope| scope.spawn(|| assert!(lock.try_lock().is_err())).join().unwrap());
        drop(guard);
    }
}

type State = SharedArray<i32, 1>;

fn waits_for_zero(name: &str) {
    let state = State::open(name).unwrap();
    let guard = state.lock().unwrap();
    say("has come");
    let mut guard = state.condvar().wait_while(guard, |state| state[0] != 0).unwrap();
    guard[0] = 4;
    state.condvar().notify_one(&guard);
}

#[test]
fn waitfor_ends_when_it_is_so() {
    for kind in kinds() {
        let name = Scratch::new("waitfor");
        let state = State::options().lock_kind(kind).create_from(&name, &[-1]).unwrap();
        let other = spawn("waits for zero", &name);
        other.expect("has come");
        let mut guard = state.lock().unwrap();
        guard[0] = 0;
        state.condvar().notify_one(&guard);
        let guard = state.condvar().wait_while(guard, |state| state[0] != 4).unwrap();
        assert_eq!(guard[0], 4);
        drop(guard);
        other.join();
    }
}

fn waits_for_four_in_vain(name: &str) {
    let state = State::open(name).unwrap();
    let guard = state.lock().unwrap();
    say("has come");
    let start = Instant::now();
    let (guard, wait) = state.condvar().wait_while_for(guard, MOMENT, |state| state[0] != 4).unwrap();
    assert!(wait.timed_out() && start.elapsed() >= MOMENT && guard[0] < 4);
}

/// Each notification ends a sleep, and none of them starts the time anew.
#[test]
fn waitfor_timeout_is_that_of_the_whole_wait() {
    for kind in kinds() {
        let name = Scratch::new("waitfor-timeout");
        let state = State::options().lock_kind(kind).create(&name).unwrap();
        let other = spawn("waits for four in vain", &name);
        other.expect("has come");
        for _ in 0..3 {
            let mut guard = state.lock().unwrap();
            guard[0] += 1;
            state.condvar().notify_one(&guard);
            drop(guard);
            thread::sleep(MOMENT / 10);
        }
        other.join();
        assert_eq!(state.get(0).unwrap(), 3);
    }
}

fn notifies_later(name: &str) {
    let lock = SharedLock::open(name).unwrap();
    // Signals, which end no wait; then a notification.
    for _ in 0..3 {
        thread::sleep(MOMENT / 10);
        #[cfg(unix)]
        // SAFETY: sends a signal that has a handler to the process that waits for this one.
        unsafe {
            libc::kill(std::os::unix::process::parent_id().cast_signed(), libc::SIGUSR1)
        };
    }
    lock.condvar().notify_one(&lock.lock().unwrap());
}

#[cfg(unix)]
extern "C" fn count_signal(_: libc::c_int) {
    SIGNALS.fetch_add(1, SeqCst);
}

#[cfg(unix)]
static SIGNALS: AtomicUsize = AtomicUsize::new(0);

/// `test_wait_result`, with signals in the middle.
#[test]
fn wait_says_whether_it_was_notified_or_its_time_was_up() {
    #[cfg(unix)]
    // SAFETY: a handler that adds to an atomic.
    unsafe {
        libc::signal(libc::SIGUSR1, count_signal as *const () as libc::sighandler_t)
    };
    for kind in kinds() {
        let name = Names::new("result");
        let (lock, _woken) = condition(kind, &name);
        #[cfg(unix)]
        let before = SIGNALS.load(SeqCst);
        let mut guard = lock.lock().unwrap();
        for timeout in [Duration::ZERO, MOMENT] {
            let (again, wait) = lock.condvar().wait_for(guard, timeout).unwrap();
            assert!(wait.timed_out());
            guard = again;
        }
        let other = spawn("notifies later", &name);
        let (guard, wait) = lock.condvar().wait_for(guard, LIMIT).unwrap();
        assert!(!wait.timed_out());
        #[cfg(unix)]
        assert!(SIGNALS.load(SeqCst) > before, "came back at a signal, or there was none");
        drop(guard);
        other.join();
    }
}

// _TestSemaphore, _TestBoundedSemaphore

#[test]
fn a_semaphore_counts_down_and_up_and_not_beyond() {
    for kind in kinds() {
        let name = Scratch::new("semaphore");
        let semaphore = SharedSemaphore::options().lock_kind(kind).create(&name, 2).unwrap();
        assert_eq!(semaphore.available(), 2);
        let first = semaphore.acquire().unwrap();
        assert_eq!(semaphore.available(), 1);
        let second = semaphore.acquire().unwrap();
        assert_eq!(semaphore.available(), 0);
        assert!(matches!(semaphore.try_acquire(), Err(LockError::WouldBlock { .. })));
        drop(first);
        assert_eq!(semaphore.available(), 1);
        drop(second);
        // What a bounded one raises ValueError for there is nothing to write for here.
        assert_eq!(semaphore.available(), semaphore.permits());
    }
}

#[test]
fn a_semaphore_that_has_none_is_waited_for_as_long_as_it_was_said() {
    for kind in kinds() {
        let name = Scratch::new("semaphore-timeout");
        let semaphore = SharedSemaphore::options().lock_kind(kind).create(&name, 1).unwrap();
        let taken = semaphore.acquire().unwrap();
        thread::scope(|scope| {
            let other = || {
                assert!(matches!(semaphore.try_acquire(), Err(LockError::WouldBlock { .. })));
                for timeout in [Duration::ZERO, MOMENT] {
                    let start = Instant::now();
                    let late = semaphore.try_acquire_for(timeout);
                    assert!(matches!(late, Err(LockError::TimedOut { .. })) && start.elapsed() >= timeout);
                }
            };
            scope.spawn(other).join().unwrap();
        });
        drop(taken);
        drop(semaphore.try_acquire_for(Duration::ZERO).unwrap());
    }
}

// tst-robust7: all who wait are told; the first one dies with the lock, and so does each of the others when it has heard of it.

fn waits_and_dies(name: &str) {
    let cells = State::open(name).unwrap();
    let guard = cells.lock().unwrap();
    say("sleeps");
    let guard = match cells.condvar().wait(guard) {
        Ok(guard) => {
            say("was notified");
            guard
        }
        Err(LockError::Poisoned { .. }) => {
            say("owner died");
            cells.lock_ignoring_poison().unwrap()
        }
        Err(error) => panic!("{error}"),
    };
    let _guard = guard;
    ready_to_die();
}

#[test]
fn the_death_of_one_who_was_notified_comes_out_of_the_waits_of_the_others() {
    const SLEEPERS: usize = 5;
    for kind in kinds() {
        let name = Scratch::new("robust7");
        let cells = State::options().lock_kind(kind).create(&name).unwrap();
        let mut sleepers: Vec<Role> = (0..SLEEPERS).map(|_| spawn("waits and dies", &name)).collect();
        sleepers.iter().for_each(|sleeper| sleeper.expect("sleeps"));
        cells.condvar().notify_all(&cells.lock().unwrap());
        let mut notified = 0;
        for _ in 0..SLEEPERS {
            // Whoever says that it is ready has the lock.
            let holder = until("one that has the lock", || {
                sleepers.iter().position(|sleeper| {
                    loop {
                        match sleeper.heard() {
                            support::Heard::Line(line) if line == "ready" => break true,
                            support::Heard::Line(line) => notified += usize::from(line == "was notified"),
                            _ => break false,
                        }
                    }
                })
            });
            sleepers.remove(holder).kill();
        }
        assert_eq!(notified, 1, "the others were to hear of a death");
        assert!(matches!(cells.lock(), Err(LockError::Poisoned { .. })));
        drop(cells.lock_recover(|_| {}).unwrap());
        drop(cells.lock().unwrap());
    }
}

// tst-robust8 kills those who use a lock; here, one who notifies, at the moment when he has and holds the lock.

fn notifies_and_dies(name: &str) {
    let cells = State::open(name).unwrap();
    let mut guard = cells.lock().unwrap();
    guard[0] = 1;
    cells.condvar().notify_one(&guard);
    ready_to_die();
}

fn waits_for_an_item(name: &str) {
    let cells = State::open(name).unwrap();
    let guard = cells.lock().unwrap();
    say("sleeps");
    match cells.condvar().wait_while(guard, |cells| cells[0] == 0) {
        Ok(_) => say("has it"),
        Err(LockError::Poisoned { .. }) => say("owner died"),
        Err(error) => panic!("{error}"),
    }
    support::pause();
}

#[test]
fn the_death_of_one_who_notifies_comes_out_of_all_waits_and_that_of_one_who_waits_out_of_none() {
    for kind in kinds() {
        let name = Scratch::new("robust8");
        let cells = State::options().lock_kind(kind).create(&name).unwrap();
        let sleepers: Vec<Role> = (0..4).map(|_| spawn("waits for an item", &name)).collect();
        for sleeper in &sleepers {
            sleeper.expect("sleeps");
            until_it_waits(sleeper);
        }
        let mut sleepers = sleepers.into_iter();
        sleepers.next().unwrap().kill();
        assert!(!cells.is_poisoned());
        drop(cells.lock().unwrap());
        let notifier = spawn("notifies and dies", &name);
        notifier.expect("ready");
        notifier.kill();
        for sleeper in sleepers {
            sleeper.expect("owner died");
        }
        assert_eq!(cells.lock_recover(|cells| cells[0] += 10).unwrap()[0], 11);
    }
}

// tst-cond22: one who waits is notified and ended before it has the lock; the next one is not disturbed by that.

#[test]
fn one_who_ends_after_it_was_notified_leaves_the_condition_in_order() {
    for kind in kinds() {
        let name = Scratch::new("cond22");
        let cells = State::options().lock_kind(kind).create(&name).unwrap();
        for _ in 0..5 {
            let first = spawn("waits for an item", &name);
            first.expect("sleeps");
            let guard = cells.lock().unwrap();
            cells.condvar().notify_one(&guard);
            first.kill(); // it cannot have the lock yet
            drop(guard);
            let second = spawn("waits for an item", &name);
            second.expect("sleeps");
            let mut guard = cells.lock().unwrap();
            guard[0] = 1;
            cells.condvar().notify_one(&guard);
            drop(guard);
            second.expect("has it");
            cells.set(0, 0).unwrap();
        }
    }
}

// condition_test_template: a queue of one place between as many senders and receivers, by one notification each or for all.

const ITEMS: u64 = 200;
/// What is in the queue, how many were sent, and how many were received.
type Queue = SharedArray<u64, 3>;

fn send(queue: &Queue, to_all: bool, items: u64) {
    for _ in 0..items {
        let mut guard = queue.condvar_at(1).wait_while(queue.lock().unwrap(), |queue| queue[0] == 1).unwrap();
        guard[0] = 1;
        guard[1] += 1;
        if to_all { queue.condvar().notify_all(&guard) } else { queue.condvar().notify_one(&guard) }
    }
}

fn receive(queue: &Queue, to_all: bool, items: u64) {
    for _ in 0..items {
        let mut guard = queue.condvar().wait_while(queue.lock().unwrap(), |queue| queue[0] == 0).unwrap();
        guard[0] = 0;
        guard[2] += 1;
        if to_all { queue.condvar_at(1).notify_all(&guard) } else { queue.condvar_at(1).notify_one(&guard) }
    }
}

#[test]
fn a_queue_with_one_place_loses_nothing_by_notifications_of_one_or_of_all() {
    const SENDERS: u64 = 3;
    for kind in kinds() {
        let name = Scratch::new("queue");
        let queue = Queue::options().lock_kind(kind).create(&name).unwrap();
        let others: Vec<Role> =
            (0..2 * SENDERS).map(|which| spawn(["sends", "receives"][which as usize % 2], &name)).collect();
        thread::scope(|scope| {
            for _ in 0..SENDERS {
                scope.spawn(|| send(&queue, false, ITEMS));
                scope.spawn(|| receive(&queue, true, ITEMS));
            }
        });
        others.into_iter().for_each(Role::join);
        assert_eq!(queue.to_vec().unwrap(), [0, 2 * SENDERS * ITEMS, 2 * SENDERS * ITEMS]);
    }
}
