//! By several handles of one file.

use std::fs::OpenOptions;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::directory;
use super::super::file::{create_private, unlink};
use super::*;

/// A file, and handles of it.
struct Scratch(String, File);

impl Scratch {
    fn new() -> Self {
        let name = crate::unique_name("robust-shm-lock");
        let file = create_private(&name).unwrap();
        Self(name, file)
    }

    fn another(&self) -> File {
        OpenOptions::new().read(true).write(true).open(directory::path(&self.0).unwrap()).unwrap()
    }

    fn reading(&self) -> File {
        File::open(directory::path(&self.0).unwrap()).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = unlink(&self.0);
    }
}

#[test]
fn locks_replace_one_another_and_leave_nothing_behind() {
    let scratch = Scratch::new();
    let (one, other) = (&scratch.1, scratch.another());
    for _ in 0..3 {
        assert!(try_share(one).unwrap());
        assert!(try_share(&other).unwrap());
        assert!(!try_exclude(one).unwrap());
        assert!(try_exclude(&other).unwrap(), "the first has given up its share");
        assert!(!try_share(one).unwrap() && !try_exclude(one).unwrap());
        assert!(try_exclude(&other).unwrap() && try_share(&other).unwrap());
        assert!(try_share(one).unwrap());
        unlock(one).unwrap();
        unlock(&other).unwrap();
        unlock(&other).unwrap();
    }
    assert!(try_exclude(one).unwrap());
    drop(scratch.another());
    unlock(one).unwrap();
    assert!(try_exclude(&other).unwrap());
}

#[test]
fn of_two_who_share_and_try_at_once_one_succeeds() {
    for _ in 0..50 {
        let scratch = Scratch::new();
        let files = [scratch.another(), scratch.another()];
        assert!(files.iter().all(|file| try_share(file).unwrap()));
        let excluded = std::thread::scope(|scope| {
            let tries = files.each_ref().map(|file| scope.spawn(|| try_exclude_others(file).unwrap()));
            tries.map(|thread| thread.join().unwrap())
        });
        assert!(excluded[0] != excluded[1], "{excluded:?}");
    }
}

#[test]
fn a_name_may_be_guarded_again_when_it_has_been_released_or_closed() {
    let scratch = Scratch::new();
    let other = scratch.another();
    let guard = try_guard_name(&scratch.1).unwrap().unwrap();
    assert!(try_watch(&scratch.1).unwrap());
    assert!(try_guard_name(&other).unwrap().is_none() && !try_watch(&other).unwrap());
    release_name(&scratch.1, guard).unwrap();
    stop_watching(&scratch.1).unwrap();
    assert!(try_guard_name(&other).unwrap().is_some() && try_watch(&other).unwrap());
    drop(other);
    assert!(try_guard_name(&scratch.1).unwrap().is_some());
}

/// Else a dead holder of whom the lock word tells would look alive for as long as the newcomer is there.
#[test]
fn a_slot_that_is_named_is_not_taken() {
    let scratch = Scratch::new();
    let refused = std::cell::RefCell::new(Vec::new());
    let is_named = |slot| {
        let mut refused = refused.borrow_mut();
        refused.push(slot);
        Ok(refused.len() < 4)
    };
    let slot = mark_present(&scratch.1, is_named).unwrap().unwrap();
    let refused = refused.into_inner();
    assert_eq!((refused.len(), refused[3]), (4, slot));
    let asker = scratch.reading();
    assert!(is_present(&asker, slot).unwrap() && is_anyone_present(&asker).unwrap());
    assert!(refused[..3].iter().all(|slot| !is_present(&asker, *slot).unwrap()), "given back");
    assert_eq!(count_present(&asker).unwrap(), 1);
    mark_absent(&scratch.1, slot).unwrap();
    assert!(!is_present(&asker, slot).unwrap() && !is_anyone_present(&asker).unwrap());
}

#[test]
fn users_are_counted_but_for_oneself_whose_mark_stays() {
    let scratch = Scratch::new();
    let slots = [1, 2, 3, 1 << 31, u32::MAX - 1, u32::MAX];
    let files = slots.map(|slot| {
        let file = scratch.another();
        assert!(try_mark(&file, slot).unwrap());
        file
    });
    for _ in 0..3 {
        assert_eq!(count_present(&files[1]).unwrap(), 5);
        assert!(!is_present(&files[1], 2).unwrap(), "by its own handle");
        assert!(is_present(&files[0], 2).unwrap(), "and it is still there");
    }
    assert_eq!(count_present(&scratch.reading()).unwrap(), 6);
}

/// Who asks takes a lock for a moment: two who do must not take each other for what they ask for, and a mark must be
/// seen by all at every moment.
#[test]
fn questions_are_in_nobodys_way() {
    const ROUNDS: u32 = 500;
    let scratch = Scratch::new();
    let holder = scratch.another();
    assert!(try_mark(&holder, 7).unwrap());
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let asker = scratch.reading();
                for round in 0.. {
                    if round > ROUNDS && is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    assert!(is_present(&asker, 7).unwrap(), "the living look dead");
                    assert!(!is_present(&asker, 8).unwrap(), "the dead look alive");
                    if round % 16 == 0 {
                        assert!((1..=2).contains(&count_present(&asker).unwrap()), "and one who comes and goes");
                    }
                }
            });
        }
        for _ in 0..20 {
            let newcomer = scratch.another();
            assert!(mark_present(&newcomer, |_| Ok(false)).unwrap().is_some(), "nobody is kept out");
        }
        is_over.store(true, Ordering::Relaxed);
    });
}
