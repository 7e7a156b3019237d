//! A lock that several processes want: throughput, fairness, waits and processor time.

use std::cell::Cell;

use robust_shm::SharedValue;

use crate::effort::Effort;
use crate::peers::{NumberBesideLock, Peer, PthreadRobust, PthreadShared, RawSync, step_ns, work};
use crate::report::{Limit, Part, Row, median};
use crate::sys;
use crate::team::{self, Outcome};

const PROCESSES: [usize; 3] = [2, 4, 16];
/// Steps of arithmetic under the lock.
const WORK: [u64; 4] = [0, 50, 500, 5_000];
/// Steps of arithmetic between unlocking and locking again.
const THINK: [u64; 3] = [0, 500, 5_000];

/// One in so many waits is timed, so that reading the clock does not become what is measured.
const SAMPLE: u64 = 16;

const ROUNDS: usize = 5;
const MS: u64 = 150;
/// With many processes on few cores: time slices are milliseconds, and whether all get their share shows after many.
const MS_OF_MANY: u64 = 400;

/// A noisy figure's verdict: two that are the same are called so.
const NOISE: f64 = 0.95;

#[derive(Clone, Copy)]
struct Case {
    processes: usize,
    work: u64,
    think: u64,
}

impl Case {
    fn ms(self) -> u64 {
        if self.processes > 4 { MS_OF_MANY } else { MS }
    }

    fn name(self) -> String {
        format!("{} processes, work {}, think {}", self.processes, self.work, self.think)
    }
}

type Run = fn(Case, u64) -> Outcome;

struct Contender {
    who: &'static str,
    run: Run,
}

fn contender<P: Peer>() -> Contender {
    Contender { who: P::WHO, run: contend::<P> }
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
    let mut part = Part { name: "contention", how: how(effort), rows: Vec::new(), bars: Vec::new() };
    for cell in cells(effort).into_iter().filter(|cell| effort.wants(&cell.name())) {
        measure_cell(&mut part, cell, effort);
    }
    part.how += &noise(&part);
    part
}

/// How far apart the same is: `raw_sync` is the process-shared pthread mutex, and with work under the lock nothing else.
fn noise(part: &Part) -> String {
    let worked = part.rows.iter().filter(|row| row.who == RawSync::WHO && row.case.contains("work 5"));
    let mut ratios: Vec<f64> = worked
        .filter_map(|row| Some(row.over(part.row(&row.case, PthreadShared::WHO)?)))
        .filter(|ratio| ratio.is_finite())
        .collect();
    ratios.sort_by(f64::total_cmp);
    let (Some(least), Some(most)) = (ratios.get(ratios.len() / 10), ratios.get(ratios.len() * 9 / 10)) else {
        return String::new();
    };
    format!(
        "; noise: the same mutex twice, raw_sync ÷ pthread shared, is {least:.2} to {most:.2} in four of five cells with work"
    )
}

fn how(effort: Effort) -> String {
    format!(
        "{} rounds over all contenders, {} ms each, {} with 16 processes; process i pinned to core i modulo {}; work (under the lock) and think \
         (between) in steps of dependent arithmetic of {:.2} ns; one wait in {SAMPLE} timed",
        effort.rounds(ROUNDS),
        effort.ms(MS),
        effort.ms(MS_OF_MANY),
        sys::cores(),
        step_ns()
    )
}

fn cells(effort: Effort) -> Vec<Case> {
    let mut cells = Vec::new();
    for &processes in effort.cases(&PROCESSES, 1) {
        for &work in effort.cases(&WORK, 2) {
            for &think in effort.cases(&THINK, 1) {
                cells.push(Case { processes, work, think });
            }
        }
    }
    cells
}

fn measure_cell(part: &mut Part, cell: Case, effort: Effort) {
    let contenders = contenders();
    let mut outcomes: Vec<Vec<Outcome>> = contenders.iter().map(|_| Vec::new()).collect();
    for _ in 0..effort.rounds(ROUNDS) {
        for (which, contender) in contenders.iter().enumerate() {
            outcomes[which].push((contender.run)(cell, effort.ms(cell.ms())));
        }
    }
    for (contender, outcomes) in contenders.iter().zip(&outcomes) {
        part.rows.push(row(cell, contender, outcomes));
    }
    bars(part, &cell.name());
}

/// All processes do the same until the time is over. Nobody may have lost an addition.
fn contend<P: Peer>(cell: Case, ms: u64) -> Outcome {
    let peer = P::create();
    let outcome = team::run(cell.processes, ms, |member| {
        sys::pin(member.which);
        let own = peer.attach();
        member.repeat(|turn| {
            let sampled = turn % SAMPLE == 0;
            let before = if sampled { sys::now() } else { 0 };
            let waited = Cell::new(0);
            own.locked(|number| {
                if sampled {
                    waited.set(sys::now() - before);
                }
                *number += 1;
                work(cell.work);
            });
            if sampled {
                member.sheet.waited(waited.get());
            }
            work(cell.think);
        });
    });
    assert_eq!(peer.number(), outcome.total(), "{} lost an addition", P::WHO);
    outcome
}

fn row(cell: Case, contender: &Contender, outcomes: &[Outcome]) -> Row {
    let median_of = |figure: fn(&Outcome) -> f64| median(&outcomes.iter().map(figure).collect::<Vec<_>>());
    let more = vec![
        ("fairness", median_of(Outcome::fairness)),
        ("p50", median_of(|outcome| outcome.wait(0.5))),
        ("p99", median_of(|outcome| outcome.wait(0.99))),
        ("p99.9", median_of(|outcome| outcome.wait(0.999))),
        ("cpu", median_of(Outcome::cpu_per_operation)),
        ("switches/op", median_of(|outcome| outcome.switches as f64 / outcome.total().max(1) as f64)),
    ];
    let rates = outcomes.iter().map(Outcome::rate).collect();
    Row { more, ..Row::new(&cell.name(), contender.who, "op/s", rates) }
}

fn bars(part: &mut Part, case: &str) {
    let best =
        part.rows.iter().filter(|row| row.case == case && !row.ours).max_by(|a, b| a.median().total_cmp(&b.median()));
    let best = best.expect("peers were measured").who.clone();
    for ours in [NumberBesideLock::WHO, SharedValue::<u64>::WHO] {
        part.bar(case, ours, &best, Limit::AtLeast(0.95));
        part.bar(case, ours, PthreadRobust::WHO, Limit::AtLeast(1.0));
        fairness(part, case, ours);
    }
}

fn fairness(part: &mut Part, case: &str, ours: &str) {
    let of = |who| part.row(case, who).map_or(f64::NAN, |row| row.more("fairness"));
    let figure = of(ours) / of(PthreadRobust::WHO);
    let what = format!("{case}: {ours} ÷ pthread robust, fairness");
    part.bars.push(crate::report::Bar { what, figure, limit: Limit::AtLeast(NOISE) });
}
