//! Permits of a semaphore, step by step.

use robust_shm::{SharedLock, SharedSemaphore};

use crate::step::{armed, nudged_at};
use crate::support::{Body, member, pause, ready_to_die, say};
use crate::walk::{BOUND, Case, Scenario, World, arrive, release, soon};

const PERMITS: usize = 2;

fn semaphore(family: &str) -> SharedSemaphore {
    SharedSemaphore::open_or_create(&member(family, 0), PERMITS).unwrap()
}

fn lock(family: &str) -> SharedLock {
    SharedLock::options().poison(false).open_or_create(&member(family, 1)).unwrap()
}

fn take_all(semaphore: &SharedSemaphore) -> [robust_shm::Permit<'_>; PERMITS] {
    std::array::from_fn(|_| semaphore.acquire().unwrap())
}

pub const ROLES: &[(&str, Body)] = &[
    ("keep permits", |family| {
        let _kept = (semaphore(family), lock(family));
        say("ready");
        pause();
    }),
    ("hold all permits", |family| {
        let semaphore = semaphore(family);
        let _permits = take_all(&semaphore);
        say("ready");
        pause();
    }),
    ("die holding persistent permits", |family| {
        let options = SharedSemaphore::options().persistent(true);
        let semaphore = options.create(&member(family, 0), PERMITS).unwrap();
        let _permits = take_all(&semaphore);
        ready_to_die();
    }),
    ("permit taker", |family| {
        let semaphore = semaphore(family);
        say("begins");
        drop(semaphore.acquire().unwrap());
        say("got it");
        pause();
    }),
    ("permit taker once", |family| {
        let options = SharedSemaphore::options();
        say("begins");
        drop(options.open(&member(family, 0)).unwrap().acquire().unwrap());
        say("got it");
        pause();
    }),
    ("take a permit", |family| {
        let semaphore = semaphore(family);
        armed(|| drop(semaphore.acquire().unwrap()));
    }),
    ("take one of two", |family| {
        // Both are free when it looks.
        nudged_at("permit: awake");
        let semaphore = semaphore(family);
        armed(|| drop(semaphore.acquire().unwrap()));
    }),
    ("take a permit under a lock", |family| {
        let semaphore = semaphore(family);
        let lock = lock(family);
        let _guard = lock.lock().unwrap();
        armed(|| drop(semaphore.acquire().unwrap()));
    }),
    ("open permits", |family| {
        armed(|| drop(SharedSemaphore::open(&member(family, 0)).unwrap()));
    }),
];

fn kept(world: &mut World) {
    world.keep("keep permits");
}

fn held(world: &mut World) {
    kept(world);
    world.hold("hold all permits");
}

fn held_by_a_dead(world: &mut World) {
    world.kill("die holding persistent permits");
}

fn nothing(_: &mut World) {}

/// Another comes to wait behind the victim; then both permits are given back.
fn waiter_behind(world: &mut World) {
    world.waiter = Some(arrive("permit taker", world).0);
    release(world);
}

fn all_are_there(case: &Case) {
    let semaphore = SharedSemaphore::open(&case.name()).unwrap();
    soon("all permits", || (semaphore.available() == PERMITS).then_some(()));
    let permits: [_; PERMITS] = std::array::from_fn(|_| semaphore.try_acquire_for(BOUND).unwrap());
    assert_ne!(permits[0].index(), permits[1].index());
}

fn all_are_there_and_last(case: &Case) {
    all_are_there(case);
    robust_shm::remove(&case.name()).unwrap();
}

pub const TAKE: Scenario = Scenario {
    victim: "take a permit",
    bystander: "permit taker",
    set_up: kept,
    nudge: nothing,
    check: all_are_there,
    essential: None,
    goes_on: true,
    stays_stopped: false,
};
pub const TAKE_UNDER_A_LOCK: Scenario = Scenario { victim: "take a permit under a lock", ..TAKE };
pub const TAKE_AFTER_WAIT: Scenario = Scenario { set_up: held, nudge: release, ..TAKE };
pub const TAKE_ONE_OF_TWO: Scenario = Scenario { victim: "take one of two", ..TAKE_AFTER_WAIT };
pub const TAKE_BEFORE_WAITER: Scenario = Scenario { set_up: held, nudge: waiter_behind, ..TAKE };
pub const TAKE_OVER: Scenario = Scenario {
    victim: "open permits",
    bystander: "permit taker once",
    set_up: held_by_a_dead,
    check: all_are_there_and_last,
    goes_on: false,
    ..TAKE
};

pub const ALL: &[Scenario] =
    &[TAKE, TAKE_UNDER_A_LOCK, TAKE_AFTER_WAIT, TAKE_ONE_OF_TWO, TAKE_BEFORE_WAITER, TAKE_OVER];
