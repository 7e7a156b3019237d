//! Whether a lock or a read becomes dearer as processes, segments or elements become more.

use std::cell::Cell;
use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use robust_shm::{SharedArray, SharedValue, unique_name};

use crate::effort::Effort;
use crate::report::{Bar, Limit, Part, Row, median};
use crate::sys::{self, Child, Shared};

const ROUNDS: usize = 15;
const STEPS: [usize; 4] = [1, 10, 100, 1_000];
const TIMES: u32 = 100_000;

/// What counts as flat, from the least to the most.
const FLAT: f64 = 1.15;

const LOCK: &str = "lock, add one";
const GET: &str = "get";
const OPEN: &str = "open, close";
const CREATE: &str = "create, remove";

pub fn measure(effort: Effort) -> Part {
    let how = format!(
        "{} rounds; processor time; pinned to the second core; ÷ std: in proportion to std::sync::Mutex in the same rounds, so that the \
         machine's own changes cancel",
        effort.rounds(ROUNDS)
    );
    let mut part = Part { name: "scaling", how, rows: Vec::new(), bars: Vec::new() };
    sys::raise_file_limit();
    sys::pin(1);
    if effort.wants("attached processes") {
        processes(&mut part, effort);
    }
    if effort.wants("segments in the process") {
        segments(&mut part, effort);
    }
    if effort.wants("elements in the array") {
        elements(&mut part, effort);
    }
    sys::unpin();
    bars(&mut part);
    part
}

/// Children that have it open and sleep.
fn processes(part: &mut Part, effort: Effort) {
    let value = SharedValue::create(&unique_name("peers"), 0u64).expect("a new name");
    let attached = Shared::<AtomicU64>::new();
    let mut children = Vec::new();
    for &step in effort.cases(&STEPS, 3) {
        while children.len() + 1 < step {
            children.push(Child::fork(|| {
                let _own = SharedValue::<u64>::open(value.name()).expect("the parent holds it");
                attached.fetch_add(1, Relaxed);
                loop {
                    std::thread::sleep(Duration::from_secs(1_000));
                }
            }));
        }
        sys::wait_until("the children", || attached.load(Relaxed) == children.len() as u64);
        of_value(part, "attached processes", step, &value, effort);
    }
    // All at once: one after the other would wait for each.
    children.iter().for_each(Child::kill);
    children.into_iter().for_each(Child::wait_killed);
}

fn segments(part: &mut Part, effort: Effort) {
    let mut segments = Vec::new();
    for &step in effort.cases(&STEPS, 3) {
        segments.resize_with(step, || SharedValue::create(&unique_name("peers"), 0u64).expect("a new name"));
        of_value(part, "segments in the process", step, &segments[step / 2], effort);
    }
}

fn of_value(part: &mut Part, what: &str, at: usize, value: &SharedValue<u64>, effort: Effort) {
    let fresh = unique_name("peers");
    let lock = || *black_box(value).lock().expect("never poisoned") += 1;
    let get = || _ = black_box(black_box(value).get());
    let open = || drop(SharedValue::<u64>::open(value.name()).expect("it exists"));
    let create = || drop(SharedValue::create(&fresh, 0u64).expect("a new name"));
    point(part, &format!("{what}: {LOCK}"), at, TIMES, effort, lock);
    point(part, &format!("{what}: {GET}"), at, TIMES, effort, get);
    point(part, &format!("{what}: {OPEN}"), at, 50, effort, open);
    point(part, &format!("{what}: {CREATE}"), at, 50, effort, create);
}

fn elements(part: &mut Part, effort: Effort) {
    fn one<const N: usize>(part: &mut Part, effort: Effort) {
        let array = SharedArray::<u64, N>::create(&unique_name("peers")).expect("a new name");
        let add = || black_box(&array).lock().expect("nobody died")[N / 2] += 1;
        point(part, &format!("elements in the array: {LOCK}"), N, TIMES, effort, add);
        let load = || _ = black_box(black_box(&array).get(N / 2).expect("nobody died"));
        point(part, "elements in the array: load", N, TIMES, effort, load);
    }
    one::<1>(part, effort);
    one::<10>(part, effort);
    one::<100>(part, effort);
    one::<1_000>(part, effort);
    one::<100_000>(part, effort);
    one::<10_000_000>(part, effort);
}

fn point(part: &mut Part, case: &str, at: usize, times: u32, effort: Effort, mut operation: impl FnMut()) {
    let std = Mutex::new(0u64);
    let (mut rounds, mut ratios) = (Vec::new(), Vec::new());
    for round in 0..=effort.rounds(ROUNDS) {
        let ours = time(times, &mut operation);
        let reference = time(TIMES, &mut || *black_box(&std).lock().expect("no panic") += 1);
        // The first round only warms up.
        if round > 0 {
            rounds.push(ours);
            ratios.push(ours / reference);
        }
    }
    let more = vec![("÷ std", median(&ratios))];
    part.rows.push(Row { at: Some(at as u64), more, ..Row::new(case, &at.to_string(), "ns", rounds) });
}

fn time(times: u32, operation: &mut impl FnMut()) -> f64 {
    let done = Cell::new(0);
    let start = sys::own_time();
    while done.get() < times {
        operation();
        done.set(done.get() + 1);
    }
    (sys::own_time() - start) as f64 / f64::from(times)
}

fn bars(part: &mut Part) {
    part.rows.sort_by(|a, b| a.case.cmp(&b.case));
    let mut bars = Vec::new();
    for series in part.rows.chunk_by(|a, b| a.case == b.case) {
        let (least, most) = (&series[0], &series[series.len() - 1]);
        let what = format!("{}: {} ÷ {}", least.case, most.who, least.who);
        bars.push(Bar { what, figure: most.more("÷ std") / least.more("÷ std"), limit: Limit::AtMost(FLAT) });
    }
    part.bars = bars;
}
