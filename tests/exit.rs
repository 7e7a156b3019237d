//! Processes and threads that end in unusual ways: with their memory reaped, with thousands of locks, through `exit` with
//! handles in statics, through destructors of thread-locals.
#![cfg_attr(not(target_os = "linux"), allow(dead_code, unused_imports, reason = "for the parts that need Linux"))]
#![allow(unsafe_code)]

#[path = "support/deaths.rs"]
mod deaths;
mod support;

use std::cell::RefCell;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use deaths::{is_poisoned, wait_for_poison};
use robust_shm::{LockError, SharedArray, SharedLock, SharedValue, ValueGuard};
use support::{Family, Need, Scratch, Stopwatch, member, pause, play, ready_to_die, say, skip, spawn};

#[test]
fn child() {
    play(&[
        #[cfg(target_os = "linux")]
        ("idle", hold_with_idle_priority),
        #[cfg(target_os = "linux")]
        ("thousands", thousands),
        ("statics", statics),
        #[cfg(target_os = "linux")]
        ("exits-slowly", exits_slowly),
        #[cfg(target_os = "linux")]
        ("forks and exits slowly", forks_and_exits_slowly),
    ]);
}

// A killed process whose memory is taken before it can run its own end, as the OOM killer's reaper does.

/// Restricts the calling thread to the first processor that it may use.
#[cfg(target_os = "linux")]
fn pin() {
    // SAFETY: all-zero bytes are an empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    let size = size_of_val(&set);
    // SAFETY: the pointer and the size describe the set.
    unsafe { libc::sched_getaffinity(0, size, &raw mut set) };
    // SAFETY: asks about processors below the size of the set.
    let first = (0..libc::CPU_SETSIZE as usize).find(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) }).unwrap();
    // SAFETY: as above.
    let mut one: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `first` is below the size of the set.
    unsafe { libc::CPU_SET(first, &mut one) };
    // SAFETY: the pointer and the size describe the set.
    unsafe { libc::sched_setaffinity(0, size, &raw const one) };
}

/// Holds as a process that runs only when nobody else wants the processor: it comes to its own end late.
#[cfg(target_os = "linux")]
fn hold_with_idle_priority(name: &str) {
    let lock = SharedLock::open(name).unwrap();
    let _guard = lock.lock().unwrap();
    pin();
    // SAFETY: all-zero bytes are valid parameters.
    let parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    // SAFETY: 0 is the calling thread; the parameters outlive the call.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) };
    ready_to_die();
}

#[cfg(target_os = "linux")]
#[test]
fn the_locks_of_a_reaped_process_are_had_at_the_latest_by_the_heartbeat() {
    let name = Scratch::new("reaped");
    let lock = SharedLock::create(&name).unwrap();
    for _ in 0..2 {
        let child = spawn("idle", &name);
        child.expect("ready");
        // SAFETY: takes integers.
        let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, child.id(), 0) };
        if pidfd < 0 {
            return skip(Need::System, format!("no pidfd_open: {}", io::Error::last_os_error()));
        }
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                // Keeps the holder from its processor, so that the reaper comes first more often than not.
                pin();
                let end = Instant::now() + support::LIMIT;
                while !stop.load(Ordering::Relaxed) && Instant::now() < end {
                    std::hint::spin_loop();
                }
            });
            thread::sleep(Duration::from_millis(20));
            child.signal(libc::SIGKILL);
            // The kernel may be too old: then this is an ordinary kill.
            // SAFETY: takes integers.
            unsafe { libc::syscall(libc::SYS_process_mrelease, pidfd, 0) };
            stop.store(true, Ordering::Relaxed);
        });
        wait_for_poison(&lock);
        drop(lock.lock_recover(|| ()).unwrap());
        // SAFETY: a descriptor of ours.
        unsafe { libc::close(pidfd as libc::c_int) };
    }
}

// More locks than the kernel hands over.

const MOST: usize = 2_000;

/// Allows `wanted` open files, if this process may.
#[cfg(target_os = "linux")]
fn allow_files(wanted: u64) -> bool {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a place for the answer.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    limit.rlim_max = limit.rlim_max.max(wanted);
    limit.rlim_cur = limit.rlim_cur.max(wanted);
    // SAFETY: the limits outlive the call.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) == 0 }
}

#[cfg(target_os = "linux")]
fn thousands(family: &str) {
    // Two descriptors for each handle.
    if !allow_files(2 * MOST as u64 + 200) {
        return say("too few open files are allowed");
    }
    let locks: Vec<_> = (0..=MOST).map(|which| SharedLock::create(&member(family, which)).unwrap()).collect();
    thread::scope(|scope| {
        let holder = scope.spawn(|| {
            let mut guards: Vec<_> = locks[..MOST].iter().map(|lock| lock.lock().unwrap()).collect();
            for attempt in [SharedLock::lock, SharedLock::try_lock] {
                let error = attempt(&locks[MOST]).unwrap_err();
                assert!(matches!(error, LockError::Io { .. }), "{error}");
                assert!(error.to_string().contains("2,000"), "{error}");
            }
            // Another thread has its own count, and one lock less makes room for another.
            thread::scope(|inner| assert!(inner.spawn(|| locks[MOST].try_lock().is_ok()).join().unwrap()));
            drop(guards.swap_remove(17));
            guards.push(locks[MOST].lock().unwrap());
            guards.into_iter().for_each(std::mem::forget);
        });
        holder.join().unwrap();
    });
    for (which, lock) in locks.iter().enumerate() {
        assert_eq!(is_poisoned(lock.try_lock()), which != 17, "lock {which}");
    }
    say("done");
}

#[cfg(target_os = "linux")]
#[test]
fn more_than_two_thousand_locks_are_an_error_and_all_of_two_thousand_are_handed_over() {
    if !support::has_robust_lists("the kernel walks so much of one") {
        return;
    }
    let family = Family::new("thousands");
    let child = spawn("thousands", family.name());
    match child.hear().as_str() {
        "done" => {}
        why => skip(Need::Root, why),
    }
    child.join();
    assert_eq!(family.living(), [""; 0]);
}

// Ends with handles and guards in unusual places

fn statics(family: &str) {
    static VALUE: OnceLock<SharedValue<u64>> = OnceLock::new();
    static ARRAY: OnceLock<SharedArray<u8, 100>> = OnceLock::new();
    static LOCK: OnceLock<SharedLock> = OnceLock::new();
    let value = VALUE.get_or_init(|| SharedValue::open(&member(family, 0)).unwrap());
    ARRAY.get_or_init(|| SharedArray::create(&member(family, 1)).unwrap());
    LOCK.get_or_init(|| SharedLock::create(&member(family, 2)).unwrap());
    thread::spawn(move || {
        let mut guard = value.lock().unwrap();
        *guard = 99;
        say("held");
        thread::sleep(support::LIMIT);
        drop(guard);
    });
    pause();
    std::process::exit(0);
}

#[test]
fn exit_removes_what_is_in_statics_and_commits_nothing_of_what_other_threads_hold() {
    let family = Family::new("statics");
    let value = SharedValue::create(&family.member(0), 7u64).unwrap();
    let mut child = spawn("statics", family.name());
    child.expect("held");
    child.go_on();
    child.join();
    assert_eq!(family.living(), [family.member(0)], "the segment that is also used here stays");
    assert_eq!(*value.try_lock().unwrap(), 7);
}

thread_local! {
    static LAST_WORDS: RefCell<Option<LastWords>> = const { RefCell::new(None) };
    static LATE_GUARD: RefCell<Option<ValueGuard<'static, u64>>> = const { RefCell::new(None) };
    static LATE_HANDLE: RefCell<Option<SharedValue<u64>>> = const { RefCell::new(None) };
}

struct LastWords(&'static SharedValue<u64>, &'static SharedLock);

impl Drop for LastWords {
    fn drop(&mut self) {
        self.1.with(|| self.0.update(|n| *n += 1).unwrap()).unwrap();
    }
}

#[test]
fn locks_may_be_taken_in_destructors_of_thread_locals() {
    let family = Family::new("last-words");
    let value: &SharedValue<u64> = Box::leak(Box::new(SharedValue::create(&family.member(0), 0).unwrap()));
    let lock: &SharedLock = Box::leak(Box::new(SharedLock::create(&family.member(1)).unwrap()));
    let threads: Vec<_> = (0..8)
        .map(|i| {
            thread::spawn(move || {
                LAST_WORDS.set(Some(LastWords(value, lock)));
                if i % 2 == 0 {
                    drop(lock.lock().unwrap()); // with and without a lock during the thread's life
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(value.get(), 8);
    assert!(value.try_lock().is_ok() && lock.try_lock().is_ok());
}

#[test]
fn guards_and_handles_in_thread_locals_end_with_their_thread() {
    let family = Family::new("late");
    let value: &SharedValue<u64> = Box::leak(Box::new(SharedValue::create(&family.member(0), 0).unwrap()));
    let second = family.member(1);
    thread::spawn(move || {
        LATE_HANDLE.set(Some(SharedValue::create(&second, 0).unwrap()));
        let mut guard = value.lock().unwrap();
        *guard = 5;
        LATE_GUARD.set(Some(guard));
    })
    .join()
    .unwrap();
    assert_eq!(*value.try_lock().unwrap(), 5, "dropped regularly, so committed");
    assert_eq!(family.living(), [family.member(0)]);
}

#[test]
fn a_guard_leaked_in_a_thread_that_ends_goes_to_the_next_one() {
    if !support::reports_ends_of_threads() {
        return;
    }
    let name = Scratch::new("leaked-value");
    let value = SharedValue::create(&name, 7u64).unwrap();
    let name = Scratch::new("leaked-array");
    let array = SharedArray::<u64, 4>::create(&name).unwrap();
    let name = Scratch::new("leaked-lock");
    let waiting = SharedLock::create(&name).unwrap();
    thread::scope(|scope| {
        let (has_leaked, leaked) = std::sync::mpsc::channel();
        let leaker = scope.spawn({
            let (value, array, waiting) = (&value, &array, &waiting);
            move || {
                let mut copy = value.lock().unwrap();
                *copy = 99;
                std::mem::forget(copy);
                std::mem::forget(array.lock().unwrap());
                std::mem::forget(waiting.lock().unwrap());
                has_leaked.send(()).unwrap();
                thread::sleep(Duration::from_millis(50));
            }
        });
        leaked.recv().unwrap();
        let start = Stopwatch::start();
        wait_for_poison(&waiting);
        start.assert_nobody_waited_for_the_heartbeat();
        leaker.join().unwrap(); // the kernel goes through the list one by one
    });
    assert_eq!(*value.try_lock().unwrap(), 7);
    assert!(is_poisoned(array.try_lock()) && array.is_poisoned());
}

extern "C" fn take_time() {
    say("exiting");
    pause();
}

/// Exits while another thread holds the lock of a persistent segment, and takes its time.
#[cfg(target_os = "linux")]
fn exits_slowly(name: &str) {
    static ARRAY: std::sync::OnceLock<SharedArray<u64, 2>> = std::sync::OnceLock::new();
    // Before the crate's own hook, and so called after it.
    // SAFETY: the hook is a function of this program.
    assert_eq!(unsafe { libc::atexit(take_time) }, 0);
    let array = ARRAY.get_or_init(|| SharedArray::options().persistent(true).create(name).unwrap());
    let (holds, is_held) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let _guard = array.lock().unwrap();
        holds.send(()).unwrap();
        thread::park();
    });
    is_held.recv().unwrap();
    std::process::exit(0);
}

/// The exit hook once left persistent segments for threads that were still there, and a newcomer took their locks for
/// those of the dead.
#[cfg(target_os = "linux")]
#[test]
fn a_lock_is_held_until_its_thread_is_gone_however_slowly_the_process_exits() {
    let name = Scratch::new("exits");
    let mut child = spawn("exits-slowly", &name);
    child.expect("exiting");
    let array = SharedArray::<u64, 2>::open(&name).unwrap();
    let attempt = array.try_lock_ignoring_poison_for(Duration::from_millis(50));
    assert!(matches!(attempt, Err(LockError::TimedOut { .. })), "{attempt:?}");
    child.go_on();
    child.join();
    assert!(is_poisoned(array.lock()));
    robust_shm::remove(&name).unwrap();
}

/// Has forked, and so leaves by another description; its threads are still there after that.
#[cfg(target_os = "linux")]
fn forks_and_exits_slowly(name: &str) {
    static LOCK: OnceLock<SharedLock> = OnceLock::new();
    // Before the crate's own hook, and so called after it.
    // SAFETY: the hook is a function of this program.
    assert_eq!(unsafe { libc::atexit(take_time) }, 0);
    LOCK.get_or_init(|| SharedLock::open(name).unwrap());
    support::fork(|| ()).join();
    std::process::exit(0);
}

#[cfg(target_os = "linux")]
#[test]
fn who_exits_after_a_fork_counts_as_a_user_until_its_end() {
    let name = Scratch::new("exits-forked");
    let lock = SharedLock::create(&name).unwrap();
    let mut child = spawn("forks and exits slowly", &name);
    child.expect("exiting");
    assert_eq!(robust_shm::SegmentInfo::of(&name).unwrap().attached(), 2);
    child.go_on();
    child.join();
    assert_eq!(robust_shm::SegmentInfo::of(&name).unwrap().attached(), 1);
    drop(lock);
    assert!(!support::exists(&name));
}
