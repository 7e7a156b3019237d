//! How long somebody waits who wants the lock once, while others hold it for long and come back at once.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::effort::Effort;
use crate::peers::{NumberBesideLock, Peer, PthreadRobust};
use crate::report::{Bar, Limit, Part, Row, median};
use crate::sys::{self, Child, Shared};
use crate::team::MOST;

/// What the hogs do between unlocking and locking again, in microseconds: a round has the next one.
const GAPS: [u64; 4] = [0, 5, 50, 500];
/// So many waits in all are looked at, or as many as there are until the cut.
const WAITS: u64 = 50;
const CUT: Duration = Duration::from_secs(3);

/// Hogs lock, sleep, unlock and spin for a gap; waiters want the lock after a pause, and hold it as long as a hog or not
/// at all. Beside them, processes that only want the processor.
#[derive(Clone, Copy)]
struct Case {
    holding_ms: u64,
    hogs: usize,
    waiters: usize,
    waiters_hold: bool,
    busy: usize,
    cores: usize,
}

const QUIET: Case = Case { holding_ms: 2, hogs: 1, waiters: 1, waiters_hold: false, busy: 0, cores: 2 };

impl Case {
    fn name(self) -> String {
        let Self { holding_ms, hogs, waiters, busy, cores, .. } = self;
        let plural = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let held = if self.waiters_hold { "who hold it as long" } else { "who let it go" };
        let beside = if busy > 0 { format!(", beside {busy} busy processes") } else { String::new() };
        format!(
            "{} of {holding_ms} ms, {} {held}, {}{beside}",
            plural(hogs, "hog"),
            plural(waiters, "waiter"),
            plural(cores, "core")
        )
    }

    /// Three times what those before it hold, and 5 ms.
    fn bar_ms(self) -> f64 {
        (3 * self.holding_ms * (self.hogs + self.waiters - 1) as u64 + 5) as f64
    }
}

fn cases(effort: Effort) -> Vec<Case> {
    let mut cases = Vec::new();
    for holding_ms in [2, 10] {
        for (waiters, waiters_hold) in [(1, false), (4, true), (16, false), (16, true)] {
            for cores in [1, 2] {
                cases.push(Case { holding_ms, waiters, waiters_hold, cores, ..QUIET });
            }
        }
    }
    cases.push(Case { hogs: 4, waiters: 16, waiters_hold: true, ..QUIET });
    for busy in [8, 30] {
        cases.extend([(1, false), (4, true)].map(|(waiters, waiters_hold)| Case {
            waiters,
            waiters_hold,
            busy,
            ..QUIET
        }));
    }
    effort.cases(&cases, 2).iter().copied().filter(|case| effort.wants(&case.name())).collect()
}

struct Contender {
    who: &'static str,
    run: fn(Case, u64, Duration) -> Waits,
}

fn contender<P: Peer>() -> Contender {
    Contender { who: P::WHO, run: run::<P> }
}

pub fn measure(effort: Effort) -> Part {
    let mut part = Part { name: "starvation", how: how(effort), rows: Vec::new(), bars: Vec::new() };
    for case in cases(effort) {
        part.rows.extend(rows(case, effort));
        bars(&mut part, case);
    }
    part
}

fn how(effort: Effort) -> String {
    format!(
        "the longest of {WAITS} waits in each of {} rounds over all contenders; a hog locks, sleeps, unlocks and spins for {GAPS:?} µs, a \
         waiter wants the lock after a random pause of 0.5 ms to four times the holding time; cut after {CUT:?}; process i \
         pinned to core i modulo the number of cores",
        effort.rounds(GAPS.len())
    )
}

fn rows(case: Case, effort: Effort) -> Vec<Row> {
    let contenders = [contender::<NumberBesideLock>(), contender::<PthreadRobust>()];
    let mut found: Vec<Vec<Waits>> = contenders.iter().map(|_| Vec::new()).collect();
    for round in 0..effort.rounds(GAPS.len()) {
        for (which, contender) in contenders.iter().enumerate() {
            let cut = Duration::from_millis(effort.ms(CUT.as_millis() as u64));
            found[which].push((contender.run)(case, GAPS[round % GAPS.len()], cut));
        }
    }
    let row = |(contender, found): (&Contender, &Vec<Waits>)| {
        let of = |figure: fn(&Waits) -> f64| found.iter().map(figure).collect::<Vec<_>>();
        let more = vec![("mean", median(&of(Waits::mean_ms))), ("waits", median(&of(|waits| waits.count as f64)))];
        Row { more, ..Row::new(&case.name(), contender.who, "ms", of(Waits::longest_ms)) }
    };
    contenders.iter().zip(&found).map(row).collect()
}

fn bars(part: &mut Part, case: Case) {
    let (name, ours) = (case.name(), NumberBesideLock::WHO);
    if case.busy > 0 {
        // What the scheduler takes cannot be promised.
        return part.bar(&name, ours, PthreadRobust::WHO, Limit::AtMost(1.0));
    }
    let row = part.row(&name, ours).expect("just measured");
    let figure = row.rounds.iter().copied().fold(0.0, f64::max);
    let what = format!("{name}: {ours}, ms of the longest wait in all rounds");
    part.bars.push(Bar { what, figure, limit: Limit::AtMost(case.bar_ms()) });
}

/// What the waiters of one run found.
struct Waits {
    longest: u64,
    sum: u64,
    count: u64,
}

impl Waits {
    fn longest_ms(&self) -> f64 {
        self.longest as f64 / 1e6
    }

    fn mean_ms(&self) -> f64 {
        self.sum as f64 / 1e6 / self.count.max(1) as f64
    }
}

fn run<P: Peer>(case: Case, gap_us: u64, cut: Duration) -> Waits {
    assert!(case.hogs + case.waiters <= MOST);
    let (peer, notes) = (P::create(), Shared::<[AtomicU64; 5]>::new());
    let [ready, is_over, longest, sum, count] = &*notes;
    let holding = Duration::from_millis(case.holding_ms);
    let over = || is_over.load(Relaxed) != 0;
    let start = |which: usize| {
        sys::pin(which % case.cores);
        ready.fetch_add(1, Relaxed);
    };
    let hog = |which: usize| {
        let own = peer.attach();
        start(which);
        while !over() {
            let guard = own.hold();
            std::thread::sleep(holding);
            drop(guard);
            let end = sys::now() + gap_us * 1_000;
            while sys::now() < end {}
        }
    };
    let waiter = |which: usize| {
        let own = peer.attach();
        let mut random = Random(which as u64);
        start(which);
        while !over() {
            std::thread::sleep(random.between(Duration::from_micros(500), 4 * holding));
            let before = sys::now();
            let guard = own.hold();
            let waited = sys::now() - before;
            if case.waiters_hold {
                std::thread::sleep(holding);
            }
            drop(guard);
            longest.fetch_max(waited, Relaxed);
            sum.fetch_add(waited, Relaxed);
            count.fetch_add(1, Relaxed);
        }
    };
    let busy = |which: usize| {
        start(which);
        while !over() {
            std::hint::spin_loop();
        }
    };
    let roles = [(case.busy, &busy as &dyn Fn(usize)), (case.hogs, &hog), (case.waiters, &waiter)];
    let all = roles.iter().flat_map(|(many, role)| (0..*many).map(move |_| role)).enumerate();
    let children: Vec<Child> = all.map(|(which, role)| Child::fork(|| role(which))).collect();
    sys::wait_until("all processes", || ready.load(Relaxed) == children.len() as u64);
    let end = sys::now() + cut.as_nanos() as u64;
    while sys::now() < end && count.load(Relaxed) < WAITS {
        std::thread::sleep(Duration::from_millis(1));
    }
    // Who waits still gets it now, and notes it.
    is_over.store(1, Relaxed);
    children.into_iter().for_each(Child::wait);
    Waits { longest: longest.load(Relaxed), sum: sum.load(Relaxed), count: count.load(Relaxed) }
}

/// A small random number generator, the same in every run.
pub struct Random(pub u64);

impl Random {
    pub fn between(&mut self, least: Duration, most: Duration) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 31).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let share = (mixed >> 40) as f64 / f64::from(1 << 24);
        least + (most - least).mul_f64(share)
    }
}
