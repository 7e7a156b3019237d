//! Readers side by side: alone, two at once, and what the kill of one costs who waits.

use std::cell::UnsafeCell;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Barrier, RwLock};

use robust_shm::{SharedArray, SharedLock, SharedRwLock, unique_name};

use crate::effort::Effort;
use crate::report::{Limit, Part, Row};
use crate::sys::{self, Child, Shared};
use crate::uncontended::{Field, rows};

const ROUNDS: usize = 15;
const KILLS: usize = 101;
const MS: u64 = 20;

const ONE: &str = "read one number, nobody else reads";
const TWO: &str = "read one number, two at once on two cores";
const WRITE: &str = "write one number, nobody has read";
const WRITE_READ: &str = "write one number, four have read";
const KILL: &str = "from a kill until the next one is in";
const ARRAY: &str = "SharedArray::read";
const LOCK: &str = "SharedRwLock::read";
const STD: &str = "std::sync::RwLock (one process)";
const PARKING_LOT: &str = "parking_lot::RwLock (one process)";
const PTHREAD: &str = "pthread rwlock shared";
const NO_SLOTS: &str = "SharedArray::lock, without slots";
const PLAIN: &str = "SharedArray::lock";
const AFTER_READER: &str = "SharedRwLock, a reader is killed, a writer waits";
const AFTER_WRITER: &str = "SharedRwLock, a writer is killed, a reader waits";
const AFTER_HOLDER: &str = "SharedLock, its holder is killed";

/// A `pthread_rwlock_t` in shared memory, which is told of no deaths.
struct Pthread(UnsafeCell<libc::pthread_rwlock_t>);

// SAFETY: a lock, and made for this.
unsafe impl Sync for Pthread {}

impl Pthread {
    fn create() -> Self {
        let lock = Self(UnsafeCell::new(libc::PTHREAD_RWLOCK_INITIALIZER));
        // SAFETY: all-zero bytes are room for attributes.
        let mut attributes: libc::pthread_rwlockattr_t = unsafe { std::mem::zeroed() };
        // SAFETY: room that is writable.
        unsafe { libc::pthread_rwlockattr_init(&raw mut attributes) };
        // SAFETY: initialised just now.
        unsafe { libc::pthread_rwlockattr_setpshared(&raw mut attributes, libc::PTHREAD_PROCESS_SHARED) };
        // SAFETY: a lock that nobody uses yet.
        let result = unsafe { libc::pthread_rwlock_init(lock.0.get(), &raw const attributes) };
        assert_eq!(result, 0);
        lock
    }

    fn read(&self, number: &AtomicU64) -> u64 {
        // SAFETY: initialised, and alive.
        unsafe { libc::pthread_rwlock_rdlock(self.0.get()) };
        let read = number.load(Relaxed);
        // SAFETY: this thread reads.
        unsafe { libc::pthread_rwlock_unlock(self.0.get()) };
        read
    }
}

pub fn measure(effort: Effort) -> Part {
    let mut part = Part { name: "side-by-side", how: how(effort), rows: Vec::new(), bars: Vec::new() };
    part.rows.extend(alone(effort));
    if effort.wants(TWO) {
        part.rows.extend(two(effort));
    }
    if effort.wants(KILL) {
        part.rows.extend(kills(effort));
    }
    for (case, limit) in [(ONE, 1.15), (TWO, 0.2)] {
        part.bar(case, ARRAY, STD, Limit::AtMost(limit));
        part.bar(case, LOCK, STD, Limit::AtMost(limit));
    }
    part.bar(WRITE, PLAIN, NO_SLOTS, Limit::AtMost(1.05));
    part.bar(KILL, AFTER_READER, AFTER_HOLDER, Limit::AtMost(1.2));
    part.bar(KILL, AFTER_WRITER, AFTER_HOLDER, Limit::AtMost(1.2));
    part
}

fn how(effort: Effort) -> String {
    format!(
        "{} rounds over all contenders, {} ms each; one: processor time, pinned to the second core; two: two threads, \
         the same; {} kills: from just before SIGKILL until the waiter, asleep, is in, all on one core",
        effort.rounds(ROUNDS),
        effort.ms(MS),
        effort.rounds(KILLS)
    )
}

fn array() -> SharedArray<u64, 8> {
    SharedArray::create(&unique_name("peers")).expect("a new name")
}

fn lock() -> SharedRwLock {
    SharedRwLock::create(&unique_name("peers")).expect("a new name")
}

fn alone(effort: Effort) -> Vec<Row> {
    let (array, lock, number) = (array(), lock(), AtomicU64::new(1));
    let (std, parking_lot, pthread) = (RwLock::new(1u64), parking_lot::RwLock::new(1u64), Pthread::create());
    let slots = SharedArray::<u64, 8>::options();
    let without = slots.clone().readers(0).create(&unique_name("peers")).expect("a new name");
    let unread = slots.create(&unique_name("peers")).expect("a new name");
    let was_read = self::array();
    let guards: Vec<_> = (0..4).map(|_| was_read.read().unwrap()).collect();
    drop(guards);
    let (free, of_rwlock) = (RwLock::new(0u64), self::lock());
    let mut field = Field(Vec::new());
    field.add(ONE, ARRAY, || keep(black_box(&array).read().unwrap()[0]));
    field.add(ONE, LOCK, || {
        let _reading = black_box(&lock).read().unwrap();
        keep(number.load(Relaxed));
    });
    field.add(ONE, STD, || keep(*black_box(&std).read().unwrap()));
    field.add(ONE, PARKING_LOT, || keep(*black_box(&parking_lot).read()));
    field.add(ONE, PTHREAD, || keep(black_box(&pthread).read(&number)));

    field.add(WRITE, NO_SLOTS, || black_box(&without).lock().unwrap()[0] += 1);
    field.add(WRITE, PLAIN, || black_box(&unread).lock().unwrap()[0] += 1);
    field.add(WRITE, "SharedRwLock::write", || {
        let _writing = black_box(&of_rwlock).write().unwrap();
        keep(number.load(Relaxed));
    });
    field.add(WRITE, STD, || *black_box(&free).write().unwrap() += 1);
    field.add(WRITE_READ, PLAIN, || black_box(&was_read).lock().unwrap()[0] += 1);
    field.0.retain(|contender| effort.wants(contender.case));
    sys::pin(1);
    let rows = rows(field, effort);
    sys::unpin();
    rows
}

fn keep(number: u64) {
    black_box(number);
}

fn two(effort: Effort) -> Vec<Row> {
    let (array, lock, number) = (array(), lock(), AtomicU64::new(1));
    let (std, parking_lot, pthread) = (RwLock::new(1u64), parking_lot::RwLock::new(1u64), Pthread::create());
    let contenders: [(&str, &(dyn Fn(u64) + Sync)); 5] = [
        (ARRAY, &|times| (0..times).for_each(|_| keep(black_box(&array).read().unwrap()[0]))),
        (LOCK, &|times| {
            (0..times).for_each(|_| {
                let _reading = black_box(&lock).read().unwrap();
                keep(number.load(Relaxed));
            });
        }),
        (STD, &|times| (0..times).for_each(|_| keep(*black_box(&std).read().unwrap()))),
        (PARKING_LOT, &|times| (0..times).for_each(|_| keep(*black_box(&parking_lot).read()))),
        (PTHREAD, &|times| (0..times).for_each(|_| keep(black_box(&pthread).read(&number)))),
    ];
    let times = effort.ms(MS) * 40_000;
    let mut rounds = vec![Vec::new(); contenders.len()];
    for _ in 0..effort.rounds(ROUNDS) {
        for (which, (_, run)) in contenders.iter().enumerate() {
            rounds[which].push(at_once(run, times));
        }
    }
    contenders.iter().zip(rounds).map(|((who, _), rounds)| Row::new(TWO, who, "ns", rounds)).collect()
}

/// Nanoseconds for one, with another one beside.
fn at_once(run: &(dyn Fn(u64) + Sync), times: u64) -> f64 {
    let start = Barrier::new(2);
    std::thread::scope(|scope| {
        let both = [0, 1].map(|core| {
            let start = &start;
            scope.spawn(move || {
                sys::pin(core);
                run(100);
                start.wait();
                let begun = sys::own_time();
                run(times);
                (sys::own_time() - begun) as f64 / times as f64
            })
        });
        let taken = both.map(|one| one.join().expect("no panic"));
        f64::midpoint(taken[0], taken[1])
    })
}

fn kills(effort: Effort) -> Vec<Row> {
    let contenders: [Kill; 3] = [
        (AFTER_HOLDER, || {
            let lock = SharedLock::options().poison(false).create(&unique_name("peers")).expect("a new name");
            kill(|end| lock.lock().map(|_guard| end()).unwrap(), |end| lock.lock().map(|_guard| end()).unwrap())
        }),
        (AFTER_READER, || {
            let lock = SharedRwLock::options().poison(false).create(&unique_name("peers")).expect("a new name");
            kill(|end| lock.read().map(|_guard| end()).unwrap(), |end| lock.write().map(|_guard| end()).unwrap())
        }),
        (AFTER_WRITER, || {
            let lock = SharedRwLock::options().poison(false).create(&unique_name("peers")).expect("a new name");
            kill(|end| lock.write().map(|_guard| end()).unwrap(), |end| lock.read().map(|_guard| end()).unwrap())
        }),
    ];
    let mut rounds = vec![Vec::new(); contenders.len()];
    for _ in 0..effort.rounds(KILLS) {
        for (which, (_, kill)) in contenders.iter().enumerate() {
            rounds[which].push(kill());
        }
    }
    contenders.iter().zip(rounds).map(|((who, _), rounds)| Row::new(KILL, who, "µs", rounds)).collect()
}

/// Who, and the microseconds of one kill.
type Kill = (&'static str, fn() -> f64);

/// Microseconds. `hold` and `want` take something, and call what they are given while they have it.
pub fn kill(hold: impl FnOnce(&dyn Fn()), want: impl FnOnce(&dyn Fn())) -> f64 {
    let notes = Shared::<[AtomicU64; 3]>::new();
    let [held, waiting, acquired] = &*notes;
    sys::pin(0);
    let holder = Child::fork(|| {
        hold(&|| {
            held.store(1, Relaxed);
            loop {
                std::thread::sleep(std::time::Duration::from_secs(1));
            }
        });
    });
    sys::wait_until("the holder", || held.load(Relaxed) == 1);
    let waiter = Child::fork(|| {
        waiting.store(1, Relaxed);
        want(&|| acquired.store(sys::now(), Relaxed));
    });
    sys::wait_until("the waiter", || waiting.load(Relaxed) == 1 && waiter.asleep());
    let killed = sys::now();
    holder.kill();
    waiter.wait();
    holder.wait_killed();
    sys::unpin();
    (acquired.load(Relaxed) - killed) as f64 / 1e3
}
