//! Readers side by side, and who keeps them out, step by step: whoever dies at whatever step, others read and write on, and
//! only a writer amid changes poisons.

use robust_shm::{LockError, SegmentInfo, SharedArray};

use crate::step::{armed, nudged_at};
use crate::support::{Body, member, pause, ready_to_die, say};
use crate::walk::{BOUND, Case, Scenario, World, arrive, release, soon};

type Array = SharedArray<u64, 4>;

fn array(family: &str) -> Array {
    Array::open_or_create(&member(family, 0)).unwrap()
}

fn other(family: &str) -> Array {
    Array::open_or_create(&member(family, 1)).unwrap()
}

fn stay<T>(_handle: T) {
    say("ready");
    pause();
}

pub const ROLES: &[(&str, Body)] = &[
    ("keep what is read", |family| stay((array(family), other(family)))),
    ("keep what was read", |family| {
        let array = array(family);
        drop(array.read().unwrap());
        stay((array, other(family)));
    }),
    ("hold reading", |family| stay(array(family).read().unwrap())),
    ("die reading", |family| {
        let array = array(family);
        let _reading = array.read().unwrap();
        ready_to_die();
    }),
    ("die reading persistently", |family| {
        let array = Array::options().persistent(true).create(&member(family, 0)).unwrap();
        let _reading = array.read().unwrap();
        ready_to_die();
    }),
    // Needs all for itself, and then reads.
    ("reader and writer", |family| {
        let array = array(family);
        say("begins");
        write_and_read(&array);
        say("got it");
        pause();
    }),
    ("reader and writer once", |family| {
        say("begins");
        write_and_read(&Array::open(&member(family, 0)).unwrap());
        say("got it");
        pause();
    }),
    ("read side by side", |family| {
        let array = array(family);
        armed(|| drop(array.read().unwrap()));
    }),
    ("read again", |family| {
        let array = array(family);
        drop(array.read().unwrap());
        armed(|| drop(array.read().unwrap()));
    }),
    ("read under a lock", |family| {
        let (array, other) = (array(family), other(family));
        drop(array.read().unwrap());
        let _guard = other.lock().unwrap();
        armed(|| drop(array.read().unwrap()));
    }),
    ("read alone", |family| {
        let array = Array::options().readers(0).open(&member(family, 0)).unwrap();
        armed(|| drop(array.read().unwrap()));
    }),
    ("keep what has no slots", |family| {
        stay((Array::options().readers(0).create(&member(family, 0)).unwrap(), other(family)));
    }),
    // A writer comes when it has its slot, and has not looked at the mask.
    ("read beside a writer", |family| {
        nudged_at("read: slot taken");
        let array = array(family);
        drop(array.read().unwrap());
        armed(|| drop(array.read().unwrap()));
    }),
    // A writer comes while it reads.
    ("read before a writer", |family| {
        nudged_at("list: alone in it");
        let array = array(family);
        drop(array.read().unwrap());
        armed(|| drop(array.read().unwrap()));
    }),
    ("write beside readers", |family| {
        let array = array(family);
        armed(|| array.lock().unwrap()[0] = 1);
    }),
    ("give up before readers", |family| {
        let array = array(family);
        armed(|| drop(array.try_lock()));
    }),
    ("open what is read", |family| armed(|| drop(Array::open(&member(family, 0)).unwrap()))),
];

fn write_and_read(array: &Array) {
    drop(array.lock_ignoring_poison().unwrap());
    match array.read() {
        Ok(_) | Err(LockError::Poisoned { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

fn nothing(_: &mut World) {}

fn kept(world: &mut World) {
    world.keep("keep what is read");
}

fn kept_and_was_read(world: &mut World) {
    world.keep("keep what was read");
}

fn without_slots(world: &mut World) {
    world.keep("keep what has no slots");
}

fn being_read(world: &mut World) {
    kept(world);
    world.hold("hold reading");
}

fn read_by_a_dead(world: &mut World) {
    kept(world);
    world.kill("die reading");
}

fn read_by_the_last_one(world: &mut World) {
    world.kill("die reading persistently");
}

fn writer_comes(world: &mut World) {
    world.waiter = Some(arrive("reader and writer", world).0);
}

/// Nobody reads, and all goes on; it is poisoned if the victim was amid changes.
fn goes_on(case: &Case) {
    let name = case.name();
    soon("no readers", || (SegmentInfo::of(&name).unwrap().active_readers() == Some(0)).then_some(()));
    let array = Array::open(&name).unwrap();
    let is_torn = case.count(&["changes: begun"]) > case.count(&["changes: ended"]);
    assert_eq!(array.is_poisoned(), is_torn);
    drop(array.try_lock_ignoring_poison_for(BOUND).unwrap());
    assert_eq!(matches!(array.try_read_for(BOUND), Err(LockError::Poisoned { .. })), is_torn);
    drop(array.lock_recover(|_| assert!(is_torn)).unwrap());
    assert_eq!(array.try_read_for(BOUND).unwrap()[1..], [0; 3]);
    drop(array.try_lock_for(BOUND).unwrap());
}

fn goes_on_once(case: &Case) {
    goes_on(case);
    robust_shm::remove(&case.name()).unwrap();
}

const fn of(victim: &'static str, set_up: fn(&mut World), nudge: fn(&mut World)) -> Scenario {
    let bystander = "reader and writer";
    Scenario { victim, bystander, set_up, nudge, check: goes_on, essential: None, goes_on: true, stays_stopped: false }
}

pub const READ_FIRST: Scenario = of("read side by side", kept, nothing);
pub const READ_BESIDE: Scenario = of("read side by side", being_read, release);
pub const READ_AGAIN: Scenario = of("read again", kept, nothing);
pub const READ_UNDER_A_LOCK: Scenario = of("read under a lock", kept, nothing);
pub const READ_ALONE: Scenario = of("read alone", without_slots, nothing);
pub const READ_WHERE_ONE_DIED: Scenario = of("read side by side", read_by_a_dead, nothing);
pub const BACK_OUT: Scenario = of("read beside a writer", kept, writer_comes);
pub const READ_BEFORE_A_WRITER: Scenario = of("read before a writer", kept, writer_comes);
pub const WRITE_WHERE_NOBODY_READS: Scenario = of("write beside readers", kept_and_was_read, nothing);
pub const WRITE_AFTER_READERS: Scenario = of("write beside readers", being_read, release);
pub const WRITE_WHERE_A_READER_DIED: Scenario = of("write beside readers", read_by_a_dead, nothing);
pub const GIVE_UP: Scenario = of("give up before readers", being_read, nothing);
pub const TAKE_OVER: Scenario = Scenario {
    bystander: "reader and writer once",
    check: goes_on_once,
    goes_on: false,
    ..of("open what is read", read_by_the_last_one, nothing)
};

pub const ALL: &[Scenario] = &[
    READ_FIRST,
    READ_BESIDE,
    READ_AGAIN,
    READ_UNDER_A_LOCK,
    READ_ALONE,
    READ_WHERE_ONE_DIED,
    BACK_OUT,
    READ_BEFORE_A_WRITER,
    WRITE_WHERE_NOBODY_READS,
    WRITE_AFTER_READERS,
    WRITE_WHERE_A_READER_DIED,
    GIVE_UP,
    TAKE_OVER,
];
