//! From the kill of a holder until the next one has the lock.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use robust_shm::SharedValue;

use crate::effort::Effort;
use crate::peers::{NumberBesideLock, Peer, PthreadRobust};
use crate::report::{Limit, Part, Row, median};
use crate::sys::{self, Child, Shared};

const ROUNDS: usize = 101;

struct Contender {
    who: &'static str,
    kill: fn(usize) -> f64,
}

fn contender<P: Peer>() -> Contender {
    Contender { who: P::WHO, kill: kill::<P> }
}

pub fn measure(effort: Effort) -> Part {
    let mut part = Part { name: "killed", how: how(effort), rows: Vec::new(), bars: Vec::new() };
    for (case, core) in [("holder and waiter on two cores", 1), ("holder and waiter on one core", 0)] {
        if effort.wants(case) {
            part.rows.extend(rows(case, core, effort));
        }
        for ours in [NumberBesideLock::WHO, SharedValue::<u64>::WHO] {
            part.bar(case, ours, PthreadRobust::WHO, Limit::AtMost(1.1));
        }
    }
    part
}

fn how(effort: Effort) -> String {
    format!(
        "{} kills over all contenders; from just before SIGKILL until the waiter, asleep in lock, has it; the killer and the \
         holder pinned to the first core",
        effort.rounds(ROUNDS)
    )
}

fn rows(case: &str, waiter_core: usize, effort: Effort) -> Vec<Row> {
    let contenders = [contender::<NumberBesideLock>(), contender::<SharedValue<u64>>(), contender::<PthreadRobust>()];
    let mut rounds = vec![Vec::new(); contenders.len()];
    for _ in 0..effort.rounds(ROUNDS) {
        for (which, contender) in contenders.iter().enumerate() {
            rounds[which].push((contender.kill)(waiter_core));
        }
    }
    let row = |(contender, rounds): (&Contender, Vec<f64>)| {
        let least = rounds.iter().copied().fold(f64::INFINITY, f64::min);
        let more = vec![("least", least), ("p90", share(&rounds, 0.9))];
        Row { more, ..Row::new(case, contender.who, "µs", rounds) }
    };
    contenders.iter().zip(rounds).map(row).collect()
}

fn share(figures: &[f64], share: f64) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get((sorted.len() as f64 * share) as usize).copied().unwrap_or(median(figures))
}

/// Microseconds.
fn kill<P: Peer>(waiter_core: usize) -> f64 {
    let (peer, notes) = (P::create(), Shared::<[AtomicU64; 3]>::new());
    let [held, waiting, acquired] = &*notes;
    sys::pin(0);
    let holder = Child::fork(|| {
        let own = peer.attach();
        let _guard = own.hold();
        held.store(1, Relaxed);
        loop {
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
    });
    sys::wait_until("the holder", || held.load(Relaxed) == 1);
    let waiter = Child::fork(|| {
        sys::pin(waiter_core);
        let own = peer.attach();
        waiting.store(1, Relaxed);
        let _guard = own.hold_whatever_happened();
        acquired.store(sys::now(), Relaxed);
    });
    sys::wait_until("the waiter", || waiting.load(Relaxed) == 1 && waiter.asleep());
    let killed = sys::now();
    holder.kill();
    waiter.wait();
    holder.wait_killed();
    sys::unpin();
    (acquired.load(Relaxed) - killed) as f64 / 1e3
}
