//! The real source of the lock word and of the robust list under a model checker, with deaths at every step.
//!
//! `build.rs` copies the source (`sync/robust_futex.rs`, `waiting.rs`, `gate.rs`, `event.rs`, `users.rs`, `reservation.rs`, `poison.rs`,
//! `os/linux/robust_list.rs` and what belongs to it) and puts the checker's atomics in the place of std's. Here are
//!
//! * `run`: every order of the steps of some threads, by trying again and again; or many by chance;
//! * `memory`: loads that need not see the last store, and who must know of what;
//! * `kernel`: futexes, timers, and what happens to a thread's list at its death;
//! * `event`: worlds in which the first line is an event;
//! * `successor`: worlds in which a waiter may be the successor;
//! * `waits`: worlds in which some wait for a commit or a condition;
//! * `readers`: worlds in which some read side by side; `beside`: and others wait for a condition; `permits`: worlds with a semaphore;
//! * `world`: what the threads do, and what must be true: one holder; what holders write is seen by the next and poisons
//!   if it is torn; nobody sleeps without a timer on a free lock, or until after its own deadline; no heir who sleeps is
//!   passed over; nothing is left in a list or pending, and whatever is interrupted, a death is handed over.
//!
//! What is left out: spinning (a waiter looks once), counters that wrap, forks, and what the compiler may do to the
//! order of the list's plain stores: that is the compiler fences' business.
//!
//! A checker that finds nothing proves nothing: `mutants` does one thing wrong at a time, in copies of the source, and
//! each must be found. The name of a mutant is the name of its test; `-- --nocapture NAME` prints the steps to the
//! failure. The larger worlds: `-- --ignored`.
#![allow(missing_docs, reason = "a test")]
#![allow(unsafe_code, reason = "coroutines, and the memory that the source works on")]
#![allow(clippy::cast_possible_truncation)]

mod beside;
mod event;
#[path = "../hashes.rs"]
mod hashes;
mod kernel;
mod memory;
#[allow(dead_code, reason = "the edits are for `build.rs`")]
mod mutants;
mod permits;
mod readers;
mod run;
mod stubs;
mod successor;
mod waits;
mod world;

mod fault {
    /// Every access is a step of its own here.
    macro_rules! point {
        ($name:literal) => {};
    }
    pub(crate) use point;
}

#[allow(dead_code, reason = "the kinds of which the checker knows")]
mod options {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum LockKind {
        Futex,
        File,
    }
}

#[allow(dead_code, reason = "the real one")]
mod layout {
    use std::cell::UnsafeCell;
    use std::mem::{offset_of, size_of};

    use crate::memory::atomic::{AtomicU8, AtomicU32, AtomicU64};

    const CACHE_LINE: usize = 64;
    const MAX_READERS: usize = 64;
    pub(crate) const MAX_PERMITS: usize = 127;
    pub(crate) const SEVERAL_NAMESPACES: u64 = u64::MAX;

    include!(concat!(env!("OUT_DIR"), "/lock_line.rs"));
    include!(concat!(env!("OUT_DIR"), "/wait_line.rs"));
    include!(concat!(env!("OUT_DIR"), "/reader_line.rs"));
}

use std::time::Instant;

use mutants::{EQUIVALENT, MUTANTS};
use run::{Budget, Report, Run};
use world::{Subject, World};

include!(concat!(env!("OUT_DIR"), "/subjects.rs"));

fn subject(name: &str) -> &'static Subject {
    let found = SUBJECTS.iter().find(|subject| match subject {
        Ok(subject) => subject.name == name,
        Err((missing, _)) => *missing == name,
    });
    match found {
        Some(Ok(subject)) => subject,
        Some(Err((_, edits))) => panic!("what {name} replaces does not stand in the source once: {edits}"),
        None => panic!("no mutant {name}"),
    }
}

fn worlds() -> Vec<World> {
    let budget = Budget::default();
    let few = |preemptions| Budget { preemptions: Some(preemptions), ..budget };
    let world = |name, threads, rounds, budget| World { name, threads, rounds, lines: 1, budget, ..World::default() };
    let event = |name, threads, setters, rounds, budget| World {
        setters,
        lines: 1 + setters,
        ..world(name, threads, rounds, budget)
    };
    let watch =
        |name, watchers, writers, rounds, budget| World { watchers, ..world(name, watchers + writers, rounds, budget) };
    let condition = |name, consumers, producers, rounds, budget| World {
        consumers,
        ..world(name, consumers + producers, rounds, budget)
    };
    // So many readers and writers, with so many slots.
    let readers = |name, readers, writers, slots: usize, rounds, budget| World {
        readers,
        lines: 1 + slots,
        ..world(name, readers + writers, rounds, budget)
    };
    // So many readers, consumers and producers, with so many slots.
    let beside = |name, side: usize, consumers, producers, slots: usize, rounds, budget| World {
        readers: side,
        consumers,
        lines: 1 + slots,
        ..world(name, side + consumers + producers, rounds, budget)
    };
    let permits = |name, threads, permits: usize, rounds, budget| World {
        permits,
        lines: 1 + permits,
        ..world(name, threads, rounds, budget)
    };
    let successor = |name, threads, rounds, budget| World {
        successors: true,
        is_hasty: true,
        ..world(name, threads, rounds, budget)
    };
    let many = Budget { deaths: 3, timeouts: 3, signals: 1, jumps: 2, stale: 2, ..budget };
    vec![
        world("two", 2, 2, Budget { deaths: 2, ..budget }),
        world("three", 3, 1, Budget { deaths: 1, ..budget }),
        world("three_deaths", 3, 2, Budget { deaths: 2, ..few(2) }),
        world("four", 4, 1, few(4)),
        World { all_forms: true, ..world("timed", 3, 1, Budget { timeouts: 1, jumps: 1, ..few(3) }) },
        World { all_forms: true, ..world("timed_fair", 3, 2, Budget { timeouts: 1, jumps: 2, ..few(2) }) },
        world("fair", 3, 2, Budget { jumps: 1, ..few(4) }),
        world("fair_deaths", 3, 2, Budget { deaths: 1, jumps: 1, ..few(2) }),
        World { walks: 40_000, ..world("fair_walks", 4, 3, Budget { deaths: 1, jumps: 3, signals: 1, ..budget }) },
        World { walks: 40_000, all_forms: true, ..world("walks", 5, 3, many) },
        World { walks: 60_000, ..world("stale_walks", 4, 3, Budget { jumps: 3, stale: 3, ..budget }) },
        World { walks: 1_000_000, all_forms: true, ..world("long_walks", 5, 3, many) },
        World { unnoticed: true, ..world("unnoticed", 3, 1, Budget { deaths: 1, ..few(3) }) },
        World { unnoticed: true, namesakes: true, ..world("namesakes", 3, 1, Budget { deaths: 1, ..few(3) }) },
        World { libc: true, ..world("libc", 3, 1, Budget { deaths: 1, signals: 1, ..few(2) }) },
        World { among_others: true, lines: 3, ..world("among_others", 2, 1, Budget { deaths: 1, ..budget }) },
        World { lines: 4, is_nesting: true, ..world("nested", 1, 1, Budget { deaths: 1, handlers: 2, ..budget }) },
        World {
            lines: 4,
            is_nesting: true,
            ..world("nested_wakes", 2, 1, Budget { deaths: 1, handlers: 1, ..few(1) })
        },
        World {
            lines: 4,
            is_nesting: true,
            ..world("nested_waits", 3, 1, Budget { deaths: 1, handlers: 1, ..few(1) })
        },
        World { several: true, ..world("several", 3, 1, Budget { deaths: 2, ..few(2) }) },
        World { several: true, ..world("several_deaths", 3, 1, Budget { deaths: 2, ..few(4) }) },
        World { several: true, ..world("several_rounds", 3, 2, Budget { deaths: 2, ..few(2) }) },
        World { several: true, shares: true, ..world("several_threads", 3, 2, Budget { deaths: 1, ..few(3) }) },
        World {
            several: true,
            all_forms: true,
            ..world("several_timed", 3, 1, Budget { deaths: 1, timeouts: 1, ..few(2) })
        },
        World { several: true, ..world("several_fair", 3, 2, Budget { deaths: 1, jumps: 1, ..few(2) }) },
        World { several: true, unnoticed: true, ..world("several_unnoticed", 3, 1, Budget { deaths: 1, ..few(3) }) },
        World { several: true, shares: true, unnoticed: true, ..world("several_strangers", 3, 1, few(3)) },
        World { several: true, ..world("several_stale", 3, 2, Budget { deaths: 1, stale: 2, ..few(2) }) },
        World { several: true, all_forms: true, walks: 60_000, ..world("several_walks", 5, 3, many) },
        World {
            several: true,
            shares: true,
            all_forms: true,
            walks: 1_000_000,
            ..world("several_long_walks", 5, 3, many)
        },
        World { several: true, is_late: true, ..world("several_late", 3, 2, Budget { deaths: 1, ..few(3) }) },
        World { several: true, reuses_slots: true, ..world("several_reused", 2, 1, Budget { deaths: 1, ..budget }) },
        World {
            lines: 4,
            several: true,
            is_nesting: true,
            ..world("several_nested", 2, 1, Budget { handlers: 1, ..few(2) })
        },
        World { file: true, ..world("file_two", 2, 2, Budget { deaths: 2, ..budget }) },
        World { file: true, ..world("file_three", 3, 1, Budget { deaths: 1, ..few(3) }) },
        World { file: true, ..world("file_deaths", 3, 1, Budget { deaths: 2, ..few(2) }) },
        World { file: true, ..world("file_watch", 3, 1, Budget { deaths: 1, timeouts: 3, ..few(1) }) },
        World { file: true, ..world("file_fair", 3, 2, Budget { deaths: 1, jumps: 1, ..few(2) }) },
        World { file: true, all_forms: true, ..world("file_timed", 3, 1, Budget { deaths: 1, timeouts: 1, ..few(2) }) },
        World {
            file: true,
            gives_up: true,
            ..world("file_give_up", 4, 1, Budget { deaths: 1, timeouts: 3, ..few(1) })
        },
        World { file: true, ..world("file_stale", 3, 2, Budget { deaths: 1, stale: 2, ..few(2) }) },
        World { file: true, several: true, ..world("file_several", 3, 1, Budget { deaths: 2, ..few(2) }) },
        World {
            file: true,
            several: true,
            shares: true,
            ..world("file_threads", 3, 2, Budget { deaths: 1, ..few(2) })
        },
        World {
            file: true,
            several: true,
            shares: true,
            all_forms: true,
            walks: 60_000,
            ..world("file_walks", 5, 3, many)
        },
        World {
            file: true,
            several: true,
            all_forms: true,
            walks: 1_000_000,
            ..world("file_long_walks", 5, 3, Budget { timeouts: 8, ..many })
        },
        event("event", 2, 1, 3, Budget { deaths: 1, ..budget }),
        event("event_waiters", 3, 1, 2, Budget { deaths: 1, ..budget }),
        event("event_setters", 3, 2, 2, Budget { deaths: 1, ..few(4) }),
        event("event_deaths", 4, 2, 2, Budget { deaths: 2, ..few(2) }),
        World { was_left: true, ..event("event_left", 4, 2, 2, Budget { deaths: 1, ..few(2) }) },
        event("event_many", 5, 2, 2, Budget { deaths: 2, ..few(2) }),
        World { all_forms: true, ..event("event_timed", 3, 1, 2, Budget { deaths: 1, timeouts: 1, ..few(3) }) },
        World { libc: true, ..event("event_libc", 3, 1, 1, Budget { deaths: 2, signals: 1, ..few(2) }) },
        World { unnoticed: true, ..event("event_unnoticed", 3, 1, 2, Budget { deaths: 2, ..few(3) }) },
        World {
            lines: 4,
            is_nesting: true,
            ..event("event_nested", 3, 1, 1, Budget { deaths: 1, handlers: 1, ..few(2) })
        },
        World { file: true, ..event("event_file", 3, 1, 2, Budget { deaths: 2, ..few(3) }) },
        event("event_stale", 3, 2, 2, Budget { stale: 2, ..few(2) }),
        World { walks: 60_000, all_forms: true, ..event("event_walks", 5, 2, 3, many) },
        World { walks: 1_000_000, all_forms: true, ..event("event_long_walks", 5, 2, 3, many) },
        watch("watch", 1, 1, 1, Budget { deaths: 1, ..few(3) }),
        watch("watch_rounds", 1, 1, 2, Budget { deaths: 1, ..few(2) }),
        watch("watch_writers", 1, 2, 1, Budget { deaths: 1, ..few(2) }),
        watch("watch_watchers", 2, 1, 1, Budget { deaths: 1, ..few(1) }),
        World { discards: true, ..watch("watch_discards", 1, 2, 1, few(2)) },
        watch("watch_deaths", 2, 2, 1, Budget { deaths: 2, ..few(2) }),
        World { gives_up: true, ..watch("watch_gives_up", 1, 2, 1, Budget { deaths: 1, timeouts: 1, ..few(1) }) },
        World { all_forms: true, ..watch("watch_timed", 1, 1, 1, Budget { deaths: 1, timeouts: 1, ..few(2) }) },
        World { discards: true, ..watch("watch_debts", 1, 2, 1, Budget { deaths: 1, ..few(1) }) },
        watch("watch_beats", 1, 2, 1, Budget { timeouts: 1, signals: 1, ..few(1) }),
        watch("watch_stale", 1, 2, 1, Budget { deaths: 1, stale: 1, ..few(1) }),
        World { libc: true, ..watch("watch_libc", 1, 2, 1, Budget { deaths: 1, signals: 1, ..few(0) }) },
        World { walks: 60_000, discards: true, all_forms: true, ..watch("watch_walks", 2, 3, 3, many) },
        World { walks: 1_000_000, discards: true, all_forms: true, ..watch("watch_long_walks", 2, 3, 3, many) },
        condition("condition", 1, 1, 1, Budget { deaths: 1, ..few(3) }),
        condition("condition_rounds", 1, 1, 2, Budget { deaths: 1, ..few(2) }),
        condition("condition_consumers", 2, 1, 1, Budget { deaths: 1, ..few(2) }),
        condition("condition_producers", 2, 2, 1, Budget { deaths: 1, ..few(1) }),
        condition("condition_deaths", 2, 2, 1, Budget { deaths: 2, ..few(2) }),
        World { notifies_all: true, ..condition("condition_all", 2, 1, 1, Budget { deaths: 1, ..few(1) }) },
        World { all_forms: true, ..condition("condition_timed", 1, 1, 1, Budget { deaths: 1, timeouts: 1, ..few(2) }) },
        condition("condition_stale", 1, 1, 1, Budget { deaths: 1, stale: 1, ..few(2) }),
        World { libc: true, ..condition("condition_libc", 1, 1, 1, Budget { deaths: 1, signals: 1, ..few(1) }) },
        World { walks: 60_000, all_forms: true, ..condition("condition_walks", 2, 3, 3, many) },
        World { walks: 1_000_000, all_forms: true, ..condition("condition_long_walks", 2, 3, 3, many) },
        readers("readers", 1, 1, 1, 2, Budget { deaths: 1, ..few(4) }),
        readers("readers_two", 2, 1, 2, 1, Budget { deaths: 1, ..few(2) }),
        readers("readers_rounds", 2, 1, 2, 2, Budget { deaths: 1, ..few(2) }),
        readers("readers_writers", 1, 2, 1, 2, Budget { deaths: 1, ..few(1) }),
        readers("readers_one_slot", 3, 1, 1, 1, Budget { deaths: 1, ..few(1) }),
        World { one_home: true, ..readers("readers_home", 2, 1, 2, 2, Budget { deaths: 1, ..few(1) }) },
        World { forgets: true, ..readers("readers_forgotten", 2, 1, 2, 2, Budget { deaths: 1, ..few(1) }) },
        World { panics: true, ..readers("readers_panic", 1, 2, 1, 2, Budget { deaths: 1, ..few(1) }) },
        World {
            all_forms: true,
            forgets: true,
            ..readers("readers_timed", 1, 2, 1, 1, Budget { deaths: 1, timeouts: 1, ..few(1) })
        },
        World { all_forms: true, ..readers("readers_tries", 2, 1, 1, 1, Budget { deaths: 1, timeouts: 1, ..few(1) }) },
        World { reads_twice: true, ..readers("readers_twice", 2, 1, 2, 1, few(3)) },
        World { reads_twice: true, writes_too: true, ..readers("readers_who_write", 1, 1, 1, 1, few(3)) },
        World { unnoticed: true, ..readers("readers_unnoticed", 2, 1, 1, 1, Budget { deaths: 1, ..few(1) }) },
        World { libc: true, ..readers("readers_libc", 2, 1, 1, 1, Budget { deaths: 1, signals: 1, ..few(1) }) },
        World { several: true, ..readers("readers_several", 2, 1, 2, 1, Budget { deaths: 1, ..few(2) }) },
        World { file: true, ..readers("readers_file", 2, 1, 2, 1, Budget { deaths: 2, ..few(1) }) },
        World {
            file: true,
            all_forms: true,
            ..readers("readers_file_timed", 2, 1, 2, 1, Budget { deaths: 2, ..few(0) })
        },
        World { is_nesting: true, ..readers("readers_handler", 1, 1, 1, 2, Budget { handlers: 1, ..few(2) }) },
        World { is_nesting: true, ..readers("readers_handlers", 1, 1, 2, 2, Budget { handlers: 2, ..few(0) }) },
        readers("readers_stale", 1, 1, 1, 2, Budget { stale: 2, ..few(3) }),
        readers("readers_deaths", 2, 2, 2, 1, Budget { deaths: 2, ..few(1) }),
        World {
            file: true,
            all_forms: true,
            ..readers("readers_file_deaths", 2, 1, 2, 2, Budget { deaths: 2, timeouts: 1, ..few(1) })
        },
        World {
            all_forms: true,
            ..readers("readers_try_deaths", 2, 1, 1, 1, Budget { deaths: 2, timeouts: 1, ..few(1) })
        },
        World { unnoticed: true, ..readers("readers_unnoticed_deaths", 2, 1, 1, 1, Budget { deaths: 1, ..few(3) }) },
        World { walks: 60_000, all_forms: true, ..readers("readers_walks", 3, 2, 2, 3, many) },
        World { walks: 1_000_000, all_forms: true, ..readers("readers_long_walks", 3, 2, 2, 3, many) },
        permits("permits", 3, 2, 1, Budget { deaths: 1, ..few(3) }),
        permits("permits_two", 4, 2, 1, Budget { deaths: 1, ..few(2) }),
        World { keeps: true, ..permits("permits_kept", 4, 2, 1, Budget { deaths: 1, ..few(2) }) },
        permits("permits_rounds", 3, 2, 2, Budget { deaths: 1, ..few(2) }),
        permits("permits_one", 3, 1, 1, Budget { deaths: 1, ..few(3) }),
        World { all_forms: true, ..permits("permits_timed", 3, 2, 1, Budget { deaths: 1, timeouts: 1, ..few(1) }) },
        World { rings: true, ..permits("permits_ring", 3, 2, 1, few(4)) },
        World { rings: true, ..permits("permits_ring_deaths", 3, 2, 1, Budget { deaths: 1, ..few(2) }) },
        World { libc: true, ..permits("permits_libc", 3, 1, 1, Budget { deaths: 1, signals: 1, ..few(2) }) },
        permits("permits_stale", 3, 1, 1, Budget { stale: 2, ..few(2) }),
        World { walks: 60_000, all_forms: true, ..permits("permits_walks", 5, 2, 3, many) },
        permits("permits_deaths", 4, 2, 1, Budget { deaths: 2, ..few(2) }),
        permits("permits_fair", 3, 1, 2, Budget { jumps: 1, ..few(3) }),
        permits("permits_fair_deaths", 3, 1, 2, Budget { deaths: 1, jumps: 1, ..few(1) }),
        World { all_forms: true, ..permits("permits_fair_timed", 3, 1, 2, Budget { timeouts: 1, jumps: 1, ..few(1) }) },
        World { file: true, ..permits("permits_file", 3, 2, 1, Budget { deaths: 1, ..few(2) }) },
        World { file: true, ..permits("permits_file_one", 3, 1, 1, Budget { deaths: 2, ..few(1) }) },
        World {
            file: true,
            all_forms: true,
            ..permits("permits_file_timed", 3, 1, 1, Budget { deaths: 1, timeouts: 1, ..few(1) })
        },
        beside("beside", 1, 1, 1, 1, 1, Budget { deaths: 1, ..few(2) }),
        beside("beside_two", 1, 2, 1, 1, 1, Budget { deaths: 1, ..few(1) }),
        beside("beside_rounds", 1, 1, 1, 1, 2, Budget { deaths: 1, ..few(1) }),
        World { forgets: true, ..beside("beside_forgotten", 1, 1, 1, 1, 2, few(2)) },
        World { asks: true, ..beside("beside_asks", 1, 2, 1, 1, 1, Budget { interruptions: 1, signals: 1, ..few(1) }) },
        World { walks: 60_000, ..beside("beside_walks", 2, 2, 1, 1, 2, Budget { timeouts: 0, ..many }) },
        successor("successor", 2, 2, Budget { deaths: 1, ..few(3) }),
        successor("successor_three", 3, 1, Budget { deaths: 1, timeouts: 1, ..few(2) }),
        successor("successor_many", 3, 1, Budget { deaths: 2, timeouts: 1, ..few(3) }),
        World {
            gives_up: true,
            ..successor("successor_timed", 3, 1, Budget { deaths: 1, timeouts: 1, jumps: 1, ..few(2) })
        },
        World { is_hasty: false, ..successor("successor_rounds", 3, 2, Budget { timeouts: 1, ..few(3) }) },
        World {
            gives_up: true,
            ..successor("successor_stale", 3, 1, Budget { stale: 2, timeouts: 1, jumps: 1, ..few(2) })
        },
        World { stops: true, ..successor("successor_stops", 3, 2, Budget { deaths: 1, ..few(2) }) },
        World { lines: 2, is_nesting: true, ..successor("successor_handler", 3, 1, Budget { handlers: 1, ..few(3) }) },
        World {
            lines: 2,
            is_nesting: true,
            ..successor("successor_handler_dies", 3, 1, Budget { deaths: 1, handlers: 1, ..few(1) })
        },
        World {
            lines: 2,
            is_nesting: true,
            ..successor("successor_handlers", 3, 1, Budget { deaths: 1, handlers: 2, ..few(2) })
        },
        World { consumers: 1, ..successor("successor_condition", 3, 1, Budget { deaths: 1, ..few(1) }) },
        World { walks: 60_000, all_forms: true, is_hasty: false, ..successor("successor_walks", 5, 3, many) },
        World { walks: 1_000_000, all_forms: true, is_hasty: false, ..successor("successor_long_walks", 5, 3, many) },
        World { asks: true, ..world("asks", 3, 2, Budget { interruptions: 1, ..few(3) }) },
        World {
            asks: true,
            ..world("asks_deaths", 3, 1, Budget { deaths: 1, interruptions: 1, signals: 1, ..few(3) })
        },
        World { asks: true, ..world("asks_fair", 3, 2, Budget { deaths: 1, interruptions: 1, jumps: 1, ..few(1) }) },
        World {
            asks: true,
            several: true,
            ..world("asks_several", 3, 1, Budget { deaths: 2, interruptions: 1, signals: 1, ..few(2) })
        },
        World {
            asks: true,
            file: true,
            ..world("asks_file", 3, 1, Budget { deaths: 1, interruptions: 1, timeouts: 1, ..few(2) })
        },
        World {
            asks: true,
            ..successor("asks_successor", 3, 1, Budget { deaths: 1, timeouts: 1, interruptions: 1, ..few(2) })
        },
        World {
            asks: true,
            ..event("asks_event", 4, 1, 1, Budget { deaths: 1, interruptions: 1, signals: 1, ..few(2) })
        },
        World {
            asks: true,
            discards: true,
            ..watch("asks_watch", 1, 2, 1, Budget { deaths: 1, interruptions: 1, ..few(1) })
        },
        World { asks: true, ..condition("asks_condition", 2, 1, 1, Budget { interruptions: 1, signals: 1, ..few(2) }) },
        World {
            asks: true,
            ..condition("asks_condition_deaths", 2, 1, 1, Budget { deaths: 1, interruptions: 1, ..few(1) })
        },
        World {
            asks: true,
            ..readers("asks_readers", 2, 1, 2, 1, Budget { deaths: 1, interruptions: 1, signals: 1, ..few(1) })
        },
        World {
            asks: true,
            walks: 60_000,
            ..condition("asks_condition_walks", 3, 2, 2, Budget { deaths: 1, interruptions: 2, signals: 2, ..budget })
        },
        World { asks: true, ..permits("asks_permits", 4, 2, 1, Budget { deaths: 1, interruptions: 1, ..few(2) }) },
        World {
            asks: true,
            rings: true,
            ..permits("asks_permits_ring", 3, 2, 1, Budget { interruptions: 1, signals: 1, ..few(2) })
        },
        world("stale", 2, 2, Budget { stale: 2, ..budget }),
        world("stale_fair", 3, 2, Budget { jumps: 1, stale: 1, ..few(2) }),
    ]
}

fn find(name: &str) -> World {
    worlds().into_iter().find(|world| world.name == name).unwrap_or_else(|| panic!("no world {name}"))
}

fn search(world: World, subject: &'static Subject) -> Option<String> {
    let start = Instant::now();
    let run = Run::new(world, subject);
    let Report { executions, states, failure } =
        if world.walks > 0 { run.wander(7, world.walks) } else { run.search() };
    let (what, steps) = failure.unzip();
    let end = what.as_deref().unwrap_or("holds");
    println!(
        "{} in {}: {states} states, {executions} executions, {:.1?}: {end}",
        subject.name,
        world.name,
        start.elapsed()
    );
    steps.iter().flatten().for_each(|step| println!("    {step}"));
    what
}

macro_rules! holds {
    ($($(#[$attribute:meta])* $test:ident: $world:literal;)*) => {$(
        #[test]
        $(#[$attribute])*
        fn $test() {
            assert_eq!(search(find($world), subject("real")), None);
        }
    )*};
}

holds! {
    two_threads_two_rounds_and_two_deaths: "two";
    three_threads_and_a_death: "three";
    four_threads: "four";
    tries_and_timed_locks: "timed";
    heirs_are_not_passed_over: "fair";
    heirs_die: "fair_deaths";
    many_heirs_by_chance: "fair_walks";
    many_of_all_by_chance: "walks";
    deaths_that_the_kernel_does_not_report: "unnoticed";
    ids_that_are_given_out_again: "namesakes";
    handlers_that_empty_the_slot: "libc";
    namesakes_in_several_namespaces: "several";
    namesakes_and_threads_of_one_process: "several_threads";
    namesakes_and_deadlines: "several_timed";
    namesakes_and_heirs: "several_fair";
    namesakes_whose_deaths_are_not_reported: "several_unnoticed";
    strangers_in_several_namespaces: "several_strangers";
    namesakes_and_loads_that_are_late: "several_stale";
    namesakes_and_handlers: "several_nested";
    namesakes_by_chance: "several_walks";
    nobody_is_told: "file_two";
    nobody_is_told_of_three: "file_three";
    nobody_is_told_of_two_deaths: "file_deaths";
    one_watches_for_all: "file_watch";
    one_watches_and_heirs_die: "file_fair";
    one_watches_and_others_give_up: "file_timed";
    #[ignore = "takes a minute"]
    one_watches_and_another_gives_up: "file_give_up";
    nobody_is_told_and_loads_are_late: "file_stale";
    nobody_is_told_in_several_namespaces: "file_several";
    nobody_is_told_of_processes_with_threads: "file_threads";
    one_watches_by_chance: "file_walks";
    a_lock_among_others: "among_others";
    handlers_at_every_step_and_in_handlers_and_a_death: "nested";
    handlers_while_others_wait_and_a_death: "nested_wakes";
    events_and_a_death: "event";
    events_and_two_waiters: "event_waiters";
    events_and_two_setters: "event_setters";
    events_and_deadlines: "event_timed";
    events_and_handlers_that_empty_the_slot: "event_libc";
    events_and_deaths_that_the_kernel_does_not_report: "event_unnoticed";
    events_and_handlers: "event_nested";
    events_where_nobody_is_told: "event_file";
    events_and_loads_that_are_late: "event_stale";
    events_by_chance: "event_walks";
    commits_and_a_death: "watch";
    commits_in_two_rounds_and_a_death: "watch_rounds";
    #[ignore = "takes a minute"]
    commits_of_two_and_a_death: "watch_writers";
    commits_and_two_who_wait: "watch_watchers";
    commits_and_deadlines: "watch_timed";
    commits_of_the_dead_and_what_is_discarded: "watch_debts";
    commits_and_what_is_discarded: "watch_discards";
    deadlines_and_nothing_that_is_committed: "watch_gives_up";
    commits_and_sleeps_that_end_by_themselves: "watch_beats";
    commits_and_loads_that_are_late: "watch_stale";
    commits_and_handlers_that_empty_the_slot: "watch_libc";
    commits_by_chance: "watch_walks";
    #[ignore = "takes minutes"]
    commits_and_two_deaths: "watch_deaths";
    #[ignore = "takes minutes"]
    very_many_commits_by_chance: "watch_long_walks";
    conditions_and_a_death: "condition";
    conditions_in_two_rounds_and_a_death: "condition_rounds";
    #[ignore = "takes a minute"]
    conditions_and_two_who_wait: "condition_consumers";
    #[ignore = "takes minutes"]
    conditions_and_two_who_notify: "condition_producers";
    conditions_that_are_told_to_all: "condition_all";
    conditions_and_deadlines: "condition_timed";
    conditions_and_loads_that_are_late: "condition_stale";
    conditions_and_handlers_that_empty_the_slot: "condition_libc";
    conditions_by_chance: "condition_walks";
    #[ignore = "takes minutes"]
    conditions_and_two_deaths: "condition_deaths";
    #[ignore = "takes minutes"]
    very_many_conditions_by_chance: "condition_long_walks";
    readers_and_a_writer_and_a_death: "readers";
    two_readers_and_a_death: "readers_two";
    readers_in_two_rounds: "readers_rounds";
    readers_and_two_writers: "readers_writers";
    more_readers_than_slots: "readers_one_slot";
    readers_with_one_home: "readers_home";
    readers_who_are_forgotten: "readers_forgotten";
    readers_and_writers_who_panic: "readers_panic";
    readers_and_writers_who_give_up: "readers_timed";
    readers_and_writers_who_try: "readers_tries";
    readers_who_read_once_more: "readers_twice";
    readers_who_want_to_write: "readers_who_write";
    readers_whose_deaths_are_not_reported: "readers_unnoticed";
    readers_and_handlers_that_empty_the_slot: "readers_libc";
    readers_and_a_handler_that_reads_and_writes: "readers_handler";
    readers_and_two_handlers: "readers_handlers";
    readers_in_several_namespaces: "readers_several";
    readers_of_whom_nobody_is_told: "readers_file";
    readers_of_whom_nobody_is_told_and_who_try: "readers_file_timed";
    readers_and_loads_that_are_late: "readers_stale";
    #[ignore = "takes minutes"]
    readers_and_two_deaths: "readers_deaths";
    #[ignore = "takes minutes"]
    readers_of_whom_nobody_is_told_and_two_deaths: "readers_file_deaths";
    #[ignore = "takes a minute"]
    readers_and_writers_who_try_and_two_deaths: "readers_try_deaths";
    #[ignore = "takes a minute"]
    readers_whose_deaths_are_not_reported_for_longer: "readers_unnoticed_deaths";
    readers_by_chance: "readers_walks";
    #[ignore = "takes minutes"]
    very_many_readers_by_chance: "readers_long_walks";
    permits_and_a_death: "permits";
    four_for_two_permits_and_a_death: "permits_two";
    permits_that_are_kept: "permits_kept";
    permits_in_two_rounds: "permits_rounds";
    one_permit_and_a_death: "permits_one";
    permits_and_deadlines: "permits_timed";
    permits_without_sleep_on_many: "permits_ring";
    permits_without_sleep_on_many_and_a_death: "permits_ring_deaths";
    permits_and_handlers_that_empty_the_slot: "permits_libc";
    permits_and_loads_that_are_late: "permits_stale";
    permits_by_chance: "permits_walks";
    #[ignore = "takes minutes"]
    permits_and_two_deaths: "permits_deaths";
    heirs_of_a_permit_are_not_passed_over: "permits_fair";
    heirs_of_a_permit_and_a_death: "permits_fair_deaths";
    heirs_of_a_permit_and_deadlines: "permits_fair_timed";
    permits_of_whom_nobody_is_told: "permits_file";
    one_permit_of_whom_nobody_is_told_and_two_deaths: "permits_file_one";
    permits_of_whom_nobody_is_told_and_deadlines: "permits_file_timed";
    conditions_beside_readers: "beside";
    two_who_wait_beside_a_reader: "beside_two";
    conditions_beside_readers_in_two_rounds: "beside_rounds";
    conditions_beside_readers_who_are_forgotten: "beside_forgotten";
    conditions_beside_readers_that_are_given_up: "beside_asks";
    conditions_beside_readers_by_chance: "beside_walks";
    successors_and_a_death: "successor";
    successors_of_three_and_a_death: "successor_three";
    successors_and_one_who_gives_up: "successor_timed";
    successors_in_two_rounds: "successor_rounds";
    successors_and_loads_that_are_late: "successor_stale";
    successors_that_are_stopped: "successor_stops";
    successors_and_a_handler: "successor_handler";
    successors_and_a_handler_and_a_death: "successor_handler_dies";
    #[ignore = "takes minutes"]
    successors_and_handlers_and_a_death: "successor_handlers";
    successors_and_conditions: "successor_condition";
    successors_by_chance: "successor_walks";
    #[ignore = "takes minutes"]
    successors_of_three_and_two_deaths: "successor_many";
    #[ignore = "takes minutes"]
    very_many_successors_by_chance: "successor_long_walks";
    waits_that_are_given_up: "asks";
    waits_that_are_given_up_and_a_death: "asks_deaths";
    heirs_who_give_up: "asks_fair";
    namesakes_who_give_up: "asks_several";
    waits_that_are_given_up_where_nobody_is_told: "asks_file";
    successors_who_are_asked: "asks_successor";
    waits_for_an_event_that_are_given_up: "asks_event";
    waits_for_a_commit_that_are_given_up: "asks_watch";
    waits_for_a_condition_that_are_given_up: "asks_condition";
    waits_for_a_condition_that_are_given_up_and_a_death: "asks_condition_deaths";
    waits_for_a_condition_that_are_given_up_by_chance: "asks_condition_walks";
    writers_and_readers_who_give_up: "asks_readers";
    waits_for_a_permit_that_are_given_up: "asks_permits";
    waits_for_a_permit_without_sleep_on_many_that_are_given_up: "asks_permits_ring";
    loads_that_are_late: "stale";
    loads_that_are_late_and_heirs: "stale_fair";
    loads_that_are_late_and_many_heirs_by_chance: "stale_walks";
    #[ignore = "takes a minute"]
    timed_locks_and_heirs: "timed_fair";
    #[ignore = "takes minutes"]
    events_and_one_who_seems_to_sleep: "event_left";
    #[ignore = "takes minutes"]
    events_and_two_deaths: "event_deaths";
    #[ignore = "takes minutes"]
    events_and_many_waiters_and_two_deaths: "event_many";
    #[ignore = "takes minutes"]
    very_many_events_by_chance: "event_long_walks";
    #[ignore = "takes minutes"]
    three_threads_two_rounds_and_two_deaths: "three_deaths";
    #[ignore = "takes minutes"]
    namesakes_and_two_deaths: "several_deaths";
    #[ignore = "takes minutes"]
    namesakes_two_rounds_and_two_deaths: "several_rounds";
    #[ignore = "takes minutes"]
    very_many_namesakes_by_chance: "several_long_walks";
    #[ignore = "takes minutes"]
    one_watches_for_very_many_by_chance: "file_long_walks";
    #[ignore = "takes minutes"]
    handlers_amid_a_wait: "nested_waits";
    #[ignore = "takes minutes"]
    very_many_of_all_by_chance: "long_walks";
}

fn is_found(name: &str) {
    let mutant = MUTANTS.iter().find(|mutant| mutant.name == name).expect("in the table");
    let found = search(find(mutant.world), subject(name)).expect("not found");
    assert!(found.contains(mutant.found), "found something else: {found}");
}

#[test]
#[ignore = "takes a minute"]
fn what_is_equivalent_holds() {
    for mutant in EQUIVALENT {
        assert_eq!(search(find(mutant.world), subject(mutant.name)), None);
    }
}
