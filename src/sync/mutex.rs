//! The lock of a segment: its kind, and [`Held`], which every guard is built on.
//!
//! Nothing above this file knows which kind of lock a segment has.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::panicking;
use std::time::{Duration, Instant};

use super::leaked;
use super::os_mutex::{self, OsMutex};
use super::poison::{self, Poison};
use super::robust_futex::{self, Linked};
use super::spin::SpinPolicy;
use super::users::Users;
use super::waiting::Failure;
use super::watched;
use super::word::{high, is_owned, low, pair, says_owner_died};
use crate::error::{Awaited, LockError};
use crate::layout::LockLine;
use crate::options::LockKind;
use crate::os::robust_list::RobustList;
use crate::os::thread::Thread;
use crate::os::{self, Deadline};

mod event;
mod outside;
mod permits;

pub(crate) use super::waiting::Wait;
pub(crate) use event::Event;
pub(crate) use outside::{
    LockState, after_all_users_left, check_available, is_free_permit, names, new, permit_after_all_users_left,
    says_set, word_in,
};
pub(crate) use permits::{Permits, Taken};

impl Wait {
    pub(crate) fn at_most(duration: Duration) -> Self {
        Deadline::after(duration).map_or(Self::Forever, Self::Until)
    }

    pub(crate) fn until(instant: Instant) -> Self {
        Deadline::at(instant).map_or(Self::Forever, Self::Until)
    }
}

/// A handle's access to the lock in its mapping.
pub(crate) struct Mutex {
    line: NonNull<LockLine>,
    /// [`Users::settled`], at hand for the fast path, which is open in that fork generation only. 0, and so it is never open, if
    /// the lock is of another kind.
    settled: AtomicU64,
    kind: Kind,
    name: Arc<str>,
    users: Users,
    poison: Poison,
    spin: SpinPolicy,
}

/// The kind of lock, with what a handle needs for it.
#[derive(Debug)]
enum Kind {
    Futex,
    /// [`Users::settled`], as far as this handle has made itself known to the others.
    File(AtomicU64),
    OsMutex(OsMutex),
}

// SAFETY: the lock line is alive as long as the mutex (see `new`) and is made of atomics, which any thread may use.
unsafe impl Send for Mutex {}
// SAFETY: as above.
unsafe impl Sync for Mutex {}

impl Mutex {
    /// # Safety
    ///
    /// `line` must point to a lock line that stays mapped as long as the mutex is used, and whose remaining bytes
    /// nobody but the lock's protocol writes. It began as a [`new`] line of this kind.
    pub(crate) unsafe fn new(
        line: NonNull<LockLine>,
        kind: LockKind,
        name: Arc<str>,
        users: Users,
        poison: Poison,
    ) -> Result<Self, LockError> {
        let mut kind = match kind {
            LockKind::Futex => Kind::Futex,
            LockKind::File => Kind::File(AtomicU64::new(0)),
            // SAFETY: by the contract of this function.
            LockKind::OsMutex => match unsafe { OsMutex::attach(line) } {
                Ok(mutex) => Kind::OsMutex(mutex),
                Err(source) => return Err(LockError::io(name, "could not use the lock", source)),
            },
        };
        let settled = match kind {
            Kind::Futex => {
                users.enter();
                users.settled()
            }
            Kind::File(ref mut known) => {
                users.enter();
                *known.get_mut() = users.settled();
                0
            }
            Kind::OsMutex(_) => 0,
        };
        let settled = AtomicU64::new(settled);
        Ok(Self { line, settled, kind, name, users, poison, spin: SpinPolicy::default() })
    }

    #[inline]
    fn line(&self) -> &LockLine {
        // SAFETY: alive by the contract of `new`; all that is changed in it is atomic or in an `UnsafeCell`.
        unsafe { self.line.as_ref() }
    }

    /// Takes the lock, poisoned or not.
    #[inline(always)]
    pub(crate) fn lock(&self, wait: Wait) -> Result<Held<'_>, LockError> {
        // Inlined, and with one exit, because a result that passes through memory costs as much as the lock itself.
        let settled = self.settled();
        match os::thread::cached_at_home() {
            Some(me)
                if low(settled) == me.generation
                    && robust_futex::lock_fast(self.line(), pair(me.tid, high(settled)), me.list) =>
            {
                Ok(Held::new(self, pair(me.tid, high(settled)), &me, Linked::Alone))
            }
            // Two words, which pass through registers.
            _ => match self.lock_watched_fast() {
                (0, _) => self.lock_slow(wait),
                (owner, generation) => Ok(Held::in_no_list(self, owner, generation)),
            },
        }
    }

    /// Takes a lock that is in no list, if nobody has it or has slept on it: the owner, or 0, and the fork generation.
    #[inline(never)]
    fn lock_watched_fast(&self) -> (u64, usize) {
        let (Kind::File(settled), Some(me)) = (&self.kind, os::thread::cached_without_list()) else { return (0, 0) };
        let settled = settled.load(Ordering::Relaxed);
        let owner = pair(me.tid, high(settled));
        let taken = low(settled) == me.generation && watched::lock_fast(self.line(), owner);
        (if taken { owner } else { 0 }, me.generation as usize)
    }

    #[cold]
    #[inline(never)]
    fn lock_slow(&self, wait: Wait) -> Result<Held<'_>, LockError> {
        match &self.kind {
            Kind::Futex => self.lock_futex_slow(wait),
            Kind::File(settled) => self.lock_watched_slow(settled, wait),
            Kind::OsMutex(mutex) => {
                mutex.lock(self.line(), wait).map_err(|failure| self.explain(failure))?;
                Ok(Held::in_no_list(self, 0, os::generation::generation_if_numbered() as usize))
            }
        }
    }

    fn lock_futex_slow(&self, wait: Wait) -> Result<Held<'_>, LockError> {
        loop {
            let me = self.this_thread()?;
            match robust_futex::lock_slow(self.line(), &me, &self.users, wait, &self.spin, self.poison) {
                Ok(linked) => {
                    self.settle();
                    return Ok(Held::new(self, self.owner(&me), &me, linked));
                }
                Err(Failure::Forked) => {} // as another thread of another process, perhaps in another namespace
                Err(failure) => return Err(self.explain(failure)),
            }
        }
    }

    /// See [`Users::settled`].
    #[inline(always)]
    fn settled(&self) -> u64 {
        self.settled.load(Ordering::Relaxed)
    }

    /// In a forked child, for the first time: it has a slot of its own.
    fn settle(&self) {
        self.settled.store(self.users.settled(), Ordering::Relaxed);
    }

    /// The calling thread, as one that can hold robust futexes.
    fn this_thread(&self) -> Result<Thread, LockError> {
        os::thread::current().map_err(|error| self.os_error("could not prepare this thread for the lock", error))
    }

    fn lock_watched_slow(&self, settled: &AtomicU64, wait: Wait) -> Result<Held<'_>, LockError> {
        loop {
            let me = os::thread::without_list()
                .map_err(|error| self.os_error("could not prepare this thread for the lock", error))?;
            match watched::lock_slow(self.line(), &me, &self.users, wait, &self.spin, self.poison) {
                Ok(()) => {
                    settled.store(self.users.settled(), Ordering::Relaxed);
                    return Ok(Held::in_no_list(self, self.owner(&me), me.generation as usize));
                }
                Err(Failure::Forked) => {} // as another process
                Err(failure) => return Err(self.explain(failure)),
            }
        }
    }

    /// The thread as it stands in the word.
    fn owner(&self, me: &Thread) -> u64 {
        pair(me.tid, self.users.slot())
    }

    #[cold]
    fn explain(&self, failure: Failure) -> LockError {
        let name = Arc::clone(&self.name);
        match failure {
            Failure::WouldBlock => LockError::WouldBlock { name },
            Failure::TimedOut { holder } => {
                let holder = Some(holder).filter(|holder| *holder != 0);
                // In another PID namespace the same id is a stranger's.
                let here =
                    holder.filter(|_| matches!(self.kind, Kind::OsMutex(_)) || self.users.are_in_one_namespace());
                let process = here.and_then(os::process::process_of);
                LockError::TimedOut { name, holder, process, awaited: Awaited::Lock }
            }
            Failure::WouldDeadlock => LockError::WouldDeadlock { name },
            Failure::Forked => unreachable!("the child has begun anew"),
            Failure::Os(error) => self.os_error("could not take the lock", error),
        }
    }

    #[cold]
    fn os_error(&self, action: &'static str, source: io::Error) -> LockError {
        LockError::io(Arc::clone(&self.name), action, source)
    }

    /// Did a holder die or panic, and nobody has repaired the data since? A moment's picture unless the lock is held.
    #[inline]
    pub(crate) fn is_poisoned(&self) -> bool {
        let line = self.line();
        let (poison, dirty) = (line.poison.load(Ordering::Relaxed), line.dirty.load(Ordering::Relaxed));
        let owner_died = match self.kind {
            Kind::Futex | Kind::File(_) => self.users.has_lost_its_holder(line.word.load(Ordering::Relaxed)),
            Kind::OsMutex(_) => false,
        };
        self.poison.is_told_by(owner_died, poison, dirty)
    }

    /// Does anybody hold the lock? A moment's picture.
    pub(crate) fn is_locked(&self) -> bool {
        match self.kind {
            Kind::Futex | Kind::File(_) => {
                let word = self.line().word.load(Ordering::Relaxed);
                (is_owned(word) || says_owner_died(word)) && !self.users.has_lost_its_holder(word)
            }
            Kind::OsMutex(_) => os_mutex::is_locked(self.line()),
        }
    }

    /// Is the lock held by a guard that was leaked, so that libc or the kernel will write to the mapping? To be asked when
    /// the handle is dropped.
    pub(crate) fn is_held_by_leaked_guard(&self) -> bool {
        match self.kind {
            Kind::Futex | Kind::File(_) => {
                leaked::is_held_through(self.line().word.load(Ordering::Relaxed), &self.users)
            }
            // No list leads to it, and the guard cannot be used without the handle. The lock stays held.
            Kind::OsMutex(_) => false,
        }
    }
}

impl fmt::Debug for Mutex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").field("kind", &self.kind).field("poisoned", &self.is_poisoned()).finish_non_exhaustive()
    }
}

/// The lock, held by this thread. Not a guard by itself: whoever has it calls [`release`](Self::release) on drop.
///
/// It has at hand all that the fast path of a release needs: to find it again (through the mutex, through thread-local
/// cells) right after the atomic operation of taking the lock would hold up the processor.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    /// The only field that is not `Send`: so the compiler's message names this one.
    not_send: PhantomData<dyn GuardStaysOnItsThread>,
    mutex: &'a Mutex,
    /// The mutex's own.
    line: Own<NonNull<LockLine>>,
    /// This thread's, if the lock was linked [`Linked::Alone`]; else none, which no fast path takes for its own.
    alone_in: Own<RobustList>,
    // Whole words: narrow fields, stored one by one and moved at once, stall the processor longer than the lock takes.
    /// What the word says: this thread, and the handle's slot.
    owner: u64,
    /// The fork generation in which the lock was taken.
    generation: usize,
    /// 1 if the thread was panicking already when it took the lock.
    was_panicking: usize,
}

/// What a guard is, as the compiler puts it when somebody moves one to another thread: the kernel's list of held locks
/// belongs to the thread that took them. References may go: what they give access to is the mutex and atomics.
trait GuardStaysOnItsThread: Sync + Unpin + UnwindSafe + RefUnwindSafe {}

/// What stays on its thread because [`Held`] does.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
struct Own<T>(T);

// SAFETY: this file puts it into `Held` only, which does not leave its thread.
unsafe impl<T> Send for Own<T> {}
// SAFETY: used when the lock is released, on the thread of its owner, or to reach atomics in the lock line.
unsafe impl<T> Sync for Own<T> {}

/// What a guard may do with the data before the lock is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The critical section has come to its end.
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
}

impl<'a> Held<'a> {
    #[inline(always)]
    fn new(mutex: &'a Mutex, owner: u64, me: &Thread, linked: Linked) -> Self {
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

    /// So that every release goes the slow way.
    #[inline(always)]
    fn in_no_list(mutex: &'a Mutex, owner: u64, generation: usize) -> Self {
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

    #[inline(always)]
    pub(crate) fn line(&self) -> Line<'a> {
        Line(self.line.0, PhantomData)
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

    /// Does nothing unless this thread holds the lock: what the copy of a guard in a forked child says of the data is no
    /// answer.
    pub(crate) fn clear_poison(&mut self) {
        if !self.mutex.is_held_since(self.generation) {
            return;
        }
        self.line().get().poison.store(0, Ordering::Relaxed);
        crate::fault::point!("poison: cleared");
    }

    /// Runs `before`, then releases the lock. Does nothing at all unless this thread holds it: the copy of a guard in a
    /// forked child holds nothing.
    ///
    /// What `before` captures is copied when things are not simple: so it should be small.
    #[inline(always)]
    pub(crate) fn release(&self, before: impl FnOnce(Line<'a>, End) + Copy) {
        let is_simple = self.is_simple();
        if is_simple {
            before(self.line(), End::Regular);
            if robust_futex::unlock_fast(self.line().get(), self.owner, self.alone_in.0) {
                return;
            }
        }
        // One call for both exits, because the compiler inlines a guard's drop only while it is small; and no reference
        // to `self` or `before`, because a guard whose address is taken cannot stay in registers.
        self.mutex.release_slow(self.alone_in.0, self.owner, self.generation, self.was_panicking, is_simple, before);
    }

    /// [`release`](Self::release), for what is changed in place: poisons the lock if `section` was broken off, or if a
    /// panic that began under it is unwinding. The word is looked at once, by the release itself: what is done before
    /// asks only whether this process has taken the lock, and has nothing else in its list.
    #[inline(always)]
    pub(crate) fn release_or_poison(&self, section: Section) {
        let is_simple = !section.was_broken_off
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
        let poison = self.mutex.poison;
        self.mutex.release_slow(
            self.alone_in.0,
            self.owner,
            self.generation,
            self.was_panicking,
            is_simple,
            move |line, end| {
                if (section.was_broken_off || end == End::Panic) && poison != Poison::Never {
                    line.get().poison.store(1, Ordering::Relaxed); // written by holders only
                    crate::fault::point!("poison: set by a panic");
                }
                if section.changes {
                    poison::end_changes(line.get());
                }
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
    fn is_held_since(&self, generation: usize) -> bool {
        generation == os::generation::generation_if_numbered() as usize
            && match self.kind {
                Kind::Futex => {
                    os::thread::cached().is_some_and(|me| robust_futex::is_held_by(self.line(), self.owner(&me)))
                }
                Kind::File(_) => os::thread::cached_without_list()
                    .is_some_and(|me| robust_futex::is_held_by(self.line(), self.owner(&me))),
                Kind::OsMutex(_) => os_mutex::is_held_here(self.line()),
            }
    }

    /// The end of [`Held::release`] in all but the simplest case. `unlocked_alone`: [`robust_futex::unlock_fast`] was at
    /// it and found that somebody waits, and all that is left is to wake him.
    #[cold]
    #[inline(never)]
    fn release_slow<'a>(
        &'a self,
        alone_in: RobustList,
        owner: u64,
        generation: usize,
        was_panicking: usize,
        unlocked_alone: bool,
        before: impl FnOnce(Line<'a>, End),
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
                before(line, end());
                watched::unlock(self.line(), owner);
            }
            Kind::Futex => {
                let Some(me) = os::thread::cached() else { return };
                let owner = self.owner(&me);
                if unlocked_alone {
                    return robust_futex::wake_after(self.line(), owner, me.list);
                }
                if generation != me.generation as usize || !robust_futex::is_held_by(self.line(), owner) {
                    return;
                }
                before(line, end());
                let linked = if alone_in.is_known() { Linked::Alone } else { Linked::AmongOthers };
                robust_futex::unlock_slow(self.line(), owner, me.list, linked);
            }
            Kind::OsMutex(mutex) => {
                if generation != os::generation::generation_if_numbered() as usize
                    || !os_mutex::is_held_here(self.line())
                {
                    return;
                }
                before(line, end());
                mutex.unlock(self.line());
            }
        }
    }
}
