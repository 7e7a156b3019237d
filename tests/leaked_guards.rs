//! Guards that are leaked: the lock stays held for as long as its thread lives, whatever becomes of the handles, and goes
//! to the next one when it ends.

#![cfg_attr(not(target_os = "linux"), allow(dead_code, unused_imports, reason = "for the parts that need Linux"))]
#![allow(unsafe_code)]

#[cfg(target_os = "linux")]
#[path = "support/seccomp.rs"]
mod seccomp;
mod support;

use std::mem::forget;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use robust_shm::{
    LockError, SegmentInfo, SharedArray, SharedLock, SharedRwLock, SharedSemaphore, SharedSlice, SharedValue,
};
#[cfg(target_os = "linux")]
use seccomp::{Refused, refuse};
#[cfg(target_os = "linux")]
use support::fork;
use support::{Family, LIMIT, Scratch, exists, member, pause, play, say, spawn};

type Array = SharedArray<u64, 4>;

#[test]
fn child() {
    play(&[
        ("value", |name| {
            leak(name, SharedValue::options().persistent(true).create(name, 7u64).unwrap(), |it| forget(it.lock()))
        }),
        ("array", |name| leak(name, persistent(name), |it| forget(it.lock()))),
        ("lock", |name| {
            leak(name, SharedLock::options().persistent(true).create(name).unwrap(), |it| forget(it.lock()))
        }),
        ("slice", |name| {
            leak(name, SharedSlice::<u64>::options().persistent(true).create(name, 4).unwrap(), |it| forget(it.lock()))
        }),
        ("reader", |name| leak(name, persistent(name), |it| forget(it.read()))),
        ("reader of a lock", |name| leak(name, rwlock(name), |it| forget(it.read()))),
        ("writer of a lock", |name| leak(name, rwlock(name), |it| forget(it.write()))),
        ("permit", |name| leak(name, two_permits(name), |it| forget(it.acquire()))),
        ("owned permit", |name| leak(name, Arc::new(two_permits(name)), |it| forget(it.acquire_owned()))),
        ("twice", leaked_through_the_second_handle),
        ("thread", leaked_by_another_thread),
        #[cfg(target_os = "linux")]
        ("before a fork", leaked_before_a_fork),
        #[cfg(target_os = "linux")]
        ("across a fork", held_across_a_fork),
        #[cfg(target_os = "linux")]
        ("after a fork", exits_after_a_fork),
        ("not persistent", not_persistent),
        #[cfg(target_os = "linux")]
        ("in a sandbox", leaked_in_a_sandbox),
    ]);
}

fn persistent(name: &str) -> Array {
    Array::options().persistent(true).create(name).unwrap()
}

fn rwlock(name: &str) -> SharedRwLock {
    SharedRwLock::options().persistent(true).create(name).unwrap()
}

fn two_permits(name: &str) -> SharedSemaphore {
    SharedSemaphore::options().persistent(true).create(name, 2).unwrap()
}

/// Has the test look, and uses the thread's list of held locks, in which the leaked one stands.
fn let_others_look(name: &str) {
    say("leaked");
    pause();
    let others = [1, 2, 3].map(|which| SharedLock::create(&member(name, which)).unwrap());
    for _ in 0..1_000 {
        let guards = others.each_ref().map(|lock| lock.lock().unwrap());
        drop(guards);
    }
    say("locked others");
    pause();
}

fn leak<H>(name: &str, handle: H, lock_and_forget: impl FnOnce(&H)) {
    lock_and_forget(&handle);
    drop(handle);
    let_others_look(name);
}

fn leaked_through_the_second_handle(name: &str) {
    let first = persistent(name);
    let second = Array::open(name).unwrap();
    forget(second.lock());
    drop(second);
    drop(first);
    let_others_look(name);
}

fn leaked_by_another_thread(name: &str) {
    let array = Arc::new(persistent(name));
    let (has_leaked, leaked) = channel();
    let (is_dropped, dropped) = channel::<()>();
    let leaker = thread::spawn({
        let (array, name) = (Arc::clone(&array), name.to_owned());
        move || {
            forget(array.lock());
            drop(array);
            has_leaked.send(()).unwrap();
            dropped.recv().unwrap();
            let_others_look(&name);
        }
    });
    leaked.recv().unwrap();
    drop(array);
    is_dropped.send(()).unwrap();
    leaker.join().unwrap();
}

#[cfg(target_os = "linux")]
fn leaked_before_a_fork(name: &str) {
    let mut array = Some(persistent(name));
    forget(array.as_ref().unwrap().lock());
    fork(|| {
        drop(array.take());
        // The parent's lock keeps nothing here, though it is held at the same address.
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        assert!(!maps.contains(name), "{maps}");
    })
    .join();
    drop(array);
    fork(|| ()).join();
    let_others_look(name);
}

/// The child has the handle, and a copy of the guard, longer than the parent has its own.
#[cfg(target_os = "linux")]
fn held_across_a_fork(name: &str) {
    let mut array = Some(persistent(name));
    forget(array.as_ref().unwrap().lock());
    let (stay, go) = std::io::pipe().unwrap();
    let mut go = Some(go);
    let child = fork(|| {
        drop(go.take());
        let _ = std::io::Read::read(&mut &stay, &mut [0]);
        forget(array.take());
    });
    drop(array.take());
    drop(go);
    child.join();
    let_others_look(name);
}

/// The exit hook comes while another thread holds the lock; a fork has been made before.
#[cfg(target_os = "linux")]
fn exits_after_a_fork(name: &str) {
    extern "C" fn look() {
        say("leaked");
        pause();
        say("locked others");
        pause();
    }
    static ARRAY: OnceLock<Array> = OnceLock::new();
    // Before the crate's own hook, and so called after it.
    // SAFETY: the hook is a function of this program.
    let registered = unsafe { libc::atexit(look) };
    assert_eq!(registered, 0);
    let array = ARRAY.get_or_init(|| persistent(name));
    fork(|| ()).join();
    let (holds, is_held) = channel();
    thread::spawn(move || {
        let _guard = array.lock().unwrap();
        holds.send(()).unwrap();
        thread::park();
    });
    is_held.recv().unwrap();
    std::process::exit(0);
}

/// Where nobody is told whether a thread exists.
#[cfg(target_os = "linux")]
fn leaked_in_a_sandbox(name: &str) {
    refuse(&[libc::SYS_tgkill, libc::SYS_tkill].map(|call| Refused::always(call, libc::EPERM)));
    leak(name, persistent(name), |it| forget(it.lock()));
}

fn not_persistent(name: &str) {
    let array = Array::create(name).unwrap();
    forget(array.lock());
    drop(array);
    let_others_look(name);
}

fn times_out<R>(result: Result<R, LockError>) -> bool {
    matches!(result, Err(LockError::TimedOut { .. }))
}

const A_MOMENT: Duration = Duration::from_millis(50);

/// Was seen as: the newcomer found no user, took the lock for a dead holder's, and put the node into his own list while
/// it stood in the holder's.
///
/// Another one waits for it, and has it then.
fn is_held_until_its_thread_ends(role: &str, is_held: fn(&str) -> bool, has_it: fn(&str) -> bool) {
    let family = Family::new("leaked");
    let name = Scratch(family.name().to_owned());
    let mut child = spawn(role, &name);
    child.expect("leaked");
    assert_eq!(SegmentInfo::of(&name).unwrap().attached(), 1, "{role}");
    assert!(is_held(&name), "{role}");
    child.go_on();
    child.expect("locked others");
    assert!(is_held(&name), "{role}");
    let (says, heard) = channel();
    let waits_for = name.0.clone();
    let next = thread::spawn(move || says.send(has_it(&waits_for)).unwrap());
    child.go_on();
    child.join();
    assert_eq!(heard.recv_timeout(LIMIT), Ok(true), "{role}");
    next.join().unwrap();
    robust_shm::remove(&name).unwrap();
}

fn array_is_held(name: &str) -> bool {
    times_out(Array::open(name).unwrap().try_lock_for(A_MOMENT))
}

fn array_is_poisoned(name: &str) -> bool {
    matches!(Array::open(name).unwrap().lock(), Err(LockError::Poisoned { .. }))
}

#[test]
fn a_leaked_guard_holds_until_its_thread_ends_although_no_handle_is_left() {
    is_held_until_its_thread_ends("array", array_is_held, array_is_poisoned);
    #[cfg(target_os = "linux")]
    is_held_until_its_thread_ends("in a sandbox", array_is_held, array_is_poisoned);
    is_held_until_its_thread_ends("twice", array_is_held, array_is_poisoned);
    is_held_until_its_thread_ends(
        "value",
        |name| times_out(SharedValue::<u64>::open(name).unwrap().try_lock_for(A_MOMENT)),
        |name| *SharedValue::<u64>::open(name).unwrap().lock().unwrap() == 7,
    );
    is_held_until_its_thread_ends(
        "lock",
        |name| times_out(SharedLock::open(name).unwrap().try_lock_for(A_MOMENT)),
        |name| matches!(SharedLock::open(name).unwrap().lock(), Err(LockError::Poisoned { .. })),
    );
}

#[test]
fn so_do_readers_of_the_family_its_writers_and_its_permits() {
    is_held_until_its_thread_ends("slice", array_is_held, array_is_poisoned);
    is_held_until_its_thread_ends("reader", array_is_held, |name| Array::open(name).unwrap().lock().is_ok());
    is_held_until_its_thread_ends(
        "reader of a lock",
        |name| times_out(SharedRwLock::open(name).unwrap().try_write_for(A_MOMENT)),
        |name| SharedRwLock::open(name).unwrap().write().is_ok(),
    );
    is_held_until_its_thread_ends(
        "writer of a lock",
        |name| times_out(SharedRwLock::open(name).unwrap().try_read_for(A_MOMENT)),
        |name| matches!(SharedRwLock::open(name).unwrap().read(), Err(LockError::Poisoned { .. })),
    );
    for role in ["permit", "owned permit"] {
        is_held_until_its_thread_ends(
            role,
            |name| SharedSemaphore::open(name).unwrap().available() == 1,
            |name| {
                let semaphore = SharedSemaphore::open(name).unwrap();
                [(); 2].map(|()| semaphore.acquire()).iter().all(Result::is_ok)
            },
        );
    }
}

/// Was seen as: who takes the lock notes where its node is a moment later, and until then the lock seemed to be held through
/// the handle that had it before; so that was taken for one whose guard was leaked, and never left.
#[test]
fn a_handle_leaves_although_others_are_just_taking_the_lock() {
    const HANDLES: usize = 2_000;
    let name = Scratch::new("no-leak");
    let (busy, is_over) = (SharedLock::create(&name).unwrap(), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    drop(busy.lock().unwrap());
                }
            });
        }
        for _ in 0..HANDLES {
            let own = SharedLock::open(&name).unwrap();
            drop(own.lock().unwrap());
        }
        is_over.store(true, Relaxed);
    });
    // A child that another test is just starting has the descriptions of those who have left until its `exec`.
    support::until("the others to be gone", || (SegmentInfo::of(&name).unwrap().attached() == 1).then_some(()));
    drop(busy);
    assert!(!exists(&name));
}

#[test]
fn so_does_one_that_another_thread_than_the_handles_last_owner_has_leaked() {
    is_held_until_its_thread_ends("thread", array_is_held, array_is_poisoned);
}

#[cfg(target_os = "linux")]
#[test]
fn so_does_one_that_was_leaked_before_a_fork_and_one_that_a_child_has_a_copy_of() {
    is_held_until_its_thread_ends("before a fork", array_is_held, array_is_poisoned);
    is_held_until_its_thread_ends("across a fork", array_is_held, array_is_poisoned);
}

#[cfg(target_os = "linux")]
#[test]
fn a_lock_that_is_held_at_exit_is_held_to_the_end_of_a_process_that_has_forked() {
    is_held_until_its_thread_ends("after a fork", array_is_held, array_is_poisoned);
}

#[test]
fn a_segment_that_is_kept_by_a_leaked_guard_goes_with_its_process() {
    let name = Scratch::new("leaked-temporary");
    let mut child = spawn("not persistent", &name);
    child.expect("leaked");
    assert!(array_is_held(&name));
    child.go_on();
    child.expect("locked others");
    child.go_on();
    child.join();
    assert!(!exists(&name));
}
