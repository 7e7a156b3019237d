//! A lock that nobody else wants: lock, add one, unlock.

use std::cell::Cell;
use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use posix_sync::mutex::robustness_markers::Robust;
use posix_sync::mutex::{MutexBuilder, MutexSharing};
use robust_shm::{LockKind, SharedArray, SharedLock, SharedValue, unique_name};

use crate::effort::Effort;
use crate::peers::{Flock, OfdByte, Peer, PthreadRobust, PthreadShared, RawSync};
use crate::report::{Limit, Part, Row};
use crate::{foreign, sys};

const ADD: &str = "lock, add one, unlock";
const LOCK: &str = "lock, unlock";
const TRY: &str = "try to lock, unlock";
const READ: &str = "read a u64";
const STD: &str = "std::sync::Mutex (one process)";
const FLOOR: &str = "floor: one compare-exchange, one swap";
const LOADS: &str = "floor: a pair of atomic loads";

/// One contender: runs its operation so many times.
pub struct Contender<'a> {
    pub case: &'static str,
    who: &'static str,
    run: Box<dyn FnMut(u64) + 'a>,
}

/// Contenders of which each is measured alone.
pub struct Field<'a>(pub Vec<Contender<'a>>);

impl<'a> Field<'a> {
    /// The loop is compiled once for each operation, so that nothing stands between it and the clock but one call.
    pub fn add(&mut self, case: &'static str, who: &'static str, mut operation: impl FnMut() + 'a) {
        let run = move |times| {
            for _ in 0..times {
                operation();
            }
        };
        self.0.push(Contender { case, who, run: Box::new(run) });
    }
}

pub fn measure(effort: Effort) -> Part {
    let (std, parking_lot) = (Mutex::new(0u64), parking_lot::Mutex::new(0u64));
    let value = SharedValue::create(&unique_name("peers"), 0u64).expect("a new name");
    let array = SharedArray::<u64, 8>::create(&unique_name("peers")).expect("a new name");
    let lock = SharedLock::create(&unique_name("peers")).expect("a new name");
    let kind = LockKind::File;
    let file_value = SharedValue::options().lock_kind(kind).create(&unique_name("peers"), 0u64).expect("a new name");
    let file_lock = SharedLock::options().lock_kind(kind).create(&unique_name("peers")).expect("a new name");
    let kind = LockKind::OsMutex;
    let os_value = SharedValue::options().lock_kind(kind).create(&unique_name("peers"), 0u64).expect("a new name");
    let os_lock = SharedLock::options().lock_kind(kind).create(&unique_name("peers")).expect("a new name");
    let (shared, robust, raw) = (PthreadShared::create(), PthreadRobust::create(), RawSync::create());
    let posix_sync = MutexBuilder::<Robust>::new().with_sharing(MutexSharing::Shared).build_owned();
    let file = foreign::NamedLock::create();
    let (flock, byte) = (Flock::create(), OfdByte::create());
    let (word, words) = (AtomicU64::new(0), [AtomicU64::new(1), AtomicU64::new(2)]);
    let cell = Cell::new(0u64);

    let mut field = Field(Vec::new());
    field.add(ADD, "SharedValue<u64>", || *black_box(&value).lock().unwrap() += 1);
    field.add(ADD, "SharedValue<u64>, File", || *black_box(&file_value).lock().unwrap() += 1);
    field.add(ADD, "SharedValue<u64>, OsMutex", || *black_box(&os_value).lock().unwrap() += 1);
    field.add(ADD, "SharedArray<u64, 8>", || black_box(&array).lock().unwrap()[0] += 1);
    field.add(ADD, STD, || *black_box(&std).lock().unwrap() += 1);
    field.add(ADD, "parking_lot::Mutex (one process)", || *black_box(&parking_lot).lock() += 1);
    field.add(ADD, "pthread shared", || black_box(&shared).locked(|number| *number += 1));
    field.add(ADD, "pthread robust", || black_box(&robust).locked(|number| *number += 1));
    field.add(ADD, "raw_sync", || black_box(&raw).locked(|number| *number += 1));
    field.add(ADD, "posix-sync robust", || {
        let _guard = black_box(&posix_sync).lock().unwrap();
        black_box(&cell).set(cell.get() + 1);
    });
    field.add(ADD, "named-lock", || black_box(&file).locked(|| black_box(&cell).set(cell.get() + 1)));
    field.add(ADD, Flock::WHO, || black_box(&flock).locked(|number| *number += 1));
    field.add(ADD, OfdByte::WHO, || black_box(&byte).locked(|number| *number += 1));
    field.add(ADD, FLOOR, || floor(black_box(&word)));

    field.add(LOCK, "SharedLock", || drop(black_box(&lock).lock().unwrap()));
    field.add(LOCK, "SharedLock, File", || drop(black_box(&file_lock).lock().unwrap()));
    field.add(LOCK, "SharedLock, OsMutex", || drop(black_box(&os_lock).lock().unwrap()));
    field.add(LOCK, STD, || drop(black_box(&std).lock().unwrap()));
    field.add(LOCK, "parking_lot::Mutex (one process)", || drop(black_box(&parking_lot).lock()));
    field.add(LOCK, "pthread shared", || black_box(&shared).locked(|_| ()));
    field.add(LOCK, "pthread robust", || black_box(&robust).locked(|_| ()));
    field.add(LOCK, "raw_sync", || black_box(&raw).locked(|_| ()));

    field.add(TRY, "SharedLock", || drop(black_box(&lock).try_lock().unwrap()));
    field.add(TRY, "SharedValue<u64>", || drop(black_box(&value).try_lock().unwrap()));
    field.add(TRY, STD, || drop(black_box(&std).try_lock().unwrap()));
    field.add(TRY, "pthread robust", || try_once(black_box(&robust)));

    field.add(READ, "SharedValue<u64>::get", || keep(black_box(&value).get()));
    field.add(READ, "raw_sync: lock, read, unlock", || keep(black_box(&raw).number()));
    field.add(READ, "pthread robust: lock, read, unlock", || keep(black_box(&robust).number()));
    field.add(READ, LOADS, || keep(loads(black_box(&words))));

    field.0.retain(|contender| effort.wants(contender.case));
    sys::pin(1);
    let mut part = Part { name: "uncontended", how: how(effort), rows: rows(field, effort), bars: Vec::new() };
    sys::unpin();
    if effort.wants(ADD) {
        part.rows.extend(foreign::python(ADD, effort));
        part.rows.extend(foreign::boost(ADD, effort));
    }
    part.rows.sort_by_key(|row| [ADD, LOCK, TRY, READ].iter().position(|case| *case == row.case));
    bars(&mut part);
    part
}

fn how(effort: Effort) -> String {
    format!(
        "{} rounds over all contenders, 20 ms each; processor time; pinned to the second core; nobody else wants the lock",
        effort.rounds(15)
    )
}

fn keep(number: u64) {
    black_box(number);
}

fn floor(word: &AtomicU64) {
    let _ = word.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed);
    word.swap(0, Ordering::Release);
}

fn loads(words: &[AtomicU64; 2]) -> u64 {
    words[0].load(Ordering::Acquire).wrapping_add(words[1].load(Ordering::Acquire))
}

fn try_once(mutex: &PthreadRobust) {
    assert!(mutex.try_lock());
    mutex.unlock();
}

pub fn rows(mut field: Field, effort: Effort) -> Vec<Row> {
    let target = effort.ms(20) * 1_000_000;
    let times: Vec<u64> = field.0.iter_mut().map(|contender| times_for(&mut *contender.run, target)).collect();
    let mut rounds = vec![Vec::new(); times.len()];
    for _ in 0..effort.rounds(15) {
        for (which, contender) in field.0.iter_mut().enumerate() {
            rounds[which].push(time(&mut *contender.run, times[which]));
        }
    }
    let row = |(contender, rounds): (Contender, Vec<f64>)| Row::new(contender.case, contender.who, "ns", rounds);
    field.0.into_iter().zip(rounds).map(row).collect()
}

/// Nanoseconds for one.
fn time(run: &mut dyn FnMut(u64), times: u64) -> f64 {
    let start = sys::own_time();
    run(times);
    (sys::own_time() - start) as f64 / times as f64
}

/// How many make up `target` nanoseconds.
fn times_for(run: &mut dyn FnMut(u64), target: u64) -> u64 {
    let mut times = 100;
    loop {
        let taken = time(run, times) * times as f64;
        if taken > target as f64 / 20.0 {
            return ((times as f64 * target as f64 / taken) as u64).max(1);
        }
        times *= 4;
    }
}

fn bars(part: &mut Part) {
    part.bar(ADD, "SharedValue<u64>", STD, Limit::AtMost(1.15));
    part.bar(ADD, "SharedValue<u64>", "pthread robust", Limit::AtMost(0.75));
    part.bar(ADD, "SharedValue<u64>", "raw_sync", Limit::AtMost(0.6));
    part.bar(ADD, "SharedValue<u64>", foreign::PYTHON_VALUE, Limit::AtMost(0.04));
    part.bar(LOCK, "SharedLock", STD, Limit::AtMost(1.10));
    part.bar(READ, "SharedValue<u64>::get", "raw_sync: lock, read, unlock", Limit::AtMost(0.05));
    part.bar(READ, "SharedValue<u64>::get", LOADS, Limit::AtMost(2.0));
}
