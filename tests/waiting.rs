//! Every wait ends: with the lock, at its deadline, or with an error at once.
#![cfg_attr(not(target_os = "linux"), allow(dead_code, unused_imports, reason = "for the parts that need Linux"))]

mod support;

use std::time::{Duration, Instant};

use robust_shm::{LockError, LockKind, SharedArray, SharedLock, SharedValue};
use support::{
    Family, LIMIT, Scratch, asleep, member, own_tid, pause, play, ready_to_die, say, spawn, until, until_it_waits,
    with_each_kind, within_limit,
};

#[test]
fn child() {
    play(&[
        ("hold", hold),
        ("wait", wait),
        #[cfg(target_os = "linux")]
        ("wait-long", wait_long),
        #[cfg(target_os = "linux")]
        ("wait-idly", wait_idly),
    ]);
}

with_each_kind! {
    a_timeout_is_not_early_and_names_the_holder,
    relocking_is_an_error_also_through_a_second_handle,
    locks_may_be_nested_and_released_in_any_order,
    #[cfg(unix)]
    a_stopped_holder_delays_writers_but_no_reader,
    #[cfg(target_os = "linux")]
    waiters_of_a_holder_that_sleeps_are_woken_once_at_most,
    #[cfg(target_os = "linux")]
    who_waits_leaves_the_processor_alone,
}

fn hold(name: &str) {
    let value = SharedValue::<u32>::open(name).unwrap();
    let _guard = value.lock().unwrap();
    ready_to_die();
}

fn wait(name: &str) {
    let value = SharedValue::<u32>::open(name).unwrap();
    let guard = value.lock().unwrap();
    say("got it");
    drop(guard);
    pause();
}

#[cfg(target_os = "linux")]
fn wait_long(name: &str) {
    let value = SharedValue::<u32>::open(name).unwrap();
    say(own_tid());
    drop(value.lock().unwrap());
}

/// The processor time of this thread.
#[cfg(target_os = "linux")]
fn time_used() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a place for the answer.
    #[allow(unsafe_code)]
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(result, 0);
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)
}

/// Waits in every way, and tells after each how long it has waited, and how long it has run meanwhile.
#[cfg(target_os = "linux")]
fn wait_idly(family: &str) {
    let value = SharedValue::<u32>::open(&member(family, 0)).unwrap();
    let array = SharedArray::<u32, 4>::open(&member(family, 1)).unwrap();
    let lock = SharedLock::open(&member(family, 2)).unwrap();
    let measured = |wait: &dyn Fn() -> bool| {
        say("waits");
        let (start, used) = (Instant::now(), time_used());
        assert!(wait());
        say(format!("{} {}", (time_used() - used).as_micros(), start.elapsed().as_micros()));
    };
    let far = Instant::now() + LIMIT;
    measured(&|| matches!(value.try_lock_for(Duration::from_millis(500)), Err(LockError::TimedOut { .. })));
    measured(&|| value.lock().is_ok());
    measured(&|| array.try_lock_until(far).is_ok());
    measured(&|| lock.try_lock_for(Duration::MAX).is_ok());
}

/// Nothing polls: who does runs for all of its wait. (Not for less than half: what an emulated machine's processor is not
/// given counts as run.)
#[cfg(target_os = "linux")]
fn who_waits_leaves_the_processor_alone(kind: LockKind) {
    if kind == LockKind::File && !support::is_linux("counts a sleep of a millisecond as half run") {
        return; // one of those who wait looks as often as that
    }
    let family = Family::new("idle");
    let value = SharedValue::options().lock_kind(kind).create(&family.member(0), 1u32).unwrap();
    let array = SharedArray::<u32, 4>::options().lock_kind(kind).create(&family.member(1)).unwrap();
    let lock = SharedLock::options().lock_kind(kind).create(&family.member(2)).unwrap();
    let mut guards = (Some(value.lock().unwrap()), Some(array.lock().unwrap()), Some(lock.lock().unwrap()));
    let child = spawn("wait-idly", family.name());
    for wait in 0..4 {
        child.expect("waits");
        std::thread::sleep(Duration::from_millis(500));
        match wait {
            0 => {}
            1 => drop(guards.0.take()),
            2 => drop(guards.1.take()),
            _ => drop(guards.2.take()),
        }
        let heard = child.hear();
        let (used, waited) = heard.split_once(' ').unwrap();
        let (used, waited): (u64, u64) = (used.parse().unwrap(), waited.parse().unwrap());
        assert!(waited > 400_000, "wait {wait}: it was to wait");
        assert!(used * 2 < waited, "wait {wait}: ran for {used} us of {waited}");
    }
    child.join();
}

fn a_timeout_is_not_early_and_names_the_holder(kind: LockKind) {
    let name = Scratch::new("timeout");
    let value = SharedValue::options().lock_kind(kind).create(&name, 1u32).unwrap();
    let child = spawn("hold", &name);
    child.expect("ready");
    for timeout in [Duration::ZERO, Duration::from_millis(1), Duration::from_millis(150)] {
        let start = Instant::now();
        let error = value.try_lock_for(timeout).unwrap_err();
        assert!(start.elapsed() >= timeout, "{:?} is early", start.elapsed());
        let LockError::TimedOut { holder, process, .. } = &error else { panic!("{error}") };
        assert!(holder.is_some() && process.is_none_or(|process| process == child.id()), "{error}");
    }
    let deadline = Instant::now() + Duration::from_millis(50);
    assert!(matches!(value.try_lock_until(deadline), Err(LockError::TimedOut { .. })));
    assert!(Instant::now() >= deadline);
    assert!(matches!(value.try_lock(), Err(LockError::WouldBlock { .. })));
    child.kill();
    if kind != LockKind::OsMutex {
        assert!(value.try_lock_for(Duration::MAX).is_ok());
    }
}

#[test]
fn a_waiter_gets_the_lock_when_its_holder_is_killed() {
    let name = Scratch::new("handover");
    let value = SharedValue::create(&name, 1u32).unwrap();
    let holder = spawn("hold", &name);
    holder.expect("ready");
    let waiters: Vec<_> = (0..4).map(|_| spawn("wait", &name)).collect();
    waiters.iter().for_each(until_it_waits);
    holder.kill();
    for waiter in waiters {
        waiter.expect("got it");
        waiter.join();
    }
    assert!(value.lock().is_ok());
}

#[test]
fn waiters_that_are_killed_take_no_wake_up_with_them() {
    let name = Scratch::new("killed-waiters");
    let value = SharedValue::create(&name, 1u32).unwrap();
    let guard = value.lock().unwrap();
    let mut waiters: Vec<_> = (0..6).map(|_| spawn("wait", &name)).collect();
    waiters.iter().for_each(until_it_waits);
    waiters.drain(..3).for_each(support::Role::kill);
    drop(guard);
    for waiter in waiters {
        waiter.expect("got it");
        waiter.join();
    }
}

fn relocking_is_an_error_also_through_a_second_handle(kind: LockKind) {
    let name = Scratch::new("relock");
    let lock = SharedLock::options().lock_kind(kind).create(&name).unwrap();
    let second = SharedLock::open(&name).unwrap();
    let guard = lock.lock().unwrap();
    for handle in [&lock, &second] {
        assert!(matches!(handle.lock(), Err(LockError::WouldDeadlock { .. })));
        assert!(matches!(handle.try_lock_for(Duration::from_secs(9)), Err(LockError::WouldDeadlock { .. })));
        assert!(matches!(handle.try_lock(), Err(LockError::WouldBlock { .. })));
    }
    drop(guard);
    assert!(second.lock().is_ok());
}

fn locks_may_be_nested_and_released_in_any_order(kind: LockKind) {
    let family = Family::new("nest");
    let locks: Vec<_> =
        (0..8).map(|which| SharedLock::options().lock_kind(kind).create(&family.member(which)).unwrap()).collect();
    for round in 0..200usize {
        let mut guards: Vec<_> = locks.iter().map(|lock| lock.lock().unwrap()).collect();
        while !guards.is_empty() {
            drop(guards.remove((round * 7 + guards.len() * 3) % guards.len()));
        }
    }
}

#[cfg(unix)]
fn a_stopped_holder_delays_writers_but_no_reader(kind: LockKind) {
    let name = Scratch::new("stopped");
    let value = SharedValue::options().lock_kind(kind).create(&name, 5u32).unwrap();
    let child = spawn("hold", &name);
    child.expect("ready");
    child.signal(libc::SIGSTOP);
    assert_eq!(
        within_limit("get", {
            let value = SharedValue::<u32>::open(&name).unwrap();
            move || value.get()
        }),
        5
    );
    assert!(matches!(value.try_lock_for(Duration::from_millis(20)), Err(LockError::TimedOut { .. })));
    child.kill();
    if kind != LockKind::OsMutex {
        assert!(value.lock().is_ok());
    }
}

/// Nothing polls: who waits sleeps, but for one look at whether the holder still exists. Where nobody is told of deaths, one
/// looks often, for all of them, and the others seldom.
#[cfg(target_os = "linux")]
fn waiters_of_a_holder_that_sleeps_are_woken_once_at_most(kind: LockKind) {
    if cfg!(robust_shm_unix) && kind == LockKind::File {
        return; // there is no sleep on a word
    }
    let name = Scratch::new("asleep");
    let value = SharedValue::options().lock_kind(kind).create(&name, 1u32).unwrap();
    let guard = value.lock().unwrap();
    let waiters: Vec<_> = (0..4).map(|_| spawn("wait-long", &name)).collect();
    let threads: Vec<i32> = waiters.iter().map(|waiter| waiter.hear().parse().unwrap()).collect();
    let sleep_of = |thread: &i32| until("a waiter's sleep", || asleep(*thread));
    let sleeps = || threads.iter().map(sleep_of).collect::<Vec<_>>();
    let watchers = usize::from(kind == LockKind::File);
    let most = if kind == LockKind::File { 40 } else { 1 };
    let before = until("all waiters' sleep on the lock", || {
        let first = sleeps();
        std::thread::sleep(Duration::from_millis(100));
        let restless = first.iter().zip(sleeps()).filter(|(first, second)| *first != second).count();
        (restless <= watchers).then_some(first)
    });
    std::thread::sleep(Duration::from_secs(2));
    let counts: Vec<u64> = sleeps().into_iter().zip(before).map(|(after, before)| after - before).collect();
    let restless = counts.iter().filter(|count| **count > most).count();
    assert!(restless <= watchers, "they went to sleep {counts:?} times in 2 s");
    drop(guard);
    waiters.into_iter().for_each(support::Role::join);
}
