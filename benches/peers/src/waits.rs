//! Waiting for a change of a value, and for a condition of a lock: how fast it is handed over, what locking costs beside
//! somebody who waits, and what one who waits costs.

use std::cell::Cell;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use robust_shm::{SharedArray, SharedEvent, SharedLock, SharedSemaphore, SharedValue, unique_name};

use crate::effort::Effort;
use crate::events::{BOUNDED, BareFutex, FUTEX, Play, Signal, play, to_and_fro_of};
use crate::foreign;
use crate::peers::PthreadCondition;
use crate::report::{Bar, Limit, Part, Row};
use crate::sys::{self, Child, Shared, Used};
use crate::uncontended::{Field, rows};

const IDLE_ROUNDS: usize = 3;
const IDLE_MS: u64 = 10_000;

const CHANGE: &str = "SharedValue::wait_newer";
const CONDITION: &str = "SharedArray and its condition";
const PYTHON: &str = "Python multiprocessing.Condition";
const VALUE: &str = "lock and unlock a value";
const LOCK: &str = "lock and unlock a lock";
const ALONE: &str = "Shared, nobody waits";
const WATCHED: &str = "Shared, beside a sleeping watcher";
const AWAITED: &str = "Shared, beside one who waits for its condition";
const IDLE: &str = "a wait of 10 s";

fn name() -> String {
    unique_name("peers")
}

/// A value whose commits are waited for: nothing need be cleared.
struct Change {
    value: SharedValue<u64>,
    seen: Cell<u64>,
}

impl Signal for Change {
    const WHO: &'static str = CHANGE;

    fn create() -> Self {
        Self { value: SharedValue::create(&name(), 0).expect("a new name"), seen: Cell::new(0) }
    }

    #[inline]
    fn set(&self) {
        self.value.update(|number| *number += 1).expect("a thread that can lock");
    }

    #[inline]
    fn wait_and_clear(&self) {
        let mut seen = self.seen.get();
        self.value.wait_newer(&mut seen).expect("a thread that can lock");
        self.seen.set(seen);
    }
}

struct Condition(SharedArray<u64, 1>);

impl Signal for Condition {
    const WHO: &'static str = CONDITION;

    fn create() -> Self {
        Self(SharedArray::create(&name()).expect("a new name"))
    }

    #[inline]
    fn set(&self) {
        let mut guard = self.0.lock().expect("nobody dies");
        guard[0] = 1;
        self.0.condvar().notify_one(&guard);
    }

    #[inline]
    fn wait_and_clear(&self) {
        let guard = self.0.lock().expect("nobody dies");
        let mut guard = self.0.condvar().wait_while(guard, |is_set| is_set[0] == 0).expect("nobody dies");
        guard[0] = 0;
    }
}

pub fn measure(effort: Effort) -> Part {
    let mut part = Part { name: "waits", how: how(effort), rows: Vec::new(), bars: Vec::new() };
    for cores in [2, 1].into_iter().filter(|cores| *cores <= sys::cores()) {
        let on = format!("to and fro, {cores} core{}", if cores == 1 { "" } else { "s" });
        changes(&mut part, &format!("a change {on}"), cores, effort);
        conditions(&mut part, &format!("a condition {on}"), cores, effort);
    }
    beside_sleepers(&mut part, effort);
    if effort.wants(IDLE) {
        part.rows.extend(idle(effort));
        for row in part.rows.iter().filter(|row| row.case == IDLE) {
            let what = format!("{IDLE}: {}, µs of processor time", row.who);
            part.bars.push(Bar { what, figure: row.median(), limit: Limit::AtMost(1_000.0) });
        }
    }
    part
}

fn how(effort: Effort) -> String {
    format!(
        "to and fro: as part `events`, by commits to two values, and by two arrays with a flag and a condition; beside a sleeper: \
         processor time of one process, pinned to the second core; {IDLE}: {} ms, {} rounds, all kinds at once, one process each",
        effort.ms(IDLE_MS),
        effort.rounds(IDLE_ROUNDS)
    )
}

const PTHREAD: &str = PthreadCondition::<false>::WHO;
const ROBUST: &str = PthreadCondition::<true>::WHO;

fn changes(part: &mut Part, case: &str, cores: usize, effort: Effort) {
    if !effort.wants(case) {
        return;
    }
    let contenders: [(&str, Play); 4] = [
        (CHANGE, play::<Change>),
        (FUTEX, play::<BareFutex<false>>),
        (BOUNDED, play::<BareFutex<true>>),
        (PTHREAD, play::<PthreadCondition<false>>),
    ];
    part.rows.extend(to_and_fro_of(case, cores, effort, &contenders));
    part.bar(case, CHANGE, FUTEX, Limit::AtMost(if cores == 1 { 1.3 } else { 1.2 }));
    part.bar(case, CHANGE, PTHREAD, Limit::AtMost(0.9));
}

fn conditions(part: &mut Part, case: &str, cores: usize, effort: Effort) {
    if !effort.wants(case) {
        return;
    }
    let contenders: [(&str, Play); 4] = [
        (CONDITION, play::<Condition>),
        (FUTEX, play::<BareFutex<false>>),
        (PTHREAD, play::<PthreadCondition<false>>),
        (ROBUST, play::<PthreadCondition<true>>),
    ];
    part.rows.extend(to_and_fro_of(case, cores, effort, &contenders));
    part.rows.extend(foreign::python_condition(case, cores, effort));
    part.bar(case, CONDITION, ROBUST, Limit::AtMost(if cores == 1 { 0.75 } else { 1.0 }));
    part.bar(case, CONDITION, PYTHON, Limit::AtMost(0.1));
}

fn beside_sleepers(part: &mut Part, effort: Effort) {
    let [free, watched] = [(); 2].map(|()| SharedValue::create(&name(), 0u64).expect("a new name"));
    let [unwatched, awaited] = [(); 2].map(|()| SharedLock::create(&name()).expect("a new name"));
    let waiting = Shared::<[AtomicU64; 2]>::new();
    let watcher = Child::fork(|| {
        waiting[0].store(1, Relaxed);
        let _ = watched.wait_while(|number| *number == 0);
    });
    let waiter = Child::fork(|| {
        waiting[1].store(1, Relaxed);
        let _ = awaited.condvar().wait(awaited.lock().expect("nobody dies"));
    });
    for (child, waits) in [(&watcher, &waiting[0]), (&waiter, &waiting[1])] {
        sys::wait_until("a sleeper", || waits.load(Relaxed) == 1 && child.asleep());
    }
    let mut field = Field(Vec::new());
    field.add(VALUE, ALONE, || drop(black_box(&free).lock().unwrap()));
    field.add(VALUE, WATCHED, || drop(black_box(&watched).lock().unwrap()));
    field.add(LOCK, ALONE, || drop(black_box(&unwatched).lock().unwrap()));
    field.add(LOCK, AWAITED, || drop(black_box(&awaited).lock().unwrap()));
    field.0.retain(|contender| effort.wants(contender.case));
    sys::pin(1);
    part.rows.extend(rows(field, effort));
    sys::unpin();
    part.bar(VALUE, WATCHED, ALONE, Limit::AtMost(2.5));
    part.bar(LOCK, AWAITED, ALONE, Limit::AtMost(2.5));
    drop((watcher, waiter)); // killed: they wait for what does not come
}

/// What each kind of waiter takes.
fn idle(effort: Effort) -> Vec<Row> {
    const WHO: [&str; 4] = [CHANGE, "SharedLock's condition", "SharedEvent::wait", "SharedSemaphore::acquire"];
    let mut found = [const { Vec::new() }; 4];
    for _ in 0..effort.rounds(IDLE_ROUNDS) {
        let value = SharedValue::create(&name(), 0u64).expect("a new name");
        let lock = SharedLock::create(&name()).expect("a new name");
        let event = SharedEvent::create(&name()).expect("a new name");
        let semaphore = SharedSemaphore::create(&name(), 1).expect("a new name");
        let permit = semaphore.acquire().expect("a free one");
        let waits: [&dyn Fn(); 4] = [
            &|| _ = value.wait_while(|number| *number == 0).unwrap(),
            &|| drop(lock.condvar().wait(lock.lock().unwrap()).unwrap()),
            &|| event.wait().unwrap(),
            &|| drop(semaphore.acquire().unwrap()),
        ];
        let notes = Shared::<[AtomicU64; 8]>::new();
        let children: Vec<Child> = (0..4)
            .map(|which| {
                Child::fork(|| {
                    // What the first lock of a process costs is not part of the wait.
                    drop(value.lock().unwrap());
                    notes[which].store(1, Relaxed);
                    let before = Used::so_far();
                    waits[which]();
                    notes[4 + which].store(Used::so_far().since(before).cpu_ns, Relaxed);
                })
            })
            .collect();
        sys::wait_until("the waiters", || {
            (0..4).all(|which| notes[which].load(Relaxed) == 1 && children[which].asleep())
        });
        std::thread::sleep(Duration::from_millis(effort.ms(IDLE_MS)));
        value.set(1).expect("a thread that can lock");
        lock.condvar().notify_one(&lock.lock().expect("nobody dies"));
        event.set().expect("a thread that can lock");
        drop(permit);
        children.into_iter().for_each(Child::wait);
        for (which, figures) in found.iter_mut().enumerate() {
            figures.push(notes[4 + which].load(Relaxed) as f64 / 1e3);
        }
    }
    WHO.iter().zip(found).map(|(who, figures)| Row::new(IDLE, who, "µs of processor time", figures)).collect()
}
