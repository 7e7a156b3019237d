//! Waiting for a change of a value.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use robust_shm::{LockError, LockKind, SharedValue};

#[cfg(unix)]
use crate::deaths::handle;
use crate::deaths::robust_list_is_empty;
use crate::support::{
    Body, COST_OF_A_PROCESS, FileExt, LIMIT, Scratch, check, kind, own_tid, path, pause, say, spawn, spawn_of, until,
    until_all_sleep, until_it_waits,
};
use crate::{kinds, wait_line, word};

pub(crate) const ROLES: &[(&str, Body)] = &[
    ("watches", |name| {
        let value = SharedValue::<u64>::open(name).unwrap();
        let mut seen = value.commits();
        say("waits");
        loop {
            say(value.wait_newer(&mut seen).unwrap());
        }
    }),
    ("waits for seven", |name| {
        let value = SharedValue::<u64>::open(name).unwrap();
        say("waits");
        say(value.wait_while(|n| *n != 7).unwrap());
        assert!(robust_list_is_empty());
        pause();
    }),
    ("holds a value", |name| {
        let value = SharedValue::<u64>::open(name).unwrap();
        let mut guard = value.lock().unwrap();
        *guard = 99;
        say("holds");
        pause();
        drop(guard);
    }),
    #[cfg(unix)]
    ("is signalled", |name| {
        let value = SharedValue::<u64>::open(name).unwrap();
        handle(libc::SIGUSR1, nothing_here);
        say(own_tid());
        say(value.wait_while(|n| *n != 7).unwrap());
    }),
    ("writes", |name| {
        let value = SharedValue::options().lock_kind(kind()).open_or_create(name, 0u64).unwrap();
        say("ready");
        pause();
        value.update(|n| *n += 1).unwrap();
    }),
];

#[cfg(unix)]
extern "C" fn nothing_here(_signal: libc::c_int) {}

fn create(name: &str, kind: LockKind) -> SharedValue<u64> {
    SharedValue::options().lock_kind(kind).create(name, 0).unwrap()
}

#[test]
fn whoever_watches_in_whatever_process_sees_each_commit_that_he_waits_for() {
    for kind in kinds() {
        let name = Scratch::new("watch");
        let value = create(&name, kind);
        let watchers: Vec<_> = (0..3).map(|_| spawn("watches", &name)).collect();
        watchers.iter().for_each(|watcher| watcher.expect("waits"));
        for n in 1..20u64 {
            watchers.iter().for_each(until_it_waits);
            value.set(n).unwrap();
            watchers.iter().for_each(|watcher| watcher.expect(&n.to_string()));
        }
    }
}

#[test]
fn waiting_ends_with_the_first_value_of_which_the_condition_is_false() {
    for kind in kinds() {
        let name = Scratch::new("while");
        let value = create(&name, kind);
        let waiter = spawn("waits for seven", &name);
        waiter.expect("waits");
        for n in [1, 6, 7] {
            until_it_waits(&waiter);
            value.set(n).unwrap();
        }
        waiter.expect("7");
    }
}

/// What is there already needs no lock: not even that of a process that is stopped.
#[test]
fn what_is_there_already_is_not_waited_for() {
    let name = Scratch::new("there");
    let value = create(&name, LockKind::default());
    let holder = spawn("holds a value", &name);
    holder.expect("holds");
    let mut seen = u64::MAX;
    assert_eq!(value.wait_newer(&mut seen).unwrap(), 0);
    assert_eq!(seen, 0);
    assert_eq!(value.wait_while(|n| *n > 0).unwrap(), 0);
    assert_eq!(value.wait_newer_for(&mut 7, Duration::ZERO).unwrap(), 0);
}

#[test]
fn a_time_that_is_up_is_told_with_what_was_waited_for() {
    for kind in kinds() {
        let name = Scratch::new("timed");
        let value = create(&name, kind);
        for timeout in [0, 20] {
            let (start, mut seen) = (Instant::now(), 0);
            let timeout = Duration::from_millis(timeout);
            let error = value.wait_newer_for(&mut seen, timeout).unwrap_err();
            assert!(matches!(error, LockError::TimedOut { holder: None, process: None, .. }), "{error:?}");
            check(&error.into(), &name, &["change of the value", "timed out", "try again"]);
            assert_eq!(seen, 0);
            assert!(value.wait_newer_until(&mut seen, start + timeout).is_err());
            assert!(value.wait_while_for(timeout, |n| *n == 0).is_err());
            assert!(value.wait_while_until(start + timeout, |n| *n == 0).is_err());
            assert!(start.elapsed() >= timeout * 2);
        }
        assert!(robust_list_is_empty());
        assert_eq!(wait_line(&name, 8), 0, "nobody watches any more");
    }
}

/// Also if the holder is stopped, and whether the deadline comes before the first sleep or behind it.
#[test]
fn a_deadline_is_kept_although_somebody_keeps_the_lock() {
    for kind in kinds() {
        let name = Scratch::new("kept");
        let value = create(&name, kind);
        let mut holder = spawn_of(kind, "holds a value", &name);
        holder.expect("holds");
        let start = Instant::now();
        let late = value.wait_newer_for(&mut 0, Duration::from_millis(50));
        assert!(matches!(late, Err(LockError::TimedOut { .. })));
        assert!(start.elapsed() < LIMIT / 2);
        holder.go_on();
        holder.join();
        assert_eq!(value.wait_newer(&mut 0).unwrap(), 99);
    }
}

#[test]
fn commits_that_come_all_the_time_do_not_put_the_deadline_off() {
    let name = Scratch::new("busy");
    let value = create(&name, LockKind::default());
    let over = AtomicU32::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while over.load(Ordering::Relaxed) == 0 {
                value.update(|n| *n += 1).unwrap();
            }
        });
        let late = value.wait_while_for(Duration::from_millis(20), |_| true);
        over.store(1, Ordering::Relaxed);
        assert!(matches!(late, Err(LockError::TimedOut { .. })));
    });
}

#[test]
fn one_commit_wakes_all() {
    for kind in kinds() {
        let name = Scratch::new("many");
        let value = create(&name, kind);
        let threads: Vec<AtomicU64> = (0..64).map(|_| AtomicU64::new(0)).collect();
        std::thread::scope(|scope| {
            let waiters: Vec<_> = (threads.iter())
                .map(|thread| {
                    let value = &value;
                    scope.spawn(move || {
                        thread.store(own_tid() as u64, Ordering::SeqCst);
                        value.wait_newer_for(&mut 0, LIMIT)
                    })
                })
                .collect();
            until_all_sleep(&threads, kind);
            value.set(5).unwrap();
            waiters.into_iter().for_each(|waiter| assert_eq!(waiter.join().unwrap().unwrap(), 5));
        });
        assert_eq!(wait_line(&name, 8), 0, "nobody watches any more");
    }
}

#[test]
fn a_condition_may_use_the_value_and_may_panic() {
    let name = Scratch::new("stranger");
    let value = create(&name, LockKind::default());
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            value.wait_while(|n| {
                drop(value.lock().unwrap()); // nothing is held
                *n < 3
            })
        });
        (0..3).for_each(|_| _ = value.update(|n| *n += 1).unwrap());
        assert_eq!(waiter.join().unwrap().unwrap(), 3);
        let panics = scope.spawn(|| value.wait_while(|n| if *n == 4 { panic!("as a condition may") } else { true }));
        value.set(4).unwrap();
        panics.join().unwrap_err();
    });
    assert_eq!(wait_line(&name, 8), 0, "nobody watches any more");
    assert!(value.try_lock().is_ok());
}

#[test]
fn who_holds_the_lock_is_told_that_it_would_wait_for_itself() {
    for kind in kinds() {
        let name = Scratch::new("deadlock");
        let value = create(&name, kind);
        let guard = value.lock().unwrap();
        assert!(matches!(value.wait_newer(&mut 0), Err(LockError::WouldDeadlock { .. })));
        assert_eq!(value.wait_while(|_| false).unwrap(), 0);
        drop(guard);
        assert!(robust_list_is_empty());
    }
}

#[test]
fn what_is_no_value_is_told_and_does_not_keep_a_loop() {
    let name = Scratch::new("invalid");
    let value = SharedValue::create(&name, true).unwrap();
    let file = std::fs::File::options().write(true).open(path(&name)).unwrap();
    file.write_all_at(&[7], 656).unwrap();
    let mut seen = u64::MAX;
    assert!(matches!(value.wait_newer(&mut seen), Err(LockError::InvalidValue { .. })));
    assert!(matches!(value.wait_while(|_| true), Err(LockError::InvalidValue { .. })));
    let late = value.wait_newer_for(&mut seen, Duration::from_millis(1));
    assert!(matches!(late, Err(LockError::TimedOut { .. })), "{late:?}");
    value.set(false).unwrap();
    assert!(!value.wait_newer(&mut seen).unwrap());
}

/// The kernel's own mutex has no word of ours.
#[test]
fn with_an_os_mutex_there_is_an_error_that_says_what_to_do() {
    if !LockKind::OsMutex.is_available() {
        return; // it is no kind that anybody gets
    }
    let name = Scratch::new("os");
    let value = create(&name, LockKind::OsMutex);
    let error = value.wait_newer(&mut 0).unwrap_err();
    assert!(matches!(error, LockError::Io { .. }), "{error:?}");
    check(&error.into(), &name, &["OsMutex", "LockKind::Futex"]);
    // What is there is there.
    assert_eq!(value.wait_newer(&mut 7).unwrap(), 0);
    value.set(1).unwrap();
    assert_eq!(value.get(), 1);
}

#[cfg(unix)]
#[test]
fn signals_do_not_end_a_wait() {
    let name = Scratch::new("signals");
    let value = create(&name, LockKind::default());
    let waiter = spawn("is signalled", &name);
    waiter.hear();
    for n in 0..50 {
        if n % 10 == 0 {
            until_it_waits(&waiter);
            value.set(100 + n).unwrap();
        }
        waiter.signal(libc::SIGUSR1);
    }
    until_it_waits(&waiter);
    value.set(7).unwrap();
    waiter.expect("7");
    waiter.join();
}

/// It has committed nothing.
#[test]
fn the_death_of_a_writer_is_no_change() {
    for kind in kinds() {
        let name = Scratch::new("dead");
        let value = create(&name, kind);
        let watcher = spawn("watches", &name);
        watcher.expect("waits");
        until_it_waits(&watcher);
        let holder = spawn("holds a value", &name);
        holder.expect("holds");
        holder.kill();
        assert!(value.wait_newer_for(&mut 0, Duration::from_millis(50)).is_err());
        value.set(5).unwrap();
        watcher.expect("5");
    }
}

pub(crate) fn kills() -> usize {
    std::env::var("ROBUST_SHM_KILLS").map_or(100 / COST_OF_A_PROCESS, |kills| kills.parse().expect("a number of kills"))
}

/// Whoever is killed while it waits is counted for ever: but the kernel is asked, now and then, whether anybody sleeps.
#[test]
#[cfg_attr(any(robust_shm_unix, not(target_os = "linux")), ignore = "no kernel knows there who sleeps")]
fn once_nobody_waits_any_more_the_lock_is_as_if_nobody_had() {
    let name = Scratch::new("killed");
    let value = create(&name, LockKind::default());
    for _ in 0..kills() {
        let watcher = spawn("watches", &name);
        watcher.expect("waits");
        until_it_waits(&watcher);
        watcher.kill();
    }
    assert!(wait_line(&name, 8) as usize >= kills());
    until("a lock without sleepers", || {
        drop(value.lock().unwrap());
        (word(&name) == [0, 0]).then_some(())
    });
    // And those who come are found.
    let watcher = spawn("watches", &name);
    watcher.expect("waits");
    until_it_waits(&watcher);
    value.set(3).unwrap();
    watcher.expect("3");
}

#[test]
fn who_takes_a_persistent_segment_over_forgets_who_waited() {
    let name = Scratch::new("forgotten");
    drop(SharedValue::options().persistent(true).create(&name, 0u64).unwrap());
    let keeper = spawn("writes", &name);
    keeper.expect("ready");
    let watcher = spawn("watches", &name);
    watcher.expect("waits");
    until_it_waits(&watcher);
    keeper.kill();
    watcher.kill();
    assert!(wait_line(&name, 8) == 1 && word(&name)[0] == 1 << 31);
    let value = SharedValue::<u64>::open(&name).unwrap();
    assert_eq!((wait_line(&name, 4), wait_line(&name, 8)), (0, 0));
    value.set(1).unwrap();
    assert_eq!(word(&name), [0, 0]);
    robust_shm::remove(&name).unwrap();
}
