//! Locks, commits and poison, step by step.

use std::os::unix::fs::FileExt;
use std::time::Duration;

use robust_shm::{ArrayGuard, LockError, LockGuard, LockKind, SharedArray, SharedLock, SharedSlice, SharedValue};

use crate::step::{armed, nudged_at};
use crate::support::{Body, member, path, pause, ready_to_die, say};
use crate::walk::{BOUND, Case, Scenario, World, arrive, has_stopped, release};

/// Rounds of 64 bytes, single words and a part of one.
pub type Content = [u32; 23];
pub type Value = SharedValue<Content>;
type Array = SharedArray<u64, 8>;
const OLD: u64 = 1;
pub const NEW: u64 = 2;

fn value(family: &str) -> Value {
    Value::open_or_create(&member(family, 0), [OLD as u32; 23]).unwrap()
}

/// Of the kind of which nobody is told.
fn watched(family: &str) -> Value {
    Value::options().lock_kind(LockKind::File).open_or_create(&member(family, 0), [OLD as u32; 23]).unwrap()
}

fn os_mutex(family: &str) -> Value {
    Value::options().lock_kind(LockKind::OsMutex).open_or_create(&member(family, 0), [OLD as u32; 23]).unwrap()
}

fn array(family: &str) -> Array {
    Array::open_or_create_from(&member(family, 0), &[OLD; 8]).unwrap()
}

/// The same segment.
fn slice(family: &str) -> SharedSlice<u64> {
    SharedSlice::open_or_create_from(&member(family, 0), &[OLD; 8]).unwrap()
}

fn locks(family: &str) -> [SharedLock; 3] {
    [0, 1, 2].map(|which| SharedLock::open_or_create(&member(family, which)).unwrap())
}

fn stay<T>(_handle: T) {
    say("ready");
    pause();
}

/// What changes or reads elements, by either of their faces.
macro_rules! users_of {
    ($of:ident: $write:literal, $rewrite:literal, $read:literal, $repair:literal) => {
        &[
            ($write, |family| {
                let elements = $of(family);
                armed(|| elements.lock().unwrap().fill(NEW));
            }),
            ($rewrite, |family| {
                let elements = $of(family);
                armed(|| elements.copy_from_slice(&[NEW; 8]).unwrap());
            }),
            ($read, |family| {
                let elements = $of(family);
                let mut copy = [0; 8];
                armed(|| elements.read_into(&mut copy).unwrap());
                assert_eq!(copy, [OLD; 8]);
            }),
            ($repair, |family| {
                let elements = $of(family);
                armed(|| drop(elements.lock_recover(|elements| elements.fill(NEW)).unwrap()));
            }),
        ]
    };
}

pub const ROLES_OF_ARRAYS: &[(&str, Body)] = users_of!(array: "write", "rewrite", "read", "repair");
pub const ROLES_OF_SLICES: &[(&str, Body)] =
    users_of!(slice: "write to a slice", "rewrite a slice", "read a slice", "repair a slice");

pub const ROLES: &[(&str, Body)] = &[
    ("keep a value", |family| stay(value(family))),
    ("keep little", |family| stay(SharedValue::create(&member(family, 1), OLD).unwrap())),
    ("little locker", |family| {
        let value = SharedValue::<u64>::open(&member(family, 1)).unwrap();
        say("begins");
        drop(value.lock().unwrap());
        say("got it");
        pause();
    }),
    ("keep an array", |family| stay(array(family))),
    ("keep locks", |family| stay(locks(family))),
    ("hold a value", |family| stay(value(family).lock().unwrap())),
    ("hold an array", |family| stay(array(family).lock().unwrap())),
    ("die holding an array", |family| {
        let array = array(family);
        let _guard = array.lock().unwrap();
        ready_to_die();
    }),
    ("keep counters", |family| {
        stay(Array::options().poison(false).create_from(&member(family, 0), &[OLD; 8]).unwrap());
    }),
    ("value locker", |family| {
        let value = value(family);
        assert_whole(value.get());
        say("begins");
        assert_whole(*value.lock().unwrap());
        say("got it");
        pause();
    }),
    ("array locker", |family| {
        let array = array(family);
        say("begins");
        drop(array.lock_ignoring_poison().unwrap());
        say("got it");
        pause();
    }),
    ("locks locker", |family| {
        let locks = locks(family);
        say("begins");
        locks.iter().for_each(|lock| drop(lock.lock_ignoring_poison().unwrap()));
        say("got it");
        pause();
    }),
    ("change", |family| {
        let value = value(family);
        armed(|| *value.lock().unwrap() = [NEW as u32; 23]);
    }),
    ("change again", |family| {
        let value = value(family);
        drop(value.lock().unwrap()); // so that the thread is known
        armed(|| *value.lock().unwrap() = [NEW as u32; 23]);
    }),
    ("change little", |family| {
        let value = SharedValue::open_or_create(&member(family, 1), OLD).unwrap();
        armed(|| *value.lock().unwrap() = NEW);
    }),
    ("change, overtaken", |family| {
        nudged_at("list: empty");
        let value = value(family);
        armed(|| *value.lock().unwrap() = [NEW as u32; 23]);
    }),
    ("keep a watched value", |family| stay(watched(family))),
    ("hold a watched value", |family| stay(watched(family).lock().unwrap())),
    ("keep an os mutex", |family| stay(os_mutex(family))),
    ("change under an os mutex", |family| {
        let value = os_mutex(family);
        armed(|| *value.lock().unwrap() = [NEW as u32; 23]);
    }),
    ("os mutex looker", |family| {
        let value = os_mutex(family);
        assert_whole(value.get());
        say("begins");
        for limit in [None, Some(Duration::from_millis(1))] {
            match limit.map_or_else(|| value.try_lock(), |limit| value.try_lock_for(limit)) {
                Ok(guard) => assert_whole(*guard),
                Err(LockError::WouldBlock { .. } | LockError::TimedOut { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        assert_whole(value.get());
        say("got it");
        pause();
    }),
    ("write and panic", |family| {
        let array = array(family);
        std::panic::set_hook(Box::new(|_| {}));
        let result = armed(|| {
            std::panic::catch_unwind(|| {
                let mut guard = array.lock().unwrap();
                guard[0] = NEW;
                panic!("on purpose");
            })
        });
        assert!(result.is_err());
    }),
    ("find poison", |family| {
        let array = array(family);
        armed(|| assert!(matches!(array.lock(), Err(LockError::Poisoned { .. }))));
    }),
    ("take from a dead", |family| {
        let array = array(family);
        armed(|| drop(array.lock_ignoring_poison().unwrap()));
    }),
    ("run with a lock", |family| {
        let [lock, ..] = locks(family);
        armed(|| lock.with(|| ()).unwrap());
    }),
    ("hold three", |family| {
        let locks = locks(family);
        armed(|| {
            let mut guards = locks.each_ref().map(|lock| Some(lock.lock().unwrap()));
            RELEASES.iter().for_each(|which| drop(guards[*which].take()));
        });
    }),
];

/// The order in which three locks are released: from the middle of the list, from its head, and the last.
const RELEASES: [usize; 3] = [1, 2, 0];

fn assert_whole(value: Content) {
    assert!([[OLD as u32; 23], [NEW as u32; 23]].contains(&value), "torn: {value:?}");
}

fn nothing(_: &mut World) {}

pub fn kept_value(world: &mut World) {
    world.keep("keep a value");
}

fn kept_watched(world: &mut World) {
    world.keep("keep a watched value");
}

fn held_watched(world: &mut World) {
    world.keep("keep a watched value");
    world.hold("hold a watched value");
}

/// The holder leaves when the victim has become the one who watches for all.
fn release_when_watched(world: &mut World) {
    until_it_watches(world);
    release(world);
}

/// Another comes to wait, who relies on the victim; then the holder leaves.
fn release_when_watched_before_a_waiter(world: &mut World) {
    until_it_watches(world);
    value_waiter_behind(world);
}

/// Or until it is stopped on the way.
fn until_it_watches(world: &World) {
    let watches = || has_stopped(world.victim) || is_watched(&world.family.member(0));
    crate::support::until("the victim's watch", || watches().then_some(()));
}

/// Has somebody the watcher's byte? Told by the kernel's table: "1: OFDLCK ADVISORY WRITE -1 00:1a:47 4294967296 4294967296".
fn is_watched(name: &str) -> bool {
    const WATCH: &str = " 4294967296 4294967296";
    let inode = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(path(name)).unwrap());
    let table = std::fs::read_to_string("/proc/locks").unwrap();
    table.lines().any(|line| line.contains(&format!(":{inode} ")) && line.ends_with(WATCH))
}

fn kept_os_mutex(world: &mut World) {
    world.keep("keep an os mutex");
}

fn kept_little(world: &mut World) {
    world.keep("keep little");
}

pub fn held_value(world: &mut World) {
    world.keep("keep a value");
    world.hold("hold a value");
}

fn kept_array(world: &mut World) {
    world.keep("keep an array");
}

fn held_array(world: &mut World) {
    world.keep("keep an array");
    world.hold("hold an array");
}

fn poisoned_array(world: &mut World) {
    world.keep("keep an array");
    world.kill("die holding an array");
}

fn counters(world: &mut World) {
    world.keep("keep counters");
    world.kill("die holding an array");
}

/// The kernel has not been able to mark the dead holder.
fn unmarked_array(world: &mut World) {
    world.keep("keep an array");
    let file = std::fs::File::options().write(true).open(path(&world.family.member(0))).unwrap();
    const LOCK_WORD: u64 = 520;
    const DIRTY: u64 = 569;
    file.write_all_at(&0x3fff_fff0u32.to_ne_bytes(), LOCK_WORD).unwrap();
    file.write_all_at(&[1], DIRTY).unwrap();
}

fn kept_locks(world: &mut World) {
    world.keep("keep locks");
}

/// Another comes to wait behind the victim; then the holder leaves.
pub fn value_waiter_behind(world: &mut World) {
    value_waiter_comes(world);
    release(world);
}

fn array_waiter_behind(world: &mut World) {
    world.waiter = Some(arrive("array locker", world).0);
    release(world);
}

pub fn value_waiter_comes(world: &mut World) {
    world.waiter = Some(arrive("value locker", world).0);
}

const fn of_value(victim: &'static str, set_up: fn(&mut World), nudge: fn(&mut World)) -> Scenario {
    let (bystander, check) = ("value locker", is_old_or_new);
    Scenario { victim, bystander, set_up, nudge, check, essential: None, goes_on: true, stays_stopped: true }
}

const fn of_array(victim: &'static str, set_up: fn(&mut World), nudge: fn(&mut World), check: fn(&Case)) -> Scenario {
    let (bystander, stays_stopped) = ("array locker", true);
    Scenario { victim, bystander, set_up, nudge, check, essential: None, goes_on: true, stays_stopped }
}

pub const CHANGE: Scenario = of_value("change", kept_value, nothing);
/// A value that stands in the commit line itself.
pub const CHANGE_LITTLE: Scenario = Scenario {
    victim: "change little",
    bystander: "little locker",
    set_up: kept_little,
    check: little_is_old_or_new,
    ..CHANGE
};
pub const CHANGE_AFTER_WAIT: Scenario = of_value("change", held_value, release);
pub const CHANGE_BEFORE_WAITER: Scenario = of_value("change", held_value, value_waiter_behind);
pub const CHANGE_OVERTAKEN: Scenario = of_value("change, overtaken", kept_value, value_waiter_comes);
/// Nobody is told of deaths.
pub const CHANGE_WATCHED: Scenario = of_value("change again", kept_watched, nothing);
pub const CHANGE_AFTER_WATCHING: Scenario = of_value("change", held_watched, release_when_watched);
pub const CHANGE_BEFORE_ONE_WHO_RELIES: Scenario =
    of_value("change", held_watched, release_when_watched_before_a_waiter);
/// A dead holder keeps the lock; nothing else hangs.
pub const CHANGE_UNDER_OS_MUTEX: Scenario = Scenario {
    bystander: "os mutex looker",
    check: is_old_or_new_and_kept_if_held,
    ..of_value("change under an os mutex", kept_os_mutex, nothing)
};
pub const WRITE: Scenario = of_array("write", kept_array, nothing, is_poisoned_if_changing);
pub const WRITE_BEFORE_WAITER: Scenario = of_array("write", held_array, array_waiter_behind, is_poisoned_if_changing);
pub const WRITE_AND_PANIC: Scenario = of_array("write and panic", kept_array, nothing, is_poisoned_once_changed);
pub const WRITE_COUNTERS: Scenario = of_array("write", counters, nothing, is_never_poisoned);
pub const READ: Scenario = of_array("read", kept_array, nothing, is_whole);
/// Without a guard, and all elements at once.
pub const OVERWRITE: Scenario =
    Scenario { essential: Some(CHANGING), ..of_array("rewrite", kept_array, nothing, is_poisoned_if_changing) };
pub const REWRITE: Scenario = of_array("rewrite", poisoned_array, nothing, is_poisoned_until_repaired);
pub const REPAIR: Scenario = of_array("repair", poisoned_array, nothing, is_poisoned_until_repaired);
pub const WRITE_TO_SLICE: Scenario = Scenario { victim: "write to a slice", ..WRITE };
pub const READ_SLICE: Scenario = Scenario { victim: "read a slice", ..READ };
pub const OVERWRITE_SLICE: Scenario = Scenario { victim: "rewrite a slice", ..OVERWRITE };
pub const REPAIR_SLICE: Scenario = Scenario { victim: "repair a slice", ..REPAIR };
pub const FIND_POISON: Scenario = of_array("find poison", poisoned_array, nothing, is_poisoned);
pub const TAKE_FROM_UNMARKED: Scenario = of_array("take from a dead", unmarked_array, nothing, is_poisoned);
pub const RUN_WITH: Scenario = Scenario {
    victim: "run with a lock",
    bystander: "locks locker",
    set_up: kept_locks,
    nudge: nothing,
    check: locks_are_poisoned_if_held,
    essential: None,
    goes_on: true,
    stays_stopped: false,
};
pub const HOLD_THREE: Scenario = Scenario { victim: "hold three", ..RUN_WITH };

pub const ALL: &[Scenario] = &[
    CHANGE,
    CHANGE_LITTLE,
    CHANGE_AFTER_WAIT,
    CHANGE_BEFORE_WAITER,
    CHANGE_OVERTAKEN,
    CHANGE_WATCHED,
    CHANGE_AFTER_WATCHING,
    CHANGE_BEFORE_ONE_WHO_RELIES,
    CHANGE_UNDER_OS_MUTEX,
    WRITE,
    WRITE_BEFORE_WAITER,
    WRITE_AND_PANIC,
    WRITE_COUNTERS,
    READ,
    OVERWRITE,
    REWRITE,
    REPAIR,
    WRITE_TO_SLICE,
    READ_SLICE,
    OVERWRITE_SLICE,
    REPAIR_SLICE,
    FIND_POISON,
    TAKE_FROM_UNMARKED,
    RUN_WITH,
    HOLD_THREE,
];

/// After one of these, the victim holds the lock, until one of those.
pub const ACQUIRED: &[&str] = &["lock: acquired", "lock slowly: acquired", "watched lock: acquired"];
pub const RELEASED: &[&str] =
    &["unlock: released", "unlock slowly: released", "watched unlock: released", "wake: released"];

/// Between these, elements may be half-changed.
const CHANGING: &str = "changes: begun";
const CHANGED: &str = "changes: ended";

/// New exactly when the commit was made.
fn is_old_or_new(case: &Case) {
    let value = Value::open(&case.name()).unwrap();
    let expected = if case.is_past("commit: committed") { NEW } else { OLD };
    assert_eq!(value.get(), [expected as u32; 23]);
    assert_eq!(value.commits(), expected - OLD);
    let mut guard = value.try_lock_for(BOUND).unwrap();
    assert_eq!(*guard, [expected as u32; 23]);
    *guard = [OLD as u32; 23];
    drop(guard);
    assert_eq!(value.get(), [OLD as u32; 23]);
}

fn little_is_old_or_new(case: &Case) {
    let value = SharedValue::<u64>::open(&case.world.family.member(1)).unwrap();
    let expected = if case.is_past("commit: committed") { NEW } else { OLD };
    assert_eq!(value.get(), expected);
    assert_eq!(*value.try_lock_for(BOUND).unwrap(), expected);
}

fn is_old_or_new_and_kept_if_held(case: &Case) {
    let value = Value::open(&case.name()).unwrap();
    let expected = if case.is_past("commit: committed") { NEW } else { OLD };
    assert_eq!(value.get(), [expected as u32; 23]);
    if case.count(&["os mutex: acquired"]) == case.count(&["os mutex: released"]) {
        assert_eq!(*value.try_lock_for(BOUND).unwrap(), [expected as u32; 23]);
    } else {
        assert!(matches!(value.try_lock_for(Duration::from_millis(1)), Err(LockError::TimedOut { .. })));
    }
}

fn is_poisoned_if_changing(case: &Case) {
    check_array(case, is_changing(case), if case.is_past(CHANGED) { NEW } else { OLD });
}

fn is_poisoned_once_changed(case: &Case) {
    check_array(case, case.is_past(CHANGING), OLD);
}

/// As long as the first poison stands, and as long as whoever has cleared it may still be changing the elements.
fn is_poisoned_until_repaired(case: &Case) {
    check_array(case, !case.is_past("poison: cleared") || is_changing(case), NEW);
}

fn is_whole(case: &Case) {
    check_array(case, false, OLD);
}

fn is_never_poisoned(case: &Case) {
    let array = Array::open(&case.name()).unwrap();
    assert!(!array.is_poisoned());
    let elements = array.try_lock_for(BOUND).unwrap();
    let expected: &[u64] = if case.is_past(CHANGED) { &[NEW] } else { &[OLD, NEW] };
    assert!(elements.iter().all(|element| expected.contains(element)));
}

/// May its death have left the elements half-changed?
fn is_changing(case: &Case) -> bool {
    case.is_past(CHANGING) && !case.is_past(CHANGED)
}

fn is_poisoned(case: &Case) {
    check_array(case, true, OLD);
}

fn check_array(case: &Case, poisoned: bool, content: u64) {
    let array = Array::open(&case.name()).unwrap();
    let mut guard = array.try_lock_ignoring_poison_for(BOUND).unwrap();
    assert_eq!(ArrayGuard::is_poisoned(&guard), poisoned);
    if poisoned {
        guard.fill(content);
        ArrayGuard::clear_poison(&mut guard);
    }
    assert_eq!(*guard, [content; 8]);
    drop(guard);
    assert!(array.lock().is_ok());
}

fn locks_are_poisoned_if_held(case: &Case) {
    // From when its guard is there until that begins to go.
    let (acquired, released) = (case.count(&[CHANGING]), case.count(&[CHANGED]));
    for which in 0..3 {
        let lock = SharedLock::open(&case.world.family.member(which)).unwrap();
        let guard = lock.lock_ignoring_poison().unwrap();
        let is_released = released == acquired || RELEASES[..released].contains(&which);
        assert_eq!(LockGuard::is_poisoned(&guard), which < acquired && !is_released, "lock {which}");
    }
}
