//! Segments are born complete, go with their last user, and leave no litter.
#![cfg_attr(not(target_os = "linux"), allow(dead_code, unused_imports, reason = "for the parts that need Linux"))]

mod support;

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use robust_shm::{Error, LockKind, SegmentInfo, SharedArray, SharedLock, SharedValue, remove, segments};
use support::{Scratch, exists, pause, play, say, spawn, told};

#[test]
fn child() {
    play(&[
        ("attach", attach),
        #[cfg(target_os = "linux")]
        ("create in vain", create_in_vain),
        ("race", race),
        ("static", hold_in_a_static),
        ("churn", churn),
    ]);
}

fn attach(name: &str) {
    let value = SharedValue::<u64>::open(name).unwrap();
    say(value.get());
    pause();
}

/// Of hundreds that do this at once, one creates, and everyone sees all of the array's elements.
fn race(name: &str) {
    let array = SharedArray::open_or_create_from(name, &[7u64; 1000]).unwrap();
    assert_eq!(array.to_vec().unwrap(), [7; 1000]);
    say(array.was_created());
    pause(); // nobody leaves before all have come
}

fn churn(name: &str) {
    for _ in 0..300 / support::COST_OF_A_PROCESS {
        let value = SharedValue::open_or_create(name, 7u64).unwrap();
        assert_eq!(value.get(), 7);
    }
}

fn hold_in_a_static(name: &str) {
    static HELD: OnceLock<SharedValue<u64>> = OnceLock::new();
    HELD.get_or_init(|| SharedValue::create(name, 7).unwrap());
    std::process::exit(0);
}

#[test]
fn of_two_hundred_racing_processes_exactly_one_creates_and_none_sees_a_half_made_segment() {
    let name = Scratch::new("race");
    let children: Vec<_> = (0..200).map(|_| spawn("race", &name)).collect();
    let created = children.iter().filter(|child| child.hear() == "true").count();
    assert_eq!(created, 1);
    // The kernel gives the table of locks in pieces, so one look may skip or repeat entries.
    support::until("a look that counts all", || (SegmentInfo::of(&name).unwrap().attached() == 200).then_some(()));
    children.into_iter().for_each(support::Role::join);
    assert!(!exists(&name));
}

#[test]
fn opening_and_closing_at_once_never_fails_and_leaves_nothing() {
    let name = Scratch::new("churn");
    let children: Vec<_> = (0..4).map(|_| spawn("churn", &name)).collect();
    children.into_iter().for_each(support::Role::join);
    assert!(!exists(&name));
}

#[test]
fn the_last_one_out_removes_the_segment_whoever_that_is() {
    let name = Scratch::new("last");
    let value = SharedValue::create(&name, 7u64).unwrap();
    let mut child = spawn("attach", &name);
    child.expect("7");
    drop(value);
    assert!(exists(&name));
    child.go_on();
    child.join();
    assert!(!exists(&name));
}

#[test]
fn exit_removes_what_is_held_in_statics() {
    let name = Scratch::new("static");
    spawn("static", &name).join();
    assert!(!exists(&name));
}

#[test]
fn a_closer_never_removes_a_successor() {
    let name = Scratch::new("successor");
    let first = SharedValue::create(&name, 1u64).unwrap();
    remove(&name).unwrap();
    let second = SharedValue::create(&name, 2u64).unwrap();
    first.set(3).unwrap();
    drop(first);
    assert_eq!(SharedValue::<u64>::open(&name).unwrap().get(), 2);
    drop(second);
    assert!(!exists(&name));
}

#[test]
fn a_refused_opener_takes_nothing_along() {
    let name = Scratch::new("refused");
    let value = SharedValue::create(&name, 1u64).unwrap();
    for _ in 0..10 {
        assert!(matches!(SharedValue::<i64>::open(&name), Err(Error::TypeMismatch { .. })));
    }
    assert!(exists(&name));
    drop(value);
    assert!(!exists(&name));
}

#[test]
fn segments_lists_what_there_is() {
    let name = Scratch::new("listed");
    let before = std::time::SystemTime::now();
    let array = SharedArray::<u16, 5>::create(&name).unwrap();
    let _second = SharedArray::<u16, 5>::open(&name).unwrap();
    let guard = array.lock().unwrap();
    let info = segments().filter_map(Result::ok).find(|info| info.name() == &*name).unwrap();
    assert_eq!((info.kind(), info.type_name(), info.element_size(), info.length()), ("SharedArray", "u16", 2, 5));
    assert_eq!((info.commits(), info.is_persistent(), info.is_poisoned()), (None, false, false));
    assert_eq!((info.creator(), info.holder_process()), (std::process::id(), told(std::process::id())));
    assert_eq!((info.attached(), info.is_orphan(), info.bytes()), (2, false, 704 + 32 * 64 + 10 + "u16".len() as u64));
    assert!((before..=std::time::SystemTime::now()).contains(&info.created()));
    assert!(info.holder_thread().is_some());
    let text = info.to_string();
    assert!(text.contains("SharedArray<u16, 5>") && text.contains("2 handles attached"), "{text}");
    drop(guard);
}

#[test]
fn a_picture_says_what_there_is_and_no_more() {
    let (of_value, of_lock) = (Scratch::new("value"), Scratch::new("lock"));
    let value = SharedValue::create(&of_value, 7u64).unwrap();
    for next in [8, 9] {
        value.set(next).unwrap();
    }
    let lock = SharedLock::create(&of_lock).unwrap();
    let by = format!("{:?} lock, created by process {}", LockKind::default(), std::process::id());
    let of_value = format!("{}: SharedValue<u64>, 707 bytes, {by}, 2 commits, 1 handle attached", &*of_value);
    assert_eq!(value.info().unwrap().to_string(), of_value);
    assert_eq!(
        lock.info().unwrap().to_string(),
        format!("{}: SharedLock, 640 bytes, {by}, 1 handle attached", &*of_lock)
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_handle_that_is_dropped_leaves_no_mapping() {
    let name = Scratch::new("unmapped");
    let is_mapped = || std::fs::read_to_string("/proc/self/maps").unwrap().contains(&*name);
    let value = SharedValue::create(&name, 7u64).unwrap();
    let other = SharedValue::<u64>::open(&name).unwrap();
    drop(value);
    assert!(is_mapped());
    drop(other);
    assert!(!is_mapped());
}

#[test]
fn sixty_four_mebibytes_never_stand_on_the_stack() {
    // Test threads have 2 MiB.
    const N: usize = 8 << 20;
    let name = Scratch::new("large");
    let array = SharedArray::<u64, N>::create(&name).unwrap();
    array.lock().unwrap()[N - 1] = 7;
    let other = SharedArray::<u64, N>::open(&name).unwrap();
    assert_eq!(other.get(N - 1).unwrap(), 7);
    let copy = other.to_vec().unwrap();
    other.copy_from_slice(&copy).unwrap();
    assert_eq!(other.update(|elements| elements.iter().sum::<u64>()).unwrap(), 7);
    assert!(format!("{other:?}").contains("8388608 in all"));
}

#[test]
fn debug_shows_name_and_contents_and_never_waits() {
    let name = Scratch::new("debug");
    let array = SharedArray::create_from(&name, &[25, 36, 49, 64]).unwrap();
    assert_eq!(format!("{array:?}"), format!("SharedArray {{ name: {:?}, data: [25, 36, 49, 64], .. }}", &*name));
    let guard = array.lock().unwrap();
    assert!(format!("{array:?}").contains("<locked>"));
    assert_eq!(format!("{guard:?}"), "ArrayGuard([25, 36, 49, 64])");
}

/// Creates a segment again and again, and cannot map it, for want of a second descriptor.
#[cfg(target_os = "linux")]
fn create_in_vain(name: &str) {
    // What a first creation needs once, it gets before.
    drop(SharedValue::create(&robust_shm::unique_name("before"), 0u64).unwrap());
    let limit = libc::rlimit { rlim_cur: 40, rlim_max: 40 };
    // SAFETY: a limit that outlives the call.
    #[allow(unsafe_code)]
    let result = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    assert_eq!(result, 0);
    let mut files: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
    files.pop();
    let alone = robust_shm::unique_name("alone");
    assert!(matches!(SharedValue::options().persistent(true).create(&alone, 7u64), Err(Error::Io { .. })));
    assert!(!exists(&alone), "nobody uses it, and nobody will ask for its removal");
    say("ready");
    loop {
        let error = SharedValue::options().persistent(true).create(name, 7u64).unwrap_err();
        assert!(matches!(error, Error::Io { .. } | Error::AlreadyExists { .. }), "{error}");
    }
}

/// Once the creator took the name from whoever had opened the segment before its mapping failed, and the next creator
/// made a second segment of that name.
#[cfg(target_os = "linux")]
#[test]
#[cfg_attr(robust_shm_unix, ignore = "a handle has more descriptors there than the test leaves")]
fn a_failed_creation_does_not_take_the_name_from_those_who_use_the_segment() {
    let name = Scratch::new("in-vain");
    let child = spawn("create in vain", &name);
    child.expect("ready");
    // One is enough for a machine on which it takes long to come at the right moment.
    let end = Instant::now() + Duration::from_secs(5);
    for _ in 0..20 {
        let value = support::until("a segment that is open", || SharedValue::<u64>::open(&name).ok());
        for _ in 0..100 {
            assert!(exists(&name), "nobody has asked for its removal");
            std::thread::yield_now();
        }
        remove(&name).unwrap();
        assert_eq!(value.get(), 7);
        if Instant::now() > end {
            break;
        }
    }
    child.kill();
}
