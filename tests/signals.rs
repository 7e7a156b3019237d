//! Signal handlers that lock, and stopped processes.
#![cfg(target_os = "linux")]
#![allow(unsafe_code)]

#[path = "support/deaths.rs"]
mod deaths;
mod support;

use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use deaths::{handle, has_state, robust_list_is_empty, times_out, would_block};
use robust_shm::{Error, LockError, SharedLock, SharedValue, ValueGuard};
use support::{Family, Scratch, Stopwatch, exists, member, pause, play, ready_to_die, say, spawn, until, within_limit};

#[test]
fn child() {
    play(&[("signals", signals), ("parked", parked), ("hold", hold), ("attach", attach)]);
}

// A signal handler that locks while its thread is blocked in a lock.

static FOR_HANDLER: OnceLock<SharedValue<u64>> = OnceLock::new();

extern "C" fn count(_signal: libc::c_int) {
    FOR_HANDLER.get().unwrap().update(|n| *n += 1).unwrap();
}

extern "C" fn hold_for_good(_signal: libc::c_int) {
    let _guard = FOR_HANDLER.get().unwrap().lock().unwrap();
    say("in the handler");
    loop {
        // SAFETY: waits for a signal.
        unsafe { libc::pause() };
    }
}

/// Blocks in the lock of member 0, while another thread keeps sending it signals, whose handler uses member 1.
fn interrupt(family: &str, times: u64) {
    let lock = SharedLock::open(&member(family, 0)).unwrap();
    // SAFETY: takes nothing.
    let blocked = unsafe { libc::pthread_self() } as usize;
    thread::scope(|scope| {
        scope.spawn(move || {
            let counted = FOR_HANDLER.get().unwrap();
            for n in 0..times {
                thread::sleep(Duration::from_millis(2));
                // SAFETY: that thread waits for the end of this scope.
                unsafe { libc::pthread_kill(blocked as libc::pthread_t, libc::SIGUSR1) };
                until("the handler", || (counted.get() > n).then_some(()));
            }
            say("interrupted");
        });
        let guard = lock.lock().unwrap();
        say("got it");
        assert!(would_block(lock.try_lock()));
        drop(guard);
    });
    assert!(robust_list_is_empty());
}

fn signals(family: &str) {
    FOR_HANDLER.get_or_init(|| SharedValue::open(&member(family, 1)).unwrap());
    handle(libc::SIGUSR1, count);
    interrupt(family, 100);
}

fn parked(family: &str) {
    FOR_HANDLER.get_or_init(|| SharedValue::open(&member(family, 1)).unwrap());
    handle(libc::SIGUSR1, hold_for_good);
    interrupt(family, 1);
}

#[test]
fn a_signal_handler_may_lock_while_its_thread_is_blocked_in_a_lock() {
    let family = Family::new("signals");
    let lock = SharedLock::create(&family.member(0)).unwrap();
    let count = SharedValue::create(&family.member(1), 0u64).unwrap();
    let guard = lock.lock().unwrap();
    let child = spawn("signals", family.name());
    child.expect("interrupted");
    assert_eq!(count.get(), 100);
    drop(guard);
    child.expect("got it");
    child.join();
    assert!(lock.try_lock().is_ok());
}

#[test]
fn a_death_in_a_signal_handler_releases_what_it_held_and_not_what_it_waited_for() {
    let family = Family::new("parked");
    let lock = SharedLock::create(&family.member(0)).unwrap();
    let value = SharedValue::create(&family.member(1), 0u64).unwrap();
    let guard = lock.lock().unwrap();
    let child = spawn("parked", family.name());
    child.expect("in the handler");
    assert!(times_out(value.try_lock_for(Duration::from_millis(20))));
    child.kill();
    // Not at the first try, perhaps: the dead one had been passed over, and the lock is kept for it for a moment.
    assert!(value.try_lock_for(Duration::from_secs(60)).is_ok(), "held by the handler");
    assert!(matches!(lock.lock(), Err(LockError::WouldDeadlock { .. })), "held by this thread");
    drop(guard);
    assert!(lock.try_lock_for(Duration::from_secs(60)).is_ok(), "not poisoned by somebody who only waited");
}

// Stopped processes

fn hold(name: &str) {
    let value = SharedValue::<u64>::open(name).unwrap();
    let mut guard = value.lock().unwrap();
    *guard = 99;
    say("ready");
    pause();
    ValueGuard::discard(guard);
}

fn attach(name: &str) {
    let _handles = [0; 3].map(|_| SharedValue::<u64>::open(name).unwrap());
    ready_to_die();
}

/// Waits until the process is stopped; the signal takes a moment.
fn stop(child: &support::Role) {
    child.signal(libc::SIGSTOP);
    until("the stop", || has_state(child, 'T').then_some(()));
}

#[test]
fn a_stopped_holder_is_not_taken_for_dead_and_delays_no_reader() {
    let name = Scratch::new("stopped-holder");
    let value = SharedValue::create(&name, 5u64).unwrap();
    let mut child = spawn("hold", &name);
    child.expect("ready");
    stop(&child);
    // Longer than the heartbeat: it exists, so it holds.
    assert!(times_out(value.try_lock_for(Duration::from_millis(3_300))));
    assert_eq!(
        within_limit("get", {
            let name = name.0.clone();
            move || SharedValue::<u64>::open(&name).unwrap().get()
        }),
        5
    );
    child.signal(libc::SIGCONT);
    child.go_on();
    assert_eq!(*value.try_lock_for(support::LIMIT).unwrap(), 5, "it goes on and releases");
    child.join();
}

#[test]
fn a_stopped_user_blocks_nobody_who_opens_closes_or_locks() {
    let name = Scratch::new("stopped-user");
    let value = SharedValue::create(&name, 5u64).unwrap();
    let child = spawn("attach", &name);
    child.expect("ready");
    stop(&child);
    let start = Stopwatch::start();
    for n in 0..50 {
        let other = SharedValue::<u64>::open(&name).unwrap();
        *other.lock().unwrap() += 1;
        assert_eq!(value.get(), 6 + n);
        assert!(matches!(SharedValue::create(&name, 1u64), Err(Error::AlreadyExists { .. })));
    }
    drop(value);
    assert!(exists(&name), "the stopped one still uses it");
    assert_eq!(SharedValue::<u64>::open(&name).unwrap().get(), 55);
    start.assert_nobody_waited_for_the_heartbeat();
    child.kill();
    assert!(matches!(SharedValue::<u64>::open(&name), Err(Error::NotFound { .. })));
}
