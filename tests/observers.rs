//! Observers: they see whole values only, whoever is killed; they change nothing, hinder nobody, and keep nothing alive.
#![cfg_attr(not(target_os = "linux"), allow(dead_code, unused_imports, reason = "for the parts that need Linux"))]
#![allow(unsafe_code)]

mod support;

use std::fs::{self, File, OpenOptions};
#[cfg(target_os = "linux")]
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use robust_shm::{LockError, SegmentInfo, SharedArray, SharedLock, SharedValue, remove, remove_orphans};
use support::{FileExt, Scratch, assert_error, exists, path, pause, play, ready_to_die, say, spawn, until};

#[cfg(target_os = "linux")]
#[path = "support/seccomp.rs"]
mod seccomp;

type Large = [u64; 8 << 10];

#[test]
fn child() {
    play(&[
        ("keep", |name| {
            let value = SharedValue::<u64>::open_or_create(name, 7).unwrap();
            say("ready");
            pause();
            drop(value);
        }),
        ("die-holding", |name| {
            let value = SharedValue::<u64>::open_or_create(name, 7).unwrap();
            let mut guard = value.lock().unwrap();
            *guard = 8;
            ready_to_die();
        }),
        ("commit-large", |name| commit_for_ever::<Large>(name, |round| [round; 8 << 10])),
        ("commit-small", |name| commit_for_ever::<[u64; 3]>(name, |round| [round; 3])),
        #[cfg(target_os = "linux")]
        ("without-calls", observe_without_calls),
        #[cfg(target_os = "linux")]
        ("forks", fork_with_an_observer),
        #[cfg(target_os = "linux")]
        ("closes", observe_without_descriptors),
    ]);
}

fn commit_for_ever<T: robust_shm::Shareable>(name: &str, value_of: fn(u64) -> T) {
    let value = SharedValue::<T>::open(name).unwrap();
    let end = Instant::now() + support::LIMIT; // nobody else ends it if the test is killed
    say("ready");
    for round in (0..).take_while(|_| Instant::now() < end) {
        value.set(value_of(round)).unwrap();
    }
}

#[test]
fn an_observer_sees_what_a_user_sees() {
    let name = Scratch::new("sees");
    let value = SharedValue::create(&name, [1u32, 2]).unwrap();
    let observer = SharedValue::<[u32; 2]>::observe(&name).unwrap();
    assert_eq!((observer.get(), observer.try_get().unwrap(), observer.commits()), ([1, 2], [1, 2], 0));
    let mut seen = u64::MAX;
    assert_eq!(observer.get_if_changed(&mut seen), Some([1, 2]));
    for round in 1..100 {
        assert_eq!((observer.get_if_changed(&mut seen), seen), (None, u64::from(round) - 1));
        value.set([round, round + 1]).unwrap();
        assert_eq!((observer.get(), observer.commits()), ([round, round + 1], round.into()));
        assert_eq!(observer.get_if_changed(&mut seen), Some([round, round + 1]));
    }
    // What is not committed is not there yet, and nobody waits for it.
    let mut guard = value.lock().unwrap();
    guard[0] = 0;
    assert_eq!(observer.get(), [99, 100]);
    drop(guard);
    assert_eq!(observer.get(), [0, 100]);
    assert_eq!((observer.name(), observer.info().unwrap().commits()), (&*name, Some(100)));
    assert!(format!("{observer:?}").starts_with(&format!("ValueObserver {{ name: \"{}\", value: [0, 100]", &*name)));
}

#[test]
fn values_of_every_size_and_lock_are_seen() {
    fn see<T: robust_shm::Shareable + PartialEq + std::fmt::Debug>(one: T, other: T) {
        for kind in support::KINDS.into_iter().filter(|kind| kind.is_available()) {
            let name = Scratch::new("sizes");
            let value = SharedValue::options().lock_kind(kind).create(&name, one).unwrap();
            let observer = SharedValue::<T>::observe(&name).unwrap();
            assert_eq!(observer.get(), one);
            for next in [other, one, other] {
                value.set(next).unwrap();
                assert_eq!(observer.get(), next);
            }
        }
    }
    see((), ());
    see(false, true);
    see('x', 'ß');
    see(1u128, 2);
    see([1u8; 25], [2; 25]);
    see([1u64; 9], [2; 9]);
    see([1u8; 64 << 10], [2; 64 << 10]);
}

#[test]
fn an_observer_is_no_user_and_keeps_nothing_alive() {
    let name = Scratch::new("no-user");
    let value = SharedValue::create(&name, 7u64).unwrap();
    let observers: Vec<_> = (0..3).map(|_| SharedValue::<u64>::observe(&name).unwrap()).collect();
    assert_eq!((value.info().unwrap().attached(), observers[0].attached().unwrap()), (1, 1));
    let second = SharedValue::<u64>::open(&name).unwrap();
    assert_eq!((second.info().unwrap().attached(), observers[0].attached().unwrap()), (2, 2));
    assert_eq!(observers[0].info().unwrap().attached(), 2);
    drop(second);
    value.set(8).unwrap();
    drop(value);
    assert!(!exists(&name), "an observer keeps the name");
    for observer in &observers {
        assert!(observer.is_removed());
        assert_eq!((observer.get(), observer.commits()), (8, 1));
        // Another test's child may have what was dropped until it has called exec.
        until("the last user to be gone", || (observer.attached().unwrap() == 0).then_some(()));
    }
    assert_error!(SharedValue::<u64>::observe(&name), NotFound, &name, ["open_or_create"]);
    // The next of this name is another.
    let next = SharedValue::create(&name, 9u64).unwrap();
    assert_eq!((observers[1].get(), SharedValue::<u64>::observe(&name).unwrap().get()), (8, 9));
    assert!(observers[1].is_removed());
    remove(&name).unwrap();
    assert!(next.is_removed());
}

#[test]
fn what_killed_users_have_left_can_be_looked_at_until_it_goes() {
    let name = Scratch::new("post-mortem");
    let child = spawn("die-holding", &name);
    child.expect("ready");
    let during = SharedValue::<u64>::observe(&name).unwrap();
    assert_eq!((during.get(), during.attached().unwrap()), (7, 1));
    child.kill();
    for observer in [during, SharedValue::<u64>::observe(&name).unwrap()] {
        assert_eq!((observer.get(), observer.attached().unwrap(), observer.is_removed()), (7, 0, false));
        assert!(observer.info().unwrap().is_orphan());
    }
    // It is still an orphan, and goes as one, observed or not.
    let observer = SharedValue::<u64>::observe(&name).unwrap();
    assert!(remove_orphans().unwrap().contains(&name.0));
    assert!(observer.is_removed() && !exists(&name));
    assert_eq!(observer.get(), 7);
}

#[test]
fn the_last_user_of_another_process_takes_the_name_along() {
    let name = Scratch::new("elsewhere");
    let mut child = spawn("keep", &name);
    child.expect("ready");
    let observer = SharedValue::<u64>::observe(&name).unwrap();
    child.go_on();
    child.join();
    assert!(observer.is_removed() && !exists(&name));
    assert_eq!(observer.get(), 7);
}

#[test]
fn what_is_observed_must_be_what_is_meant() {
    let name = Scratch::new("meant");
    let _value =
        SharedValue::<f64>::options().type_tag("acme.Load/1").mode(support::WIDER_MODE).create(&name, 1.0).unwrap();
    let untagged = SharedValue::<f64>::observe(&name);
    assert_error!(untagged, TypeMismatch, &name, ["without a type_tag", "with type_tag \"acme.Load/1\""]);
    let options = SharedValue::<f64>::options().type_tag("acme.Load/1");
    assert_eq!(options.observe(&name).unwrap().get(), 1.0);
    #[cfg(unix)]
    assert_error!(options.clone().mode(0o600).observe(&name), OptionMismatch, &name, ["mode(0o600)", "mode(0o644)"]);
    assert_error!(options.persistent(true).observe(&name), OptionMismatch, &name, ["persistent(true)"]);
    let (array, lock) = (Scratch::new("array"), Scratch::new("lock"));
    let _array = SharedArray::<u8, 4>::create(&array).unwrap();
    let _lock = SharedLock::create(&lock).unwrap();
    assert_error!(SharedValue::<u8>::observe(&array), TypeMismatch, &array, ["SharedValue<u8>", "SharedArray<u8, 4>"]);
    assert_error!(SharedValue::<u8>::observe(&lock), TypeMismatch, &lock, ["SharedValue<u8>", "SharedLock"]);
    assert_error!(SharedValue::<u8>::observe("a/b"), InvalidName, "a/b", []);
    let stranger = Scratch::new("stranger");
    fs::write(path(&stranger), "no segment").unwrap();
    assert_error!(SharedValue::<u8>::observe(&stranger), NotASegment, &stranger, ["a file of 10 bytes"]);
}

/// Writers are killed at whatever they are at, and others come.
fn sees_whole_values_only<T: robust_shm::Shareable + PartialEq>(role: &str, zero: T, words: fn(&T) -> &[u64]) {
    let name = Scratch::new("storm");
    let value = SharedValue::create(&name, zero).unwrap();
    let observer = SharedValue::<T>::observe(&name).unwrap();
    let done = AtomicBool::new(false);
    let reads = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut reads, mut last, mut seen) = (0u64, 0, u64::MAX);
            while !done.load(Ordering::Relaxed) {
                let copy = observer.get();
                let words = words(&copy);
                assert!(words.iter().all(|word| *word == words[0]), "torn");
                let _ = observer.get_if_changed(&mut seen);
                assert!(seen >= last, "a commit is gone again");
                last = seen;
                reads += 1;
            }
            reads
        });
        for _ in 0..40 {
            let children = [spawn(role, &name), spawn(role, &name)];
            children.iter().for_each(|child| child.expect("ready"));
            let before = value.commits();
            until("commits", || (value.commits() > before + 3).then_some(()));
            children.into_iter().for_each(support::Role::kill);
        }
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap()
    });
    assert!(reads > 0 && observer.commits() == value.commits());
    assert_eq!(observer.attached().unwrap(), 1, "the killed count no more");
}

#[test]
fn in_a_storm_of_kills_values_stay_whole() {
    sees_whole_values_only::<Large>("commit-large", [0; 8 << 10], |value| value);
    sees_whole_values_only::<[u64; 3]>("commit-small", [0; 3], |value| value);
}

/// A user would take the lock; an observer must not wait for what never comes.
#[test]
fn damaged_counters_end_no_observer() {
    let name = Scratch::new("damaged");
    let value = SharedValue::create(&name, [7u64; 100]).unwrap();
    let observer = SharedValue::<[u64; 100]>::observe(&name).unwrap();
    const BEGUN: u64 = 648;
    let file = OpenOptions::new().write(true).open(path(&name)).unwrap();
    file.write_all_at(&u64::MAX.to_ne_bytes(), BEGUN).unwrap();
    assert_eq!((observer.get(), value.get()), ([7; 100], [7; 100]));
    value.set([8; 100]).unwrap();
    assert_eq!(observer.get(), [8; 100]);
}

#[test]
fn bytes_that_are_no_value_are_an_error() {
    let name = Scratch::new("invalid");
    let _value = SharedValue::create(&name, true).unwrap();
    let observer = SharedValue::<bool>::observe(&name).unwrap();
    const SLOT: u64 = 656;
    OpenOptions::new().write(true).open(path(&name)).unwrap().write_all_at(&[2], SLOT).unwrap();
    assert!(matches!(observer.try_get(), Err(LockError::InvalidValue { .. })));
    assert!(support::panic_of(|| observer.get()).2.contains("not a valid bool"));
    assert!(format!("{observer:?}").contains("<invalid>"));
}

/// Whoever does one of these ends. A write into what is mapped for reading ends him, too.
#[cfg(target_os = "linux")]
fn observe_without_calls(name: &str) {
    use seccomp::{FATAL, Refused};
    let fcntl = |command: libc::c_int| Refused {
        call: libc::SYS_fcntl,
        only_if: Some((1, command.cast_unsigned())),
        errno: FATAL,
    };
    let calls = [libc::SYS_flock, libc::SYS_futex, libc::SYS_ftruncate, libc::SYS_fallocate, libc::SYS_unlinkat]
        .map(|call| Refused::always(call, FATAL))
        .into_iter()
        .chain([libc::F_SETLK, libc::F_SETLKW, libc::F_OFD_SETLK, libc::F_OFD_SETLKW].map(fcntl));
    #[cfg(target_arch = "x86_64")]
    let calls = calls.chain([Refused::always(libc::SYS_unlink, FATAL)]);
    let calls = calls.chain([Refused::always(libc::SYS_pwrite64, FATAL)]).collect::<Vec<_>>();
    // In a process of one thread: the test harness has its own calls.
    support::fork(|| {
        seccomp::refuse(&calls);
        observe_for_a_while(name);
    })
    .join();
}

#[cfg(target_os = "linux")]
fn observe_for_a_while(name: &str) {
    let observer = SharedValue::<Large>::observe(name).unwrap();
    let mut seen = u64::MAX;
    for _ in 0..2_000 {
        let copy = observer.get();
        assert!(copy.iter().all(|word| *word == copy[0]));
        let _ = (observer.get_if_changed(&mut seen), observer.try_get().unwrap(), observer.commits());
    }
    assert!(observer.attached().unwrap() > 0 && !observer.is_removed());
    assert!(observer.info().unwrap().commits().is_some());
    drop(observer);
}

#[cfg(target_os = "linux")]
#[test]
#[cfg_attr(robust_shm_unix, ignore = "who asks for users locks their life files for a moment there")]
fn an_observer_takes_no_lock_and_writes_nothing() {
    if !support::is_linux("has no filter for system calls") {
        return;
    }
    let name = Scratch::new("calls");
    let _value = SharedValue::<Large>::create(&name, [0; 8 << 10]).unwrap();
    let writer = spawn("commit-large", &name);
    writer.expect("ready");
    spawn("without-calls", &name).join();
    writer.kill();
    // What a write would have come to: the mapping says so.
    let observer = SharedValue::<Large>::observe(&name).unwrap();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let modes: Vec<_> =
        maps.lines().filter(|line| line.ends_with(&*name)).map(|line| &line[line.find(' ').unwrap()..][1..5]).collect();
    assert!(modes.contains(&"r--s") && modes.contains(&"rw-s") && modes.len() == 2, "{modes:?}");
    drop(observer);
}

#[cfg(target_os = "linux")]
fn fork_with_an_observer(name: &str) {
    let observer = SharedValue::<u64>::observe(name).unwrap();
    let child = support::fork(|| {
        assert_eq!(observer.get(), 7);
        assert_eq!(observer.attached().unwrap(), 1);
        let own = SharedValue::<u64>::observe(name).unwrap();
        drop(unsafe_copy(&observer)); // unmaps and closes the child's own
        assert_eq!(own.get(), 7);
    });
    child.join();
    assert_eq!((observer.get(), observer.attached().unwrap()), (7, 1));
}

/// What a child drops is its own.
#[cfg(target_os = "linux")]
fn unsafe_copy<T>(of: &T) -> T {
    // SAFETY: in a forked child, which ends without dropping the original.
    unsafe { std::ptr::read(of) }
}

#[cfg(target_os = "linux")]
#[test]
fn a_forked_child_observes_too() {
    let name = Scratch::new("forks");
    let _value = SharedValue::create(&name, 7u64).unwrap();
    spawn("forks", &name).join();
}

#[cfg(target_os = "linux")]
fn observe_without_descriptors(name: &str) {
    let observer = SharedValue::<u64>::observe(name).unwrap();
    // SAFETY: as daemons do; nothing else in this process needs them.
    if unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) } != 0 {
        // SAFETY: the same, one by one: gVisor has no such call.
        (3..1024).for_each(|descriptor| _ = unsafe { libc::close(descriptor) });
    }
    let others: Vec<_> = (0..10).map(|_| File::open("/dev/null").unwrap()).collect();
    assert_eq!((observer.get(), observer.is_removed()), (7, false));
    for error in [observer.attached().map(drop).unwrap_err(), observer.info().map(drop).unwrap_err()] {
        assert!(error.to_string().contains("closed by the program itself"), "{error}");
    }
    drop(observer);
    assert!(others.iter().all(|file| file.metadata().is_ok()), "a stranger's file was closed");
}

#[cfg(target_os = "linux")]
#[test]
fn a_program_that_closes_all_descriptors_goes_on_observing() {
    let name = Scratch::new("closes");
    let _value = SharedValue::create(&name, 7u64).unwrap();
    spawn("closes", &name).join();
}

/// Who may only read can lock the file, too: that keeps others from opening it for as long as they are patient, and the last
/// user from removing it. It holds up nobody who has it open, and no observer, and is no user.
#[cfg(target_os = "linux")]
#[test]
#[cfg_attr(robust_shm_unix, ignore = "users have no bytes there")]
fn a_reader_who_locks_the_file_holds_up_no_user_and_is_none() {
    let name = Scratch::new("hostile");
    let value = SharedValue::create(&name, 7u64).unwrap();
    fs::set_permissions(path(&name), PermissionsExt::from_mode(0o644)).unwrap();
    let reader = File::open(path(&name)).unwrap();
    // As many bytes as it can have, for reading: half of them, and the user's is in the other half.
    let had = [0, 1 << 31].map(|start| {
        // SAFETY: all-zero bytes are a flock structure.
        let mut lock: libc::flock = unsafe { std::mem::zeroed() };
        (lock.l_type, lock.l_start, lock.l_len) = (libc::F_RDLCK as libc::c_short, start, 1 << 31);
        // SAFETY: the descriptor is open and the structure outlives the call.
        unsafe { libc::fcntl(std::os::fd::AsRawFd::as_raw_fd(&reader), libc::F_OFD_SETLK, &raw const lock) == 0 }
    });
    assert_eq!(had.into_iter().filter(|had| *had).count(), 1);
    reader.lock_shared().unwrap();
    let observer = SharedValue::<u64>::observe(&name).unwrap();
    assert_eq!((value.info().unwrap().attached(), observer.attached().unwrap()), (1, 1));
    assert_eq!(SegmentInfo::of(&name).unwrap().attached(), 1);
    *value.try_lock_for(Duration::from_secs(1)).unwrap() += 1;
    assert_eq!((value.get(), observer.get(), SharedValue::<u64>::observe(&name).unwrap().get()), (8, 8, 8));
    drop(value);
    until("the last user to be gone", || (observer.attached().unwrap() == 0).then_some(()));
    assert_eq!(observer.get(), 8);
    drop(reader);
    let _ = remove(&name); // the reader put it off
}
