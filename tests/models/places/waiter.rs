// The lock around the places, for each copy of the source: `src/sync/watched.rs`, `waiting.rs` and `robust_futex.rs`, as
// short as can be.

use std::mem::ManuallyDrop;

use super::{life, place};
use crate::kernel;
use crate::search::{self, with};
use crate::stubs::futex::{OWNER_DIED, TID, WAITERS};
use crate::stubs::{Deadline, Line, thread};

const W: u64 = WAITERS as u64;
const D: u64 = OWNER_DIED as u64;

/// What a thread does from its beginning to its end.
pub(crate) fn body(_: usize) {
    let (number, life) = life::begin(crate::stubs::thread::id()).expect("a number");
    let life = ManuallyDrop::new(life); // who is killed closes nothing himself
    thread::set_number(number);
    for round in 0..with(|run| run.world.rounds) {
        with(|run| run.begin_round(round));
        if lock() {
            unlock();
        }
    }
    // As `thread.rs` does for one who holds nothing.
    search::step();
    drop(ManuallyDrop::into_inner(life));
}

fn me() -> u64 {
    u64::from(thread::number()) | (with(|run| run.current) as u64 + 1) << 32
}

fn line() -> &'static Line {
    with(|run| run.line())
}

/// `false`: the time was up.
fn lock() -> bool {
    let word = &line().word;
    if word.update(0, me(), |run| run.acquires(false)).is_ok() {
        return true;
    }
    let mut place = place::Place::new();
    let mut time_is_up = false;
    let mut looks = false;
    let taken_from = loop {
        let seen = word.get();
        let holder = seen as u32 & TID;
        if holder == 0 {
            let died = seen & D != 0;
            let taken = me() | if seen == 0 { 0 } else { W };
            match word.update(seen, taken, |run| run.acquires(died)) {
                Ok(_) => break Some(seen),
                Err(_) => continue,
            }
        }
        let asks = std::mem::take(&mut looks) || time_is_up || place.heard_of_the_end_of(holder);
        if asks && is_gone(seen) {
            let _ = word.update(seen, W | D | seen >> 32 << 32, |_| ());
            continue;
        }
        if time_is_up {
            break None;
        }
        if seen & W == 0 && word.update(seen, seen | W, |_| ()).is_err() {
            continue;
        }
        line().lockers.add(1);
        with(|run| run.me().timed_out = false);
        let woken = place.wait(&word.0, holder | WAITERS, 1, Deadline::BEAT);
        line().lockers.less_one();
        woken.expect("objects");
        match with(|run| run.how_the_wait_ended()) {
            search::Ended::ByTheTime => time_is_up = true,
            search::Ended::ByTheBeat => looks = true,
            search::Ended::Else => {}
        }
    };
    place.end(&word.0, taken_from);
    taken_from.is_some()
}

/// As `src/sync/users.rs` asks.
fn is_gone(seen: u64) -> bool {
    let found = life::of(seen as u32 & TID).expect("an object");
    found.is_some_and(|life| life.has_ended().expect("an object")) || kernel::is_absent((seen >> 32) as usize - 1)
}

fn unlock() {
    let (word, owner) = (&line().word, me());
    if word.update(owner, 0, |run| run.releases()).is_ok() {
        return;
    }
    let epoch = line().epoch.get() + 1;
    line().epoch.set(epoch);
    let free = W | u64::from(epoch) << 32;
    let mut seen = word.get();
    while let Err(found) = word.update(seen, free, |run| run.releases()) {
        seen = found;
    }
    if line().lockers.get() == 0 || matches!(place::tell(&word.0), Ok(false)) {
        let _ = word.update(free, 0, |_| ());
    }
}
