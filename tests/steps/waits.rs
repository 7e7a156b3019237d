//! Waiting for what a holder does, step by step: whoever dies at whatever step, nobody sleeps beside a commit that he waits for,
//! or beside what he would be notified of.

use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

use robust_shm::{ArrayGuard, LockError, SharedArray, SharedValue};

use crate::step::armed;
use crate::support::{Body, member, path, pause, say, spawn};
use crate::walk::{Case, Scenario, World, arrive, has_stopped, release, soon};

type Cells = SharedArray<u64, 2>;

fn value(family: &str) -> SharedValue<u64> {
    SharedValue::open_or_create(&member(family, 0), 0).unwrap()
}

fn cells(family: &str) -> Cells {
    Cells::open_or_create(&member(family, 0)).unwrap()
}

fn until_it_is_one(value: &SharedValue<u64>) {
    assert_eq!(value.wait_while(|n| *n == 0).unwrap(), 1);
}

/// Waits until there is something; repairs what a dead one has left, by saying that there is.
fn until_there_is_one(cells: &Cells) -> ArrayGuard<'_, u64, 2> {
    match cells.lock().and_then(|guard| cells.condvar().wait_while(guard, |cells| cells[0] == 0)) {
        Ok(guard) => guard,
        Err(LockError::Poisoned { .. }) => {
            let guard = cells.lock_recover(|cells| cells.fill(1)).unwrap();
            cells.condvar().notify_all(&guard);
            guard
        }
        Err(error) => panic!("{error}"),
    }
}

fn notify(cells: &Cells) {
    let mut guard = cells.lock_recover(|cells| cells.fill(1)).unwrap();
    guard.fill(1);
    cells.condvar().notify_all(&guard);
}

fn two(wait: impl Fn() + Sync) {
    say("begins");
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(&wait);
        }
    });
    say("got it");
    pause();
}

pub const ROLES: &[(&str, Body)] = &[
    ("keep a value to watch", |family| {
        let _value = value(family);
        say("ready");
        pause();
    }),
    ("keep cells", |family| {
        let _cells = cells(family);
        say("ready");
        pause();
    }),
    ("two watchers", |family| {
        let value = value(family);
        two(|| until_it_is_one(&value));
    }),
    ("two who wait", |family| {
        let cells = cells(family);
        two(|| drop(until_there_is_one(&cells)));
    }),
    ("watched value's locker", |family| {
        let value = value(family);
        say("begins");
        drop(value.lock().unwrap());
        say("got it");
        pause();
    }),
    ("cells' locker", |family| {
        let cells = cells(family);
        say("begins");
        drop(cells.lock_ignoring_poison().unwrap());
        say("got it");
        pause();
    }),
    ("commit what is not", |family| {
        let value = value(family);
        say("ready");
        pause();
        if value.get() == 0 {
            value.set(1).unwrap();
        }
    }),
    ("notify", |family| {
        let cells = cells(family);
        say("ready");
        pause();
        notify(&cells);
    }),
    ("notify and stay", |family| {
        let cells = cells(family);
        say("ready");
        pause();
        notify(&cells);
        pause();
    }),
    ("notify one", |family| {
        let cells = cells(family);
        say("ready");
        pause();
        let guard = cells.lock().unwrap();
        cells.condvar().notify_one(&guard);
    }),
    ("die before telling of a commit", |family| {
        let value = value(family);
        ENDS.store(true, Ordering::Relaxed);
        robust_shm::watch_points(end_before_telling);
        value.set(1).unwrap();
    }),
    ("wait and be killed", |family| {
        let cells = cells(family);
        std::thread::scope(|scope| {
            scope.spawn(|| drop(cells.condvar().wait(cells.lock().unwrap())));
            soon("its wait", || (wait_line(family, 36) == 1).then_some(()));
            // Behind the release of the other one.
            drop(cells.lock().unwrap());
            say("ready");
            pause();
        });
    }),
    ("commit to watchers", |family| {
        let value = value(family);
        armed(|| value.set(1).unwrap());
    }),
    ("look at a watched value", |family| {
        let value = value(family);
        armed(|| drop(value.lock().unwrap()));
    }),
    ("watch", |family| {
        let value = value(family);
        armed(|| until_it_is_one(&value));
    }),
    ("watch what changes", |family| {
        let value = value(family);
        let mut seen = 0;
        armed(|| drop(value.wait_newer_for(&mut seen, std::time::Duration::from_millis(1))));
    }),
    ("notify who waits", |family| {
        let cells = cells(family);
        armed(|| notify(&cells));
    }),
    ("wait for a condition", |family| {
        let cells = cells(family);
        armed(|| drop(until_there_is_one(&cells)));
    }),
    ("unlock beside nobody", |family| {
        let cells = cells(family);
        while epoch(family) % 64 != 63 {
            drop(cells.lock().unwrap());
        }
        armed(|| drop(cells.lock().unwrap()));
    }),
];

fn number_at(family: &str, at: u64) -> u32 {
    let mut bytes = [0; 4];
    std::fs::File::open(path(&member(family, 0))).unwrap().read_exact_at(&mut bytes, at).unwrap();
    u32::from_ne_bytes(bytes)
}

fn wait_line(family: &str, at: u64) -> u32 {
    number_at(family, 576 + at)
}

fn epoch(family: &str) -> u32 {
    number_at(family, 512)
}

static ENDS: AtomicBool = AtomicBool::new(false);

/// Ends the process when it has committed and released, and has woken nobody: as a kill there would.
fn end_before_telling(point: &'static str) {
    if point == "wake: released" && ENDS.load(Ordering::Relaxed) {
        say("ready");
        pause();
        // SAFETY: ends this process.
        #[allow(unsafe_code)]
        unsafe {
            libc::_exit(0)
        };
    }
}

/// Two watch. If the victim has not committed, another one does in the end; if it has, nobody comes.
fn two_watch(world: &mut World) {
    world.keep("keep a value to watch");
    world.waiter = Some(arrive("two watchers", world).0);
    world.hold("commit what is not");
}

/// And one has committed, and was killed before he told anybody.
fn two_watch_and_one_died(world: &mut World) {
    two_watch(world);
    world.kill("die before telling of a commit");
}

fn nobody_watches(world: &mut World) {
    world.keep("keep a value to watch");
    world.hold("commit what is not");
}

fn two_wait(world: &mut World) {
    world.keep("keep cells");
    world.waiter = Some(arrive("two who wait", world).0);
    world.hold("notify");
}

/// One who was killed is still counted, and so is what he was to be told.
fn a_dead_one_waits(world: &mut World) {
    world.keep("keep cells");
    world.kill("wait and be killed");
    let mut notifier = spawn("notify one", world.family.name());
    notifier.expect("ready");
    notifier.go_on();
    notifier.join();
    world.hold("notify and stay");
}

fn nothing(_: &mut World) {}

/// The kernel wakes the victim.
fn a_writer_dies_before_telling(world: &mut World) {
    let mut writer = spawn("die before telling of a commit", world.family.name());
    writer.expect("ready");
    writer.go_on();
    writer.join();
    release(world);
}

/// (While the victim is stopped with the lock, those who are to commit or notify in the end cannot.)
const fn of_value(victim: &'static str, set_up: fn(&mut World), nudge: fn(&mut World)) -> Scenario {
    let bystander = "watched value's locker";
    Scenario {
        victim,
        bystander,
        set_up,
        nudge,
        check: is_watched,
        essential: None,
        goes_on: true,
        stays_stopped: false,
    }
}

const fn of_cells(victim: &'static str, set_up: fn(&mut World), nudge: fn(&mut World)) -> Scenario {
    let bystander = "cells' locker";
    Scenario { victim, bystander, set_up, nudge, check: serves, essential: None, goes_on: true, stays_stopped: false }
}

pub const COMMIT: Scenario = of_value("commit to watchers", two_watch, nothing);
pub const LOOK: Scenario = of_value("look at a watched value", two_watch, nothing);
pub const LOOK_AFTER_DEATH: Scenario = of_value("look at a watched value", two_watch_and_one_died, nothing);
pub const WATCH: Scenario = of_value("watch", two_watch, release);
pub const WATCH_A_DEATH: Scenario = of_value("watch", nobody_watches, a_writer_dies_before_telling);
pub const WATCH_FOR_A_MOMENT: Scenario = of_value("watch what changes", nobody_watches, nothing);
pub const NOTIFY: Scenario = of_cells("notify who waits", two_wait, nothing);
pub const WAIT: Scenario = of_cells("wait for a condition", two_wait, release);
pub const WAIT_BESIDE_CREDIT: Scenario = of_cells("wait for a condition", a_dead_one_waits, notified_twice);
pub const PROBE: Scenario = of_cells("unlock beside nobody", a_dead_one_waits, nothing);

/// A look under the lock wakes one who was not notified; and then he is, as soon as the victim lets the notifier have the
/// lock.
fn notified_twice(world: &mut World) {
    let (mut bystander, heard) = arrive("cells' locker", world);
    assert!(heard.is_some_and(|heard| heard == "got it"));
    bystander.go_on();
    bystander.join();
    let is_gone = || wait_line(world.family.name(), 32) == 0;
    soon("the credit to be gone", || (is_gone() || has_stopped(world.victim)).then_some(()));
    if let Some(mut notifier) = world.holder.take() {
        notifier.go_on();
        world.keepers.push(notifier);
    }
}

pub const ALL: &[Scenario] = &[
    COMMIT,
    LOOK,
    LOOK_AFTER_DEATH,
    WATCH,
    WATCH_A_DEATH,
    WATCH_FOR_A_MOMENT,
    NOTIFY,
    WAIT,
    WAIT_BESIDE_CREDIT,
    PROBE,
];

/// It can be watched and changed, as if nothing had been.
fn is_watched(case: &Case) {
    let value = SharedValue::<u64>::open(&case.name()).unwrap();
    let mut seen = value.commits();
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| value.wait_newer(&mut seen).unwrap());
        value.set(7).unwrap();
        assert_eq!(watcher.join().unwrap(), 7);
    });
}

fn serves(case: &Case) {
    let cells = Cells::open(&case.name()).unwrap();
    drop(cells.lock_recover(|_| ()).unwrap());
    cells.lock().unwrap().fill(0);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| until_there_is_one(&cells)[0]);
        notify(&cells);
        assert_eq!(waiter.join().unwrap(), 1);
    });
}
