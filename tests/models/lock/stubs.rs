//! What stands around the lock in the copies: the lock line's memory, time, and a waiter who does not spin.

use std::mem::MaybeUninit;

use crate::layout::{LockLine, ReaderLine, WaitLine};
use crate::memory::atomic::AtomicU64;

/// The lock lines and list heads of a world.
#[repr(C, align(64))]
pub(crate) struct Lines {
    pub(crate) lines: [MaybeUninit<LockLine>; Self::MOST],
    /// The line in each one's header.
    pub(crate) successors: [MaybeUninit<LockLine>; Self::MOST],
    /// `struct robust_list_head` of each thread.
    pub(crate) heads: [[usize; 3]; Self::THREADS],
    /// The field of each line's header.
    pub(crate) namespaces: [MaybeUninit<AtomicU64>; Self::MOST],
    /// The wait line behind each.
    pub(crate) waits: [MaybeUninit<WaitLine>; Self::MOST],
    /// How many commits there have been.
    pub(crate) commits: MaybeUninit<AtomicU64>,
    /// In front of the slots, which are the lines behind the first.
    pub(crate) readers: MaybeUninit<ReaderLine>,
}

/// What is shared, and never dropped.
#[derive(Debug)]
pub(crate) struct Arc<T>(T);

impl<T> From<T> for Arc<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T> std::ops::Deref for Arc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// As `robust_list/came_by.rs`, for coroutines.
pub(crate) mod came_by {
    use crate::run::with;

    pub(crate) fn remember(slot: u32) {
        with(|run| run.me().remembered_slot = slot);
    }

    pub(crate) fn remembered() -> u32 {
        with(|run| run.me().remembered_slot)
    }
}

/// As `sync/node.rs`: here every node is a segment's.
pub(crate) mod node {
    use crate::memory::atomic::AtomicU64;
    use crate::run::with;

    pub(crate) fn segment_of(node: usize) -> Option<[u64; 2]> {
        with(|run| run.line_of(node)).map(|(line, _)| [line as u64, 0])
    }

    pub(crate) fn is_in_segment(node: usize) -> bool {
        segment_of(node).is_some()
    }

    pub(crate) fn word_of_successor<'a>(node: usize) -> Option<&'a AtomicU64> {
        let line = with(|run| run.successor_of(node))?.0;
        Some(&crate::successor::line(line).word)
    }

    pub(crate) fn reader_of(node: usize) -> Option<([u64; 2], usize)> {
        let (line, _) = with(|run| run.line_of(node))?;
        line.checked_sub(1).map(|slot| ([0, 0], slot))
    }
}

/// As `sync/interrupts.rs`: what is asked takes its time, and says what the checker likes.
pub(crate) mod interrupts {
    use crate::run::{step, with};

    #[derive(Debug)]
    pub(crate) struct Interruption;

    pub(crate) fn are_asked() -> bool {
        with(|run| run.world.asks)
    }

    pub(crate) fn ask() -> Result<(), Interruption> {
        step();
        with(|run| {
            run.me().asks = false;
            let gives_up = run.budget.interruptions > 0 && run.choose(2) == 1;
            run.budget.interruptions -= u8::from(gives_up);
            run.say(|_| format!("is asked: {}", if gives_up { "gives up" } else { "goes on" }));
            if gives_up { Err(Interruption) } else { Ok(()) }
        })
    }
}

/// As `sync/habits.rs`: a thread remembers the line that it had last, and it is time for whatever is done seldom.
pub(crate) mod habits {
    use crate::run::with;

    pub(crate) struct Habits {
        pub(crate) homes: Homes,
    }

    impl Habits {
        pub(crate) const NONE: Self = Self { homes: Homes };

        /// The checker's choice.
        pub(crate) fn forgets(&self) -> bool {
            with(|run| run.world.forgets && run.choose(2) == 1)
        }
    }

    pub(crate) struct Homes;

    impl Homes {
        pub(crate) fn last_of(&self, _tid: u32) -> usize {
            with(|run| run.me().home)
        }

        pub(crate) fn get(&self, _owner: u64, lines: usize) -> usize {
            let (had, first) = with(|run| (run.me().home, if run.world.one_home { 0 } else { run.current }));
            if (1..=lines).contains(&had) { had - 1 } else { first % lines }
        }

        pub(crate) fn note(&self, _owner: u64, index: usize) {
            with(|run| run.me().home = index + 1);
        }
    }
}

impl Lines {
    pub(crate) const MOST: usize = 4;
    pub(crate) const THREADS: usize = 5;
    /// Where the links are in a line.
    pub(crate) const LINKS: std::ops::Range<usize> = 16..48;
    /// What the C library of this machine says about its robust mutexes.
    pub(crate) const FUTEX_OFFSET: isize = if cfg!(target_env = "musl") { -28 } else { -32 };

    pub(crate) fn line(&self, which: usize) -> &LockLine {
        // SAFETY: zeroed when a run begins; all bytes zero are a lock line.
        unsafe { self.lines[which].assume_init_ref() }
    }

    pub(crate) fn successor(&self, which: usize) -> &LockLine {
        // SAFETY: as above.
        unsafe { self.successors[which].assume_init_ref() }
    }

    pub(crate) fn waits(&self, which: usize) -> &WaitLine {
        // SAFETY: as above.
        unsafe { self.waits[which].assume_init_ref() }
    }

    pub(crate) fn readers(&self) -> &ReaderLine {
        // SAFETY: as above.
        unsafe { self.readers.assume_init_ref() }
    }

    /// The slots of readers, so many.
    pub(crate) fn slots(&self, count: usize) -> &[LockLine] {
        let slots: *const [MaybeUninit<LockLine>] = &raw const self.lines[1..=count];
        // SAFETY: as above; and of the same layout as what it may be.
        unsafe { &*(slots as *const [LockLine]) }
    }

    pub(crate) fn commits(&self) -> &AtomicU64 {
        // SAFETY: as above.
        unsafe { self.commits.assume_init_ref() }
    }

    pub(crate) fn namespace(&self, which: usize) -> &AtomicU64 {
        // SAFETY: as above.
        unsafe { self.namespaces[which].assume_init_ref() }
    }
}

pub(crate) mod os {
    use std::time::Duration;

    use crate::run::{read_clock, with};

    /// The times that a waiter remembers.
    const STARVED: Duration = Duration::from_millis(1);
    const HEARTBEAT: Duration = Duration::from_secs(3);

    /// Nanoseconds on a clock that goes on when the checker says so.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub(crate) struct Deadline(pub(crate) u64);

    #[allow(clippy::unnecessary_wraps, reason = "as the real one")]
    impl Deadline {
        pub(crate) fn now() -> Self {
            Self(read_clock())
        }

        pub(crate) fn after(wait: Duration) -> Option<Self> {
            let nanos = wait.as_nanos() as u64;
            Some(Self(with(|run| {
                let deadline = run.clock + nanos;
                if !run.me().seeks {
                    run.me().learns(deadline);
                }
                let is_file = run.world.file;
                let timers = &mut run.me().timers;
                match wait {
                    STARVED if timers[0] == 0 => timers[0] = deadline,
                    HEARTBEAT => timers[1] = deadline,
                    // Who watches or relies remembers until when, and for how long it did.
                    _ if is_file => timers[1..].copy_from_slice(&[deadline, nanos]),
                    _ => {}
                }
                deadline
            })))
        }

        pub(crate) fn soon(wait: Duration) -> Self {
            Self::after(wait).expect("no limit")
        }

        pub(crate) fn has_passed(self) -> bool {
            Self::now() >= self
        }
    }

    pub(crate) fn monotonic_nanos() -> u64 {
        read_clock()
    }

    pub(crate) mod futex {
        use std::io;

        use super::Deadline;
        use crate::kernel;
        use crate::memory::atomic::{AtomicU32, AtomicU64};
        use crate::run::with;

        pub(crate) const WAITERS: u32 = libc::FUTEX_WAITERS;
        pub(crate) const OWNER_DIED: u32 = libc::FUTEX_OWNER_DIED;
        pub(crate) const TID: u32 = libc::FUTEX_TID_MASK;

        #[allow(clippy::unnecessary_wraps, reason = "as the real one")]
        pub(crate) fn wait(word: &AtomicU64, expected: u32, classes: u32, until: Deadline) -> io::Result<bool> {
            Ok(kernel::wait(word.as_ptr().addr(), expected, classes, until.0))
        }

        #[allow(clippy::unnecessary_wraps, reason = "as the real one")]
        pub(crate) fn wake_one(word: &AtomicU64, classes: u32) -> io::Result<bool> {
            Ok(kernel::wake(word.as_ptr().addr(), classes))
        }

        #[allow(clippy::unnecessary_wraps, reason = "as the real one")]
        pub(crate) fn wake_all(word: &AtomicU64) -> io::Result<()> {
            kernel::wake_all(word.as_ptr().addr());
            Ok(())
        }

        #[allow(clippy::unnecessary_wraps, reason = "as the real one")]
        pub(crate) fn wake_all_of(word: &AtomicU64, classes: u32) -> io::Result<()> {
            kernel::wake_all_of(word.as_ptr().addr(), classes);
            Ok(())
        }

        #[allow(clippy::unnecessary_wraps, reason = "as the real one")]
        pub(crate) fn wait_in(word: &AtomicU32, expected: u32, classes: u32, until: Deadline) -> io::Result<bool> {
            Ok(kernel::wait(word.as_ptr().addr(), expected, classes, until.0))
        }

        #[allow(clippy::unnecessary_wraps, reason = "as the real one")]
        pub(crate) fn move_all(from: &AtomicU32, expected: u32, to: &AtomicU64) -> io::Result<()> {
            kernel::move_all(from.as_ptr().addr(), expected, to.as_ptr().addr());
            Ok(())
        }

        pub(crate) fn can_wait_for_many() -> bool {
            with(|run| !run.world.rings)
        }

        #[allow(clippy::unnecessary_wraps, reason = "as the real one")]
        pub(crate) fn wait_for_any<'a>(
            _zero: &AtomicU32,
            words: impl Iterator<Item = (&'a AtomicU64, u32)>,
            until: Deadline,
        ) -> io::Result<bool> {
            let words: Vec<_> = words.map(|(word, expected)| (word.as_ptr().addr(), expected)).collect();
            let woken = kernel::wait_for_many(&words, until.0);
            Ok(woken)
        }

        #[allow(clippy::unnecessary_wraps, reason = "as the real one")]
        pub(crate) fn wait_on(word: &AtomicU32, expected: u32, until: Deadline) -> io::Result<bool> {
            let address = word.as_ptr().addr();
            if with(|run| run.place(address).is_none()) {
                kernel::sleep_by_the_clock(until.0);
                return Ok(false);
            }
            Ok(kernel::wait(address, expected, u32::MAX, until.0))
        }

        #[allow(clippy::unnecessary_wraps, reason = "as the real one")]
        pub(crate) fn wake_one_on(word: &AtomicU32) -> io::Result<bool> {
            Ok(kernel::wake(word.as_ptr().addr(), u32::MAX))
        }

        pub(crate) fn wake_one_at(address: usize) -> bool {
            kernel::wake(address, u32::MAX);
            true
        }
    }

    pub(crate) mod place {
        use std::io;

        use super::{Deadline, futex};
        use crate::memory::atomic::AtomicU64;

        pub(crate) const TELLS_OF_DEATHS: bool = false;

        pub(crate) struct Place;

        impl Place {
            pub(crate) const ROOM: std::ops::Range<isize> = 8..8;

            pub(crate) fn new() -> Self {
                Self
            }

            pub(crate) fn wait(
                &mut self,
                word: &AtomicU64,
                low: u32,
                classes: u32,
                until: Deadline,
            ) -> io::Result<bool> {
                futex::wait(word, low, classes, until)
            }

            pub(crate) fn may_be_preferred(&self) -> bool {
                true
            }

            pub(crate) fn heard_of_the_end_of(&self, _tid: u32) -> bool {
                false
            }

            pub(crate) fn leave(&mut self) {}

            pub(crate) fn end(&mut self, _word: &AtomicU64, _taken_from: Option<u64>) {}
        }
    }

    pub(crate) mod death {
        use crate::kernel;

        pub(crate) fn has_ended(_tid: u32) -> bool {
            false
        }

        pub(crate) fn is_dead_thread(tid: u32) -> bool {
            !kernel::thread_exists(tid)
        }
    }

    pub(crate) mod namespace {
        use crate::run::with;

        pub(crate) fn pid_namespace() -> u64 {
            with(|run| run.me().namespace)
        }
    }

    pub(crate) mod seat {
        use crate::kernel;

        #[derive(Debug)]
        pub(crate) struct Seat(u32);

        impl Seat {
            pub(crate) fn of(slot: u32) -> Self {
                Self(slot)
            }

            pub(crate) fn slot(&self) -> u32 {
                self.0
            }

            /// Nobody forks here.
            pub(crate) fn settled(&self) -> u64 {
                u64::from(self.0) << 32
            }

            /// As the kernel answers: the own description is in nobody's way.
            pub(crate) fn is_free(&self, slot: u32) -> bool {
                slot == self.0 || kernel::is_free(slot)
            }

            pub(crate) fn make_known(&self) {}

            /// Nobody has two handles.
            pub(crate) fn is_beside(&self, _slot: u32) -> bool {
                false
            }

            pub(crate) fn try_watch(&self) -> bool {
                kernel::try_watch()
            }

            pub(crate) fn stop_watching(&self) {
                kernel::stop_watching();
            }

            /// Everybody keeps his descriptors.
            pub(crate) fn may_be_mapped_by(&self, _tid: u32) -> bool {
                false
            }
        }
    }
}

pub(crate) mod spin {
    use crate::layout::LockLine;
    use crate::memory::atomic::Ordering;
    use crate::run::with;
    use crate::stubs::os::Deadline;

    /// How a handle waits awake, without the spinning: one look.
    pub(crate) struct SpinPolicy;

    impl SpinPolicy {
        pub(crate) fn watch(&self, line: &LockLine, _end: Option<Deadline>, _has_slept: bool) -> u64 {
            // Between this look and the one before, others may do what they may also do before that one.
            line.word.look_again(Ordering::Relaxed)
        }

        pub(crate) fn watch_for(&self, _end: Option<Deadline>, is_done: impl Fn() -> bool) -> bool {
            is_done()
        }

        /// Looking holders up shows nothing where the kernel reports every death.
        pub(crate) fn was_seen_alive(&self, holder: u64) -> bool {
            with(|run| !run.world.unnoticed || run.me().last_seen_alive == holder)
        }

        pub(crate) fn note_alive(&self, holder: u64) {
            with(|run| run.me().last_seen_alive = holder);
        }
    }
}
