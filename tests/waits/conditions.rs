//! Waiting for the conditions of a lock.

use std::time::{Duration, Instant};

use robust_shm::{LockError, LockKind, SharedArray, SharedCondvar, SharedLock, SharedSlice};

use crate::deaths::{is_poisoned, robust_list_is_empty};
#[cfg(unix)]
use crate::support::fork;
use crate::support::{
    Body, COST_OF_A_PROCESS, LIMIT, Role, Scratch, check, panic_of, pause, say, spawn, spawn_of, until, until_it_waits,
};
use crate::{kinds, wait_line, word};

type Cells = SharedArray<u64, 4>;

pub(crate) const ROLES: &[(&str, Body)] = &[
    ("takes", |name| takes(name, false)),
    ("takes all", |name| takes(name, true)),
    ("puts and dies", |name| {
        let cells = Cells::open(name).unwrap();
        let mut guard = cells.lock().unwrap();
        guard[0] += 1;
        cells.condvar().notify_one(&guard);
        say("has put");
        pause();
    }),
    ("reads and dies", |name| {
        let lock = SharedLock::open(name).unwrap();
        let _guard = lock.lock().unwrap();
        say("holds");
        pause();
    }),
    ("waits on a lock", |name| {
        let lock = SharedLock::open(name).unwrap();
        say("waits");
        match lock.condvar().wait(lock.lock().unwrap()) {
            Ok(guard) => {
                say("has the lock");
                drop(guard);
            }
            Err(error) => say(if is_poisoned::<()>(Err(error)) { "poisoned" } else { "failed" }),
        }
        assert!(robust_list_is_empty());
        pause();
    }),
    #[cfg(unix)]
    ("gives a copy", gives_a_copy),
];

/// Takes what is there, one at a time, and says so.
fn takes(name: &str, at_once: bool) {
    let cells = Cells::open(name).unwrap();
    say("waits");
    loop {
        let guard = cells.lock();
        match guard.and_then(|guard| cells.condvar().wait_while(guard, |cells| cells[0] == 0)) {
            Ok(mut guard) => {
                guard[0] = if at_once { 0 } else { guard[0] - 1 };
                drop(guard);
                say("has taken");
            }
            Err(error) => {
                assert!(is_poisoned::<()>(Err(error)));
                say("poisoned");
                drop(cells.lock_recover(|cells| cells.fill(0)).unwrap());
            }
        }
    }
}

fn create(name: &str, kind: LockKind) -> Cells {
    Cells::options().lock_kind(kind).create(name).unwrap()
}

fn waiters(count: usize, kind: LockKind, role: &str, name: &str) -> Vec<Role> {
    let all: Vec<_> = (0..count).map(|_| spawn_of(kind, role, name)).collect();
    all.iter().for_each(|waiter| waiter.expect("waits"));
    all.iter().for_each(until_it_waits);
    all
}

fn put(cells: &Cells, count: u64, notify: impl FnOnce(SharedCondvar<'_>, &robust_shm::ArrayGuard<'_, u64, 4>)) {
    let mut guard = cells.lock().unwrap();
    guard[0] += count;
    notify(cells.condvar(), &guard);
}

fn left(cells: &Cells) -> u64 {
    cells.get(0).unwrap()
}

#[test]
fn who_is_notified_goes_on_and_the_others_sleep() {
    for kind in kinds() {
        let name = Scratch::new("one");
        let cells = create(&name, kind);
        let all = waiters(3, kind, "takes", &name);
        for _ in 0..10 {
            put(&cells, 1, |condition, guard| condition.notify_one(guard));
            until("one to take it", || (left(&cells) == 0).then_some(()));
        }
        put(&cells, 3, |condition, guard| condition.notify_all(guard));
        until("all to take theirs", || (left(&cells) == 0).then_some(()));
        drop(all);
    }
}

#[test]
fn each_condition_is_its_own() {
    let name = Scratch::new("three");
    let cells = create(&name, LockKind::default());
    std::thread::scope(|scope| {
        let waiters = [0, 1, 2].map(|which| {
            let cells = &cells;
            scope.spawn(move || {
                let condition = cells.condvar_at(which);
                let guard = condition.wait_while(cells.lock().unwrap(), |cells| cells[which] == 0);
                guard.unwrap()[which]
            })
        });
        until("three that wait", || [36, 48, 60].iter().all(|at| wait_line(&name, *at) == 1).then_some(()));
        for which in 0..3 {
            let mut guard = cells.lock().unwrap();
            guard[which] = 7;
            cells.condvar_at(which).notify_one(&guard);
            assert_eq!(wait_line(&name, 32 + 12 * which), 1, "one credit");
        }
        waiters.into_iter().for_each(|waiter| assert_eq!(waiter.join().unwrap(), 7));
    });
    assert!([32, 36, 44, 48, 56, 60].iter().all(|at| wait_line(&name, *at) == 0));
    until("a lock without sleepers", || {
        drop(cells.lock().unwrap());
        (word(&name) == [0, 0]).then_some(())
    });
}

#[test]
fn a_notification_without_waiters_leaves_nothing() {
    let name = Scratch::new("nobody");
    let lock = SharedLock::create(&name).unwrap();
    let guard = lock.lock().unwrap();
    lock.condvar().notify_one(&guard);
    lock.condvar().notify_all(&guard);
    let (guard, timeout) = lock.condvar().wait_for(guard, Duration::from_millis(20)).unwrap();
    assert!(timeout.timed_out());
    drop(guard);
    assert!(robust_list_is_empty());
    drop(lock.lock().unwrap());
    assert_eq!(word(&name), [0, 0]);
}

#[test]
fn a_deadline_gives_the_guard_back() {
    for kind in kinds() {
        let name = Scratch::new("timed");
        let cells = create(&name, kind);
        let (start, wait) = (Instant::now(), Duration::from_millis(20));
        let guard = cells.lock().unwrap();
        let (guard, timeout) = cells.condvar().wait_until(guard, start + wait).unwrap();
        assert!(timeout.timed_out() && start.elapsed() >= wait);
        let (guard, timeout) = cells.condvar().wait_while_for(guard, wait, |cells| cells[0] == 0).unwrap();
        assert!(timeout.timed_out());
        let (guard, timeout) = cells.condvar().wait_while_until(guard, start, |cells| cells[0] > 0).unwrap();
        assert!(!timeout.timed_out());
        let (mut guard, timeout) = cells.condvar().wait_for(guard, Duration::ZERO).unwrap();
        assert!(timeout.timed_out());
        guard[1] = 3;
        assert!(matches!(cells.try_lock(), Err(LockError::WouldBlock { .. })));
        drop(guard);
        assert_eq!(cells.get(1).unwrap(), 3);
        assert!(robust_list_is_empty() && wait_line(&name, 36) == 0);
    }
}

/// The lock is free meanwhile, and nothing is dirty: the death of one who waits poisons nothing.
#[test]
fn one_who_is_killed_as_it_waits_leaves_its_notification_to_another() {
    for kind in kinds() {
        let name = Scratch::new("killed");
        let cells = create(&name, kind);
        let (rounds, mut found_poisoned) = (20 / COST_OF_A_PROCESS, 0);
        for _ in 0..rounds {
            let mut all = waiters(2, kind, "takes", &name);
            put(&cells, 1, |condition, guard| condition.notify_one(guard));
            all.remove(0).kill();
            let mut is_poisoned_meanwhile = false;
            until("the other one to take it", || match cells.get(0) {
                Ok(left) => (left == 0).then_some(()),
                // It had come as far as to take it. The other one repairs.
                Err(error) => {
                    is_poisoned_meanwhile = is_poisoned::<()>(Err(error));
                    assert!(is_poisoned_meanwhile);
                    None
                }
            });
            found_poisoned += usize::from(is_poisoned_meanwhile);
            put(&cells, 1, |condition, guard| condition.notify_one(guard));
            until("the other one to take it", || (left(&cells) == 0).then_some(()));
        }
        assert!(!cells.is_poisoned() && found_poisoned <= rounds / 2, "{found_poisoned} of {rounds}");
    }
}

#[test]
fn one_who_waits_repairs_what_a_dead_holder_has_left() {
    for kind in kinds() {
        let name = Scratch::new("poison");
        let cells = create(&name, kind);
        let all = waiters(4, kind, "takes", &name);
        let writer = spawn_of(kind, "puts and dies", &name);
        writer.expect("has put");
        writer.kill();
        until("a repair", || (!cells.is_poisoned()).then_some(()));
        until("all to sleep again", || {
            all.iter().all(|waiter| crate::support::asleep(waiter.id() as i32).is_some()).then_some(())
        });
    }
}

#[test]
fn all_of_sixteen_have_the_poison() {
    for kind in kinds() {
        let name = Scratch::new("sixteen");
        let lock = SharedLock::options().lock_kind(kind).create(&name).unwrap();
        let all = waiters(16, kind, "waits on a lock", &name);
        let holder = spawn_of(kind, "reads and dies", &name);
        holder.expect("holds");
        holder.kill();
        all.iter().for_each(|waiter| waiter.expect("poisoned"));
        assert!(lock.is_poisoned());
    }
}

#[test]
fn where_nothing_is_poisoned_all_are_woken() {
    for kind in kinds() {
        let name = Scratch::new("clean");
        let _lock = SharedLock::options().lock_kind(kind).poison(false).create(&name).unwrap();
        let all = waiters(5, kind, "waits on a lock", &name);
        let holder = spawn_of(kind, "reads and dies", &name);
        holder.expect("holds");
        holder.kill();
        all.iter().for_each(|waiter| waiter.expect("has the lock"));
    }
}

#[test]
fn after_poison_the_lock_is_not_held() {
    let name = Scratch::new("regardless");
    let cells = create(&name, LockKind::default());
    let writer = spawn("puts and dies", &name);
    writer.expect("has put");
    writer.kill();
    let guard = cells.lock_ignoring_poison().unwrap();
    assert!(is_poisoned(cells.condvar().wait_for(guard, Duration::from_millis(1))));
    assert!(robust_list_is_empty());
    drop(cells.lock_recover(|cells| cells.fill(0)).unwrap());
    assert!(cells.lock().is_ok());
}

#[test]
fn other_locks_stay_held() {
    for kind in kinds() {
        let (name, other) = (Scratch::new("among"), Scratch::new("others"));
        let cells = create(&name, kind);
        let others = [0, 1].map(|n| SharedLock::options().lock_kind(kind).create(&format!("{}.{n}", &*other)).unwrap());
        let first = others[0].lock().unwrap();
        let guard = cells.lock().unwrap();
        let last = others[1].lock().unwrap();
        let (guard, _) = cells.condvar().wait_for(guard, Duration::from_millis(1)).unwrap();
        let (guard, _) = cells.condvar().wait_for(guard, Duration::from_millis(1)).unwrap();
        for lock in &others {
            assert!(matches!(lock.try_lock(), Err(LockError::WouldBlock { .. })));
        }
        drop(first);
        drop(guard);
        drop(last);
        assert!(robust_list_is_empty());
        assert!(cells.try_lock().is_ok() && others.iter().all(|lock| lock.try_lock().is_ok()));
    }
}

#[test]
fn a_slice_and_an_array_are_one() {
    let name = Scratch::new("slice");
    let cells = create(&name, LockKind::default());
    let slice = SharedSlice::<u64>::open(&name).unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            // By the condition of one handle, with the guard of another.
            let guard = cells.condvar().wait_while(slice.lock().unwrap(), |cells| cells[3] == 0).unwrap();
            guard[3]
        });
        let mut guard = cells.lock().unwrap();
        guard[3] = 9;
        slice.condvar().notify_one(&guard);
        drop(guard);
        assert_eq!(waiter.join().unwrap(), 9);
    });
}

#[test]
fn a_guard_of_another_segment_is_a_mistake_of_the_program() {
    let (name, other) = (Scratch::new("mine"), Scratch::new("yours"));
    let (lock, stranger) = (SharedLock::create(&name).unwrap(), SharedLock::create(&other).unwrap());
    let (.., message) = panic_of(|| lock.condvar().notify_one(&stranger.lock().unwrap()));
    assert!(message.contains(&*name) && message.contains("the lock of another"), "{message}");
    panic_of(|| drop(lock.condvar().wait(stranger.lock().unwrap())));
    let (.., message) = panic_of(|| lock.condvar_at(3));
    assert!(message.contains("0, 1 and 2"), "{message}");
    drop(stranger.lock_recover(|| ()).unwrap());
    assert!(lock.try_lock().is_ok());
}

#[test]
fn with_an_os_mutex_waits_are_errors_and_notifying_does_nothing() {
    if !LockKind::OsMutex.is_available() {
        return; // it is no kind that anybody gets
    }
    let name = Scratch::new("os");
    let cells = create(&name, LockKind::OsMutex);
    put(&cells, 1, |condition, guard| condition.notify_all(guard));
    let error = cells.condvar().wait(cells.lock().unwrap()).unwrap_err();
    check(&error.into(), &name, &["OsMutex", "LockKind::Futex"]);
    assert_eq!(left(&cells), 1);
    assert!(cells.try_lock().is_ok());
}

#[cfg(unix)]
fn gives_a_copy(name: &str) {
    let cells = Cells::open(name).unwrap();
    let mut guard = Some(cells.lock().unwrap());
    fork(|| {
        let copy = guard.take().unwrap();
        cells.condvar().notify_all(&copy);
        let error = cells.condvar().wait(copy).unwrap_err();
        assert!(matches!(error, LockError::NotHeld { .. }), "{error:?}");
        assert!(matches!(cells.try_lock_for(Duration::from_millis(1)), Err(LockError::TimedOut { .. })));
    })
    .join();
    let (guard, timeout) = cells.condvar().wait_for(guard.take().unwrap(), Duration::from_millis(1)).unwrap();
    assert!(timeout.timed_out());
    drop(guard);
}

#[cfg(unix)]
#[test]
fn a_copy_in_a_forked_child_is_no_guard() {
    for kind in kinds() {
        let name = Scratch::new("copy");
        let cells = create(&name, kind);
        spawn_of(kind, "gives a copy", &name).join();
        assert!(cells.try_lock().is_ok());
    }
}

#[test]
#[cfg_attr(any(robust_shm_unix, not(target_os = "linux")), ignore = "no kernel knows there who sleeps")]
fn once_nobody_waits_any_more_the_lock_is_as_if_nobody_had() {
    let name = Scratch::new("quiet");
    let cells = create(&name, LockKind::default());
    for _ in 0..50 / COST_OF_A_PROCESS {
        let all = waiters(1, LockKind::default(), "takes", &name);
        put(&cells, 0, |condition, guard| condition.notify_one(guard)); // its credit is left, too
        all.into_iter().for_each(Role::kill);
    }
    until("a lock without sleepers", || {
        drop(cells.lock().unwrap());
        (word(&name) == [0, 0]).then_some(())
    });
    let _all = waiters(1, LockKind::default(), "takes all", &name);
    put(&cells, 5, |condition, guard| condition.notify_one(guard));
    until("it to be taken", || (left(&cells) == 0).then_some(()));
    assert!(LIMIT > Duration::ZERO);
}
