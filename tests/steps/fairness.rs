//! Locks that are kept for a waiter that was passed over, step by step.

use std::os::unix::fs::FileExt;
use std::time::Duration;

use crate::locks::{self, CHANGE, CHANGE_OVERTAKEN, Value, value_waiter_comes};
use crate::support::{Body, path, pause, say, until};
use crate::walk::{Scenario, World, has_stopped, is_asleep, release};

const LOCK_WORD: u64 = 520;
const RESERVATION: u64 = 572;
const W: u32 = libc::FUTEX_WAITERS;
/// Made by one that does not exist any more.
const BY_A_DEAD: u32 = 0x4321_0000;
/// Longer than a waiter waits before it reserves the lock.
const STARVING: Duration = Duration::from_millis(2);

pub const ROLES: &[(&str, Body)] = &[("hold a value and leave it to another", |family| {
    let name = crate::support::member(family, 0);
    let value = Value::open(&name).unwrap();
    std::mem::forget(value.lock().unwrap());
    say("ready");
    pause();
    reserve_for_a_dead(&name);
    write(&name, LOCK_WORD, W);
    wake(&name, 1);
})];

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

/// The lock is free, and kept for one that will not come.
pub const KEPT: Scenario = Scenario { set_up: free_and_kept, ..CHANGE };
/// The same for one that has waited already.
pub const STAND_BACK: Scenario = Scenario { set_up: held_to_be_left_to_another, nudge: release, ..CHANGE };
pub const INHERIT: Scenario = Scenario { set_up: locks::held_value, nudge: passed_over, ..CHANGE };
pub const BEQUEATH: Scenario = Scenario { nudge: an_heir_comes, ..CHANGE_OVERTAKEN };
pub const BEQUEATH_TO_A_DEAD: Scenario = Scenario { nudge: a_waiter_comes_and_one_dies, ..CHANGE_OVERTAKEN };

pub const ALL: &[Scenario] = &[KEPT, STAND_BACK, INHERIT, BEQUEATH, BEQUEATH_TO_A_DEAD];
