//! Locks that are kept for a waiter that was passed over, step by step.

use std::os::unix::fs::FileExt;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use robust_shm::{LockError, SharedValue};

use crate::locks::{self, CHANGE, CHANGE_OVERTAKEN, Value, value_waiter_comes};
use crate::step::{armed, interrupted_at, nudged_at};
use crate::support::{Body, member, path, pause, say, until};
use crate::walk::{Scenario, World, has_stopped, is_asleep, release};

const LOCK_WORD: u64 = 520;
const RESERVATION: u64 = 572;
/// The word of the successor's line.
const SUCCESSOR: u64 = 456;
const W: u32 = libc::FUTEX_WAITERS;
/// Made by one that does not exist any more.
const BY_A_DEAD: u32 = 0x4321_0000;
/// Longer than a waiter waits before it reserves the lock.
const STARVING: Duration = Duration::from_millis(2);

pub const ROLES: &[(&str, Body)] = &[
    ("hold a value and leave it to another", |family| {
        let name = member(family, 0);
        let value = Value::open(&name).unwrap();
        std::mem::forget(value.lock().unwrap());
        say("ready");
        pause();
        reserve_for_a_dead(&name);
        write(&name, LOCK_WORD, W);
        wake(&name, 1);
    }),
    ("hold a value until somebody dozes", |family| {
        let name = member(family, 0);
        let value = Value::open(&name).unwrap();
        let guard = value.lock().unwrap();
        say("ready");
        pause();
        wake_until_one_dozes(&name);
        drop(guard);
    }),
    ("change while somebody dozes", |family| {
        let name = member(family, 0);
        let value = Value::open(&name).unwrap();
        armed(|| {
            let mut guard = value.lock().unwrap();
            say("nudge");
            pause();
            *guard = CHANGED;
            wake_until_one_dozes(&name);
        });
    }),
    ("change, interrupted", |family| {
        let value = Value::open(&member(family, 0)).unwrap();
        drop(LITTLE.set(SharedValue::open(&member(family, 1)).unwrap()));
        interrupted_at("successor: relied on", || drop(LITTLE.get().unwrap().lock().unwrap()));
        armed(|| *value.lock().unwrap() = CHANGED);
    }),
    ("give up as the successor", |family| {
        let name = member(family, 0);
        let value = Value::open(&name).unwrap();
        nudged_at("successor: not relied on");
        let end = Instant::now() + PATIENCE;
        let waker = std::thread::spawn(move || {
            // So late that it dozes when its time is up.
            while Instant::now() < end - MOMENT {
                std::hint::spin_loop();
            }
            wake(&name, 1);
        });
        armed(|| match value.try_lock_until(end) {
            Ok(guard) => drop(guard),
            Err(LockError::TimedOut { .. }) => {}
            Err(error) => panic!("{error}"),
        });
        waker.join().unwrap();
    }),
];

/// What a handler locks.
static LITTLE: OnceLock<SharedValue<u64>> = OnceLock::new();
const CHANGED: locks::Content = [locks::NEW as u32; 23];
const PATIENCE: Duration = Duration::from_millis(5);
const MOMENT: Duration = Duration::from_micros(150);
/// Nobody dozes for so long.
const DOZING: Duration = Duration::from_millis(5);

/// Has the one that has slept longest on the lock find it held, so that it dozes. Returns when it does; or does not, because it
/// is stopped on the way, or has done so before.
fn wake_until_one_dozes(name: &str) {
    wake(name, 1);
    let end = Instant::now() + DOZING;
    while Instant::now() < end && !somebody_dozes(name) {
        std::hint::spin_loop();
    }
}

fn somebody_dozes(name: &str) -> bool {
    let mut stamp = [0; 4];
    std::fs::File::open(path(name)).unwrap().read_exact_at(&mut stamp, SUCCESSOR + 4).unwrap();
    stamp != [0; 4]
}

fn write(name: &str, offset: u64, word: u32) {
    let file = std::fs::File::options().write(true).open(path(name)).unwrap();
    file.write_all_at(&word.to_ne_bytes(), offset).unwrap();
}

fn reserve_for_a_dead(name: &str) {
    write(name, RESERVATION, BY_A_DEAD);
}

fn is_reserved(name: &str) -> bool {
    let mut word = [0; 4];
    std::fs::File::open(path(name)).unwrap().read_exact_at(&mut word, RESERVATION).unwrap();
    u32::from_ne_bytes(word) != 0
}

/// Wakes so many of those that sleep on the lock, which stays as it is.
fn wake(name: &str, most: u32) {
    let memory = shared_memory::ShmemConf::new().os_id(name).open().unwrap();
    let word = memory.as_ptr().wrapping_add(LOCK_WORD as usize);
    // SAFETY: the mapping is longer than that; waking touches no memory.
    #[allow(unsafe_code)]
    let woken = unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAKE, most) };
    assert!(woken >= 0);
}

/// Has the one that sleeps on the lock find it held after its time, so that it reserves it. Returns when it sleeps again, or
/// is stopped on the way.
fn pass_over(name: &str, waiter: u32) {
    std::thread::sleep(STARVING);
    wake(name, 1);
    until("the heir", || (has_stopped(waiter) || is_reserved(name) && is_asleep(waiter)).then_some(()));
}

fn free_and_kept(world: &mut World) {
    locks::kept_value(world);
    let name = world.family.member(0);
    reserve_for_a_dead(&name);
    write(&name, LOCK_WORD, W);
}

fn held_to_be_left_to_another(world: &mut World) {
    locks::kept_value(world);
    world.hold("hold a value and leave it to another");
}

fn passed_over(world: &mut World) {
    pass_over(&world.family.member(0), world.victim);
    release(world);
}

fn an_heir_comes(world: &mut World) {
    value_waiter_comes(world);
    pass_over(&world.family.member(0), world.waiter.as_ref().unwrap().id());
}

fn a_waiter_comes_and_one_dies(world: &mut World) {
    value_waiter_comes(world);
    reserve_for_a_dead(&world.family.member(0));
}

/// The victim waits, and then another behind it.
fn held_until_somebody_dozes(world: &mut World) {
    locks::kept_value(world);
    world.hold("hold a value until somebody dozes");
}

fn held_until_somebody_dozes_and_another(world: &mut World) {
    held_until_somebody_dozes(world);
    world.keep("keep little");
}

/// Unless the holder has left while the victim was stopped.
fn waiter_behind_if_held(world: &mut World) {
    if world.holder.is_some() {
        locks::value_waiter_behind(world);
    }
}

/// The lock is free, and kept for one that will not come.
pub const KEPT: Scenario = Scenario { set_up: free_and_kept, ..CHANGE };
/// The same for one that has waited already.
pub const STAND_BACK: Scenario = Scenario { set_up: held_to_be_left_to_another, nudge: release, ..CHANGE };
pub const INHERIT: Scenario = Scenario { set_up: locks::held_value, nudge: passed_over, ..CHANGE };
pub const BEQUEATH: Scenario = Scenario { nudge: an_heir_comes, ..CHANGE_OVERTAKEN };
pub const BEQUEATH_TO_A_DEAD: Scenario = Scenario { nudge: a_waiter_comes_and_one_dies, ..CHANGE_OVERTAKEN };

/// The holder leaves the lock to the victim, although another sleeps.
pub const SUCCEED: Scenario = Scenario {
    set_up: held_until_somebody_dozes,
    nudge: locks::value_waiter_behind,
    essential: Some("successor: nobody"),
    ..CHANGE
};
/// The victim leaves it to another.
pub const LEAVE_TO_THE_SUCCESSOR: Scenario = Scenario {
    victim: "change while somebody dozes",
    nudge: value_waiter_comes,
    essential: Some("wake: left to the successor"),
    ..CHANGE
};
pub const GIVE_UP_AS_THE_SUCCESSOR: Scenario = Scenario {
    victim: "give up as the successor",
    set_up: locks::held_value,
    nudge: waiter_behind_if_held,
    essential: Some("successor: passed on"),
    ..CHANGE
};
/// A signal handler that locks interrupts the victim while the holder may rely on it.
pub const STEP_ASIDE: Scenario = Scenario {
    victim: "change, interrupted",
    set_up: held_until_somebody_dozes_and_another,
    essential: Some("successor: stepped aside"),
    ..SUCCEED
};

pub const ALL: &[Scenario] = &[
    KEPT,
    STAND_BACK,
    INHERIT,
    BEQUEATH,
    BEQUEATH_TO_A_DEAD,
    SUCCEED,
    LEAVE_TO_THE_SUCCESSOR,
    GIVE_UP_AS_THE_SUCCESSOR,
    STEP_ASIDE,
];
