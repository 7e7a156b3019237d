//! What a waiter costs while nothing happens: wake-ups and processor time.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use robust_shm::SharedValue;

use crate::effort::Effort;
use crate::peers::{NumberBesideLock, Peer, PthreadRobust, PthreadShared, RawSync};
use crate::report::{Bar, Limit, Part, Row, median};
use crate::sys::{self, Child, Shared, Used};

const ROUNDS: usize = 5;

struct Contender {
    who: &'static str,
    wait: fn(u64) -> Used,
}

fn contender<P: Peer>() -> Contender {
    Contender { who: P::WHO, wait: wait::<P> }
}

/// A wait, with what it is called.
const WAITS: [(u64, &str); 2] = [(10, "a wait of 10 ms"), (2_000, "a wait of 2 s")];

pub fn measure(effort: Effort) -> Part {
    let how = format!("{} rounds over all contenders; the waiter pinned to the second core", effort.rounds(ROUNDS));
    let mut part = Part { name: "idle", how, rows: Vec::new(), bars: Vec::new() };
    for (ms, case) in WAITS.into_iter().filter(|(_, case)| effort.wants(case)) {
        part.rows.extend(rows(effort.ms(ms), case, effort));
    }
    for row in part.rows.iter().filter(|row| row.ours) {
        // One switch is going to sleep.
        let (what, figure) = (format!("{}: {}, sleeps", row.case, row.who), row.more("sleeps"));
        part.bars.push(Bar { what, figure, limit: Limit::AtMost(2.0) });
        let peer = part.row(&row.case, PthreadRobust::WHO).expect("measured beside it");
        let what = format!("{}: {}, µs of processor time more than pthread robust", row.case, row.who);
        part.bars.push(Bar { what, figure: row.median() - peer.median(), limit: Limit::AtMost(100.0) });
    }
    part
}

fn rows(ms: u64, case: &str, effort: Effort) -> Vec<Row> {
    let contenders = [
        contender::<NumberBesideLock>(),
        contender::<SharedValue<u64>>(),
        contender::<PthreadShared>(),
        contender::<PthreadRobust>(),
        contender::<RawSync>(),
    ];
    let mut used: Vec<Vec<Used>> = contenders.iter().map(|_| Vec::new()).collect();
    for _ in 0..effort.rounds(ROUNDS) {
        for (which, contender) in contenders.iter().enumerate() {
            used[which].push((contender.wait)(ms));
        }
    }
    let row = |(contender, used): (&Contender, &Vec<Used>)| {
        let of = |figure: fn(&Used) -> f64| used.iter().map(figure).collect::<Vec<_>>();
        let more = vec![("sleeps", median(&of(|used| used.switches as f64)))];
        let cpu = of(|used| used.cpu_ns as f64 / 1e3);
        Row { more, ..Row::new(case, contender.who, "µs of processor time", cpu) }
    };
    contenders.iter().zip(&used).map(row).collect()
}

/// What one wait of so long takes.
fn wait<P: Peer>(ms: u64) -> Used {
    let (peer, notes) = (P::create(), Shared::<[AtomicU64; 3]>::new());
    let [cpu_ns, switches, waiting] = &*notes;
    let guard = peer.hold();
    let waiter = Child::fork(|| {
        sys::pin(1);
        let own = peer.attach();
        // What the first lock of a process costs is not part of the wait.
        drop(P::create().hold());
        waiting.store(1, Relaxed);
        let before = Used::so_far();
        drop(own.hold());
        let used = Used::so_far().since(before);
        cpu_ns.store(used.cpu_ns, Relaxed);
        switches.store(used.switches, Relaxed);
    });
    sys::wait_until("the waiter", || waiting.load(Relaxed) == 1);
    std::thread::sleep(Duration::from_millis(ms));
    drop(guard);
    waiter.wait();
    Used { cpu_ns: cpu_ns.load(Relaxed), switches: switches.load(Relaxed) }
}
