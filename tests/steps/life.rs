//! The life of a segment, step by step.

use std::os::unix::fs::FileExt;

use robust_shm::{
    Error, Options, SegmentInfo, SharedArray, SharedLock, SharedSlice, SharedValue, remove, remove_orphans,
};

use crate::step::{arm, armed, nudged_at};
use crate::support::{Body, end_with, exists, member, path, pause, ready_to_die, say};
use crate::walk::{BOUND, Case, Scenario, World, soon};

type Value = SharedValue<u64>;
const WHOLE: u64 = 0x0123_4567_89ab_cdef;
/// More than a page, which would be written at once.
const LEN: usize = 1_200;
const ELEMENTS: [u32; LEN] = [7; LEN];

fn main_name(family: &str) -> String {
    member(family, 0)
}

pub const ROLES: &[(&str, Body)] = &[
    ("keep", |family| keep(&Value::create(&main_name(family), WHOLE).unwrap())),
    ("keep persistent", |family| {
        keep(&Value::options().persistent(true).create(&main_name(family), WHOLE).unwrap());
    }),
    ("die", |family| {
        let _value = Value::create(&main_name(family), WHOLE).unwrap();
        ready_to_die();
    }),
    ("die persistent, holding", |family| {
        let value = Value::options().persistent(true).create(&main_name(family), WHOLE).unwrap();
        let _guard = value.lock().unwrap();
        ready_to_die();
    }),
    ("user", |family| {
        say("begins");
        let value = Value::open_or_create(&main_name(family), WHOLE).unwrap();
        assert_eq!(value.get(), WHOLE);
        drop(value.lock().unwrap());
        say("got it");
        pause();
    }),
    ("user of an array", |family| {
        say("begins");
        let slice = SharedSlice::open_or_create_from(&main_name(family), &ELEMENTS).unwrap();
        assert_eq!(*slice.lock().unwrap(), ELEMENTS);
        say("got it");
        pause();
    }),
    ("replace", |family| {
        say("begins");
        let removed = remove(&main_name(family));
        assert!(matches!(removed, Ok(()) | Err(Error::NotFound { .. })), "{removed:?}");
        let value = Value::create(&main_name(family), WHOLE).unwrap();
        say("got it");
        pause();
        assert_eq!(SegmentInfo::of(value.name()).unwrap().attached(), 1);
    }),
    ("create", |family| drop(armed(|| Value::create(&main_name(family), WHOLE).unwrap()))),
    ("create over one that dies", |family| {
        nudged_at("register: shared");
        drop(armed(|| Value::create(&main_name(family), WHOLE).unwrap()));
    }),
    ("create from", |family| {
        let options = SharedArray::options().mode(0o640);
        drop(armed(|| options.create_from(&main_name(family), &ELEMENTS).unwrap()));
    }),
    ("create what exists", |family| {
        let error = armed(|| Value::create(&main_name(family), WHOLE)).unwrap_err();
        assert!(matches!(error, Error::AlreadyExists { .. }), "{error}");
    }),
    ("open", |family| drop(armed(|| Value::open(&main_name(family)).unwrap()))),
    ("open an orphan", |family| {
        let error = armed(|| Value::open(&main_name(family))).unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }), "{error}");
    }),
    ("open or create", |family| drop(armed(|| Value::open_or_create(&main_name(family), WHOLE).unwrap()))),
    ("refuse", |family| {
        let error = armed(|| SharedValue::<u32>::open(&main_name(family))).unwrap_err();
        assert!(matches!(error, Error::TypeMismatch { .. }), "{error}");
    }),
    ("close", |family| {
        let value = Value::open_or_create(&main_name(family), WHOLE).unwrap();
        armed(|| drop(value));
    }),
    ("close without descriptors", |family| {
        let value = Value::open_or_create(&main_name(family), WHOLE).unwrap();
        crate::support::fork(|| ()).join();
        use_all_descriptors();
        armed(|| drop(value));
    }),
    ("close what was removed", |family| {
        let value = Value::create(&main_name(family), WHOLE).unwrap();
        remove(&main_name(family)).unwrap();
        armed(|| drop(value));
    }),
    ("exit", |family| {
        std::mem::forget(Value::open_or_create(&main_name(family), WHOLE).unwrap());
        arm();
    }),
    ("exit after a fork", |family| {
        std::mem::forget(Value::open_or_create(&main_name(family), WHOLE).unwrap());
        crate::support::fork(|| ()).join();
        arm();
    }),
    ("remove", |family| armed(|| remove(&main_name(family)).unwrap())),
    ("remove orphans", |family| {
        armed(|| drop(remove_orphans().unwrap()));
        assert!(!exists(&main_name(family)));
    }),
    ("fork", fork),
    ("open what changes", |family| {
        nudged_at("open: validated");
        let error = armed(|| Value::open(&main_name(family))).unwrap_err();
        assert!(matches!(error, Error::TypeMismatch { .. }), "{error}");
    }),
    ("open what becomes persistent", |family| {
        nudged_at("open: validated");
        drop(armed(|| Value::open(&main_name(family)).unwrap()));
    }),
    ("make it persistent and die", |family| {
        become_nobody();
        let _value = of_root().persistent(true).create(&main_name(family), WHOLE).unwrap();
        ready_to_die();
    }),
    ("reuse", |family| {
        become_nobody();
        let value = armed(|| of_root().open_or_create(&main_name(family), WHOLE)).unwrap();
        assert_eq!(value.get(), WHOLE);
    }),
    ("create by reuse", |family| {
        become_nobody();
        let value = armed(|| of_root().create(&main_name(family), WHOLE)).unwrap();
        assert_eq!(value.get(), WHOLE);
    }),
    ("find what cannot be removed", |family| {
        become_nobody();
        let error = armed(|| of_root().open(&main_name(family))).unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }), "{error}");
    }),
    ("user of root's", |family| {
        say("begins");
        become_nobody();
        let value = of_root().open_or_create(&main_name(family), WHOLE).unwrap();
        assert_eq!(value.get(), WHOLE);
        drop(value.lock().unwrap());
        say("got it");
        pause();
    }),
];

/// What root has made, for all to write to.
pub fn of_root() -> Options<Value> {
    Value::options().mode(0o666).allow_owner(0)
}

/// Becomes a user who may remove nothing of root's, in this thread: glibc's own function signals the harness's others.
pub fn become_nobody() {
    for call in [libc::SYS_setresgid, libc::SYS_setresuid] {
        // SAFETY: takes integers.
        #[allow(unsafe_code)]
        let result = unsafe { libc::syscall(call, 65534, 65534, 65534) };
        assert_eq!(result, 0);
    }
}

pub fn is_root() -> bool {
    crate::support::is_root("only root can become another user")
}

fn use_all_descriptors() {
    let limit = libc::rlimit { rlim_cur: 64, rlim_max: 64 };
    // SAFETY: the limits outlive the call.
    #[allow(unsafe_code)]
    let result = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    assert_eq!(result, 0);
    // SAFETY: takes integers.
    #[allow(unsafe_code)]
    while unsafe { libc::dup(libc::STDERR_FILENO) } >= 0 {}
}

fn keep(_value: &Value) {
    say("ready");
    pause();
}

/// Parent and child have a handle and, the parent, a lock.
fn fork(family: &str) {
    let first: &Value = Box::leak(Box::new(Value::open(&main_name(family)).unwrap()));
    let second = Value::create(&member(family, 1), WHOLE).unwrap();
    let mut guard = Some(first.lock().unwrap());
    let mut second = Some(second);
    armed(|| {
        // SAFETY: one thread; the child ends with `_exit`.
        #[allow(unsafe_code)]
        let child = unsafe { libc::fork() };
        if child == 0 {
            end_with(|| {
                drop(guard.take());
                *second.as_ref().unwrap().lock().unwrap() = WHOLE;
                drop(second.take());
            });
        }
        drop(guard.take());
        // SAFETY: a child of ours; its status is not asked for.
        #[allow(unsafe_code)]
        unsafe {
            libc::waitpid(child, std::ptr::null_mut(), 0)
        };
        assert!(exists(&member(family, 1)), "the child has left for its parent");
        drop(second.take());
    });
}

fn nothing(_: &mut World) {}

const fn scenario(victim: &'static str, set_up: fn(&mut World), check: fn(&Case)) -> Scenario {
    Scenario {
        victim,
        bystander: "user",
        set_up,
        nudge: nothing,
        check,
        essential: None,
        goes_on: false,
        stays_stopped: false,
    }
}

/// With what another process might take away before the victim comes to it.
const fn of_orphan(victim: &'static str, check: fn(&Case), essential: &'static str) -> Scenario {
    Scenario { essential: Some(essential), ..scenario(victim, orphan, check) }
}

fn kept(world: &mut World) {
    world.keep("keep");
}

fn kept_persistent(world: &mut World) {
    world.keep("keep persistent");
}

fn orphan(world: &mut World) {
    world.kill("die");
}

/// A persistent segment whose only user was killed while it held the lock, in another PID namespace.
/// And one who was killed waited for a commit.
fn held_by_a_dead_and_watched(world: &mut World) {
    held_by_a_dead(world);
    let file = std::fs::File::options().write(true).open(crate::support::path(&world.family.member(0))).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &1u32.to_ne_bytes(), 584).unwrap();
}

fn held_by_a_dead(world: &mut World) {
    world.kill("die persistent, holding");
    let file = std::fs::File::options().write(true).open(path(&world.family.member(0))).unwrap();
    const NAMESPACE: u64 = 96;
    const LOCK_WORD: u64 = 520;
    file.write_all_at(&1u64.to_ne_bytes(), NAMESPACE).unwrap();
    // As when the machine lost its power: the kernel has not marked the dead holder.
    file.write_all_at(&0x3fff_fff0u32.to_ne_bytes(), LOCK_WORD).unwrap();
    const RESERVATION: u64 = 572;
    file.write_all_at(&u32::MAX.to_ne_bytes(), RESERVATION).unwrap();
}

/// Nobody has been told of the death of one who waited.
fn waited_for_by_a_dead(world: &mut World) {
    world.kill("die persistent, holding");
    let file = std::fs::File::options().write(true).open(path(&world.family.member(0))).unwrap();
    const SUCCESSOR: u64 = 456;
    std::os::unix::fs::FileExt::write_all_at(&file, &0x3fff_fff0u32.to_ne_bytes(), SUCCESSOR).unwrap();
}

fn orphan_for_all(world: &mut World) {
    world.leaves_orphans = true;
    world.kill("die");
    let for_all = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    std::fs::set_permissions(path(&world.family.member(0)), for_all).unwrap();
}

/// Between two looks of the victim, the file becomes another segment, as an orphan does that is made anew.
fn becomes_another(world: &mut World) {
    const HEADER: usize = 512;
    let other = world.family.member(1);
    drop(SharedLock::options().persistent(true).create(&other).unwrap());
    let header = std::fs::read(path(&other)).unwrap();
    let file = std::fs::File::options().write(true).open(path(&world.family.member(0))).unwrap();
    file.write_all_at(&header[..HEADER], 0).unwrap();
    remove(&other).unwrap();
}

/// Between two looks of the owner at the orphan, another user makes a persistent segment of it, and is gone.
fn becomes_persistent(world: &mut World) {
    world.kill("make it persistent and die");
}

fn soon_an_orphan(world: &mut World) {
    world.hold("keep");
}

/// After the victim's sweep.
fn the_user_is_killed(world: &mut World) {
    world.holder.take().unwrap().kill();
}

fn persistent(world: &mut World) {
    let options = Value::options().persistent(true);
    drop(options.create(&world.family.member(0), WHOLE).unwrap());
}

/// Somebody else may have the name in the end.
const REPLACED: Scenario = Scenario { bystander: "replace", goes_on: true, ..scenario("", nothing, is_replaced) };

pub const CREATE: Scenario = scenario("create", nothing, can_be_made_anew);
pub const CREATE_FROM: Scenario =
    Scenario { bystander: "user of an array", ..scenario("create from", nothing, can_be_made_anew_as_array) };
pub const CREATE_WHAT_EXISTS: Scenario = scenario("create what exists", kept, is_still_used);
pub const CREATE_OVER_ORPHAN: Scenario = of_orphan("create", can_be_made_anew, "sweep: orphan removed");
pub const CREATE_OVER_ONE_THAT_DIES: Scenario =
    Scenario { nudge: the_user_is_killed, ..scenario("create over one that dies", soon_an_orphan, can_be_made_anew) };
pub const OPEN: Scenario = Scenario { goes_on: true, ..scenario("open", kept, is_still_used) };
pub const OPEN_OR_CREATE: Scenario = scenario("open or create", nothing, can_be_made_anew);
pub const OPEN_ORPHAN: Scenario = of_orphan("open an orphan", can_be_made_anew, "open: orphan dealt with");
pub const OPEN_OR_CREATE_OVER_ORPHAN: Scenario =
    of_orphan("open or create", can_be_made_anew, "open: orphan dealt with");
pub const TAKE_OVER: Scenario = scenario("open", held_by_a_dead, has_persisted);
pub const TAKE_OVER_WHAT_WAS_WATCHED: Scenario = scenario("open", held_by_a_dead_and_watched, has_persisted);
pub const TAKE_OVER_WHAT_WAS_WAITED_FOR: Scenario = scenario("open", waited_for_by_a_dead, has_persisted);
pub const REFUSE: Scenario = scenario("refuse", held_by_a_dead, has_persisted);
pub const CLOSE_LAST: Scenario = scenario("close", nothing, can_be_made_anew);
pub const CLOSE_WITHOUT_DESCRIPTORS: Scenario = scenario("close without descriptors", nothing, can_be_made_anew);
pub const CLOSE_LAST_AND_BE_REPLACED: Scenario = Scenario { victim: "close", ..REPLACED };
pub const CLOSE_REMOVED: Scenario =
    Scenario { goes_on: true, ..scenario("close what was removed", nothing, can_be_made_anew) };
pub const CLOSE_AMONG_OTHERS: Scenario = Scenario { goes_on: true, ..scenario("close", kept, is_still_used) };
pub const CLOSE_PERSISTENT: Scenario = scenario("close", persistent, has_persisted);
pub const EXIT: Scenario = scenario("exit", nothing, can_be_made_anew);
pub const EXIT_AFTER_FORK: Scenario = scenario("exit after a fork", nothing, can_be_made_anew);
pub const REMOVE: Scenario = scenario("remove", kept_persistent, is_removed);
/// Asked to remove the name, it may well take the successor if it goes on.
pub const REMOVE_AND_BE_REPLACED: Scenario =
    Scenario { victim: "remove", set_up: kept_persistent, goes_on: false, ..REPLACED };
pub const REMOVE_ORPHANS: Scenario = of_orphan("remove orphans", goes_with_the_orphans, "sweep: orphan removed");
pub const OPEN_WHAT_CHANGES: Scenario =
    Scenario { nudge: becomes_another, ..scenario("open what changes", kept_persistent, nothing_to_check) };
/// The victim is not the owner, and cannot remove what it finds. The owner, who checks, can.
pub const REUSE: Scenario =
    Scenario { bystander: "user of root's", ..scenario("reuse", orphan_for_all, can_be_made_anew) };
pub const CREATE_BY_REUSE: Scenario = Scenario { victim: "create by reuse", ..REUSE };
pub const FIND_WHAT_CANNOT_BE_REMOVED: Scenario = Scenario { victim: "find what cannot be removed", ..REUSE };
/// Once, what was known of the orphan before the lock decided, and the persistent segment was removed.
pub const OPEN_WHAT_BECOMES_PERSISTENT: Scenario = Scenario {
    set_up: orphan_for_all,
    nudge: becomes_persistent,
    ..scenario("open what becomes persistent", nothing, has_persisted_since_it_was_made)
};
/// These need root.
pub const OF_ROOT: &[Scenario] = &[REUSE, CREATE_BY_REUSE, FIND_WHAT_CANNOT_BE_REMOVED, OPEN_WHAT_BECOMES_PERSISTENT];
pub const FORK: Scenario = Scenario { goes_on: true, ..scenario("fork", kept, is_unlocked) };

pub const ALL: &[Scenario] = &[
    CREATE,
    CREATE_FROM,
    CREATE_WHAT_EXISTS,
    CREATE_OVER_ORPHAN,
    CREATE_OVER_ONE_THAT_DIES,
    OPEN,
    OPEN_OR_CREATE,
    OPEN_ORPHAN,
    OPEN_OR_CREATE_OVER_ORPHAN,
    TAKE_OVER,
    TAKE_OVER_WHAT_WAS_WATCHED,
    TAKE_OVER_WHAT_WAS_WAITED_FOR,
    REFUSE,
    CLOSE_LAST,
    CLOSE_WITHOUT_DESCRIPTORS,
    CLOSE_LAST_AND_BE_REPLACED,
    CLOSE_REMOVED,
    CLOSE_AMONG_OTHERS,
    CLOSE_PERSISTENT,
    EXIT,
    EXIT_AFTER_FORK,
    REMOVE,
    REMOVE_AND_BE_REPLACED,
    REMOVE_ORPHANS,
    FORK,
];

fn nothing_to_check(_: &Case) {}

/// The victim was the only user: what it left goes as soon as the name is used.
fn can_be_made_anew(case: &Case) {
    let name = case.name();
    if case.in_company {
        assert_eq!(Value::open(&name).unwrap().get(), WHOLE);
        return;
    }
    let error = Value::open(&name).unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    assert!(!exists(&name));
    let value = Value::create(&name, 1).unwrap();
    assert!(value.was_created() && value.get() == 1);
}

fn can_be_made_anew_as_array(case: &Case) {
    let name = case.name();
    if case.in_company {
        assert_eq!(*SharedArray::<u32, LEN>::open(&name).unwrap().lock().unwrap(), ELEMENTS);
        return;
    }
    let array = SharedArray::<u32, LEN>::create(&name).unwrap();
    assert_eq!(*array.lock().unwrap(), [0; LEN]);
}

/// Others have it in use: nothing happens to them, and the dead does not count.
fn is_still_used(case: &Case) {
    case.wait_for_users(1 + usize::from(case.in_company));
    let name = case.name();
    let value = Value::open(&name).unwrap();
    assert_eq!(*value.try_lock_for(BOUND).unwrap(), WHOLE);
    drop(value);
    let error = Value::create(&name, 1).unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error}");
}

fn has_persisted_since_it_was_made(case: &Case) {
    let [passed @ .., _] = case.passed else { unreachable!("it died somewhere") };
    let was_made = passed.iter().any(|step| step.point == "open: validated");
    if was_made { has_persisted(case) } else { can_be_made_anew(case) }
}

fn has_persisted(case: &Case) {
    let name = case.name();
    case.wait_for_users(usize::from(case.in_company));
    let value = Value::open(&name).unwrap();
    assert!(!value.was_created());
    assert_eq!(*value.try_lock_for(BOUND).unwrap(), WHOLE);
    drop(value);
    assert!(exists(&name));
    remove(&name).unwrap();
}

/// It is removed, or can be; then the name is free.
fn is_removed(case: &Case) {
    let name = case.name();
    if !case.in_company {
        assert_eq!(exists(&name), !case.is_past("unlink: unlinked"));
    }
    if exists(&name) {
        assert_eq!(Value::open(&name).unwrap().get(), WHOLE);
        remove(&name).unwrap();
    }
    drop(Value::create(&name, 1).unwrap());
}

/// A successor is never removed in the place of its predecessor.
fn is_replaced(case: &Case) {
    let name = case.name();
    if case.in_company {
        assert_eq!(Value::open(&name).unwrap().get(), WHOLE);
    } else if case.world.keepers.is_empty() {
        can_be_made_anew(case);
    } else {
        is_removed(case);
    }
}

fn goes_with_the_orphans(case: &Case) {
    let name = case.name();
    if case.in_company {
        assert_eq!(SegmentInfo::of(&name).unwrap().attached(), 1);
        return;
    }
    soon("the orphan to go", || {
        let _ = remove_orphans().unwrap();
        (!exists(&name)).then_some(())
    });
    drop(Value::create(&name, 1).unwrap());
}

/// The lock that the parent held is free, and neither counts as a user any more.
fn is_unlocked(case: &Case) {
    is_still_used(case);
    let second = case.world.family.member(1);
    assert!(matches!(Value::open(&second), Err(Error::NotFound { .. })));
}
