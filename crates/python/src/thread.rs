//! What belongs to one thread: guards, which cannot be sent to another one, in handles, which all threads share.
//!
//! A thread has a number, which no other thread of the process ever had. A forked child's only thread gets a new one: so what
//! its parent held is nobody's there, and not the child's.
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::io;
use std::mem::{self, ManuallyDrop};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

thread_local! {
    /// 0: no number yet.
    static NUMBER: Cell<u64> = const { Cell::new(0) };
}

static NEXT: AtomicU64 = AtomicU64::new(1);

/// All smaller numbers are threads of the processes that this one was forked from.
static FIRST_HERE: AtomicU64 = AtomicU64::new(1);

/// The number of this thread.
#[inline]
pub(crate) fn me() -> u64 {
    #[cold]
    fn first() -> u64 {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        NUMBER.set(number);
        number
    }
    match NUMBER.get() {
        0 => first(),
        number => number,
    }
}

/// Was it a thread of a process that this one was forked from? The library knows of each guard that it is a copy then: a
/// drop of it gives nothing back.
fn is_a_parents(thread: u64) -> bool {
    thread < FIRST_HERE.load(Ordering::Relaxed)
}

/// To be called once for the process and its children.
pub(crate) fn hear_of_forks() -> io::Result<()> {
    extern "C" fn in_child() {
        NUMBER.set(0);
        FIRST_HERE.store(NEXT.load(Ordering::Relaxed), Ordering::Relaxed);
    }
    // SAFETY: the function only stores to an atomic and to a cell of its thread that needs neither a constructor nor a
    // destructor, which is allowed in a forked child. It stays: the interpreter never unloads an extension module.
    match unsafe { libc::pthread_atfork(None, None, Some(in_child)) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// A handle, and the guard of the thread that holds its lock through it, if one does, with what that thread notes.
///
/// Only the holder touches the cells: everybody else compares numbers first and goes away. Who has just got the lock
/// writes them; who gives the lock back empties them *before* that. So the lock itself orders the accesses.
pub(crate) struct Held<H: 'static, G, N = ()> {
    /// 0: nobody.
    holder: AtomicU64,
    notes: RefCell<N>,
    /// Borrows from the handle, and stands before it: so it is dropped first.
    guard: RefCell<Option<G>>,
    handle: Arc<H>,
}

// SAFETY: the cells are only accessed by the thread whose number is in `holder`, and by one that stores its guard, having
// taken the lock: the last one who held it does so no longer, and has emptied them before it gave the lock back, or
// has ended. What is noted can be sent. A guard is dropped by the thread that made it, or in a forked child, where it is a copy that does nothing.
unsafe impl<H: Send + Sync, G, N: Send> Sync for Held<H, G, N> {}
// SAFETY: as above; a handle that is sent while another thread holds is dropped without dropping the guard.
unsafe impl<H: Send + Sync, G, N: Send> Send for Held<H, G, N> {}

impl<H, G, N: Default> Held<H, G, N> {
    pub(crate) fn new(handle: Arc<H>) -> Self {
        Self { holder: AtomicU64::new(0), notes: RefCell::default(), guard: RefCell::new(None), handle }
    }

    pub(crate) fn handle(&self) -> &Arc<H> {
        &self.handle
    }

    /// Does this thread hold it?
    #[inline]
    pub(crate) fn is_mine(&self) -> bool {
        self.holder.load(Ordering::Relaxed) == me()
    }

    /// What `action` makes of this thread's guard. `None`: it has none. `action` must not run Python code, which might
    /// come back here: that would panic.
    #[inline]
    pub(crate) fn with<R>(&self, action: impl FnOnce(&mut G) -> R) -> Option<R> {
        if self.is_mine() { self.guard.borrow_mut().as_mut().map(action) } else { None }
    }

    /// The same, with what this thread has noted since it took the lock: at first the default.
    #[inline]
    pub(crate) fn with_notes<R>(&self, action: impl FnOnce(&mut G, &mut N) -> R) -> Option<R> {
        self.with(|guard| action(guard, &mut self.notes.borrow_mut()))
    }

    /// Takes the lock by `lock`, which may keep the handle in the guard that it returns, and nowhere else.
    #[inline(always)]
    pub(crate) fn enter<E>(&self, lock: impl FnOnce(&'static H) -> Result<G, E>) -> Result<(), E> {
        // SAFETY: the handle is there as long as `self`. The guard comes into the cell, where it is dropped or forgotten
        // before the handle; or to the callers of `take`, which are methods of what owns `self`, and end it or put it back
        // before they return. That guards are leaked is for the library to expect: safe code may do so.
        let handle: &'static H = unsafe { &*Arc::as_ptr(&self.handle) };
        self.put(lock(handle)?);
        Ok(())
    }

    /// This thread has just taken the lock with `guard`, or taken it again after [`take`](Self::take).
    #[inline(always)]
    pub(crate) fn put(&self, guard: G) {
        let mut cell = self.guard.borrow_mut();
        if cell.is_some() {
            abandon(cell.take(), self.holder.load(Ordering::Relaxed));
            self.notes.take();
        }
        *cell = Some(guard);
        self.holder.store(me(), Ordering::Relaxed); // as all others that hold would: no need for a swap
    }

    /// This thread's guard, which it no longer holds through the cell. It must not outlive the borrow of `self`.
    #[inline]
    pub(crate) fn take(&self) -> Option<G> {
        self.take_with_notes().map(|(guard, _)| guard)
    }

    /// The same, with what it has noted.
    #[inline]
    pub(crate) fn take_with_notes(&self) -> Option<(G, N)> {
        if !self.is_mine() {
            return None;
        }
        self.holder.store(0, Ordering::Relaxed);
        let notes = self.notes.take();
        self.guard.take().map(|guard| (guard, notes))
    }
}

impl<H: 'static, G, N> Drop for Held<H, G, N> {
    fn drop(&mut self) {
        let holder = *self.holder.get_mut();
        let left = self.guard.get_mut().take();
        if holder != me() && left.is_some() {
            abandon(left, holder);
        }
    }
}

/// What another thread has left. It may still run and hold the lock, which is its own to give back.
#[cold]
fn abandon<G>(left: Option<G>, thread: u64) {
    if !is_a_parents(thread) {
        mem::forget(left);
    }
}

/// Something that only one thread uses and drops, wherever it is kept. Dropped by another thread it is leaked, as what
/// the thread holds.
pub(crate) struct OfThread<T> {
    thread: u64,
    it: ManuallyDrop<T>,
}

// SAFETY: every access compares the thread first, and so does the drop.
unsafe impl<T> Send for OfThread<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for OfThread<T> {}

impl<T> OfThread<T> {
    pub(crate) fn new(it: T) -> Self {
        Self { thread: me(), it: ManuallyDrop::new(it) }
    }

    pub(crate) fn is_mine(&self) -> bool {
        self.thread == me()
    }

    /// `None`: it is another thread's.
    pub(crate) fn get(&self) -> Option<&T> {
        self.is_mine().then_some(&*self.it)
    }

    /// # Panics
    ///
    /// If it is another thread's.
    pub(crate) fn into_inner(self) -> T {
        assert!(self.is_mine(), "a thread's own, in another thread");
        let mut this = ManuallyDrop::new(self);
        // SAFETY: it is there, as only this method and the drop take it, and `this` is not dropped.
        unsafe { ManuallyDrop::take(&mut this.it) }
    }
}

impl<T> Drop for OfThread<T> {
    fn drop(&mut self) {
        if self.is_mine() || is_a_parents(self.thread) {
            // SAFETY: the only one, as it is in the drop of what owns it.
            unsafe { ManuallyDrop::drop(&mut self.it) }
        }
    }
}
