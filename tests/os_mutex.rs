//! `LockKind::OsMutex`: what it cannot do is an error in time and never a hang; everything else is as with other kinds,
//! which the other tests show.

#![cfg(all(target_os = "linux", not(robust_shm_unix)))]
#![allow(unsafe_code)]

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use robust_shm::{Error, LockError, LockKind, SegmentInfo, SharedArray, SharedLock, SharedValue, segments};
use support::{Scratch, asleep, exists, own_tid, play, ready_to_die, say, spawn, until, within_limit};
use support::{is_root, spawn_through};

#[test]
fn child() {
    play(&[
        ("hold", hold),
        ("hold-array", hold_array),
        ("use", use_it),
        ("namesake", namesake),
        ("fork-in-wait", fork_in_wait),
    ]);
}

fn value(name: &str) -> SharedValue<[u64; 8]> {
    SharedValue::options().lock_kind(LockKind::OsMutex).create(name, [1; 8]).unwrap()
}

fn hold(name: &str) {
    let value = SharedValue::<[u64; 8]>::open(name).unwrap();
    let mut guard = value.lock().unwrap();
    guard[0] = 99;
    ready_to_die();
}

fn hold_array(name: &str) {
    let array = SharedArray::<u32, 4>::open(name).unwrap();
    let mut guard = array.lock().unwrap();
    guard[0] = 99;
    ready_to_die();
}

fn kill_a_holder(role: &str, name: &str) -> u32 {
    let child = spawn(role, name);
    child.expect("ready");
    let id = child.id();
    child.kill();
    id
}

#[test]
fn the_creator_chooses_and_openers_follow() {
    let name = Scratch::new("os-mutex");
    let first = value(&name);
    let second = SharedValue::<[u64; 8]>::open_or_create(&name, [2; 8]).unwrap();
    assert!(!second.was_created());
    let info = SegmentInfo::of(&name).unwrap();
    assert_eq!(info.lock_kind(), LockKind::OsMutex);
    assert_eq!((info.holder_thread(), info.holder_process()), (None, None));
    let guard = first.lock().unwrap();
    assert!(matches!(second.try_lock(), Err(LockError::WouldBlock { .. })));
    let info = SegmentInfo::of(&name).unwrap();
    assert_eq!(info.holder_process(), Some(std::process::id()));
    assert!(info.holder_thread().is_some());
    drop(guard);
    let info = SegmentInfo::of(&name).unwrap();
    assert_eq!((info.holder_thread(), info.holder_process()), (None, None), "who has released it is no holder");
    second.set([3; 8]).unwrap();
    assert_eq!(first.get(), [3; 8]);
}

#[test]
fn printing_a_lock_tells_whether_it_is_held() {
    let name = Scratch::new("os-mutex");
    let lock = SharedLock::options().lock_kind(LockKind::OsMutex).create(&name).unwrap();
    let free = format!("{lock:?}");
    let guard = lock.lock().unwrap();
    let held = format!("{lock:?}");
    assert!(held.contains("locked") && !free.contains("locked"), "{free}, {held}");
    drop(guard);
    assert_eq!(format!("{lock:?}"), free);
}

/// Of `raw_sync`'s own timed waits, those that would have to carry nanoseconds into seconds fail at once.
#[test]
fn timed_waits_end_at_their_time_whatever_the_time_is() {
    let name = Scratch::new("os-mutex");
    let value = value(&name);
    let holder = spawn("hold", &name);
    holder.expect("ready");
    let at_the_end_of_a_second = || {
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
        (nanos > 950_000_000).then_some(())
    };
    for timeout in [Duration::from_millis(60), Duration::from_micros(999_999)] {
        until("a time that has to be carried", at_the_end_of_a_second);
        let start = Instant::now();
        let error = value.try_lock_for(timeout).unwrap_err();
        assert!(start.elapsed() >= timeout, "early: {:?}", start.elapsed());
        assert!(matches!(error, LockError::TimedOut { holder: Some(_), .. }), "{error}");
    }
}

#[test]
fn a_killed_holder_is_a_timeout_and_hangs_no_call_without_a_lock() {
    let name = Scratch::new("os-mutex");
    let first = value(&name);
    let dead = kill_a_holder("hold", &name);
    let test = name.to_owned();
    within_limit("something", move || {
        let name = &*test;
        assert!(matches!(first.try_lock(), Err(LockError::WouldBlock { .. })));
        let error = first.try_lock_for(Duration::from_millis(20)).unwrap_err();
        assert!(matches!(error, LockError::TimedOut { holder: Some(holder), .. } if holder >= dead), "{error}");
        assert!(matches!(first.try_lock_for(Duration::ZERO), Err(LockError::TimedOut { .. })));
        assert_eq!(first.get(), [1; 8], "the dead has committed nothing");
        assert!(format!("{first:?}").contains('1'));
        let second = SharedValue::<[u64; 8]>::open(name).unwrap();
        assert!(matches!(second.try_lock(), Err(LockError::WouldBlock { .. })));
        assert_eq!(second.get(), [1; 8]);
        assert!(SegmentInfo::of(name).unwrap().holder_thread().is_some());
        assert!(segments().filter_map(Result::ok).any(|info| info.name() == name));
        robust_shm::remove_orphans().unwrap();
        drop(second);
        robust_shm::remove(name).unwrap();
        drop(value(name));
        drop(first);
    });
    assert!(!exists(&name));
}

#[test]
fn the_last_to_leave_takes_a_lock_that_a_dead_process_holds_along() {
    let name = Scratch::new("os-mutex");
    let first = value(&name);
    kill_a_holder("hold", &name);
    drop(first);
    assert!(!exists(&name));
    value(&name).set([2; 8]).unwrap();
}

#[test]
fn a_persistent_segment_whose_users_are_all_gone_starts_with_a_free_lock() {
    let name = Scratch::new("os-mutex");
    let options = || SharedValue::<[u64; 8]>::options().lock_kind(LockKind::OsMutex).persistent(true);
    drop(options().create(&name, [1; 8]).unwrap());
    kill_a_holder("hold", &name);
    let next = SharedValue::<[u64; 8]>::open(&name).unwrap();
    next.try_lock_for(Duration::from_secs(20)).unwrap()[0] = 7;
    assert_eq!(next.get()[0], 7);
}

#[test]
fn what_a_dead_holder_may_have_torn_is_poisoned_when_its_lock_is_free_again() {
    let name = Scratch::new("os-mutex");
    let options = || SharedArray::<u32, 4>::options().lock_kind(LockKind::OsMutex).persistent(true);
    drop(options().create(&name).unwrap());
    kill_a_holder("hold-array", &name);
    let array = SharedArray::<u32, 4>::open(&name).unwrap();
    assert!(array.is_poisoned());
    assert!(matches!(array.try_lock(), Err(LockError::Poisoned { .. })));
    drop(array.lock_recover(|elements| elements[0] = 0).unwrap());
    drop(array);
    assert!(SharedArray::<u32, 4>::open(&name).unwrap().try_lock().is_ok());

    let name = Scratch::new("os-mutex");
    drop(options().poison(false).create(&name).unwrap());
    kill_a_holder("hold-array", &name);
    assert!(SharedArray::<u32, 4>::open(&name).unwrap().try_lock().is_ok());
}

#[test]
fn a_persistent_lock_remembers_poison_and_only_poison_when_all_have_gone() {
    let name = Scratch::new("os-mutex");
    let lock = SharedLock::options().lock_kind(LockKind::OsMutex).persistent(true).create(&name).unwrap();
    drop(lock.lock().unwrap());
    drop(lock);
    let lock = SharedLock::open(&name).unwrap();
    assert!(!lock.is_poisoned() && !SegmentInfo::of(&name).unwrap().is_poisoned(), "it was released");
    assert!(catch_unwind(AssertUnwindSafe(|| lock.with(|| panic!("inside")))).is_err());
    drop(lock);
    let lock = SharedLock::open(&name).unwrap();
    assert!(matches!(lock.try_lock(), Err(LockError::Poisoned { .. })));
    drop(lock.lock_recover(|| ()).unwrap());
    drop(lock);
    assert!(SharedLock::open(&name).unwrap().try_lock().is_ok());
}

#[test]
fn a_leaked_guard_keeps_the_lock_and_its_handle_may_go() {
    let name = Scratch::new("os-mutex");
    let lock = SharedLock::options().lock_kind(LockKind::OsMutex).create(&name).unwrap();
    let other = SharedLock::open(&name).unwrap();
    std::mem::forget(lock.lock().unwrap());
    drop(lock);
    assert!(matches!(other.lock(), Err(LockError::WouldDeadlock { .. })));
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(matches!(other.try_lock_for(Duration::ZERO), Err(LockError::TimedOut { .. }))));
    });
    drop(other);
    assert!(!exists(&name));
}

fn use_it(name: &str) {
    let value = SharedValue::<[u64; 8]>::open(name).unwrap();
    assert!(matches!(value.try_lock_for(Duration::ZERO), Err(LockError::TimedOut { holder: None, .. })));
    say("open");
    value.lock().unwrap()[0] += 1;
}

fn namesake(name: &str) {
    let value = SharedValue::<[u64; 8]>::open(name).unwrap();
    let me = own_tid().cast_unsigned();
    assert_eq!(SegmentInfo::of(name).unwrap().holder_thread(), Some(me), "each is the first of its namespace");
    let error = value.try_lock_for(Duration::ZERO).unwrap_err();
    assert!(matches!(error, LockError::TimedOut { .. }), "{error}");
}

#[test]
fn users_may_be_in_several_pid_namespaces_and_nobody_is_named_across_them() {
    if !is_root("to make PID namespaces") {
        return;
    }
    let name = Scratch::new("os-mutex");
    let value = value(&name);
    let guard = value.lock().unwrap();
    let other = spawn_through(&["unshare", "--pid", "--fork", "--kill-child"], "use", &name);
    other.expect("open");
    drop(guard);
    other.join();
    assert_eq!(value.get()[0], 2);

    // Two first processes of two namespaces have the same id; neither is the other.
    let holder = spawn_through(&["unshare", "--pid", "--fork", "--kill-child"], "hold", &name);
    holder.expect("ready");
    assert_eq!(SegmentInfo::of(&name).unwrap().holder_process(), None, "an id of another namespace");
    spawn_through(&["unshare", "--pid", "--fork", "--kill-child"], "namesake", &name).join();
}

/// Goes on in the parent and in the child: each in the call that was interrupted.
extern "C" fn fork_in_handler(_signal: libc::c_int) {
    // SAFETY: whatever runs on in the child is meant to.
    assert!(unsafe { libc::fork() } >= 0);
    // SAFETY: takes an integer; it ends what hangs.
    unsafe { libc::alarm(support::LIMIT.as_secs() as libc::c_uint) };
}

fn fork_in_wait(name: &str) {
    let value = SharedValue::<[u64; 8]>::open(name).unwrap();
    // SAFETY: a handler of the right type.
    unsafe { libc::signal(libc::SIGUSR1, fork_in_handler as *const () as usize) };
    let parent = std::process::id();
    say(own_tid());
    let mut guard = value.lock().unwrap();
    assert_eq!(SegmentInfo::of(name).unwrap().holder_process(), Some(std::process::id()), "it says who has it now");
    assert!(matches!(value.lock(), Err(LockError::WouldDeadlock { .. })));
    guard[0] += 1;
    drop(guard);
    if std::process::id() != parent {
        support::end_with(|| ());
    }
    let mut status = -1;
    // SAFETY: a place for the status of the only child.
    let ended = unsafe { libc::wait(&raw mut status) };
    assert!(ended > 0 && status == 0, "the child ended with {status}");
}

/// musl counts the sleepers in the mutex, and does not know of the child: it may not be woken. So it is documented.
#[test]
#[cfg_attr(target_env = "musl", ignore = "musl's mutex does not know of such a child")]
fn a_child_that_is_forked_amid_a_wait_waits_for_itself() {
    let name = Scratch::new("os-mutex");
    let value = value(&name);
    let mut guard = value.lock().unwrap();
    let waiter = spawn("fork-in-wait", &name);
    let thread: libc::pid_t = waiter.hear().parse().unwrap();
    let attached = || SegmentInfo::of(&name).unwrap().attached();
    until("the waiter's sleep", || (attached() == 2).then(|| asleep(thread)).flatten());
    // To the thread that waits: the harness has another.
    // SAFETY: takes integers; a child of ours that has not been waited for.
    let sent = unsafe { libc::syscall(libc::SYS_tgkill, waiter.id(), thread, libc::SIGUSR1) };
    assert_eq!(sent, 0);
    until("its child", || (attached() == 3).then_some(()));
    guard[0] = 10;
    drop(guard);
    waiter.join();
    assert_eq!(value.get()[0], 12);
}

#[test]
fn a_mutex_of_another_c_library_is_refused_looked_at_and_removed() {
    use support::FileExt;
    let name = Scratch::new("os-mutex");
    let options = SharedLock::options().lock_kind(LockKind::OsMutex).persistent(true);
    drop(options.create(&name).unwrap());
    let file = std::fs::File::options().read(true).write(true).open(support::path(&name)).unwrap();
    const C_LIBRARY: u64 = 260;
    let mut here = [0; 4];
    file.read_exact_at(&mut here, C_LIBRARY).unwrap();
    let other = 3 - u32::from_ne_bytes(here);
    file.write_all_at(&other.to_ne_bytes(), C_LIBRARY).unwrap();
    let error = SharedLock::open(&name).unwrap_err();
    assert!(matches!(error, Error::UnsupportedFormat { .. }), "{error}");
    assert!(error.to_string().contains("glibc") && error.to_string().contains("musl"), "{error}");
    assert_eq!(SegmentInfo::of(&name).unwrap().lock_kind(), LockKind::OsMutex);
    robust_shm::remove(&name).unwrap();
}

/// So that a relock is not taken for a dead namesake's lock, nor that for a relock.
#[test]
fn each_thread_signs_with_a_number_of_its_own() {
    const RECORD: u64 = 560;
    const DRAWN: u32 = 43; // above the thread's id and its namespace
    let name = Scratch::new("os-mutex");
    let value = value(&name);
    let file = std::fs::File::open(support::path(&name)).unwrap();
    let drawn_by_a_thread = || {
        let _guard = value.lock().unwrap();
        let mut record = [0; 8];
        support::FileExt::read_exact_at(&file, &mut record, RECORD).unwrap();
        u64::from_ne_bytes(record) >> DRAWN
    };
    let drawn: Vec<u64> =
        (0..8).map(|_| std::thread::scope(|scope| scope.spawn(drawn_by_a_thread).join().unwrap())).collect();
    assert!(drawn.iter().any(|number| *number != drawn[0]), "{drawn:?}");
}
