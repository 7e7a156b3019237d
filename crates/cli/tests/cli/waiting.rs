//! `wait` and `event`: asleep until it is so, and told when it never is.

use robust_shm::{SegmentInfo, SharedEvent, SharedLock, SharedRwLock, SharedSemaphore, SharedValue, remove};

use crate::support::{self, Scratch, asleep, spawn, until};
use crate::tool::{Running, Said, run};

/// Starts the program, lets it fall asleep, and does what it waits for.
fn woken_by(arguments: &[&str], action: impl FnOnce()) -> Said {
    let mut waiting = Running::of(arguments);
    waiting.until_asleep();
    assert!(!waiting.has_ended(), "it has nothing to wait for: {:?}", waiting.end());
    action();
    waiting.end()
}

#[test]
fn until_it_exists() {
    let name = Scratch::new("exists");
    let mut made = None;
    let said =
        woken_by(&["wait", &name, "--until", "exists"], || made = Some(SharedValue::create(&name, 1u8).unwrap()));
    assert_eq!((said.code, &*said.out, &*said.err), (0, "", ""));
    assert_eq!(run(&["wait", &name, "--until", "exists", "--timeout", "0"]).code, 0);
}

#[test]
fn until_it_is_gone() {
    let name = Scratch::new("gone");
    let value = SharedValue::create(&name, 1u8).unwrap();
    assert_eq!(woken_by(&["wait", &name, "--until", "gone"], || drop(value)).code, 0);
    assert_eq!(run(&["wait", &name, "--until", "gone", "--timeout", "0"]).code, 0);
    let value = SharedValue::create(&name, 1u8).unwrap();
    assert_eq!(woken_by(&["wait", &name, "--until", "gone"], || remove(&name).unwrap()).code, 0);
    drop(value);
}

/// The file stays, and nobody touches it any more: but nobody uses it.
#[test]
fn until_its_last_user_is_killed() {
    for role in ["hold", "use"] {
        let name = Scratch::new("killed");
        let mut children = vec![spawn("hold", &name)];
        children[0].expect("ready");
        if role == "use" {
            children.push(spawn(role, &name));
            children[1].expect("ready");
        }
        // It must not sleep on for a second, for the last of its looks by the clock.
        let mut waiting = Running::of(&["wait", &name, "--until", "gone"]);
        until_sleep_is_endless(&waiting);
        assert!(!waiting.has_ended());
        children.into_iter().for_each(support::Role::kill);
        assert_eq!(waiting.end().code, 0);
    }
}

/// It has gone to sleep no more for a while that is longer than the pauses that it makes at first.
fn until_sleep_is_endless(waiting: &Running) {
    let sleeps = || asleep(waiting.id().cast_signed());
    until("a sleep without an end", || {
        let before = sleeps()?;
        std::thread::sleep(std::time::Duration::from_millis(1_300));
        (sleeps()? == before).then_some(())
    });
}

#[test]
fn nothing_polls() {
    if !support::sleeps_are_counted() {
        return support::skip(support::Need::System, "counts of how often a thread has gone to sleep");
    }
    let missing = Scratch::new("missing");
    let waiting = Running::of(&["wait", &missing, "--until", "exists"]);
    until_sleep_is_endless(&waiting);
    let event = SharedEvent::create(&missing).unwrap();
    assert_eq!(waiting.end().code, 0);
    if !support::has_robust_lists("without them, who waits for a lock looks at its holder") {
        return;
    }
    let held = Scratch::new("held");
    let lock = SharedLock::create(&held).unwrap();
    let guard = lock.lock().unwrap();
    let waiting = [["wait", &*missing, "--until", "set"], ["wait", &*held, "--until", "free"]];
    let waiting = waiting.map(|arguments| Running::of(&arguments));
    waiting.iter().for_each(until_sleep_is_endless);
    event.set().unwrap();
    drop(guard);
    waiting.into_iter().for_each(|waiting| assert_eq!(waiting.end().code, 0));
}

#[test]
fn until_it_is_free() {
    let [lock, rwlock, semaphore] = ["lock", "rwlock", "semaphore"].map(Scratch::new);
    let lock_handle = SharedLock::create(&lock).unwrap();
    let guard = lock_handle.lock().unwrap();
    assert_eq!(woken_by(&["wait", &lock, "--until", "free"], || drop(guard)).code, 0);
    let rwlock_handle = SharedRwLock::create(&rwlock).unwrap();
    let reading = rwlock_handle.read().unwrap();
    assert_eq!(woken_by(&["wait", &rwlock, "--until", "free"], || drop(reading)).code, 0);
    let semaphore_handle = SharedSemaphore::create(&semaphore, 1).unwrap();
    let permit = semaphore_handle.acquire().unwrap();
    assert_eq!(woken_by(&["wait", &semaphore, "--until", "free"], || drop(permit)).code, 0);
}

/// Who only waits repairs nothing.
#[test]
fn poison_is_no_hindrance_and_stays() {
    let name = Scratch::new("poisoned");
    let lock = SharedLock::create(&name).unwrap();
    let _ = std::panic::catch_unwind(|| lock.with(|| panic!("on purpose")));
    assert_eq!(run(&["wait", &name, "--until", "free"]).code, 0);
    assert!(lock.is_poisoned());
}

#[test]
fn until_it_is_set() {
    let name = Scratch::new("event");
    let event = SharedEvent::create(&name).unwrap();
    let said = woken_by(&["wait", &name, "--until", "set"], || assert_eq!(run(&["event", &name, "set"]).code, 0));
    assert_eq!(said.code, 0);
    assert!(event.is_set());
    assert_eq!(run(&["event", &name, "clear"]).code, 0);
    assert_eq!(SegmentInfo::of(&name).unwrap().is_set(), Some(false));
}

#[test]
fn who_is_late_is_told_what_it_waited_for() {
    let [lock, event, semaphore, missing] = ["lock", "event", "semaphore", "missing"].map(Scratch::new);
    let lock_handle = SharedLock::create(&lock).unwrap();
    let _guard = lock_handle.lock().unwrap();
    let _event = SharedEvent::create(&event).unwrap();
    let semaphore_handle = SharedSemaphore::create(&semaphore, 1).unwrap();
    let _permit = semaphore_handle.acquire().unwrap();
    for (name, until, word) in [
        (&lock, "free", "still held by"),
        (&lock, "gone", "still there"),
        (&event, "set", "not set"),
        (&semaphore, "free", "not to be had"),
        (&missing, "exists", "not there"),
    ] {
        for timeout in ["0", "0.01"] {
            let said = run(&["wait", name, "--until", until, "--timeout", timeout]);
            assert_eq!(said.code, 124, "{said:?}");
            assert!(said.err.contains(word), "{said:?}");
        }
    }
}

#[test]
fn what_is_not_there_is_not_waited_for() {
    for until in ["free", "set"] {
        assert_eq!(run(&["wait", "no-such-segment", "--until", until]).code, 1);
    }
    let name = Scratch::new("kind");
    let _lock = SharedLock::create(&name).unwrap();
    assert_eq!(run(&["wait", &name, "--until", "set"]).code, 65, "a lock is never set");
    assert_eq!(run(&["event", &name, "set"]).code, 65);
    let event = Scratch::new("event");
    let _event = SharedEvent::create(&event).unwrap();
    assert_eq!(run(&["wait", &event, "--until", "free"]).code, 65, "an event is never held");
}
