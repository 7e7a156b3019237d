//! `dynamic::interruptible`: a signal ends a wait, of every member of the family, if the program says so when it is asked.
#![cfg(target_os = "linux")]
#![allow(unsafe_code)]

#[path = "support/deaths.rs"]
mod deaths;
mod support;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::Duration;

use deaths::{handle, robust_list_is_empty, times_out};
use robust_shm::{
    Error, LockError, LockKind, Options, SharedArray, SharedEvent, SharedLock, SharedRwLock, SharedSemaphore,
    SharedValue, dynamic,
};
use support::{Scratch, asleep, own_tid, until};

type Waited = Result<(), LockError>;

extern "C" fn nothing(_signal: libc::c_int) {}

/// The kinds of lock whose waits hear of signals.
fn kinds() -> impl Iterator<Item = LockKind> {
    [LockKind::Futex, LockKind::File].into_iter().filter(|kind| kind.is_available())
}

/// A thread that waits, and what it has come to.
struct Waiter<'scope, R> {
    thread: ScopedJoinHandle<'scope, R>,
    tid: libc::pid_t,
    id: libc::pthread_t,
}

fn start<'scope, 'env, R: Send + 'scope>(
    scope: &'scope Scope<'scope, 'env>,
    body: impl FnOnce() -> R + Send + 'scope,
) -> Waiter<'scope, R> {
    let (is, ids) = channel();
    let thread = scope.spawn(move || {
        // SAFETY: takes nothing.
        is.send((own_tid(), unsafe { libc::pthread_self() } as usize)).unwrap();
        body()
    });
    let (tid, id) = ids.recv().unwrap();
    Waiter { thread, tid, id: id as libc::pthread_t }
}

impl<R> Waiter<'_, R> {
    fn until_it_sleeps(&self) {
        until("the wait", || asleep(self.tid));
    }

    /// One signal may come right before a sleep.
    fn signal_until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        until(what, || {
            // SAFETY: a thread that has not been waited for.
            unsafe { libc::pthread_kill(self.id, libc::SIGUSR1) };
            is_so().then_some(())
        });
    }

    fn join(self) -> R {
        until("the end of the wait", || self.thread.is_finished().then_some(()));
        self.thread.join().unwrap()
    }
}

/// One member: what is there, how somebody is in the way, and how one waits.
struct Member<H> {
    what: &'static str,
    new: fn(LockKind, &str) -> Result<H, Error>,
    /// Is in the way while it calls the function, and no more when it returns.
    in_the_way: fn(&H, &dyn Fn()),
    wait: fn(&H) -> Waited,
    /// Has nobody anything of it?
    is_whole: fn(&H) -> bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    GivesUp,
    Panics,
}

impl<H: Sync> Member<H> {
    /// Two wait; one is interrupted, and has nothing. Then both can have it.
    fn is_interruptible(&self) {
        handle(libc::SIGUSR1, nothing);
        for (kind, ask) in kinds().flat_map(|kind| [(kind, Ask::GivesUp), (kind, Ask::Panics)]) {
            let name = Scratch::new("interruptible");
            let one = (self.new)(kind, &name).unwrap();
            let (says_so, has_ended) = (&AtomicBool::new(false), &AtomicBool::new(false));
            let one = &one;
            thread::scope(|scope| {
                let mut others = Vec::new();
                let start_all = || {
                    let interrupted = start(scope, || {
                        self.wait_and_be_interrupted(one, ask, says_so, &name);
                        has_ended.store(true, Relaxed);
                        (self.wait)(one)
                    });
                    interrupted.until_it_sleeps();
                    let other = start(scope, || (self.wait)(one));
                    other.until_it_sleeps();
                    says_so.store(true, Relaxed);
                    interrupted.signal_until(self.what, || has_ended.load(Relaxed));
                    assert!(!other.thread.is_finished(), "{}: the other has not been let in", self.what);
                    interrupted.until_it_sleeps();
                    [interrupted, other]
                };
                let started = Cell::new(None);
                (self.in_the_way)(one, &|| started.set(Some(start_all())));
                others.extend(started.take().into_iter().flatten());
                for other in others {
                    other.join().unwrap();
                }
            });
            assert!((self.is_whole)(one), "{}, {kind:?}, {ask:?}", self.what);
        }
    }

    fn wait_and_be_interrupted(&self, one: &H, ask: Ask, says_so: &AtomicBool, name: &str) {
        let is_asked = &mut || {
            assert!(ask == Ask::GivesUp || !says_so.load(Relaxed), "unwinds");
            says_so.load(Relaxed)
        };
        let waited = catch_unwind(AssertUnwindSafe(|| dynamic::interruptible(is_asked, || (self.wait)(one))));
        match waited {
            Ok(Err(error @ LockError::Interrupted { .. })) if ask == Ask::GivesUp => assert_eq!(error.name(), name),
            Err(panic) if ask == Ask::Panics => assert_eq!(panic.downcast_ref(), Some(&"unwinds")),
            waited => panic!("{}: {waited:?}", self.what),
        }
        assert!(robust_list_is_empty(), "{}", self.what);
    }
}

fn with<F>(options: Options<F>, kind: LockKind) -> Options<F> {
    options.lock_kind(kind)
}

type Array = SharedArray<u64, 4>;

fn array(kind: LockKind, name: &str) -> Result<Array, Error> {
    with(Array::options(), kind).create(name)
}

#[test]
fn the_lock() {
    Member {
        what: "lock",
        new: |kind, name| with(SharedLock::options(), kind).create(name),
        in_the_way: |lock, during| lock.with(during).unwrap(),
        wait: |lock| lock.lock().map(drop),
        is_whole: |lock| lock.try_lock().is_ok(),
    }
    .is_interruptible();
}

#[test]
fn a_change_of_a_value() {
    Member {
        what: "change",
        new: |kind, name| with(SharedValue::options(), kind).create(name, 0u64),
        in_the_way: |value, during| {
            during();
            value.set(1).unwrap();
        },
        wait: |value| value.wait_while(|n| *n == 0).map(drop),
        is_whole: |value| value.try_lock().is_ok() && value.get() == 1,
    }
    .is_interruptible();
}

#[test]
fn a_change_of_a_value_behind_its_lock() {
    Member {
        what: "change, held",
        new: |kind, name| with(SharedValue::options(), kind).create(name, 0u64),
        in_the_way: |value, during| {
            let mut guard = value.lock().unwrap();
            *guard = 1;
            during();
        },
        wait: |value| value.wait_newer(&mut 0).map(drop),
        is_whole: |value| value.try_lock().is_ok() && value.get() == 1,
    }
    .is_interruptible();
}

#[test]
fn an_event() {
    Member {
        what: "event",
        new: |kind, name| with(SharedEvent::options(), kind).create(name),
        in_the_way: |event, during| {
            during();
            event.set().unwrap();
        },
        wait: SharedEvent::wait,
        is_whole: SharedEvent::is_set,
    }
    .is_interruptible();
}

#[test]
fn a_permit() {
    Member {
        what: "permit",
        new: |kind, name| with(SharedSemaphore::options(), kind).create(name, 2),
        in_the_way: |semaphore, during| {
            let _permits = [(); 2].map(|()| semaphore.acquire().unwrap());
            during();
        },
        wait: |semaphore| semaphore.acquire().map(drop),
        is_whole: |semaphore| semaphore.available() == 2,
    }
    .is_interruptible();
}

#[test]
fn a_writer_who_waits_for_readers() {
    Member {
        what: "drain",
        new: array,
        in_the_way: |array, during| {
            let _guard = array.read().unwrap();
            during();
        },
        wait: |array| array.lock().map(drop),
        is_whole: |array| array.try_read().is_ok() && array.try_lock().is_ok(),
    }
    .is_interruptible();
}

#[test]
fn a_reader_who_waits_for_a_writer() {
    Member {
        what: "read",
        new: array,
        in_the_way: |array, during| array.update(|_| during()).unwrap(),
        wait: |array| array.read().map(drop),
        is_whole: |array| array.try_read().is_ok() && array.try_lock().is_ok(),
    }
    .is_interruptible();
}

#[test]
fn a_read_write_lock() {
    let new = |kind, name: &str| with(SharedRwLock::options(), kind).create(name);
    let is_whole = |lock: &SharedRwLock| lock.try_read().is_ok() && lock.try_write().is_ok();
    Member {
        what: "read",
        new,
        in_the_way: |lock, during| {
            let _guard = lock.write().unwrap();
            during();
        },
        wait: |lock| lock.read().map(drop),
        is_whole,
    }
    .is_interruptible();
    Member {
        what: "write",
        new,
        in_the_way: |lock, during| {
            let _guard = lock.read().unwrap();
            during();
        },
        wait: |lock| lock.write().map(drop),
        is_whole,
    }
    .is_interruptible();
}

/// It has the only slot, and wants to read once more, beside one who reads with the lock: so it looks after each moment whether
/// that one waits for it.
#[test]
fn one_who_reads_already() {
    Member {
        what: "read once more",
        new: |kind, name| with(Array::options(), kind).readers(1).create(name),
        in_the_way: |array, during| {
            let with_slot = array.read().unwrap();
            let _with_lock = array.read().unwrap();
            drop(with_slot);
            during();
        },
        wait: |array| {
            let _first = array.read()?;
            match array.read() {
                Err(LockError::WouldDeadlock { .. }) => Ok(()), // it has the lock itself, in the place of a slot
                read => read.map(drop),
            }
        },
        is_whole: |array| array.try_read().is_ok() && array.try_lock().is_ok(),
    }
    .is_interruptible();
}

#[test]
fn a_condition() {
    Member {
        what: "condition",
        new: array,
        in_the_way: |array, during| {
            during();
            let mut guard = array.lock().unwrap();
            guard[0] = 1;
            array.condvar().notify_all(&guard);
        },
        wait: |array| array.condvar().wait_while(array.lock()?, |data| data[0] == 0).map(drop),
        is_whole: |array| array.try_read().is_ok() && array.try_lock().is_ok(),
    }
    .is_interruptible();
}

/// Two wait for a condition, and one of them is notified; the one that slept first is interrupted before it can have the lock.
#[test]
fn a_notification_is_left_to_another() {
    handle(libc::SIGUSR1, nothing);
    for kind in kinds() {
        let name = Scratch::new("interrupted-notified");
        let lock = &with(SharedLock::options(), kind).create(&name).unwrap();
        let says_so = &AtomicBool::new(false);
        thread::scope(|scope| {
            let wait = || lock.condvar().wait(lock.lock()?).map(drop);
            let interrupted = start(scope, move || dynamic::interruptible(&mut || says_so.load(Relaxed), wait));
            interrupted.until_it_sleeps();
            let other = start(scope, wait);
            other.until_it_sleeps();
            lock.with(|| ()).unwrap();
            let guard = lock.lock().unwrap();
            lock.condvar().notify_one(&guard);
            says_so.store(true, Relaxed);
            interrupted.signal_until("the interruption", || interrupted.thread.is_finished());
            assert!(matches!(interrupted.join(), Err(LockError::Interrupted { .. })), "{kind:?}");
            drop(guard);
            other.join().unwrap();
        });
        assert!(lock.try_lock().is_ok());
    }
}

/// The C library goes on waiting.
#[test]
#[cfg_attr(robust_shm_unix, ignore = "it is not available there")]
fn of_the_systems_own_mutex_nobody_is_asked() {
    handle(libc::SIGUSR1, nothing);
    let name = Scratch::new("interruptible-os");
    let lock = &with(SharedLock::options(), LockKind::OsMutex).create(&name).unwrap();
    thread::scope(|scope| {
        let guard = lock.lock().unwrap();
        let waiter = start(scope, || dynamic::interruptible(&mut || panic!("asked"), || lock.lock().map(drop)));
        waiter.until_it_sleeps();
        let mut signals = 0;
        waiter.signal_until("some signals", || {
            signals += 1;
            signals > 10
        });
        drop(guard);
        waiter.join().unwrap();
    });
}

#[test]
fn who_need_not_wait_is_not_asked() {
    let name = Scratch::new("not-asked");
    let value = SharedValue::create(&name, 1u64).unwrap();
    let other = Scratch::new("not-asked");
    let event = SharedEvent::create(&other).unwrap();
    event.set().unwrap();
    dynamic::interruptible(&mut || panic!("asked"), || {
        value.update(|n| *n += 1).unwrap();
        assert_eq!(value.wait_newer(&mut 0).unwrap(), 2);
        event.wait().unwrap();
    });
}

/// As with `signal` of the C library, or `SA_RESTART`. A sleep on many words goes on then, until the heartbeat.
#[test]
fn a_handler_after_which_calls_are_restarted_is_heard_of_too() {
    // SAFETY: all-zero bytes are an action.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = nothing as *const () as usize;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: the action outlives the call, and the handler has the right type.
    assert_eq!(unsafe { libc::sigaction(libc::SIGUSR2, &raw const action, std::ptr::null_mut()) }, 0);
    let names: [Scratch; 3] = std::array::from_fn(|_| Scratch::new("restarted"));
    let lock = &SharedLock::create(&names[0]).unwrap();
    let event = &SharedEvent::create(&names[1]).unwrap();
    let semaphore = &SharedSemaphore::create(&names[2], 1).unwrap();
    let waits: [&(dyn Fn() -> Waited + Sync); 3] =
        [&|| lock.lock().map(drop), &|| event.wait(), &|| semaphore.acquire().map(drop)];
    let (_guard, _permit) = (lock.lock().unwrap(), semaphore.acquire().unwrap());
    for wait in waits {
        let says_so = &AtomicBool::new(false);
        thread::scope(|scope| {
            let waiter = start(scope, || dynamic::interruptible(&mut || says_so.load(Relaxed), wait));
            waiter.until_it_sleeps();
            says_so.store(true, Relaxed);
            // SAFETY: a thread that has not been waited for.
            unsafe { libc::pthread_kill(waiter.id, libc::SIGUSR2) };
            assert!(matches!(waiter.join(), Err(LockError::Interrupted { .. })));
        });
    }
}

/// What is asked may wait itself, for the very lock, too; and while it does, nobody is asked.
#[test]
fn what_is_asked_may_lock() {
    handle(libc::SIGUSR1, nothing);
    for kind in kinds() {
        let name = Scratch::new("asked-locks");
        let lock = &with(SharedLock::options(), kind).create(&name).unwrap();
        let other = Scratch::new("asked-locks");
        let count = &with(SharedValue::options(), kind).create(&other, 0u64).unwrap();
        let is_asked = AtomicBool::new(false);
        let ask = move || {
            assert!(!is_asked.swap(true, Relaxed), "asked in what is asked");
            assert!(times_out(lock.try_lock_for(Duration::from_millis(5))));
            is_asked.store(false, Relaxed);
            count.update(|n| *n += 1).unwrap() == 10
        };
        thread::scope(|scope| {
            let guard = lock.lock().unwrap();
            let mut ask = ask;
            let waiter = start(scope, move || {
                let waited = dynamic::interruptible(&mut ask, || lock.lock().map(drop));
                assert!(robust_list_is_empty());
                waited
            });
            waiter.until_it_sleeps();
            waiter.signal_until("ten questions", || waiter.thread.is_finished());
            assert!(matches!(waiter.join(), Err(LockError::Interrupted { .. })), "{kind:?}");
            drop(guard);
        });
        assert!(lock.try_lock().is_ok());
    }
}

/// The innermost, and the outer one again when that is over; also if it unwinds.
#[test]
fn one_is_asked_at_a_time() {
    handle(libc::SIGUSR1, nothing);
    let name = Scratch::new("asked-nested");
    let lock = &SharedLock::create(&name).unwrap();
    let guard = lock.lock().unwrap();
    let asked = &[const { AtomicUsize::new(0) }; 2];
    let ask = |which: usize| {
        move || {
            asked[which].fetch_add(1, Relaxed);
            true
        }
    };
    let wait = |says: Sender<Waited>| says.send(lock.lock().map(drop)).unwrap();
    thread::scope(|scope| {
        let (says, heard) = channel();
        let waiter = start(scope, move || {
            dynamic::interruptible(&mut ask(0), || {
                dynamic::interruptible(&mut ask(1), || wait(says.clone()));
                wait(says.clone());
                let panic = || dynamic::interruptible(&mut ask(1), || panic!("unwinds"));
                assert!(catch_unwind(panic).is_err());
                wait(says.clone());
            });
            wait(says);
        });
        let counts = || asked.each_ref().map(|count| count.load(Relaxed));
        // One signal may end a wait before it is known that the one before has ended another.
        waiter.signal_until("the answers", || counts().iter().sum::<usize>() >= 3);
        waiter.until_it_sleeps();
        assert_eq!(counts(), [2, 1]);
        drop(guard);
        waiter.join();
        let ends: Vec<_> = heard.try_iter().collect();
        let is_interrupted = |end: &Waited| matches!(end, Err(LockError::Interrupted { .. }));
        assert!(matches!(&ends[..], [first @ .., Ok(())] if first.iter().all(is_interrupted)), "{ends:?}");
        assert_eq!(ends.len(), 4);
    });
}
