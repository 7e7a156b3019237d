//! A lock that several processes want: throughput, fairness, waits and processor time, and how long somebody waits who
//! comes now and then and wants it once.

use std::cell::Cell;
use std::time::Duration;

use robust_shm::SharedValue;

use crate::effort::Effort;
use crate::peers::{
    NumberBesideFile, NumberBesideLock, NumberBesideOsMutex, Peer, PthreadRobust, PthreadShared, RawSync, step_ns, work,
};
use crate::report::{Bar, Limit, Part, Row, median};
use crate::starvation::Random;
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
/// For the one who comes now and then: about 130 visits.
const MS_OF_VISITS: u64 = 300;
const LEAST_PAUSE: Duration = Duration::from_micros(500);
const MOST_PAUSE: Duration = Duration::from_millis(4);
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

    /// Of the best peer's. In one case that peer lets one process run on: see the README.
    fn throughput_bar(self) -> f64 {
        if (self.processes, self.work, self.think) == (16, 5_000, 0) { 0.92 } else { 0.95 }
    }

    fn name(self) -> String {
        format!("{} processes, work {}, think {}", self.processes, self.work, self.think)
    }
}

type Run = fn(Case, u64) -> Outcome;

struct Contender {
    who: &'static str,
    run: Run,
    once: Run,
}

fn contender<P: Peer>() -> Contender {
    Contender { who: P::WHO, run: contend::<P>, once: visit::<P> }
}

fn contenders() -> [Contender; 7] {
    [
        contender::<NumberBesideLock>(),
        contender::<SharedValue<u64>>(),
        contender::<NumberBesideFile>(),
        contender::<NumberBesideOsMutex>(),
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
         (between) in steps of dependent arithmetic of {:.2} ns; one wait in {SAMPLE} timed; once: beside them one that wants the \
         lock after pauses of {LEAST_PAUSE:?} to {MOST_PAUSE:?}, in {} ms; times in ns",
        effort.rounds(ROUNDS),
        effort.ms(MS),
        effort.ms(MS_OF_MANY),
        sys::cores(),
        step_ns(),
        effort.ms(MS_OF_VISITS)
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
        let visits = (contender.once)(cell, effort.ms(MS_OF_VISITS));
        part.rows.push(row(cell, contender, outcomes, &visits));
    }
    bars(part, cell);
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

/// All processes do the same, but for one more that wants the lock once, after a pause. Its waits alone are noted, all of
/// them.
fn visit<P: Peer>(cell: Case, ms: u64) -> Outcome {
    let peer = P::create();
    team::run(cell.processes + 1, ms, |member| {
        sys::pin(member.which);
        let own = peer.attach();
        let mut random = Random(1);
        let is_visitor = member.which == cell.processes;
        member.repeat(|_| {
            if is_visitor {
                std::thread::sleep(random.between(LEAST_PAUSE, MOST_PAUSE));
            }
            let before = if is_visitor { sys::now() } else { 0 };
            own.locked(|_| {
                if is_visitor {
                    return member.sheet.waited(sys::now() - before);
                }
                work(cell.work);
            });
            if !is_visitor {
                work(cell.think);
            }
        });
    })
}

fn row(cell: Case, contender: &Contender, outcomes: &[Outcome], visits: &Outcome) -> Row {
    let median_of = |figure: fn(&Outcome) -> f64| median(&outcomes.iter().map(figure).collect::<Vec<_>>());
    let more = vec![
        ("fairness", median_of(Outcome::fairness)),
        ("p50", median_of(|outcome| outcome.wait(0.5))),
        ("p99", median_of(|outcome| outcome.wait(0.99))),
        ("p99.9", median_of(|outcome| outcome.wait(0.999))),
        ("cpu", median_of(Outcome::cpu_per_operation)),
        ("once, p50", visits.wait(0.5)),
        ("once, longest", visits.wait(1.0)),
        ("switches/op", median_of(|outcome| outcome.switches as f64 / outcome.total().max(1) as f64)),
    ];
    let rates = outcomes.iter().map(Outcome::rate).collect();
    Row { more, ..Row::new(&cell.name(), contender.who, "op/s", rates) }
}

fn bars(part: &mut Part, cell: Case) {
    let name = cell.name();
    let case = name.as_str();
    let best =
        part.rows.iter().filter(|row| row.case == case && !row.ours).max_by(|a, b| a.median().total_cmp(&b.median()));
    let best = best.expect("peers were measured").who.clone();
    for ours in [NumberBesideLock::WHO, SharedValue::<u64>::WHO] {
        part.bar(case, ours, &best, Limit::AtLeast(cell.throughput_bar()));
        cpu(part, cell, ours, &best);
        part.bar(case, ours, PthreadRobust::WHO, Limit::AtLeast(1.0));
        fairness(part, case, ours);
    }
}

/// Processor time per operation, beside the peer that does the most. Where sections are long and the pauses short, staying
/// awake may cost more if it keeps the longest waits short.
fn cpu(part: &mut Part, cell: Case, ours: &str, best: &str) {
    let case = cell.name();
    let over = |what| {
        let [ours, theirs] = [ours, best].map(|who| part.row(&case, who).map_or(f64::NAN, |row| row.more(what)));
        ours / theirs
    };
    let buys_short_waits = cell.work >= 5_000 && cell.think <= 500 && over("p99.9") <= 0.1;
    let limit = match cell.processes {
        2 if buys_short_waits => 1.45,
        _ if buys_short_waits => 2.2,
        _ => 1.2,
    };
    let what = format!("{case}: {ours} ÷ {best}, processor time per operation");
    part.bars.push(Bar { what, figure: over("cpu"), limit: Limit::AtMost(limit) });
}

fn fairness(part: &mut Part, case: &str, ours: &str) {
    let of = |who| part.row(case, who).map_or(f64::NAN, |row| row.more("fairness"));
    let figure = of(ours) / of(PthreadRobust::WHO);
    let what = format!("{case}: {ours} ÷ pthread robust, fairness");
    part.bars.push(Bar { what, figure, limit: Limit::AtLeast(NOISE) });
}
