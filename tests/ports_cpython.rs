//! The cases of CPython's `Lib/test/_test_multiprocessing.py` that have a meaning here: `_TestLock`, `_TestEvent`,
//! `_TestValue`, `_TestArray` and `_TestSharedMemory`, asked of this crate.
#![cfg_attr(not(unix), allow(dead_code, unused_imports, reason = "for the parts that need Unix"))]

mod support;

use std::time::{Duration, Instant};

use robust_shm::{
    Error, LockError, LockKind, SegmentInfo, SharedArray, SharedEvent, SharedLock, SharedValue, remove, unique_name,
};
use support::{Family, Scratch, exists, member, pause, play, ready_to_die, say, spawn, until_it_waits, with_each_kind};

#[test]
fn child() {
    play(&[
        ("try", try_the_lock),
        ("hold", hold),
        ("set-later", set_later),
        ("add", add),
        ("add-by-hand", add_by_hand),
        ("write-values", write_values),
        ("accumulate", accumulate),
        ("attach", attach),
        ("create", create),
        ("shout", shout),
    ]);
}

with_each_kind! {
    lock_one_acquires_and_nobody_else_until_release,
    lock_of_another_process_is_had_after_its_release,
    rlock_a_second_acquisition_is_an_error_and_no_deadlock,
    lock_context_releases_at_the_end_of_the_block,
    lock_timeout_of_zero_does_not_wait,
    synchronize_no_increment_is_lost,
    getobj_getlock_a_lock_of_its_own_protects_as_well,
    array_is_changed_in_place_by_a_child,
    array_getobj_getlock_holds_off_writers,
}

// _TestLock

fn try_the_lock(name: &str) {
    let lock = SharedLock::open(name).unwrap();
    say(matches!(lock.try_lock(), Err(LockError::WouldBlock { .. })));
    let timed = lock.try_lock_for(Duration::from_millis(30));
    say(matches!(timed, Err(LockError::TimedOut { .. })));
}

fn hold(name: &str) {
    let lock = SharedLock::open(name).unwrap();
    let guard = lock.lock().unwrap();
    say("held");
    pause();
    drop(guard);
}

fn lock_one_acquires_and_nobody_else_until_release(kind: LockKind) {
    let name = Scratch::new("lock");
    let lock = SharedLock::options().lock_kind(kind).create(&name).unwrap();
    let guard = lock.lock().unwrap();
    // CPython: `lock.acquire(False)` is False, in this thread, in another and in another process.
    assert!(matches!(lock.try_lock(), Err(LockError::WouldBlock { .. })));
    std::thread::scope(|scope| {
        let other = scope.spawn(|| matches!(lock.try_lock(), Err(LockError::WouldBlock { .. })));
        assert!(other.join().unwrap());
    });
    let other = spawn("try", &name);
    other.expect("true");
    other.expect("true");
    other.join();
    drop(guard);
    assert!(lock.try_lock().is_ok());
}

fn lock_of_another_process_is_had_after_its_release(kind: LockKind) {
    let name = Scratch::new("lock-other");
    let lock = SharedLock::options().lock_kind(kind).create(&name).unwrap();
    let mut holder = spawn("hold", &name);
    holder.expect("held");
    assert!(matches!(lock.try_lock_for(Duration::from_millis(50)), Err(LockError::TimedOut { .. })));
    holder.go_on();
    assert!(lock.try_lock_for(support::LIMIT).is_ok());
    holder.join();
}

fn rlock_a_second_acquisition_is_an_error_and_no_deadlock(kind: LockKind) {
    let name = Scratch::new("rlock");
    let lock = SharedLock::options().lock_kind(kind).create(&name).unwrap();
    let guard = lock.lock().unwrap();
    for _ in 0..3 {
        assert!(matches!(lock.lock(), Err(LockError::WouldDeadlock { .. })));
    }
    drop(guard);
    assert!(lock.lock().is_ok());
}

fn lock_context_releases_at_the_end_of_the_block(kind: LockKind) {
    let name = Scratch::new("context");
    let lock = SharedLock::options().lock_kind(kind).create(&name).unwrap();
    assert!(lock.with(|| lock.try_lock().is_err()).unwrap());
    {
        let _guard = lock.lock().unwrap();
    }
    assert!(lock.try_lock().is_ok());
    let early = (|| -> Result<(), LockError> {
        let _guard = lock.lock()?;
        Err(lock.try_lock().unwrap_err())
    })();
    assert!(early.is_err() && lock.try_lock().is_ok());
}

fn lock_timeout_of_zero_does_not_wait(kind: LockKind) {
    let name = Scratch::new("zero");
    let lock = SharedLock::options().lock_kind(kind).create(&name).unwrap();
    let _guard = lock.lock().unwrap();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let start = Instant::now();
            let result = lock.try_lock_for(Duration::ZERO).map(drop);
            (result, start.elapsed())
        });
        let (result, taken) = other.join().unwrap();
        assert!(matches!(result, Err(LockError::TimedOut { .. })));
        assert!(taken < Duration::from_secs(2), "{taken:?}");
    });
}

// _TestEvent

fn set_later(name: &str) {
    std::thread::sleep(Duration::from_millis(30));
    SharedEvent::open(name).unwrap().set().unwrap();
}

#[test]
fn event_waits_until_set_and_goes_on_at_once_until_cleared() {
    let name = Scratch::new("event");
    let event = SharedEvent::create(&name).unwrap();
    assert!(!event.is_set());
    for timeout in [0, 40].map(Duration::from_millis) {
        let start = Instant::now();
        // CPython: `event.wait(timeout)` is False.
        assert!(matches!(event.wait_for(timeout), Err(LockError::TimedOut { .. })));
        assert!(start.elapsed() >= timeout);
    }
    event.set().unwrap();
    assert!(event.is_set());
    event.wait().unwrap();
    event.wait_for(Duration::from_millis(40)).unwrap();
    assert!(event.is_set(), "waiting uses nothing up");
    event.clear().unwrap();
    assert!(!event.is_set());
    let child = spawn("set-later", &name);
    event.wait().unwrap();
    child.join();
}

/// `test_repr`
#[test]
fn event_shows_whether_it_is_set() {
    let name = Scratch::new("repr");
    let event = SharedEvent::create(&name).unwrap();
    assert!(format!("{event:?}").contains("set: false"));
    event.set().unwrap();
    assert!(format!("{event:?}").contains("set: true"));
    event.clear().unwrap();
    assert!(format!("{event:?}").contains("set: false"));
}

// _TestValue

#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Foo {
    x: i32,
    y: i32,
    z: i64,
}

/// One value of each kind, as `codes_values`: before, and what the child writes.
macro_rules! codes_values {
    ($do:ident, $family:expr) => {
        $do!($family, 0, u8, b'a', b'z');
        $do!($family, 1, i8, -5, i8::MIN);
        $do!($family, 2, i16, 4_343, -12);
        $do!($family, 3, u32, 333, u32::MAX);
        $do!($family, 4, i64, 1_234_567_890_123, i64::MIN);
        $do!($family, 5, f64, 3.625, -4.25);
        $do!($family, 6, f32, 0.5, f32::INFINITY);
        $do!($family, 7, char, 'x', '☃');
        $do!($family, 8, bool, false, true);
        $do!($family, 9, u128, 1 << 100, 3);
        $do!($family, 10, Foo, Foo { x: 3, y: 2, z: 1 }, Foo { x: -1, y: -2, z: -3 });
        $do!($family, 11, [u8; 11], *b"hello world", *b"HELLO WORLD");
    };
}

fn write_values(family: &str) {
    macro_rules! write {
        ($family:expr, $which:expr, $type:ty, $before:expr, $after:expr) => {
            let value = SharedValue::<$type>::open(&member($family, $which)).unwrap();
            assert_eq!(value.get(), $before);
            value.set($after).unwrap();
        };
    }
    codes_values!(write, family);
}

#[test]
fn value_of_every_kind_is_written_by_a_child_and_read_here() {
    let family = Family::new("values");
    let mut kept: Vec<Box<dyn std::any::Any>> = Vec::new();
    macro_rules! create {
        ($family:expr, $which:expr, $type:ty, $before:expr, $after:expr) => {
            let value = SharedValue::<$type>::create(&$family.member($which), $before).unwrap();
            assert_eq!(value.get(), $before);
            kept.push(Box::new(value));
        };
    }
    codes_values!(create, family);
    spawn("write-values", family.name()).join();
    macro_rules! check {
        ($family:expr, $which:expr, $type:ty, $before:expr, $after:expr) => {{
            let value = SharedValue::<$type>::open(&$family.member($which)).unwrap();
            assert_eq!((value.get(), value.commits()), ($after, 1));
        }};
    }
    codes_values!(check, family);
    drop(kept);
    assert_eq!(family.living(), [""; 0]);
}

const WORKERS: usize = 4;
const STEPS: u64 = 2_000;

fn add(name: &str) {
    let value = SharedValue::<u64>::open(name).unwrap();
    for _ in 0..STEPS {
        *value.lock().unwrap() += 1;
    }
}

/// `with value.get_lock(): value.value += 1`, with a lock of its own beside the value.
fn add_by_hand(name: &str) {
    let value = SharedValue::<u64>::open(&member(name, 0)).unwrap();
    let lock = SharedLock::open(&member(name, 1)).unwrap();
    for _ in 0..STEPS {
        let _guard = lock.lock().unwrap();
        let seen = value.get();
        value.set(seen + 1).unwrap();
    }
}

fn synchronize_no_increment_is_lost(kind: LockKind) {
    let name = Scratch::new("synchronize");
    let value = SharedValue::options().lock_kind(kind).create(&name, 0u64).unwrap();
    let children: Vec<_> = (0..WORKERS).map(|_| spawn("add", &name)).collect();
    children.into_iter().for_each(support::Role::join);
    assert_eq!(value.get(), WORKERS as u64 * STEPS);
}

fn getobj_getlock_a_lock_of_its_own_protects_as_well(kind: LockKind) {
    let family = Family::new("getlock");
    let value = SharedValue::options().lock_kind(kind).create(&family.member(0), 0u64).unwrap();
    let _lock = SharedLock::options().lock_kind(kind).create(&family.member(1)).unwrap();
    let children: Vec<_> = (0..WORKERS).map(|_| spawn("add-by-hand", family.name())).collect();
    children.into_iter().for_each(support::Role::join);
    assert_eq!(value.get(), WORKERS as u64 * STEPS);
}

// _TestArray

const SEQUENCE: [i32; 10] = [680, 626, 934, 821, 150, 233, 548, 982, 714, 831];

fn accumulate(name: &str) {
    let array = SharedArray::<i32, 10>::open(name).unwrap();
    let mut data = array.lock().unwrap();
    for i in 1..data.len() {
        data[i] += data[i - 1];
    }
}

fn array_is_changed_in_place_by_a_child(kind: LockKind) {
    let name = Scratch::new("array");
    let mut expected = SEQUENCE.to_vec();
    let array = SharedArray::options().lock_kind(kind).create_from(&name, &SEQUENCE).unwrap();
    assert_eq!((array.len(), array.is_empty()), (10, false));
    assert_eq!(array.to_vec().unwrap(), expected);
    assert_eq!(array.lock().unwrap()[2..4], expected[2..4]);

    array.lock().unwrap()[4..8].copy_from_slice(&[1, 2, 3, 4]);
    expected[4..8].copy_from_slice(&[1, 2, 3, 4]);
    assert_eq!(array.to_vec().unwrap(), expected);

    spawn("accumulate", &name).join();
    for i in 1..expected.len() {
        expected[i] += expected[i - 1];
    }
    assert_eq!(array.to_vec().unwrap(), expected);
}

#[test]
fn array_from_size_starts_with_zeros_also_after_another_of_its_name() {
    let name = Scratch::new("zeros");
    for _ in 0..3 {
        let array = SharedArray::<i32, 10>::create(&name).unwrap();
        assert_eq!(array.to_vec().unwrap(), [0; 10]);
        array.copy_from_slice(&std::array::from_fn::<_, 10, _>(|i| i as i32)).unwrap();
        assert_eq!(array.to_vec().unwrap(), (0..10).collect::<Vec<_>>());
    }
}

#[test]
#[should_panic = "index"]
fn array_index_outside_panics() {
    let name = Scratch::new("outside");
    let _ = SharedArray::<i32, 10>::create(&name).unwrap().get(10);
}

fn array_getobj_getlock_holds_off_writers(kind: LockKind) {
    let name = Scratch::new("array-lock");
    let array = SharedArray::options().lock_kind(kind).create_from(&name, &SEQUENCE).unwrap();
    let guard = array.lock().unwrap();
    let second = SharedArray::<i32, 10>::open(&name).unwrap();
    assert!(matches!(second.try_lock(), Err(LockError::WouldBlock { .. })));
    let writer = spawn("accumulate", &name);
    until_it_waits(&writer);
    assert_eq!(*guard, SEQUENCE);
    drop(guard);
    writer.join();
    assert_eq!(second.get(9).unwrap(), SEQUENCE.iter().sum::<i32>());
}

// _TestSharedMemory

fn attach(name: &str) {
    let array = SharedArray::<u8, 512>::open(name).unwrap();
    array.update(|data| data[..7].copy_from_slice(b"pickled")).unwrap();
    say("attached");
}

fn create(name: &str) {
    let _array = SharedArray::<u8, 512>::create(name).unwrap();
    ready_to_die();
}

fn shout(name: &str) {
    let array = SharedArray::<u8, 512>::create(name).unwrap();
    let _reader = SharedArray::<u8, 512>::open(name).unwrap();
    array.set(0, b'!').unwrap();
    panic!("as intended by the test");
}

#[test]
fn shared_memory_basics() {
    let name = Scratch::new("basics");
    let memory = SharedArray::<u8, 512>::create(&name).unwrap();
    assert_eq!((memory.name(), memory.len()), (&*name, 512));
    memory.set(0, 42).unwrap();
    memory.lock().unwrap()[22] = 22;

    let same = SharedArray::<u8, 512>::open(&name).unwrap();
    assert_eq!((same.get(0).unwrap(), same.get(22).unwrap()), (42, 22));
    same.set(0, 7).unwrap();
    assert_eq!(memory.get(0).unwrap(), 7);

    // CPython: FileExistsError, and the first one is unharmed.
    assert!(matches!(SharedArray::<u8, 512>::create(&name), Err(Error::AlreadyExists { .. })));
    // CPython attaches with any size; here the length is part of the type.
    assert!(matches!(SharedArray::<u8, 511>::open(&name), Err(Error::TypeMismatch { .. })));
    drop(memory);
    assert_eq!(same.get(0).unwrap(), 7, "closing one handle ends no other");
    drop(same);
    // CPython: FileNotFoundError after unlink; a second unlink as well.
    assert!(matches!(SharedArray::<u8, 512>::open(&name), Err(Error::NotFound { .. })));
    assert!(matches!(remove(&name), Err(Error::NotFound { .. })));
}

#[test]
fn shared_memory_recreate_never_meets_a_used_name() {
    let names: std::collections::BTreeSet<_> = (0..1_000).map(|_| unique_name("recreate")).collect();
    assert_eq!(names.len(), 1_000);
}

#[test]
fn invalid_shared_memory_creation_is_refused() {
    for name in ["", ".", "..", "a/b", "nul\0", &"x".repeat(300)] {
        assert!(matches!(SharedArray::<u8, 512>::create(name), Err(Error::InvalidName { .. })), "{name:?}");
        assert!(matches!(SharedArray::<u8, 512>::open(name), Err(Error::InvalidName { .. })), "{name:?}");
        assert!(matches!(remove(name), Err(Error::InvalidName { .. })), "{name:?}");
    }
}

/// CPython once attached to an object between its creation and its sizing: "cannot mmap an empty file".
#[test]
fn attach_to_an_empty_object_is_a_clear_error() {
    let name = Scratch::new("empty");
    std::fs::write(support::path(&name), "").unwrap();
    assert!(matches!(SharedArray::<u8, 512>::open(&name), Err(Error::NotASegment { .. } | Error::Truncated { .. })));
    assert!(exists(&name), "what is not ours stays");
}

#[test]
fn shared_memory_across_processes() {
    let name = Scratch::new("across");
    let memory = SharedArray::<u8, 512>::create(&name).unwrap();
    let child = spawn("attach", &name);
    child.expect("attached");
    child.join();
    assert_eq!(memory.lock().unwrap()[..7], *b"pickled");
}

/// CPython's resource tracker unlinked a segment when a process that had only attached ended.
#[test]
fn shared_memory_untracking_an_attached_process_that_ends_takes_nothing_along() {
    let name = Scratch::new("untracking");
    let memory = SharedArray::<u8, 512>::create(&name).unwrap();
    for _ in 0..5 {
        spawn("attach", &name).join();
        assert!(exists(&name));
    }
    assert_eq!(memory.get(0).unwrap(), b'p');
    assert!(SharedArray::<u8, 512>::open(&name).is_ok());
}

#[test]
fn shared_memory_cleaned_after_process_termination() {
    let name = Scratch::new("termination");
    let child = spawn("create", &name);
    child.expect("ready");
    assert!(exists(&name));
    child.kill();
    assert!(matches!(SharedArray::<u8, 512>::open(&name), Err(Error::NotFound { .. })));
    assert!(!exists(&name));
}

#[test]
fn shared_memory_is_cleaned_after_a_panic() {
    let name = Scratch::new("panic");
    let mut child = spawn("shout", &name);
    assert!(!child.wait_for_end().success());
    assert!(!exists(&name));
}

/// CPython: the server that tracks segments must not die of the Ctrl-C that hits its clients. Here is no server; what an
/// interrupted creator leaves goes by the same way as after a kill, and whoever is attached goes on.
#[cfg(unix)]
#[test]
fn shared_memory_survives_the_interrupted_creator_while_somebody_is_attached() {
    let name = Scratch::new("sigint");
    let mut child = spawn("create", &name);
    child.expect("ready");
    let memory = SharedArray::<u8, 512>::open(&name).unwrap();
    child.signal(libc::SIGINT);
    child.wait_for_end();
    assert!(exists(&name));
    memory.set(1, 1).unwrap();
    assert_eq!(SegmentInfo::of(&name).unwrap().attached(), 1);
    drop(memory);
    assert!(!exists(&name));
}

/// `test_shared_memory_pickle_unpickle` there: what travels is the name.
#[test]
fn a_handle_travels_as_its_name() {
    let name = Scratch::new("pickle");
    let memory = SharedArray::create_from(&name, &[1u16, 2, 3]).unwrap();
    let sent = memory.name().to_owned();
    let received = SharedArray::<u16, 3>::open(&sent).unwrap();
    drop(memory);
    assert_eq!(received.to_vec().unwrap(), [1, 2, 3]);
}
