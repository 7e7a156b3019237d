//! The guards that C programs do not see: who holds something is its thread, and the handle knows it.
//!
//! A guard borrows its handle. Both stand in one box that C has a pointer to, the guard is taken out before the handle is
//! dropped, and a box does not move: so the borrow may be said to be for ever.
#![allow(unsafe_code)]

use std::cell::{Cell, UnsafeCell};
use std::ffi::c_int;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

thread_local!(static THIS: Cell<u64> = const { Cell::new(NOBODY) });

/// Which thread this is. No other one of the process ever has the same, nor of those it was forked from: what a parent's
/// thread held is not its child's.
#[inline]
fn this_thread() -> u64 {
    #[cold]
    fn first() -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        hear_of_forks();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        THIS.set(number);
        number
    }
    match THIS.get() {
        NOBODY => first(),
        number => number,
    }
}

unsafe extern "C" {
    fn pthread_atfork(
        before: Option<extern "C" fn()>,
        in_parent: Option<extern "C" fn()>,
        in_child: Option<extern "C" fn()>,
    ) -> c_int;
}

/// How many forks this process has behind it. More than once for each, if two threads were the first at the same time.
static FORKS: AtomicU64 = AtomicU64::new(0);

/// Before any thread of the process has a number, or any table.
fn hear_of_forks() {
    extern "C" fn in_child() {
        THIS.set(NOBODY);
        FORKS.fetch_add(1, Ordering::Relaxed);
    }
    static HEARS: AtomicBool = AtomicBool::new(false);
    if !HEARS.load(Ordering::Relaxed) {
        // SAFETY: the function only writes to an atomic and to a cell of its thread that needs no constructor and no
        // destructor, as a forked child may. libc forgets it when it unloads this library. Twice is as good as once: here
        // nobody waits for another thread, which a forked child would not have.
        let failed = unsafe { pthread_atfork(None, None, Some(in_child)) };
        HEARS.store(failed == 0, Ordering::Relaxed); // else the next thread tries again
    }
}

/// Nobody.
const NOBODY: u64 = 0;

/// The guard of whoever holds something exclusively.
pub(crate) struct Held<G> {
    /// Whose guard it is; nobody's: none is there.
    thread: AtomicU64,
    guard: UnsafeCell<MaybeUninit<G>>,
}

// SAFETY: only the thread whose number stands in `thread` touches the cell: it compares first, and only that thread writes its
// own number there. (It writes it when it has the lock, so not at the same time as another; see `put`.)
unsafe impl<G> Sync for Held<G> {}
// SAFETY: as above; whoever drops the box has it alone, and no guard is dropped with it.
unsafe impl<G> Send for Held<G> {}

impl<G> Held<G> {
    pub(crate) const fn nothing() -> Self {
        Self { thread: AtomicU64::new(NOBODY), guard: UnsafeCell::new(MaybeUninit::uninit()) }
    }

    fn is_own(&self) -> bool {
        self.thread.load(Ordering::Relaxed) == this_thread()
    }

    /// For the thread that has the lock: nobody else does until it gives it back. A guard that stands there is of a thread
    /// that ended with it, or of the parent of a forked child: it cannot give back anything here, and is forgotten.
    #[inline]
    pub(crate) fn put(&self, guard: G) {
        let guard = ManuallyDrop::new(guard);
        // SAFETY: both are as large as a guard; this thread holds the lock, so that no other one's guard of this handle is of any
        // use, and none is here.
        unsafe { move_words((&raw const guard).cast(), self.guard.get().cast::<G>()) };
        self.thread.store(this_thread(), Ordering::Relaxed);
    }

    /// Runs the closure on this thread's guard, if it has one.
    #[inline]
    pub(crate) fn with<R>(&self, action: impl FnOnce(&mut G) -> R) -> Option<R> {
        if !self.is_own() {
            return None;
        }
        // SAFETY: this thread's alone, and the closures of this crate do not come back here.
        let guard = unsafe { &mut *self.guard.get() };
        // SAFETY: `put` has put it there, and it was not taken since.
        Some(action(unsafe { guard.assume_init_mut() }))
    }

    /// This thread's guard, which is then the caller's.
    #[inline]
    pub(crate) fn take(&self) -> Option<G> {
        if !self.is_own() {
            return None;
        }
        self.thread.store(NOBODY, Ordering::Relaxed);
        let mut guard = MaybeUninit::uninit();
        // SAFETY: both are as large as a guard; this thread's alone.
        unsafe { move_words(self.guard.get().cast::<G>(), guard.as_mut_ptr()) };
        // SAFETY: `put` has put it there, and it was not taken since.
        Some(unsafe { guard.assume_init() })
    }
}

/// Moves a guard, word by word. One that has just been made was stored so, and to load two of its words at once holds up the
/// processor until both have left it: 4 ns of 28 (Intel, 2026).
///
/// # Safety
///
/// A guard can be read and written there.
#[inline(always)]
unsafe fn move_words<G>(from: *const G, to: *mut G) {
    const {
        assert!(
            size_of::<G>().is_multiple_of(size_of::<u64>()) && align_of::<G>() == align_of::<u64>(),
            "a guard is whole words"
        );
    }
    let (from, to) = (from.cast::<MaybeUninit<u64>>(), to.cast::<MaybeUninit<u64>>());
    for at in 0..size_of::<G>() / size_of::<u64>() {
        // SAFETY: within the guard.
        let word = unsafe { from.add(at) };
        // SAFETY: as said above; volatile, so that it stays one word.
        let word = unsafe { word.read_volatile() };
        // SAFETY: within the guard.
        let to = unsafe { to.add(at) };
        // SAFETY: as said above.
        unsafe { to.write_volatile(word) };
    }
}

/// The guards of many who hold something side by side: at most one of each thread and number.
///
/// A forked child gets a table of its own, which is empty. Its parent's may have been locked, or amid a change, by a thread
/// that the child has not got; what stood in it is nobody's there, and is leaked.
pub(crate) struct HeldByMany<G>(AtomicPtr<Table<G>>);

struct Table<G> {
    /// How many forks lie between the first process and the one whose this is.
    forks: u64,
    guards: Mutex<Vec<(u64, usize, Stays<G>)>>,
}

/// Stays on its thread: whoever takes it out has compared the thread.
struct Stays<G>(G);

// SAFETY: see `HeldByMany::take`, `close`: no thread gets at a guard of another one.
unsafe impl<G> Send for Stays<G> {}

impl<G> HeldByMany<G> {
    pub(crate) fn nothing() -> Self {
        Self(AtomicPtr::new(Self::empty()))
    }

    /// Of this process, which hears of forks from now on.
    fn empty() -> *mut Table<G> {
        hear_of_forks();
        Box::into_raw(Box::new(Table { forks: FORKS.load(Ordering::Relaxed), guards: Mutex::new(Vec::new()) }))
    }

    fn table(&self) -> MutexGuard<'_, Vec<(u64, usize, Stays<G>)>> {
        let mut table = self.0.load(Ordering::Acquire);
        // SAFETY: made by `empty`; no table is freed before this one's drop.
        if unsafe { &*table }.forks != FORKS.load(Ordering::Relaxed) {
            let mine = Self::empty();
            table = match self.0.compare_exchange(table, mine, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => mine,
                Err(others) => {
                    // SAFETY: made just now, and nobody else has seen it.
                    drop(unsafe { Box::from_raw(mine) });
                    others
                }
            };
        }
        // SAFETY: as above.
        unsafe { &*table }.guards.lock().unwrap_or_else(PoisonError::into_inner)
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

impl<G> Drop for HeldByMany<G> {
    fn drop(&mut self) {
        // SAFETY: made by `empty`, and this is alone with it. Empty again: whoever has guards calls `close` first.
        drop(unsafe { Box::from_raw(*self.0.get_mut()) });
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
