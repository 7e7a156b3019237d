//! Events, step by step: whoever dies at whatever step, nobody sleeps beside an event that is set, or that was set while he
//! slept.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use robust_shm::SharedEvent;

use crate::step::armed;
use crate::support::{Body, member, pause, say};
use crate::walk::{Case, Scenario, World, arrive, release};

fn event(family: &str) -> SharedEvent {
    SharedEvent::open_or_create(&member(family, 0)).unwrap()
}

pub const ROLES: &[(&str, Body)] = &[
    ("keep an event", |family| {
        let _event = event(family);
        say("ready");
        pause();
    }),
    ("keep a set event", |family| {
        let event = event(family);
        event.set().unwrap();
        say("ready");
        pause();
    }),
    ("event waiter", |family| {
        let event = event(family);
        say("begins");
        event.wait().unwrap();
        say("got it");
        pause();
    }),
    ("event looker", |family| {
        let event = event(family);
        say("begins");
        let _ = event.wait_for(Duration::from_millis(1));
        say("got it");
        pause();
    }),
    ("two event waiters", |family| {
        let event = event(family);
        say("begins");
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| event.wait().unwrap());
            }
        });
        say("got it");
        pause();
    }),
    // Those who sleep beside a set event are not helped.
    ("set what is not set", |family| {
        let event = event(family);
        say("ready");
        pause();
        if !event.is_set() {
            event.set().unwrap();
        }
    }),
    ("clear what is set", |family| {
        let event = event(family);
        say("ready");
        pause();
        if event.is_set() {
            event.clear().unwrap();
        } else {
            event.set().unwrap();
        }
    }),
    ("die before telling", |family| {
        let event = event(family);
        ENDS.store(true, Ordering::Relaxed);
        robust_shm::watch_points(end_before_telling);
        event.set().unwrap();
    }),
    ("set an event", |family| {
        let event = event(family);
        armed(|| event.set().unwrap());
    }),
    ("clear an event", |family| {
        let event = event(family);
        armed(|| event.clear().unwrap());
    }),
    ("wait for an event", |family| {
        let event = event(family);
        armed(|| event.wait().unwrap());
    }),
];

static ENDS: AtomicBool = AtomicBool::new(false);

/// Ends the process when it has set an event, and has woken nobody: as a kill there would.
fn end_before_telling(point: &'static str) {
    if point == "event: set, and not all told" && ENDS.load(Ordering::Relaxed) {
        say("ready");
        pause();
        // SAFETY: ends this process.
        #[allow(unsafe_code)]
        unsafe {
            libc::_exit(0)
        };
    }
}

fn nothing(_: &mut World) {}

fn kept(world: &mut World) {
    world.keep("keep an event");
}

fn kept_and_set(world: &mut World) {
    world.keep("keep a set event");
}

fn two_wait(world: &mut World) {
    kept(world);
    world.waiter = Some(arrive("two event waiters", world).0);
}

/// Two wait. If the victim has not set the event, another one does in the end; if it has, nobody comes.
fn two_wait_and_nobody_comes(world: &mut World) {
    two_wait(world);
    world.hold("set what is not set");
}

/// The same, and one clears what the victim has set.
fn two_wait_and_one_clears(world: &mut World) {
    two_wait(world);
    world.hold("clear what is set");
}

/// Two wait for what was set by one who has woken nobody yet, and never will: he dies behind the victim.
fn two_wait_for_what_is_set(world: &mut World) {
    two_wait(world);
    world.hold("die before telling");
}

const fn of_event(victim: &'static str, set_up: fn(&mut World), nudge: fn(&mut World)) -> Scenario {
    let (bystander, check) = ("event waiter", serves);
    Scenario { victim, bystander, set_up, nudge, check, essential: None, goes_on: true, stays_stopped: true }
}

fn quiet(world: &mut World) {
    kept(world);
    world.hold("set what is not set");
}

fn quiet_and_set(world: &mut World) {
    kept_and_set(world);
    world.hold("set what is not set");
}

pub const SET: Scenario = of_event("set an event", quiet, nothing);
pub const CLEAR: Scenario = of_event("clear an event", quiet_and_set, nothing);
pub const SET_FOR_TWO: Scenario = of_event("set an event", two_wait_and_nobody_comes, nothing);
pub const SET_BEFORE_CLEAR: Scenario = of_event("set an event", two_wait_and_one_clears, nothing);
pub const WAIT_FIRST: Scenario = of_event("wait for an event", quiet, release);
pub const WAIT: Scenario = of_event("wait for an event", two_wait_and_nobody_comes, release);
pub const SET_AFTER_DEATH: Scenario = of_event("set an event", two_wait_for_what_is_set, nothing);
pub const WAIT_AFTER_DEATH: Scenario = of_event("wait for an event", two_wait_for_what_is_set, nothing);
/// In the end the event may be clear, so nobody comes for it.
pub const CLEAR_AFTER_DEATH: Scenario = Scenario {
    bystander: "event looker",
    stays_stopped: false,
    ..of_event("clear an event", two_wait_for_what_is_set, nothing)
};

pub const ALL: &[Scenario] = &[
    SET,
    CLEAR,
    SET_FOR_TWO,
    SET_BEFORE_CLEAR,
    WAIT_FIRST,
    WAIT,
    SET_AFTER_DEATH,
    WAIT_AFTER_DEATH,
    CLEAR_AFTER_DEATH,
];

/// It can be set, waited for and cleared, as if nothing had been.
fn serves(case: &Case) {
    let event = SharedEvent::open(&case.name()).unwrap();
    event.set().unwrap();
    event.wait().unwrap();
    event.clear().unwrap();
    assert!(!event.is_set());
}
