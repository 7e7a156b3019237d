//! The guards that C programs do not see: who holds something is its thread, and the handle knows it.
//!
//! A guard borrows its handle. Both stand in one box that C has a pointer to, the guard is taken out before the handle is
//! dropped, and a box does not move: so the borrow may be said to be for ever.
#![allow(unsafe_code)]

use std::cell::{Cell, UnsafeCell};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Which thread this is. No other one of the process ever has the same.
#[inline]
fn this_thread() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local!(static THIS: Cell<u64> = const { Cell::new(NOBODY) });
    THIS.with(|this| {
        if this.get() == NOBODY {
            this.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        this.get()
    })
}

/// Nobody.
const NOBODY: u64 = 0;

/// The guard of whoever holds something exclusively.
pub(crate) struct Held<G> {
    thread: AtomicU64,
    guard: UnsafeCell<Option<G>>,
}

// SAFETY: only the thread whose number stands in `thread` touches the cell: it compares first, and only that thread writes its
// own number there. (It writes it when it has the lock, so not at the same time as another; see `put`.)
unsafe impl<G> Sync for Held<G> {}
// SAFETY: as above; whoever drops the box has it alone, and forgets the guard of another thread.
unsafe impl<G> Send for Held<G> {}

impl<G> Held<G> {
    pub(crate) const fn nothing() -> Self {
        Self { thread: AtomicU64::new(NOBODY), guard: UnsafeCell::new(None) }
    }

    /// The guard, if this thread has it. The caller does not keep it beyond the call.
    #[inline]
    fn own(&self) -> Option<*mut Option<G>> {
        let thread = this_thread();
        (self.thread.load(Ordering::Relaxed) == thread).then_some(self.guard.get())
    }

    /// For the thread that has the lock: nobody else does until it gives it back.
    #[inline]
    pub(crate) fn put(&self, guard: G) {
        // What stands there is of a thread that ended with it, or of the parent of a forked child. It cannot give back anything
        // here, and what it would do is another thread's.
        // SAFETY: this thread holds the lock, so that no other one holds a guard of this handle that is of any use, or is here.
        unsafe { self.guard.get().write(Some(guard)) };
        self.thread.store(this_thread(), Ordering::Relaxed);
    }

    /// Runs the closure on this thread's guard, if it has one.
    #[inline]
    pub(crate) fn with<R>(&self, action: impl FnOnce(&mut G) -> R) -> Option<R> {
        let guard = self.own()?;
        // SAFETY: this thread's alone, and the closures of this crate do not come back here.
        let guard = unsafe { &mut *guard };
        guard.as_mut().map(action)
    }

    /// This thread's guard, which is then the caller's.
    #[inline]
    pub(crate) fn take(&self) -> Option<G> {
        let guard = self.own()?;
        self.thread.store(NOBODY, Ordering::Relaxed);
        // SAFETY: this thread's alone.
        unsafe { (*guard).take() }
    }

    /// For who closes the handle: this thread's guard, and none of another thread, which cannot be given back here.
    pub(crate) fn close(&self) -> Option<G> {
        let own = self.take();
        if own.is_none() {
            // SAFETY: whoever closes a handle says that nobody uses it.
            std::mem::forget(unsafe { (*self.guard.get()).take() });
        }
        own
    }
}

/// The guards of many who hold something side by side: at most one of each thread and number.
pub(crate) struct HeldByMany<G>(Mutex<Vec<(u64, usize, Stays<G>)>>);

/// Stays on its thread: whoever takes it out has compared the thread.
struct Stays<G>(G);

// SAFETY: see `HeldByMany::take`, `close`: no thread gets at a guard of another one.
unsafe impl<G> Send for Stays<G> {}

impl<G> HeldByMany<G> {
    pub(crate) const fn nothing() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    fn table(&self) -> MutexGuard<'_, Vec<(u64, usize, Stays<G>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn put(&self, number: usize, guard: G) {
        self.table().push((this_thread(), number, Stays(guard)));
    }

    /// Has this thread one of that number?
    pub(crate) fn has(&self, number: usize) -> bool {
        let thread = this_thread();
        self.table().iter().any(|entry| (entry.0, entry.1) == (thread, number))
    }

    /// This thread's guard of that number.
    pub(crate) fn take(&self, number: usize) -> Option<G> {
        let thread = this_thread();
        let mut table = self.table();
        let at = table.iter().position(|entry| (entry.0, entry.1) == (thread, number))?;
        Some(table.swap_remove(at).2.0)
    }

    /// For who closes the handle: gives back what is this thread's, and forgets the rest.
    pub(crate) fn close(&self) {
        let thread = this_thread();
        for (holder, _, guard) in self.table().drain(..) {
            if holder == thread {
                drop(guard);
            } else {
                std::mem::forget(guard);
            }
        }
    }
}

/// The handle as it is while any guard of it lives: see above.
///
/// # Safety
///
/// It stands in a box of [`give`](crate::arguments::give), beside the `Held` that its guards go to.
pub(crate) unsafe fn for_guards<T>(handle: &T) -> &'static T {
    // SAFETY: the caller's, and see above.
    unsafe { &*std::ptr::from_ref(handle) }
}
