//! From the kill of a holder until the next one has the lock; and whether the next one has it when a waiter was killed
//! that had just been woken.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use robust_shm::SharedValue;

use crate::effort::Effort;
use crate::peers::{Flock, NumberBesideFile, NumberBesideLock, OfdByte, Peer, PthreadRobust};
use crate::report::{Bar, Limit, Part, Row, median};
use crate::sys::{self, Child, Shared};

const ROUNDS: usize = 101;

/// A lock of each sort, and what one kill found: microseconds.
struct Contender {
    who: &'static str,
    kill: fn(usize) -> f64,
    kill_woken: fn() -> f64,
}

fn contender<P: Peer>() -> Contender {
    Contender { who: P::WHO, kill: kill::<P>, kill_woken: kill_woken::<P> }
}

fn contenders() -> [Contender; 6] {
    [
        contender::<NumberBesideLock>(),
        contender::<SharedValue<u64>>(),
        contender::<NumberBesideFile>(),
        contender::<PthreadRobust>(),
        contender::<Flock>(),
        contender::<OfdByte>(),
    ]
}

const WOKEN: &str = "woken, and killed before it takes the lock, while a third has barged in";
const WOKEN_ROUNDS: usize = 31;
/// How often a round is repeated at most.
const ATTEMPTS: usize = 50;
/// Who has not got the lock by then is stranded: long before our waiters would look up by themselves.
const STRANDED: Duration = Duration::from_millis(300);

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
    for row in part.rows.iter().filter(|row| row.who == NumberBesideFile::WHO) {
        let what = format!("{}: {}, µs", row.case, row.who);
        part.bars.push(Bar { what, figure: row.median(), limit: Limit::AtMost(5_000.0) });
    }
    if effort.wants(WOKEN) {
        part.rows.extend(woken_rows(effort));
    }
    for row in part.rows.iter().filter(|row| row.case == WOKEN && row.ours) {
        let what = format!("{WOKEN}: {}, stranded", row.who);
        part.bars.push(Bar { what, figure: row.more("stranded"), limit: Limit::AtMost(0.0) });
    }
    part
}

fn how(effort: Effort) -> String {
    format!(
        "{} kills over all contenders; from just before SIGKILL until the waiter, asleep in lock, has it; the killer and the \
         holder pinned to the first core; {WOKEN} ({} rounds): from that one's release until the next waiter, asleep all \
         the while, has the lock, cut after {STRANDED:?}",
        effort.rounds(ROUNDS),
        effort.rounds(WOKEN_ROUNDS)
    )
}

fn rows(case: &str, waiter_core: usize, effort: Effort) -> Vec<Row> {
    let contenders = contenders();
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

fn woken_rows(effort: Effort) -> Vec<Row> {
    let [lock, value, file, robust, ..] = contenders(); // the kernel hands its own locks over itself
    let contenders = [lock, value, file, robust];
    let mut rounds = vec![Vec::new(); contenders.len()];
    for _ in 0..effort.rounds(WOKEN_ROUNDS) {
        for (which, contender) in contenders.iter().enumerate() {
            rounds[which].push((contender.kill_woken)());
        }
    }
    let row = |(contender, rounds): (&Contender, Vec<f64>)| {
        let stranded = rounds.iter().filter(|figure| **figure >= STRANDED.as_micros() as f64).count();
        let more = vec![("stranded", stranded as f64), ("p90", share(&rounds, 0.9))];
        Row { more, ..Row::new(WOKEN, contender.who, "µs", rounds) }
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

/// A holder with two waiters releases, which wakes the first, and takes the lock again before that one has run: so it is a
/// third that has barged in. The first waiter is killed, and then the lock is released for good. If what the woken one
/// was to hand on has died with it, the second sleeps on.
///
/// The first waiter runs on the core of this process, and only when nobody else wants it: so not until this process
/// waits for its end. A round in which it came to run all the same is repeated.
fn kill_woken<P: Peer>() -> f64 {
    for _ in 0..ATTEMPTS {
        let (peer, notes) = (P::create(), Shared::<[AtomicU64; 3]>::new());
        let [first_waits, second_waits, acquired] = &*notes;
        sys::pin(0);
        let own = peer.attach();
        let guard = own.hold();
        let wait = |core: usize, waits: &AtomicU64, got_it: &AtomicU64| {
            sys::pin(core);
            let own = peer.attach();
            waits.store(1, Relaxed);
            let guard = own.hold_whatever_happened();
            got_it.store(sys::now(), Relaxed);
            drop(guard);
        };
        let first = Child::fork(|| {
            sys::run_only_when_idle();
            wait(0, first_waits, &AtomicU64::new(0));
        });
        sys::wait_until("the first waiter", || first_waits.load(Relaxed) == 1 && first.asleep());
        let second = Child::fork(|| wait(1, second_waits, acquired));
        sys::wait_until("the second waiter", || second_waits.load(Relaxed) == 1 && second.asleep());
        drop(guard);
        let guard = own.hold_whatever_happened();
        let is_as_meant = !first.asleep() && second.asleep();
        first.kill();
        first.wait_killed();
        let released = sys::now();
        drop(guard);
        let end = released + STRANDED.as_nanos() as u64;
        while acquired.load(Relaxed) == 0 && sys::now() < end {
            std::thread::sleep(Duration::from_micros(100));
        }
        let got_it = acquired.load(Relaxed);
        sys::unpin();
        drop(second); // killed, if it sleeps still
        if is_as_meant {
            return if got_it == 0 { STRANDED.as_micros() as f64 } else { (got_it - released) as f64 / 1e3 };
        }
    }
    f64::NAN
}
