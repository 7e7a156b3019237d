//! What is known about the storm outside the crate's memory: a mapping that all processes inherit.
//!
//! A worker notes an intent before a commit and an acknowledgement when the operation has returned. Killed in between, it
//! may have committed or not: so what is found later is at least what was acknowledged, and at most what was intended.

use std::fs::File;
use std::os::fd::FromRawFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::SeqCst};

/// The most workers there can be.
pub(crate) const SLOTS: usize = 256;

/// The places that commits go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Accounts,
    Pair,
    Word,
    Array,
    File,
    /// What the lock for readers and writers guards.
    Board,
    /// What comes into the buffer, and what is taken out.
    Put,
    Taken,
    Persistent,
}

/// The last one is not there all the time.
pub(crate) const PLACES: [Place; 9] = [
    Place::Accounts,
    Place::Pair,
    Place::Word,
    Place::Array,
    Place::File,
    Place::Board,
    Place::Put,
    Place::Taken,
    Place::Persistent,
];

/// How many permits the semaphore has.
pub(crate) const PERMITS: usize = 3;

/// What is counted for the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tally {
    Poisonings,
    Repairs,
    Reads,
    Created,
    Opened,
    Orphans,
    RolledBack,
    NotTaken,
    /// Read side by side.
    Readings,
    /// Had a permit.
    Permits,
    /// Waited for a commit, an item, room, or the event, without an end of time.
    Waits,
    Unacknowledged,
}

const TALLIES: usize = Tally::Unacknowledged as usize + 1;

/// What all are to do. The number of the round makes each one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Storm,
    /// Everyone waits for this lock, and it is handed from one to the next. Who waits for something else goes on waiting.
    Relay(usize),
    /// Who waits for something else is told that the round is over.
    Tell,
    Finish,
}

/// What a worker waits for, without an end of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaited {
    Nothing,
    /// An item or room in the buffer, that had been repaired so often.
    Item(u64),
    Room(u64),
    /// A commit to the pair, or the word, behind the one of this number.
    Pair(u64),
    Word(u64),
    Event,
}

#[repr(C)]
pub(crate) struct Ledger {
    phase: AtomicU64,
    has_failed: AtomicU32,
    message: [AtomicU8; 1_000],
    /// The highest totals that acknowledged commits have given the pair and the word.
    pub(crate) best_pair: AtomicU64,
    pub(crate) best_word: AtomicU64,
    /// How many items are in the buffer, if it is not poisoned.
    pub(crate) items: AtomicU64,
    /// How often it was repaired.
    pub(crate) repairs: AtomicU64,
    /// Who is inside the section of each lock.
    inside: [AtomicU32; PLACES.len()],
    /// Who has each of the permits.
    holders: [AtomicU32; PERMITS],
    /// One for each worker, and one for the process that tells them all that a round is over.
    slots: [Slot; SLOTS + 1],
}

#[repr(C)]
pub(crate) struct Slot {
    intended: [AtomicU64; PLACES.len()],
    acknowledged: [AtomicU64; PLACES.len()],
    tallies: [AtomicU64; TALLIES],
    awaited: AtomicU32,
    /// The number of the commit that it has seen.
    seen: AtomicU64,
    /// The last phase that the worker has done its part of.
    pub(crate) parked: AtomicU64,
}

impl Ledger {
    /// Maps one for this process and all that it forks, for as long as they live.
    pub(crate) fn new() -> &'static Self {
        let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches nothing of ours.
        let memory = unsafe { libc::mmap(std::ptr::null_mut(), size_of::<Self>(), access, flags, -1, 0) };
        assert!(memory != libc::MAP_FAILED);
        // SAFETY: page-aligned, long enough, zero, which all of these atomics may be, and never unmapped.
        unsafe { &*memory.cast::<Self>() }
    }

    pub(crate) fn slot(&self, which: usize) -> &Slot {
        &self.slots[which]
    }

    pub(crate) fn start(&self, phase: Phase) -> u64 {
        let code = match phase {
            Phase::Storm => 0,
            Phase::Relay(which) => 1 + which as u64,
            Phase::Tell => 14,
            Phase::Finish => 15,
        };
        let number = (self.phase.load(SeqCst) / 16 + 1) * 16 + code;
        self.phase.store(number, SeqCst);
        number
    }

    pub(crate) fn phase(&self) -> (u64, Phase) {
        let number = self.phase.load(SeqCst);
        let phase = match number % 16 {
            0 => Phase::Storm,
            14 => Phase::Tell,
            15 => Phase::Finish,
            code => Phase::Relay(code as usize - 1),
        };
        (number, phase)
    }

    /// How many rounds have begun: each has three phases.
    pub(crate) fn rounds(&self) -> usize {
        (self.phase.load(SeqCst) as usize / 16).saturating_sub(1) / 3
    }

    /// What is seldom done in this round, so that more wait for it; in every third round nothing is.
    pub(crate) fn scarce(&self) -> Option<Place> {
        [None, Some(Place::Put), Some(Place::Taken)][self.rounds() % 3]
    }

    /// Notes why a worker failed; the first one counts.
    pub(crate) fn fail(&self, message: &str) {
        if self.has_failed.load(SeqCst) == 0 {
            for (to, from) in self.message.iter().zip(message.bytes()) {
                to.store(from, SeqCst);
            }
            self.has_failed.store(1, SeqCst);
        }
    }

    pub(crate) fn failure(&self) -> Option<String> {
        (self.has_failed.load(SeqCst) != 0).then(|| {
            let bytes = self.message.iter().map(|byte| byte.load(SeqCst)).take_while(|byte| *byte != 0);
            String::from_utf8_lossy(&bytes.collect::<Vec<_>>()).into_owned()
        })
    }

    /// Enters the section of a lock. A mark that somebody left stands for a death inside, so for poison.
    pub(crate) fn enter(&self, place: Place, is_whole: bool) {
        let before = self.inside[place as usize].swap(std::process::id(), SeqCst);
        assert!(!is_whole || before == 0, "{place:?}: process {before} was or is inside, and there is no poison");
    }

    pub(crate) fn leave(&self, place: Place) {
        let (me, mark) = (std::process::id(), &self.inside[place as usize]);
        let found = mark.swap(0, SeqCst);
        assert!(found == me, "{place:?}: process {found} came in while {me} held the lock");
    }

    /// While somebody reads, nobody is inside, and no mark is left: that would be poison.
    pub(crate) fn expect_nobody(&self, place: Place) {
        let found = self.inside[place as usize].load(SeqCst);
        assert!(found == 0, "{place:?}: process {found} was or is inside while {} reads", std::process::id());
    }

    /// Has a permit while the body runs: nobody else has the same.
    pub(crate) fn hold(&self, permit: usize, body: impl FnOnce()) {
        let (me, holder) = (std::process::id(), &self.holders[permit]);
        holder.store(me, SeqCst);
        body();
        let found = holder.swap(0, SeqCst);
        assert!(found == me, "process {found} had permit {permit} while {me} had it");
    }

    pub(crate) fn tally(&self, which: Tally) -> u64 {
        self.slots.iter().map(|slot| slot.tallies[which as usize].load(SeqCst)).sum()
    }

    /// All that was acknowledged, and all that was intended.
    pub(crate) fn bounds(&self, place: Place) -> (u64, u64) {
        self.slots.iter().map(|slot| slot.bounds(place)).fold((0, 0), |sum, slot| (sum.0 + slot.0, sum.1 + slot.1))
    }
}

impl Slot {
    /// Says that the worker waits for this, or waits no more.
    pub(crate) fn waits_for(&self, awaited: Awaited) {
        let (code, seen) = match awaited {
            Awaited::Nothing => (0, 0),
            Awaited::Item(repairs) => (1, repairs),
            Awaited::Room(repairs) => (2, repairs),
            Awaited::Pair(seen) => (3, seen),
            Awaited::Word(seen) => (4, seen),
            Awaited::Event => (5, 0),
        };
        self.seen.store(seen, SeqCst);
        self.awaited.store(code, SeqCst);
    }

    pub(crate) fn awaited(&self) -> Awaited {
        let seen = || self.seen.load(SeqCst);
        match self.awaited.load(SeqCst) {
            1 => Awaited::Item(seen()),
            2 => Awaited::Room(seen()),
            3 => Awaited::Pair(seen()),
            4 => Awaited::Word(seen()),
            5 => Awaited::Event,
            _ => Awaited::Nothing,
        }
    }

    pub(crate) fn count(&self, which: Tally, more: usize) {
        self.tallies[which as usize].fetch_add(more as u64, SeqCst);
    }

    pub(crate) fn intend(&self, place: Place) {
        self.intended[place as usize].fetch_add(1, SeqCst);
    }

    pub(crate) fn acknowledge(&self, place: Place) {
        self.acknowledged[place as usize].fetch_add(1, SeqCst);
    }

    pub(crate) fn bounds(&self, place: Place) -> (u64, u64) {
        (self.acknowledged[place as usize].load(SeqCst), self.intended[place as usize].load(SeqCst))
    }

    /// What this slot has committed must lie between the two.
    pub(crate) fn check(&self, place: Place, found: u64) {
        let (acknowledged, intended) = self.bounds(place);
        assert!(
            (acknowledged..=intended).contains(&found),
            "{place:?}: {acknowledged} commits acknowledged, {intended} intended, {found} found"
        );
    }

    /// Checks, and then knows: nobody else commits for this slot.
    pub(crate) fn settle(&self, place: Place, found: u64) {
        self.check(place, found);
        let (acknowledged, _) = self.bounds(place);
        self.count(Tally::Unacknowledged, (found - acknowledged) as usize);
        self.acknowledged[place as usize].store(found, SeqCst);
        self.intended[place as usize].store(found, SeqCst);
    }
}

/// A plain file that the `SharedLock` guards: a count for each slot, then their sum, written one after the other.
pub(crate) struct Counters(File);

impl Counters {
    pub(crate) fn new() -> Self {
        // SAFETY: the name ends with NUL.
        let descriptor = unsafe { libc::memfd_create(c"storm".as_ptr(), libc::MFD_CLOEXEC) };
        assert!(descriptor >= 0);
        // SAFETY: just opened, and nobody else's.
        let file = unsafe { File::from_raw_fd(descriptor) };
        file.set_len((SLOTS as u64 + 1) * 8).unwrap();
        Self(file)
    }

    pub(crate) fn read(&self) -> ([u64; SLOTS], u64) {
        let mut bytes = [0; (SLOTS + 1) * 8];
        self.0.read_exact_at(&mut bytes, 0).unwrap();
        let at = |index: usize| u64::from_ne_bytes(std::array::from_fn(|byte| bytes[index * 8 + byte]));
        (std::array::from_fn(at), at(SLOTS))
    }

    pub(crate) fn write(&self, index: usize, count: u64) {
        self.0.write_all_at(&count.to_ne_bytes(), index as u64 * 8).unwrap();
    }

    pub(crate) fn check(&self) -> [u64; SLOTS] {
        let (counts, sum) = self.read();
        assert_eq!(counts.iter().sum::<u64>(), sum, "the file is half-written, and there is no poison");
        counts
    }

    pub(crate) fn repair(&self) {
        self.write(SLOTS, self.read().0.iter().sum());
    }
}
