//! Guards and handles that a fork has doubled, left in every order; servers that fork their workers and leave first.
#![cfg(target_os = "linux")]
#![allow(unsafe_code)]

#[path = "support/deaths.rs"]
mod deaths;
mod support;

use deaths::has_state;
use robust_shm::{SegmentInfo, SharedValue};
use support::{Family, Forked, Scratch, end_with, exists, fork, member, pause, play, say, spawn, until};

#[test]
fn child() {
    play(&[
        ("every-order", every_order),
        ("server-drops", |name| serve(name, Departure::Drops)),
        ("server-exits", |name| serve(name, Departure::Exits)),
        ("server-vanishes", |name| serve(name, Departure::Vanishes)),
    ]);
}

// A guard and a handle that a fork has doubled, left in every order.

fn every_order(family: &str) {
    // P: the parent's next step, C: the child's. The first step of each drops its guard, the second its handle.
    for (which, order) in ["PPCC", "PCPC", "PCCP", "CPPC", "CPCP", "CCPP"].into_iter().enumerate() {
        leave_in_order(&member(family, 2 * which), &member(family, 2 * which + 1), order);
    }
}

fn leave_in_order(name: &str, turns: &str, order: &str) {
    let turn = SharedValue::create(turns, 0usize).unwrap();
    let value = SharedValue::create(name, 1u64).unwrap();
    let mut guard = value.lock().unwrap();
    *guard = 2;
    let owner = SegmentInfo::of(name).unwrap().holder_thread();
    assert!(owner.is_some());

    // Both go on from here, with the same code.
    // SAFETY: the one thread of this process that matters; the child ends with `_exit`.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    let (me, child) = if pid == 0 { ('C', None) } else { ('P', Some(Forked::adopt(pid))) };
    if pid == 0 {
        std::panic::set_hook(Box::new(|info| {
            eprintln!("{info}");
            // SAFETY: ends the child.
            unsafe { libc::_exit(1) }
        }));
    }
    let mut steps = order.match_indices(me).map(|(at, _)| at);
    let mut my_turn = || {
        let at = steps.next().unwrap();
        until("this one's turn", || (turn.get() == at).then_some(()));
        at
    };
    let check = |done: usize| {
        let done = &order[..=done];
        let steps_of = |who| done.matches(who).count();
        if steps_of('P') == 2 && steps_of('C') == 2 {
            assert!(!exists(name), "{order} after {done}");
            return;
        }
        let info = SegmentInfo::of(name).unwrap();
        let is_held = steps_of('P') == 0;
        assert_eq!(info.holder_thread(), owner.filter(|_| is_held), "{order} after {done}");
        assert_eq!(info.commits(), Some(u64::from(!is_held)), "{order} after {done}");
    };

    let at = my_turn();
    drop(guard);
    check(at);
    turn.set(at + 1).unwrap();
    let at = my_turn();
    drop(value);
    check(at);
    turn.set(at + 1).unwrap();
    match child {
        Some(child) => child.join(),
        None => end_with(|| ()),
    }
}

#[test]
fn a_guard_and_a_handle_doubled_by_a_fork_may_be_left_in_every_order() {
    let family = Family::new("order");
    spawn("every-order", family.name()).join();
    assert_eq!(family.living(), [""; 0]);
}

// Servers that open, fork workers, and leave before them.

#[derive(Clone, Copy)]
enum Departure {
    Drops,
    Exits,
    Vanishes,
}

const WORKERS: u64 = 4;
const REQUESTS: u64 = 500;

fn serve(name: &str, departure: Departure) {
    let mut value = Some(SharedValue::create(name, 0u64).unwrap());
    for _ in 0..WORKERS {
        fork(|| {
            let value = value.take().unwrap();
            pause(); // until the test has seen the end of the parent, and closed the pipe
            for _ in 0..REQUESTS {
                *value.lock().unwrap() += 1;
            }
            say("served");
            until("the other workers", || (value.get() == WORKERS * REQUESTS).then_some(()));
            drop(value);
        })
        .forget();
    }
    match departure {
        Departure::Drops => drop(value),
        Departure::Exits => std::process::exit(0),
        // SAFETY: ends the process, without exit hooks.
        Departure::Vanishes => unsafe { libc::_exit(0) },
    }
}

#[test]
fn workers_go_on_when_the_server_that_forked_them_has_left() {
    for role in ["server-drops", "server-exits", "server-vanishes"] {
        let name = Scratch::new(role);
        let mut server = spawn(role, &name);
        until("the end of the server", || has_state(&server, 'Z').then_some(()));
        assert!(exists(&name), "{role}: the workers have not left");
        drop(SharedValue::<u64>::open(&name).unwrap());
        assert!(server.wait_for_end().success());
        // The first worker that hears "go on" may be the first or the last of its kind to leave.
        for _ in 0..WORKERS {
            server.expect("served");
        }
        until("the last worker to take the name along", || (!exists(&name)).then_some(()));
    }
}
