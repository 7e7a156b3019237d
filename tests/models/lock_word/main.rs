//! The lock word's protocol (`src/sync/robust_futex.rs`) searched through, state by state: every order of the steps of
//! several threads, and a death between any two of them.
//!
//! The model has what the code has (each atomic access is a step of its own) and what the kernel does: a futex wait that
//! compares and sleeps at once, wake-ups of any one sleeper, and the treatment of a dead thread's listed and pending
//! node. It has no heartbeat, which would hide a lost wake-up. Memory is sequentially consistent: which orderings
//! the accesses need is no question of this model.
//!
//! The second half does one thing wrong at a time, and shows that the search finds it: that is why the protocol is as it
//! is, and that the properties can fail.
//!
//! `-- --nocapture` prints the number of states, and the shortest way to each failure. The largest worlds take longer:
//! `cargo test --release -p robust-shm-models --test lock_word -- --ignored`.
#![allow(missing_docs, reason = "a test")]

mod check;
mod protocol;

use std::collections::HashSet;

use check::{Canonical, EXCLUSION, FREE_LOCK_TELLS, HOLDER_KNOWS, NO_FALSE_POISON, NOBODY_STRANDED, World};
use protocol::{At, Fault, Move, State, Word};

/// Nobody dies, and all wait as long as it takes.
fn world(threads: usize, rounds: u8) -> World {
    World { threads, rounds, ..World::default() }
}

impl World {
    fn with_deaths(self, deaths: u8) -> Self {
        Self { deaths, ..self }
    }

    fn with_all_operations(self) -> Self {
        Self { gives_up: true, ..self }
    }

    fn with(self, fault: Fault) -> Self {
        Self { fault, ..self }
    }

    #[track_caller]
    fn holds(self) {
        assert_eq!(self.search(), [""; 0]);
    }

    #[track_caller]
    fn fails(self, properties: &[&str]) {
        assert_eq!(self.search(), properties);
    }
}

#[test]
fn four_threads_and_three_deaths() {
    world(4, 2).with_deaths(3).with_all_operations().holds();
}

#[test]
fn five_threads_and_three_deaths() {
    world(5, 1).with_deaths(3).with_all_operations().holds();
}

#[test]
fn three_threads_and_three_rounds() {
    world(3, 3).with_deaths(2).with_all_operations().holds();
}

#[test]
fn poison_that_is_repaired_comes_back_only_with_another_death() {
    World { repairs: true, ..world(3, 2).with_deaths(3).with_all_operations() }.holds();
}

/// `exec` by another thread than the main one, and the like. Waiters look the holder up, and have the heartbeat: so this
/// says nothing about lost wake-ups, and all about exclusion and poison.
#[test]
fn deaths_that_the_kernel_does_not_report() {
    World { unnoticed: true, repairs: true, ..world(3, 2).with_deaths(2).with_all_operations() }.holds();
}

#[test]
#[ignore = "minutes without --release"]
fn five_threads_and_two_rounds() {
    world(5, 2).with_deaths(3).with_all_operations().holds();
}

#[test]
#[ignore = "minutes without --release"]
fn four_threads_and_three_rounds() {
    world(4, 3).with_deaths(3).with_all_operations().holds();
}

#[test]
#[ignore = "minutes without --release"]
fn four_threads_and_unreported_deaths() {
    World { unnoticed: true, repairs: true, ..world(4, 2).with_deaths(3).with_all_operations() }.holds();
}

// What need not be.

/// Where there is no `clear_waiters`, the bit stays for good.
#[test]
fn the_bit_need_not_be_cleared() {
    world(4, 2).with_deaths(2).with_all_operations().with(Fault::NeverClear).holds();
}

/// The kernel keeps the bit of a dead holder's word, so there is a sleeper only if it is set. Setting it in any case
/// costs one system call, and is right without that argument.
#[test]
fn the_bit_of_a_dead_holder_need_only_be_kept() {
    world(4, 2).with_deaths(2).with_all_operations().with(Fault::KeepWFromD).holds();
}

// What must be.

/// The classic: it needs a sleeper, a third thread that locks before it, without the bit, and the death of the one that
/// wakes or is woken, of which the kernel makes nothing because the lock is held.
#[test]
fn without_a_sticky_bit_one_death_strands_a_sleeper() {
    world(4, 2).with(Fault::SwapToZero).holds();
    world(3, 1).with_deaths(1).with(Fault::SwapToZero).fails(&[NOBODY_STRANDED]);
}

/// The same with nobody killed: the woken one gives up instead.
#[test]
fn without_a_sticky_bit_a_timeout_strands_a_sleeper() {
    world(4, 2).with_all_operations().with(Fault::SwapToZero).fails(&[NOBODY_STRANDED]);
}

#[test]
fn who_has_slept_must_expect_others_to_sleep() {
    world(3, 1).with(Fault::SwapToZeroAndForget).fails(&[NOBODY_STRANDED]);
    world(3, 1).with(Fault::DropW).fails(&[NOBODY_STRANDED]);
}

/// The ABA of [`Fault::ClearWithoutEpoch`]: hung eight processes within a second, with nobody killed.
#[test]
fn clearing_the_bit_without_an_epoch_loses_a_wake_up() {
    world(3, 3).with_all_operations().with(Fault::ClearWithoutEpoch).holds();
    world(4, 1).with(Fault::ClearWithoutEpoch).fails(&[NOBODY_STRANDED]);
}

#[test]
fn the_epoch_must_be_read_while_holding() {
    world(4, 1).with(Fault::ReadEpochLate).fails(&[NOBODY_STRANDED]);
}

#[test]
fn the_epoch_must_count_acquisitions_from_w() {
    world(4, 1).with(Fault::CountOnlyFromD).fails(&[NOBODY_STRANDED]);
}

#[test]
fn the_epoch_must_count_acquisitions_from_d() {
    world(4, 2).with_deaths(2).with(Fault::CountOnlyFromW).fails(&[NOBODY_STRANDED]);
}

#[test]
fn the_bit_of_a_dead_holder_must_be_kept() {
    world(3, 1).with_deaths(1).with(Fault::DropWFromD).fails(&[NOBODY_STRANDED]);
}

#[test]
fn the_node_must_be_pending_between_wake_up_and_acquisition() {
    world(4, 2).with_all_operations().with(Fault::NotPendingAsleep).holds();
    world(3, 1).with_deaths(1).with(Fault::NotPendingAsleep).fails(&[NOBODY_STRANDED]);
}

#[test]
fn the_node_must_be_pending_until_another_has_been_woken() {
    world(2, 1).with_deaths(1).with(Fault::NotPendingAtWake).fails(&[NOBODY_STRANDED]);
}

/// Before Linux 6.2 and the stable releases that have the change: the word is `W`, and not 0.
#[test]
fn the_kernel_must_pass_a_wake_up_on_whatever_the_ownerless_word_says() {
    world(2, 1).with_deaths(1).with(Fault::OldKernel).fails(&[NOBODY_STRANDED]);
}

#[test]
fn a_waiter_must_look_once_more_after_its_deadline() {
    world(3, 1).with_all_operations().with(Fault::NoLastTry).fails(&[NOBODY_STRANDED]);
}

#[test]
fn the_kernel_must_compare_before_a_waiter_sleeps() {
    world(2, 1).with(Fault::WaitUnconditionally).fails(&[NOBODY_STRANDED]);
}

#[test]
fn poison_after_the_release_is_lost_with_a_second_death() {
    world(2, 1).with_deaths(1).with(Fault::PoisonAfterRelease).fails(&[FREE_LOCK_TELLS, HOLDER_KNOWS]);
}

/// Another holder may have repaired the data in the meantime.
#[test]
fn poison_must_not_be_set_by_who_does_not_hold() {
    let fault = Fault::PoisonBeforeAcquire;
    World { repairs: true, ..world(2, 1).with_deaths(1).with(fault) }.holds();
    World { repairs: true, ..world(3, 1).with_deaths(1).with(fault) }.fails(&[NO_FALSE_POISON]);
}

#[test]
fn a_dead_holder_must_be_marked_only_while_the_word_names_it() {
    let fault = Fault::MarkDeadBlindly;
    let failed = World { unnoticed: true, ..world(3, 1).with_deaths(1).with(fault) }.search();
    assert!(failed.contains(&EXCLUSION), "{failed:?}");
}

// The model itself.

/// A state that is never reached is a property that is never tested.
#[test]
fn every_step_of_the_model_happens() {
    let mut seen = HashSet::new();
    let mut note = |i: usize, choice: Move, before: &State, after: &State| {
        let at = before.threads[i].at;
        seen.insert(match choice {
            Move::Step => outcome(&format!("{at:?}"), before.word != after.word),
            Move::Wake(_) => format!("{at:?}: wakes"),
            _ => format!("{at:?}: {choice:?}"),
        });
        if at == At::KernelLooks && before.word.owner == 0 && after.threads[i].at == At::KernelWakes {
            seen.insert(format!("passed on: {:?}", before.word));
        }
    };
    let canonical = |state, threads| Canonical::new(state, threads).0;
    world(3, 2).with_deaths(2).with_all_operations().explore(canonical, &mut note);
    World { unnoticed: true, repairs: true, ..world(3, 2).with_deaths(2) }.explore(canonical, &mut note);
    let changing = ["LockFree", "Acquire", "Announce", "Release", "Clear", "MarkDead", "KernelLooks"];
    let mut expected: Vec<_> =
        changing.iter().flat_map(|at| [true, false].map(|changed| outcome(at, changed))).collect();
    let killed = ["LockFree", "Look", "Acquire", "Poison", "Count", "ThreadExists", "MarkDead", "Announce", "Wait"];
    let killed = killed.iter().chain(&["Asleep", "Release", "ReadEpoch", "StoreW", "WakeOne", "Clear", "End"]);
    expected.extend(killed.map(|at| format!("{at}: Die")));
    expected.extend(["WakeOne", "KernelWakes"].map(|at| format!("{at}: wakes")));
    expected.extend(["WakeOne", "KernelWakes"].map(|at| outcome(at, false)));
    for (waiters, died) in [(false, false), (true, false), (false, true), (true, true)] {
        expected.push(format!("passed on: {:?}", Word { owner: 0, waiters, died }));
    }
    let missed: Vec<_> = expected.iter().filter(|what| !seen.contains(*what)).collect();
    assert!(missed.is_empty(), "{missed:#?}");
}

fn outcome(at: &str, has_changed_word: bool) -> String {
    format!("{at}: {}", if has_changed_word { "word changed" } else { "word kept" })
}

/// Sorted threads and forgotten epochs stand for the same worlds as the plain ones.
#[test]
fn the_reduction_loses_no_state() {
    let world = world(3, 1).with_deaths(2).with_all_operations();
    let plain = world.explore(|state, _| state, |_, _, _, _| {});
    let reduced = world.explore(|state, threads| Canonical::new(state, threads).0, |_, _, _, _| {});
    let reduced_plain: HashSet<_> = plain.iter().map(|state| Canonical::new(*state, world.threads).0).collect();
    println!("{} states, reduced to {}", plain.len(), reduced.len());
    assert_eq!(reduced.len(), reduced_plain.len());
    assert!(reduced == reduced_plain);
}
