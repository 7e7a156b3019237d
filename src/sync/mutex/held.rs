//! [`Held`]: a lock that this thread has, and how it is given back.

use std::marker::PhantomData;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::NonNull;
use std::sync::atomic::Ordering;
use std::thread::panicking;

pub(crate) use super::super::gate::Owed;
use super::super::poison::{self, Poison};
pub(crate) use super::super::readers::ReadersAfter;
use super::super::robust_futex::{self, Linked};
use super::super::{os_mutex, watched};
use super::{Kind, Mutex, waits_of};
use crate::layout::LockLine;
use crate::os;
use crate::os::robust_list::RobustList;
use crate::os::thread::Thread;

/// The lock, held by this thread. Not a guard by itself: whoever has it calls [`release`](Self::release) on drop.
///
/// It has at hand all that the fast path of a release needs: to find it again (through the mutex, through thread-local
/// cells) right after the atomic operation of taking the lock would hold up the processor.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    /// The only field that is not `Send`: so the compiler's message names this one.
    pub(super) not_send: PhantomData<dyn GuardStaysOnItsThread>,
    pub(super) mutex: &'a Mutex,
    /// The mutex's own.
    pub(super) line: Own<NonNull<LockLine>>,
    /// This thread's, if the lock was linked [`Linked::Alone`]; else none, which no fast path takes for its own.
    pub(super) alone_in: Own<RobustList>,
    // Whole words: narrow fields, stored one by one and moved at once, stall the processor longer than the lock takes.
    /// What the word says: this thread, and the handle's slot.
    pub(super) owner: u64,
    /// The fork generation in which the lock was taken; [`WATCHED`] or [`BESIDE`] is set if it is so.
    pub(super) generation: usize,
    /// 1 if the thread was panicking already when it took the lock.
    pub(super) was_panicking: usize,
}

/// In [`Held::generation`], above the fork generation: the lock is in no list by its kind, so that another fast path releases
/// it. Who asks for the generation of a lock that is in one, as all locks are where it must be fast, need not ask for that.
const WATCHED: usize = 1 << 32;

/// In [`Held::generation`], too: the word told of sleepers when the lock was taken, and will do so when it is released. So the
/// step that would release it if nobody slept is left out.
pub(super) const BESIDE: usize = 1 << 33;

const MARKS: usize = WATCHED | BESIDE;

/// What a guard is, as the compiler puts it when somebody moves one to another thread: the kernel's list of held locks
/// belongs to the thread that took them. References may go: what they give access to is the mutex and atomics.
pub(super) trait GuardStaysOnItsThread: Sync + Unpin + UnwindSafe + RefUnwindSafe {}

/// What stays on its thread because [`Held`] does.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(super) struct Own<T>(pub(super) T);

// SAFETY: this file puts it into `Held` only, which does not leave its thread.
unsafe impl<T> Send for Own<T> {}
// SAFETY: used when the lock is released, on the thread of its owner, or to reach atomics in the lock line.
unsafe impl<T> Sync for Own<T> {}

/// What a guard may do with the data before the lock is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The critical section has come to its end, and nobody waits.
    Simple,
    /// It has come to its end.
    Regular,
    /// A panic that began in the critical section is unwinding.
    Panic,
}

/// A critical section in which data are changed in place, or only looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Section {
    /// Did it [begin changes](Held::begin_changes)?
    pub(crate) changes: bool,
    /// Was it left by something that unwinds, so that it did not come to its end? Asked of closures, which know exactly.
    pub(crate) was_broken_off: bool,
    pub(crate) readers: ReadersAfter,
}

/// The lock line of a lock that is held.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a>(NonNull<LockLine>, PhantomData<&'a LockLine>);

impl Line<'_> {
    /// Points into the whole mapping.
    #[inline(always)]
    pub(crate) fn pointer(self) -> NonNull<LockLine> {
        self.0
    }

    #[inline(always)]
    fn get(&self) -> &LockLine {
        // SAFETY: alive while the lock is held, by the contract of `Mutex::new`.
        unsafe { self.0.as_ref() }
    }

    /// For the holder, who is about to commit, unless his section has a [simple](End::Simple) end.
    pub(crate) fn note_what_is_owed(self) -> Owed {
        // SAFETY: as in `get`, of `Mutex::new`.
        Owed::for_the_next_commit(self.get(), unsafe { waits_of(self.0) })
    }
}

impl<'a> Held<'a> {
    #[inline(always)]
    pub(super) fn new(mutex: &'a Mutex, owner: u64, me: &Thread, linked: Linked) -> Self {
        Self {
            not_send: PhantomData,
            mutex,
            line: Own(mutex.line),
            alone_in: Own(if linked == Linked::Alone { me.list } else { RobustList::NONE }),
            owner,
            generation: me.generation as usize,
            was_panicking: usize::from(panicking()),
        }
    }

    /// Of one that is linked alone, with [`BESIDE`] or without a mark.
    #[inline(always)]
    pub(super) fn alone(mutex: &'a Mutex, owner: u64, me: &Thread, mark: usize) -> Self {
        let held = Self::new(mutex, owner, me, Linked::Alone);
        Self { generation: held.generation | mark, ..held }
    }

    /// Of a lock that is in no list by its kind.
    #[inline(always)]
    pub(super) fn watched(mutex: &'a Mutex, owner: u64, generation: u32) -> Self {
        Self::in_no_list(mutex, owner, generation as usize | WATCHED)
    }

    /// So that every release goes the slow way.
    #[inline(always)]
    pub(super) fn in_no_list(mutex: &'a Mutex, owner: u64, generation: usize) -> Self {
        Self {
            not_send: PhantomData,
            mutex,
            line: Own(mutex.line),
            alone_in: Own(RobustList::NONE),
            owner,
            generation,
            was_panicking: usize::from(panicking()),
        }
    }

    /// The lock has been given back in another way than by [`release`](Self::release), which does nothing from here on.
    pub(crate) fn let_go(&mut self) {
        (self.generation, self.alone_in) = (usize::MAX, Own(RobustList::NONE));
    }

    #[inline(always)]
    pub(crate) fn line(&self) -> Line<'a> {
        Line(self.line.0, PhantomData)
    }

    /// Does this thread hold it? Not if this is the copy of a guard in a forked child.
    pub(crate) fn is_held(&self) -> bool {
        self.mutex.is_held_since(self.generation)
    }

    /// Is this the process that took it, and no forked child of it? Of a guard that has stayed on its thread and has not been
    /// let go, that is as much as [`is_held`](Self::is_held), and cheap.
    #[inline]
    pub(crate) fn is_of_this_process(&self) -> bool {
        self.generation & !MARKS == os::generation::generation_if_numbered() as usize
    }

    #[inline]
    pub(crate) fn is_poisoned(&self) -> bool {
        // Written by holders only, and this is one.
        self.line().get().poison.load(Ordering::Relaxed) != 0 && self.mutex.poison != Poison::Never
    }

    /// From now on the data may be half-changed: to be called before the first change in place.
    #[inline(always)]
    pub(crate) fn begin_changes(&mut self) {
        poison::begin_changes(self.line().get());
    }

    /// The data are as they are meant to be, until changes [begin](Self::begin_changes) again; and so much for readers. Does
    /// nothing unless this thread holds the lock.
    pub(crate) fn end_changes(&mut self, readers: ReadersAfter) {
        if self.mutex.is_held_since(self.generation) {
            self.mutex.end_section(true, readers);
        }
    }

    /// Does nothing unless this thread holds the lock: what the copy of a guard in a forked child says of the data is no
    /// answer.
    pub(crate) fn clear_poison(&mut self) {
        if !self.mutex.is_held_since(self.generation) {
            return;
        }
        self.line().get().poison.store(0, Ordering::Relaxed);
        crate::fault::point!("poison: cleared");
    }

    /// Another that is the same, of which one only may be used: so that the other need not stand in memory.
    #[inline(always)]
    pub(crate) fn twin(&self) -> Self {
        let Self { not_send, mutex, line, alone_in, owner, generation, was_panicking } = *self;
        Self { not_send, mutex, line, alone_in, owner, generation, was_panicking }
    }

    /// The line, whether it is linked alone, the owner, and the fork generation: to be released by these.
    pub(super) fn into_parts(self) -> (Own<NonNull<LockLine>>, Own<RobustList>, u64, usize) {
        (self.line, self.alone_in, self.owner, self.generation & !MARKS)
    }

    /// Runs `before`, then releases the lock, and tells those to whom something is owed then. Does nothing at all unless this
    /// thread holds it: the copy of a guard in a forked child holds nothing.
    ///
    /// What `before` captures is copied when things are not simple: so it should be small.
    #[inline(always)]
    pub(crate) fn release(&self, before: impl FnOnce(Line<'a>, End) -> Owed + Copy) {
        let is_simple = self.is_simple();
        if is_simple {
            let _nothing = before(self.line(), End::Simple);
            if robust_futex::unlock_fast(self.line().get(), self.owner, self.alone_in.0) {
                return;
            }
        }
        // One call for both exits, because the compiler inlines a guard's drop only while it is small; and no reference
        // to `self` or `before`, because a guard whose address is taken cannot stay in registers.
        self.mutex.release_rest::<true>(
            self.alone_in.0,
            self.owner,
            self.generation,
            self.was_panicking,
            is_simple,
            before,
        );
    }

    /// [`release`](Self::release), for what is changed in place: poisons the lock if `section` was broken off, or if a
    /// panic that began under it is unwinding. The word is looked at once, by the release itself: what is done before
    /// asks only whether this process has taken the lock, and has nothing else in its list.
    #[inline(always)]
    pub(crate) fn release_or_poison(&self, section: Section) {
        let is_simple = !section.was_broken_off
            && section.readers == ReadersAfter::AsBefore
            && self.is_in_process_of_lock()
            && robust_futex::is_linked_alone(self.line().get(), self.alone_in.0)
            && !panicking();
        if is_simple {
            if section.changes {
                poison::end_changes(self.line().get());
            }
            if robust_futex::unlock_fast(self.line().get(), self.owner, self.alone_in.0) {
                return;
            }
        }
        let mutex = self.mutex;
        mutex.release_rest::<false>(
            self.alone_in.0,
            self.owner,
            if section.was_broken_off { self.generation & !MARKS } else { self.generation },
            self.was_panicking,
            is_simple,
            move |line, end| {
                if (section.was_broken_off || end == End::Panic) && mutex.poison != Poison::Never {
                    line.get().poison.store(1, Ordering::Relaxed); // written by holders only
                    crate::fault::point!("poison: set by a panic");
                }
                mutex.end_section(section.changes, section.readers);
                Owed::NOTHING
            },
        );
    }

    /// Is this the simple end of a simple critical section: this thread holds the lock, it was linked alone and nothing
    /// was linked since, nobody waits, and no panic is about?
    #[inline(always)]
    fn is_simple(&self) -> bool {
        self.is_in_process_of_lock()
            && robust_futex::is_held_alone(self.line().get(), self.owner, self.alone_in.0)
            && !panicking()
    }

    /// Is this the process that took the lock? A guard stays on its thread: so then the list is this thread's.
    #[inline(always)]
    fn is_in_process_of_lock(&self) -> bool {
        self.generation == os::generation::known_generation() as usize
    }
}

impl Mutex {
    /// Does this thread hold the lock, and has this been the process since it was taken, in this generation?
    #[cold]
    pub(super) fn is_held_since(&self, generation: usize) -> bool {
        generation & !MARKS == os::generation::generation_if_numbered() as usize
            && match self.kind {
                Kind::Futex => {
                    os::thread::cached().is_some_and(|me| robust_futex::is_held_by(self.line(), self.owner(&me)))
                }
                Kind::File(_) => os::thread::cached_without_list()
                    .is_some_and(|me| robust_futex::is_held_by(self.line(), self.owner(&me))),
                Kind::OsMutex(_) => os_mutex::is_held_here(self.line()),
            }
    }

    /// The end of [`Held::release`] in all but the simplest case; at once if it is the simplest of a lock that is in no list by
    /// its kind. `unlocked_alone`: [`robust_futex::unlock_fast`] was at it and found that somebody waits, and all that is left
    /// is to wake him. `LOOKS`: at the word before anything is done, as the simple cases of both do or not.
    #[cold] // or its call moves the simplest case out of the way, which then takes 5 % longer
    #[inline(never)]
    pub(super) fn release_rest<'a, const LOOKS: bool>(
        &'a self,
        alone_in: RobustList,
        owner: u64,
        generation: usize,
        was_panicking: usize,
        unlocked_alone: bool,
        before: impl FnOnce(Line<'a>, End) -> Owed,
    ) {
        // A guard stays on its thread: so in this generation, the owner is this thread. (A look at the word right behind the step
        // that took the lock holds up the processor as long as a quarter of both takes.)
        if generation == os::generation::known_generation() as usize | WATCHED
            && (!LOOKS || self.line().word.load(Ordering::Relaxed) == owner)
            && !panicking()
        {
            let owed = before(Line(self.line, PhantomData), End::Regular);
            watched::unlock(self.line(), self.waits(), self.successor(), owner, owed);
            return os::thread::note_given_back();
        }
        if unlocked_alone {
            return robust_futex::wake_after(self.line(), self.waits(), self.successor(), owner, alone_in);
        }
        // So that who waits for what holders do costs those little who lock and unlock beside him.
        let known = os::generation::known_generation() as usize;
        if (generation == known | BESIDE || LOOKS && generation == known)
            && robust_futex::is_linked_alone(self.line(), alone_in)
            && !panicking()
            && (!LOOKS || robust_futex::is_held_beside(self.line(), owner))
        {
            if !self.is_beside.load(Ordering::Relaxed) {
                self.is_beside.store(true, Ordering::Relaxed);
            }
            let owed = before(Line(self.line, PhantomData), End::Regular);
            return robust_futex::unlock_beside(self.line(), self.waits(), self.successor(), owner, alone_in, owed);
        }
        self.release_slow(alone_in, owner, generation & !MARKS, was_panicking, before);
    }

    /// The end of [`Held::release`] in all cases that are not simple.
    #[cold]
    #[inline(never)]
    pub(super) fn release_slow<'a>(
        &'a self,
        alone_in: RobustList,
        owner: u64,
        generation: usize,
        was_panicking: usize,
        before: impl FnOnce(Line<'a>, End) -> Owed,
    ) {
        let end = || if panicking() && was_panicking == 0 { End::Panic } else { End::Regular };
        let line = Line(self.line, PhantomData);
        match &self.kind {
            Kind::File(_) => {
                // A guard stays on its thread: so in this generation, the owner is this thread.
                if generation != os::generation::generation_if_numbered() as usize
                    || !robust_futex::is_held_by(self.line(), owner)
                {
                    return;
                }
                let owed = before(line, end());
                watched::unlock(self.line(), self.waits(), self.successor(), owner, owed);
                os::thread::note_given_back();
            }
            Kind::Futex => {
                let Some(me) = os::thread::cached() else { return };
                let owner = self.owner(&me);
                if generation != me.generation as usize || !robust_futex::is_held_by(self.line(), owner) {
                    return;
                }
                let owed = before(line, end());
                let linked = if alone_in.is_known() { Linked::Alone } else { Linked::AmongOthers };
                robust_futex::unlock_slow(self.line(), self.waits(), self.successor(), owner, me.list, linked, owed);
            }
            Kind::OsMutex(mutex) => {
                if generation != os::generation::generation_if_numbered() as usize
                    || !os_mutex::is_held_here(self.line())
                {
                    return;
                }
                let _nobody_can_wait = before(line, end());
                mutex.unlock(self.line());
            }
        }
    }
}
