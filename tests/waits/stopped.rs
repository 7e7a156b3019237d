//! A stopped process in every role: it keeps what it has, and nobody else waits for it who need not.
#![cfg(target_os = "linux")]

use std::time::Duration;

use robust_shm::{LockError, LockKind, SharedArray, SharedSemaphore, SharedValue};

use crate::kinds;
use crate::support::{Body, LIMIT, Role, Scratch, asleep, pause, say, spawn, until, until_it_waits};

type Cells = SharedArray<u64, 2>;

const MOMENT: Duration = Duration::from_millis(30);

pub(crate) const ROLES: &[(&str, Body)] = &[
    ("sees the next one", |name| {
        let value = SharedValue::<u64>::open(name).unwrap();
        let mut seen = value.commits();
        say("waits");
        say(value.wait_newer(&mut seen).unwrap());
    }),
    ("writes when let on", |name| {
        let value = SharedValue::<u64>::open(name).unwrap();
        let mut guard = value.lock().unwrap();
        *guard = 9;
        say("holds");
        pause();
    }),
    ("takes one", |name| {
        let cells = Cells::open(name).unwrap();
        let guard = cells.lock().unwrap();
        say("waits");
        let mut guard = cells.condvar().wait_while(guard, |cells| cells[0] == 0).unwrap();
        guard[0] -= 1;
        drop(guard);
        say("has taken");
    }),
    ("puts one when let on", |name| {
        let cells = Cells::open(name).unwrap();
        let mut guard = cells.lock().unwrap();
        guard[0] += 1;
        cells.condvar().notify_one(&guard);
        say("holds");
        pause();
    }),
    ("has a permit until it is let on", |name| {
        let semaphore = SharedSemaphore::open(name).unwrap();
        say("waits");
        let permit = semaphore.acquire().unwrap();
        say("has one");
        pause();
        drop(permit);
    }),
];

fn starts(role: &str, name: &str, says: &str) -> Role {
    let started = spawn(role, name);
    started.expect(says);
    started
}

fn sleeper(role: &str, name: &str) -> Role {
    let sleeper = starts(role, name, "waits");
    until_it_waits(&sleeper);
    sleeper
}

/// Stops it, and waits until that has come about.
fn stop(role: &Role) {
    role.signal(libc::SIGSTOP);
    let is_stopped = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", role.id())).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('T'))
    };
    until("the stop", || is_stopped().then_some(()));
}

fn is_timed_out<R>(result: Result<R, LockError>) -> bool {
    matches!(result, Err(LockError::TimedOut { .. }))
}

#[test]
fn one_who_is_stopped_as_he_watches_keeps_no_commit_from_others_and_sees_it_later() {
    for kind in kinds() {
        let name = Scratch::new("watcher");
        let value = SharedValue::options().lock_kind(kind).create(&name, 0u64).unwrap();
        let [stopped, other] = [(); 2].map(|()| sleeper("sees the next one", &name));
        stop(&stopped);
        value.set(4).unwrap();
        other.expect("4");
        value.set(5).unwrap();
        stopped.signal(libc::SIGCONT);
        stopped.expect("5");
    }
}

#[test]
fn one_who_is_stopped_as_he_writes_keeps_readers_from_nothing_and_watchers_from_nothing_that_is() {
    for kind in kinds() {
        let name = Scratch::new("writer");
        let value = SharedValue::options().lock_kind(kind).create(&name, 0u64).unwrap();
        let watcher = sleeper("sees the next one", &name);
        let mut writer = starts("writes when let on", &name, "holds");
        stop(&writer);
        assert_eq!((value.get(), value.commits()), (0, 0));
        let mut seen = 0;
        assert!(is_timed_out(value.wait_newer_for(&mut seen, MOMENT)));
        assert!(is_timed_out(value.try_lock_for(MOMENT)));
        assert!(asleep(watcher.id() as libc::pid_t).is_some());
        writer.signal(libc::SIGCONT);
        writer.go_on();
        watcher.expect("9");
        writer.join();
        assert_eq!(value.wait_newer_for(&mut seen, LIMIT).unwrap(), 9);
    }
}

#[test]
fn one_who_is_stopped_as_he_waits_for_a_condition_takes_no_notification_along() {
    for kind in kinds() {
        let name = Scratch::new("waiter");
        let cells = Cells::options().lock_kind(kind).create(&name).unwrap();
        let put = || {
            let mut guard = cells.lock().unwrap();
            guard[0] += 1;
            cells.condvar().notify_one(&guard);
        };
        // Whichever is first in the queue.
        for which in 0..2 {
            let mut both = Vec::from([(); 2].map(|()| sleeper("takes one", &name)));
            let stopped = both.remove(which);
            stop(&stopped);
            put();
            both.remove(0).expect("has taken");
            put();
            stopped.signal(libc::SIGCONT);
            stopped.expect("has taken");
        }
    }
}

#[test]
fn one_who_is_stopped_as_he_notifies_is_waited_for_and_his_notification_comes() {
    for kind in kinds() {
        let name = Scratch::new("notifier");
        let cells = Cells::options().lock_kind(kind).create(&name).unwrap();
        let waiter = sleeper("takes one", &name);
        let mut notifier = starts("puts one when let on", &name, "holds");
        stop(&notifier);
        assert!(is_timed_out(cells.try_lock_for(MOMENT)));
        assert!(asleep(waiter.id() as libc::pid_t).is_some());
        notifier.signal(libc::SIGCONT);
        notifier.go_on();
        waiter.expect("has taken");
        notifier.join();
    }
}

fn semaphore(kind: LockKind, name: &str) -> SharedSemaphore {
    SharedSemaphore::options().lock_kind(kind).create(name, 2).unwrap()
}

#[test]
fn one_who_is_stopped_with_a_permit_keeps_that_and_no_other() {
    for kind in kinds() {
        let name = Scratch::new("holder");
        let semaphore = semaphore(kind, &name);
        let mut stopped = starts("has a permit until it is let on", &name, "waits");
        stopped.expect("has one");
        stop(&stopped);
        for _ in 0..10 {
            let mine = semaphore.acquire().unwrap();
            assert!(is_timed_out(semaphore.try_acquire_for(MOMENT / 10)));
            drop(mine);
        }
        stopped.signal(libc::SIGCONT);
        stopped.go_on();
        stopped.join();
        assert_eq!(semaphore.available(), 2);
    }
}

#[test]
fn one_who_is_stopped_as_he_waits_for_a_permit_takes_no_wake_up_along() {
    for kind in kinds() {
        for which in 0..2 {
            let name = Scratch::new("seeker");
            let semaphore = semaphore(kind, &name);
            let (first, second) = (semaphore.acquire().unwrap(), semaphore.acquire().unwrap());
            let mut both = Vec::from([(); 2].map(|()| sleeper("has a permit until it is let on", &name)));
            let stopped = both.remove(which);
            stop(&stopped);
            drop(first);
            both[0].expect("has one");
            drop(second);
            assert_eq!(semaphore.available(), 1, "it is for whoever comes");
            // For a moment it may be kept for one who was passed over.
            drop(semaphore.try_acquire_for(Duration::from_secs(20)).unwrap());
            stopped.signal(libc::SIGCONT);
            stopped.expect("has one");
        }
    }
}
