//! What is known outside of the crate's memory.

use std::fs::File;
use std::path::PathBuf;

use crate::WORKERS;
use crate::support::FileExt;

/// What a worker says of itself: for each place, what it has intended and acknowledged; and the rest.
pub(crate) const VALUE: usize = 0;
pub(crate) const ARRAY: usize = 2;
pub(crate) const LOCK: usize = 4;
pub(crate) const RESTS: usize = 6;
pub(crate) const DOING: usize = 7;
pub(crate) const WORDS: usize = 8;
/// What it is at; before it has begun and in between, nothing.
pub(crate) const DOINGS: [&str; 5] = ["of none", "of holders", "of waiters", "of creators", "of readers"];
pub(crate) const NOTHING: u64 = 0;
pub(crate) const HOLDING: u64 = 1;
pub(crate) const WAITING: u64 = 2;
pub(crate) const CREATING: u64 = 3;
pub(crate) const READING: u64 = 4;

/// The plain file, which goes when the test ends: the words of all workers, then what the lock guards: a count for each of
/// them, and their sum.
pub(crate) struct Ledger(File);

impl Ledger {
    pub(crate) fn create(family: &str) -> Self {
        std::fs::write(Self::path(family), [0; 8 * (WORKERS * WORDS + WORKERS + 2)]).unwrap();
        Self::open(family)
    }

    pub(crate) fn open(family: &str) -> Self {
        Self(File::options().read(true).write(true).open(Self::path(family)).unwrap())
    }

    pub(crate) fn path(family: &str) -> PathBuf {
        std::env::temp_dir().join(family)
    }

    pub(crate) fn get(&self, index: usize) -> u64 {
        let mut bytes = [0; 8];
        self.0.read_exact_at(&mut bytes, 8 * index as u64).unwrap();
        u64::from_ne_bytes(bytes)
    }

    pub(crate) fn set(&self, index: usize, word: u64) {
        self.0.write_all_at(&word.to_ne_bytes(), 8 * index as u64).unwrap();
    }

    pub(crate) fn word(&self, slot: usize, which: usize) -> u64 {
        self.get(slot * WORDS + which)
    }

    pub(crate) fn set_word(&self, slot: usize, which: usize, word: u64) {
        self.set(slot * WORDS + which, word);
    }

    /// What was committed for a slot is at least what was acknowledged, and at most what was intended.
    pub(crate) fn check(&self, slot: usize, place: usize, found: u64) {
        let (intended, acknowledged) = (self.word(slot, place), self.word(slot, place + 1));
        assert!((acknowledged..=intended).contains(&found), "place {place}: {acknowledged} <= {found} <= {intended}");
    }

    pub(crate) const COUNTERS: usize = WORKERS * WORDS;
    pub(crate) const SUM: usize = Self::COUNTERS + WORKERS;
    pub(crate) const INSIDE: usize = Self::SUM + 1;

    pub(crate) fn counters(&self) -> ([u64; WORKERS], u64) {
        (std::array::from_fn(|slot| self.get(Self::COUNTERS + slot)), self.get(Self::SUM))
    }
}

/// Removes the file when it is dropped.
pub(crate) struct Remove(pub(crate) PathBuf);

impl Drop for Remove {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
