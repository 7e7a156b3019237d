//! Readers side by side: each takes a slot of its own, which is a lock line, so that one that is killed, or whose thread
//! ends, is as gone as the holder of a lock; and whoever wants the data for itself takes the lock, and sees every slot empty.
//!
//! | | a reader | who takes all (a writer) |
//! |---|---|---|
//! | 1 | takes a slot, from the one that its thread had last: {0, 0} → itself | takes the lock |
//! | 2 | looks at the **mask**: is the slot's bit set? Then it reads, without the lock | `mask` and `drain` are 0: it writes at once |
//! | 3 | else, or if four slots are taken: gives the slot back, takes the lock | `drain` = both; `mask` = 0 |
//! | 4 | under the lock: takes the first slot that nobody has, sets its bit, releases the lock, reads | sees each slot of `drain` empty, and sleeps on one that is not |
//! | 5 | there is no such slot: keeps the lock, reads alone | writes; `mask` = `drain`; `drain` = 0; releases the lock |
//!
//! # Why nobody reads what is being written
//!
//! **Slot, then mask; mask, then slots.** A reader takes the slot and then looks at the mask; a writer empties the mask and then
//! looks at the slots. One of the two sees what the other has done. All four accesses are `SeqCst`, because each side stores
//! one word and then loads another.
//!
//! **An empty slot is not written.** A reader that died, or was waited for, leaves `D` or `W` in its slot. The writer makes
//! that 0 by a compare-exchange: with a store it would wipe out a reader who has come in between and is about to look at the
//! mask.
//!
//! **Deaths.** A reader that dies leaves `D` in its slot, which is as good as empty. A writer that dies before `mask` = `drain`
//! leaves `mask` = 0, and in `drain` those who may still read: the next one looks at both. While the data may be torn, the
//! mask is 0: `dirty` goes before `mask` = `drain`, and who leaves them poisoned leaves `drain` as it is. So readers without the
//! lock need not ask whether the data are whole.
//!
//! Readers never poison, because they never set `dirty`, also those that have the lock.
//!
//! # Why nobody sleeps for ever
//!
//! Only who has the lock sleeps on a slot: one at a time. The reader whom it waits for leaves by the lock's protocol, and
//! wakes it; the kernel wakes it if the reader is killed. Killed itself, it leaves the lock, whose next holder looks at
//! the slots anew. Of deaths that the kernel does not report, as in `waiting.rs`.
//!
//! **Who waits for himself is told.** One who reads already, and comes to the lock to read once more, to look, or to write, waits
//! for it a moment at a time. In between he asks whether its holder waits for him to stop reading.
//!
//! # Who is next
//!
//! A waiting writer has emptied the mask. So readers that come then queue on the lock, behind this writer and in front of
//! the next, by the lock's rule. A writer that gives up gives the mask back.
//!
//! # What it costs
//!
//! A reader touches a line of its own, and loads one that nobody writes. A writer loads one line if nobody ever read, else
//! one for each slot in the mask. So that those of long ago are not looked at for ever, one write in some hundreds leaves the
//! mask empty (`habits.rs`), and whoever still reads is admitted anew.

use super::atomic::Ordering;
use super::habits::{Habits, Homes};
use super::interrupts;
use super::node;
use super::poison::{self, Poison};
use super::robust_futex::{self, Linked};
use super::spin::SpinPolicy;
use super::users::Users;
use super::waiting::{self, DOUBT, Failure, HEARTBEAT, Wait};
use super::watch::OFTEN;
use super::word::{LOCKER, TID, WAITERS, high, is_owned, low, pair, says_owner_died};
use crate::fault::point;
use crate::layout::{LockLine, ReaderLine, slots_of};
use crate::os::robust_list::{Interrupted, RobustList};
use crate::os::thread::Thread;
use crate::os::{Deadline, futex};

/// So many slots a reader tries before it takes the lock.
const TRIES: usize = 4;

/// The lines of readers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places<'a> {
    pub(super) line: &'a ReaderLine,
    pub(super) slots: &'a [LockLine],
}

/// Has anybody read side by side, so that who has just taken the lock for himself must look at the slots?
#[inline(always)]
pub(super) fn are_known(line: &ReaderLine) -> bool {
    // Both are written by holders of the lock only.
    (line.mask.load(Ordering::Relaxed) | line.drain.load(Ordering::Relaxed)) != 0
}

/// Has the holder of the lock, who has taken it for himself, kept readers out?
#[inline(always)]
pub(super) fn are_kept_out(line: &ReaderLine) -> bool {
    line.drain.load(Ordering::Relaxed) != 0
}

impl<'a> Places<'a> {
    /// Takes this slot if nobody has it and whoever has it may read: the fast path of [`enter`](Self::enter).
    #[inline(always)]
    pub(super) fn enter_fast(self, index: usize, owner: u64, list: RobustList) -> bool {
        let Some(slot) = self.slots.get(index) else { return false };
        if !list.is_idle() {
            return false;
        }
        let node = RobustList::node(&slot.word);
        list.begin(node, high(owner));
        let entered = self.try_enter(index, slot, owner);
        if entered {
            list.link_alone(node);
        } else {
            list.end();
        }
        entered
    }

    /// Takes the slot, and looks at the mask. The caller has named the slot as pending.
    #[inline(always)]
    fn try_enter(self, index: usize, slot: &LockLine, owner: u64) -> bool {
        // SeqCst: before the look at the mask; pairs with the writer's two in `drain`. What the last holder wrote is seen by the
        // mask, which was given back afterwards.
        if slot.word.compare_exchange(0, owner, Ordering::SeqCst, Ordering::Relaxed).is_err() {
            return false;
        }
        point!("read: slot taken");
        if self.line.mask.load(Ordering::SeqCst) >> index & 1 != 0 {
            return true;
        }
        back_out(slot, owner);
        false
    }

    /// Takes a slot of the mask without the lock; `None` if it has found none.
    #[cold]
    pub(super) fn enter(self, me: &Thread, users: &Users, homes: &Homes) -> Result<Option<(usize, Linked)>, Failure> {
        let mask = self.line.mask.load(Ordering::Relaxed);
        if mask & slots_of(self.slots.len()) == 0 {
            return Ok(None);
        }
        let owner = pair(me.tid, users.slot());
        let linking = Linking::new(me, users)?;
        let in_mask = self.indices(owner, homes).filter(|index| mask >> index & 1 != 0);
        for index in in_mask.take(TRIES) {
            let slot = &self.slots[index];
            linking.name(slot, owner);
            if self.try_enter(index, slot, owner) {
                return Ok(Some((index, linking.link(slot))));
            }
        }
        linking.give_up();
        Ok(None)
    }

    /// Takes a slot that nobody has, and puts it into the mask: by the holder of the lock. `None` if there is none.
    #[cold]
    pub(super) fn admit(self, me: &Thread, users: &Users, homes: &Homes) -> Result<Option<(usize, Linked)>, Failure> {
        if self.slots.is_empty() {
            return Ok(None);
        }
        let owner = pair(me.tid, users.slot());
        let mut linking = Linking::new(me, users)?;
        let mut looks_up = false;
        loop {
            for index in self.indices(owner, homes) {
                let slot = &self.slots[index];
                let seen = slot.word.load(Ordering::Relaxed);
                if is_owned(seen) {
                    // The kernel may not have told.
                    if looks_up && users.is_gone(seen, true) {
                        me.is_current().then_some(()).ok_or(Failure::Forked)?;
                        waiting::mark_dead(slot, seen);
                    }
                    continue;
                }
                if users.may_live(seen) {
                    continue;
                }
                linking.name(slot, owner);
                // Without `W`: who could sleep here has the lock.
                if slot.word.compare_exchange(seen, owner, Ordering::Acquire, Ordering::Relaxed).is_err() {
                    continue;
                }
                point!("read: slot taken under the lock");
                let linked = linking.link_amid(slot);
                // Release: who takes another slot by this mask sees what holders of the lock wrote. (The kernel of the
                // thread that dies before it knows the slot.)
                self.line.mask.store(self.line.mask.load(Ordering::Relaxed) | 1 << index, Ordering::Release);
                point!("read: admitted");
                linking.give_up();
                return Ok(Some((index, linked)));
            }
            if looks_up {
                linking.give_up();
                return Ok(None);
            }
            looks_up = true;
        }
    }

    fn indices(self, owner: u64, homes: &Homes) -> impl Iterator<Item = usize> + use<> {
        let count = self.slots.len();
        let home = homes.get(owner, count);
        (home..count).chain(0..home)
    }

    /// How many slots somebody has. A moment's picture.
    pub(super) fn active(self, users: &Users) -> usize {
        let is_taken = |slot: &&LockLine| {
            let seen = slot.word.load(Ordering::Relaxed);
            is_owned(seen) && !users.has_lost_its_holder(seen) || users.may_live(seen)
        };
        self.slots.iter().filter(is_taken).count()
    }

    /// Which slots this very thread reads by, through whatever handle; or is about to, or was, if this is a signal handler that has
    /// interrupted it between the word and the list.
    pub(super) fn own(self, me: &Thread, users: &Users) -> u64 {
        if !me.list.is_known() {
            return self.named(me, users);
        }
        if me.list.is_idle() {
            return 0;
        }
        let interrupted = robust_futex::interrupt(me); // has what is interrupted in the list meanwhile
        let own = self.listed(me.list);
        me.list.resume(interrupted);
        own
    }

    /// The slots whose nodes are in the list. (The kernel's `D` may stand in the place of a living reader's id: so the words are not
    /// asked.) A list is short, and there may be many slots.
    fn listed(self, list: RobustList) -> u64 {
        let Some((segment, _)) = self.slots.first().and_then(|slot| node::reader_of(RobustList::node(&slot.word)))
        else {
            return 0;
        };
        let place_of = |node| node::reader_of(node).filter(|(of, slot)| *of == segment && *slot < self.slots.len());
        list.find_all(place_of).fold(0, |slots, (_, slot)| slots | 1 << slot)
    }

    /// The slots whose words name this thread, where there is no list.
    fn named(self, me: &Thread, users: &Users) -> u64 {
        let words = self.slots.iter().map(|slot| slot.word.load(Ordering::Relaxed)).enumerate();
        let own = words.filter(|(_, seen)| low(*seen) & TID == me.tid && users.is_own(*seen));
        own.fold(0, |slots, (index, _)| slots | 1 << index)
    }

    /// Waits until no reader is left, and lets none in meanwhile: by the holder of the lock, before it changes anything.
    /// If that fails, [`end_section`] follows, with [`ReadersAfter::GiveUp`].
    #[cold]
    pub(super) fn drain(self, me: &Thread, users: &Users, wait: Wait, spin: &SpinPolicy) -> Result<(), Failure> {
        let line = self.line;
        let known = line.mask.load(Ordering::Relaxed) | line.drain.load(Ordering::Relaxed);
        let known = known & slots_of(self.slots.len());
        line.drain.store(known, Ordering::Release);
        point!("drain: noted");
        // SeqCst: before the looks at the slots; pairs with `try_enter`.
        line.mask.store(0, Ordering::SeqCst);
        point!("drain: mask emptied");
        let mut drainer = Drainer::new(self, me, users, wait, spin);
        for (index, slot) in self.slots.iter().enumerate() {
            if known >> index & 1 != 0 {
                drainer.see_empty(slot)?;
            }
        }
        point!("drain: all have left");
        Ok(())
    }
}

/// What becomes of readers when the lock is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadersAfter {
    /// There are none, or they were not kept out.
    AsBefore,
    /// They were kept out, and come in again if the data are whole.
    Return,
    /// The same, and some may never have left.
    GiveUp,
}

/// The end of a section of one who took the lock for himself: behind his last change, if he `changes` anything, and before the
/// release. Then the data are whole, or poisoned, and readers come in again.
#[inline]
pub(super) fn end_section<'a>(
    lock: &LockLine,
    poison: Poison,
    changes: bool,
    after: ReadersAfter,
    line: impl FnOnce() -> &'a ReaderLine,
    habits: &Habits,
) {
    if changes {
        poison::end_changes(lock);
    }
    let is_torn = poison != Poison::Never && lock.poison.load(Ordering::Relaxed) != 0;
    if after == ReadersAfter::AsBefore || is_torn {
        return; // who finds the mask empty asks whether the data are whole
    }
    give_back(line(), after == ReadersAfter::Return && habits.forgets());
}

/// Gives the mask back. `forgets`: has them all admitted anew. Who has not seen all leave must not forget any.
#[cold]
fn give_back(line: &ReaderLine, forgets: bool) {
    let drained = line.drain.load(Ordering::Relaxed);
    let kept = if forgets { 0 } else { drained };
    // Release: readers see by it what was written. And it comes before the next: killed in between, both name those who
    // may read.
    line.mask.store(kept, Ordering::Release);
    point!("drain: mask given back");
    line.drain.store(0, Ordering::Release);
    point!("drain: over");
}

/// Gives back a slot to which the mask has not let its taker.
#[cold]
#[inline(never)]
fn back_out(slot: &LockLine, owner: u64) {
    leave_unlisted(slot, owner);
    point!("read: backed out");
}

/// Gives back a slot that this thread, which is `owner`, reads by.
pub(super) fn leave(slot: &LockLine, owner: u64, list: RobustList, linked: Linked) {
    robust_futex::unlock_with(slot, owner, list, linked, || wake_for(slot, owner));
}

/// The same of a slot that is in no list.
pub(super) fn leave_unlisted(slot: &LockLine, owner: u64) {
    // Release: pairs with the look of the writer that finds it empty.
    if slot.word.compare_exchange(owner, 0, Ordering::Release, Ordering::Relaxed).is_err() {
        wake_for(slot, owner);
    }
}

/// Gives back a slot on which a writer may sleep, and wakes it: there is one at most, and turns do not matter.
#[cold]
pub(super) fn wake_for(slot: &LockLine, owner: u64) {
    let Some((free, _)) = robust_futex::release_to_sleepers(slot, owner) else { return };
    // An error would not say that there is nobody.
    if matches!(futex::wake_one(&slot.word, LOCKER), Ok(false)) {
        robust_futex::clear_waiters(slot, free);
    } else {
        point!("read: woke a writer");
    }
}

/// A thread that puts a line into its list, if it has one.
struct Linking<'a> {
    me: &'a Thread,
    /// What was pending.
    interrupted: Option<Interrupted>,
}

impl<'a> Linking<'a> {
    fn new(me: &'a Thread, users: &Users) -> Result<Self, Failure> {
        let list = me.list;
        if list.is_known() && list.is_full() {
            return Err(robust_futex::too_many());
        }
        let interrupted = list.is_known().then(|| robust_futex::interrupt(me));
        users.enter();
        Ok(Self { me, interrupted })
    }

    fn name(&self, line: &LockLine, owner: u64) {
        if self.interrupted.is_some() {
            self.me.list.begin(RobustList::node(&line.word), high(owner));
        }
    }

    /// Links the line, which was taken; what was pending is so again.
    fn link(mut self, line: &LockLine) -> Linked {
        let is_nothing = self.interrupted.as_ref().is_some_and(Interrupted::is_nothing);
        if is_nothing && self.me.list.is_empty() {
            self.me.list.link_alone(RobustList::node(&line.word));
            return Linked::Alone;
        }
        let linked = self.link_amid(line);
        self.resume();
        linked
    }

    /// Links the line, which stays pending.
    fn link_amid(&mut self, line: &LockLine) -> Linked {
        if self.interrupted.is_some() {
            self.me.list.link(RobustList::node(&line.word));
        }
        Linked::AmongOthers
    }

    fn give_up(mut self) {
        self.resume();
    }

    fn resume(&mut self) {
        if let Some(interrupted) = self.interrupted.take() {
            self.me.list.resume(interrupted);
        }
    }
}

/// The holder of the lock, who waits for readers to leave.
struct Drainer<'a> {
    places: Places<'a>,
    me: &'a Thread,
    users: &'a Users,
    wait: Wait,
    spin: &'a SpinPolicy,
    /// It has looked whether it waits for itself.
    is_another: bool,
    has_slept: bool,
    /// Has it slept since it last asked whether to give up?
    asks: bool,
    time_is_up: bool,
    /// When it asks whether the reader lives.
    heartbeat: Option<Deadline>,
    looks_up: bool,
}

impl<'a> Drainer<'a> {
    fn new(places: Places<'a>, me: &'a Thread, users: &'a Users, wait: Wait, spin: &'a SpinPolicy) -> Self {
        Self {
            places,
            me,
            users,
            wait,
            spin,
            is_another: false,
            has_slept: false,
            asks: false,
            time_is_up: false,
            heartbeat: None,
            looks_up: false,
        }
    }

    /// Returns when nobody is in the slot.
    fn see_empty(&mut self, slot: &LockLine) -> Result<(), Failure> {
        loop {
            // SeqCst: behind the emptying of the mask. (Acquire: what its last reader did comes before what follows.)
            let mut seen = slot.word.load(Ordering::SeqCst);
            if seen == 0 {
                return Ok(());
            }
            if is_owned(seen) && !self.time_is_up && !matches!(self.wait, Wait::No) {
                seen = self.spin.watch(slot, self.wait.deadline(), self.has_slept);
                self.check_process()?;
            }
            if is_owned(seen) || self.users.may_live(seen) {
                self.wait_for(slot, seen)?;
                continue;
            }
            self.check_process()?;
            // By a compare-exchange: another may have taken it, and is about to look at the mask. SeqCst: as above.
            if slot.word.compare_exchange(seen, 0, Ordering::SeqCst, Ordering::Relaxed).is_ok() {
                point!("drain: slot emptied");
                return Ok(());
            }
        }
    }

    /// One sleep on a slot that somebody is in; less if that one is gone, or the word changes.
    fn wait_for(&mut self, slot: &LockLine, seen: u64) -> Result<(), Failure> {
        let reader = low(seen) & TID;
        // Before it waits for anybody: who reads by a later slot would never come to that.
        if !self.is_another && self.places.own(self.me, self.users) != 0 {
            return Err(Failure::WouldDeadlock);
        }
        self.is_another = true;
        if is_owned(seen) {
            let is_namesake = reader == self.me.tid && self.me.list.is_known() && self.users.are_in_one_namespace();
            // Where nobody is told of deaths, each of those who are in its way may be dead.
            let asks = self.users.are_watched() || std::mem::take(&mut self.looks_up) || self.time_is_up;
            let is_gone = is_namesake || asks && self.users.is_gone(seen, true);
            self.check_process()?; // the look may have taken time
            if is_gone {
                waiting::mark_dead(slot, seen);
                return Ok(());
            }
        }
        if matches!(self.wait, Wait::No) {
            return Err(Failure::WouldBlock);
        }
        if self.time_is_up {
            return Err(Failure::TimedOut { holder: reader });
        }
        if std::mem::take(&mut self.asks) && interrupts::are_asked() {
            interrupts::ask()?;
            self.check_process()?;
        }
        if low(seen) & WAITERS == 0 && !waiting::announce_waiter(slot, seen) {
            return Ok(());
        }
        point!("drain: about to sleep");
        self.sleep(slot, low(seen) | WAITERS, says_owner_died(seen))?;
        point!("drain: awake");
        Ok(())
    }

    fn sleep(&mut self, slot: &LockLine, expected: u32, in_doubt: bool) -> Result<(), Failure> {
        let beat = if self.users.are_watched() { OFTEN } else { HEARTBEAT };
        let beat = *self.heartbeat.get_or_insert_with(|| Deadline::soon(beat));
        let deadline = self.wait.deadline();
        let mut until = deadline.map_or(beat, |deadline| deadline.min(beat));
        if in_doubt {
            until = until.min(Deadline::soon(*DOUBT.end()));
        }
        futex::wait(&slot.word, expected, LOCKER, until).map_err(Failure::Os)?;
        self.check_process()?;
        (self.has_slept, self.asks) = (true, true);
        let now = Deadline::now();
        if beat <= now {
            (self.heartbeat, self.looks_up) = (None, true);
        }
        self.time_is_up = deadline.is_some_and(|deadline| deadline <= now);
        Ok(())
    }

    fn check_process(&self) -> Result<(), Failure> {
        if self.me.is_current() { Ok(()) } else { Err(Failure::Forked) }
    }
}
