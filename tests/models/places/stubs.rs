//! What the source of the places calls, and the atomics that it works on: every access is a step.

use crate::search::{step, with};

pub(crate) mod atomic {
    //! In one order that all see: all of the source's accesses are SeqCst.
    pub(crate) use std::sync::atomic::Ordering;
    use std::sync::atomic::Ordering::Relaxed;

    use super::{step, with};

    macro_rules! atomic {
        ($name:ident $number:ident) => {
            #[repr(transparent)]
            #[derive(Debug, Default)]
            pub(crate) struct $name(std::sync::atomic::$name);

            #[allow(dead_code, reason = "not all are of use for both")]
            impl $name {
                pub(crate) fn as_ptr(&self) -> *mut $number {
                    self.0.as_ptr()
                }

                pub(crate) fn load(&self, _: Ordering) -> $number {
                    step();
                    let value = self.0.load(Relaxed);
                    with(|run| run.learns(value.into()));
                    value
                }

                pub(crate) fn store(&self, value: $number, _: Ordering) {
                    step();
                    self.0.store(value, Relaxed);
                }

                pub(crate) fn compare_exchange(
                    &self,
                    from: $number,
                    to: $number,
                    _: Ordering,
                    _: Ordering,
                ) -> Result<$number, $number> {
                    step();
                    let answer = self.0.compare_exchange(from, to, Relaxed, Relaxed);
                    with(|run| run.learns(answer.map_or_else(|found| u64::from(found), |_| u64::MAX)));
                    answer
                }

                pub(crate) fn now(&self) -> $number {
                    self.0.load(Relaxed)
                }

                pub(crate) fn reset(&self) {
                    self.0.store(0, Relaxed);
                }
            }
        };
    }
    atomic!(AtomicU64 u64);
    atomic!(AtomicU32 u32);
}

use atomic::{AtomicU32, AtomicU64, Ordering};

/// A word of the lock, changed with what the checker notes of that.
#[derive(Debug, Default)]
#[repr(transparent)]
pub(crate) struct Word(pub(crate) AtomicU64);

impl Word {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    pub(crate) fn update(&self, from: u64, to: u64, then: impl FnOnce(&mut crate::search::Search)) -> Result<u64, u64> {
        let answer = self.0.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst);
        if answer.is_ok() {
            with(then);
        }
        answer
    }
}

#[derive(Debug, Default)]
#[repr(transparent)]
pub(crate) struct Count(AtomicU32);

impl Count {
    pub(crate) fn get(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }

    pub(crate) fn set(&self, value: u32) {
        self.0.store(value, Ordering::SeqCst);
    }

    pub(crate) fn add(&self, more: u32) {
        while !self.replaces(|count| count + more) {}
    }

    pub(crate) fn less_one(&self) {
        while !self.replaces(|count| count.saturating_sub(1)) {}
    }

    /// In one step.
    fn replaces(&self, by: impl FnOnce(u32) -> u32) -> bool {
        let seen = self.0.now();
        self.0.compare_exchange(seen, by(seen), Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    pub(crate) fn now(&self) -> u32 {
        self.0.now()
    }

    pub(crate) fn reset(&self) {
        self.0.reset();
    }
}

/// The line of the lock: the room of the source is behind the word.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub(crate) struct Line {
    pub(crate) word: Word,
    pub(crate) number: AtomicU64,
    pub(crate) queue: AtomicU32,
    pub(crate) told: AtomicU32,
    pub(crate) epoch: Count,
    pub(crate) lockers: Count,
}

pub(crate) mod futex {
    pub(crate) const WAITERS: u32 = 1 << 31;
    pub(crate) const OWNER_DIED: u32 = 1 << 30;
    pub(crate) const TID: u32 = OWNER_DIED - 1;
}

pub(crate) mod random {
    pub(crate) fn random_place() -> u64 {
        7
    }
}

pub(crate) mod thread {
    use super::with;

    pub(crate) fn id() -> u32 {
        with(|run| run.current as u32 * 4 + 4)
    }

    pub(crate) fn number() -> u32 {
        with(|run| run.me().number)
    }

    pub(crate) fn set_number(number: u32) {
        with(|run| run.me().number = number);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deadline(pub(crate) u8);

impl Deadline {
    pub(crate) const NOW: Self = Self(0);
    /// In a millisecond.
    pub(crate) const SOON: Self = Self(1);
    /// When a waiter looks by itself.
    pub(crate) const BEAT: Self = Self(2);

    pub(crate) fn now() -> Self {
        Self::NOW
    }

    pub(crate) fn soon(_: std::time::Duration) -> Self {
        Self::SOON
    }
}

pub(crate) fn monotonic_nanos() -> u64 {
    with(|run| run.read_clock())
}

pub(crate) mod objects {
    use std::io;

    use super::{Deadline, step, with};
    use crate::kernel::{self, Id, Kind};

    #[derive(Debug)]
    pub(crate) struct Event(Id);
    #[derive(Debug)]
    pub(crate) struct Mutex(Id);

    pub(crate) trait Object {
        fn id(&self) -> Id;
    }

    impl Object for Event {
        fn id(&self) -> Id {
            self.0
        }
    }

    impl Object for Mutex {
        fn id(&self) -> Id {
            self.0
        }
    }

    #[allow(clippy::unnecessary_wraps, reason = "as the real one")]
    impl Event {
        pub(crate) fn of(name: &str, stays: bool) -> io::Result<Self> {
            step();
            Ok(Self(with(|run| kernel::open(run, name, Kind::Event { stays }, true).expect("made").0)))
        }

        pub(crate) fn set(&self) -> io::Result<()> {
            step();
            with(|run| kernel::set(run, self.0));
            Ok(())
        }
    }

    #[allow(clippy::unnecessary_wraps, reason = "as the real one")]
    impl Mutex {
        pub(crate) fn of(name: &str) -> io::Result<Self> {
            step();
            Ok(Self(with(|run| kernel::open(run, name, Kind::Mutex, true).expect("made").0)))
        }

        pub(crate) fn of_this_thread(name: &str) -> io::Result<Option<Self>> {
            step();
            let (id, is_new) = with(|run| kernel::open(run, name, Kind::Mutex, true).expect("made"));
            if is_new {
                with(|run| kernel::own(run, id));
            }
            Ok(is_new.then_some(Self(id)))
        }

        pub(crate) fn that_exists(name: &str) -> io::Result<Option<Self>> {
            step();
            let found = with(|run| {
                let found = kernel::open(run, name, Kind::Mutex, false);
                run.learns(u64::from(found.is_some()));
                found
            });
            Ok(found.map(|(id, _)| Self(id)))
        }

        pub(crate) fn try_take(&self) -> io::Result<bool> {
            wait_for_any(&[self], Deadline::NOW).map(|found| found.is_some())
        }

        pub(crate) fn give_back(&self) {
            step();
            with(|run| kernel::give_back(run, self.0));
        }
    }

    // Handles of events, and of mutexes that are not lives, are kept for as long as a process lives here.
    impl Drop for Mutex {
        fn drop(&mut self) {
            with(|run| kernel::close(run, self.0));
        }
    }

    #[allow(clippy::unnecessary_wraps, reason = "as the real one")]
    pub(crate) fn wait_for_any(objects: &[&dyn Object], until: Deadline) -> io::Result<Option<usize>> {
        step();
        let ids: Vec<Id> = objects.iter().map(|object| object.id()).collect();
        Ok(kernel::wait(&ids, until))
    }
}
