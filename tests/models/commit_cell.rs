//! A model check of the commit cell: loom runs the real `src/sync/commit.rs` in the orders that the memory model allows.
//!
//! Commit `n` puts `n` into the first word and what belongs to it into the others, so whatever a reader gets shows
//! whether it is whole, and which commit it was. How `src/sync/words.rs` copies a slot is not in the model: relaxed
//! atomics, a word at a time, stand for it. The lock is loom's mutex, which, like the real one, a dead holder gives
//! up. The second half breaks the protocol in one place at a time: loom must find each, or else it proves nothing.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use commit::CommitCell;
use loom::model::Builder;
use loom::sync::{Arc, Mutex};
use loom::thread;

use crate::atomic::{AtomicU64, Ordering, fence};

#[path = "../../src/sync/commit.rs"]
mod commit;

mod atomic {
    use loom::sync::atomic;
    pub(super) use loom::sync::atomic::{Ordering, fence};

    /// loom's atomic, of which loom does not lose sight. Of the accesses to an atomic loom remembers the last one only,
    /// and takes the order of two loads for indifferent: when a thread loads a word and then stores to it, loom forgets
    /// that another has loaded it before, and does not try that load after the store. So each load is announced by a
    /// store elsewhere, whose order is not indifferent to it. That store is relaxed and never read: it orders nothing.
    pub(super) struct AtomicU64 {
        announced: atomic::AtomicU64,
        word: atomic::AtomicU64,
    }

    impl AtomicU64 {
        pub(super) fn new(word: u64) -> Self {
            Self { announced: atomic::AtomicU64::new(0), word: atomic::AtomicU64::new(word) }
        }

        pub(super) fn load(&self, order: Ordering) -> u64 {
            self.announced.store(0, Ordering::Relaxed);
            self.word.load(order)
        }

        pub(super) fn store(&self, word: u64, order: Ordering) {
            self.word.store(word, order);
        }
    }
}

/// What a writer adds to a value that it must not get to commit.
const NEVER_COMMITTED: u64 = 100;

/// Word `index` of the value that is committed as number `n`.
fn word(n: u64, index: usize) -> u64 {
    n + 1_000 * index as u64
}

/// The kinds of value that the cell treats differently.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    OneWord,
    Small,
    Large,
}

impl Kind {
    const ALL: [Self; 3] = [Self::OneWord, Self::Small, Self::Large];

    fn words(self) -> usize {
        if self == Self::OneWord { 1 } else { 2 }
    }
}

/// The cell's memory and its lock. Each slot has a word more than a value, so that a writer can be stopped when it has
/// written the whole value and not committed.
struct Shared<P> {
    kind: Kind,
    commits: AtomicU64,
    begun: AtomicU64,
    slots: [Vec<AtomicU64>; 2],
    lock: Mutex<()>,
    protocol: P,
}

/// How to read and commit.
trait Protocol: Copy + Send + Sync + 'static {
    fn read(self, cell: CommitCell<'_>, put: impl FnMut(usize, u64)) -> Option<u64>;
    fn commit(self, cell: CommitCell<'_>, get: impl Fn(usize) -> u64);
}

fn copy_out(slot: &[AtomicU64], mut put: impl FnMut(usize, u64)) {
    slot.iter().enumerate().for_each(|(index, word)| put(index, word.load(Ordering::Relaxed)));
}

fn copy_in(slot: &[AtomicU64], get: impl Fn(usize) -> u64) {
    slot.iter().enumerate().for_each(|(index, word)| word.store(get(index), Ordering::Relaxed));
}

/// The real one.
#[derive(Clone, Copy)]
struct Real;

impl Protocol for Real {
    fn read(self, cell: CommitCell<'_>, put: impl FnMut(usize, u64)) -> Option<u64> {
        cell.read(|n| copy_out(cell.slot(n), put))
    }

    fn commit(self, cell: CommitCell<'_>, get: impl Fn(usize) -> u64) {
        cell.commit(|slot| copy_in(slot, get));
    }
}

impl<P: Protocol> Shared<P> {
    fn new(protocol: P, kind: Kind) -> Arc<Self> {
        let slot = |n| (0..=kind.words()).map(|index| AtomicU64::new(word(n, index))).collect();
        // The odd slot is not to be read before the first commit.
        let slots = [slot(0), slot(NEVER_COMMITTED)];
        let (commits, begun) = (AtomicU64::new(0), AtomicU64::new(0));
        Arc::new(Self { kind, commits, begun, slots, lock: Mutex::new(()), protocol })
    }

    /// The cell, with as many words as a value has, or with one more.
    fn cell(&self, more: usize) -> CommitCell<'_> {
        let words = self.kind.words() + more;
        let begun = (self.kind == Kind::Large).then_some(&self.begun);
        CommitCell { commits: &self.commits, begun, slots: [&self.slots[0][..words], &self.slots[1][..words]] }
    }

    /// A snapshot: the number of its commit.
    fn get(&self) -> Option<u64> {
        let mut copy = [0; 2];
        let n = self.protocol.read(self.cell(0), |index, word| copy[index] = word)?;
        self.check(n, copy);
        Some(n)
    }

    fn check(&self, n: u64, copy: [u64; 2]) {
        let words = self.kind.words();
        assert!((0..words).all(|index| copy[index] == word(n, index)), "torn, or never committed: {n}, {copy:?}");
    }

    /// A snapshot under the lock.
    fn get_locked(&self) -> u64 {
        let _held = self.lock.lock().unwrap();
        self.last()
    }

    /// The last commit. The caller holds the lock.
    fn last(&self) -> u64 {
        let mut copy = [0; 2];
        let n = self.cell(0).last_locked();
        copy_out(self.cell(0).slot(n), |index, word| copy[index] = word);
        self.check(n, copy);
        n
    }

    /// What a guard does: copies the value, adds one, commits.
    fn add_one(&self) -> u64 {
        let _held = self.lock.lock().unwrap();
        let next = self.last() + 1;
        self.protocol.commit(self.cell(0), |index| word(next, index));
        next
    }

    /// The same by a writer who is killed when he has written `words` words; the lock is handed over.
    fn die_after(&self, words: usize) {
        let _held = self.lock.lock().unwrap();
        self.stop_after(words);
    }

    /// A writer's steps up to the moment when he has written `words` words. The caller holds the lock.
    fn stop_after(&self, words: usize) {
        struct Stopped;
        let unfit = NEVER_COMMITTED + self.last();
        let commit = || {
            self.protocol.commit(self.cell(1), |index| {
                if index == words {
                    resume_unwind(Box::new(Stopped)); // not `panic!`, which would be reported
                }
                word(unfit, index)
            });
        };
        let end = catch_unwind(AssertUnwindSafe(commit)).expect_err("stopped before the commit");
        assert!(end.is::<Stopped>());
    }
}

/// Tries every execution with at most this many preemptions; all there are for `None`.
fn check(preemptions: Option<usize>, kind: Kind, model: impl Fn(Kind) + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = preemptions;
    builder.max_branches = 100_000;
    builder.check(move || model(kind));
}

fn check_all(preemptions: Option<usize>, model: impl Fn(Kind) + Copy + Send + Sync + 'static) {
    Kind::ALL.into_iter().for_each(|kind| check(preemptions, kind, model));
}

/// A thread that does something with the cell.
fn spawn<P: Protocol, R: 'static>(
    shared: &Arc<Shared<P>>,
    body: impl FnOnce(&Shared<P>) -> R + 'static,
) -> thread::JoinHandle<R> {
    let shared = Arc::clone(shared);
    thread::spawn(move || body(&shared))
}

/// Reads while somebody commits twice, which is the least that can overtake a reader for good.
fn read_during_two_commits<P: Protocol>(preemptions: Option<usize>, kind: Kind, protocol: P) {
    check(preemptions, kind, move |kind| {
        let shared = Shared::new(protocol, kind);
        let writer = spawn(&shared, |shared| [shared.add_one(), shared.add_one()]);
        shared.get();
        assert_eq!(writer.join().unwrap(), [1, 2]);
        assert_eq!(shared.get(), Some(2));
    });
}

#[test]
fn a_reader_sees_whole_commits_only() {
    Kind::ALL.into_iter().for_each(|kind| read_during_two_commits(Some(3), kind, Real));
}

#[test]
fn a_reader_is_never_taken_back() {
    check_all(Some(2), |kind| {
        let shared = Shared::new(Real, kind);
        let writer = spawn(&shared, |shared| [shared.add_one(), shared.add_one()]);
        let seen = shared.cell(0).commits();
        let first = shared.get();
        let second = shared.get();
        assert!(first.is_none_or(|n| n >= seen), "older than the count that was seen");
        assert!(second.is_none_or(|n| n >= first.unwrap_or(seen)), "older than the value that was seen");
        writer.join().unwrap();
    });
}

#[test]
fn whoever_sees_a_commit_counted_sees_what_its_writer_did_before() {
    check_all(None, |kind| {
        let shared = Shared::new(Real, kind);
        let before = Arc::new(AtomicU64::new(0));
        let writer = spawn(&shared, {
            let before = Arc::clone(&before);
            move |shared| {
                before.store(1, Ordering::Relaxed);
                shared.add_one();
            }
        });
        let seen = shared.cell(0).commits();
        assert!(before.load(Ordering::Relaxed) >= seen);
        writer.join().unwrap();
    });
}

#[test]
fn one_commit_alone_overtakes_no_reader_of_a_large_value() {
    check(None, Kind::Large, |kind| {
        let shared = Shared::new(Real, kind);
        let writer = spawn(&shared, Shared::add_one);
        let first = shared.get().expect("a single commit made a reader fail");
        let second = shared.get().expect("a single commit made a reader fail");
        assert!(first <= second);
        writer.join().unwrap();
    });
}

#[test]
fn two_writers_in_turn_and_a_reader() {
    check_all(Some(2), |kind| {
        let shared = Shared::new(Real, kind);
        let writers = [(); 2].map(|()| spawn(&shared, Shared::add_one));
        shared.get();
        let mut commits = writers.map(|writer| writer.join().unwrap());
        commits.sort_unstable();
        assert_eq!(commits, [1, 2]);
        assert_eq!(shared.get(), Some(2));
    });
}

#[test]
fn what_one_reader_has_seen_another_who_hears_of_it_sees_too() {
    check_all(Some(2), |kind| {
        let shared = Shared::new(Real, kind);
        let heard = Arc::new(AtomicU64::new(0));
        let writer = spawn(&shared, Shared::add_one);
        let teller = spawn(&shared, {
            let heard = Arc::clone(&heard);
            move |shared| heard.store(shared.get().unwrap_or(0), Ordering::Release)
        });
        let heard = heard.load(Ordering::Acquire);
        assert!(shared.get().is_none_or(|n| n >= heard), "older than what another reader has seen");
        writer.join().unwrap();
        teller.join().unwrap();
    });
}

#[test]
fn a_reader_who_takes_the_lock_needs_one_attempt() {
    check_all(Some(2), |kind| {
        let shared = Shared::new(Real, kind);
        let writer = spawn(&shared, |shared| [shared.add_one(), shared.add_one()]);
        let before = shared.get().unwrap_or(0);
        assert!(shared.get_locked() >= before);
        writer.join().unwrap();
    });
}

#[test]
fn a_writer_killed_anywhere_harms_neither_readers_nor_the_next_writer() {
    for words in 0..=2 {
        check_all(Some(2), move |kind| {
            let shared = Shared::new(Real, kind);
            shared.add_one();
            let killed = spawn(&shared, move |shared| shared.die_after(words.min(kind.words())));
            assert_eq!(shared.get(), Some(1), "while he writes");
            killed.join().unwrap();
            assert_eq!(shared.get(), Some(1), "when he is dead");
            let next = spawn(&shared, Shared::add_one);
            let n = shared.get();
            assert!(n.is_none_or(|n| n <= 2) && (n.is_some() || kind != Kind::Large));
            assert_eq!(next.join().unwrap(), 2);
            assert_eq!(shared.get(), Some(2));
        });
    }
}

#[test]
fn a_writer_stopped_anywhere_with_the_lock_blocks_no_reader() {
    for words in 0..=2 {
        check_all(None, move |kind| {
            let shared = Shared::new(Real, kind);
            shared.add_one();
            let stopped = spawn(&shared, move |shared| {
                let held = shared.lock.lock().unwrap();
                shared.stop_after(words.min(kind.words()));
                std::mem::forget(held);
            });
            assert_eq!(shared.get(), Some(1));
            stopped.join().unwrap();
            assert!(shared.lock.try_lock().is_err());
            assert_eq!(shared.get(), Some(1));
        });
    }
}

#[test]
fn killed_writers_one_after_another_change_nothing() {
    check_all(Some(2), |kind| {
        let shared = Shared::new(Real, kind);
        let killed = [1, kind.words()].map(|words| spawn(&shared, move |shared| shared.die_after(words)));
        assert_eq!(shared.get(), Some(0));
        killed.into_iter().for_each(|killed| killed.join().unwrap());
        assert_eq!(shared.add_one(), 1);
        assert_eq!(shared.get(), Some(1));
    });
}

/// The protocol written down once more, with one thing wrong.
#[derive(Clone, Copy, PartialEq)]
enum Broken {
    Nowhere,
    CountsBeforeItWrites,
    CountsWithoutRelease,
    ReadsTheCountWithoutAcquire,
    DoesNotSayBegun,
    SaysBegunTooLate,
    WritesWithoutFence,
    ReadsWithoutFence,
    DoesNotLookAgain,
    WritesTheCurrentSlot,
}

impl Protocol for Broken {
    fn read(self, cell: CommitCell<'_>, put: impl FnMut(usize, u64)) -> Option<u64> {
        let relaxed = self == Self::ReadsTheCountWithoutAcquire;
        let n = cell.commits.load(if relaxed { Ordering::Relaxed } else { Ordering::Acquire });
        copy_out(cell.slots[(n & 1) as usize], put);
        if self != Self::ReadsWithoutFence {
            fence(Ordering::Acquire);
        }
        let is_whole = match cell.begun {
            Some(begun) => begun.load(Ordering::Relaxed) <= n + 1,
            None => cell.commits.load(Ordering::Relaxed) == n,
        };
        (is_whole || self == Self::DoesNotLookAgain).then_some(n)
    }

    fn commit(self, cell: CommitCell<'_>, get: impl Fn(usize) -> u64) {
        let next = cell.commits.load(Ordering::Relaxed) + 1;
        let count = |order| cell.commits.store(next, order);
        if self == Self::CountsBeforeItWrites {
            count(Ordering::Release);
        }
        let say_begun = || cell.begun.iter().for_each(|begun| begun.store(next, Ordering::Relaxed));
        if !matches!(self, Self::DoesNotSayBegun | Self::SaysBegunTooLate) {
            say_begun();
        }
        if self != Self::WritesWithoutFence {
            fence(Ordering::Release);
        }
        let slot = if self == Self::WritesTheCurrentSlot { next + 1 } else { next };
        copy_in(cell.slots[(slot & 1) as usize], get);
        if self == Self::SaysBegunTooLate {
            say_begun();
        }
        match self {
            Self::CountsBeforeItWrites => {}
            Self::CountsWithoutRelease => count(Ordering::Relaxed),
            _ => count(Ordering::Release),
        }
    }
}

#[test]
fn the_protocol_written_down_once_more_is_right() {
    Kind::ALL.into_iter().for_each(|kind| read_during_two_commits(Some(2), kind, Broken::Nowhere));
}

/// loom finds a reader who gets what was never committed.
macro_rules! is_found {
    ($($test:ident: $broken:ident, $($kind:ident)|+;)*) => {$(
        #[test]
        fn $test() {
            $({
                let broken = || read_during_two_commits(Some(2), Kind::$kind, Broken::$broken);
                let found = catch_unwind(broken).expect_err(concat!("not found: ", stringify!($kind)));
                let message = found.downcast_ref::<String>().expect("a message");
                assert!(message.starts_with("torn"), "{message}");
            })+
        }
    )*};
}

is_found! {
    counting_a_commit_before_its_words_are_written_is_found: CountsBeforeItWrites, OneWord | Small | Large;
    counting_a_commit_without_release_is_found: CountsWithoutRelease, OneWord | Small | Large;
    reading_the_count_without_acquire_is_found: ReadsTheCountWithoutAcquire, OneWord | Small | Large;
    not_saying_that_a_commit_has_begun_is_found: DoesNotSayBegun, Large;
    saying_too_late_that_a_commit_has_begun_is_found: SaysBegunTooLate, Large;
    a_writer_without_its_fence_is_found: WritesWithoutFence, OneWord | Small | Large;
    a_reader_without_its_fence_is_found: ReadsWithoutFence, OneWord | Small | Large;
    a_reader_that_does_not_look_whether_it_was_overtaken_is_found: DoesNotLookAgain, OneWord | Small | Large;
    writing_the_slot_that_is_being_read_is_found: WritesTheCurrentSlot, OneWord | Small | Large;
}
