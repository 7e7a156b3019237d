//! What the kernel is to find when a thread dies: its list of held locks, and the slot that names what is going in or out.

#![cfg(target_os = "linux")]
#![allow(unsafe_code)]

#[path = "support/nested.rs"]
#[allow(dead_code, reason = "the part of the other test binary")]
mod nested;
#[path = "support/seccomp.rs"]
mod seccomp;
mod support;

use std::thread;
use std::time::Duration;

use nested::{RobustMutexes, walk_robust_list};
use robust_shm::{Error, LockError, LockKind, SharedLock, SharedValue};
use seccomp::{Refused, refuse};
use support::{Family, Scratch, exists, member, pause, play, ready_to_die, say, spawn};

#[test]
fn child() {
    play(&[
        ("hold", hold),
        ("fork while holding", fork_while_holding),
        ("relock and die", relock_and_die),
        ("inherit and die", inherit_and_die),
        ("no list told", no_list_told),
        ("no list registered", no_list_registered),
        ("no random numbers", no_random_numbers),
    ]);
}

fn hold(name: &str) {
    let lock = SharedLock::open(name).unwrap();
    let guard = lock.lock().unwrap();
    say("ready");
    pause();
    drop(guard);
    pause();
}

/// The slot names what a thread holds alone, and no libc clears it in a child.
fn fork_while_holding(name: &str) {
    let held = SharedLock::open(name).unwrap();
    let own = SharedLock::create(&format!("{name}.own")).unwrap();
    let guard = held.lock().unwrap();
    support::fork(|| {
        assert_eq!(walk_robust_list(), 0, "it holds nothing");
        drop(own.lock().unwrap());
        assert_eq!(walk_robust_list(), 0);
    })
    .join();
    assert_eq!(walk_robust_list(), 1);
    drop(guard);
}

#[test]
fn nothing_is_pending_in_a_forked_child_of_a_holder() {
    if !support::has_robust_lists("they are what is tested") {
        return;
    }
    let name = Scratch::new("fork-pending");
    let _lock = SharedLock::create(&name).unwrap();
    spawn("fork while holding", &name).join();
}

const A_MOMENT: Duration = Duration::from_millis(20);

fn would_block<R>(result: Result<R, LockError>) -> bool {
    matches!(result, Err(LockError::WouldBlock { .. }))
}

fn would_deadlock<R>(result: Result<R, LockError>) -> bool {
    matches!(result, Err(LockError::WouldDeadlock { .. }))
}

fn times_out<R>(result: Result<R, LockError>) -> bool {
    matches!(result, Err(LockError::TimedOut { .. }))
}

/// Of a free lock, of one that another holds, of one that somebody waits for, alone and among others. What stays in the
/// slot would have the kernel mark, at this thread's death, a lock that it does not hold, or wake in vain; and it keeps
/// the thread from its fast path.
#[test]
fn nothing_is_pending_after_any_operation() {
    if !support::has_robust_lists("they are what is tested") {
        return;
    }
    let family = Family::new("pending");
    let [first, second, busy] = [0, 1, 2].map(|which| SharedLock::create(&family.member(which)).unwrap());
    let mut holder = spawn("hold", busy.name());
    holder.expect("ready");
    // The walk also asserts that what is pending is held.
    drop(first.lock().unwrap());
    assert_eq!(walk_robust_list(), 0);
    for _ in 0..2 {
        assert!(would_block(busy.try_lock()));
        assert_eq!(walk_robust_list(), 0);
        assert!(times_out(busy.try_lock_for(A_MOMENT)));
        assert_eq!(walk_robust_list(), 0);
    }
    let outer = first.lock().unwrap();
    let inner = second.lock().unwrap();
    assert_eq!(walk_robust_list(), 2);
    assert!(would_block(busy.try_lock()) && times_out(busy.try_lock_for(A_MOMENT)));
    assert_eq!(walk_robust_list(), 2);
    drop(outer);
    assert_eq!(walk_robust_list(), 1);
    drop(inner);
    assert_eq!(walk_robust_list(), 0);

    let guard = first.lock().unwrap();
    thread::scope(|scope| {
        let (says, said) = std::sync::mpsc::channel();
        let first = &first;
        let waiter = scope.spawn(move || {
            // SAFETY: takes nothing.
            says.send(unsafe { libc::gettid() }).unwrap();
            drop(first.lock().unwrap());
            walk_robust_list()
        });
        let thread = said.recv().unwrap();
        support::until("the waiter to sleep", || support::asleep(thread));
        drop(guard);
        assert_eq!(walk_robust_list(), 0);
        assert_eq!(waiter.join().unwrap(), 0);
    });
    holder.go_on();
    drop(busy.lock().unwrap());
    assert_eq!(walk_robust_list(), 0);
    holder.go_on();
    holder.join();
}

/// Holds three locks and asks for each of them again, by both of its handles.
fn relock_thrice(family: &str) -> ([SharedLock; 3], [SharedLock; 3]) {
    let [locks, again] = [(); 2].map(|()| [0, 1, 2].map(|which| SharedLock::open(&member(family, which)).unwrap()));
    let guards = locks.each_ref().map(|lock| lock.lock().unwrap());
    for handle in locks.iter().chain(&again) {
        assert!(would_deadlock(handle.lock()));
        assert!(would_deadlock(handle.try_lock_for(Duration::from_secs(9))));
        assert!(would_block(handle.try_lock()));
        assert_eq!(walk_robust_list(), 3);
    }
    std::mem::forget(guards);
    (locks, again)
}

fn relock_and_die(family: &str) {
    let _locks = relock_thrice(family);
    ready_to_die();
}

#[test]
fn relocking_beside_other_locks_is_an_error_and_loses_none_of_them() {
    if !support::has_robust_lists("they are what is tested") {
        return;
    }
    let family = Family::new("relock");
    let locks = [0, 1, 2].map(|which| SharedLock::create(&family.member(which)).unwrap());
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0]] {
        let mut guards = locks.each_ref().map(|lock| Some(lock.lock().unwrap()));
        for (released, which) in order.into_iter().enumerate() {
            assert!(locks.iter().enumerate().all(|(n, lock)| guards[n].is_none() || would_deadlock(lock.lock())));
            guards[which] = None;
            assert_eq!(walk_robust_list(), 2 - released);
            assert!(locks[which].try_lock().is_ok());
        }
    }
    let child = spawn("relock and die", family.name());
    child.expect("ready");
    child.kill();
    assert!(locks.iter().all(|lock| matches!(lock.try_lock(), Err(LockError::Poisoned { .. }))));
}

/// The head of the list of held locks: its link, how far the word is from a node, what is pending.
#[derive(Clone, Copy)]
struct Head(usize);

impl Head {
    fn of_this_thread() -> Self {
        let (mut head, mut len) = (std::ptr::null_mut::<usize>(), 0usize);
        // SAFETY: 0 is the calling thread; both pointers are to locals of the types that the call writes.
        let result = unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut head, &raw mut len) };
        assert_eq!(result, 0);
        Self(head.expose_provenance())
    }

    fn place(self, field: usize) -> *mut usize {
        std::ptr::with_exposed_provenance_mut(self.0 + 8 * field)
    }

    fn first(self) -> usize {
        // SAFETY: the head lives as long as its thread.
        unsafe { self.place(0).read_volatile() }
    }

    fn set_first(self, link: usize) {
        // SAFETY: as above; what the thread itself does with its list is not going on.
        unsafe { self.place(0).write_volatile(link) }
    }

    fn set_pending(self, link: usize) {
        // SAFETY: as above.
        unsafe { self.place(2).write_volatile(link) }
    }
}

/// What the list is made of: ours, and libc's whose links carry a mark.
fn ours_and_inheriting(family: &str) -> ([SharedLock; 2], RobustMutexes<2>) {
    ([0, 1].map(|which| SharedLock::open_or_create(&member(family, which)).unwrap()), RobustMutexes::inheriting())
}

#[test]
fn locks_beside_libcs_that_inherit_priority_are_found_and_released_in_any_order() {
    if !support::has_robust_lists("they are what is tested") {
        return;
    }
    let family = Family::new("inherit");
    let (ours, libcs) = ours_and_inheriting(family.name());
    // Numbers below 2 are ours.
    const ALL: [usize; 4] = [0, 1, 2, 3];
    let orders: Vec<[usize; 4]> = (0..256usize)
        .map(|n| [n & 3, n >> 2 & 3, n >> 4 & 3, n >> 6])
        .filter(|order| ALL.iter().all(|which| order.contains(which)))
        .collect();
    assert_eq!(orders.len(), 24);
    for (taken, released) in orders.iter().flat_map(|taken| orders.iter().map(move |released| (taken, released))) {
        let mut guards = [None, None];
        for which in taken {
            match which {
                0 | 1 => guards[*which] = Some(ours[*which].lock().unwrap()),
                libcs_own => assert_eq!(libcs.lock(libcs_own - 2), 0),
            }
        }
        for (count, which) in released.iter().enumerate() {
            assert_eq!(walk_robust_list(), 4 - count, "{taken:?} {released:?}");
            for (lock, guard) in ours.iter().zip(&guards) {
                assert_eq!(would_deadlock(lock.try_lock_for(A_MOMENT)), guard.is_some(), "{taken:?} {released:?}");
            }
            match which {
                0 | 1 => guards[*which] = None,
                libcs_own => libcs.unlock(libcs_own - 2),
            }
        }
        assert_eq!(walk_robust_list(), 0);
    }
}

fn inherit_and_die(family: &str) {
    for libcs_come_first in [false, true] {
        let (ours, libcs) = ours_and_inheriting(family);
        support::fork(|| {
            for which in [0, 1] {
                let take_libcs = || assert_eq!(libcs.lock(which), 0);
                let take_ours = || std::mem::forget(ours[which].lock().unwrap());
                if libcs_come_first {
                    take_libcs();
                }
                take_ours();
                if !libcs_come_first {
                    take_libcs();
                }
            }
            assert_eq!(walk_robust_list(), 4);
        })
        .join();
        for (which, lock) in ours.iter().enumerate() {
            assert_eq!(libcs.try_lock(which), libc::EOWNERDEAD);
            libcs.make_consistent(which);
            libcs.unlock(which);
            assert!(matches!(lock.try_lock(), Err(LockError::Poisoned { .. })));
            drop(lock.lock_recover(|| ()).unwrap());
        }
    }
}

#[test]
fn who_dies_with_libcs_that_inherit_priority_among_ours_dies_with_all_of_them() {
    if !support::has_robust_lists("they are what is tested") {
        return;
    }
    if !support::is_linux("does not report deaths to futexes that inherit priority") {
        return;
    }
    let family = Family::new("inherit-die");
    spawn("inherit and die", family.name()).join();
}

/// As a signal handler finds it that has come before libc had cleared the slot.
#[test]
fn libcs_lock_that_is_pending_and_listed_is_not_listed_twice() {
    if !support::has_robust_lists("they are what is tested") {
        return;
    }
    let family = Family::new("inherit-twice");
    let (ours, libcs) = ours_and_inheriting(family.name());
    assert_eq!(libcs.lock(0), 0);
    let head = Head::of_this_thread();
    head.set_pending(head.first());
    let guard = ours[0].lock().unwrap();
    assert_eq!(walk_robust_list(), 2);
    drop(guard);
    assert_eq!(walk_robust_list(), 1);
    head.set_pending(0);
    libcs.unlock(0);
    assert_eq!(walk_robust_list(), 0);
}

/// As a signal handler finds it that has come while libc releases: no more in the list, and held. The wait for our lock
/// takes the slot: then it must be in the list, where the kernel finds it.
#[test]
fn libcs_lock_that_is_being_released_is_listed_while_ours_is_waited_for() {
    if !support::has_robust_lists("they are what is tested") {
        return;
    }
    let family = Family::new("inherit-amid");
    let (ours, libcs) = ours_and_inheriting(family.name());
    let guard = ours[0].lock().unwrap();
    let (holds, held) = std::sync::mpsc::channel();
    let (says, said) = std::sync::mpsc::channel();
    let (ours, libcs) = (&ours, &libcs);
    thread::scope(|scope| {
        scope.spawn(move || {
            assert_eq!(libcs.lock(0), 0);
            holds.send(()).unwrap();
            // Only with somebody asleep on it is it told from other words.
            support::until("the other's sleep", || libcs.waited_for(0).then_some(()));
            let head = Head::of_this_thread();
            let link = head.first();
            head.set_first(head.0);
            head.set_pending(link);
            says.send((support::own_tid(), head, link)).unwrap();
            drop(ours[0].lock().unwrap());
            assert_eq!(head.first(), head.0, "as it was found");
            head.set_first(link);
            head.set_pending(0);
            libcs.unlock(0);
        });
        held.recv().unwrap();
        scope.spawn(move || {
            assert_eq!(libcs.lock(0), 0);
            libcs.unlock(0);
        });
        let (thread, head, link) = said.recv().unwrap();
        support::until("the wait for ours", || support::asleep(thread));
        let listed = head.first();
        drop(guard);
        assert_eq!(listed, link, "the first in the list");
    });
}

/// Creation is the place to say that a lock would not be handed over, and why. Who asks for no kind gets one that needs no list.
fn is_refused(name: &str, existing: &str, expected: &str) {
    let futex = SharedValue::<u64>::options().lock_kind(LockKind::Futex);
    for error in [futex.create(name, 7).unwrap_err(), SharedValue::<u64>::open(existing).unwrap_err()] {
        let text = error.to_string();
        assert!(matches!(error, Error::Lock { .. }), "{text}");
        assert!(text.contains("robust list") && text.contains(expected), "{text}");
    }
    assert!(!exists(name));
    let value = SharedValue::create(name, 7u64).unwrap();
    assert_eq!(value.info().unwrap().lock_kind(), LockKind::File);
    value.set(8).unwrap();
}

fn no_list_told(name: &str) {
    let existing = format!("{name}.existing");
    refuse(&[Refused::always(libc::SYS_get_robust_list, libc::EPERM)]);
    is_refused(name, &existing, "get_robust_list");
}

fn no_list_registered(name: &str) {
    let existing = format!("{name}.existing");
    refuse(&[Refused::always(libc::SYS_set_robust_list, libc::ENOSYS)]);
    // The C library asks when a thread begins, and does not mind.
    thread::scope(|scope| scope.spawn(|| is_refused(name, &existing, "registered")).join().unwrap());
}

#[test]
fn where_the_kernel_keeps_no_list_of_locks_creating_and_opening_say_so() {
    if !support::has_robust_lists("they are what is tested") {
        return;
    }
    for role in ["no list told", "no list registered"] {
        let name = Scratch::new("no-list");
        let value = SharedValue::create(&format!("{}.existing", &*name), 7u64).unwrap();
        spawn(role, &name).join();
        assert_eq!(value.get(), 7);
    }
}

/// As in a sandbox that allows only what it knows.
fn no_random_numbers(_: &str) {
    refuse(&[Refused::always(libc::SYS_getrandom, libc::ENOSYS)]);
    let random_part = || robust_shm::unique_name("x").rsplit('-').next().unwrap().to_owned();
    say(format!("{} {}", random_part(), random_part()));
}

#[test]
fn where_the_kernel_gives_no_random_numbers_ids_differ_all_the_same() {
    let mut ids = Vec::new();
    for _ in 0..2 {
        let child = spawn("no random numbers", "");
        ids.extend(child.hear().split(' ').map(str::to_owned));
        child.join();
    }
    let distinct: std::collections::HashSet<_> = ids.iter().collect();
    assert_eq!((ids.len(), distinct.len()), (4, 4), "{ids:?}");
}
