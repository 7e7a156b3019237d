//! A signal handler that forks while its thread waits for a lock: parent and child go on in the same call, each as itself.
#![cfg(target_os = "linux")]
#![allow(unsafe_code)]

#[path = "support/deaths.rs"]
mod deaths;
mod support;

use std::cell::Cell;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

use deaths::{handle, robust_list_is_empty};
use robust_shm::{
    Error, LockError, LockKind, SegmentInfo, SharedArray, SharedLock, SharedRwLock, SharedSemaphore, SharedValue,
    dynamic,
};
use support::{Family, Forked, LIMIT, Role, asleep, member, pause, play, say, spawn, until};

#[test]
fn child() {
    play(&[
        ("wait", |family| in_two(family, |value, _| drop(in_turn(value.lock().unwrap())))),
        ("wait for long", |family| in_two(family, |value, _| drop(in_turn(value.try_lock_for(LIMIT).unwrap())))),
        ("wait for a moment", |family| {
            in_two(family, |value, _| {
                let error = value.try_lock_for(Duration::from_millis(500)).unwrap_err();
                assert!(matches!(error, LockError::TimedOut { holder: Some(_), .. }), "{error}");
                say("gave up");
            });
        }),
        ("wait and stay in the handler", |family| {
            STAYS.store(true, Ordering::Relaxed);
            in_two(family, |value, _| drop(in_turn(value.lock().unwrap())));
        }),
        ("wait and fork where it is asked", |family| {
            in_two(family, |value, _| {
                handle(libc::SIGUSR1, nothing);
                let ask = &mut || {
                    if CHILD.load(Ordering::Relaxed) == -1 {
                        fork_here(0);
                    }
                    false
                };
                drop(in_turn(dynamic::interruptible(ask, || value.lock()).unwrap()));
            });
        }),
        ("wants a permit", |family| {
            let semaphore = SharedSemaphore::open(&member(family, 0)).unwrap();
            twice(|| drop(semaphore.acquire().unwrap()));
        }),
        ("wants to change elements", |family| {
            let array = Array::open(&member(family, 0)).unwrap();
            twice(|| {
                array
                    .update(|elements| {
                        assert_holds(array.name());
                        elements[0] += 1;
                    })
                    .unwrap();
            });
        }),
        ("wants to read elements", |family| {
            let array = Array::open(&member(family, 0)).unwrap();
            twice(|| drop(array.read().unwrap()));
        }),
        ("wants to write", |family| {
            let lock = SharedRwLock::open(&member(family, 0)).unwrap();
            twice(|| {
                let _guard = lock.write().unwrap();
                assert_holds(lock.name());
            });
        }),
        ("wants to read", |family| {
            let lock = SharedRwLock::open(&member(family, 0)).unwrap();
            twice(|| drop(lock.read().unwrap()));
        }),
        ("wait with another held", |family| {
            in_two(family, |value, other| {
                let held = other.lock().unwrap();
                drop(in_turn(value.lock().unwrap()));
                drop(held);
                // What the parent held is the parent's; it is free only when that has let it go.
                drop(other.try_lock_for(LIMIT).unwrap());
            });
        }),
    ]);
}

static CHILD: AtomicI32 = AtomicI32::new(0);
/// Does the parent stay in its handler until it is told to go on?
static STAYS: AtomicBool = AtomicBool::new(false);

extern "C" fn fork_here(_signal: libc::c_int) {
    // SAFETY: the interrupted code is a system call of ours that waits; no other thread matters.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: integers. The child does not outlive a parent that was killed.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    }
    CHILD.store(pid, Ordering::Relaxed);
    if pid != 0 && STAYS.load(Ordering::Relaxed) {
        pause();
    }
}

extern "C" fn nothing(_signal: libc::c_int) {}

extern "C" fn look(_signal: libc::c_int) {
    say("looks");
}

fn thread_id() -> libc::pid_t {
    // SAFETY: takes nothing, cannot fail. Past libc's caches.
    unsafe { libc::syscall(libc::SYS_gettid) as libc::pid_t }
}

/// This very thread, in the eyes of others.
fn assert_holds(name: &str) {
    assert_eq!(SegmentInfo::of(name).unwrap().holder_thread(), Some(thread_id().unsigned_abs()));
}

fn in_two(family: &str, body: fn(&SharedValue<u64>, &SharedLock)) {
    let value = SharedValue::<u64>::open(&member(family, 0)).unwrap();
    let other = SharedLock::open(&member(family, 1)).unwrap();
    twice(|| body(&value, &other));
}

/// The body is run to its end by two processes, if the signal comes while it waits.
fn twice(body: impl FnOnce()) {
    handle(libc::SIGUSR1, fork_here);
    handle(libc::SIGUSR2, look);
    CHILD.store(-1, Ordering::Relaxed);
    say(thread_id());
    body();
    assert!(robust_list_is_empty());
    match CHILD.load(Ordering::Relaxed) {
        -1 => panic!("nothing has forked"),
        // SAFETY: ends the child, which has only this thread of its parent's.
        0 => unsafe { libc::_exit(0) },
        pid => Forked::adopt(pid).join(),
    }
}

fn in_turn<G>(guard: G) -> G {
    say(format!("has it: {}", thread_id()));
    pause();
    say("leaves it");
    guard
}

/// To this very thread: the harness has others.
fn signal(process: u32, thread: libc::pid_t, signal: libc::c_int) {
    // SAFETY: takes integers; the thread waits for a lock.
    assert_eq!(unsafe { libc::syscall(libc::SYS_tgkill, process, thread, signal) }, 0);
}

struct Two {
    family: Family,
    first: Role,
    /// The thread ids: of the role, and of the child that it has forked.
    ids: [libc::pid_t; 2],
}

/// Starts the role, and has it fork while it waits.
fn doubled_while_it_waits(role: &str, family: Family) -> Two {
    let first = spawn(role, family.name());
    let id: libc::pid_t = first.hear().parse().unwrap();
    // Wait for the sleep in the lock, not for one before it: it has said its id, and has nothing else to wait for.
    until("the wait", || asleep(id));
    fork_in_the_wait(first, id, family)
}

fn fork_in_the_wait(first: Role, id: libc::pid_t, family: Family) -> Two {
    signal(first.id(), id, libc::SIGUSR1);
    let children = format!("/proc/{id}/task/{id}/children");
    let child = until("the child", || std::fs::read_to_string(&children).ok()?.trim().parse().ok());
    for id in [id, child] {
        until("both to wait", || asleep(id));
    }
    Two { family, first, ids: [id, child] }
}

fn new_family() -> (Family, SharedValue<u64>, SharedLock) {
    let family = Family::new("doubled");
    let value = SharedValue::create(&family.member(0), 0u64).unwrap();
    let other = SharedLock::create(&family.member(1)).unwrap();
    (family, value, other)
}

fn holder(two: &Two) -> Option<u32> {
    SegmentInfo::of(&two.family.member(0)).unwrap().holder_thread()
}

/// Both have it, one after the other, and under their own names.
fn both_have_it_in_turn(two: &mut Two) {
    let has_it = |two: &Two| {
        let id: libc::pid_t = two.first.hear().strip_prefix("has it: ").expect("one at a time").parse().unwrap();
        assert_eq!(holder(two), Some(id.unsigned_abs()));
        id
    };
    let before = has_it(two);
    let [after] = two.ids.iter().filter(|id| **id != before).copied().collect::<Vec<_>>().try_into().unwrap();
    // However often the other looks meanwhile: its namesake lives.
    for _ in 0..3 {
        until("the other to wait", || asleep(after));
        let process = if after == two.ids[0] { two.first.id() } else { after.unsigned_abs() };
        signal(process, after, libc::SIGUSR2);
        two.first.expect("looks");
    }
    until("the other to wait", || asleep(after));
    assert_eq!(holder(two), Some(before.unsigned_abs()));
    two.first.go_on();
    two.first.expect("leaves it");
    assert_eq!(has_it(two), after);
    two.first.go_on();
    two.first.expect("leaves it");
}

#[test]
fn a_child_that_was_forked_in_a_wait_waits_as_itself() {
    for role in ["wait", "wait for long", "wait and fork where it is asked"] {
        let (family, value, _other) = new_family();
        let guard = value.lock().unwrap();
        let mut two = doubled_while_it_waits(role, family);
        drop(guard);
        both_have_it_in_turn(&mut two);
        two.first.join();
        assert!(value.try_lock().is_ok());
    }
}

/// The claim to be preferred is the parent's, which comes back to its wait later.
#[test]
fn a_child_that_was_forked_in_a_wait_leaves_its_parent_its_claim() {
    const RESERVATION: u64 = 572;
    let (family, value, _other) = new_family();
    let file = std::fs::File::open(support::path(&family.member(0))).unwrap();
    let claim = || {
        let mut bytes = [0; 4];
        file.read_exact_at(&mut bytes, RESERVATION).unwrap();
        Some(u32::from_ne_bytes(bytes)).filter(|claim| *claim != 0)
    };
    let guard = value.lock().unwrap();
    let first = spawn("wait and stay in the handler", family.name());
    let id: libc::pid_t = first.hear().parse().unwrap();
    // Who has slept for a while and is awake again claims the lock before it sleeps once more.
    let claimed = until("the claim", || {
        until("the wait", || asleep(id));
        signal(first.id(), id, libc::SIGUSR2);
        first.expect("looks");
        until("the wait", || asleep(id));
        claim()
    });
    let mut two = fork_in_the_wait(first, id, family);
    // It has begun anew, and for itself, before it slept.
    assert_eq!(claim(), Some(claimed));
    two.first.go_on();
    until("both to wait", || asleep(id));
    drop(guard);
    both_have_it_in_turn(&mut two);
    two.first.join();
    assert!(value.try_lock().is_ok());
}

#[test]
fn a_child_that_was_forked_in_a_wait_inherits_no_lock() {
    let (family, value, other) = new_family();
    let guard = value.lock().unwrap();
    let mut two = doubled_while_it_waits("wait with another held", family);
    drop(guard);
    both_have_it_in_turn(&mut two);
    two.first.join();
    assert!(value.try_lock().is_ok() && other.try_lock().is_ok());
}

#[test]
fn a_child_that_was_forked_in_a_wait_gives_up_as_itself() {
    let (family, value, _other) = new_family();
    let guard = value.lock().unwrap();
    let two = doubled_while_it_waits("wait for a moment", family);
    two.first.expect("gave up");
    two.first.expect("gave up");
    two.first.join();
    drop(guard);
    assert!(value.try_lock().is_ok());
}

type Array = SharedArray<u64, 4>;

/// What somebody has, and for which both wait; whether it is whole when both have had it.
fn both_go_on<H>(
    role: &str,
    new: impl Fn(LockKind, &str) -> Result<H, Error>,
    in_the_way: impl Fn(&H, &dyn Fn()),
    is_whole: impl Fn(&H) -> bool,
) {
    for kind in [LockKind::Futex, LockKind::File].into_iter().filter(|kind| kind.is_available()) {
        let family = Family::new("doubled");
        let one = new(kind, &family.member(0)).unwrap();
        let (family, two) = (Cell::new(Some(family)), Cell::new(None));
        in_the_way(&one, &|| two.set(Some(doubled_while_it_waits(role, family.take().unwrap()))));
        two.take().unwrap().first.join();
        assert!(is_whole(&one), "{role}, {kind:?}");
    }
}

#[test]
fn a_child_that_was_forked_while_its_parent_waited_for_a_permit_has_one_for_itself() {
    both_go_on(
        "wants a permit",
        |kind, name| SharedSemaphore::options().lock_kind(kind).create(name, 1),
        |semaphore, during| {
            let _permit = semaphore.acquire().unwrap();
            during();
        },
        |semaphore| semaphore.available() == 1,
    );
}

/// The writer has the lock already, and the child has not.
#[test]
fn a_child_that_was_forked_while_its_parent_waited_for_readers_or_writers_comes_by_itself() {
    let array = |kind, name: &str| Array::options().lock_kind(kind).create(name);
    let lock = |kind, name: &str| SharedRwLock::options().lock_kind(kind).create(name);
    let is_whole = |array: &Array| array.try_read().is_ok() && array.try_lock().is_ok();
    both_go_on(
        "wants to change elements",
        array,
        |array, during| {
            let _guard = array.read().unwrap();
            during();
        },
        |array| is_whole(array) && array.get(0).unwrap() == 2,
    );
    both_go_on("wants to read elements", array, |array, during| array.update(|_| during()).unwrap(), is_whole);
    let is_whole = |lock: &SharedRwLock| lock.try_read().is_ok() && lock.try_write().is_ok();
    both_go_on(
        "wants to write",
        lock,
        |lock, during| {
            let _guard = lock.read().unwrap();
            during();
        },
        is_whole,
    );
    both_go_on(
        "wants to read",
        lock,
        |lock, during| {
            let _guard = lock.write().unwrap();
            during();
        },
        is_whole,
    );
}
