//! Elements that may be half-changed say so.
#![cfg_attr(not(unix), allow(dead_code, unused_imports, reason = "for the parts that need Unix"))]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use robust_shm::{Error, LockError, SegmentInfo, SharedLock};

use super::face::{Elements, Guard, create, role};
use crate::support::{self, Body, FileExt, Scratch, ready_to_die, say, spawn, until};

pub(crate) const ROLES: &[(&str, Body)] =
    &[("hold", hold), ("hold-persistent", hold_persistent), ("read", read_for_ever), ("count", count_for_ever)];

fn hold(name: &str) {
    let array = Elements::<u32, 4>::open(name).unwrap();
    let mut guard = array.lock_ignoring_poison().unwrap();
    guard[0] = 99;
    ready_to_die();
}

/// The only user, so that the next one takes over.
fn hold_persistent(name: &str) {
    let array = Elements::<u32, 4>::options().persistent(true).open_or_create_from(name, &[0; 4]).unwrap();
    let mut guard = array.lock_ignoring_poison().unwrap();
    guard[0] = 99;
    ready_to_die();
}

/// Holds the lock for most of the time, and only reads.
fn read_for_ever(name: &str) {
    let array = Elements::<u64, LARGE>::open(name).unwrap();
    let mut copy = vec![0; LARGE];
    // It has written before: alone, and beside another lock, which is released in another way.
    array.set(0, 0).unwrap();
    let other = SharedLock::create(&format!("{name}.other-{}", std::process::id())).unwrap();
    let beside = other.lock().unwrap();
    array.lock().unwrap()[0] = 0;
    array.set(0, 0).unwrap();
    drop(beside);
    drop(other);
    say("ready");
    loop {
        array.read_into(&mut copy).unwrap();
        assert_eq!(array.to_vec().unwrap(), copy);
        assert_eq!(array.get(1).unwrap(), 0);
        assert!(!format!("{array:?}").contains("poisoned"));
    }
}

fn count_for_ever(name: &str) {
    let (counters, turn) =
        (Elements::<u64, 4>::open(name).unwrap(), SharedLock::open(&format!("{name}.lock")).unwrap());
    let mut said = false;
    loop {
        let _turn = turn.lock().unwrap();
        let mut counters = counters.lock().unwrap();
        counters.iter_mut().for_each(|counter| *counter += 1);
        if !std::mem::replace(&mut said, true) {
            say("ready");
        }
    }
}

const LARGE: usize = 32 << 10;

fn kill_a_holder(of: &str, name: &str) {
    let child = spawn(&role(of), name);
    child.expect("ready");
    child.kill();
}

fn is_poisoned<R>(result: Result<R, LockError>) -> bool {
    matches!(result, Err(LockError::Poisoned { .. }))
}

#[test]
fn a_killed_holder_poisons_elements_until_it_is_repaired() {
    let name = Scratch::new("array");
    let array = Elements::create_from(&name, &[1u32; 4]).unwrap();
    kill_a_holder("hold", &name);
    assert!(array.is_poisoned());
    assert!(SegmentInfo::of(&name).unwrap().is_poisoned());
    assert!(is_poisoned(array.lock()));
    assert!(is_poisoned(array.try_lock()));
    assert!(is_poisoned(array.try_lock_for(Duration::from_secs(1))));
    assert!(is_poisoned(array.get(0)) && is_poisoned(array.set(0, 1)) && is_poisoned(array.to_vec()));

    // A guard that is dropped without clearing leaves the poison, and the array usable for repair.
    let guard = array.lock_ignoring_poison().unwrap();
    assert!(Guard::is_poisoned(&guard));
    assert_eq!(*guard, [99, 1, 1, 1]);
    drop(guard);
    assert!(is_poisoned(array.lock()));

    let guard = array.lock_recover(|elements| elements[0] = 1).unwrap();
    assert!(!Guard::is_poisoned(&guard));
    drop(guard);
    assert_eq!(array.to_vec().unwrap(), [1; 4]);
    drop(array.lock_recover(|_| panic!("nothing to repair")).unwrap());
}

/// What a writer is at is whole again when others may see it, unless it dies.
#[test]
fn a_writer_at_work_looks_like_no_poison_to_others() {
    let name = Scratch::new("at-work");
    let array = create::<u32, 4>(&name).unwrap();
    let other = Elements::<u32, 4>::open(&name).unwrap();
    let mut guard = array.lock().unwrap();
    guard[0] = 1;
    assert!(!other.is_poisoned() && !SegmentInfo::of(&name).unwrap().is_poisoned());
    assert!(!Guard::is_poisoned(&guard));
}

/// As by guards, which closures cannot stand in for: these know by themselves that they were left.
#[test]
fn a_panic_under_a_guard_poisons_unless_it_had_begun_before() {
    for kind in support::KINDS.into_iter().filter(|kind| kind.is_available()) {
        let (of_array, of_lock) = (Scratch::new("panic-array"), Scratch::new("panic-lock"));
        let array = Elements::<u32, 4>::options().lock_kind(kind).create_from(&of_array, &[0; 4]).unwrap();
        let lock = SharedLock::options().lock_kind(kind).create(&of_lock).unwrap();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _guards = (array.lock().unwrap(), lock.lock().unwrap());
            panic!("under both");
        }));
        assert!(panicked.is_err() && array.is_poisoned() && lock.is_poisoned());
        drop((array.lock_recover(|_| ()).unwrap(), lock.lock_recover(|| ()).unwrap()));

        struct InADestructor<'a>(&'a Elements<u32, 4>, &'a SharedLock);
        impl Drop for InADestructor<'_> {
            fn drop(&mut self) {
                self.0.lock().unwrap()[0] = 7;
                drop(self.1.lock().unwrap());
            }
        }
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _later = InADestructor(&array, &lock);
            panic!("before both");
        }));
        assert!(panicked.is_err() && !array.is_poisoned() && !lock.is_poisoned());
        assert_eq!(array.get(0).unwrap(), 7);
    }
}

#[test]
fn rewriting_everything_is_a_repair() {
    let name = Scratch::new("rewrite");
    let array = create::<u32, 4>(&name).unwrap();
    kill_a_holder("hold", &name);
    array.copy_from_slice(&[1, 2, 3, 4]).unwrap();
    assert_eq!(array.to_vec().unwrap(), [1, 2, 3, 4]);
}

#[test]
fn poison_survives_three_generations_of_deaths_and_a_repair_that_panics() {
    let name = Scratch::new("generations");
    let array = create::<u32, 4>(&name).unwrap();
    for _ in 0..3 {
        kill_a_holder("hold", &name);
        assert!(is_poisoned(array.lock()));
    }
    let repair = catch_unwind(AssertUnwindSafe(|| array.lock_recover(|_| panic!("not repairable")).map(drop)));
    assert!(repair.is_err());
    assert!(is_poisoned(array.lock()));
    let mut guard = array.try_lock_ignoring_poison_for(Duration::from_secs(1)).unwrap();
    Guard::clear_poison(&mut guard);
    drop(guard);
    assert!(array.lock().is_ok());
}

#[test]
fn a_guard_leaked_by_a_thread_that_ends_poisons() {
    if !support::reports_ends_of_threads() {
        return;
    }
    let name = Scratch::new("leaked");
    let array = create::<u32, 4>(&name).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| std::mem::forget(array.lock().unwrap())).join().unwrap();
    });
    // The kernel reports the thread's end, which may come a moment after `join`.
    let result = support::until("the thread's end", || match array.try_lock() {
        Err(LockError::WouldBlock { .. }) => None,
        other => Some(is_poisoned(other)),
    });
    assert!(result);
}

/// Monitors that only read were killed, and every counting worker then ended with `Poisoned`.
#[cfg(unix)]
#[test]
fn a_killed_reader_poisons_nothing() {
    let name = Scratch::new("reader");
    let array = create::<u64, LARGE>(&name).unwrap();
    let mut killed_with_the_lock = 0;
    until("readers that died with the lock", || {
        let child = spawn(&role("read"), &name);
        child.expect("ready");
        child.signal(libc::SIGSTOP);
        // Stopped, it holds the lock for as long as we like.
        let holds_it = matches!(array.try_lock(), Err(LockError::WouldBlock { .. }));
        killed_with_the_lock += u32::from(holds_it);
        child.kill();
        assert!(!array.is_poisoned() && !SegmentInfo::of(&name).unwrap().is_poisoned());
        assert!(array.lock().is_ok(), "nothing was written");
        (killed_with_the_lock == 5).then_some(())
    });
}

#[test]
fn what_has_no_poison_goes_on_after_kills_and_panics() {
    let name = Scratch::new("no-poison");
    let of_lock = Scratch(format!("{}.lock", &*name));
    let counters = Elements::<u64, 4>::options().poison(false).create_from(&name, &[0; 4]).unwrap();
    let turn = SharedLock::options().poison(false).create(&of_lock).unwrap();
    for _ in 0..20 / support::COST_OF_A_PROCESS {
        let child = spawn(&role("count"), &name);
        child.expect("ready");
        child.kill();
        assert!(!counters.is_poisoned() && !turn.is_poisoned());
    }
    // Openers follow the segment, whether they state the same or nothing.
    let same = Elements::<u64, 4>::options().poison(false).open(&name).unwrap();
    assert!(same.get(0).unwrap() >= 20);
    assert!(Elements::<u64, 4>::open(&name).unwrap().get(0).unwrap() >= 20);
    let other = Elements::<u64, 4>::options().poison(true).open(&name);
    assert!(matches!(other, Err(Error::OptionMismatch { option: "poison", .. })), "{other:?}");
    let other = SharedLock::options().poison(true).open_or_create(&of_lock);
    assert!(matches!(other, Err(Error::OptionMismatch { option: "poison", .. })), "{other:?}");
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _turn = turn.lock().unwrap();
        let _counters = same.lock().unwrap();
        panic!("under both guards");
    }));
    assert!(panicked.is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| turn.with(|| panic!("inside")))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| same.update(|_| panic!("inside")))).is_err());
    drop(turn.lock_recover(|| panic!("there is nothing to repair")).unwrap());
    let guard = same.lock().unwrap();
    assert!(!Guard::is_poisoned(&guard));
    drop(guard);
    for name in [&name, &of_lock] {
        let info = SegmentInfo::of(name).unwrap();
        assert!(!info.has_poison() && !info.is_poisoned());
        const POISON: usize = 568;
        assert_eq!(std::fs::read(support::path(name)).unwrap()[POISON], 0, "for nobody who looks at the bytes, either");
        assert!(info.to_string().contains("without poison"), "{info}");
    }
}

#[test]
fn poison_is_there_unless_its_creator_wants_none() {
    let name = Scratch::new("wanted");
    let array = Elements::<u32, 4>::options().poison(true).create_from(&name, &[0; 4]).unwrap();
    assert!(SegmentInfo::of(&name).unwrap().has_poison());
    assert!(catch_unwind(AssertUnwindSafe(|| array.update(|_| panic!("inside")))).is_err());
    assert!(is_poisoned(array.lock()));
    let name = Scratch::new("wanted");
    let _value = robust_shm::SharedValue::create(&name, 1u8).unwrap();
    assert!(!SegmentInfo::of(&name).unwrap().has_poison(), "a value is whole whoever dies");
}

/// Whether the dead holder was marked by the kernel or not (the machine lost its power, the holder was in a namespace that
/// is gone), and however often nobody comes to repair.
#[test]
fn taking_a_persistent_segment_over_does_not_lose_the_poison() {
    const LOCK_WORD: u64 = 520;
    for is_marked in [true, false] {
        let name = Scratch::new("orphaned-poison");
        kill_a_holder("hold-persistent", &name);
        if !is_marked {
            let file = std::fs::File::options().write(true).open(support::path(&name)).unwrap();
            file.write_all_at(&0x3fff_fff0u32.to_ne_bytes(), LOCK_WORD).unwrap();
        }
        for _ in 0..3 {
            let array = Elements::<u32, 4>::open(&name).unwrap();
            assert!(array.is_poisoned(), "marked: {is_marked}");
            assert!(SegmentInfo::of(&name).unwrap().is_poisoned(), "marked: {is_marked}");
            assert!(matches!(array.lock(), Err(LockError::Poisoned { .. })), "marked: {is_marked}");
        }
        kill_a_holder("hold-persistent", &name); // who has ignored it
        let array = Elements::<u32, 4>::open(&name).unwrap();
        drop(array.lock_recover(|elements| elements.fill(1)).unwrap());
        drop(array);
        assert_eq!(*Elements::<u32, 4>::open(&name).unwrap().lock().unwrap(), [1; 4]);
    }
}

#[test]
fn a_repair_under_a_guard_is_run_if_there_is_something_to_repair() {
    let name = Scratch::new("bounded");
    let array = Elements::create_from(&name, &[1u32; 4]).unwrap();
    kill_a_holder("hold", &name);
    let mut guard = array.try_lock_ignoring_poison().unwrap();
    let repair = catch_unwind(AssertUnwindSafe(|| Guard::recover(&mut guard, |_| panic!("not repairable"))));
    assert!(repair.is_err() && Guard::is_poisoned(&guard));
    for _ in 0..2 {
        Guard::recover(&mut guard, |elements| elements[0] += 1);
    }
    assert_eq!(*guard, [100, 1, 1, 1]);
    drop(guard);
    assert_eq!(array.get(0).unwrap(), 100);
}
