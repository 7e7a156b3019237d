//! Two programs that have not been built alike share one segment: above all a glibc and a musl program, whose robust
//! lists have their nodes at different places behind the lock word.
//!
//! The other program is this same test, built for another target, and named by `ROBUST_SHM_TEST_OTHER_PROGRAM`:
//! `tests/platforms/run mixed` builds both and runs each beside the other. Without that variable, two processes of this
//! one stand in for them.

mod support;

use std::path::PathBuf;

use robust_shm::{Error, LockError, LockKind, SegmentInfo, SharedArray, SharedLock, SharedValue};
use support::{Role, Scratch, Stopwatch, pause, play, ready_to_die, say, spawn, spawn_program, until_it_waits};

const TIMES: u64 = 30_000;

#[test]
fn child() {
    play(&[
        ("count", count),
        ("hold-array", hold_array),
        ("hold-value", hold_value),
        ("hold-a-while", hold_a_while),
        ("die-with-a-thread", die_with_a_thread),
        ("take-array", take_array),
        ("take-value", take_value),
        ("take-lock", take_lock),
        ("make-and-leave", make_and_leave),
        ("open-os-mutex", open_os_mutex),
    ]);
}

/// Starts a role in this program or in the other one.
type Start = fn(&str, &str) -> Role;

fn other(role: &str, name: &str) -> Role {
    let program = std::env::var_os("ROBUST_SHM_TEST_OTHER_PROGRAM").map(PathBuf::from);
    spawn_program(&[], &program.unwrap_or_else(|| std::env::current_exe().unwrap()), role, name)
}

/// Who does the first part, and who the second.
const BOTH_WAYS: [(Start, Start); 2] = [(spawn, other), (other, spawn)];

fn count(name: &str) {
    let (value, array) = (SharedValue::<u64>::open(name).unwrap(), SharedArray::<u64, 2>::open(&second(name)).unwrap());
    for _ in 0..TIMES {
        *value.lock().unwrap() += 1;
        let mut pair = array.lock().unwrap();
        pair[0] += 1;
        pair[1] = pair[0];
    }
}

fn second(name: &str) -> String {
    format!("{name}.second")
}

fn hold_array(name: &str) {
    let array = SharedArray::<u32, 4>::open(name).unwrap();
    let mut guard = array.lock().unwrap();
    guard[0] = 99;
    ready_to_die();
}

/// Holds another lock as well, so that there is a list to walk.
fn hold_value(name: &str) {
    let (value, lock) = (SharedValue::<u32>::open(name).unwrap(), SharedLock::open(&second(name)).unwrap());
    let mut guard = value.lock().unwrap();
    let _beside = lock.lock().unwrap();
    *guard = 99;
    ready_to_die();
}

fn hold_a_while(name: &str) {
    let lock = SharedLock::open(name).unwrap();
    let guard = lock.lock().unwrap();
    say("ready");
    pause();
    drop(guard);
}

/// A thread ends with its guard; the process stays. musl walks the list of such a thread by itself.
fn die_with_a_thread(name: &str) {
    let array = SharedArray::<u32, 4>::open(name).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| std::mem::forget(array.lock().unwrap()));
    });
    ready_to_die();
}

fn take_array(name: &str) {
    let array = SharedArray::<u32, 4>::open(name).unwrap();
    say(match array.lock() {
        Err(LockError::Poisoned { .. }) => "poisoned",
        Ok(_) => "taken",
        Err(_) => "failed",
    });
}

fn take_value(name: &str) {
    let value = SharedValue::<u32>::open(name).unwrap();
    say(format!("{:?}", value.update(|value| *value += 1).map(|_| value.get())));
    let lock = SharedLock::open(&second(name)).unwrap();
    say(if lock.lock().is_err() { "poisoned" } else { "taken" });
}

fn take_lock(name: &str) {
    let lock = SharedLock::open(name).unwrap();
    let _guard = lock.lock().unwrap();
    say("taken");
}

fn make_and_leave(name: &str) {
    let value = SharedValue::options().persistent(true).create(name, [7u8; 100]).unwrap();
    drop(value);
}

fn open_os_mutex(name: &str) {
    say(match SharedLock::open(name) {
        Ok(_) => "opened".to_owned(),
        Err(error @ Error::UnsupportedFormat { .. }) => error.to_string(),
        Err(error) => panic!("{error}"),
    });
}

#[test]
fn they_exclude_each_other() {
    let name = Scratch::new("mixed");
    let value = SharedValue::create(&name, 0u64).unwrap();
    let array = SharedArray::<u64, 2>::create(&second(&name)).unwrap();
    let starts: [Start; 4] = [spawn, other, spawn, other];
    let children = starts.map(|start| start("count", &name));
    children.into_iter().for_each(Role::join);
    assert_eq!((value.get(), value.commits()), (4 * TIMES, 4 * TIMES));
    assert_eq!(array.to_vec().unwrap(), [4 * TIMES, 4 * TIMES]);
}

#[test]
fn the_death_of_one_is_heard_by_the_other_that_waits() {
    for (holder, heir) in BOTH_WAYS {
        let name = Scratch::new("mixed");
        let _array = SharedArray::create_from(&name, &[1u32; 4]).unwrap();
        let holder = holder("hold-array", &name);
        holder.expect("ready");
        let heir = heir("take-array", &name);
        until_it_waits(&heir);
        let watch = Stopwatch::start();
        holder.kill();
        heir.expect("poisoned");
        watch.assert_nobody_waited_for_the_heartbeat();
        heir.join();
    }
}

#[test]
fn the_death_of_one_is_heard_by_the_other_that_comes_later() {
    for (holder, heir) in BOTH_WAYS {
        let name = Scratch::new("mixed");
        let _value = SharedValue::create(&name, 1u32).unwrap();
        let _lock = SharedLock::create(&second(&name)).unwrap();
        let holder = holder("hold-value", &name);
        holder.expect("ready");
        holder.kill();
        let heir = heir("take-value", &name);
        heir.expect("Ok(2)");
        heir.expect("poisoned");
        heir.join();
    }
}

#[test]
fn the_end_of_a_thread_of_one_is_heard_by_the_other() {
    if !support::reports_ends_of_threads() {
        return;
    }
    for (holder, heir) in BOTH_WAYS {
        let name = Scratch::new("mixed");
        let _array = SharedArray::create_from(&name, &[1u32; 4]).unwrap();
        let holder = holder("die-with-a-thread", &name);
        holder.expect("ready");
        let watch = Stopwatch::start();
        let heir = heir("take-array", &name);
        heir.expect("poisoned");
        watch.assert_nobody_waited_for_the_heartbeat();
        heir.join();
        holder.kill();
    }
}

#[test]
fn who_releases_wakes_the_waiters_of_both() {
    for (holder, waiter) in BOTH_WAYS {
        let name = Scratch::new("mixed");
        let _lock = SharedLock::create(&name).unwrap();
        let mut holder = holder("hold-a-while", &name);
        holder.expect("ready");
        let waiters = [waiter("take-lock", &name), spawn("take-lock", &name), other("take-lock", &name)];
        waiters.iter().for_each(until_it_waits);
        let watch = Stopwatch::start();
        holder.go_on();
        for waiter in waiters {
            waiter.expect("taken");
            waiter.join();
        }
        watch.assert_nobody_waited_for_the_heartbeat();
        holder.join();
    }
}

#[test]
fn what_one_has_left_the_other_takes_over() {
    let name = Scratch::new("mixed");
    other("make-and-leave", &name).join();
    assert_eq!(SharedValue::<[u8; 100]>::open(&name).unwrap().get(), [7; 100]);
    assert_eq!(SegmentInfo::of(&name).unwrap().lock_kind(), LockKind::default());
}

#[test]
#[cfg_attr(robust_shm_unix, ignore = "it is not available there")]
fn the_mutex_of_one_c_library_is_refused_by_the_other() {
    if !LockKind::OsMutex.is_available() {
        return; // it is no kind that anybody gets
    }
    let name = Scratch::new("mixed");
    let _lock = SharedLock::options().lock_kind(LockKind::OsMutex).create(&name).unwrap();
    let other = other("open-os-mutex", &name);
    let heard = other.hear();
    other.join();
    let expected = std::env::var("ROBUST_SHM_TEST_OTHER_C_LIBRARY").unwrap_or_default();
    if expected.is_empty() {
        assert_eq!(heard, "opened");
    } else {
        assert!(heard.contains("whose mutexes are made otherwise") && heard.contains(&expected), "{heard}");
    }
}
