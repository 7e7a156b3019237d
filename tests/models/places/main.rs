//! The real source of the places in which waiters sleep on Windows (`src/os/windows/place.rs` and `life.rs`) under a model
//! checker: every order of the steps of some threads, each a process of its own, with a death and a stop at each step.
//!
//! * `search`: every order, by trying again and again; a state that was seen before ends an execution;
//! * `kernel`: named objects, waits for any of them, what happens at the end of a thread, and threads that are stopped;
//! * `stubs`: what the source calls, and the atomics that it works on;
//! * `waiter`: the lock around it, as `src/sync` has it, without spinning, reservations and other classes.
//!
//! What must be true: one holder; who takes the lock from a dead one is told so, and nobody else; and **nobody sleeps on what
//! will not come**: when nobody goes on by himself, all have had the lock as often as they wanted. Timers do not count:
//! only where a thread was stopped do the others look by themselves, and then a few times and no more.
//!
//! `mutants` does one thing wrong at a time, and each must be found. `-- --nocapture NAME` prints the steps to the failure.
#![allow(missing_docs, reason = "a test")]
#![allow(unsafe_code, reason = "coroutines, and the memory that the source works on")]

#[path = "../hashes.rs"]
mod hashes;
mod kernel;
#[allow(dead_code, reason = "the edits are for `build.rs`")]
mod mutants;
mod search;
mod stubs;

use search::{Report, Search, World};

/// A copy of the source, with what its threads do.
pub(crate) struct Subject {
    body: fn(usize),
    forget: fn(),
}

include!(concat!(env!("OUT_DIR"), "/places.rs"));

const PLAIN: World = World {
    name: "",
    threads: 2,
    rounds: 1,
    kills: 0,
    stops: 0,
    stops_sleepers: false,
    timeouts: 0,
    jumps: 0,
    preemptions: None,
};

const WORLDS: &[World] = &[
    World { name: "two with a death", rounds: 2, kills: 1, preemptions: Some(3), ..PLAIN },
    World { name: "two with timeouts", rounds: 2, timeouts: 1, kills: 1, preemptions: Some(2), ..PLAIN },
    World { name: "three with a death", threads: 3, kills: 1, preemptions: Some(1), ..PLAIN },
    World { name: "three with two deaths", threads: 3, kills: 2, preemptions: Some(0), ..PLAIN },
    World { name: "three with a stop", threads: 3, stops: 1, jumps: 1, preemptions: Some(2), ..PLAIN },
    World { name: "three with a stop and a death", threads: 3, stops: 1, kills: 1, preemptions: Some(1), ..PLAIN },
    World {
        name: "a sleeper who is stopped",
        threads: 4,
        stops: 1,
        stops_sleepers: true,
        preemptions: Some(1),
        ..PLAIN
    },
];

/// Larger ones: `-- --ignored`. What is done wrong is looked for in these, too.
const LARGE: &[World] = &[
    World {
        name: "a sleeper who is stopped, and a death",
        threads: 4,
        kills: 1,
        stops: 1,
        stops_sleepers: true,
        preemptions: Some(1),
        ..PLAIN
    },
    World { name: "three with a death, more orders", threads: 3, kills: 1, preemptions: Some(2), ..PLAIN },
    World { name: "three with two deaths, more orders", threads: 3, kills: 2, preemptions: Some(2), ..PLAIN },
    World {
        name: "three with a stop and a death, more orders",
        threads: 3,
        stops: 1,
        kills: 1,
        preemptions: Some(2),
        ..PLAIN
    },
    World { name: "four with a stop", threads: 4, stops: 1, jumps: 1, preemptions: Some(1), ..PLAIN },
];

fn subject(name: &str) -> &'static Subject {
    match SUBJECTS.iter().find(|(known, _)| *known == name) {
        Some((_, Ok(subject))) => subject,
        Some((_, Err(edits))) => panic!("what {name} replaces does not stand in the source once: {edits}"),
        None => panic!("no subject {name}"),
    }
}

fn world(name: &str) -> &'static World {
    WORLDS.iter().find(|world| world.name == name).expect("a world")
}

fn holds_in(world: &World) {
    let Report { executions, states, failure } = Search::new(*world, subject("real")).run();
    println!("{}: {executions} executions, {states} states", world.name);
    assert!(failure.is_none(), "{}", failure.unwrap_or_default());
    assert!(states > 1_000, "not much was tried");
}

fn is_found(name: &str) {
    let subject = subject(name);
    for world in WORLDS.iter().chain(LARGE) {
        let Report { executions, failure, .. } = Search::new(*world, subject).run();
        if let Some(failure) = failure {
            println!("{name}: found in {}, after {executions} executions\n{failure}", world.name);
            return;
        }
    }
    panic!("{name} was not found");
}

macro_rules! worlds {
    ($($test:ident: $name:literal)*) => {
        $(#[test] fn $test() { holds_in(world($name)); })*

        #[test]
        fn each_world_is_tried() {
            assert_eq!([$($name),*].as_slice(), WORLDS.iter().map(|world| world.name).collect::<Vec<_>>());
        }
    };
}

worlds! {
    two_with_a_death: "two with a death"
    two_with_timeouts: "two with timeouts"
    three_with_a_death: "three with a death"
    three_with_two_deaths: "three with two deaths"
    three_with_a_stop: "three with a stop"
    three_with_a_stop_and_a_death: "three with a stop and a death"
    a_sleeper_who_is_stopped: "a sleeper who is stopped"
}

#[test]
#[ignore = "takes minutes"]
fn the_large_worlds() {
    LARGE.iter().for_each(holds_in);
}
