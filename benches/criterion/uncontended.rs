//! What a lock costs that nobody else wants, beside the same in other locks, in one run.
//!
//! `cargo bench -p robust-shm-criterion` prints times; compare the ratios between the rows of a group, not the times between
//! machines. Locks inside one process (`std`, `parking_lot`) are the bar; process-shared ones are the peers.
#![allow(unsafe_code, missing_docs)]

use std::cell::UnsafeCell;
use std::hint::black_box;
use std::mem::MaybeUninit;
use std::sync::Mutex;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use raw_sync::locks::{LockImpl, LockInit, Mutex as RawMutex};
use robust_shm::{LockKind, SharedArray, SharedLock, SharedValue, unique_name};

/// A robust, process-shared pthread mutex with its number.
struct PthreadRobust {
    mutex: UnsafeCell<libc::pthread_mutex_t>,
    number: UnsafeCell<u64>,
}

impl PthreadRobust {
    fn new() -> Box<Self> {
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: zero bytes are room for a mutex that is initialised below.
        let mutex = unsafe { MaybeUninit::zeroed().assume_init() };
        let new = Box::new(Self { mutex, number: UnsafeCell::new(0) });
        // SAFETY: the pointer is to room for attributes.
        unsafe { libc::pthread_mutexattr_init(attributes.as_mut_ptr()) };
        // SAFETY: initialised above.
        unsafe { libc::pthread_mutexattr_setpshared(attributes.as_mut_ptr(), libc::PTHREAD_PROCESS_SHARED) };
        // SAFETY: initialised above.
        unsafe { libc::pthread_mutexattr_setrobust(attributes.as_mut_ptr(), libc::PTHREAD_MUTEX_ROBUST) };
        // SAFETY: room for a mutex that does not move any more, and initialised attributes.
        assert_eq!(unsafe { libc::pthread_mutex_init(new.mutex.get(), attributes.as_ptr()) }, 0);
        new
    }

    fn add_one(&self) {
        // SAFETY: an initialised mutex.
        assert_eq!(unsafe { libc::pthread_mutex_lock(self.mutex.get()) }, 0);
        // SAFETY: the mutex is held.
        unsafe { *self.number.get() += 1 };
        // SAFETY: held by this thread.
        assert_eq!(unsafe { libc::pthread_mutex_unlock(self.mutex.get()) }, 0);
    }
}

/// `raw_sync`'s process-shared mutex with its number behind it.
struct RawSync {
    lock: Box<dyn LockImpl>,
    _memory: Box<[u64; 16]>,
}

impl RawSync {
    fn new() -> Self {
        let mut memory = Box::new([0u64; 16]);
        let start = memory.as_mut_ptr().cast::<u8>();
        // SAFETY: 128 bytes, of which the lock takes at most 64.
        let number = unsafe { start.add(64) };
        // SAFETY: the memory is large enough, aligned, and lives as long as the lock.
        let (lock, used) = unsafe { RawMutex::new(start, number) }.unwrap();
        assert!(used <= 64);
        Self { lock, _memory: memory }
    }

    fn with<R>(&self, action: impl FnOnce(&mut u64) -> R) -> R {
        let guard = self.lock.lock().unwrap();
        let number: *mut u8 = *guard;
        // SAFETY: the guard's pointer is to the number given to `new`, and the lock is held.
        action(unsafe { &mut *number.cast::<u64>() })
    }
}

fn lock_add_unlock(c: &mut Criterion) {
    let mut group = c.benchmark_group("lock, add one, unlock");
    let std = Mutex::new(0u64);
    group.bench_function("std::sync::Mutex (one process)", |b| b.iter(|| *black_box(&std).lock().unwrap() += 1));
    let parking_lot = parking_lot::Mutex::new(0u64);
    group.bench_function("parking_lot (one process)", |b| b.iter(|| *black_box(&parking_lot).lock() += 1));
    let value = SharedValue::create(&unique_name("bench"), 0u64).unwrap();
    group.bench_function("SharedValue<u64>", |b| b.iter(|| *black_box(&value).lock().unwrap() += 1));
    let file = SharedValue::options().lock_kind(LockKind::File).create(&unique_name("bench"), 0u64).unwrap();
    group.bench_function("SharedValue<u64>, File", |b| b.iter(|| *black_box(&file).lock().unwrap() += 1));
    let array = SharedArray::<u64, 8>::create(&unique_name("bench")).unwrap();
    group.bench_function("SharedArray<u64, 8>", |b| b.iter(|| black_box(&array).lock().unwrap()[0] += 1));
    let robust = PthreadRobust::new();
    group.bench_function("pthread robust, process-shared", |b| b.iter(|| black_box(&robust).add_one()));
    let raw = RawSync::new();
    group.bench_function("raw_sync", |b| b.iter(|| black_box(&raw).with(|number| *number += 1)));
    group.finish();
}

fn lock_unlock(c: &mut Criterion) {
    let mut group = c.benchmark_group("lock, unlock");
    let std = Mutex::new(());
    group.bench_function("std::sync::Mutex (one process)", |b| b.iter(|| drop(black_box(&std).lock().unwrap())));
    let lock = SharedLock::create(&unique_name("bench")).unwrap();
    group.bench_function("SharedLock", |b| b.iter(|| drop(black_box(&lock).lock().unwrap())));
    let file = SharedLock::options().lock_kind(LockKind::File).create(&unique_name("bench")).unwrap();
    group.bench_function("SharedLock, File", |b| b.iter(|| drop(black_box(&file).lock().unwrap())));
    group.bench_function("SharedLock::try_lock", |b| b.iter(|| drop(black_box(&lock).try_lock().unwrap())));
    group.finish();
}

fn read(c: &mut Criterion) {
    let mut group = c.benchmark_group("read a u64");
    let value = SharedValue::create(&unique_name("bench"), 7u64).unwrap();
    group.bench_function("SharedValue::get", |b| b.iter(|| black_box(&value).get()));
    let raw = RawSync::new();
    group.bench_function("raw_sync lock, read, unlock", |b| b.iter(|| black_box(&raw).with(|number| *number)));
    group.finish();
}

fn by_size(c: &mut Criterion) {
    fn one<const N: usize>(c: &mut Criterion) {
        let mut group = c.benchmark_group(format!("{} bytes", N * 8));
        group.throughput(Throughput::Bytes(N as u64 * 8));
        let value = SharedValue::create(&unique_name("bench"), [0u64; N]).unwrap();
        group.bench_function("get", |b| b.iter(|| black_box(&value).get()));
        group.bench_function("set", |b| b.iter(|| black_box(&value).set(black_box([1; N])).unwrap()));
        group.bench_function("update", |b| b.iter(|| black_box(&value).update(|v| v[0] += 1).unwrap()));
        group.finish();
    }
    one::<1>(c);
    one::<8>(c);
    one::<512>(c);
    one::<8_192>(c);
}

fn bulk(c: &mut Criterion) {
    fn one<const N: usize>(c: &mut Criterion, name: &str) {
        let array = match SharedArray::<u64, N>::create(&unique_name("bench")) {
            Ok(array) => array,
            Err(error) => return eprintln!("bulk, {name}: {error}"),
        };
        let mut buffer = vec![7u64; N];
        let mut group = c.benchmark_group(format!("bulk, {name}"));
        group.throughput(Throughput::Bytes(N as u64 * 8));
        group.bench_function("copy_from_slice", |b| b.iter(|| array.copy_from_slice(black_box(&buffer)).unwrap()));
        group.bench_function("read_into", |b| b.iter(|| array.read_into(black_box(&mut buffer)).unwrap()));
        group.finish();
    }
    one::<{ 1 << 7 }>(c, "1 KiB");
    one::<{ 1 << 15 }>(c, "256 KiB");
    one::<{ 1 << 19 }>(c, "4 MiB");
    one::<{ 1 << 25 }>(c, "256 MiB");
}

fn open_and_create(c: &mut Criterion) {
    let mut group = c.benchmark_group("segments");
    let name = unique_name("bench");
    let value = SharedValue::create(&name, 7u64).unwrap();
    group.bench_function("open existing, close", |b| b.iter(|| SharedValue::<u64>::open(&name).unwrap()));
    drop(value);
    group.bench_function("create, remove", |b| b.iter(|| SharedValue::create(&name, 7u64).unwrap()));
    group.finish();
}

criterion_group!(benches, lock_add_unlock, lock_unlock, read, by_size, bulk, open_and_create);
criterion_main!(benches);
