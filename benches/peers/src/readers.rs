//! How fast one process reads while others write.

use std::hint::black_box;

use robust_shm::SharedValue;

use crate::effort::Effort;
use crate::peers::{PthreadRobust, PthreadShared, RawSync};
use crate::report::{Limit, Part, Row, median};
use crate::stores::{Bare, Locked, MmapSync, Store};
use crate::sys;
use crate::team::{self, Outcome};

const ROUNDS: usize = 7;
const MS: u64 = 100;
const WRITERS: [usize; 3] = [0, 1, 4];
/// Reads between two looks at the clock's end.
const BATCH: u64 = 16;

const OURS: &str = "SharedValue::get";
const LOCKING: [&str; 3] = ["pthread shared", "pthread robust", "raw_sync"];

struct Contender {
    who: &'static str,
    most_writers: usize,
    run: fn(usize, u64) -> Outcome,
}

fn contender<const N: usize, S: Store<N>>(who: &'static str) -> Contender {
    Contender { who, most_writers: S::WRITERS, run: storm::<N, S> }
}

fn contenders<const N: usize>() -> Vec<Contender> {
    vec![
        contender::<N, SharedValue<[u64; N]>>(OURS),
        contender::<N, Locked<PthreadShared, N>>(LOCKING[0]),
        contender::<N, Locked<PthreadRobust, N>>(LOCKING[1]),
        contender::<N, Locked<RawSync, N>>(LOCKING[2]),
        contender::<N, MmapSync>("mmap-sync"),
        #[cfg(feature = "iceoryx2")]
        contender::<N, crate::stores::Blackboard<N>>("iceoryx2 blackboard"),
        contender::<N, Bare<N>>("floor: an unprotected copy"),
    ]
}

pub fn measure(effort: Effort) -> Part {
    let mut part = Part { name: "readers", how: how(effort), rows: Vec::new(), bars: Vec::new() };
    for writers in WRITERS {
        size::<1>(&mut part, writers, effort);
        size::<8>(&mut part, writers, effort);
        size::<512>(&mut part, writers, effort);
    }
    part
}

fn how(effort: Effort) -> String {
    let (rounds, ms) = (effort.rounds(ROUNDS), effort.ms(MS));
    let iceoryx2 = if cfg!(feature = "iceoryx2") { "" } else { "; iceoryx2 needs --features iceoryx2" };
    format!(
        "{rounds} rounds over all contenders, {ms} ms each; one reader pinned to the first core, writers without a pause pinned \
         to the others; none of our copies was torn{iceoryx2}"
    )
}

fn size<const N: usize>(part: &mut Part, writers: usize, effort: Effort) {
    let case = format!("{} bytes, {writers} writer{}", N * 8, if writers == 1 { "" } else { "s" });
    if !effort.wants(&case) {
        return;
    }
    let contenders: Vec<_> = contenders::<N>().into_iter().filter(|one| writers <= one.most_writers).collect();
    let mut outcomes: Vec<Vec<Outcome>> = contenders.iter().map(|_| Vec::new()).collect();
    for _ in 0..effort.rounds(ROUNDS) {
        for (which, contender) in contenders.iter().enumerate() {
            outcomes[which].push((contender.run)(writers, effort.ms(MS)));
        }
    }
    part.rows.extend(contenders.iter().zip(&outcomes).map(|(contender, outcomes)| row(&case, contender.who, outcomes)));
    if writers > 0 {
        LOCKING.iter().for_each(|peer| part.bar(&case, OURS, peer, Limit::AtLeast(5.0)));
    }
}

fn row(case: &str, who: &str, outcomes: &[Outcome]) -> Row {
    let reads = |outcome: &Outcome| (outcome.operations[0] * BATCH) as f64 / outcome.seconds;
    let writes = |outcome: &Outcome| outcome.operations[1..].iter().sum::<u64>() as f64 / outcome.seconds;
    let more = vec![("writes/s", median(&outcomes.iter().map(writes).collect::<Vec<_>>()))];
    Row { more, ..Row::new(case, who, "reads/s", outcomes.iter().map(reads).collect()) }
}

/// One process reads, the others write.
fn storm<const N: usize, S: Store<N>>(writers: usize, ms: u64) -> Outcome {
    let store = S::create();
    team::run(1 + writers, ms, |member| {
        if member.which == 0 {
            sys::pin(0);
            let mut own = store.attach();
            member.repeat(|_| (0..BATCH).for_each(|_| check::<N, S>(&own.read())));
        } else {
            sys::pin(1 + (member.which - 1) % (sys::cores() - 1).max(1));
            let mut own = store.attach_writer();
            member.repeat(|turn| own.write(black_box(&[turn; N])));
        }
    })
}

/// A writer writes the same number into all words.
#[inline]
fn check<const N: usize, S: Store<N>>(copy: &[u64; N]) {
    let copy = black_box(copy);
    if copy[0] != copy[N - 1] {
        let what = format!("{} tore a copy: {} and {}", std::any::type_name::<S>(), copy[0], copy[N - 1]);
        assert!(S::MAY_TEAR, "{what}");
        eprintln!("{what}");
    }
}
