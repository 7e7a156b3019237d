//! Processes see each other's commits, and exclude each other.

mod support;

use std::time::{Duration, Instant};

use robust_shm::{LockKind, SharedArray, SharedLock, SharedValue};
use support::{Scratch, play, say, spawn, with_each_kind};

const TIMES: u64 = 100_000;

#[test]
fn child() {
    play(&[("add", add), ("compute", compute), ("hammer", hammer), ("array", add_to_array)]);
}

with_each_kind! {
    four_processes_lose_no_increment_of_a_value,
    four_processes_lose_no_increment_of_an_array,
    readers_see_only_whole_values_while_threads_write,
}

fn add(name: &str) {
    let value = SharedValue::<u64>::open(name).unwrap();
    for _ in 0..TIMES {
        *value.lock().unwrap() += 1;
    }
}

fn add_to_array(name: &str) {
    let array = SharedArray::<u64, 2>::open(name).unwrap();
    for _ in 0..TIMES {
        array
            .update(|pair| {
                pair[0] += 1;
                pair[1] = pair[0];
            })
            .unwrap();
    }
}

fn compute(name: &str) {
    SharedValue::<[i32; 4]>::open(name).unwrap().set([25, 36, 49, 64]).unwrap();
}

fn hammer(name: &str) {
    let lock = SharedLock::open(name).unwrap();
    let end = Instant::now()
        + Duration::from_secs(std::env::var("ROBUST_SHM_EXCLUSION_SECONDS").map_or(3, |text| text.parse().unwrap()));
    let mut count = 0u64;
    while Instant::now() < end {
        for _ in 0..100 {
            drop(lock.lock().unwrap());
        }
        count += 100;
    }
    say(count);
}

#[test]
fn a_child_process_computes_and_the_parent_reads() {
    let name = Scratch::new("visible");
    let value = SharedValue::create(&name, [0i32; 4]).unwrap();
    spawn("compute", &name).join();
    assert_eq!(value.get(), [25, 36, 49, 64]);
}

fn four_processes_lose_no_increment_of_a_value(kind: LockKind) {
    let name = Scratch::new("adders");
    let value = SharedValue::options().lock_kind(kind).create(&name, 0u64).unwrap();
    let children: Vec<_> = (0..4).map(|_| spawn("add", &name)).collect();
    children.into_iter().for_each(support::Role::join);
    assert_eq!((value.get(), value.commits()), (4 * TIMES, 4 * TIMES));
}

fn four_processes_lose_no_increment_of_an_array(kind: LockKind) {
    let name = Scratch::new("adders");
    let array = SharedArray::<u64, 2>::options().lock_kind(kind).create(&name).unwrap();
    let children: Vec<_> = (0..4).map(|_| spawn("array", &name)).collect();
    children.into_iter().for_each(support::Role::join);
    assert_eq!(array.to_vec().unwrap(), [4 * TIMES, 4 * TIMES]);
}

/// The protocol that this crate started from hung within a second here. `ROBUST_SHM_EXCLUSION_SECONDS=60` is the long form.
#[test]
fn sixteen_processes_hammering_an_empty_section_all_finish() {
    let name = Scratch::new("hammer");
    let _lock = SharedLock::create(&name).unwrap();
    let children: Vec<_> = (0..16).map(|_| spawn("hammer", &name)).collect();
    for child in children {
        assert!(child.hear().parse::<u64>().unwrap() > 0);
        child.join();
    }
}

fn readers_see_only_whole_values_while_threads_write(kind: LockKind) {
    let name = Scratch::new("whole");
    let value = SharedValue::options().lock_kind(kind).create(&name, [0u64; 64]).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    value.update(|v| v.iter_mut().for_each(|x| *x += 1)).unwrap();
                }
            });
        }
        let mut last = 0;
        while last < 40_000 {
            let seen = value.get();
            assert!(seen.iter().all(|x| *x == seen[0]), "torn: {seen:?}");
            assert!(seen[0] >= last, "stale after newer");
            last = seen[0];
        }
    });
}
