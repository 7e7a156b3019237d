//! Kills at any time: nothing that is read is torn, nobody hangs, and only writers poison.

use std::time::Duration;

use robust_shm::{ArrayGuard, LockError, LockKind, SegmentInfo, SharedArray, SharedValue};

use crate::support::{self, Body, COST_OF_A_PROCESS, Family, Random, Stopwatch, member, spawn, until};
use crate::{active, kinds};

/// All elements are equal unless somebody writes.
type Board = SharedArray<u64, 16>;

pub(crate) const ROLES: &[(&str, Body)] =
    &[("storm reader", |family| work(family, 0)), ("storm writer", |family| work(family, 3))];

/// What workers are told and tell.
struct Stage {
    /// Even: work. Odd: rest.
    phase: SharedValue<u64>,
    /// How many have come to rest, in all phases.
    resting: SharedValue<u64>,
}

impl Stage {
    fn of(member: impl Fn(usize) -> String) -> Self {
        let open = |which| SharedValue::open_or_create(&member(which), 0).unwrap();
        Self { phase: open(1), resting: open(2) }
    }
}

/// Reads, and writes one time in so many; rests when it is told to, with nothing held.
fn work(family: &str, writes: usize) {
    let board = Board::open(&member(family, 0)).unwrap();
    let Stage { phase, resting } = Stage::of(|which| member(family, which));
    let mut random = Random::new(u64::from(std::process::id()));
    loop {
        let now = phase.get();
        if now % 2 == 1 {
            resting.update(|resting| *resting += 1).unwrap();
            while phase.get() == now {
                std::thread::sleep(Duration::from_micros(100));
            }
        }
        if writes != 0 && random.below(writes) == 0 {
            write(&board, &mut random);
        } else {
            // No deadlines: they would wake who has been forgotten.
            match board.read() {
                Ok(guard) => {
                    let first = guard[0];
                    if random.below(3) == 0 {
                        std::thread::sleep(Duration::from_micros(random.below(200) as u64));
                    }
                    assert!(guard.iter().all(|element| *element == first), "torn: {guard:?}");
                }
                Err(LockError::Poisoned { .. }) => write(&board, &mut random),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

fn write(board: &Board, random: &mut Random) {
    let guard = match random.below(4) {
        0 => board.try_lock_ignoring_poison_for(Duration::from_micros(random.below(300) as u64)),
        _ => board.lock_ignoring_poison(),
    };
    let Ok(mut guard) = guard else { return };
    if !ArrayGuard::is_poisoned(&guard) {
        assert!(guard.iter().all(|element| *element == guard[0]), "torn without poison: {guard:?}");
    }
    let next = guard[0] + 1;
    for element in guard.iter_mut() {
        *element = next;
        if random.below(40) == 0 {
            std::thread::yield_now();
        }
    }
    ArrayGuard::clear_poison(&mut guard);
}

/// After each kill all are told to rest: so nobody holds anything, and whoever still sleeps is forgotten.
///
/// `ROBUST_SHM_READER_KILLS=20000` is the long form.
#[test]
fn a_storm_of_kills_tears_nothing_and_leaves_nobody_asleep() {
    const WORKERS: usize = 6;
    for kind in kinds() {
        let kills =
            std::env::var("ROBUST_SHM_READER_KILLS").map_or(150 / COST_OF_A_PROCESS, |text| text.parse().unwrap());
        let family = Family::new("storm");
        let board = Board::options().lock_kind(kind).readers(4).create(&family.member(0)).unwrap();
        let stage = Stage::of(|which| family.member(which));
        let role = |which: usize| if which.is_multiple_of(2) { "storm reader" } else { "storm writer" };
        let mut random = Random::new(11);
        let mut workers: Vec<_> = (0..WORKERS).map(|which| spawn(role(which), family.name())).collect();
        for kill in 1..=kills {
            std::thread::sleep(Duration::from_micros(random.below(3_000) as u64));
            let victim = random.below(WORKERS);
            std::mem::replace(&mut workers[victim], spawn(role(victim), family.name())).kill();
            let watch = Stopwatch::start();
            stage.phase.update(|phase| *phase += 1).unwrap();
            until("the rest of all", || (stage.resting.get() == (kill * WORKERS) as u64).then_some(()));
            if kind == LockKind::Futex {
                watch.assert_nobody_waited_for_the_heartbeat();
            }
            assert_eq!(active(&family.member(0)), 0, "{:?}", SegmentInfo::of(&family.member(0)));
            stage.phase.update(|phase| *phase += 1).unwrap();
        }
        workers.into_iter().for_each(support::Role::kill);
        drop(board.lock_recover(|elements| elements.fill(0)).unwrap());
        drop(board.read().unwrap());
    }
}
