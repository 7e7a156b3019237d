//! A lock that two processes hand to each other, on two cores and on one.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use robust_shm::SharedValue;

use crate::effort::Effort;
use crate::peers::{NumberBesideLock, Peer, PthreadRobust, PthreadShared, RawSync, work};
use crate::report::{Limit, Part, Row};
use crate::sys::{self, Shared};
use crate::team::{self, Outcome};

const ROUNDS: usize = 9;
const MS: u64 = 100;

/// How the lock goes to and fro.
#[derive(Clone, Copy, PartialEq)]
enum Game {
    /// Under the lock stands whose turn it is; who finds that it is not his tries again.
    Turns,
    /// Three locks in a ring: each process holds one, takes the next, and leaves the one behind, so that each step needs
    /// the other's. Nobody looks at anything but the locks.
    Ring,
    /// Both work under the lock for so many steps: the time from just before unlocking until the waiter has the lock.
    HandOver(u64),
}

const GAMES: [(Game, &str); 4] = [
    (Game::Turns, "turns, looked up under the lock"),
    (Game::Ring, "ring of three locks"),
    (Game::HandOver(1_000), "hand-over after 1,000 steps of work"),
    (Game::HandOver(100_000), "hand-over after 100,000 steps of work"),
];

struct Contender {
    who: &'static str,
    play: fn(Game, usize, u64) -> f64,
}

fn contender<P: Peer>() -> Contender {
    Contender { who: P::WHO, play: play::<P> }
}

fn contenders() -> [Contender; 5] {
    [
        contender::<NumberBesideLock>(),
        contender::<SharedValue<u64>>(),
        contender::<PthreadShared>(),
        contender::<PthreadRobust>(),
        contender::<RawSync>(),
    ]
}

pub fn measure(effort: Effort) -> Part {
    let mut part = Part { name: "pingpong", how: how(effort), rows: Vec::new(), bars: Vec::new() };
    for (game, what) in GAMES {
        for cores in [2, 1].into_iter().filter(|cores| *cores <= sys::cores()) {
            let case = format!("{what}, {cores} core{}", if cores == 1 { "" } else { "s" });
            if effort.wants(&case) {
                part.rows.extend(rows(game, cores, &case, effort));
                bars(&mut part, &case);
            }
        }
    }
    part
}

fn how(effort: Effort) -> String {
    let (rounds, ms) = (effort.rounds(ROUNDS), effort.ms(MS));
    format!(
        "{rounds} rounds over all contenders, {ms} ms each; two processes, pinned to one core each or to the same one; time of one hand-over"
    )
}

fn rows(game: Game, cores: usize, case: &str, effort: Effort) -> Vec<Row> {
    let contenders = contenders();
    let mut rounds = vec![Vec::new(); contenders.len()];
    for _ in 0..effort.rounds(ROUNDS) {
        for (which, contender) in contenders.iter().enumerate() {
            rounds[which].push((contender.play)(game, cores, effort.ms(MS)));
        }
    }
    let row = |(contender, rounds): (&Contender, Vec<f64>)| Row::new(case, contender.who, "ns", rounds);
    contenders.iter().zip(rounds).map(row).collect()
}

fn bars(part: &mut Part, case: &str) {
    let best =
        part.rows.iter().filter(|row| row.case == case && !row.ours).min_by(|a, b| a.median().total_cmp(&b.median()));
    let best = best.expect("peers were measured").who.clone();
    for ours in [NumberBesideLock::WHO, SharedValue::<u64>::WHO] {
        part.bar(case, ours, &best, Limit::AtMost(1.05));
    }
}

fn play<P: Peer>(game: Game, cores: usize, ms: u64) -> f64 {
    match game {
        Game::Turns => turns::<P>(cores, ms),
        Game::Ring => ring::<P>(cores, ms),
        Game::HandOver(steps) => hand_over::<P>(steps, cores, ms),
    }
}

fn turns<P: Peer>(cores: usize, ms: u64) -> f64 {
    let peer = P::create();
    let outcome = team::run(2, ms, |member| {
        sys::pin(member.which % cores);
        let own = peer.attach();
        member.repeat(|_| {
            if !own.take_turn(member.which as u64) {
                // The other cannot move while this one spins on the only core.
                if cores == 1 { std::thread::yield_now() } else { std::hint::spin_loop() }
            }
        });
    });
    outcome.seconds * 1e9 / peer.number() as f64
}

fn ring<P: Peer>(cores: usize, ms: u64) -> f64 {
    let peers = [P::create(), P::create(), P::create()];
    let outcome = team::run(2, ms, |member| {
        sys::pin(member.which % cores);
        let own = peers.each_ref().map(P::attach);
        let mut place = member.which;
        let mut held = own[place].hold();
        member.repeat(|_| {
            place = (place + 1) % own.len();
            let next = own[place].hold();
            held = next;
        });
        drop(held);
    });
    outcome.seconds * 1e9 / outcome.total() as f64
}

fn hand_over<P: Peer>(steps: u64, cores: usize, ms: u64) -> f64 {
    let (peer, left) = (P::create(), Shared::<[AtomicU64; 2]>::new());
    let outcome: Outcome = team::run(2, ms, |member| {
        sys::pin(member.which % cores);
        let own = peer.attach();
        let [left_at, left_by] = &*left;
        member.repeat(|_| {
            let began = sys::now();
            own.locked(|_| {
                let (at, by) = (left_at.load(Relaxed), left_by.load(Relaxed));
                // Only when this one had been waiting for that one.
                if by != member.which as u64 && at > began {
                    member.sheet.waited(sys::now() - at);
                }
                work(steps);
                left_by.store(member.which as u64, Relaxed);
                left_at.store(sys::now(), Relaxed);
            });
            // Long enough for the other to get it.
            work(steps / 2);
        });
    });
    outcome.wait(0.5)
}
