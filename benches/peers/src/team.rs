//! Processes that do the same for a while, started and stopped together, and what each of them found.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::sys::{self, Child, Shared, Used, Zeroed};

/// The most processes of a team.
pub const MOST: usize = 20;

/// Times of waits are sorted into classes, so many for each doubling.
const STEPS: u64 = 32;
const CLASSES: usize = STEPS as usize * 40;

/// What one process writes down, in memory that the parent reads afterwards.
#[repr(C, align(128))]
pub struct Sheet {
    pub operations: AtomicU64,
    pub cpu_ns: AtomicU64,
    pub switches: AtomicU64,
    waits: [AtomicU64; CLASSES],
}

#[repr(C, align(128))]
struct Whistle {
    ready: AtomicU64,
    /// Written twice: read by everybody in every operation, so alone in its line.
    state: Alone,
}

#[repr(C, align(128))]
struct Alone(AtomicU64);

#[repr(C)]
struct Board {
    whistle: Whistle,
    sheets: [Sheet; MOST],
}

// SAFETY: atomics only.
unsafe impl Zeroed for Board {}

const WAITING: u64 = 0;
const RUNNING: u64 = 1;
const OVER: u64 = 2;

impl Sheet {
    /// Notes a wait.
    pub fn waited(&self, ns: u64) {
        add(&self.waits[class(ns)], 1);
    }
}

fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Relaxed) + more, Relaxed);
}

/// The class of a time: its leading bit and the five bits after it.
fn class(ns: u64) -> usize {
    let ns = ns.max(STEPS);
    let doubling = ns.ilog2() - STEPS.ilog2();
    let step = (ns >> doubling) - STEPS;
    (u64::from(doubling) * STEPS + step).min(CLASSES as u64 - 1) as usize
}

/// Where a class begins.
fn beginning(class: usize) -> f64 {
    let (doubling, step) = (class as u64 / STEPS, class as u64 % STEPS);
    (STEPS + step) as f64 * 2f64.powi(doubling as i32)
}

/// What a member of a team has at hand.
pub struct Member<'a> {
    pub which: usize,
    pub sheet: &'a Sheet,
    whistle: &'a Whistle,
}

impl Member<'_> {
    /// Says that this process is ready, and waits for the others.
    pub fn ready(&self) {
        self.whistle.ready.fetch_add(1, Relaxed);
        sys::wait_until("the start", || self.whistle.state.0.load(Relaxed) != WAITING);
    }

    #[inline]
    pub fn over(&self) -> bool {
        self.whistle.state.0.load(Relaxed) == OVER
    }

    /// Runs `operation` until the end of the time, and writes down how often and what it took.
    #[inline]
    pub fn repeat(&self, mut operation: impl FnMut(u64)) {
        self.ready();
        let before = Used::so_far();
        let mut operations = 0;
        while !self.over() {
            operation(operations);
            operations += 1;
            self.sheet.operations.store(operations, Relaxed);
        }
        let used = Used::so_far().since(before);
        self.sheet.cpu_ns.store(used.cpu_ns, Relaxed);
        self.sheet.switches.store(used.switches, Relaxed);
    }
}

/// What a team did.
pub struct Outcome {
    pub seconds: f64,
    /// How often each member did it.
    pub operations: Vec<u64>,
    pub cpu_ns: u64,
    pub switches: u64,
    waits: Vec<u64>,
}

impl Outcome {
    pub fn total(&self) -> u64 {
        self.operations.iter().sum()
    }

    pub fn rate(&self) -> f64 {
        self.total() as f64 / self.seconds
    }

    /// The least of a process in proportion to the most: 1 when all had the same.
    pub fn fairness(&self) -> f64 {
        let most = self.operations.iter().max().copied().unwrap_or(0);
        self.operations.iter().min().copied().unwrap_or(0) as f64 / most.max(1) as f64
    }

    pub fn cpu_per_operation(&self) -> f64 {
        self.cpu_ns as f64 / self.total().max(1) as f64
    }

    /// The time that this share of the sampled waits stayed below.
    pub fn wait(&self, share: f64) -> f64 {
        let all: u64 = self.waits.iter().sum();
        let mut left = all as f64 * share;
        for (class, &count) in self.waits.iter().enumerate().filter(|(_, count)| **count > 0) {
            if left <= count as f64 {
                let (from, to) = (beginning(class), beginning(class + 1));
                return from + (to - from) * left / count as f64;
            }
            left -= count as f64;
        }
        f64::NAN
    }
}

/// Runs `role` in so many processes for so long. The roles call [`Member::repeat`] once. `meanwhile` runs in the parent.
pub fn run(members: usize, ms: u64, role: impl Fn(&Member)) -> Outcome {
    assert!(members <= MOST);
    let board = Shared::<Board>::new();
    let member = |which: usize| Member { which, sheet: &board.sheets[which], whistle: &board.whistle };
    let children: Vec<Child> = (0..members).map(|which| Child::fork(|| role(&member(which)))).collect();
    sys::wait_until("all members", || board.whistle.ready.load(Relaxed) == members as u64);
    // Longer than the members' naps, so that all of them start at once or nearly.
    std::thread::sleep(std::time::Duration::from_millis(1));
    let start = sys::now();
    board.whistle.state.0.store(RUNNING, Relaxed);
    std::thread::sleep(std::time::Duration::from_millis(ms));
    board.whistle.state.0.store(OVER, Relaxed);
    let seconds = (sys::now() - start) as f64 / 1e9;
    children.into_iter().for_each(Child::wait);
    outcome(&board.sheets[..members], seconds)
}

fn outcome(sheets: &[Sheet], seconds: f64) -> Outcome {
    let sum = |of: fn(&Sheet) -> &AtomicU64| sheets.iter().map(|sheet| of(sheet).load(Relaxed)).sum();
    let class_sum = |class: usize| sheets.iter().map(|sheet| sheet.waits[class].load(Relaxed)).sum();
    Outcome {
        seconds,
        operations: sheets.iter().map(|sheet| sheet.operations.load(Relaxed)).collect(),
        cpu_ns: sum(|sheet| &sheet.cpu_ns),
        switches: sum(|sheet| &sheet.switches),
        waits: (0..CLASSES).map(class_sum).collect(),
    }
}
