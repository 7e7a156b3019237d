//! The longest waits, beside those who never pause: not the means.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use robust_shm::{SharedArray, SharedRwLock, SharedSemaphore, unique_name};

use crate::effort::Effort;
use crate::report::{Bar, Limit, Part, Row, median};
use crate::sys::{self, Child, Shared};

const ROUNDS: usize = 5;
const MS: u64 = 1_000;
/// How long each of them has what it took.
const HELD: Duration = Duration::from_millis(1);

fn name() -> String {
    unique_name("peers")
}

/// What a process does again and again: until it has what it wants, and with it.
type Role<'a> = &'a dyn Fn(&dyn Fn());

/// The waits that are looked at, in nanoseconds: the longest, their sum, and how many.
#[derive(Clone, Copy)]
struct Waits {
    longest: u64,
    sum: u64,
    count: u64,
}

/// A case: its name, what may be the longest wait, in milliseconds, and how one round is measured.
struct Case {
    name: &'static str,
    who: &'static str,
    bar_ms: f64,
    run: fn(u64) -> Waits,
}

const CASES: [Case; 4] = [
    Case { name: "a reader beside 3 endless writers of 1 ms", who: "SharedRwLock::read", bar_ms: 14.0, run: reader },
    Case { name: "a writer beside 3 endless readers of 1 ms", who: "SharedRwLock::write", bar_ms: 14.0, run: writer },
    Case { name: "one of 16 who want 2 permits for 1 ms", who: "SharedSemaphore::acquire", bar_ms: 53.0, run: seeker },
    Case {
        name: "a consumer beside a greedy producer",
        who: "SharedArray and its condition",
        bar_ms: 8.0,
        run: consumer,
    },
];

pub fn measure(effort: Effort) -> Part {
    let how = format!(
        "{} rounds of {} ms; from the wish until it is had, by the clock, of all that one process waits for; the figure is the \
         longest of a round; bars: three times what those before it hold, and 5 ms; process i pinned to core i modulo the \
         number of cores",
        effort.rounds(ROUNDS),
        effort.ms(MS)
    );
    let mut part = Part { name: "worst", how, rows: Vec::new(), bars: Vec::new() };
    for case in CASES.into_iter().filter(|case| effort.wants(case.name)) {
        let found: Vec<Waits> = (0..effort.rounds(ROUNDS)).map(|_| (case.run)(effort.ms(MS))).collect();
        let of = |figure: fn(&Waits) -> f64| found.iter().map(figure).collect::<Vec<_>>();
        let longest = of(|waits| waits.longest as f64 / 1e6);
        let most = longest.iter().copied().fold(0.0, f64::max);
        let more = vec![
            ("of all", most),
            ("mean", median(&of(|waits| waits.sum as f64 / waits.count.max(1) as f64 / 1e6))),
            ("waits", median(&of(|waits| waits.count as f64))),
        ];
        part.rows.push(Row { more, ..Row::new(case.name, case.who, "ms, the longest", longest) });
        let what = format!("{}: {}, ms, the longest of all", case.name, case.who);
        part.bars.push(Bar { what, figure: most, limit: Limit::AtMost(case.bar_ms) });
    }
    part
}

fn reader(ms: u64) -> Waits {
    let lock = SharedRwLock::create(&name()).expect("a new name");
    let writes: Role<'_> = &|had| lock.write().map(|_guard| had()).expect("nobody dies");
    beside(ms, 3, writes, &|had| lock.read().map(|_guard| had()).expect("nobody dies"))
}

fn writer(ms: u64) -> Waits {
    let lock = SharedRwLock::create(&name()).expect("a new name");
    let reads: Role<'_> = &|had| lock.read().map(|_guard| had()).expect("nobody dies");
    beside(ms, 3, reads, &|had| lock.write().map(|_guard| had()).expect("nobody dies"))
}

fn seeker(ms: u64) -> Waits {
    let semaphore = SharedSemaphore::create(&name(), 2).expect("a new name");
    let takes: Role<'_> = &|had| semaphore.acquire().map(|_permit| had()).expect("nobody dies");
    beside(ms, 15, takes, takes)
}

/// The producer takes the lock again as soon as it has released it; there is room for two.
fn consumer(ms: u64) -> Waits {
    let items = SharedArray::<u64, 1>::create(&name()).expect("a new name");
    let puts: Role<'_> = &|had| {
        let guard = items.lock().expect("nobody dies");
        let (mut guard, _) =
            items.condvar_at(1).wait_while_for(guard, HELD, |items| items[0] == 2).expect("nobody dies");
        guard[0] = (guard[0] + 1).min(2);
        items.condvar().notify_one(&guard);
        had();
    };
    beside(ms, 1, puts, &|had| {
        let guard = items.lock().expect("nobody dies");
        // The producer may have ended.
        let (mut guard, timeout) =
            items.condvar().wait_while_for(guard, 500 * HELD, |items| items[0] == 0).expect("nobody dies");
        if timeout.timed_out() {
            return;
        }
        guard[0] -= 1;
        items.condvar_at(1).notify_one(&guard);
        had();
    })
}

/// So many do the one thing without a pause and keep for a while what they have; one does the other thing and is looked at.
fn beside(ms: u64, others: usize, endless: Role<'_>, looked_at: Role<'_>) -> Waits {
    let notes = Shared::<[AtomicU64; 5]>::new();
    let [is_over, ready, longest, sum, count] = &*notes;
    let over = || is_over.load(Relaxed) != 0;
    let mut children: Vec<Child> = (0..others)
        .map(|which| {
            Child::fork(|| {
                sys::pin(which);
                ready.fetch_add(1, Relaxed);
                while !over() {
                    endless(&|| std::thread::sleep(HELD));
                }
            })
        })
        .collect();
    sys::wait_until("the others", || ready.load(Relaxed) == others as u64);
    children.push(Child::fork(|| {
        sys::pin(others);
        while !over() {
            let before = sys::now();
            looked_at(&|| {
                let waited = sys::now() - before;
                longest.fetch_max(waited, Relaxed);
                sum.fetch_add(waited, Relaxed);
                count.fetch_add(1, Relaxed);
            });
            std::thread::sleep(HELD);
        }
    }));
    std::thread::sleep(Duration::from_millis(ms));
    is_over.store(1, Relaxed);
    children.into_iter().for_each(Child::wait);
    Waits { longest: longest.load(Relaxed), sum: sum.load(Relaxed), count: count.load(Relaxed) }
}
