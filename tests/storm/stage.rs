//! What the storm rages over: the shared objects, and what must be true of their contents.

use std::sync::atomic::Ordering::SeqCst;

use bytemuck::{Pod, Zeroable};
use robust_shm::{SharedArray, SharedEvent, SharedLock, SharedRwLock, SharedSemaphore, SharedSlice, SharedValue};

use crate::ledger::{Ledger, PERMITS, Place, SLOTS};
use crate::support::{Random, member};

pub(crate) const BALANCES: usize = 16;

/// A value of several cache lines: how often each slot has committed, and accounts whose sum is 0.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Accounts {
    pub(crate) counts: [u64; SLOTS],
    balances: [i64; BALANCES],
    pub(crate) total: u64,
    check: u64,
}

impl Accounts {
    pub(crate) fn new() -> Self {
        let mut new = Self::zeroed();
        new.check = new.digest();
        new
    }

    pub(crate) fn transfer(&mut self, slot: usize, random: &mut Random) {
        let (from, to, amount) = (random.below(BALANCES), random.below(BALANCES), random.below(1_000) as i64);
        self.balances[from] -= amount;
        self.counts[slot] += 1;
        self.total += 1;
        self.balances[to] += amount;
        self.check = self.digest();
    }

    pub(crate) fn check(&self) {
        assert_eq!(self.check, self.digest(), "torn: the check does not fit the rest");
        assert_eq!(self.balances.iter().sum::<i64>(), 0, "torn: money was made or lost");
        assert_eq!(self.counts.iter().sum::<u64>(), self.total, "torn: the counts do not fit their total");
    }

    fn digest(&self) -> u64 {
        let words = bytemuck::bytes_of(self).chunks_exact(8).map(|word| u64::from_ne_bytes(word.try_into().unwrap()));
        words.take(SLOTS + BALANCES + 1).fold(1, |sum, word| (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

/// A value that fits one cache line with both its slots.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Pair {
    pub(crate) total: u64,
    twin: u64,
}

impl Pair {
    pub(crate) fn new(total: u64) -> Self {
        Self { total, twin: !total.wrapping_mul(0x9e37_79b9_7f4a_7c15) }
    }

    pub(crate) fn check(&self) {
        assert_eq!(self.twin, Self::new(self.total).twin, "torn: the twins differ");
    }
}

const COPIES: usize = 32;
const TOTAL: usize = SLOTS;
const GENERATION: usize = SLOTS + 1;
pub(crate) const ELEMENTS: usize = SLOTS + 2 + COPIES;

/// The elements: a count for each slot, their total, and a generation with its copies.
pub(crate) struct Elements;

impl Elements {
    pub(crate) fn change(elements: &mut [u64], slot: usize) {
        elements[GENERATION] += 1;
        elements[slot] += 1;
        for copy in GENERATION + 1..ELEMENTS {
            elements[copy] = std::hint::black_box(elements[GENERATION]);
        }
        elements[TOTAL] += 1;
    }

    pub(crate) fn check(elements: &[u64]) {
        assert!(
            elements[GENERATION + 1..].iter().all(|copy| *copy == elements[GENERATION]),
            "the elements are half-changed, and there is no poison"
        );
        assert_eq!(elements[..SLOTS].iter().sum::<u64>(), elements[TOTAL], "half-changed, and there is no poison");
    }

    pub(crate) fn repair(elements: &mut [u64]) {
        let generation = elements[GENERATION];
        elements[GENERATION + 1..].fill(generation);
        elements[TOTAL] = elements[..SLOTS].iter().sum();
    }
}

const ITEMS: usize = 2 * SLOTS;
pub(crate) const ROOM: u64 = 4;
pub(crate) type Buffer = SharedArray<u64, { ITEMS + 1 }>;

/// The buffer: how many items each slot has put, how many it has taken, and how many there are.
pub(crate) struct Stock;

impl Stock {
    /// Where the count of a slot is.
    pub(crate) fn at(place: Place, slot: usize) -> usize {
        if place == Place::Put { slot } else { SLOTS + slot }
    }

    /// Is there nothing to take, or no room?
    pub(crate) fn must_wait(stock: &[u64], place: Place) -> bool {
        stock[ITEMS] == if place == Place::Put { ROOM } else { 0 }
    }

    pub(crate) fn change(stock: &mut [u64], place: Place, slot: usize, ledger: &Ledger) {
        stock[Self::at(place, slot)] += 1;
        let items = std::hint::black_box(stock[ITEMS]);
        stock[ITEMS] = if place == Place::Put { items + 1 } else { items - 1 };
        ledger.items.store(stock[ITEMS], SeqCst);
    }

    pub(crate) fn check(stock: &[u64]) {
        assert_eq!(stock[ITEMS], Self::count(stock), "half-changed, and there is no poison");
        assert!(stock[ITEMS] <= ROOM, "{} items where there is room for {ROOM}", stock[ITEMS]);
    }

    pub(crate) fn repair(stock: &mut [u64], ledger: &Ledger) {
        ledger.repairs.fetch_add(1, SeqCst);
        stock[ITEMS] = Self::count(stock);
        ledger.items.store(stock[ITEMS], SeqCst);
    }

    fn count(stock: &[u64]) -> u64 {
        stock[..SLOTS].iter().sum::<u64>() - stock[SLOTS..ITEMS].iter().sum::<u64>()
    }
}

/// What short-lived segments hold: their identity, and how often they were changed.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Token {
    pub(crate) id: u64,
    pub(crate) changes: u64,
    check: u64,
}

impl Token {
    pub(crate) fn new(id: u64, changes: u64) -> Self {
        Self { id, changes, check: id.wrapping_mul(31) ^ !changes }
    }

    pub(crate) fn check(&self) {
        assert_eq!(self.check, Self::new(self.id, self.changes).check, "a torn token");
    }
}

/// The objects that live as long as the storm.
pub(crate) struct Stage {
    pub(crate) accounts: SharedValue<Accounts>,
    pub(crate) pair: SharedValue<Pair>,
    pub(crate) word: SharedValue<u64>,
    pub(crate) array: SharedArray<u64, ELEMENTS>,
    /// The same segment.
    pub(crate) slice: SharedSlice<u64>,
    pub(crate) lock: SharedLock,
    pub(crate) rwlock: SharedRwLock,
    pub(crate) event: SharedEvent,
    pub(crate) semaphore: SharedSemaphore,
    pub(crate) buffer: Buffer,
}

/// The segments that are read side by side.
pub(crate) const READ: [usize; 3] = [2, 6, 9];

impl Stage {
    pub(crate) fn create(family: &str) -> Self {
        Self {
            accounts: SharedValue::create(&member(family, 0), Accounts::new()).unwrap(),
            pair: SharedValue::create(&member(family, 1), Pair::new(0)).unwrap(),
            word: SharedValue::create(&member(family, 5), 0).unwrap(),
            array: SharedArray::create(&member(family, 2)).unwrap(),
            slice: SharedSlice::open_exact(&member(family, 2), ELEMENTS).unwrap(),
            lock: SharedLock::create(&member(family, 3)).unwrap(),
            // Fewer slots than workers, so that some read with the lock.
            rwlock: SharedRwLock::options().readers(3).create(&member(family, 6)).unwrap(),
            event: SharedEvent::create(&member(family, 7)).unwrap(),
            semaphore: SharedSemaphore::create(&member(family, 8), PERMITS).unwrap(),
            buffer: Buffer::create(&member(family, 9)).unwrap(),
        }
    }

    pub(crate) fn open(family: &str) -> Self {
        Self {
            accounts: SharedValue::open(&member(family, 0)).unwrap(),
            pair: SharedValue::open(&member(family, 1)).unwrap(),
            word: SharedValue::open(&member(family, 5)).unwrap(),
            array: SharedArray::open(&member(family, 2)).unwrap(),
            slice: SharedSlice::open(&member(family, 2)).unwrap(),
            lock: SharedLock::open(&member(family, 3)).unwrap(),
            rwlock: SharedRwLock::open(&member(family, 6)).unwrap(),
            event: SharedEvent::open(&member(family, 7)).unwrap(),
            semaphore: SharedSemaphore::open(&member(family, 8)).unwrap(),
            buffer: Buffer::open(&member(family, 9)).unwrap(),
        }
    }
}

/// An acknowledged commit to the pair or the word is never missing again, and number and contents are of one commit.
pub(crate) fn check_totals(ledger: &Ledger, stage: &Stage) {
    let best = ledger.best_pair.load(SeqCst);
    let mut commit = u64::MAX;
    let pair = stage.pair.get_if_changed(&mut commit).unwrap();
    pair.check();
    assert!(pair.total >= best, "an acknowledged commit to the pair is lost");
    assert_eq!(pair.total, commit, "the number of another commit");
    let best = ledger.best_word.load(SeqCst);
    let mut commit = u64::MAX;
    let word = stage.word.get_if_changed(&mut commit).unwrap();
    assert!(word >= best && stage.word.get() >= word, "an acknowledged commit to the word is lost");
    assert_eq!(word, commit, "the number of another commit");
}

pub(crate) const PERSISTENT: usize = 4;
/// Names that their last user removes.
pub(crate) const SHORT_LIVED: std::ops::Range<usize> = 10..12;
/// Names that anybody removes at any time.
pub(crate) const REMOVED: std::ops::Range<usize> = 20..22;
