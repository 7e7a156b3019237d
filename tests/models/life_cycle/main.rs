//! A model check of the life of a segment: every order in which three programs and a newcomer can make the system calls
//! of `src/segment/`, with programs killed or stopped between any two of them.
//!
//! The model follows the code by hand (`calls.rs`), a system call at a time: who changes the one changes the other. It
//! knows one name. A process with two handles is two programs here. A program that is stopped for ever is one that makes
//! no more calls; so in each state each program, and a newcomer with each request, goes on alone, and must get to the end
//! unless one that stands still has the file exclusively or is removing its name.
//!
//! Where orphans cannot be removed, because they belong to somebody else, only their owner can, and who is asked to.
//!
//! Not in the model: fork, file systems without unnamed files, modes, clean-up when the process exits.
//!
//! The second half breaks the protocol in one place at a time; the checker must find each, or else it proves nothing.

use model::{LifeCycle, representative};
use program::{Broken, Op, Owner};
use stateright::{Checker, HasDiscoveries, Model};

mod calls;
mod kernel;
mod model;
mod program;

const THREADS: usize = 2;

/// The protocol holds, whatever `calls` programs make of these requests.
fn holds(ops: &'static [Op], calls: [u8; 3], kills: u8, failures: u8) {
    let model = LifeCycle { broken: Broken::Nowhere, ops, calls, kills, failures, owner: Owner::Everybody };
    let start = std::time::Instant::now();
    let checker = model.checker().threads(THREADS).symmetry_fn(representative).spawn_dfs().join();
    let (states, depth) = (checker.unique_state_count(), checker.max_depth());
    println!("{calls:?} calls, {kills} kills: {states} states, depth {depth}, {:?}", start.elapsed());
    checker.assert_properties();
}

#[test]
fn three_programs_that_make_any_call_once() {
    holds(Op::ALL, [1, 1, 1], 1, 0);
}

#[test]
fn two_programs_that_make_any_two_calls_each() {
    holds(Op::ALL, [2, 2, 0], 2, 1);
}

#[test]
fn three_programs_that_create_open_and_remove_persistent_segments() {
    holds(&[Op::CreatePersistent, Op::Open, Op::Remove], [2, 1, 1], 2, 1);
}

#[test]
fn three_programs_that_open_or_create_and_remove() {
    holds(&[Op::OpenOrCreate, Op::Remove], [2, 1, 1], 1, 0);
}

/// Where nobody can remove what killed users have left, it is made anew in place.
#[test]
fn three_programs_that_make_orphans_anew() {
    for (calls, kills) in [([1, 1, 1], 2), ([2, 1, 0], 1)] {
        let ops = &[Op::OpenOrCreate, Op::Create, Op::Open, Op::Sweep];
        let model = LifeCycle { broken: Broken::Nowhere, ops, calls, kills, failures: 0, owner: Owner::Nobody };
        let checker = model.checker().threads(THREADS).symmetry_fn(representative).spawn_dfs().join();
        println!("{calls:?} calls, {kills} kills: {} states", checker.unique_state_count());
        checker.assert_properties();
    }
}

/// The owner may remove what another, who may not, is making a persistent segment of meanwhile.
const OF_ONE_OWNER: &[Op] = &[Op::CreatePersistent, Op::Create, Op::OpenOrCreate, Op::Open, Op::Sweep];

#[test]
fn an_owner_and_others_who_make_orphans_anew() {
    let (calls, kills, owner) = ([1, 2, 0], 1, Owner::Program(0));
    let model = LifeCycle { broken: Broken::Nowhere, ops: OF_ONE_OWNER, calls, kills, failures: 0, owner };
    let checker = model.checker().threads(THREADS).spawn_dfs().join(); // not all alike
    println!("{calls:?} calls, {kills} kills: {} states", checker.unique_state_count());
    checker.assert_properties();
}

fn is_found_where_one_may_remove(broken: Broken) {
    let (calls, owner) = ([1, 2, 0], Owner::Program(0));
    let model = LifeCycle { broken, ops: OF_ONE_OWNER, calls, kills: 1, failures: 0, owner };
    let checker = model.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let found = checker.discovery(NO_STEP_GOES_WRONG).expect("something contradicts it");
    println!("{:#?}", found.into_actions());
}

/// Once, what was known of an orphan before the lock decided: a persistent segment was removed.
#[test]
fn removing_without_comparing_with_what_was_found_is_found() {
    is_found_where_one_may_remove(Broken::RemovesWithoutComparing);
}

/// So it was by a leaver, who has no lock for a moment.
#[test]
fn leaving_without_a_look_at_what_was_made_meanwhile_is_found() {
    is_found_where_one_may_remove(Broken::LeavesWithoutLooking);
}

fn is_found_where_orphans_stay(broken: Broken, calls: [u8; 3], kills: u8) {
    let ops = &[Op::OpenOrCreate, Op::Open];
    let model = LifeCycle { broken, ops, calls, kills, failures: 0, owner: Owner::Nobody };
    let checker = model.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    // Which claim falls first depends: the newcomer's, who goes on alone, sees it a step sooner.
    let found = checker.discoveries();
    assert!(!found.is_empty(), "nothing contradicts it");
    found.into_iter().for_each(|(claim, path)| println!("{claim}: {:#?}", path.into_actions()));
}

#[test]
fn making_an_orphan_anew_without_a_mark_is_found() {
    is_found_where_orphans_stay(Broken::ReusesWithoutMark, [2, 1, 0], 2);
}

#[test]
fn using_a_segment_without_comparing_it_with_what_was_validated_is_found() {
    is_found_where_orphans_stay(Broken::OpensWithoutComparing, [2, 1, 1], 1);
}

#[test]
#[ignore = "takes minutes"]
fn three_programs_that_make_more_calls() {
    holds(Op::ALL, [2, 1, 1], 2, 1);
}

/// The shortest way to a state in which something does not hold; `claim` must be among what does not.
fn is_found(broken: Broken, ops: &'static [Op], calls: [u8; 3], failures: u8, claim: &'static str) {
    let model = LifeCycle { broken, ops, calls, kills: 0, failures, owner: Owner::Everybody };
    let checker = model.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let found = checker.discovery(claim).unwrap_or_else(|| panic!("nothing contradicts “{claim}”"));
    println!("{:#?}", found.into_actions());
}

const NO_STEP_GOES_WRONG: &str = "no single step goes wrong";
const KEEPS_ITS_NAME: &str = "a segment in use keeps its name, unless it was removed by request";
const NOTHING_REMAINS: &str = "when all have left and none was killed, nothing remains";

#[test]
fn a_name_given_before_the_segment_is_filled_is_found() {
    is_found(Broken::NamesBeforeFilling, &[Op::Create, Op::Open], [1, 1, 0], 0, NO_STEP_GOES_WRONG);
}

#[test]
fn a_name_given_before_the_creator_shares_the_lock_is_found() {
    is_found(Broken::NamesBeforeSharing, &[Op::Create, Op::Open], [1, 1, 0], 0, NO_STEP_GOES_WRONG);
}

#[test]
fn unlinking_without_looking_where_the_name_leads_is_found() {
    is_found(Broken::UnlinksWithoutCheck, &[Op::Create, Op::Remove], [1, 1, 1], 0, KEEPS_ITS_NAME);
}

#[test]
fn unlinking_without_the_guard_is_found() {
    is_found(Broken::UnlinksWithoutGuard, &[Op::Create, Op::Remove], [1, 1, 1], 0, KEEPS_ITS_NAME);
}

#[test]
fn leaving_by_closing_alone_is_found() {
    is_found(Broken::LeavesByClosing, &[Op::Create], [1, 0, 0], 0, NOTHING_REMAINS);
}

#[test]
fn asking_who_has_the_name_as_a_user_who_does_not_leave_is_found() {
    is_found(Broken::LooksAndCloses, &[Op::Create], [1, 1, 0], 0, NOTHING_REMAINS);
}

#[test]
fn refusing_an_opener_who_shares_and_does_not_leave_is_found() {
    is_found(Broken::RefusedWhileSharing, &[Op::Create, Op::OpenMistyped], [1, 1, 0], 0, NOTHING_REMAINS);
}

#[test]
fn opening_without_a_second_look_is_found() {
    is_found(Broken::OpensWithoutSecondLook, &[Op::Create, Op::Open], [1, 1, 0], 0, KEEPS_ITS_NAME);
}

#[test]
fn sweeping_without_excluding_users_is_found() {
    is_found(Broken::SweepsWithoutExcluding, &[Op::Create, Op::Sweep], [1, 1, 0], 0, KEEPS_ITS_NAME);
}

#[test]
fn taking_over_when_already_sharing_is_found() {
    is_found(Broken::TakesOverAfterSharing, &[Op::CreatePersistent, Op::Open], [1, 1, 0], 0, NO_STEP_GOES_WRONG);
}

/// Once: a creation that could not be mapped took the name away from whoever had opened the segment meanwhile, and the
/// next creator made a second one beside it.
#[test]
fn a_failed_creation_that_takes_the_name_from_users_is_found() {
    is_found(Broken::RetractsFromUsers, &[Op::Create, Op::Open], [1, 1, 0], 1, KEEPS_ITS_NAME);
}

/// Once: who only looked took a shared lock, and a leaver took him for a user.
#[test]
fn inspecting_with_a_lock_is_found() {
    is_found(Broken::InspectsByLocking, &[Op::Create, Op::Inspect], [1, 1, 0], 0, NOTHING_REMAINS);
}
