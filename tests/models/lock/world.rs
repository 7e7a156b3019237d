//! What the threads of a world do, and what must be true.

use crate::event::{self, Asked, Told};
use crate::hashes::mixed;
use crate::kernel;
use crate::layout::{LockLine, WaitLine};
use crate::memory::atomic::{AtomicU64, Ordering};
use crate::permits::{self, Semaphore};
use crate::readers::{self, Reading, Side};
use crate::run::{Budget, Run, State, private_step, with};
use crate::stubs::Lines;
use crate::successor;
use crate::waits;

pub(crate) const WAITERS: u32 = libc::FUTEX_WAITERS;
pub(crate) const OWNER_DIED: u32 = libc::FUTEX_OWNER_DIED;
pub(crate) const TID: u32 = libc::FUTEX_TID_MASK;
/// The class of those who sleep for the lock.
pub(crate) const LOCKER: u32 = 1;
/// The class in which who has reserved the lock sleeps.
pub(crate) const HEIR: u32 = 32;
/// The half of a reservation that says whose it is.
const TOKEN: u32 = !0 << 16;

/// Linked alone? Is the word looked at first? And what is done before the release, if anything is committed.
type Unlock = fn(Place<'_>, Who, bool, bool, Option<&dyn Fn()>);

/// Which permit, and is it linked alone?
pub(crate) type Acquired = Result<(usize, bool), Outcome>;

/// A copy of the source.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) enter: fn(Who, &AtomicU64),
    pub(crate) lock: fn(Place<'_>, Who, How) -> Outcome,
    pub(crate) unlock: Unlock,
    /// Waits for a change; `true`: there was one.
    pub(crate) watch: fn(Place<'_>, Who, How, &dyn Fn() -> bool) -> Outcome,
    /// Waits for the first condition, with the lock, which was linked alone or not.
    pub(crate) wait: fn(Place<'_>, Who, bool, How) -> (bool, Outcome),
    pub(crate) notify: fn(Place<'_>, bool),
    pub(crate) event: fn(&LockLine, Who, Asked) -> Told,
    pub(crate) read: fn(Side<'_>, Who, How) -> Result<Reading, Outcome>,
    pub(crate) end_reading: fn(Side<'_>, Who, Reading),
    /// Which permit, and is it linked alone?
    pub(crate) acquire: fn(Semaphore<'_>, Who, How) -> Acquired,
    pub(crate) release: fn(Semaphore<'_>, Who, usize, bool),
    /// Takes the lock for changes, poisoned or not: is it linked alone?
    pub(crate) write: fn(Side<'_>, Who, How) -> Result<bool, Outcome>,
    /// The end of that: is it linked alone, and does somebody panic?
    pub(crate) end_writing: fn(Side<'_>, Who, bool, bool),
    /// Amid changes, waits for the first condition: is the lock linked alone, and how did it end?
    pub(crate) wait_amid: fn(Side<'_>, Who, bool) -> (bool, Outcome),
    pub(crate) token: fn(u64) -> u32,
}

/// A thread, by its id, its handle's slot, and its robust list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Who {
    pub(crate) tid: u32,
    pub(crate) slot: u32,
    pub(crate) head: usize,
}

/// A lock, with what belongs to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) line: &'a LockLine,
    pub(crate) waits: &'a WaitLine,
    pub(crate) successor: &'a LockLine,
    pub(crate) namespace: &'a AtomicU64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Forever,
    Until(u64),
    Try,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Locked { alone: bool },
    WouldBlock,
    TimedOut,
    WouldDeadlock,
    Interrupted,
    Poisoned,
}

/// A world to search through.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct World {
    pub(crate) name: &'static str,
    pub(crate) threads: usize,
    /// How often each of them takes the lock.
    pub(crate) rounds: usize,
    pub(crate) lines: usize,
    pub(crate) budget: Budget,
    /// Timed locks and `try_lock` as well.
    pub(crate) all_forms: bool,
    /// The second thread waits for a millisecond at most; or all who watch, and nothing is committed.
    pub(crate) gives_up: bool,
    /// Not all ways, but so many by chance.
    pub(crate) walks: usize,
    /// Deaths may go unnoticed by the kernel.
    pub(crate) unnoticed: bool,
    /// The kind of lock of which nobody is told: `LockKind::File`.
    pub(crate) file: bool,
    /// The second thread has the first one's id, and begins when that one is gone.
    pub(crate) namesakes: bool,
    /// Each process is in a PID namespace of its own, and their first threads have the same id. A process dies as a whole.
    pub(crate) several: bool,
    /// The first two threads are of one process.
    pub(crate) shares: bool,
    /// Wrong: a user says that there are several namespaces only after it has locked for the first time.
    pub(crate) is_late: bool,
    /// Wrong: the last user takes the slot of the first one, which has died with the lock.
    pub(crate) reuses_slots: bool,
    /// The program is asked whether to give up.
    pub(crate) asks: bool,
    /// Signal handlers that interrupt a sleep use a robust mutex of libc's, which leaves nothing pending.
    pub(crate) libc: bool,
    /// Each thread holds a lock of its own meanwhile.
    pub(crate) among_others: bool,
    /// The first thread takes two locks; signal handlers that lock may interrupt it anywhere.
    pub(crate) is_nesting: bool,
    /// The first line is an event: the first so many threads set it or clear it, in each round, and the others wait for it
    /// once.
    pub(crate) setters: usize,
    /// A waiter was killed before, so that it seems that one sleeps.
    pub(crate) was_left: bool,
    /// So many of the first threads wait for a commit, in each round; the others commit, or discard.
    pub(crate) watchers: usize,
    /// So many of the first threads wait for the first condition until there is something to take; the others put.
    pub(crate) consumers: usize,
    /// Who puts notifies all.
    pub(crate) notifies_all: bool,
    /// Who commits may choose not to.
    pub(crate) discards: bool,
    /// So many of the first threads read side by side; the others write, or wait for the first condition and put. The lines behind the first are the readers' slots.
    pub(crate) readers: usize,
    /// The first line is a bell, and those behind it are so many permits.
    pub(crate) permits: usize,
    /// Who has one may keep it for good.
    pub(crate) keeps: bool,
    /// Nobody can sleep on many words.
    pub(crate) rings: bool,
    /// All readers begin with the same slot.
    pub(crate) one_home: bool,
    /// Who has drained may have all readers admitted anew.
    pub(crate) forgets: bool,
    /// Writers may panic.
    pub(crate) panics: bool,
    /// Who reads may want to read once more.
    pub(crate) reads_twice: bool,
    /// Or to write.
    pub(crate) writes_too: bool,
    /// There can be a successor.
    pub(crate) successors: bool,
    /// All come as if they had slept before, and so may name themselves at once.
    pub(crate) is_hasty: bool,
    /// A successor may be stopped for good while it dozes.
    pub(crate) stops: bool,
}

impl World {
    /// Does anybody wait for what a holder does?
    pub(crate) fn waits(self) -> bool {
        self.watchers + self.consumers > 0
    }

    /// How many locations of the first wait line the checker knows.
    pub(crate) fn wait_places(self) -> usize {
        if self.waits() { Run::WAIT_FIELDS.len() + 1 } else { 1 }
    }

    /// The same of the reader line; or the ring.
    pub(crate) fn reader_places(self) -> usize {
        if self.readers > 0 { 2 } else { usize::from(self.permits > 0) }
    }

    pub(crate) fn tids(self) -> impl Iterator<Item = u32> {
        (1..=self.threads as u32).map(move |number| {
            if self.several {
                1 + u32::from(self.shares && number == 2)
            } else if number == 2 {
                number - u32::from(self.namesakes)
            } else {
                number
            }
        })
    }

    pub(crate) fn processes(self) -> impl Iterator<Item = usize> {
        (0..self.threads).map(move |thread| thread - usize::from(self.shares && thread > 0))
    }

    pub(crate) fn slot(self, process: usize) -> u32 {
        let process = if self.reuses_slots && process == self.threads - 1 { 0 } else { process };
        101 + process as u32
    }
}

/// What is true, whatever the memory says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ghost {
    holder: [Option<usize>; Lines::MOST],
    /// Whom the word names, or named before the kernel took his namesake's death for his.
    pub(crate) owner: [Option<usize>; Lines::MOST],
    /// An operation on it is under way in a nesting thread.
    is_sought: [bool; Lines::MOST],
    /// A holder died, and nobody has repaired the data.
    died: [bool; Lines::MOST],
    /// A wake-up may have been lost with a death that went unnoticed.
    pub(crate) is_lossy: bool,
    pub(crate) may_die: [bool; Lines::THREADS],
    pub(crate) deadline: [Option<u64>; Lines::THREADS],
    /// The thread sleeps with a claim, or was woken from that.
    pub(crate) waits_as_heir: [bool; Lines::THREADS],
    /// Which of the values of the reservation the thread has looked at in this operation.
    looked: [Option<usize>; Lines::THREADS],
    pub(crate) data: [[u64; 2]; Lines::MOST],
    pub(crate) event: event::Ghost,
    pub(crate) waits: waits::Ghost,
    pub(crate) readers: readers::Ghost,
    pub(crate) permits: [Option<usize>; Lines::MOST],
    /// So often a sleep may end by its heartbeat, when nobody else can go on.
    pub(crate) beats: u8,
}

impl Ghost {
    pub(crate) fn hash(&self) -> u64 {
        let mut hash = u64::from(self.is_lossy);
        for line in 0..Lines::MOST {
            let holder = self.holder[line].map_or(0, |thread| thread as u64 + 1);
            let holder = self.owner[line].map_or(0, |thread| thread as u64 + 1) << 8 | holder;
            hash = mixed(hash, holder << 2 | u64::from(self.is_sought[line]) << 1 | u64::from(self.died[line]));
            hash = mixed(mixed(hash, self.data[line][0]), self.data[line][1]);
        }
        for i in 0..Lines::THREADS {
            let flags = u64::from(self.may_die[i]) << 1 | u64::from(self.waits_as_heir[i]);
            hash = mixed(hash, self.looked[i].map_or(0, |index| index as u64 + 1) << 2 | flags);
        }
        hash = self.event.hash(hash);
        let hash = self.permits.iter().fold(hash, |hash, who| mixed(hash, who.map_or(0, |who| who as u64 + 1)));
        mixed(self.readers.hash(self.waits.hash(hash)), self.beats.into())
    }
}

// Names and places.
impl Run {
    pub(crate) const PLACES: usize = 6;
    /// The place of the header's field.
    pub(crate) const NAMESPACE: usize = 2;
    /// The fields of the first wait line that the checker knows, by their offsets; behind the places of the lines. `lockers` in
    /// all worlds, the others where somebody waits. Then follows the number of commits.
    pub(crate) const WAIT_FIELDS: [(usize, &'static str); 12] = [
        (24, "lockers"),
        (0, "gate"),
        (4, "at gate"),
        (8, "watchers"),
        (12, "owed"),
        (28, "notified"),
        (32, "credit"),
        (36, "waiting"),
        (40, "notified 1"),
        (44, "credit 1"),
        (48, "waiting 1"),
        (20, "dropped"),
    ];

    /// Is it a lock's word?
    pub(crate) fn is_word(&self, place: usize) -> bool {
        place < Self::PLACES * self.world.lines && place.is_multiple_of(Self::PLACES)
    }

    /// Which field of the first wait line it is; one more: the number of commits.
    fn wait_field(&self, place: usize) -> Option<usize> {
        place.checked_sub(Self::PLACES * self.world.lines).filter(|field| *field < self.world.wait_places())
    }

    /// Which field of the reader line it is: the mask, or what is to be drained.
    pub(crate) fn reader_field(&self, place: usize) -> Option<usize> {
        place.checked_sub(self.reader_place()).filter(|_| self.world.readers > 0)
    }

    /// Where the reader line begins.
    pub(crate) fn reader_place(&self) -> usize {
        Self::PLACES * self.world.lines + self.world.wait_places()
    }

    pub(crate) fn is_in_waits(&self, address: usize) -> bool {
        let start = self.memory.waits.as_ptr().addr();
        (start..start + size_of_val(&self.memory.waits)).contains(&address)
    }

    /// Which lock line an address is in, and where.
    pub(crate) fn line_of(&self, address: usize) -> Option<(usize, usize)> {
        let offset = address.checked_sub(std::ptr::from_ref(&*self.memory).addr())?;
        let line = offset / size_of::<LockLine>();
        (line < self.world.lines).then_some((line, offset % size_of::<LockLine>()))
    }

    pub(crate) fn is_in_heads(&self, address: usize) -> bool {
        let start = self.memory.heads.as_ptr().addr();
        (start..start + size_of_val(&self.memory.heads)).contains(&address)
    }

    /// Do others come to this location now? What only the holder touches belongs to the step before.
    pub(crate) fn is_contended(&mut self, place: usize) -> bool {
        if let Some(field) = self.reader_field(place) {
            return self.world.permits > 0 || field == 0 || self.ghost.owner[0] != Some(self.current);
        }
        if self.is_successor(place) {
            return true;
        }
        if let Some(field) = self.wait_field(place) {
            // Those who hold the lock only come to the others.
            let is_for_all = matches!(field, 0 | 1 | 3 | 4 | 12);
            return is_for_all || self.ghost.owner[0] != Some(self.current);
        }
        match place % Self::PLACES {
            0 | 5 => true,
            Self::NAMESPACE => self.world.several,
            _ => self.ghost.owner[place / Self::PLACES] != Some(self.current),
        }
    }

    /// The location at an address.
    pub(crate) fn place(&self, address: usize) -> Option<usize> {
        let namespaces = self.memory.namespaces.as_ptr().addr();
        if let Some(offset) = address.checked_sub(namespaces).filter(|offset| *offset < 8 * self.world.lines) {
            return Some(offset / 8 * Self::PLACES + Self::NAMESPACE);
        }
        let behind = Self::PLACES * self.world.lines;
        if self.world.waits() && address == self.memory.commits.as_ptr().addr() {
            return Some(behind + Self::WAIT_FIELDS.len());
        }
        if let Some(offset) = address.checked_sub(self.memory.readers.as_ptr().addr())
            && self.world.readers > 0
            && offset < 8 * self.world.reader_places()
        {
            return Some(self.reader_place() + offset / 8);
        }
        if let Some(offset) = address.checked_sub(self.memory.waits.as_ptr().addr()) {
            let field = Self::WAIT_FIELDS.iter().position(|(at, _)| *at == offset)?;
            return (field < self.world.wait_places()).then_some(behind + field);
        }
        if let Some((line, offset)) = self.successor_of(address) {
            return (offset == 8).then_some(behind + self.world.wait_places() + line);
        }
        let (line, offset) = self.line_of(address)?;
        let field = match offset {
            12 if self.world.permits > 0 && line == 0 => return Some(self.reader_place()),
            8 => 0,
            0 => 1,
            56 => 3,
            57 => 4,
            60 => 5,
            _ => return None,
        };
        Some(line * Self::PLACES + field)
    }

    fn address(&self, place: usize) -> usize {
        if let Some(field) = self.reader_field(place) {
            if self.world.permits > 0 {
                return std::ptr::from_ref(&*self.memory).addr() + 12;
            }
            return self.memory.readers.as_ptr().addr() + 8 * field;
        }
        if self.is_successor(place) {
            let line = place - Self::PLACES * self.world.lines - self.world.wait_places();
            return self.memory.successors.as_ptr().addr() + line * size_of::<LockLine>() + 8;
        }
        if let Some(field) = self.wait_field(place) {
            return match Self::WAIT_FIELDS.get(field) {
                Some((offset, _)) => self.memory.waits.as_ptr().addr() + offset,
                None => self.memory.commits.as_ptr().addr(),
            };
        }
        if place % Self::PLACES == Self::NAMESPACE {
            return self.memory.namespaces.as_ptr().addr() + place / Self::PLACES * 8;
        }
        let offset = [8, 0, 0, 56, 57, 60][place % Self::PLACES];
        std::ptr::from_ref(&*self.memory).addr() + place / Self::PLACES * size_of::<LockLine>() + offset
    }

    pub(crate) fn write_real(&mut self, place: usize, value: u64) {
        let address = self.address(place);
        if self.reader_field(place).is_some() && self.world.permits > 0 {
            // SAFETY: the ring, which is only changed through an `UnsafeCell`.
            return unsafe { std::ptr::with_exposed_provenance_mut::<u32>(address).write(value as u32) };
        }
        if self.reader_field(place).is_some() {
            // SAFETY: a field of the reader line, which is only changed through an `UnsafeCell`.
        }
        if self.is_successor(place) {
            // SAFETY: the word of a line, which is only changed through an `UnsafeCell`.
            return unsafe { std::ptr::with_exposed_provenance_mut::<u64>(address).write(value) };
        }
        if let Some(field) = self.wait_field(place) {
            if field == Self::WAIT_FIELDS.len() {
                // SAFETY: the number of commits, which is only changed through an `UnsafeCell`.
                return unsafe { std::ptr::with_exposed_provenance_mut::<u64>(address).write(value) };
            }
            // SAFETY: as above, of the wait line.
            return unsafe { std::ptr::with_exposed_provenance_mut::<u32>(address).write(value as u32) };
        }
        match place % Self::PLACES {
            // SAFETY: an aligned field of a lock line, which is only changed through `UnsafeCell`s.
            0 | Self::NAMESPACE => unsafe { std::ptr::with_exposed_provenance_mut::<u64>(address).write(value) },
            // SAFETY: as above.
            3 | 4 => unsafe { std::ptr::with_exposed_provenance_mut::<u8>(address).write(value as u8) },
            // SAFETY: as above.
            _ => unsafe { std::ptr::with_exposed_provenance_mut::<u32>(address).write(value as u32) },
        }
    }

    /// A word of the robust list, as the kernel reads it.
    pub(crate) fn word_at(&mut self, address: usize) -> usize {
        if self.line_of(address).is_none() && self.successor_of(address).is_none() && !self.is_in_heads(address) {
            self.fail("the kernel follows a link to nowhere".to_owned());
            return 0;
        }
        // SAFETY: within the memory of the world.
        unsafe { std::ptr::with_exposed_provenance::<usize>(address).read_unaligned() }
    }

    /// The lists. What lies in the links of a line that nobody holds is never read.
    pub(crate) fn hash_lists(&self, mut hash: u64) -> u64 {
        let start = std::ptr::from_ref(&*self.memory).addr();
        // SAFETY: within the memory of the world, aligned.
        let read = |word: usize| unsafe { std::ptr::with_exposed_provenance::<u64>(start + word * 8).read() };
        for line in 0..self.world.lines {
            let links = line * size_of::<LockLine>() / 8 + Lines::LINKS.start / 8;
            let node = start + line * size_of::<LockLine>() + 8;
            let node = node.wrapping_add_signed(-Lines::FUTEX_OFFSET);
            let is_listed = self.memory.heads.iter().any(|head| head[0] == node);
            if self.world.lines > 1 || is_listed || self.last(line * Self::PLACES).value as u32 & TID != 0 {
                hash = (links..links + 4).fold(hash, |hash, word| mixed(hash, read(word)));
            }
        }
        hash = self.hash_successors(hash);
        let heads = std::mem::offset_of!(Lines, heads) / 8;
        (heads..heads + 3 * self.threads.len()).fold(hash, |hash, word| mixed(hash, read(word)))
    }

    pub(crate) fn place_name(&self, place: usize) -> String {
        if let Some(field) = self.reader_field(place) {
            return if self.world.permits > 0 { "ring" } else { ["mask", "drain"][field] }.to_owned();
        }
        if self.is_successor(place) {
            return "successor".to_owned();
        }
        if let Some(field) = self.wait_field(place) {
            return Self::WAIT_FIELDS.get(field).map_or("commits", |(_, name)| name).to_owned();
        }
        let name = ["word", "epoch", "namespace", "poison", "dirty", "reservation"][place % Self::PLACES];
        if self.world.lines == 1 { name.to_owned() } else { format!("{name} {}", place / Self::PLACES) }
    }

    pub(crate) fn shown(&self, place: usize, value: u64) -> String {
        if !self.is_word(place) {
            return format!("{value:#x}");
        }
        let (value, high) = (value as u32, value >> 32);
        let owner = match value & TID {
            0 => "0".to_owned(),
            tid => format!("id {tid}"),
        };
        let low = [("|W", WAITERS), ("|D", OWNER_DIED)]
            .iter()
            .filter(|(_, bit)| value & bit != 0)
            .fold(owner, |text, (name, _)| text + name);
        format!("{{{low}, {high}}}")
    }

    pub(crate) fn address_name(&self, address: usize) -> String {
        if let Some((line, offset)) = self.line_of(address) {
            return format!("line {line} + {offset}");
        }
        if let Some((line, offset)) = self.successor_of(address) {
            return format!("successor {line} + {offset}");
        }
        if self.is_in_heads(address) {
            let offset = (address - self.memory.heads.as_ptr().addr()) % 24;
            return ["head", "offset", "pending"][offset / 8].to_owned();
        }
        format!("{address:#x}")
    }
}

// What must be true.
impl Run {
    /// Is the lock reserved for the thread?
    pub(crate) fn is_heir(&self, thread: usize, line: usize) -> bool {
        let reservation = self.last(line * Self::PLACES + 5).value as u32;
        reservation != 0 && reservation & TOKEN == (self.subject.token)(self.id(thread)) & TOKEN
    }

    /// Has the lock, or a permit, been kept for as long as it may be?
    fn is_over(&self, line: usize) -> bool {
        const KEPT: u64 = 30; // in the units of the stamp
        let stamp = self.last(line * Self::PLACES + 5).value & 0xffff;
        stamp != 0 && (self.clock >> 15).wrapping_sub(stamp) & 0xffff >= KEPT
    }

    /// As the word names the thread.
    fn id(&self, thread: usize) -> u64 {
        let thread = &self.threads[thread];
        u64::from(thread.slot) << 32 | u64::from(thread.tid)
    }

    /// Does the word name the thread as its holder?
    pub(crate) fn names(&self, line: usize, thread: usize) -> bool {
        let word = self.last(line * Self::PLACES).value;
        word & !u64::from(WAITERS | OWNER_DIED) == self.id(thread)
    }

    pub(crate) fn note_read(&mut self, place: usize, index: usize) {
        if place < Self::PLACES * self.world.lines && place % Self::PLACES == 5 {
            self.ghost.looked[self.current] = Some(index);
        }
    }

    pub(crate) fn note_write(&mut self, place: usize, before: u64, value: u64) {
        if self.world.readers > 0 {
            readers::note_write(self);
        }
        if place >= Self::PLACES * self.world.lines {
            return;
        }
        if place % Self::PLACES == 5 && self.is_heir(self.current, place / Self::PLACES) {
            // A new claim, and no sleep with it yet.
            self.ghost.waits_as_heir[self.current] = false;
        }
        if !place.is_multiple_of(Self::PLACES) {
            return;
        }
        let line = place / Self::PLACES;
        if self.world.setters > 0 && line == 0 {
            event::note_write(self, before, value);
            return;
        }
        let (owner, me) = (self.ghost.owner[line], self.current);
        let is_kernel = self.me().state == State::Walked;
        if let Some(owner) = owner {
            // In several namespaces, the kernel does not know better.
            let is_mistake =
                is_kernel && self.world.several && value == before & !u64::from(TID) | u64::from(OWNER_DIED);
            let is_announced = value == before | u64::from(WAITERS);
            if self.names(line, owner) || owner != me && is_mistake || is_announced {
                return;
            }
            self.ghost.owner[line] = None;
            let is_dead = matches!(self.threads[owner].state, State::Walked | State::Gone);
            if owner != me && !is_dead {
                self.fail("EXCLUSION: the lock was taken from a holder who is there".to_owned());
            }
        }
        if !is_kernel && self.names(line, me) {
            self.ghost.owner[line] = Some(me);
            self.ghost.waits_as_heir[me] = false;
            let before = before as u32;
            if before & OWNER_DIED == 0 {
                self.check_bypass(line, before);
            }
        }
    }

    /// Once an heir has slept with its claim, nobody takes the lock before it who has seen the claim.
    fn check_bypass(&mut self, line: usize, before: u32) {
        // Permits are kept by the bell, from those who have not slept, while somebody may.
        let line = if self.world.permits > 0 { 0 } else { line };
        if self.world.permits > 0 && (self.me().has_slept || before == 0 || self.is_over(line)) {
            return;
        }
        let heir = (0..self.threads.len()).find(|i| {
            *i != self.current && self.threads[*i].is_alive() && self.ghost.waits_as_heir[*i] && self.is_heir(*i, line)
        });
        let Some(heir) = heir else { return };
        if self.ghost.deadline[self.current].is_some_and(|deadline| deadline <= self.clock) {
            return;
        }
        let place = line * Self::PLACES + 5;
        let token = (self.subject.token)(self.id(heir)) & TOKEN;
        let is_claim =
            |message: &crate::memory::Message| message.author == heir && message.value as u32 & TOKEN == token;
        let claimed = self.places[place].iter().rposition(is_claim).unwrap_or(0);
        if before == 0 || self.ghost.looked[self.current].is_none_or(|index| index >= claimed) {
            self.fail("BYPASS: an heir was passed over".to_owned());
        }
    }

    pub(crate) fn in_list(&mut self, thread: usize) -> Vec<usize> {
        let head = self.memory.heads[thread].as_ptr().addr();
        let mut nodes = Vec::new();
        let mut node = self.word_at(head) & !1;
        while node != head && nodes.len() <= Lines::MOST {
            nodes.push(node);
            node = self.word_at(node) & !1;
        }
        nodes
    }
}

/// A thread dies; in several namespaces, its process does.
pub(crate) fn die(run: &mut Run, thread: usize, noticed: bool) {
    let process = run.threads[thread].process;
    for i in 0..run.threads.len() {
        if i != thread && (run.threads[i].process != process || !run.world.several || !run.threads[i].is_alive()) {
            continue;
        }
        run.sleepers.retain(|sleeper| sleeper.thread() != i);
        run.threads[i].is_stopped = false;
        run.threads[i].state =
            if run.threads[i].state == State::Fresh { State::Gone } else { State::Killed { noticed } };
        for line in 0..run.world.lines {
            run.ghost.died[line] |= run.ghost.owner[line] == Some(i);
        }
        waits::note_death(run, i);
        readers::note_death(run, i);
    }
}

/// All have come to their end.
pub(crate) fn check_end(run: &mut Run) {
    if run.world.readers > 0 {
        readers::check_end(run);
    }
    successor::check_end(run);
    for line in usize::from(run.world.setters > 0)..run.world.lines {
        let word = run.last(line * Run::PLACES).value as u32;
        let poison = run.last(line * Run::PLACES + 3).value;
        if word & TID != 0 && !run.world.unnoticed && !run.world.file && !run.world.keeps {
            run.fail("the lock is held, and nobody is there".to_owned());
        }
        if !run.world.waits()
            && run.world.readers + run.world.permits == 0
            && run.ghost.died[line]
            && word & OWNER_DIED == 0
            && word & TID == 0
            && poison == 0
        {
            run.fail("a death was forgotten".to_owned());
        }
    }
}

/// What a thread knew is of no importance any more.
pub(crate) fn forget(run: &mut Run, thread: usize) {
    run.ghost.looked[thread] = None;
    run.ghost.deadline[thread] = None;
    run.ghost.readers.tries[thread] = false;
    run.ghost.may_die[thread] = false;
}

fn namespace(which: usize) -> &'static AtomicU64 {
    let namespace: *const AtomicU64 = with(|run| std::ptr::from_ref(run.memory.namespace(which)));
    // SAFETY: as above.
    unsafe { &*namespace }
}

fn enter() {
    let (subject, me) = who();
    for which in 0..with(|run| run.world.lines) {
        (subject.enter)(me, namespace(which));
    }
}

pub(crate) fn place(which: usize) -> Place<'static> {
    let waits: *const WaitLine = with(|run| std::ptr::from_ref(run.memory.waits(which)));
    // SAFETY: in a box that lives as long as the search.
    let waits = unsafe { &*waits };
    Place { line: line(which), waits, successor: successor::line(which), namespace: namespace(which) }
}

/// Of a mutant.
pub(crate) fn wake_first_condition() {
    let word = line(0).word.as_ptr().addr();
    kernel::wake(word, 4);
}

/// Is whoever holds a lock amid changes? Where some only read, it is not so.
pub(crate) fn all_holders_change() -> bool {
    with(|run| run.world.readers == 0)
}

/// Is it time to ask whether anybody sleeps?
pub(crate) fn probes() -> bool {
    with(|run| run.choose(2) == 1)
}

pub(crate) fn line(which: usize) -> &'static LockLine {
    let line: *const LockLine = with(|run| std::ptr::from_ref(run.memory.line(which)));
    // SAFETY: in a box that lives as long as the search.
    unsafe { &*line }
}

/// What each thread does.
pub(crate) fn body(thread: usize) {
    let world = with(|run| run.world);
    if world.several && !world.is_late {
        enter();
    }
    if world.successors && world.is_nesting {
        successor::body(thread);
    } else if world.setters > 0 {
        event::body(thread);
    } else if world.permits > 0 {
        permits::body(thread);
    } else if world.readers > 0 {
        readers::body(thread);
    } else if world.waits() {
        waits::body(thread);
    } else if world.is_nesting && thread == 0 {
        nest();
    } else if world.among_others {
        let alone = take(1 + thread);
        operation(0, How::Forever);
        give_back(1 + thread, alone);
    } else {
        for round in 0..world.rounds {
            begin_round(thread, round);
            let how = with(|run| match run.choose(if world.all_forms { 3 } else { 1 }) {
                0 if world.gives_up && thread == 1 => How::Until(run.clock + 1_000_000),
                0 => How::Forever,
                1 => How::Until(run.clock + 1_000_000),
                _ => How::Try,
            });
            operation(0, how);
            if world.is_late && round == 0 {
                enter();
            }
        }
    }
    kernel::regular_end(thread);
}

pub(crate) fn begin_round(thread: usize, round: usize) {
    with(|run| {
        forget(run, thread);
        let me = run.me();
        me.round = round;
        me.history = round as u64;
        me.timers = [0; 3];
        (me.seeks, me.has_slept, me.asks, me.was_woken, me.awake_at) = (true, false, false, false, None);
        me.candidate = 0;
    });
}

// Signal handlers.

/// Takes two locks and gives them back in the order in which it took them.
fn nest() {
    let first = take(0);
    let second = take(1);
    give_back(0, first);
    give_back(1, second);
}

/// Interrupts whatever the thread is doing: takes locks of its own and gives them back, in any order.
pub(crate) fn handle_signal() {
    let depth = with(|run| {
        run.budget.handlers -= 1;
        run.me().depth += 1;
        run.say(|_| "{ a signal handler".to_owned());
        run.me().depth
    });
    let (one, other) = (Lines::MOST - 2, Lines::MOST - 1);
    if with(|run| run.world.setters > 0) {
        event::handle();
    } else if with(|run| run.world.successors) {
        successor::handle();
    } else if with(|run| run.world.readers > 0) {
        readers::handle();
    } else if depth == 1 {
        let both = with(|run| run.choose(3));
        let first = take(one);
        if both > 0 {
            let second = take(other);
            if both == 1 {
                give_back(other, second);
                give_back(one, first);
            } else {
                give_back(one, first);
                give_back(other, second);
            }
        } else {
            give_back(one, first);
        }
    } else if with(|run| run.ghost.holder[other].is_none() && !run.ghost.is_sought[other]) {
        let alone = take(other);
        give_back(other, alone);
    }
    with(|run| {
        run.me().depth -= 1;
        run.say(|_| "}".to_owned());
        let nodes = run.in_list(run.current);
        if nodes.len() > Lines::MOST {
            run.fail("the robust list has no end".to_owned());
        }
    });
}

pub(crate) fn who() -> (&'static Subject, Who) {
    with(|run| {
        let head = run.memory.heads[run.current].as_ptr().addr();
        let (tid, slot) = (run.me().tid, run.me().slot);
        (run.subject, Who { tid, slot, head })
    })
}

pub(crate) fn take(which: usize) -> bool {
    let (subject, me) = who();
    with(|run| run.ghost.is_sought[which] = true);
    let outcome = (subject.lock)(place(which), me, How::Forever);
    with(|run| {
        run.ghost.is_sought[which] = false;
        run.ghost.holder[which] = Some(run.current);
        run.say(|_| format!("lock {which}: {outcome:?}"));
        if !matches!(outcome, Outcome::Locked { .. }) {
            run.fail(format!("lock {which}: {outcome:?}"));
        }
        run.access(which, true);
    });
    outcome == Outcome::Locked { alone: true }
}

pub(crate) fn give_back(which: usize, alone: bool) {
    let (subject, me) = who();
    with(|run| {
        run.access(which, true);
        run.ghost.holder[which] = None;
        run.ghost.is_sought[which] = true;
    });
    (subject.unlock)(place(which), me, alone, true, None);
    with(|run| {
        run.ghost.is_sought[which] = false;
        run.say(|_| format!("lock {which} given back"));
        if run.names(which, run.current) {
            run.fail("a lock that was given back is still held".to_owned());
        }
    });
}

/// Locks, does something, unlocks.
fn operation(which: usize, how: How) -> Outcome {
    let (subject, me) = who();
    with(|run| {
        if let How::Until(deadline) = how {
            run.ghost.deadline[run.current] = Some(deadline);
        }
        run.ghost.may_die[run.current] |= run.world.file;
        run.say(|_| format!("wants the lock: {how:?}"));
    });
    let outcome = (subject.lock)(place(which), me, how);
    with(|run| {
        run.say(|_| format!("{outcome:?}"));
        let me = run.me();
        // All that it remembers.
        if me.seeks {
            me.history = mixed(me.round as u64, u64::from(outcome == Outcome::Locked { alone: true }));
        }
        me.timers = [0; 3];
        (me.seeks, me.has_slept, me.asks, me.was_woken, me.awake_at) = (false, false, false, false, None);
        me.candidate = 0;
    });
    match outcome {
        Outcome::Locked { alone } => {
            section(which);
            let looks = with(|run| {
                run.ghost.holder[which] = None;
                run.current % 2 == 0
            });
            (subject.unlock)(place(which), me, alone, looks, None);
        }
        Outcome::WouldBlock if how == How::Try => {}
        Outcome::Interrupted => {}
        Outcome::TimedOut if matches!(how, How::Until(deadline) if deadline <= with(|run| run.clock)) => {}
        _ => with(|run| run.fail(format!("{how:?} ends with {outcome:?}"))),
    }
    with(|run| {
        if run.is_heir(run.current, which) {
            run.fail("a reservation is left".to_owned());
        }
    });
    outcome
}

/// What a holder does with the data.
fn section(which: usize) {
    let (is_poisoned, next) = with(|run| {
        let me = run.current;
        if let Some(other) = run.ghost.holder[which].filter(|other| run.threads[*other].is_alive()) {
            run.fail(format!("EXCLUSION: T{} holds the lock, too", other + 1));
        }
        run.ghost.holder[which] = Some(me);
        let place = which * Run::PLACES + 3;
        let poison = run.last(place).value != 0;
        if poison != run.ghost.died[which] {
            let what = if poison { "poison without a death" } else { "a death without poison" };
            run.fail(format!("POISON: {what}"));
        }
        if usize::from(run.me().view.0[place]) != run.places[place].len() - 1 {
            run.fail("POISON: the holder need not see it".to_owned());
        }
        run.access(which, false);
        let [first, second] = run.ghost.data[which];
        if first != second && !poison {
            run.fail("torn data".to_owned());
        }
        (poison, 1 - first)
    });
    let write = |word: usize| {
        private_step();
        with(|run| {
            run.access(which, true);
            run.ghost.data[which][word] = next;
        });
    };
    write(0);
    write(1);
    private_step();
    if is_poisoned {
        line(which).poison.store(0, Ordering::Relaxed);
        with(|run| run.ghost.died[which] = false);
    }
}
