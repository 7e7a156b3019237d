//! SIGKILL at every step: a process dies between any two things that others could see, and the others go on.
//!
//! `RUSTFLAGS="--cfg robust_shm_fault" cargo test --target-dir target/fault --test steps`
//!
//! In that build the crate calls back at each `point!` in its source. A scenario is first run once to see which points
//! its victim passes. Then, for each of them, a new victim stops there, others come along and wait for what it has, it
//! is killed, and it is checked that they go on at once, that values are whole and arrays poisoned exactly when they
//! may be torn, that names are free again and nothing is left over. In `handlers`, what comes at a point is a handler that
//! locks, and it is killed at each of its own points.
#![cfg(all(target_os = "linux", robust_shm_fault))]
#![allow(unreachable_pub, reason = "as in `support`")]

mod events;
mod fairness;
mod forks;
mod handlers;
mod life;
mod locks;
#[path = "../support/nested.rs"]
mod nested;
mod permits;
mod readers;
#[allow(unsafe_code, reason = "as the other tests that use it")]
#[path = "../support/seccomp.rs"]
mod seccomp;
mod step;
#[path = "../support/mod.rs"]
mod support;
mod waits;
mod walk;

use std::collections::BTreeSet;

use walk::{record, walk};

#[test]
fn child() {
    support::play(
        &[
            forks::ROLES,
            handlers::ROLES,
            life::ROLES,
            locks::ROLES,
            locks::ROLES_OF_ARRAYS,
            locks::ROLES_OF_SLICES,
            fairness::ROLES,
            permits::ROLES,
            readers::ROLES,
            events::ROLES,
            waits::ROLES,
        ]
        .concat(),
    );
}

/// Otherwise this test would not see what happens there.
#[test]
fn every_point_in_the_source_is_reached() {
    let _alone = walk::alone();
    let declared: BTreeSet<&str> = robust_shm::declared_points().iter().copied().collect();
    assert_eq!(declared.len(), robust_shm::declared_points().len(), "two points have one name");
    let of_root = if life::is_root() { life::OF_ROOT } else { &[] };
    let scenarios = life::ALL
        .iter()
        .chain(of_root)
        .chain(locks::ALL)
        .chain(fairness::ALL)
        .chain(permits::ALL)
        .chain(events::ALL)
        .chain(readers::ALL)
        .chain(waits::ALL);
    let passed: Vec<_> = scenarios.flat_map(record).map(|step| step.point).chain(handlers::points()).collect();
    let needless = |point: &str| of_root.is_empty() && point.starts_with("reuse: ");
    let unreached: Vec<_> =
        declared.iter().filter(|point| !needless(point) && !passed.iter().any(|step| step == *point)).collect();
    assert!(unreached.is_empty(), "{unreached:?}");
}

#[test]
fn a_handler_at_every_point_may_lock() {
    assert!(!handlers::points().is_empty());
}

#[test]
fn a_fork_in_the_middle_of_opening_and_leaving_leaves_nothing_behind() {
    let _alone = walk::alone();
    for role in [
        "forks in the middle",
        "forks elsewhere",
        "forks elsewhere during a take-over",
        "forks elsewhere during a refusal",
        "forks elsewhere, private names",
        "forks elsewhere during a removal",
        "forks elsewhere and keeps nothing",
        "forks elsewhere during a sweep",
        "forks elsewhere over an orphan",
        "forks elsewhere during a leave after a fork",
        "clones elsewhere while sharing is refused",
    ] {
        support::spawn(role, support::Family::new("forks").name()).join();
    }
}

#[test]
fn a_fork_in_the_middle_of_giving_up_what_cannot_be_removed_keeps_it_from_nobody() {
    let _alone = walk::alone();
    for role in ["forks elsewhere over what cannot be removed", "forks elsewhere over what cannot be made anew"] {
        if life::is_root() {
            support::spawn(role, support::Family::new("forks").name()).join();
        }
    }
}

#[test]
fn an_exit_in_the_middle_of_opening_and_leaving_ends_the_process() {
    let _alone = walk::alone();
    support::spawn("exits in the middle", support::Family::new("exits").name()).join();
}

#[test]
fn killed_in_a_handler() {
    let family = support::Family::new("handlers-die");
    support::spawn("die in a handler", family.name()).join();
}

#[test]
fn killed_in_a_handler_that_takes_one_lock_inside_another() {
    let family = support::Family::new("handlers-nests");
    support::spawn("die in a handler that nests", family.name()).join();
}

#[test]
fn killed_in_a_handler_that_takes_locks_in_any_order() {
    let family = support::Family::new("handlers-mixes");
    support::spawn("die in a handler that mixes", family.name()).join();
}

#[test]
fn killed_in_a_handler_that_asks_for_what_is_interrupted() {
    let family = support::Family::new("handlers-asks");
    support::spawn("die in a handler that asks", family.name()).join();
}

#[test]
fn killed_in_a_handler_with_a_wake_up_in_hand() {
    let family = support::Family::new("handlers-woken");
    support::spawn("die with a wake-up", family.name()).join();
}

#[test]
fn killed_in_a_handler_before_waking() {
    let family = support::Family::new("handlers-wake");
    support::spawn("die before waking", family.name()).join();
}

/// An opener that validated one segment and came to use another would read the wrong bytes as its type.
#[test]
fn an_opener_looks_again_once_it_is_a_user() {
    let _alone = walk::alone();
    assert!(record(&life::OPEN_WHAT_CHANGES).iter().any(|step| step.point == "open: admitted"));
}

/// Half-made, nobody uses it; and whoever comes next can.
#[test]
fn killed_while_reusing_what_it_cannot_remove() {
    if life::is_root() {
        life::OF_ROOT.iter().for_each(|scenario| println!("{} steps", walk(scenario)));
    }
}

macro_rules! walks {
    ($($name:ident: $scenario:expr;)*) => {
        $(#[test]
        fn $name() {
            let start = std::time::Instant::now();
            let count = walk(&$scenario);
            println!("{count} steps in {:.1?}", start.elapsed());
        })*
    };
}

walks! {
    killed_while_creating: life::CREATE;
    killed_while_creating_an_array_from_elements: life::CREATE_FROM;
    killed_while_creating_what_exists: life::CREATE_WHAT_EXISTS;
    killed_while_creating_over_an_orphan: life::CREATE_OVER_ORPHAN;
    killed_while_creating_over_one_that_dies_meanwhile: life::CREATE_OVER_ONE_THAT_DIES;
    killed_while_opening: life::OPEN;
    killed_while_opening_or_creating: life::OPEN_OR_CREATE;
    killed_while_opening_an_orphan: life::OPEN_ORPHAN;
    killed_while_opening_or_creating_over_an_orphan: life::OPEN_OR_CREATE_OVER_ORPHAN;
    killed_while_taking_over: life::TAKE_OVER;
    killed_while_taking_over_what_was_watched: life::TAKE_OVER_WHAT_WAS_WATCHED;
    killed_while_taking_over_what_was_waited_for: life::TAKE_OVER_WHAT_WAS_WAITED_FOR;
    killed_while_refusing_another_type: life::REFUSE;
    killed_while_closing_as_the_last: life::CLOSE_LAST;
    killed_while_closing_as_the_last_and_being_replaced: life::CLOSE_LAST_AND_BE_REPLACED;
    killed_while_closing_what_was_removed: life::CLOSE_REMOVED;
    killed_while_closing_among_others: life::CLOSE_AMONG_OTHERS;
    killed_while_closing_without_a_descriptor: life::CLOSE_WITHOUT_DESCRIPTORS;
    killed_while_closing_a_persistent_segment: life::CLOSE_PERSISTENT;
    killed_at_exit: life::EXIT;
    killed_at_exit_after_a_fork: life::EXIT_AFTER_FORK;
    killed_while_removing: life::REMOVE;
    killed_while_removing_and_being_replaced: life::REMOVE_AND_BE_REPLACED;
    killed_while_removing_orphans: life::REMOVE_ORPHANS;
    killed_around_a_fork: life::FORK;
    killed_while_taking_a_permit: permits::TAKE;
    killed_while_taking_a_permit_under_a_lock: permits::TAKE_UNDER_A_LOCK;
    killed_while_taking_a_permit_after_a_wait: permits::TAKE_AFTER_WAIT;
    killed_while_taking_one_of_two_permits: permits::TAKE_ONE_OF_TWO;
    killed_while_taking_a_permit_before_a_waiter: permits::TAKE_BEFORE_WAITER;
    killed_while_taking_permits_over: permits::TAKE_OVER;
    killed_while_reading_for_the_first_time: readers::READ_FIRST;
    killed_while_reading_beside_another: readers::READ_BESIDE;
    killed_while_reading_again: readers::READ_AGAIN;
    killed_while_reading_under_a_lock: readers::READ_UNDER_A_LOCK;
    killed_while_reading_with_the_lock: readers::READ_ALONE;
    killed_while_reading_where_one_died: readers::READ_WHERE_ONE_DIED;
    killed_while_backing_out: readers::BACK_OUT;
    killed_while_reading_before_a_writer: readers::READ_BEFORE_A_WRITER;
    killed_while_keeping_readers_out: readers::WRITE_WHERE_NOBODY_READS;
    killed_while_waiting_for_readers: readers::WRITE_AFTER_READERS;
    killed_while_writing_where_a_reader_died: readers::WRITE_WHERE_A_READER_DIED;
    killed_while_giving_up_before_readers: readers::GIVE_UP;
    killed_while_taking_readers_over: readers::TAKE_OVER;
    killed_while_changing_a_value: locks::CHANGE;
    killed_while_changing_a_little_value: locks::CHANGE_LITTLE;
    killed_while_changing_a_value_after_a_wait: locks::CHANGE_AFTER_WAIT;
    killed_while_changing_a_value_before_a_waiter: locks::CHANGE_BEFORE_WAITER;
    killed_while_somebody_begins_to_wait: locks::CHANGE_OVERTAKEN;
    killed_while_changing_a_value_of_which_nobody_is_told: locks::CHANGE_WATCHED;
    killed_while_changing_a_value_after_watching: locks::CHANGE_AFTER_WATCHING;
    killed_while_changing_a_value_before_one_who_relies: locks::CHANGE_BEFORE_ONE_WHO_RELIES;
    killed_while_changing_a_value_under_an_os_mutex: locks::CHANGE_UNDER_OS_MUTEX;
    killed_while_writing_an_array: locks::WRITE;
    killed_while_writing_an_array_before_a_waiter: locks::WRITE_BEFORE_WAITER;
    killed_while_panicking_over_an_array: locks::WRITE_AND_PANIC;
    killed_while_counting: locks::WRITE_COUNTERS;
    killed_while_reading_an_array: locks::READ;
    killed_while_overwriting_an_array: locks::OVERWRITE;
    killed_while_rewriting_a_poisoned_array: locks::REWRITE;
    killed_while_repairing: locks::REPAIR;
    killed_while_writing_a_slice: locks::WRITE_TO_SLICE;
    killed_while_reading_a_slice: locks::READ_SLICE;
    killed_while_writing_all_of_a_slice: locks::OVERWRITE_SLICE;
    killed_while_repairing_a_slice: locks::REPAIR_SLICE;
    killed_while_finding_poison: locks::FIND_POISON;
    killed_while_taking_from_an_unmarked_dead: locks::TAKE_FROM_UNMARKED;
    killed_while_running_with_a_lock: locks::RUN_WITH;
    killed_with_three_locks: locks::HOLD_THREE;
    killed_while_setting_an_event: events::SET;
    killed_while_clearing_an_event: events::CLEAR;
    killed_while_setting_an_event_for_two: events::SET_FOR_TWO;
    killed_while_setting_an_event_that_is_then_cleared: events::SET_BEFORE_CLEAR;
    killed_while_waiting_for_an_event: events::WAIT_FIRST;
    killed_while_waiting_for_an_event_beside_two: events::WAIT;
    killed_while_setting_what_a_dead_has_set: events::SET_AFTER_DEATH;
    killed_while_waiting_for_what_a_dead_has_set: events::WAIT_AFTER_DEATH;
    killed_while_clearing_what_a_dead_has_set: events::CLEAR_AFTER_DEATH;
    killed_while_committing_to_watchers: waits::COMMIT;
    killed_while_looking_beside_watchers: waits::LOOK;
    killed_while_looking_at_what_a_dead_has_committed: waits::LOOK_AFTER_DEATH;
    killed_while_watching: waits::WATCH;
    killed_while_watching_what_a_dead_has_committed: waits::WATCH_A_DEATH;
    killed_while_watching_for_a_moment: waits::WATCH_FOR_A_MOMENT;
    killed_while_notifying: waits::NOTIFY;
    killed_while_waiting_for_a_condition: waits::WAIT;
    killed_while_waiting_beside_the_credit_of_a_dead: waits::WAIT_BESIDE_CREDIT;
    killed_while_asking_whether_anybody_sleeps: waits::PROBE;
    killed_before_a_lock_that_is_kept: fairness::KEPT;
    killed_while_standing_back_for_another: fairness::STAND_BACK;
    killed_while_inheriting: fairness::INHERIT;
    killed_while_an_heir_waits: fairness::BEQUEATH;
    killed_while_the_heir_is_dead: fairness::BEQUEATH_TO_A_DEAD;
    killed_while_succeeding: fairness::SUCCEED;
    killed_while_leaving_it_to_the_successor: fairness::LEAVE_TO_THE_SUCCESSOR;
    killed_while_giving_up_as_the_successor: fairness::GIVE_UP_AS_THE_SUCCESSOR;
    killed_in_a_handler_of_the_successor: fairness::STEP_ASIDE;
}
