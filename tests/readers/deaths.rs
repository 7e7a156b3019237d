//! Kills, ends of threads, forks, stops, and other PID namespaces.

use std::mem::forget;

use robust_shm::{LockError, LockKind, SegmentInfo, SharedRwLock, remove};

#[cfg(target_os = "linux")]
use crate::support::spawn_through;
use crate::support::{self, Body, Scratch, Stopwatch, own_tid, ready_to_die, say, spawn, until};
#[cfg(unix)]
use crate::support::{spawn_of, told};
use crate::support::{until_it_waits, within_limit};
use crate::{Array, LONG, MOMENT, active, array, elsewhere, kinds, rwlock};

pub(crate) const ROLES: &[(&str, Body)] = &[
    #[cfg(unix)]
    ("fork while it reads", fork_while_it_reads),
    ("read", |name| {
        let lock = SharedRwLock::open(name).unwrap();
        let _reading = lock.read().unwrap();
        say("reads");
        ready_to_die();
    }),
    ("read all the time", |name| {
        let array = Array::open(name).unwrap();
        say("ready");
        loop {
            assert_eq!(array.read().unwrap()[..], [0; 4]);
        }
    }),
    ("read alone", |name| {
        let array = Array::open(name).unwrap();
        let _reading = array.read().unwrap();
        say("reads");
        ready_to_die();
    }),
    ("write", |name| {
        let lock = SharedRwLock::open(name).unwrap();
        say(own_tid());
        let _writing = lock.write_ignoring_poison().unwrap();
        say("writes");
        ready_to_die();
    }),
    ("write in place", |name| {
        let array = Array::open(name).unwrap();
        let mut guard = array.lock().unwrap();
        guard[0] = 9;
        say("writes");
        ready_to_die();
    }),
    ("want to read", |name| {
        let lock = SharedRwLock::open(name).unwrap();
        say("begins");
        let _reading = lock.read().unwrap();
        say("reads");
        ready_to_die();
    }),
    ("leak in a thread", |name| {
        let lock = SharedRwLock::open(name).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| forget(lock.read().unwrap()));
        });
        drop(lock.try_write_for(LONG).unwrap());
        say("written");
    }),
];

/// Each way in which a reader comes to its slot.
#[test]
fn a_killed_reader_keeps_nobody_out_and_poisons_nothing() {
    for kind in kinds() {
        let name = Scratch::new("killed");
        let lock = rwlock(kind, &name);
        for _ in 0..20 / support::COST_OF_A_PROCESS {
            let readers: [_; 3] = std::array::from_fn(|_| spawn("read", &name));
            readers.iter().for_each(|reader| reader.expect("reads"));
            assert_eq!(active(&name), 3);
            let writer = spawn("write", &name);
            writer.hear();
            until_it_waits(&writer);
            let watch = Stopwatch::start();
            readers.into_iter().for_each(support::Role::kill);
            writer.expect("writes");
            watch.assert_nobody_waited_for_the_heartbeat();
            writer.kill();
            drop(lock.write_recover(|| ()).unwrap());
            drop(lock.read().unwrap());
            assert_eq!((active(&name), lock.is_poisoned()), (0, false));
        }
    }
}

#[test]
fn a_thousand_killed_readers_poison_nothing() {
    for kind in kinds() {
        let name = Scratch::new("thousand");
        let array = array(kind, &name);
        let kills = if cfg!(debug_assertions) { 100 } else { 1_000 } / support::COST_OF_A_PROCESS;
        for _ in 0..kills {
            let reader = spawn("read all the time", &name);
            reader.expect("ready");
            reader.kill();
        }
        drop(array.lock().unwrap());
        assert_eq!((array.is_poisoned(), active(&name)), (false, 0));
        drop(array.read().unwrap());
    }
}

#[test]
fn a_killed_reader_that_had_the_lock_poisons_nothing() {
    for kind in kinds() {
        let name = Scratch::new("alone");
        let array = Array::options().lock_kind(kind).readers(0).create(&name).unwrap();
        let reader = spawn("read alone", &name);
        reader.expect("reads");
        assert!(array.try_lock().is_err());
        reader.kill();
        drop(array.try_lock_for(LONG).unwrap());
        assert!(!array.is_poisoned());
    }
}

#[test]
fn a_killed_writer_lets_readers_in_once_it_is_repaired() {
    for kind in kinds() {
        let name = Scratch::new("writer");
        let array = array(kind, &name);
        for turn in 0..4 {
            if turn % 2 == 1 {
                drop(array.read().unwrap());
            }
            let writer = spawn("write in place", &name);
            writer.expect("writes");
            writer.kill();
            assert!(matches!(array.try_read_for(LONG), Err(LockError::Poisoned { .. })));
            assert!(array.is_poisoned() && SegmentInfo::of(&name).unwrap().is_poisoned());
            drop(array.lock_recover(|elements| elements[0] = 0).unwrap());
            assert_eq!(array.read().unwrap()[0], 0);
        }
    }
}

/// It has written nothing, and others still read.
#[test]
fn a_writer_killed_while_it_waits_for_readers_leaves_them_alone() {
    for kind in kinds() {
        let name = Scratch::new("draining");
        let lock = rwlock(kind, &name);
        let reading = lock.read().unwrap();
        let writer = spawn("write", &name);
        writer.hear();
        until_it_waits(&writer);
        let reader = spawn("want to read", &name);
        reader.expect("begins");
        until_it_waits(&reader);
        let watch = Stopwatch::start();
        writer.kill();
        reader.expect("reads");
        watch.assert_nobody_waited_for_the_heartbeat();
        assert_eq!((lock.is_poisoned(), active(&name)), (false, 2));
        // The next one waits for both, also for the one whom only the dead one knew.
        elsewhere(|| {
            assert!(lock.try_write_for(MOMENT).is_err());
            let _again = lock.read().unwrap();
        });
        reader.kill();
        elsewhere(|| assert!(lock.try_write_for(MOMENT).is_err()));
        drop(reading);
        elsewhere(|| lock.try_write_for(LONG).map(drop)).unwrap();
    }
}

#[test]
fn a_leaked_reader_is_over_with_its_thread() {
    if !support::reports_ends_of_threads() {
        return;
    }
    let name = Scratch::new("leaked");
    let _lock = SharedRwLock::create(&name).unwrap();
    let child = spawn("leak in a thread", &name);
    child.expect("written");
    child.join();
}

#[test]
fn what_is_leaked_with_its_handle_reads_on() {
    for kind in kinds() {
        let name = Scratch::new("leak");
        let keeper = rwlock(kind, &name);
        let leaked = SharedRwLock::open(&name).unwrap();
        forget(leaked.read().unwrap());
        drop(leaked); // the mapping stays: the kernel may write to it
        assert_eq!(active(&name), 1);
        assert!(elsewhere(|| keeper.try_write().is_err()));
        elsewhere(|| keeper.read().map(drop)).unwrap();
        assert!(matches!(keeper.write(), Err(LockError::WouldDeadlock { .. })));
    }
}

#[cfg(unix)]
#[test]
fn a_stopped_reader_keeps_writers_out_until_their_time_is_up() {
    for kind in kinds() {
        let name = Scratch::new("stopped");
        let lock = rwlock(kind, &name);
        let reader = spawn("read", &name);
        reader.expect("reads");
        reader.signal(libc::SIGSTOP);
        let error = lock.try_write_for(MOMENT).unwrap_err();
        assert!(matches!(error, LockError::TimedOut { holder: Some(_), .. }), "{error:?}");
        let who = told(reader.id()).map_or("thread ".to_owned(), |process| format!("process {process}"));
        assert!(error.to_string().contains(&who), "{error}");
        drop(lock.read().unwrap());
        reader.kill();
        drop(lock.try_write_for(LONG).unwrap());
    }
}

/// One that waits for readers is the holder of the lock, and one that is stopped is to be waited for.
#[cfg(unix)]
#[test]
fn a_stopped_writer_keeps_new_readers_out_and_not_old_ones_in() {
    for kind in kinds() {
        let name = Scratch::new("stopped-writer");
        let lock = rwlock(kind, &name);
        let reading = lock.read().unwrap();
        let writer = spawn("write", &name);
        writer.hear();
        until_it_waits(&writer);
        writer.signal(libc::SIGSTOP);
        assert!(elsewhere(|| lock.try_read_for(MOMENT).is_err()));
        drop(reading);
        assert!(lock.try_read_for(MOMENT).is_err());
        writer.signal(libc::SIGCONT);
        writer.expect("writes");
        writer.kill();
        drop(lock.write_recover(|| ()).unwrap());
    }
}

/// The copy of a guard in a forked child is none.
#[cfg(unix)]
#[test]
fn a_forked_child_reads_nothing_by_its_parents_guard() {
    for kind in kinds() {
        spawn_of(kind, "fork while it reads", &Scratch::new("forked")).join();
    }
}

/// In a process of its own: of this one, the child would be another user of whatever the tests beside this one have open.
#[cfg(unix)]
fn fork_while_it_reads(name: &str) {
    let lock = rwlock(support::kind(), name);
    let mut guard = Some(lock.read().unwrap());
    let copy = &mut guard;
    let child = support::fork(|| {
        drop(copy.take());
        assert_eq!(active(name), 1);
        assert!(matches!(lock.try_write(), Err(LockError::WouldBlock { .. })));
        let _own = lock.read().unwrap();
        assert_eq!(active(name), 2);
    });
    child.join();
    until("the end of the child's reading", || (active(name) == 1).then_some(()));
    drop(guard);
    drop(lock.write().unwrap());
}

/// Each is process 1 of a PID namespace of its own, so that the kernel takes them for one another.
#[cfg(target_os = "linux")]
#[test]
fn namesakes_in_other_namespaces_have_slots_of_their_own() {
    const CONTAINER: [&str; 5] = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];
    if !support::can_unshare(&CONTAINER) {
        return;
    }
    for kind in kinds() {
        let name = Scratch::new("namesakes");
        let lock = rwlock(kind, &name);
        let readers: [_; 3] = std::array::from_fn(|_| spawn_through(&CONTAINER, "read", &name));
        readers.iter().for_each(|reader| reader.expect("reads"));
        assert_eq!(active(&name), 3);
        for (killed, reader) in readers.into_iter().enumerate() {
            assert!(lock.try_write_for(MOMENT).is_err());
            reader.kill();
            until("the end of a reader", || (active(&name) == 2 - killed).then_some(()));
        }
        drop(lock.try_write_for(LONG).unwrap());
        assert!(!lock.is_poisoned());
    }
}

#[test]
fn a_persistent_one_that_all_users_left_by_death_has_no_readers() {
    for kind in kinds() {
        let name = Scratch::new("persistent");
        let lock = SharedRwLock::options().lock_kind(kind).persistent(true).create(&name).unwrap();
        drop(lock.read().unwrap());
        drop(lock);
        let readers = [spawn("read", &name), spawn("read", &name)];
        readers.iter().for_each(|reader| reader.expect("reads"));
        readers.into_iter().for_each(support::Role::kill);
        until("the end of all", || (SegmentInfo::of(&name).unwrap().attached() == 0).then_some(()));
        let lock = SharedRwLock::open(&name).unwrap();
        assert_eq!(active(&name), 0);
        drop(lock.try_write().unwrap());
        drop(lock.try_read().unwrap());
        drop(lock);
        remove(&name).unwrap();
    }
}

/// The kernel does not tell of a thread other than the main one that calls `exec`.
#[test]
fn a_reader_of_whose_end_nobody_is_told_is_looked_for() {
    let name = Scratch::new("unnoticed");
    let lock = rwlock(LockKind::default(), &name);
    let reader = spawn("read", &name);
    reader.expect("reads");
    let lock = within_limit("a writer behind a reader who is no more", move || {
        reader.kill();
        drop(lock.write().unwrap());
        lock
    });
    assert_eq!(active(&name), 0);
    drop(lock);
}
